"""Random scenarios of several accountants. Frames, labels, merges and rotations in any order: both engines agree."""

from __future__ import annotations

import random
from typing import Any

import builders as b
import pytest
from conversation_tools import TABLES, Pair, S

from fastmon.accounting import make_accountant
from fastmon.model.frames import Frame
from fastmon.model.snapshot import Interval

from .test_twins import ADDRESSES, DATA, FLAGS, MACS, NETWORKS, PORTS

N_SCENARIOS = 300
PER_TEST = 30


def make_pairs(numbers: random.Random) -> list[Pair]:
    """Return two or three shards and a collector, each of both engines."""
    options: dict[str, Any] = {
        "local_networks": numbers.choice(NETWORKS),
        "applications": numbers.choice([TABLES, TABLES, None]),
        "max_conversations": numbers.choice([1, 2, 3, 8, 40, 40]),
        "keep_conversations": True,
        "keep_contacts": numbers.random() < 0.8,
        "max_services": numbers.choice([1, 3, 10, 100, 100]),
        "max_services_per_role": numbers.choice([1, 2, 4, 100, 100]),
        "max_sketches": numbers.choice([1, 2, 100]),
    }
    pairs = []
    for _ in range(numbers.choice([3, 4])):
        max_hosts = numbers.choice([numbers.randint(1, 6), 100, 100])
        native = make_accountant("native", seed=numbers.getrandbits(64), max_hosts=max_hosts, **options)
        pairs.append(Pair(native, make_accountant("reference", max_hosts=max_hosts, **options)))
    return pairs


def random_frame(numbers: random.Random, ts_ns: int) -> Frame:
    """Return a frame of one of a few conversations, or an ARP packet."""
    hosts = ADDRESSES[:6] if numbers.random() < 0.8 else ADDRESSES[6:]
    src, dst = numbers.choice(hosts), numbers.choice(hosts)
    if ":" not in src + dst and numbers.random() < 0.1:
        return Frame(ts_ns, 60, 1, b.ethernet(0x0806, b.arp(src, dst, operation=numbers.choice([1, 1, 2]))))
    sport, dport, data = numbers.choice(PORTS), numbers.choice(PORTS), numbers.choice(DATA[:4])
    protocol, payload = numbers.choice(
        [
            (b.TCP, b.tcp(sport, dport, data, flags=numbers.choice(FLAGS))),
            (b.TCP, b.tcp(sport, dport, data)),
            (b.UDP, b.udp(sport, dport, data)),
            (b.ICMP, b.icmp(data, kind=numbers.choice([0, 3, 8, 8]))),
        ]
    )
    is_v6 = ":" in src
    packet = b.ipv6(src, dst, payload, next_header=protocol) if is_v6 else b.ipv4(src, dst, payload, protocol=protocol)
    link = b.ethernet(b.IPV6 if is_v6 else b.IPV4, packet, src=numbers.choice(MACS), dst=numbers.choice(MACS))
    return Frame(ts_ns, numbers.choice([0, 60, 100, 1514]), 1, link)


class Scenario:
    """A random sequence of calls to some pairs of accountants.

    has_collector: shards are merged into the last pair, which is rotated, as in a run. Otherwise any is merged into any other.
    """

    def __init__(self, seed: int, *, has_collector: bool) -> None:
        self.numbers = random.Random(seed)
        self.pairs = make_pairs(self.numbers)
        self.collector = self.pairs[-1]
        self.shards = self.pairs[:-1] if has_collector else self.pairs
        self.has_collector = has_collector
        self.now_ns = 0

    def run(self) -> None:
        steps = [
            self.account,
            self.allow_payloads,
            self.label,
            self.merge,
            self.rotate,
            self.take_conversations,
            self.take_contacts,
            self.look,
            self.begin_phase,
        ]
        for _ in range(self.numbers.randint(5, 60)):
            (step,) = self.numbers.choices(steps, (8, 3, 4, 3, 1, 1, 2, 2, 1))
            step(self.numbers.choice(self.shards))
        for shard in self.pairs[:-1]:
            if self.numbers.random() < 0.7:
                merge(self.collector, shard)
        for pair in self.pairs:
            pair.take_payloads()
            self.look(pair)
            pair.finish(Interval(self.now_ns, self.now_ns + 60), Interval(0, self.now_ns + 60))
            pair.take_conversations()
            pair.take_contacts()

    def account(self, shard: Pair) -> None:
        for _ in range(self.numbers.randint(1, 8)):
            self.now_ns += self.numbers.choice([0, 0, 1, S, 5 * S, 11 * S, 130 * S, -S])
            frame = random_frame(self.numbers, self.now_ns)
            for accountant in shard.both:
                accountant.account(frame)

    def allow_payloads(self, shard: Pair) -> None:
        n_payloads = self.numbers.choice([0, 1, 5, 1000])
        for accountant in shard.both:
            accountant.payload_allowance = n_payloads

    def label(self, shard: Pair) -> None:
        shard.take_payloads()
        if tokens := sorted(shard.tokens)[-8:]:
            shard.label(self.numbers.choice(tokens), self.numbers.choice([0, 1, 2, 3, 9, 255]), self.numbers.choice([0, 1, 4]))

    def merge(self, shard: Pair) -> None:
        others = [self.collector] if self.has_collector else [pair for pair in self.pairs if pair is not shard]
        merge(self.numbers.choice(others), shard)

    def rotate(self, shard: Pair) -> None:
        is_own = not self.has_collector or self.numbers.random() < 0.1
        end_ns = self.now_ns + self.numbers.choice([0, 1, 200 * S])
        (shard if is_own else self.collector).rotate(Interval(self.now_ns - 1, end_ns))

    def begin_phase(self, shard: Pair) -> None:
        self.now_ns -= self.numbers.choice([0, 100 * S, 1000 * S])
        for accountant in shard.both:
            accountant.begin_phase()

    def take_conversations(self, shard: Pair) -> None:
        shard.take_conversations()

    def take_contacts(self, shard: Pair) -> None:
        shard.take_contacts()

    def look(self, shard: Pair) -> None:
        pair = self.collector if self.has_collector and self.numbers.random() < 0.5 else shard
        pair.totals(Interval(0, 60))
        pair.compare_openings()
        pair.compare_fanout(self.now_ns, self.numbers.choice([1, 2 * S, 15 * S, 1000 * S]))


def merge(target: Pair, other: Pair) -> None:
    for accountant, merged in zip(target.both, other.both, strict=True):
        accountant.merge(merged)


@pytest.mark.parametrize("has_collector", [True, False], ids=["into a collector", "into each other"])
@pytest.mark.parametrize("start", range(0, N_SCENARIOS, PER_TEST))
def test_random_scenarios_come_to_the_same(start: int, has_collector: bool) -> None:
    for seed in range(start, start + PER_TEST):
        run(seed, has_collector=has_collector)


def run(seed: int, *, has_collector: bool) -> None:
    try:
        Scenario(seed, has_collector=has_collector).run()
    except Exception as error:
        raise AssertionError(f"scenario {seed}") from error
