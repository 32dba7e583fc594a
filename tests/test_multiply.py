"""Multiplied captures, which benchmarks run on: copies differ in addresses, and in nothing that fastmon counts."""

from __future__ import annotations

import gzip
import shutil
from collections import Counter
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Any

import builders as b
import dpkt
import pytest
from harness.case import UnavailableError
from harness.multiply import Multiplied, multiply, survey
from harness.places import IPV4, IPV6, MAC
from harness.renumber import Renumbering
from harness.savefile import reading
from needs import cannot_run

import fastmon
from fastmon.model.frames import Frame

if TYPE_CHECKING:
    from collections.abc import Iterable

DEMO = Path(__file__).parents[1] / "pcaps" / "demo.pcap"
COPIES = 3
PART = 1_000
IPV6_GLOBAL = ip_network("2000::/3")


def addresses_in(frames: Iterable[bytes]) -> list[tuple[str, str]]:
    """Return source and destination of frames of IP in Ethernet, perhaps behind VLAN tags, as dpkt reads them."""
    packets = (dpkt.ethernet.Ethernet(frame).data for frame in frames)
    return [(str(ip_address(packet.src)), str(ip_address(packet.dst))) for packet in packets]


def frame_of(data: bytes) -> Frame:
    return Frame(1_700_000_000_000_001_000, len(data), 1, data)


def written(tmp_path: Path, *frames: bytes, **options: Any) -> Path:
    path = tmp_path / "capture.pcap"
    path.write_bytes(b.pcap_file([frame_of(data) for data in frames], **options))
    return path


def copied(tmp_path: Path, *frames: bytes, copies: int = COPIES) -> list[bytes]:
    """Return the frames of a multiplied capture of these."""
    path = written(tmp_path, *frames)
    made = multiply(path, tmp_path, copies * len(frames), {})
    with reading(made.path) as (_, found):
        return [frame.data for frame in found]


def stays(host: str) -> bool:
    """Whether all copies have this address: groups, broadcast, zero, loopback, reserved."""
    address = ip_address(host)
    return address.is_multicast or address.is_unspecified or address.is_loopback or host == "255.255.255.255"


def counts(summary: fastmon.Snapshot) -> dict[str, tuple[int, ...]]:
    """Return each host's totals."""
    return {row.host: (row.bytes_in, row.bytes_out, row.packets_in, row.packets_out) for row in summary}


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Multiplied:
    return multiply(DEMO, tmp_path_factory.mktemp("multiplied"), COPIES * survey(DEMO).frames, {"part": PART})


@pytest.fixture(scope="module")
def before() -> fastmon.Snapshot:
    return fastmon.analyze(str(DEMO), classify_budget=100)


@pytest.fixture(scope="module")
def after(demo: Multiplied) -> fastmon.Snapshot:
    return fastmon.analyze(str(demo.path), classify_budget=100)


# A whole capture.


def test_every_frame_is_there_in_each_copy(demo: Multiplied, before: fastmon.Snapshot, after: fastmon.Snapshot) -> None:
    assert demo.copies == COPIES
    assert after.counters.frames.frames == demo.frames == COPIES * before.counters.frames.frames
    assert after.counters.frames.bytes == demo.wire_bytes == COPIES * before.counters.frames.bytes
    assert after.interval == before.interval


def test_each_copy_has_hosts_of_its_own_with_the_same_totals(before: fastmon.Snapshot, after: fastmon.Snapshot) -> None:
    old, new = counts(before), counts(after)
    for host in filter(stays, old):
        assert new.pop(host) == tuple(COPIES * count for count in old[host])
    own = Counter(count for host, count in old.items() if not stays(host))
    assert old.keys() - set(filter(stays, old)) <= new.keys()
    assert Counter(new.values()) == Counter({count: COPIES * n for count, n in own.items()})


def test_labels_are_those_of_the_original(before: fastmon.Snapshot, after: fastmon.Snapshot) -> None:
    wanted = {app: (COPIES * count.frames, COPIES * count.bytes) for app, count in before.network_apps().items()}
    assert len(wanted) > 10
    assert {app: (count.frames, count.bytes) for app, count in after.network_apps().items()} == wanted


def test_private_hosts_stay_private(before: fastmon.Snapshot, after: fastmon.Snapshot) -> None:
    assert sum(row.local for row in after if not stays(row.host)) == COPIES * sum(
        row.local for row in before if not stays(row.host)
    )


def test_halves_have_everything_and_share_no_conversation(demo: Multiplied, after: fastmon.Snapshot) -> None:
    both = fastmon.analyze(*map(str, demo.halves), workers=2, classify_budget=100)
    assert counts(both) == counts(after)
    assert both.conversations is not None
    assert after.conversations is not None
    assert both.conversations.opened == after.conversations.opened
    sizes = [survey(half).frames for half in demo.halves]
    assert min(sizes) > 0.4 * sum(sizes)


def test_a_part_has_the_first_frames(demo: Multiplied) -> None:
    assert survey(demo.parts["part"]).frames == demo.part_frames["part"] == PART
    with reading(demo.parts["part"]) as (_, part), reading(DEMO) as (_, whole):
        assert [frame.data for frame in part] == [frame.data for _, frame in zip(range(PART), whole, strict=False)]


def test_a_capture_is_multiplied_once(demo: Multiplied) -> None:
    written_at = demo.path.stat().st_mtime_ns
    assert multiply(DEMO, demo.path.parent, COPIES * survey(DEMO).frames, {"part": PART}) == demo
    assert demo.path.stat().st_mtime_ns == written_at


# Frames.


@pytest.mark.parametrize("tags", [0, 1, 2])
def test_addresses_behind_tags_are_changed(tmp_path: Path, tags: int) -> None:
    ethertype, packet = 0x0800, b.ipv4("192.168.1.2", "198.51.100.7", b.udp(1000, 53, b"x"))
    for _ in range(tags):
        ethertype, packet = 0x8100, b.vlan(ethertype, packet)
    pairs = addresses_in(copied(tmp_path, b.ethernet(ethertype, packet)))
    assert pairs[0] == ("192.168.1.2", "198.51.100.7")
    assert len({host for pair in pairs for host in pair}) == 2 * COPIES
    assert all(ip_address(src).is_private and src.endswith(".2") for src, _ in pairs)


def test_addresses_of_ipv6_keep_their_kind(tmp_path: Path) -> None:
    frame = b.ethernet(0x86DD, b.ipv6("fe80::1", "2001:db8::7", b.udp(1000, 53, b"x")))
    pairs = addresses_in(copied(tmp_path, frame))
    assert len(set(pairs)) == COPIES
    assert all(ip_address(src).is_link_local and ip_address(dst) in IPV6_GLOBAL for src, dst in pairs)


def test_groups_stay(tmp_path: Path) -> None:
    pairs = addresses_in(copied(tmp_path, b.ethernet(0x0800, b.ipv4("0.0.0.0", "255.255.255.255", b.udp(68, 67)))))
    assert set(pairs) == {("0.0.0.0", "255.255.255.255")}


def test_ethernet_and_arp_are_changed(tmp_path: Path) -> None:
    frames = copied(tmp_path, b.ethernet(0x0806, b.arp("192.168.1.2", "192.168.1.1")))
    requests = [dpkt.ethernet.Ethernet(frame) for frame in frames]
    assert len({request.src for request in requests}) == len({request.data.spa for request in requests}) == COPIES
    assert {request.src[:3] for request in requests} == {b.MAC_A[:3]}


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_checksums_hold(tmp_path: Path, protocol: str) -> None:
    segment = dpkt.tcp.TCP(sport=1, dport=2, data=b"abc") if protocol == "tcp" else dpkt.udp.UDP(sport=1, dport=2, data=b"abc")
    ends = {"src": ip_address("10.1.2.3").packed, "dst": ip_address("203.0.113.9").packed}
    packet = dpkt.ip.IP(**ends, p=6 if protocol == "tcp" else 17, data=segment)
    packet.len = len(packet)
    right = [bytes(packet)]
    for frame in copied(tmp_path, b.ethernet(0x0800, right[0]), copies=50):
        found = dpkt.ip.IP(frame[14:])
        sums = found.sum, found.data.sum
        found.sum = found.data.sum = 0
        found = dpkt.ip.IP(bytes(found))
        assert (found.sum, found.data.sum) == sums


# Many copies.


def test_more_networks_than_fit_are_moved_in_smaller_blocks() -> None:
    hosts = {bytes((192, 168, network, 1)) for network in range(200)}
    renumbering = Renumbering({IPV4: hosts}, 1_000)
    found = {row.tobytes() for host in hosts for row in renumbering.images(host).rows}
    assert len(found) == 200 * 1_000
    assert all(ip_address(address).is_private for address in found)


def test_too_many_copies_are_refused() -> None:
    hosts = {bytes((169, 254, network, 1)) for network in range(200)}
    with pytest.raises(UnavailableError, match="no room for 200 addresses"):
        Renumbering({IPV4: hosts, IPV6: set(), MAC: set()}, 1_000)


# Files.


@pytest.mark.parametrize("byte_order", ["<", ">"])
@pytest.mark.parametrize("nanoseconds", [False, True])
def test_every_kind_of_pcap_is_read(tmp_path: Path, byte_order: str, *, nanoseconds: bool) -> None:
    frame = b.ethernet(0x0800, b.ipv4("192.168.1.2", "198.51.100.7", b.udp(1000, 53, b"x")))
    path = written(tmp_path, frame, byte_order=byte_order, nanoseconds=nanoseconds)
    made = multiply(path, tmp_path, 4, {})
    summary, original = (fastmon.analyze(str(found)) for found in (made.path, path))
    assert (summary.counters.frames.frames, summary.interval) == (4, original.interval)


def test_other_formats_are_converted(tmp_path: Path) -> None:
    if not shutil.which("tcpdump"):
        cannot_run("there is no tcpdump, which reads pcapng")
    file = b.PcapngFile()
    file.interface()
    file.packet(frame_of(b.ethernet(0x0800, b.ipv4("192.168.1.2", "198.51.100.7"))))
    path = tmp_path / "capture.pcapng.gz"
    path.write_bytes(gzip.compress(bytes(file)))
    assert multiply(path, tmp_path, 4, {}).frames == 4


def test_what_is_no_capture_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("These are no frames, but they are longer than a header.")
    with pytest.raises(UnavailableError, match="not a pcap file"):
        multiply(tmp_path / "notes.txt", tmp_path, 4, {})
