"""What the twin does with each frame beside accounting it: checks its numbers, keeps its record for the packet log.

Private to `fastmon.reference`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fastmon.model.packets import MAX_RECORDS, PACKET_DTYPE, packet_record

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fastmon.model.frames import Frame, PacketSummary

__all__ = ["PacketRecords", "check_numbers"]


class PacketRecords:
    """The packet log's records until they are taken, at most `MAX_RECORDS`.

    n_dropped: those that did not fit.
    """

    def __init__(self) -> None:
        self.n_dropped = 0
        self._records: list[tuple[object, ...]] = []

    @property
    def n_free(self) -> int:
        """How many more fit."""
        return MAX_RECORDS - len(self._records)

    def put(self, frame: Frame, summary: PacketSummary) -> None:
        """Keep a frame's record."""
        if self.n_free:
            self._records.append(packet_record(frame, summary))
        else:
            self.n_dropped += 1

    def take(self) -> NDArray[np.void]:
        """Return the records since the last call, in the order of their frames."""
        records = np.array(self._records, PACKET_DTYPE)
        self._records.clear()
        return records


def check_numbers(frame: Frame) -> None:
    """Raise OverflowError for a frame whose numbers no capture can have."""
    for name, value, bits in (("link_type", frame.link_type, 32), ("wire_len", frame.wire_len, 32)):
        if not 0 <= value < 1 << bits:
            raise OverflowError(f"{name} is {value}; it has {bits} bits")
    if not -(1 << 63) < frame.ts_ns < (1 << 63) - 1:
        raise OverflowError(f"the time {frame.ts_ns} is out of range")
