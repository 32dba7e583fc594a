"""Libpcap handles that pypcap opens.

pypcap's traps are guarded here, and only here: it takes a file of the interface's name for the interface, fails on libpcap's
warnings, and has libpcap's words as bytes, or as the text of a bytes literal.

What it does not do: configure handles, read from them.
"""

from __future__ import annotations

import re
from pathlib import Path

import pcap

from fastmon.errors import CaptureError
from fastmon.native.pypcap_handle import PypcapHandle

__all__ = ["open_handle"]


def open_handle(interface: str, *, snaplen: int, buffer_bytes: int, timeout_ms: int, promiscuous: bool) -> PypcapHandle:
    """Open an interface; see `native/live_handle.pyx`. Raises CaptureError with libpcap's words."""
    if Path(interface).exists():
        # pypcap would read that file instead.
        advice = "run fastmon from another folder, or with --handle libpcap"
        raise CaptureError(f"a file named {interface!r} is in the way here; {advice}")
    try:
        source = pcap.pcap(
            interface,
            snaplen=snaplen,
            promisc=promiscuous,
            timeout_ms=timeout_ms,
            timestamp_in_ns=True,
            buffer_size=buffer_bytes,
        )
    except OSError as error:
        raise CaptureError(_words_of(error)) from error
    return PypcapHandle(source)


def _words_of(error: OSError) -> str:
    import ast  # slow to import, and seldom needed

    cause = error.args[0] if error.args else ""
    if isinstance(cause, str) and (literal := re.search(r"b(['\"]).*\1$", cause, re.DOTALL)):
        cause = ast.literal_eval(literal.group())
    return cause.decode("utf-8", "replace").strip() if isinstance(cause, bytes) else str(cause)
