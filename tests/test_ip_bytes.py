"""`--bytes ip`: the lengths of IP packets instead of those of frames, in every sum, output and engine."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from typing import TYPE_CHECKING

import builders as b
import pytest
from replays import EVER, finish, replay
from snapshot_checks import assert_conserved, row

from fastmon import analyze, watch
from fastmon.accounting import make_accountant
from fastmon.errors import ConfigError
from fastmon.model.counters import Count
from fastmon.model.frames import Frame

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fastmon.accounting import Accountant
    from fastmon.model.conversations import EndedConversations

    MakeAccountant = Callable[..., Accountant]

A, B = "10.0.0.1", "192.0.2.1"
A6, B6 = "fd00::1", "2001:db8::1"
PADDING = bytes(18)
SEGMENT = b.tcp(50000, 443, bytes(100))
V4, V6 = b.ipv4(A, B, SEGMENT, protocol=b.TCP), b.ipv6(A6, B6, SEGMENT, next_header=b.TCP)
ETHERNET, RAW = 1, 101

CLAIMS = {
    # wire length (None: as captured), link type, data: the packet's length
    "padded": (None, ETHERNET, b.ethernet(b.IPV4, b.ipv4(A, B, b"12345678") + PADDING), 28),
    "padded, IPv6": (None, ETHERNET, b.ethernet(b.IPV6, b.ipv6(A6, B6, b"1234") + PADDING), 44),
    "no link header": (None, RAW, V4, len(V4)),
    "below tags": (None, ETHERNET, b.ethernet(b.QINQ, b.vlan(b.VLAN, b.vlan(b.IPV6, V6))), len(V6)),
    "below PPPoE": (None, ETHERNET, b.ethernet(b.PPPOE, b.pppoe(b.ppp(0x21, V4))), len(V4)),
    "with options": (None, ETHERNET, b.ethernet(b.IPV4, b.ipv4(A, B, SEGMENT, options=bytes(40)) + PADDING), 60 + len(SEGMENT)),
    "with extension headers": (None, RAW, b.ipv6(A6, B6, b.extension6(b.TCP, SEGMENT), next_header=60), 48 + len(SEGMENT)),
    "cut by the snaplen": (1514, ETHERNET, b.ethernet(b.IPV4, b.ipv4(A, B, SEGMENT, total_length=1500))[:60], 1500),
    "cut to the addresses": (1514, ETHERNET, b.ethernet(b.IPV4, b.ipv4(A, B, total_length=1500)), 1500),
    "cut by a tap, whose length the wire's is": (
        64,
        ETHERNET,
        b.ethernet(b.IPV4, b.ipv4(A, B, total_length=1500) + bytes(30)),
        1500,
    ),
    "cut by a tap, IPv6": (64, RAW, b.ipv6(A6, B6, bytes(24), payload_length=1460), 1500),
    "no claim: segmentation offload": (30014, ETHERNET, b.ethernet(b.IPV4, b.ipv4(A, B, SEGMENT, total_length=0)), 30000),
    "no claim, below a tag": (30018, ETHERNET, b.ethernet(b.VLAN, b.vlan(b.IPV4, b.ipv4(A, B, SEGMENT, total_length=0))), 30000),
    "no claim: jumbogram": (90014, ETHERNET, b.ethernet(b.IPV6, b.ipv6(A6, B6, SEGMENT, next_header=0, payload_length=0)), 90000),
    "claims less than its header": (1014, ETHERNET, b.ethernet(b.IPV4, b.ipv4(A, B, SEGMENT, total_length=19)), 1000),
    "claims less than its options": (
        1014,
        ETHERNET,
        b.ethernet(b.IPV4, b.ipv4(A, B, SEGMENT, options=bytes(8), total_length=27)),
        1000,
    ),
    "claims its header alone": (1014, ETHERNET, b.ethernet(b.IPV4, b.ipv4(A, B, SEGMENT, total_length=20)), 20),
    "no claim, and a wire length below the captured one": (
        20,
        ETHERNET,
        b.ethernet(b.IPV4, b.ipv4(A, B, SEGMENT, total_length=0)),
        20 + len(SEGMENT),
    ),
    "first fragment": (None, ETHERNET, b.ethernet(b.IPV4, b.ipv4(A, B, bytes(8), more=True) + PADDING), 28),
    "later fragment": (None, ETHERNET, b.ethernet(b.IPV4, b.ipv4(A, B, bytes(16), offset=1) + PADDING), 36),
    "later fragment, IPv6": (None, RAW, b.ipv6(A6, B6, b.fragment6(b.UDP, bytes(16), offset=1), next_header=44) + PADDING, 64),
    "a tunnel, from outside": (None, RAW, b.ipv4(A, B, V4, protocol=4) + PADDING, 20 + len(V4)),
}


@pytest.mark.parametrize(("wire_len", "link_type", "data", "length"), CLAIMS.values(), ids=CLAIMS)
def test_length_of_a_packet(accountant: MakeAccountant, wire_len: int | None, link_type: int, data: bytes, length: int) -> None:
    wire_len = len(data) if wire_len is None else wire_len
    target = accountant(bytes_of="ip", max_conversations=8, keep_conversations=True, local_networks=["10.0.0.0/8", "fd00::/8"])
    target.account(Frame(1, wire_len, link_type, data))
    summary = finish(target)
    is_v6 = data[-len(data) :].find(b.host(A6)) >= 0
    sent, received = (row(summary, b.host(address)) for address in ((A6, B6) if is_v6 else (A, B)))
    assert (sent.bytes_out, sent.total_bytes_out, received.bytes_in, received.total_bytes_in) == (length,) * 4
    assert (summary.counters.ip, summary.counters.frames) == (Count(1, length), Count(1, wire_len))
    assert summary.bytes_of == "ip"
    (ended,) = target.take_conversations()
    assert (ended["bytes_ab"], ended["bytes_ba"]) == (length, 0)
    assert sum(summary.services["bytes_out"].tolist()) == (length if len(summary.services) else 0)


def test_inner_packet_has_its_own_length(accountant: MakeAccountant) -> None:
    inner = b.ipv4("10.9.0.1", "10.9.0.2", b.udp(1, 2, bytes(10)))
    for target, length in ((accountant(bytes_of="ip", inner=True), len(inner)), (accountant(inner=True), 104)):
        target.account(Frame(1, 104, ETHERNET, b.ethernet(b.IPV4, b.ipv4(A, B, inner, protocol=4) + PADDING)))
        assert row(finish(target), b.host("10.9.0.1")).bytes_out == length


def test_inner_packet_without_a_claim_goes_on_to_the_end_of_the_frame(accountant: MakeAccountant) -> None:
    target = accountant(bytes_of="ip", inner=True)
    inner = b.ipv4("10.9.0.1", "10.9.0.2", bytes(80), total_length=0)
    target.account(Frame(1, 14 + 20 + 5000, ETHERNET, b.ethernet(b.IPV4, b.ipv4(A, B, inner, protocol=4))))
    assert finish(target).counters.ip.bytes == 5000


def test_limit_is_of_the_same_bytes(accountant: MakeAccountant) -> None:
    data = b.ethernet(b.IPV4, V4)
    targets = [
        accountant(bytes_of=bytes_of, limit_bytes=2 * len(V4), local_networks=["10.0.0.0/8"]) for bytes_of in ("ip", "frame")
    ]
    for target in targets:
        for ts_ns in range(2):
            target.account(Frame(ts_ns, len(data), ETHERNET, data))
    assert [len(target.take_limit_crossings()) for target in targets] == [0, 2]


def test_frames_that_are_not_ip_keep_their_wire_lengths(accountant: MakeAccountant) -> None:
    target = accountant(bytes_of="ip")
    target.account(Frame(1, 60, ETHERNET, b.ethernet(b.ARP, bytes(46))))
    target.account(Frame(2, 90, ETHERNET, b"\0"))
    target.account(Frame(3, 1014, ETHERNET, b.ethernet(b.IPV4, V4)))
    counters = finish(target).counters
    assert (counters.non_ip, counters.undecoded["truncated"]) == (Count(1, 60), Count(1, 90))
    assert (counters.ip, counters.frames) == (Count(1, len(V4)), Count(3, 1164))


def test_intervals_and_shards_add_up(accountant: MakeAccountant) -> None:
    target, shard = accountant(bytes_of="ip"), accountant(bytes_of="ip")
    for each, wire_len in ((target, 200), (shard, 300), (shard, 500)):
        each.account(Frame(1, wire_len, ETHERNET, b.ethernet(b.IPV4, V4)))
    target.merge(shard)
    first = target.rotate(EVER)
    assert (first.counters.frames, first.counters.ip) == (Count(3, 1000), Count(3, 3 * len(V4)))
    shard.account(Frame(2, 64, ETHERNET, b.ethernet(b.IPV4, b.ipv4(A, B, total_length=1500))))
    target.merge(shard)
    assert target.totals(EVER).counters.frames == Count(4, 1064)
    last, summary = target.finish(EVER, EVER)
    for snapshot in (first, last, summary):
        assert_conserved(snapshot)
        snapshot.check_conservation()
    assert (last.counters.frames, last.counters.ip) == (Count(1, 64), Count(1, 1500))
    assert (summary.counters.frames, summary.counters.ip) == (Count(4, 1064), Count(4, 3 * len(V4) + 1500))


def test_different_bytes_are_not_merged(accountant: MakeAccountant) -> None:
    targets = [accountant(bytes_of="ip"), accountant()]
    with pytest.raises(ValueError, match="frames' bytes and IP bytes"):
        targets[0].merge(targets[1])
    snapshots = [target.rotate(EVER) for target in targets]
    with pytest.raises(ValueError, match="different bytes cannot be merged: frame and ip"):
        snapshots[0].merge(snapshots[1])
    assert snapshots[0].merge(snapshots[0]).bytes_of == "ip"


def test_unknown_bytes_are_refused() -> None:
    with pytest.raises(ConfigError, match="bytes_of must be one of frame, ip, not 'payload'"):
        make_accountant(bytes_of="payload")


# Whole runs.


def mixed_frames(number: int) -> list[Frame]:
    """Return frames of both versions, tagged and plain, whole, padded, cut, and some that are not IP."""
    frames = []
    for n in range(number):
        payload = b.udp(1000 + n % 50, 53, bytes(n % 90))
        packet = b.ipv4(f"10.0.{n % 3}.{n % 7}", B, payload, total_length=(None, 0, 9, 1500, None)[n % 5])
        if n % 3 == 0:
            packet = b.ipv6(f"fd00::{n % 7}", B6, payload, payload_length=(None, 0, 1460)[n % 9 // 3])
        ethertype = b.IPV6 if n % 3 == 0 else b.IPV4
        data = b.ethernet(b.VLAN, b.vlan(ethertype, packet)) if n % 4 == 0 else b.ethernet(ethertype, packet)
        data = b.ethernet(b.ARP, bytes(46)) if n % 11 == 0 else data + bytes(max(60 - len(data), 0))
        frames.append(Frame(n * 1_000_000, len(data) + n % 2 * 700, ETHERNET, data))
    return frames


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return a capture that is long enough to be mapped into memory."""
    path = tmp_path_factory.mktemp("captures") / "x.pcap"
    path.write_bytes(b.pcap_file(mixed_frames(3000)))
    return str(path)


@pytest.mark.parametrize("options", [{}, {"inner": True}, {"max_conversations": 64}], ids=["hosts", "inner", "conversations"])
def test_engines_agree_on_a_file(capture: str, options: dict[str, object]) -> None:
    native, reference = (replay(capture, make_accountant(engine, bytes_of="ip", **options)) for engine in ("native", "reference"))  # type: ignore[arg-type]
    assert native.summary.counters == reference.summary.counters
    assert native.summary.hosts["bytes_in"].sum() == reference.summary.hosts["bytes_in"].sum() == native.summary.counters.ip.bytes
    assert native.summary.counters.frames == replay(capture, make_accountant()).summary.counters.frames


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("hosts_only", [False, True], ids=["conversations", "hosts"])
def test_run_counts_them_everywhere(capture: str, workers: int, hosts_only: bool) -> None:
    ended: list[EndedConversations] = []
    on_conversations = None if hosts_only else ended.append
    run = watch(
        capture, capture, bytes="ip", workers=workers, hosts_only=hosts_only, interval=1, on_conversations=on_conversations
    )
    *intervals, summary = run
    assert {snapshot.bytes_of for snapshot in (*intervals, summary)} == {"ip"}
    summary.check_conservation()
    assert sum(snapshot.counters.ip.bytes for snapshot in intervals) == summary.counters.ip.bytes
    assert summary.counters.ip.bytes == 2 * analyze(capture, bytes="ip", hosts_only=True).counters.ip.bytes
    assert sum(int(part.rows["bytes_ab"].sum() + part.rows["bytes_ba"].sum()) for part in ended) == (
        0 if hosts_only else summary.counters.ip.bytes
    )


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "fastmon", *arguments], check=False, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("bytes_of", ["frame", "ip"])
def test_every_output_says_which_bytes_they_are(bytes_of: str, capture: str, tmp_path: Path) -> None:
    log, conversations = tmp_path / "x.log", tmp_path / "conversations.csv"
    replayed = ["replay", capture, "-i", "0", "--bytes", bytes_of]
    table = run(*replayed, "--log", str(log), "--conversations", str(conversations), "--ports")
    assert table.returncode == 0, table.stderr
    assert table.stdout.count("IP bytes") == (table.stdout.count("bytes") if bytes_of == "ip" else 0)
    assert table.stdout.count("bytes") == 5  # in and out of hosts and of services, and of applications
    assert json.loads(run(*replayed, "--format", "jsonl").stdout)["bytes_of"] == bytes_of
    rows = csv.DictReader(run(*replayed, "--format", "csv").stdout.splitlines())
    assert {line["bytes_of"] for line in rows} == {bytes_of}
    assert f" bytes_of={bytes_of}" in log.read_text()
    assert {line["bytes_of"] for line in csv.DictReader(conversations.read_text().splitlines())} == {bytes_of}
    assert json.loads(analyze(capture, bytes=bytes_of).to_arrow().schema.metadata[b"fastmon"])["bytes_of"] == bytes_of


def test_wrong_bytes_are_one_line_and_exit_code_2(capture: str) -> None:
    result = run("replay", capture, "--bytes", "payload")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == "fastmon: bytes must be one of frame, ip, not 'payload'\n"
