"""Both engines behind the same calls."""

from __future__ import annotations

from fastmon.decode import decode
from fastmon.model.frames import Frame, FrameStatus, PacketSummary
from fastmon.native import decoder


def native_decode(link_type: int, data: bytes, inner: bool = False) -> PacketSummary:
    """Return what the native decoder says of a frame."""
    status, *fields = decoder.decode(link_type, data, inner)
    return PacketSummary(FrameStatus(status), *fields)


def decode_with(engine: str, link_type: int, data: bytes, *, inner: bool = False) -> PacketSummary:
    """Return what an engine's decoder says of a frame."""
    if engine == "native":
        return native_decode(link_type, data, inner)
    return decode(Frame(0, len(data), link_type, data), inner=inner)
