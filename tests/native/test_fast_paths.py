"""What the engine decodes at once, without the general walk, comes to what the rules say at every edge."""

from __future__ import annotations

from typing import TYPE_CHECKING

import builders as b
import pytest
from replays import assert_same, replay

from fastmon.accounting import make_accountant
from fastmon.model.frames import Frame

if TYPE_CHECKING:
    from pathlib import Path

PACKETS = [b.ipv4("10.0.0.1", "10.0.0.2", b.udp(1, 2, bytes(40))), b.ipv6("2001:db8::1", "2001:db8::2", b.udp(1, 2, bytes(40)))]
TUNNEL = b.ipv4("10.0.0.3", "10.0.0.4", PACKETS[0], protocol=4)
ETHERTYPES = (b.IPV4, b.IPV6, b.ARP)
FIRST_BYTES = (0x44, 0x45, 0x46, 0x4F, 0x50, 0x5F, 0x60, 0x6F)


def frames() -> list[Frame]:
    """Return IP packets with every first byte, and with the important ones cut at every length."""
    datas = [
        b.ethernet(ethertype, bytes([first]) + packet[1:])
        for ethertype in ETHERTYPES
        for packet in PACKETS
        for first in range(256)
    ]
    datas += [
        b.ethernet(ethertype, bytes([first]) + packet[1:])[:end]
        for ethertype in ETHERTYPES
        for packet in PACKETS
        for first in FIRST_BYTES
        for end in range(70)
    ]
    datas += [b.ethernet(b.IPV4, TUNNEL), b.ethernet(b.VLAN, b.vlan(b.IPV6, PACKETS[1]))]
    return [Frame(n * 1000, 60 + n, 1, data) for n, data in enumerate(datas)]


@pytest.mark.parametrize("bytes_of", ["frame", "ip"])
@pytest.mark.parametrize("inner", [False, True], ids=["outermost", "innermost"])
@pytest.mark.parametrize("byte_order", ["<", ">"])
@pytest.mark.parametrize("nanoseconds", [False, True], ids=["us", "ns"])
def test_plain_frames_are_decoded_by_the_rules(
    byte_order: str, nanoseconds: bool, inner: bool, bytes_of: str, tmp_path: Path
) -> None:
    (tmp_path / "x").write_bytes(b.pcap_file(frames(), byte_order=byte_order, nanoseconds=nanoseconds))
    accountants = (make_accountant(engine, inner=inner, bytes_of=bytes_of) for engine in ("native", "reference"))
    native, reference = (replay(tmp_path / "x", accountant) for accountant in accountants)
    assert_same(native, reference)
    assert native.summary.counters.undecoded["truncated"].frames > 0
    assert native.summary.counters.undecoded["malformed"].frames > 0


@pytest.mark.parametrize("link_type", [0, 12, 101, 113, 276])
def test_plain_frames_of_other_link_types_are_not_taken_for_ethernet(link_type: int, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b.pcap_file(frames(), link_type=link_type))
    assert_same(*(replay(tmp_path / "x", make_accountant(engine)) for engine in ("native", "reference")))
