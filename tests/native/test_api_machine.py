"""The whole API of accountants and readers, driven at random: any call, with any arguments, in any state, in several threads.

Nothing may crash or hang, every sum must hold, and what one thread does must come to the same on both engines. The environment
variable FASTMON_API_SCENARIOS says how many scenarios there are.
"""

from __future__ import annotations

import gc
import gzip
import os
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import builders as b
import numpy as np
import pcap
import pytest
from conversation_tools import peers
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from inspected import MATCHERS
from snapshot_checks import assert_conserved, rows

from fastmon._accounting import DEBUG
from fastmon.accounting import NativeAccountant, make_accountant
from fastmon.capture import open_offline
from fastmon.errors import FastmonError
from fastmon.model.conversations import CONVERSATION_DTYPE, AppTables
from fastmon.model.frames import Frame
from fastmon.model.packets import PACKET_DTYPE
from fastmon.model.snapshot import Interval, Snapshot
from fastmon.native.live_reader import LiveReader
from fastmon.native.packet_text import format_addresses, format_packets
from fastmon.native.pypcap_handle import PypcapHandle
from fastmon.native.readers import SavefileReader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

AT_ONCE = 200
"""Scenarios of one test. Hypothesis remembers all that it has tried in it, some half a megabyte each."""

N_SCENARIOS = int(os.environ.get("FASTMON_API_SCENARIOS", "2000" if DEBUG and "FASTMON_CI" in os.environ else "100"))
N_STEPS = 30
HANG_S = 120

S = 1_000_000_000
T0 = 1_767_225_600 * S
HOSTS = ["10.0.0.1", "10.0.0.2", "192.0.2.1", "192.0.2.2", "198.51.100.7"]
REFUSALS = (RuntimeError, ValueError, TypeError, OverflowError, AttributeError, FastmonError, MemoryError, NotImplementedError)
"""What a call that makes no sense may raise, apart from the outcomes that tests of single calls demand."""


def frame(number: int, ts_ns: int) -> Frame:
    """Return one of a few frames of a few conversations."""
    src, dst = HOSTS[number % len(HOSTS)], HOSTS[number // 3 % len(HOSTS)]
    upper = [b.udp(1024 + number % 3, 53, b"question %d" % number), b.tcp(5000, 80, b"GET /", flags=[2, 16, 17, 4][number % 4])]
    packet = b.ipv4(src, dst, upper[number % 2], protocol=[b.UDP, b.TCP][number % 2])
    data = [b.ethernet(b.IPV4, packet), b.ethernet(b.ARP, bytes(28)), b.ethernet(b.IPV4, packet)[:30]]
    return Frame(ts_ns, 60 + number * 7, 1, data[2 if number % 11 == 10 else 1 if number % 7 == 6 else 0])


TIMES = [0, 1, 2, 5, 3, 4, 30, 31, 8, 9, 40, 400, 401, 390, 500, -5, 501, 502, 700, 1400]
FRAMES = [frame(number, T0 + seconds * S) for number, seconds in enumerate(TIMES * 2)]


def captures() -> dict[str, bytes]:
    """Return capture files of all kinds, whole and damaged."""
    plain, pcapng = b.pcap_file(FRAMES), b.PcapngFile()
    pcapng.interface()
    for one in FRAMES:
        pcapng.packet(one)
    return {
        "plain": plain,
        "long": plain + b"".join(b.pcap_file([one])[24:] for one in FRAMES * 60),
        "swapped": b.pcap_file(FRAMES, byte_order=">"),
        "pcapng": bytes(pcapng),
        "gzip": gzip.compress(plain),
        "cut": plain[:-7],
        "cut gzip": gzip.compress(plain)[:-20],
        "damaged": plain[:900] + b"\xff" * 40 + plain[940:],
        "empty": plain[:24],
        "none": b"",
        "text": b"no capture at all, but long enough for one",
    }


class Lying:
    """A stream that gives out a file in pieces, and now and then something else."""

    def __init__(self, file: bytes, lies: Sequence[object]) -> None:
        self._pieces = [file[start : start + 500] for start in range(0, len(file), 500)]
        self._lies = list(lies)
        self.user: Callable[[], object] = lambda: None

    def read(self, n_bytes: int) -> Any:
        if self._lies:
            lie = self._lies.pop()
            if lie == "use":
                self.user()
            elif lie == "raise":
                raise KeyError("a stream's own error")
            elif lie == "much":
                return bytes(n_bytes + 1)
            elif lie != "go on":
                return lie
        return self._pieces.pop(0) if self._pieces else b""


class Descriptor:
    """A file's descriptor, for as long as somebody has this."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDONLY)

    def fileno(self) -> int:
        return self._fd

    def __del__(self) -> None:
        os.close(self._fd)


@dataclass
class Source:
    """A capture or reader, and its twin for the reference accountant; None if there can be none."""

    native: Any
    twin: Any


@dataclass
class Target:
    """An accountant, and its twin as long as nothing happened that only one of them can."""

    native: NativeAccountant
    twin: Any
    has_conversations: bool


class Refused(NamedTuple):
    """A call that raised."""

    error: Exception


def attempt(call: Callable[[], Any]) -> Any:
    """Return what a call returns, or `Refused`."""
    try:
        return call()
    except (*REFUSALS, KeyError) as error:
        return Refused(error)


def described(value: Any) -> Any:
    """Return what the two engines must agree on in a call's result."""
    if isinstance(value, Refused):
        return "refused"
    if isinstance(value, Snapshot):
        macs = (
            None if value.macs is None else sorted(zip(map(bytes, value.hosts["key"].tolist()), value.macs.tolist(), strict=True))
        )
        apps = sorted((bytes(value.hosts["key"][app["host"]]), *app.tolist()[1:]) for app in value.apps)
        services = sorted((bytes(value.hosts["key"][service["host"]]), *service.tolist()[1:]) for service in value.services)
        others = (value.app_totals.tolist(), value.unknown_ports.tolist(), value.conversations, services, value.services_overflow)
        return (value.interval, value.counters, rows(value), macs, apps, *others)
    if isinstance(value, np.ndarray):
        n_token_bytes = 8 if value.dtype == CONVERSATION_DTYPE else 0
        return [row.tobytes()[n_token_bytes:] for row in value]
    if isinstance(value, list | tuple) and not hasattr(value, "_fields"):
        return [described(one) for one in value]
    if hasattr(value, "token"):
        return value._replace(token=0)
    return value


def with_keys(target: Any, found: np.ndarray) -> list[tuple[Any, ...]]:
    """Return rows with the keys of their hosts, whose order may differ."""
    keys = [bytes(key) for key in target.totals(Interval(0, 1)).hosts["key"].tolist()]
    return sorted((keys[host], *numbers) for host, *numbers in found.tolist() if host < len(keys))


def checked(value: Any) -> Any:
    """Check that the sums of a snapshot hold."""
    for snapshot in value if isinstance(value, tuple) else (value,):
        if isinstance(snapshot, Snapshot):
            assert_conserved(snapshot)
            snapshot.check_conservation()
            assert not snapshot.hosts.flags.writeable
    return value


# Arguments: mostly such as make sense.

ODD = st.sampled_from(
    [-1, 1 << 31, 1 << 32, (1 << 63) - 1, 1 << 63, 1 << 64, -(1 << 63), -(1 << 63) - 1, 10**30, None, "3", 2.5, b""]
)
INDEX = st.integers(0, 3)
NUMBER = st.one_of(st.integers(0, 50), st.integers(0, 3000), ODD)
TIME = st.one_of(st.none(), st.sampled_from([T0 + seconds * S for seconds in TIMES]), st.integers(T0 - S, T0 + 2000 * S), ODD)
BACKSTEP = st.one_of(st.none(), st.sampled_from([0, S, 2 * S, 10 * S, 100 * S]), ODD)
WINDOW = st.one_of(st.sampled_from([1, S, 10 * S, 1000 * S]), ODD)
BYTE = st.one_of(st.integers(0, 255), ODD)
END = st.one_of(st.integers(0, 2000).map(lambda seconds: T0 + seconds * S), ODD)
ODD_FRAMES = [
    Frame(T0, 60, 1, None),  # type: ignore[arg-type]
    Frame(T0, -1, 1, b""),
    Frame(T0, 60, 1 << 40, b""),
    Frame(1 << 63, 60, 1, b""),
    Frame(T0, 60, 1, "text"),  # type: ignore[arg-type]
    Frame(-(1 << 62), (1 << 32) - 1, 65535, bytes(70_000)),
    None,
]

CALLS = st.one_of(
    st.tuples(st.just("drain"), INDEX, INDEX, NUMBER, TIME, BACKSTEP),
    st.tuples(st.just("drain"), INDEX, INDEX, st.integers(1, 100), st.none(), st.none()),
    st.tuples(st.just("drain"), INDEX, INDEX, st.integers(1, 5000), TIME, BACKSTEP),
    st.tuples(st.just("account"), INDEX, st.integers(0, len(FRAMES) - 1)),
    st.tuples(st.just("merge"), INDEX, INDEX),
    st.tuples(st.just("account"), INDEX, st.integers(-len(ODD_FRAMES), len(FRAMES) - 1)),
    st.tuples(st.just("merge"), INDEX, INDEX),
    st.tuples(st.just("rotate"), INDEX, END),
    st.tuples(st.just("totals"), INDEX, END),
    st.tuples(st.just("finish"), INDEX, END),
    st.tuples(st.just("take"), INDEX, st.sampled_from(["conversations", "packets", "limit_crossings", "payloads", "contacts"])),
    st.tuples(st.just("label"), INDEX, st.integers(0, 5), BYTE, BYTE),
    st.tuples(st.just("label_token"), INDEX, st.one_of(st.integers(0, (1 << 64) - 1), ODD)),
    st.tuples(st.just("set_allowance"), INDEX, st.one_of(st.integers(0, 2000), ODD)),
    st.tuples(st.just("set_pauses"), INDEX, st.booleans()),
    st.tuples(st.just("use_matchers"), INDEX, st.booleans()),
    st.tuples(
        st.just("expect"),
        INDEX,
        BYTE,
        st.one_of(st.sampled_from(HOSTS).map(b.host), ODD),
        st.one_of(st.integers(0, 99), ODD),
        TIME,
    ),
    st.tuples(st.just("take_names"), INDEX, st.booleans()),
    st.tuples(st.just("begin_phase"), INDEX),
    st.tuples(st.just("end_conversations"), INDEX),
    st.tuples(st.just("fanout"), INDEX, TIME, WINDOW),
    st.tuples(st.just("openings"), INDEX),
    st.tuples(st.just("peers"), INDEX, st.one_of(st.integers(0, len(HOSTS)), ODD), TIME),
    st.tuples(st.just("note_unanswered"), INDEX, TIME),
    st.tuples(st.just("look"), INDEX, INDEX),
    st.tuples(st.just("read"), INDEX, st.one_of(st.integers(0, 40), ODD), TIME, TIME),
    st.tuples(st.just("close"), INDEX),
    st.tuples(
        st.just("callback"), INDEX, st.sampled_from(["rotate_as", "totals_as", "finish_as", "take_payloads_as"]), st.booleans()
    ),
    st.tuples(st.just("format"), INDEX, st.integers(0, 255)),
)


class ApiMachine(RuleBasedStateMachine):
    """A few accountants and sources, to which anything happens."""

    folder: Path

    def __init__(self) -> None:
        super().__init__()
        self.targets: list[Target] = []
        self.sources: list[Source] = []
        self.tokens: list[tuple[int, int, int]] = []

    @initialize(seed=st.integers(0, 2**64 - 1))
    def begin(self, seed: int) -> None:
        self.add_target(
            max_conversations=20, keep_conversations=True, keep_contacts=True, local_networks=["10.0.0.0/8"], seed=seed
        )
        self.add_source("plain", None)

    # Objects.

    @rule(
        max_hosts=st.sampled_from([1, 2, 4, 100]),
        max_conversations=st.sampled_from([0, 1, 5, 20, 20, 20]),
        limit_bytes=st.sampled_from([0, 0, 100, 1000]),
        packet_log=st.booleans(),
        keep_contacts=st.booleans(),
        max_services=st.sampled_from([1, 3, 1000]),
        max_services_per_role=st.sampled_from([1, 2, 256]),
        max_sketches=st.sampled_from([1, 2, 100]),
        inner=st.booleans(),
        networks=st.sampled_from([[], ["10.0.0.0/8"], ["0.0.0.0/0", "::/0"]]),
    )
    def new_target(self, networks: list[str], **options: Any) -> None:
        self.add_target(local_networks=networks, keep_conversations=True, seed=3, **options)

    def add_target(self, **options: Any) -> None:
        tables = AppTables(tcp_ports=bytes(80) + b"\x07" + bytes(65455))
        native, twin = (make_accountant(engine, applications=tables, **options) for engine in ("native", "reference"))
        assert isinstance(native, NativeAccountant)
        self.put(self.targets, Target(native, twin, options.get("max_conversations", 0) > 0))

    @rule(name=st.sampled_from(sorted(captures())), filter=st.sampled_from([None, None, "ip", "no such filter", "ip\0", "tcp"]))
    def new_source(self, name: str, filter: str | None) -> None:
        self.add_source(name, filter)

    def add_source(self, name: str, filter: str | None) -> None:
        opened = [attempt(lambda: open_offline(str(self.folder / name), filter=filter)) for _ in range(2)]
        assert isinstance(opened[0], Refused) == isinstance(opened[1], Refused)
        if not isinstance(opened[0], Refused):
            self.put(self.sources, Source(*opened))

    @rule(
        name=st.sampled_from(["plain", "pcapng", "cut", "text"]),
        lies=st.lists(st.sampled_from(["go on", "go on", None, "much", 3, "text", "use", "raise"]), max_size=4),
        index=INDEX,
    )
    def new_stream(self, name: str, lies: list[object], index: int) -> None:
        stream = Lying((self.folder / name).read_bytes(), lies)
        reader = SavefileReader(-1, "stream", stream=stream)
        target = self.targets[index % len(self.targets)].native
        stream.user = lambda: [attempt(use) for use in (reader.close, lambda: reader.read(1), lambda: target.drain(reader, 1))]
        self.put(self.sources, Source(reader, None))

    @rule(name=st.sampled_from(["plain", "cut", "text"]), method=st.sampled_from(["reading", "mapping", "prefetching", "?", 3]))
    def new_reader(self, name: str, method: Any) -> None:
        reader = attempt(lambda: SavefileReader(Descriptor(self.folder / name), name, method=method))
        if not isinstance(reader, Refused):
            self.put(self.sources, Source(reader, None))

    @rule(name=st.sampled_from(["plain", "empty"]))
    def new_live_reader(self, name: str) -> None:
        """Libpcap reads a file as it does an interface."""
        self.put(self.sources, Source(LiveReader(PypcapHandle(pcap.pcap(str(self.folder / name))), name), None))

    @staticmethod
    def put(objects: list[Any], new: Any) -> None:
        objects.append(new)
        if len(objects) > 4:
            del objects[0]
            gc.collect(0)

    # Calls.

    @rule(call=CALLS)
    def one_call(self, call: tuple[Any, ...]) -> None:
        getattr(self, f"call_{call[0]}")(*call[1:])
        if call[0] == "finish" and call[1] > 0:  # most scenarios should go on with one that can be used
            del self.targets[call[1] % len(self.targets)]
            self.add_target(max_conversations=20, keep_conversations=True, seed=call[1])

    @rule(calls=st.lists(st.lists(CALLS, min_size=1, max_size=6), min_size=2, max_size=3))
    def calls_in_threads(self, calls: list[list[tuple[Any, ...]]]) -> None:
        """Nobody knows in which order: from here on only sums are checked of what is left."""
        if not self.targets or not self.sources:
            return
        for target in self.targets:
            target.twin = None
        for source in self.sources:
            source.twin = None
        errors: list[Exception] = []
        barrier = threading.Barrier(len(calls))

        def run(own: list[tuple[Any, ...]]) -> None:
            barrier.wait(HANG_S)
            try:
                for name, *arguments in own:
                    getattr(self, f"call_{name}")(*arguments)
            except Exception as error:  # noqa: BLE001 - it is raised again in the test's thread
                errors.append(error)

        threads = [threading.Thread(target=run, args=(own,), daemon=True) for own in calls]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(HANG_S)
            assert not thread.is_alive(), f"{calls} hang"
        if errors:
            raise errors[0]

    def target(self, index: int) -> Target:
        return self.targets[index % len(self.targets)]

    def source(self, index: int) -> Source:
        return self.sources[index % len(self.sources)]

    def both(self, target: Target, native: Callable[[Any], Any], *, twin: Callable[[Any], Any] | None = None) -> Any:
        """Call both halves, and compare what comes of it; where the native one refused an argument, the other is not asked."""
        found = checked(attempt(lambda: native(target.native)))
        if target.twin is None:
            return found
        if isinstance(found, Refused) and not isinstance(found.error, (RuntimeError, FastmonError)):
            return found
        expected = attempt(lambda: (twin or native)(target.twin))
        assert described(found) == described(expected), (found, expected)
        return found, expected

    def call_drain(self, index: int, source_index: int, max_frames: Any, until_ns: Any, max_backstep_ns: Any) -> None:
        target, source = self.target(index), self.source(source_index)
        if source.twin is None or target.twin is None:
            target.twin = source.twin = None
        with_limits = (max_frames, until_ns, max_backstep_ns)
        self.both(
            target,
            lambda native: native.drain(source.native, *with_limits),
            twin=lambda twin: twin.drain(source.twin, *with_limits),
        )

    def call_account(self, index: int, number: int) -> None:
        one = FRAMES[number] if number >= 0 else ODD_FRAMES[number]
        self.both(self.target(index), lambda each: each.account(one))

    def call_merge(self, index: int, other_index: int) -> None:
        target, other = self.target(index), self.target(other_index)
        if target.twin is None or other.twin is None:
            target.twin = other.twin = None
        self.both(target, lambda each: each.merge(other.native), twin=lambda each: each.merge(other.twin))

    def call_rotate(self, index: int, end_ns: Any) -> None:
        self.both(self.target(index), lambda each: each.rotate(Interval(T0, end_ns)))

    def call_totals(self, index: int, end_ns: Any) -> None:
        self.both(self.target(index), lambda each: each.totals(Interval(T0, end_ns)))

    def call_finish(self, index: int, end_ns: Any) -> None:
        self.both(self.target(index), lambda each: each.finish(Interval(T0, end_ns), Interval(0, end_ns)))

    def call_take(self, index: int, what: str) -> None:
        pair = self.both(self.target(index), lambda each: getattr(each, f"take_{what}")())
        if what == "payloads" and isinstance(pair, tuple) and not isinstance(pair, Refused):
            number = index % len(self.targets)
            self.tokens += [(id(self.targets[number]), one.token, other.token) for one, other in zip(*pair, strict=True)]

    def call_label(self, index: int, number: int, app: Any, wanted: Any) -> None:
        target = self.target(index)
        tokens = [tokens for target_id, *tokens in self.tokens if target_id == id(target)]
        if tokens:
            native, twin = tokens[-1 - number % len(tokens)]
            self.both(target, lambda each: each.label(native, app, wanted), twin=lambda each: each.label(twin, app, wanted))

    def call_label_token(self, index: int, token: Any) -> None:
        """Label a conversation with a token of nobody's, or of a conversation by chance."""
        target = self.target(index)
        if attempt(lambda: target.native.label(token, 1, 1)) is True:
            target.twin = None

    def call_set_allowance(self, index: int, n_payloads: Any) -> None:
        self.both(self.target(index), lambda each: setattr(each, "payload_allowance", n_payloads))

    def call_set_pauses(self, index: int, value: bool) -> None:
        self.both(self.target(index), lambda each: setattr(each, "pauses", value))

    def call_use_matchers(self, index: int, keep_details: bool) -> None:
        """The twin has none, so the native half leaves it other payloads, and labels conversations itself."""
        target = self.target(index)
        target.twin = None
        attempt(lambda: target.native.use_matchers(MATCHERS, keep_details))

    def call_expect(self, index: int, protocol: Any, host: Any, port: Any, ts_ns: Any) -> None:
        self.both(self.target(index), lambda each: each.expect(protocol, host, port, ts_ns))

    def call_take_names(self, index: int, all_sights: bool) -> None:
        target = self.target(index)
        attempt(lambda: target.native.take_names(all_sights=all_sights))
        attempt(lambda: target.native.names_dropped)

    def call_begin_phase(self, index: int) -> None:
        self.both(self.target(index), lambda each: each.begin_phase())

    def call_end_conversations(self, index: int) -> None:
        self.both(self.target(index), lambda each: each.end_conversations())

    def call_fanout(self, index: int, now_ns: Any, window_ns: Any) -> None:
        for probes in (False, True):
            self.both(self.target(index), lambda each: with_keys(each, each.fanout(now_ns, window_ns, probes=probes)))  # noqa: B023 - called at once

    def call_note_unanswered(self, index: int, now_ns: Any) -> None:
        self.both(self.target(index), lambda each: each.note_unanswered(now_ns))

    def call_peers(self, index: int, n_hosts: Any, now_ns: Any) -> None:
        keys = n_hosts
        if isinstance(n_hosts, int) and 0 <= n_hosts <= len(HOSTS):
            keys = np.frombuffer(b"".join(map(b.host, HOSTS[:n_hosts])), np.uint8).reshape(-1, 16)
        self.both(self.target(index), lambda each: peers(each, keys, now_ns))

    def call_openings(self, index: int) -> None:
        self.both(self.target(index), lambda each: with_keys(each, each.openings()))

    def call_look(self, index: int, source_index: int) -> None:
        names = ["first_ts_ns", "last_ts_ns", "newest_ts_ns", "packets_dropped", "contacts_dropped", "sketches_evicted"]
        self.both(self.target(index), lambda each: [getattr(each, name) for name in names])
        source = self.source(source_index).native
        for name in ("next_ts_ns", "exhausted", "position_bytes", "warnings", "n_records", "closed", "name", "link_type"):
            attempt(lambda name=name: getattr(source, name))  # type: ignore[misc]

    def call_read(self, index: int, max_frames: Any, until_ns: Any, from_ns: Any) -> None:
        source = self.source(index)
        found = attempt(lambda: source.native.read(max_frames, until_ns, from_ns))
        if source.twin is not None:
            expected = attempt(lambda: source.twin.read(max_frames, until_ns, from_ns))
            assert found == expected or (isinstance(found, Refused) and type(found.error) is type(expected.error))

    def call_close(self, index: int) -> None:
        source = self.source(index)
        for half in (source.native, source.twin):
            if half is not None:
                attempt(half.close)

    def call_callback(self, index: int, method: str, fails: bool) -> None:
        target = self.target(index)

        def make(*_: object) -> object:
            for use in (target.native.end_conversations, lambda: target.native.account(FRAMES[0]), target.native.take_payloads):
                assert isinstance(attempt(use), Refused)
            if fails:
                raise MemoryError
            return None

        if method != "totals_as":  # it alone changes nothing
            target.twin = None
        arguments = (T0, make) if method == "rotate_as" else (make,)
        attempt(lambda: getattr(target.native, method)(*arguments))

    def call_format(self, index: int, status: int) -> None:
        records = np.zeros(index, PACKET_DTYPE)
        records["status"] = status
        for function in (format_packets, lambda rows: format_addresses(rows, True)):
            attempt(lambda function=function: function(records))  # type: ignore[misc]

    def teardown(self) -> None:
        for target in self.targets:
            self.both(target, lambda each: each.finish(Interval(T0, T0 + S), Interval(T0, T0 + S)))
        for source in self.sources:
            for half in (source.native, source.twin):
                if half is not None:
                    half.close()


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    for name, data in captures().items():
        (tmp_path / name).write_bytes(data)
    yield tmp_path
    with suppress(OSError):
        gc.collect()


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("first", range(0, N_SCENARIOS, AT_ONCE))
def test_any_calls_in_any_order(folder: Path, monkeypatch: pytest.MonkeyPatch, first: int) -> None:
    monkeypatch.setattr("fastmon.accounting.SKETCH_SEED", 0)  # no two of the peers and services share a cell

    class Machine(ApiMachine):
        pass

    Machine.folder = folder
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=min(AT_ONCE, N_SCENARIOS - first),
            stateful_step_count=N_STEPS,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=(Phase.generate, Phase.shrink),
            database=None,
        ),
    )
