"""`--dedup`: copies of frames, as mirror ports and "any" deliver them, are left out and counted."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from typing import TYPE_CHECKING

import builders as b
import pytest
from replays import EVER, assert_same, drain, finish, replay
from snapshot_checks import assert_conserved, row

from fastmon import analyze, watch
from fastmon.accounting import make_accountant
from fastmon.capture import open_offline
from fastmon.errors import ConfigError
from fastmon.model.counters import Count
from fastmon.model.frames import Frame, FrameStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from fastmon.accounting import Accountant

    MakeAccountant = Callable[..., Accountant]

MS = 1_000_000
T0 = 1_767_225_600_000 * MS
A, B = "10.0.0.1", "192.0.2.1"
ETHERNET, RAW, SLL, SLL2 = 1, 101, 113, 276
PACKET = b.ipv4(A, B, b.tcp(50000, 443, b"some payload"), protocol=b.TCP)
PACKET6 = b.ipv6("fd00::1", "2001:db8::1", b.udp(50000, 443, b"some payload"))
PLAIN = b.ethernet(b.IPV4, PACKET)


def changed(packet: bytes, at: int, value: int) -> bytes:
    return packet[:at] + bytes([value]) + packet[at + 1 :]


def counts(target: Accountant, frames: Sequence[Frame]) -> tuple[int, int]:
    """Account frames; return how many counted, and how many were copies."""
    for frame in frames:
        target.account(frame)
    counters = finish(target).counters
    return counters.frames.frames - counters.duplicates.frames, counters.duplicates.frames


def at(ts_ns: int, data: bytes, link_type: int = ETHERNET, wire_len: int | None = None) -> Frame:
    return Frame(T0 + ts_ns, len(data) if wire_len is None else wire_len, link_type, data)


COPIES = {
    "the same frame": (at(0, PLAIN), at(0, PLAIN)),
    "with other Ethernet addresses": (at(0, PLAIN), at(0, b.ethernet(b.IPV4, PACKET, dst=b.MAC_A, src=b.MAC_B))),
    "with a VLAN tag": (at(0, PLAIN), at(0, b.ethernet(b.VLAN, b.vlan(b.IPV4, PACKET)))),
    "with another VLAN tag": tuple(at(0, b.ethernet(b.VLAN, b.vlan(b.IPV6, PACKET6, vlan_id=number))) for number in (1, 2)),
    "padded to Ethernet's least": (
        at(0, b.ethernet(b.IPV4, b.ipv4(A, B, b"x"))),
        at(0, b.ethernet(b.IPV4, b.ipv4(A, B, b"x") + bytes(25))),
    ),
    'of two directions of "any"': (at(0, b.sll(b.IPV4, PACKET), SLL), at(0, b"\0\4" + b.sll(b.IPV4, PACKET)[2:], SLL)),
    "of two kinds of captures": (at(0, b.sll2(b.IPV6, PACKET6), SLL2), at(0, PACKET6, RAW)),
    "below MPLS": (at(0, PLAIN), at(0, b.ethernet(b.MPLS, b.mpls(PACKET)))),
    "cut at the same place": tuple(at(0, b.ethernet(b.IPV4, b.ipv4(A, B, total_length=1500)), wire_len=1514) for _ in range(2)),
    "not IP": (at(0, b.ethernet(b.ARP, b.arp(A, B))), at(0, b.ethernet(b.ARP, b.arp(A, B)))),
    "not decoded": (at(0, b"\1\2\3"), at(0, b"\1\2\3")),
    "empty": (at(0, b""), at(0, b"")),
}
OTHERS = {
    "of a router, which has lowered the time to live": (at(0, PLAIN), at(0, b.ethernet(b.IPV4, changed(PACKET, 8, 63)))),
    "of a router, IPv6": (at(0, PACKET6, RAW), at(0, changed(PACKET6, 7, 63), RAW)),
    "sent again, with another IP id": (at(0, PLAIN), at(0, b.ethernet(b.IPV4, changed(PACKET, 5, 9)))),
    "with another last byte": (at(0, PLAIN), at(0, PLAIN[:-1] + b"!")),
    "cut elsewhere": (at(0, PLAIN), at(0, PLAIN[:-1], wire_len=len(PLAIN))),
    "longer on the wire, without a claim": tuple(
        at(0, b.ethernet(b.IPV4, b.ipv4(A, B, total_length=0)), wire_len=length) for length in (2000, 3000)
    ),
    "not IP, with another source": (at(0, b.ethernet(b.ARP, bytes(40))), at(0, b.ethernet(b.ARP, bytes(40), src=b.MAC_B))),
    "not IP, of another length": (at(0, b.ethernet(b.ARP, bytes(9))), at(0, b.ethernet(b.ARP, bytes(9)), wire_len=99)),
    "not decoded, of another link type": (at(0, b"\1\2\3"), at(0, b"\1\2\3", SLL)),
    "zeros, fewer": (at(0, bytes(8)), at(0, bytes(9), wire_len=8)),
}


@pytest.mark.parametrize("pair", COPIES.values(), ids=COPIES)
def test_copy_is_left_out(accountant: MakeAccountant, pair: tuple[Frame, Frame]) -> None:
    assert counts(accountant(dedup_ns=MS), pair) == (1, 1)
    assert counts(accountant(), pair) == (2, 0)


@pytest.mark.parametrize("pair", OTHERS.values(), ids=OTHERS)
def test_what_is_no_copy_counts(accountant: MakeAccountant, pair: tuple[Frame, Frame]) -> None:
    assert counts(accountant(dedup_ns=MS), pair) == (2, 0)


def test_copies_have_a_counter_in_frames_and_bytes_and_nothing_else(accountant: MakeAccountant) -> None:
    target = accountant(dedup_ns=MS, max_conversations=8, keep_conversations=True, packet_log=True)
    tagged = b.ethernet(b.VLAN, b.vlan(b.IPV4, PACKET))
    for frame in (at(0, PLAIN), at(1, tagged), at(2, PLAIN)):
        target.account(frame)
    first = target.rotate(EVER)
    assert first.counters.duplicates == Count(2, len(tagged) + len(PLAIN))
    assert (first.counters.frames, first.counters.ip) == (Count(3, 2 * len(PLAIN) + len(tagged)), Count(1, len(PLAIN)))
    assert row(first, b.host(A))[1:5] == (0, len(PLAIN), 0, 1)
    target.account(at(3, tagged))
    last, summary = target.finish(EVER, EVER)
    assert (last.counters.duplicates.frames, summary.counters.duplicates.frames) == (1, 3)
    for snapshot in (first, last, summary):
        assert_conserved(snapshot)
        snapshot.check_conservation()
    (ended,) = target.take_conversations()
    assert (ended["packets_ab"], ended["bytes_ab"]) == (1, len(PLAIN))
    statuses = target.take_packets()["status"].tolist()
    assert statuses == [FrameStatus.IP, *[FrameStatus.DUPLICATE] * 3]


def test_window_is_of_the_frames_time_and_begins_with_the_one_that_counted(accountant: MakeAccountant) -> None:
    times = [
        (0, True),
        (6, False),
        (10, False),
        (11, True),
        (20, False),
        (22, True),
        (12, False),
        (11, True),
        (1, False),
        (0, True),
    ]
    target = accountant(dedup_ns=10)
    for ts_ns, is_counted in times:
        target.account(at(ts_ns, PLAIN))
        assert (target.rotate(EVER).counters.ip.frames == 1) == is_counted, ts_ns


@pytest.mark.parametrize("times", [(-(2**63) + 1, 2**63 - 2), (2**63 - 2, -(2**63) + 1), (-(2**62), 2**62), (0, 2**63 - 2)])
def test_times_at_the_ends_of_time_are_far_apart(accountant: MakeAccountant, times: tuple[int, int]) -> None:
    assert counts(accountant(dedup_ns=10**10), [Frame(ts_ns, 100, ETHERNET, PLAIN) for ts_ns in times]) == (2, 0)


def test_step_of_the_clock_forgets(accountant: MakeAccountant) -> None:
    target = accountant(dedup_ns=MS)
    target.account(at(0, PLAIN))
    target.begin_phase()
    assert counts(target, [at(0, PLAIN), at(1, PLAIN)]) == (2, 1)


@pytest.mark.parametrize("n_frames", [1, 2, 8, 256])
def test_full_table_forgets_the_oldest_frame(accountant: MakeAccountant, n_frames: int) -> None:
    numbers = list(range(n_frames + 1))
    order = [*numbers, numbers[-1], *numbers[1:], numbers[0], numbers[0]]
    frames = [at(0, b.ethernet(b.IPV4, b.ipv4(A, B, number.to_bytes(4, "big")))) for number in order]
    assert counts(accountant(dedup_ns=MS, dedup_frames=n_frames), frames) == (n_frames + 2, n_frames + 2)


def test_frame_that_counted_again_is_remembered_from_then_on(accountant: MakeAccountant) -> None:
    others = [b.ethernet(b.IPV4, b.ipv4(A, B, bytes([number]))) for number in range(3)]
    frames = [at(0, PLAIN), at(0, others[0]), at(9, PLAIN), at(9, others[1]), at(9, others[2]), at(9, PLAIN)]
    assert counts(accountant(dedup_ns=5, dedup_frames=4), frames) == (5, 1)


@pytest.mark.parametrize("n_bytes", [*range(40), 1479, 1480, 1481])
def test_frames_that_differ_in_one_bit_are_no_copies(accountant: MakeAccountant, n_bytes: int) -> None:
    packet = b.ipv4(A, B, bytes(n_bytes))
    flipped = [changed(packet, number, packet[number] ^ 1 << number % 8) for number in (*range(4, 12), *range(20, len(packet)))]
    assert counts(accountant(dedup_ns=MS), [at(0, data, RAW) for data in (packet, *flipped, *flipped)]) == (
        1 + len(flipped),
        len(flipped),
    )


def test_copies_in_a_tunnel_are_told_by_the_packet_that_is_accounted(accountant: MakeAccountant) -> None:
    frames = [at(0, PACKET, RAW), at(0, b.ethernet(b.IPV4, b.ipv4("172.16.0.1", "172.16.0.2", PACKET, protocol=4)))]
    assert counts(accountant(dedup_ns=MS, inner=True), frames) == (1, 1)
    assert counts(accountant(dedup_ns=MS), frames) == (2, 0)


def test_with_ip_bytes_copies_have_wire_bytes(accountant: MakeAccountant) -> None:
    target = accountant(dedup_ns=MS, bytes_of="ip")
    for _ in range(2):
        target.account(at(0, PLAIN))
    counters = finish(target).counters
    assert (counters.ip, counters.duplicates) == (Count(1, len(PACKET)), Count(1, len(PLAIN)))
    assert counters.frames == Count(2, 2 * len(PLAIN))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dedup_ns": -1}, "dedup_ns must be between 0 and 10000000000, not -1"),
        ({"dedup_ns": 10**10 + 1}, "dedup_ns must be between"),
        ({"dedup_frames": 0}, "dedup_frames must be between 1 and 16777216, not 0"),
        ({"dedup_frames": 1 << 25}, "dedup_frames must be between"),
        ({"dedup_frames": 12}, "dedup_frames must be a power of two, not 12"),
    ],
)
def test_wrong_arguments_are_refused(options: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_accountant(**options)  # type: ignore[arg-type]


# Files.


def traffic(seed: int, number: int) -> list[Frame]:
    """Return frames of which a third come again, somewhere behind, with another link header or the same."""
    generator = random.Random(seed)
    frames: list[Frame] = []
    for n in range(number):
        packet = b.ipv4(
            f"10.0.0.{generator.randrange(20)}", B, b.udp(n % 60000 + 1, 53, generator.randbytes(generator.randrange(300)))
        )
        data = b.ethernet(b.IPV4, packet)
        frames.append(Frame(T0 + n * MS, len(data), ETHERNET, data))
        if generator.randrange(3) == 0:
            copy = generator.choice([data, data + b"fcs?", b.ethernet(b.VLAN, b.vlan(b.IPV4, packet))])
            frames.append(Frame(T0 + n * MS + generator.randrange(20 * MS), len(copy), ETHERNET, copy))
    return sorted(frames, key=lambda frame: frame.ts_ns)


def n_copies_within(frames: Sequence[Frame], window_ns: int) -> int:
    """Return how many frames are copies, by comparing each with all before it; `traffic`'s differ in their payload alone."""
    counted: list[tuple[bytes, int]] = []
    n_copies = 0
    for frame in frames:
        packet = frame.data[18:] if frame.data[12:14] == b"\x81\0" else frame.data[14:]
        packet = packet[: int.from_bytes(packet[2:4], "big")]
        is_copy = any(ts_ns >= frame.ts_ns - window_ns and packet == other for other, ts_ns in counted[-100:])
        n_copies += is_copy
        if not is_copy:
            counted.append((packet, frame.ts_ns))
    return n_copies


@pytest.mark.parametrize("window_ms", [5, 50])
def test_files_copies_are_those_of_a_plain_search(accountant: MakeAccountant, window_ms: int, tmp_path: Path) -> None:
    frames = traffic(1, 3000)
    path = tmp_path / "x.pcap"
    path.write_bytes(b.pcap_file(frames, nanoseconds=True))
    found = replay(path, accountant(dedup_ns=window_ms * MS))
    n_copies = n_copies_within(frames, window_ms * MS)
    assert found.summary.counters.duplicates.frames == n_copies
    assert 200 < n_copies < 1100
    assert found.summary.counters.frames == Count(len(frames), sum(frame.wire_len for frame in frames))


@pytest.mark.parametrize("max_frames", [1, 7, 1 << 16])
def test_every_way_of_reading_finds_them(max_frames: int, tmp_path: Path) -> None:
    frames = traffic(2, 2000)
    pcap, pcapng = tmp_path / "x.pcap", tmp_path / "x.pcapng"
    pcap.write_bytes(b.pcap_file(frames, nanoseconds=True))
    block = b.PcapngFile()
    block.interface(1, ts_resolution=9)
    for frame in frames:
        block.packet(frame)
    pcapng.write_bytes(bytes(block))
    expected = replay(pcap, make_accountant("reference", dedup_ns=50 * MS))
    for path in (pcap, pcapng):
        assert_same(replay(path, make_accountant(dedup_ns=50 * MS), max_frames=max_frames), expected)
    assert_same(replay(pcap, make_accountant(dedup_ns=50 * MS), filter="ip or vlan", max_frames=max_frames), expected)


def test_copies_of_another_source_of_the_same_accountant_are_found(accountant: MakeAccountant, tmp_path: Path) -> None:
    target = accountant(dedup_ns=MS)
    for name, link_type, data in (("x", ETHERNET, PLAIN), ("y", SLL, b.sll(b.IPV4, PACKET))):
        (tmp_path / name).write_bytes(b.pcap_file([at(0, data)], link_type=link_type))
        with open_offline(str(tmp_path / name)) as source:
            assert drain(target, source) == 1
    assert finish(target).counters.duplicates == Count(1, len(PACKET) + 16)


# Whole runs.


@pytest.fixture
def doubled(tmp_path: Path) -> str:
    """Return a file of 1000 frames, each there twice but for the last."""
    frames = [at(n * MS, b.ethernet(b.IPV4, b.ipv4(A, B, n.to_bytes(4, "big")))) for n in range(1000)]
    path = tmp_path / "doubled.pcap"
    path.write_bytes(b.pcap_file([frame for frame in frames for _ in range(2)][:-1]))
    return str(path)


@pytest.mark.parametrize("engine", ["native", "reference"])
def test_run_counts_frames_once(doubled: str, engine: str) -> None:
    *intervals, summary = watch(doubled, dedup="10ms", interval=0.1, engine=engine)
    assert (summary.counters.ip.frames, summary.counters.duplicates.frames) == (1000, 999)
    assert sum(snapshot.counters.duplicates.frames for snapshot in intervals) == 999
    assert len(intervals) >= 10
    merged = intervals[0].merge(*intervals[1:])
    assert merged.counters == summary.counters
    merged.check_conservation()


def test_files_of_one_worker_are_deduplicated_together(doubled: str) -> None:
    assert analyze(doubled, dedup=0.05).counters.duplicates.frames == 999
    assert analyze(doubled, doubled, dedup=10).counters.duplicates.frames == 999 + 1999
    assert analyze(doubled, doubled, dedup=10, workers=2).counters.duplicates.frames == 2 * 999


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "fastmon", *arguments], check=False, capture_output=True, text=True, timeout=60)


def test_every_output_has_their_number(doubled: str, tmp_path: Path) -> None:
    log, packets = tmp_path / "x.log", tmp_path / "packets.csv"
    replayed = ["replay", doubled, "-i", "0", "--dedup", "10ms"]
    table = run(*replayed, "--log", str(log), "--packet-log", str(packets))
    assert "left out as copies: 999 frames (38.0 kB)" in table.stdout.splitlines()
    assert json.loads(run(*replayed, "--format", "jsonl").stdout)["duplicates"] == {"frames": 999, "bytes": 999 * 38}
    assert " duplicates=999 " in log.read_text()
    assert packets.read_text().count(",duplicate,") == 999
    head = json.loads(analyze(doubled, dedup="10ms").to_arrow().schema.metadata[b"fastmon"])
    assert head["duplicates"] == {"frames": 999, "bytes": 999 * 38}
    assert "copies" not in run("replay", doubled, "-i", "0").stdout


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("50", "dedup must be at most 10s, not '50'"),
        ("11s", "dedup must be at most 10s, not '11s'"),
        ("soon", "dedup: invalid duration 'soon'"),
    ],
)
def test_wrong_window_is_one_line_and_exit_code_2(doubled: str, value: str, message: str) -> None:
    result = run("replay", doubled, "--dedup", value)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith(f"fastmon: {message}")
    assert len(result.stderr.splitlines()) == 1
