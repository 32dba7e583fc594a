"""Signals, from the first moment on: kept until a run can heed them, then passed on to it.

The first moment is that of `keep`. The interpreter needs some 60 ms before it, in which a signal does what it does to Python.

What it does not do: import anything heavy; `__main__` calls it before the imports, during which signals must not kill.
"""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import FrameType

    from typing_extensions import Self

    from fastmon.run.control import Control

__all__ = ["Signals", "ignore", "keep", "release"]

_ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_KILLING = (signal.SIGINT, signal.SIGTERM)
"""Those of which a second one kills; a terminal that closes may send SIGHUP twice."""

_ALL = (*_ENDS, signal.SIGUSR1, signal.SIGUSR2)
_kept: list[int] = []
_had_terminal = False


def keep() -> None:
    """Keep signals until `Signals` are entered; a second SIGINT or SIGTERM kills. A SIGHUP that is ignored (nohup) stays so.

    Whether there is a terminal is asked now: it may hang up before a run begins.
    """
    global _had_terminal  # noqa: PLW0603 - of the process, as signals are
    _had_terminal = _has_terminal()
    for number in _heeded():
        signal.signal(number, _keep)


def _heeded() -> list[signal.Signals]:
    return [number for number in _ALL if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN]


def _keep(number: int, _frame: FrameType | None) -> None:
    _kept.append(number)
    if number in _KILLING:
        signal.signal(number, signal.SIG_DFL)


def release() -> None:
    """Let signals end the process, at once if one was kept: for what heeds none, and may be stuck in a write."""
    for number in _ENDS:
        if signal.getsignal(number) is _keep:
            signal.signal(number, signal.SIG_DFL)
    for kept in _kept:
        if kept in _ENDS:
            signal.raise_signal(kept)


def ignore() -> None:
    """Ignore what would end the process: all is written, and a signal must not change the exit code any more."""
    for number in _ENDS:
        signal.signal(number, signal.SIG_IGN)


class Signals:
    """While it is entered, SIGINT and SIGTERM end the run, SIGUSR1 asks for a snapshot, and SIGUSR2 has the rules read again.

    SIGHUP ends a run that has a terminal, which then hangs up; without one it does what SIGUSR2 does, and has files that were
    renamed opened anew. A second SIGINT or SIGTERM kills.

    Those that were kept until then are heeded at once.
    """

    def __init__(self, control: Control) -> None:
        self._control = control
        self._previous: dict[signal.Signals, Any] = {}
        self._has_terminal = _had_terminal or _has_terminal()

    def __enter__(self) -> Self:
        self._previous = {number: signal.signal(number, self._heed) for number in _heeded()}
        while _kept:
            self._heed(_kept.pop(), None)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _heed(self, number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGUSR1:
            self._control.snapshot_now = True
        elif number == signal.SIGUSR2 or (number == signal.SIGHUP and not self._has_terminal):
            self._control.reload = True
            if number == signal.SIGHUP:
                self._control.reopen = True
        else:
            if number in _KILLING:
                signal.signal(number, signal.SIG_DFL)
            self._control.stop = True


def _has_terminal() -> bool:
    """Return whether the process has a controlling terminal."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True
