"""Both engines behind the same calls."""

from __future__ import annotations

from fastmon import _accounting
from fastmon.decode import decode
from fastmon.model.frames import Frame, PacketSummary


def decode_with(engine: str, link_type: int, data: bytes, *, inner: bool = False) -> PacketSummary:
    """Return what an engine's decoder says of a frame."""
    if engine == "native":
        return _accounting.decode(link_type, data, inner)
    return decode(Frame(0, len(data), link_type, data), inner=inner)
