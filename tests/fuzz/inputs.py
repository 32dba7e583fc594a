"""Inputs of the target `matchers_target.pyx`: a conversation's first payloads, as bytes that libFuzzer can change anywhere.

flags  a's port  b's port  side  payload  SEPARATOR  side  payload  ...
"""

from __future__ import annotations

import ipaddress
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

SEPARATOR = b"\xfa\xce\xb0"
MAX_PAYLOAD = 1500
MAX_PAYLOADS = 8
MAX_INPUT = 4 * (MAX_PAYLOAD + len(SEPARATOR) + 1) + 2
"""Bytes: enough for four payloads of full length."""

UDP_FLAG, MAY_BE_ANNOUNCED, HOSTS_SHIFT, REPEATS_SHIFT = 1, 2, 2, 5
"""Flags: bit 0, bit 1, three bits for the hosts, three for how often the last payload comes again."""


def key(address: str) -> bytes:
    """Return a host's 16-byte key."""
    host = ipaddress.ip_address(address)
    return host.packed if host.version == 6 else bytes(10) + b"\xff\xff" + host.packed


HOSTS = tuple(
    (key(a), key(b))
    for a, b in (
        ("192.0.2.1", "198.51.100.1"),
        ("192.0.2.1", "224.0.0.251"),
        ("192.0.2.1", "224.0.0.252"),
        ("192.0.2.1", "255.255.255.255"),
        ("2001:db8::1", "2001:db8::2"),
        ("fe80::1", "ff02::fb"),
        ("fe80::1", "ff02::1:3"),
        ("::", "ff02::1:2"),
    )
)
"""The two ends of the conversations of an input: the groups are those that matchers know."""


def hosts_like(b_host: bytes) -> int:
    """Return the index of the hosts that look to matchers like a conversation with `b_host`."""
    for index, (_, b) in enumerate(HOSTS):
        if b == b_host:
            return index
    return 0 if b_host.startswith(bytes(10) + b"\xff\xff") else 4


def encode(
    is_udp: bool, b_host: bytes, ports: tuple[int, int], payloads: Iterable[tuple[bool, bytes]], n_repeats: int = 0
) -> bytes:
    """Return the input for a conversation.

    payloads: whether `a` sent each, and its bytes.  n_repeats: how often the last one comes again, 0 to 7 times.
    """
    flags = UDP_FLAG * is_udp | hosts_like(b_host) << HOSTS_SHIFT | n_repeats << REPEATS_SHIFT
    parts = [bytes([not from_a]) + data[:MAX_PAYLOAD] for from_a, data in payloads]
    return struct.pack(">BHH", flags, *ports) + SEPARATOR.join(parts[:MAX_PAYLOADS])
