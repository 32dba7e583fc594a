"""Threads that end with the process, whatever they are doing.

What it does not do: stop a thread; each has its own way to end.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["start_thread"]


def start_thread(name: str, target: Callable[..., None], *arguments: object) -> threading.Thread:
    """Start a thread that calls `target`. Raises MemoryError if there is no memory, or no number, for one more."""
    thread = threading.Thread(target=target, args=arguments, name=name, daemon=True)
    try:
        thread.start()
    except RuntimeError as error:
        raise MemoryError(f"cannot start the thread {name}") from error
    return thread
