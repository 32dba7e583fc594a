"""What a packet log should say of frames, by the reference decoder and Python's own ways to write times and addresses."""

from __future__ import annotations

import socket
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, NamedTuple

from fastmon.decode import decode
from fastmon.model.frames import Frame, FrameStatus

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


class Row(NamedTuple):
    """A row of the packet log; None where nothing is known."""

    time: str
    status: str
    src: str | None = None
    dst: str | None = None
    protocol: int | None = None
    src_port: int | None = None
    dst_port: int | None = None
    tcp_flags: int | None = None
    wire_len: int | None = None

    def cells(self) -> list[str]:
        """Return the row as the csv module reads it."""
        return ["" if value is None else str(value) for value in self]


def time_text(ts_ns: int) -> str:
    seconds, ns = divmod(ts_ns, 10**9)
    return f"{EPOCH + timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%S}.{ns:09}Z"


def address_text(key: bytes) -> str:
    if key.startswith(bytes(10) + b"\xff\xff"):
        return socket.inet_ntop(socket.AF_INET, key[12:])
    return socket.inet_ntop(socket.AF_INET6, key)


def expected_row(frame: Frame, *, inner: bool = False) -> Row:
    """Return the row of a frame."""
    summary = decode(frame, inner=inner)
    row = Row(time_text(frame.ts_ns), summary.status.name.lower(), wire_len=frame.wire_len)
    if summary.status is not FrameStatus.IP:
        return row
    src_port, dst_port = summary.ports or (None, None)
    return row._replace(
        src=address_text(summary.src),
        dst=address_text(summary.dst),
        protocol=summary.protocol,
        src_port=src_port,
        dst_port=dst_port,
        tcp_flags=summary.tcp_flags,
    )


def rows_of(records: NDArray[np.void]) -> list[Row]:
    """Return the rows that records stand for."""
    rows = []
    for ts_ns, src, dst, wire_len, src_port, dst_port, status, known, protocol, flags, unused in records.tolist():
        is_ip = status == FrameStatus.IP
        assert unused == 0
        rows.append(
            Row(
                time_text(ts_ns),
                FrameStatus(status).name.lower(),
                address_text(bytes(src)) if is_ip else None,
                address_text(bytes(dst)) if is_ip else None,
                protocol if known & 1 else None,
                src_port if known & 2 else None,
                dst_port if known & 2 else None,
                flags if known & 4 else None,
                wire_len,
            )
        )
    return rows
