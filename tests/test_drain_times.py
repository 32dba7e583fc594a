"""Where a drain stops by the frames' times: at a time, and at a backward step of their clock; on both engines, from all files."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, NamedTuple

import builders as b
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from replays import EVER, finish

from fastmon.accounting import make_accountant
from fastmon.capture import open_offline
from fastmon.model.frames import Frame

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from fastmon.accounting import Accountant

S = 1_000_000_000
T0 = 1_767_225_600 * S
PACKET = b.ethernet(b.IPV4, b.ipv4("10.0.0.1", "192.0.2.1", b.udp(1, 2)))


def file_of(seconds: Sequence[float]) -> bytes:
    return b.pcap_file([Frame(T0 + round(at * S), 100, 1, PACKET) for at in seconds])


@pytest.fixture
def open_seconds(tmp_path: Path) -> Callable[..., Path]:
    """Return what makes a capture file of frames at some seconds, written in one way or another."""

    def write(seconds: Sequence[float], form: str = "plain") -> Path:
        frames = [Frame(T0 + round(at * S), 100, 1, PACKET) for at in seconds]
        if form == "pcapng":
            file = b.PcapngFile()
            file.interface()
            for frame in frames:
                file.packet(frame)
            data = bytes(file)
        else:
            data = b.pcap_file(frames, byte_order=">" if form == "swapped" else "<")
        (tmp_path / "x").write_bytes(gzip.compress(data) if form == "gzip" else data)
        return tmp_path / "x"

    return write


@pytest.mark.parametrize("form", ["plain", "swapped", "pcapng", "gzip"])
@pytest.mark.parametrize("max_conversations", [0, 10])
def test_drain_stops_before_a_frame_that_is_too_old(
    accountant: Callable[..., Accountant], open_seconds: Callable[..., Path], form: str, max_conversations: int
) -> None:
    """Each frame moves the bound for the next one, within one call."""
    target = accountant(max_conversations=max_conversations)
    with open_offline(str(open_seconds([0, 100, 95, 90, 101, 91, 90, 200], form))) as source:
        assert target.newest_ts_ns is None
        assert target.drain(source, 100, None, 10 * S) == 6
        assert source.next_ts_ns == T0 + 90 * S
        assert target.newest_ts_ns == T0 + 101 * S
        assert target.drain(source, 100, None, 10 * S) == 0
        target.begin_phase()
        assert target.newest_ts_ns is None
        assert target.drain(source, 100, None, 10 * S) == 2
        assert source.exhausted
    assert (target.first_ts_ns, target.last_ts_ns, target.newest_ts_ns) == (T0, T0 + 200 * S, T0 + 200 * S)
    assert finish(target).counters.frames.frames == 8


def test_step_of_exactly_the_bound_is_none(accountant: Callable[..., Accountant], open_seconds: Callable[..., Path]) -> None:
    for seconds, expected in (([50, 40], 2), ([50, 39.999999], 1), ([50, 50, 50], 3)):
        with open_offline(str(open_seconds(seconds))) as source:
            assert accountant().drain(source, 100, None, 10 * S) == expected
    with open_offline(str(open_seconds([50, 50, 49.999999]))) as source:
        assert accountant().drain(source, 100, None, 0) == 2


def test_without_a_bound_no_step_is_too_far(accountant: Callable[..., Accountant], open_seconds: Callable[..., Path]) -> None:
    with open_offline(str(open_seconds([1000, 0, 2000, 1]))) as source:
        assert accountant().drain(source, 100) == 4


def test_what_comes_first_stops_it(accountant: Callable[..., Accountant], open_seconds: Callable[..., Path]) -> None:
    with open_offline(str(open_seconds([0, 20, 1, 30]))) as source:
        target = accountant()
        assert target.drain(source, 100, T0 + 20 * S, 10 * S) == 1
        assert target.drain(source, 100, T0 + 21 * S, 10 * S) == 1
        assert target.drain(source, 100, T0 + 25 * S, 10 * S) == 0
        assert source.next_ts_ns == T0 + S


def test_frames_from_elsewhere_count_for_the_newest(
    accountant: Callable[..., Accountant], open_seconds: Callable[..., Path]
) -> None:
    target, other = accountant(), accountant()
    target.account(Frame(T0 + 30 * S, 1, 1, b""))
    with open_offline(str(open_seconds([19, 20, 21]))) as source:
        assert target.drain(source, 100, None, 10 * S) == 0
    other.merge(target)
    assert other.newest_ts_ns == T0 + 30 * S
    other.begin_phase()
    assert other.newest_ts_ns is None
    assert other.last_ts_ns == T0 + 30 * S
    other.account(Frame(T0 + 5 * S, 1, 1, b""))
    assert (other.newest_ts_ns, other.last_ts_ns, other.first_ts_ns) == (T0 + 5 * S, T0 + 30 * S, T0 + 5 * S)


def test_newest_survives_a_rotation_and_the_end(accountant: Callable[..., Accountant]) -> None:
    target = accountant()
    target.account(Frame(T0, 1, 1, b""))
    target.rotate(EVER)
    assert target.newest_ts_ns == T0
    target.finish(EVER, EVER)
    assert target.newest_ts_ns == T0
    with pytest.raises(RuntimeError, match="has finished"):
        target.begin_phase()


def test_step_below_0_is_refused(accountant: Callable[..., Accountant], open_seconds: Callable[..., Path]) -> None:
    with open_offline(str(open_seconds([1]))) as source:
        with pytest.raises(ValueError, match="max_backstep_ns must be 0 or more, not -1"):
            accountant().drain(source, 1, None, -1)
        assert accountant().drain(source, 1, None, 10**40) == 1


@pytest.mark.parametrize("times", [(2**62, -(2**62)), (2**63 - 2, -(2**63) + 2), (0, -(2**63) + 2), (1, 0)])
def test_no_difference_of_times_overflows(accountant: Callable[..., Accountant], tmp_path: Path, times: tuple[int, int]) -> None:
    newest_ns, ts_ns = times
    file = b.PcapngFile()
    file.interface(ts_resolution=9, ts_offset_s=ts_ns // S)
    file.packet(Frame(ts_ns, 60, 1, PACKET))
    (tmp_path / "x").write_bytes(bytes(file))
    target = accountant()
    target.account(Frame(newest_ns, 1, 1, b""))
    with open_offline(str(tmp_path / "x")) as source:
        assert source.next_ts_ns == ts_ns
        assert target.drain(source, 9, None, newest_ns - ts_ns - 1) == 0
        assert target.drain(source, 9, None, newest_ns - ts_ns) == 1


# Any times, any bounds.


class Call(NamedTuple):
    """A drain, after the begin of a phase or not."""

    begins_phase: bool
    max_frames: int
    until: int | None
    backstep: int | None


SECONDS = st.integers(0, 40)
CALLS = st.builds(
    Call, st.booleans(), st.integers(0, 12), st.one_of(st.none(), SECONDS), st.one_of(st.none(), st.integers(0, 12))
)


class Model:
    """What a drain should do, by the words of its contract."""

    def __init__(self, seconds: list[int]) -> None:
        self.left = list(seconds)
        self.newest: int | None = None

    def drain(self, call: Call) -> int:
        if call.begins_phase:
            self.newest = None
        n_accounted = 0
        while self.left and n_accounted < call.max_frames:
            second = self.left[0]
            if call.until is not None and second >= call.until:
                break
            if call.backstep is not None and self.newest is not None and second < self.newest - call.backstep:
                break
            self.newest = second if self.newest is None else max(self.newest, second)
            del self.left[0]
            n_accounted += 1
        return n_accounted


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seconds=st.lists(SECONDS, max_size=30), calls=st.lists(CALLS, max_size=8))
def test_any_drains_of_any_times(tmp_path_factory: pytest.TempPathFactory, seconds: list[int], calls: list[Call]) -> None:
    path = tmp_path_factory.getbasetemp() / "any-times"
    path.write_bytes(file_of(seconds))
    for engine in ("native", "reference"):
        target, model = make_accountant(engine), Model(seconds)
        with open_offline(str(path)) as source:
            for call in calls:
                if call.begins_phase:
                    target.begin_phase()
                until_ns = None if call.until is None else T0 + call.until * S
                max_backstep_ns = None if call.backstep is None else call.backstep * S
                assert target.drain(source, call.max_frames, until_ns, max_backstep_ns) == model.drain(call)
                assert target.newest_ts_ns == (None if model.newest is None else T0 + model.newest * S)
                assert source.next_ts_ns == (T0 + model.left[0] * S if model.left else None)
