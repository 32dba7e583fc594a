"""The native and the reference side, held together: the same conversations and applications of any frames."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import builders as b
import pytest
from conversation_tools import TABLES, Pair, S, udp_number
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from strategies import damaged_frames

from fastmon.accounting import make_accountant
from fastmon.capture import open_offline
from fastmon.model.frames import Frame
from fastmon.model.snapshot import Interval

if TYPE_CHECKING:
    from pathlib import Path


# Few hosts, ports and times, so that conversations recur, tables overflow and timeouts are met exactly.

ADDRESSES = ["10.0.0.1", "10.0.0.2", "10.0.0.3", "192.0.2.1", "192.0.2.2", "192.0.2.3", "fd00::1", "2001:db8::1"]
NETWORKS = [[], ["10.0.0.0/8"], ["10.0.0.2/32", "fd00::/8"], ["0.0.0.0/0", "::/0"]]
PORTS = [0, 53, 80, 5000, 8080, 65535]
FLAGS = [b.SYN, b.SYN, b.SYN | b.ACK, b.ACK, b.ACK, b.FIN | b.ACK, b.FIN, b.RST, b.RST | b.ACK, b.FIN | b.RST, 0, 0xC2, 0xFF]
DATA = [b"", b"", b"x", b"GET / HTTP/1.1", bytes(1501)]
MACS = [b.MAC_A, b.MAC_B, b"\x01\x00\x5e\x00\x00\x01", bytes(6)]
TIMES = [0, 1, 2, 10 * S, 10 * S + 1, 11 * S, 120 * S, 120 * S + 1, 240 * S, 300 * S, 300 * S + 1, 600 * S, 900 * S]
ODD_TIMES = [-(2**62), 2**62, -(2**63) + 1, 2**63 - 2, -1, -300 * S]


@st.composite
def packets(draw: st.DrawFn) -> Frame:
    """Return a frame of one of a few conversations."""
    family = draw(st.sampled_from([ADDRESSES[:6], ADDRESSES[:6], ADDRESSES[6:]]))
    src, dst = draw(st.sampled_from(family)), draw(st.sampled_from(family))
    protocol = draw(st.sampled_from([b.TCP, b.TCP, b.TCP, b.UDP, b.UDP, b.ICMP, b.SCTP]))
    data = draw(st.sampled_from(DATA))
    sport, dport = draw(st.sampled_from(PORTS)), draw(st.sampled_from(PORTS))
    payload = {
        b.TCP: b.tcp(sport, dport, data, flags=draw(st.sampled_from(FLAGS)), words=draw(st.sampled_from([5, 5, 5, 5, 6, 4]))),
        b.UDP: b.udp(sport, dport, data),
        b.SCTP: b.sctp(sport, dport, data),
        b.ICMP: b.icmp(data),
    }[protocol]
    if ":" in src:
        packet = b.ipv6(src, dst, payload, next_header=protocol)
    else:
        offset = draw(st.sampled_from([0] * 9 + [3]))
        packet = b.ipv4(src, dst, payload, protocol=protocol, offset=offset, more=draw(st.integers(0, 9)) == 0)
    ethertype = b.IPV6 if ":" in src else b.IPV4
    padded = packet + draw(st.sampled_from([b"", b"", b"\xee" * 6]))
    frame = b.ethernet(ethertype, padded, src=draw(st.sampled_from(MACS)), dst=draw(st.sampled_from(MACS)))
    link_type, data = draw(
        st.sampled_from([(1, frame)] * 6 + [(101, padded), (113, b.sll(ethertype, padded)), (8, bytes(16) + padded)])
    )
    ts_ns = draw(st.sampled_from(TIMES * 4 + ODD_TIMES))
    end = draw(st.sampled_from([None] * 9 + [14 + 20 + 14]))
    return Frame(ts_ns, draw(st.sampled_from([0, 60, 100, 1514, 2**32 - 1])), link_type, data[:end])


class TwinAccountants(RuleBasedStateMachine):
    """Two shards of each engine, to which the same happens."""

    @initialize(
        max_hosts=st.one_of(st.integers(1, 6), st.just(100)),
        shard_hosts=st.integers(1, 8),
        max_conversations=st.sampled_from([1, 2, 3, 7, 8, 9, 40]),
        local_networks=st.sampled_from(NETWORKS),
        inner=st.booleans(),
        bytes_of=st.sampled_from(["frame", "ip"]),
        dedup_ns=st.sampled_from([0, 0, 0, 1, 10 * S]),
        dedup_frames=st.sampled_from([1, 2, 64]),
        tables=st.sampled_from([TABLES, TABLES, TABLES, None]),
        max_services=st.sampled_from([1, 5, 1000]),
        max_services_per_role=st.sampled_from([1, 3, 1000]),
        seed=st.integers(0, 2**64 - 1),
    )
    def begin(self, max_hosts: int, shard_hosts: int, max_conversations: int, **options: Any) -> None:
        self.shards: list[Pair] = []
        options["applications"] = options.pop("tables")
        for n_hosts in (max_hosts, shard_hosts):
            arguments = {
                "max_hosts": n_hosts,
                "max_conversations": max_conversations,
                "keep_conversations": True,
                "keep_contacts": True,
                **options,
            }
            self.shards.append(Pair(make_accountant("native", **arguments), make_accountant("reference", **arguments)))

    @rule(shard=st.integers(0, 1), frames=st.lists(packets(), min_size=1, max_size=12))
    def account_packets(self, shard: int, frames: list[Frame]) -> None:
        for frame in frames:
            for accountant in self.shards[shard].both:
                accountant.account(frame)

    @rule(shard=st.integers(0, 1), frame=damaged_frames())
    def account_any_frame(self, shard: int, frame: Frame) -> None:
        self.account_packets(shard, [frame])

    @rule(shard=st.integers(0, 1), n_payloads=st.sampled_from([0, 1, 5, 1000]))
    def allow_payloads(self, shard: int, n_payloads: int) -> None:
        for accountant in self.shards[shard].both:
            accountant.payload_allowance = n_payloads

    @rule(shard=st.integers(0, 1))
    def take_payloads(self, shard: int) -> None:
        self.shards[shard].take_payloads()

    @rule(
        shard=st.integers(0, 1),
        number=st.integers(0, 50),
        app=st.sampled_from([0, 1, 2, 3, 9, 255]),
        wanted=st.sampled_from([0, 1, 4, 255]),
    )
    def label(self, shard: int, number: int, app: int, wanted: int) -> None:
        self.shards[shard].take_payloads()
        tokens = sorted(self.shards[shard].tokens)[-1 - number :]
        if tokens:
            self.shards[shard].label(tokens[0], app, wanted)

    @rule(shard=st.integers(0, 1), end_ns=st.sampled_from(TIMES + ODD_TIMES))
    def rotate(self, shard: int, end_ns: int) -> None:
        self.shards[shard].rotate(Interval(end_ns - 1, end_ns))

    @rule(shard=st.integers(0, 1))
    def begin_phase(self, shard: int) -> None:
        for accountant in self.shards[shard].both:
            accountant.begin_phase()

    @rule(shard=st.integers(0, 1))
    def take_conversations(self, shard: int) -> None:
        self.shards[shard].take_conversations()

    @rule(shard=st.integers(0, 1))
    def take_contacts(self, shard: int) -> None:
        self.shards[shard].take_contacts()

    @rule(shard=st.integers(0, 1))
    def look(self, shard: int) -> None:
        self.shards[shard].totals(Interval(0, 60))
        self.shards[shard].compare_openings()

    @rule(target_shard=st.integers(0, 1))
    def merge(self, target_shard: int) -> None:
        for target, other in zip(self.shards[target_shard].both, self.shards[1 - target_shard].both, strict=True):
            target.merge(other)

    @invariant()
    def agree_on_the_allowance(self) -> None:
        for pair in getattr(self, "shards", []):
            pair.same(lambda target: target.payload_allowance)

    def teardown(self) -> None:
        for pair in getattr(self, "shards", []):
            pair.take_payloads()
            pair.finish(Interval(0, 60), Interval(0, 120))
            pair.take_conversations()
            pair.take_contacts()


TestAccountants = TwinAccountants.TestCase
TestAccountants.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)


# Long runs from files: batches, sweeps, full rings.

N_FRAMES = 6_000
N_HOSTS, N_PORTS = 40, 60


def random_frames(numbers: random.Random) -> list[Frame]:
    """Return frames of some hundred conversations, of which a few have most of the frames, over an hour or so."""
    frames, now_ns = [], 1_000_000 * S
    for _ in range(N_FRAMES):
        now_ns += numbers.choice([0, 1, S // 100, S // 10, S, -S, 20 * S])
        src, dst = (f"{numbers.choice(['10.0.0', '192.0.2'])}.{int(numbers.paretovariate(0.6)) % N_HOSTS}" for _ in range(2))
        sport, dport = numbers.choice(PORTS), numbers.choice([53, 80, 1000 + int(numbers.paretovariate(0.5)) % N_PORTS])
        if numbers.random() < 0.5:
            src, dst, sport, dport = dst, src, dport, sport
        data = numbers.choice(DATA[:4])
        if numbers.random() < 0.5:
            packet = b.ipv4(src, dst, b.tcp(sport, dport, data, flags=numbers.choice(FLAGS)), protocol=b.TCP)
        else:
            packet = b.ipv4(src, dst, b.udp(sport, dport, data))
        frames.append(Frame(now_ns, numbers.randint(60, 1514), 1, b.ethernet(b.IPV4, packet, src=numbers.choice(MACS))))
    return frames


@pytest.mark.parametrize(
    ("max_hosts", "max_conversations", "n_payloads"),
    [(1000, 4000, 0), (1000, 4000, 1 << 20), (20, 300, 1 << 20), (5, 20, 300), (60, 1, 1 << 20)],
)
def test_long_runs_come_to_the_same(max_hosts: int, max_conversations: int, n_payloads: int, tmp_path: Path) -> None:
    numbers = random.Random(max_conversations)
    path = tmp_path / "long.pcap"
    path.write_bytes(b.pcap_file(random_frames(numbers), nanoseconds=True))
    options: dict[str, Any] = {
        "max_hosts": max_hosts,
        "max_conversations": max_conversations,
        "local_networks": ["10.0.0.0/8"],
        "applications": TABLES,
        "keep_conversations": True,
        "keep_contacts": True,
        "max_services_per_role": 30,
    }
    pair = Pair(make_accountant("native", seed=1, **options), make_accountant("reference", **options))
    for accountant in pair.both:
        accountant.payload_allowance = n_payloads
    with open_offline(str(path)) as first, open_offline(str(path)) as second:
        while not second.exhausted:
            max_frames = numbers.choice([1, 63, 64, 65, 200, 3000])
            for accountant, source in zip(pair.both, (first, second), strict=True):
                accountant.drain(source, max_frames)
            pair.same(lambda target: target.payload_allowance)
            tokens = pair.take_payloads() if numbers.random() < 0.5 else []
            for token in tokens:
                pair.label(token, numbers.choice([0, 1, 7]), numbers.choice([0, 1, 4]))
            pair.take_conversations()
            pair.take_contacts()
            if numbers.random() < 0.1:
                pair.totals(Interval(0, 60))
                pair.compare_openings()
                pair.rotate(Interval(0, numbers.choice([1, 1_000_000 * S, 1_004_000 * S])))
    pair.take_payloads()
    pair.finish(Interval(0, 60), Interval(0, 120))
    pair.take_conversations()


@pytest.mark.parametrize("seed", range(3))
def test_full_table_comes_to_the_same(seed: int, tmp_path: Path) -> None:
    """Where the index has as many rows as it takes before it grows, some of its buckets are full, and many rows leave."""
    numbers = random.Random(seed)
    path = tmp_path / "full.pcap"
    some = numbers.sample(range(60_000), 3000)
    frames = [udp_number(number, ts_ns=n) for n in range(8000) for number in [numbers.choice(some)] * numbers.choice([1, 2])]
    path.write_bytes(b.pcap_file(frames, nanoseconds=True))
    options: dict[str, Any] = {"max_conversations": 2560, "applications": TABLES, "keep_conversations": True}
    pair = Pair(make_accountant("native", seed=seed, **options), make_accountant("reference", **options))
    for accountant in pair.both:
        with open_offline(str(path)) as source:
            while not source.exhausted:
                accountant.drain(source, 1 << 20)
    pair.finish(Interval(0, 60), Interval(0, 120))
    pair.take_conversations()
