"""The native and the reference side, held together: the same summary of any frame, the same sums of any frames."""

from __future__ import annotations

from collections import Counter
from dataclasses import astuple
from typing import TYPE_CHECKING, Any

import builders as b
import pytest
import test_decode_payload as payload_catalogue
import test_decode_reference as catalogue
import test_decode_reference_ip as ip_catalogue
from engines import native_decode
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from snapshot_checks import assert_conserved, rows
from strategies import LINKS, WIRE_LENGTHS, arbitrary_frames, damaged_frames, deep_frames, whole_frames

from fastmon import decode as reference_decode
from fastmon.accounting import make_accountant
from fastmon.decode import SUPPORTED_LINK_TYPES, decode
from fastmon.decode.walk import Cursor, Rule, RuleFunction, Step
from fastmon.model.frames import Frame, FrameStatus, PacketSummary
from fastmon.model.snapshot import Interval

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastmon.accounting import Accountant
    from fastmon.model.snapshot import Snapshot

many = settings(max_examples=1000, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def assert_same_summary(frame: Frame, *, inner: bool) -> PacketSummary:
    expected = decode(frame, inner=inner)
    summary = native_decode(frame.link_type, frame.data, inner)
    assert astuple(summary) == astuple(expected), (frame, inner)
    return expected


class TestDecoders:
    @many
    @given(frame=whole_frames(), inner=st.booleans())
    def test_agree_on_whole_frames(self, frame: Frame, inner: bool) -> None:
        event(assert_same_summary(frame, inner=inner).status.name)

    @many
    @given(frame=damaged_frames(), inner=st.booleans())
    def test_agree_on_damaged_frames(self, frame: Frame, inner: bool) -> None:
        event(assert_same_summary(frame, inner=inner).status.name)

    @many
    @given(frame=deep_frames(), inner=st.booleans())
    def test_agree_on_deep_frames(self, frame: Frame, inner: bool) -> None:
        event(assert_same_summary(frame, inner=inner).status.name)

    @many
    @given(frame=arbitrary_frames(), inner=st.booleans())
    def test_agree_on_arbitrary_bytes(self, frame: Frame, inner: bool) -> None:
        event(assert_same_summary(frame, inner=inner).status.name)

    def test_agree_on_the_catalogue_with_any_bit_flipped(self) -> None:
        for frame in catalogue_frames():
            for n in range(min(len(frame.data), 120) * 8):
                flipped = bytearray(frame.data)
                flipped[n // 8] ^= 1 << n % 8
                assert_same_summary(Frame(0, 0, frame.link_type, bytes(flipped)), inner=True)

    def test_agree_on_the_catalogue_cut_anywhere(self) -> None:
        for frame in catalogue_frames():
            for end in range(len(frame.data) + 1):
                assert_same_summary(Frame(0, 0, frame.link_type, frame.data[:end]), inner=True)


def catalogue_frames() -> Iterator[Frame]:
    """Iterate over the frames with which the reference's rules are tested."""
    for link_type, data in catalogue.WAYS_TO_IPV4.values():
        yield Frame(0, 0, link_type, data)
    for link_type, data, _ in catalogue.STOPS.values():
        yield Frame(0, 0, link_type, data)
    for packet, *_ in ip_catalogue.UPPER_LAYERS.values():
        yield Frame(0, 0, ip_catalogue.RAW, packet)
    for packet, *_ in payload_catalogue.PAYLOADS.values():
        yield Frame(0, 0, ip_catalogue.RAW, packet)
    for packet in (*ip_catalogue.TO_INNER.values(), *ip_catalogue.NO_TUNNEL.values()):
        yield Frame(0, 0, ip_catalogue.RAW, packet)


class TestStrategies:
    """What is compared above is worth comparing."""

    def test_every_link_type_is_generated(self) -> None:
        assert set(LINKS) == SUPPORTED_LINK_TYPES

    def test_most_whole_frames_reach_ip_by_every_rule(self, monkeypatch: pytest.MonkeyPatch) -> None:
        entered = {Rule.IP}

        def spy_on(name: Rule, function: RuleFunction) -> RuleFunction:
            def spied(at: Cursor) -> Step:
                entered.add(name)
                return function(at)

            return spied

        for name, function in list(reference_decode._RULES.items()):
            monkeypatch.setitem(reference_decode._RULES, name, spy_on(name, function))
        statuses: Counter[FrameStatus] = Counter()
        inner_statuses: Counter[bool] = Counter()

        # So many that the rarest rule is reached whatever modules are loaded: hypothesis tries the constants in them.
        @settings(many, max_examples=3000, derandomize=True, database=None)
        @given(frame=whole_frames())
        def collect(frame: Frame) -> None:
            statuses[decode(frame).status] += 1
            inner_statuses[decode(frame) != decode(frame, inner=True)] += 1

        collect()
        assert entered == set(Rule)
        assert statuses[FrameStatus.IP] >= 0.9 * statuses.total()
        assert inner_statuses[True] >= 0.2 * inner_statuses.total()

    def test_every_status_is_reached(self) -> None:
        statuses: Counter[FrameStatus] = Counter()

        @settings(many, derandomize=True, database=None)
        @given(frame=st.one_of(damaged_frames(), deep_frames(), arbitrary_frames()))
        def collect(frame: Frame) -> None:
            statuses[decode(frame).status] += 1

        collect()
        assert set(statuses) == set(FrameStatus) - {FrameStatus.DUPLICATE}


# Accounting. Few hosts and few lengths, so that tables overflow, local hosts displace remote ones and limits are passed.

ADDRESSES = ["10.0.0.1", "10.0.0.2", "10.0.0.3", "192.0.2.1", "192.0.2.2", "192.0.2.3", "fd00::1", "2001:db8::1", "2001:db8::2"]
NETWORKS = [[], ["10.0.0.0/8"], ["10.0.0.2/32", "fd00::/8"], ["0.0.0.0/0"], ["::/1", "192.0.2.0/30"]]


@st.composite
def packets(draw: st.DrawFn) -> Frame:
    """Return a frame between two of a few hosts."""
    family = draw(st.sampled_from([ADDRESSES[:6], ADDRESSES[:6], ADDRESSES[6:]]))
    src, dst = draw(st.sampled_from(family)), draw(st.sampled_from(family))
    payload = b.udp(1, draw(st.sampled_from([2, 2, 2, 3])))
    if ":" in src:
        packet = b.ipv6(src, dst, payload, payload_length=draw(st.sampled_from([None, None, 0, 1, 65535])))
    else:
        packet = b.ipv4(src, dst, payload, total_length=draw(st.sampled_from([None, None, 0, 1, 19, 20, 1500, 65535])))
    tag = draw(st.sampled_from([b.IPV4, b.IPV4, b.VLAN]))
    ts_ns = draw(st.one_of(st.integers(-5, 5), st.sampled_from([-(2**62), 2**62])))
    data = b.ethernet(tag, packet if tag == b.IPV4 else b.vlan(b.IPV4, packet)) + draw(st.sampled_from([b"", b"", bytes(6)]))
    return Frame(ts_ns, draw(WIRE_LENGTHS), 1, data)


def assert_same_snapshot(native: Snapshot, reference: Snapshot) -> None:
    assert native.counters == reference.counters
    assert rows(native) == rows(reference)
    assert (native.interval, native.is_summary, native.bytes_of) == (reference.interval, reference.is_summary, reference.bytes_of)
    assert_conserved(native)


class TwinAccountants(RuleBasedStateMachine):
    """Two shards of each engine, to which the same happens."""

    @initialize(
        max_hosts=st.one_of(st.integers(1, 6), st.just(100)),
        shard_hosts=st.integers(1, 8),
        limit_bytes=st.sampled_from([0, 1, 100, 2000, 70000]),
        local_networks=st.sampled_from(NETWORKS),
        inner=st.booleans(),
        bytes_of=st.sampled_from(["frame", "ip"]),
        dedup_ns=st.sampled_from([0, 1, 3, 10**10]),
        dedup_frames=st.sampled_from([1, 2, 4, 64]),
        seed=st.integers(0, 2**64 - 1),
    )
    def begin(self, max_hosts: int, shard_hosts: int, **options: Any) -> None:
        self.now_ns = 0
        self.shards: list[tuple[Accountant, Accountant]] = []
        for n_hosts in (max_hosts, shard_hosts):
            native, reference = (make_accountant(engine, max_hosts=n_hosts, **options) for engine in ("native", "reference"))
            self.shards.append((native, reference))

    def interval(self) -> Interval:
        self.now_ns += 60
        return Interval(self.now_ns - 60, self.now_ns)

    @rule(shard=st.integers(0, 1), frames=st.lists(packets(), min_size=1, max_size=12))
    def account_packets(self, shard: int, frames: list[Frame]) -> None:
        for frame in frames:
            for accountant in self.shards[shard]:
                accountant.account(frame)

    @rule(shard=st.integers(0, 1), frame=damaged_frames())
    def account_any_frame(self, shard: int, frame: Frame) -> None:
        for accountant in self.shards[shard]:
            accountant.account(frame)

    @rule(shard=st.integers(0, 1))
    def begin_phase(self, shard: int) -> None:
        for accountant in self.shards[shard]:
            accountant.begin_phase()

    @rule(shard=st.integers(0, 1))
    def rotate(self, shard: int) -> None:
        interval = self.interval()
        native, reference = (accountant.rotate(interval) for accountant in self.shards[shard])
        assert_same_snapshot(native, reference)

    @rule(shard=st.integers(0, 1))
    def take_limit_crossings(self, shard: int) -> None:
        native, reference = (accountant.take_limit_crossings() for accountant in self.shards[shard])
        assert native == reference

    @rule(target_shard=st.integers(0, 1))
    def merge(self, target_shard: int) -> None:
        for target, other in zip(self.shards[target_shard], self.shards[1 - target_shard], strict=True):
            target.merge(other)

    @invariant()
    def agree_on_time(self) -> None:
        for native, reference in getattr(self, "shards", []):
            assert (native.first_ts_ns, native.last_ts_ns) == (reference.first_ts_ns, reference.last_ts_ns)

    def teardown(self) -> None:
        for shard in range(len(getattr(self, "shards", []))):
            self.take_limit_crossings(shard)
            interval = self.interval()
            native, reference = (accountant.finish(interval, Interval(0, self.now_ns)) for accountant in self.shards[shard])
            for native_snapshot, reference_snapshot in zip(native, reference, strict=True):
                assert_same_snapshot(native_snapshot, reference_snapshot)


TestAccountants = TwinAccountants.TestCase
TestAccountants.settings = settings(max_examples=200, stateful_step_count=20, deadline=None)
