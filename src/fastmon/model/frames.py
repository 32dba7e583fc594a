"""The values that the capture and decode sides share.

What it does not do: read or decode anything.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

__all__ = ["MAX_PAYLOAD_BYTES", "UNDECODED", "Frame", "FrameStatus", "PacketSummary"]


class FrameStatus(enum.IntEnum):
    """What became of a frame. The values are those of `native/decode/headers.pxd`.

    All but the last are outcomes of decoding. An accountant that leaves out copies gives it to a frame that is one.
    """

    IP = 0
    NON_IP = 1
    TRUNCATED = 2
    MALFORMED = 3
    TOO_DEEP = 4
    ENCRYPTED = 5
    UNSUPPORTED_LINK_TYPE = 6
    DUPLICATE = 7


UNDECODED: tuple[FrameStatus, ...] = tuple(s for s in FrameStatus if FrameStatus.NON_IP < s < FrameStatus.DUPLICATE)
"""The statuses that count as undecoded. In output, a reason has the status's name in lower case."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame as captured.

    ts_ns: nanoseconds since the epoch.  wire_len: bytes on the wire.
    link_type: LINKTYPE_ number.  data: the captured bytes; no more than `wire_len`, unless the file is wrong.
    """

    ts_ns: int
    wire_len: int
    link_type: int
    data: bytes


MAX_PAYLOAD_BYTES = 1500


@dataclass(frozen=True, slots=True)
class PacketSummary:
    """A decoded frame (docs/decoding.md).

    src, dst: 16-byte host keys, network order, IPv4 as ::ffff:a.b.c.d; b"" unless `status` is IP.
    protocol: IP protocol number; None if it was not captured.
    ports: (source, destination); None if they were not captured.
    tcp_flags: the 14th byte of the TCP header; None if it was not captured.
    payload: the captured payload of TCP or UDP, or what follows the first 8 bytes of a router advertisement; at most the first
        `MAX_PAYLOAD_BYTES` bytes.
    is_echo_request: of ICMP or ICMPv6; False if that was not captured.
    ip_at: where the IP header begins in the captured bytes.
    claimed_len: the packet's length, as its IP header claims; 0 if it claims none, or less than the header is long.
    is_router_advertisement: of ICMPv6, that no router has forwarded; likewise.
    is_fresh: of IPv6, its hop limit is one that senders set (64, 128, 255): no router has forwarded it.
    """

    status: FrameStatus
    src: bytes = b""
    dst: bytes = b""
    protocol: int | None = None
    ports: tuple[int, int] | None = None
    is_fragment: bool = False
    tcp_flags: int | None = None
    payload: bytes = b""
    is_echo_request: bool = False
    ip_at: int = 0
    claimed_len: int = 0
    is_router_advertisement: bool = False
    is_fresh: bool = False

    def ip_len(self, frame: Frame) -> int:
        """Return the length of the IP packet in a frame of which this is the summary."""
        return self.claimed_len or max(frame.wire_len, len(frame.data)) - self.ip_at
