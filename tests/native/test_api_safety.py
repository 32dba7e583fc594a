"""Calls that once crashed the interpreter, hung or read foreign memory: each is refused now, and changes nothing."""

from __future__ import annotations

import gc
import gzip
import os
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar

import builders as b
import numpy as np
import pcap
import pytest
from replays import EVER, finish
from snapshot_checks import rows
from waiting import wait_until

from fastmon import _accounting
from fastmon.accounting import NativeAccountant, make_accountant
from fastmon.capture import open_offline
from fastmon.errors import CaptureError, ClosedCaptureError, ConfigError
from fastmon.model.addresses import parse_network
from fastmon.model.frames import Frame, FrameStatus
from fastmon.model.packets import PACKET_DTYPE
from fastmon.native import decoder
from fastmon.native.exclusive import Exclusive
from fastmon.native.live_handle import Handle
from fastmon.native.live_reader import LiveReader
from fastmon.native.packet_text import format_addresses, format_packets
from fastmon.native.pypcap_handle import PypcapHandle
from fastmon.native.readers import Reader, SavefileReader
from fastmon.run.inspection import native_matchers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fastmon.accounting import Accountant

RAW = 101
FRAME = Frame(1_767_225_600_000_000_000, 100, RAW, b.ipv4("10.0.0.1", "192.0.2.1", b.udp(1, 53, b"a question")))
FILE = b.pcap_file([FRAME] * 3, link_type=RAW)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "x.pcap").write_bytes(FILE)
    return tmp_path / "x.pcap"


def n_frames(target: Accountant) -> int:
    return finish(target).counters.frames.frames


class TestMerge:
    def test_with_other_options(self, accountant: Callable[..., Accountant]) -> None:
        target, other = accountant(max_conversations=16), accountant()
        for one in (target, other):
            one.account(FRAME)
        for pair in ((target, other), (other, target)):
            with pytest.raises(ValueError, match="with and without conversations cannot be merged"):
                pair[0].merge(pair[1])
        assert (n_frames(target), n_frames(other)) == (1, 1)

    def test_with_itself(self, accountant: Callable[..., Accountant]) -> None:
        target = accountant()
        target.account(FRAME)
        with pytest.raises(ValueError, match="cannot be merged into itself"):
            target.merge(target)
        assert n_frames(target) == 1

    def test_of_a_finished_one(self, accountant: Callable[..., Accountant]) -> None:
        target, other = accountant(), accountant()
        other.finish(EVER, EVER)
        for pair in ((target, other), (other, target)):
            with pytest.raises(RuntimeError, match="has finished"):
                pair[0].merge(pair[1])

    def test_of_something_else(self) -> None:
        for other in (None, make_accountant("reference"), object()):
            with pytest.raises(TypeError):
                make_accountant().merge(other)  # type: ignore[arg-type]


class TestSources:
    @pytest.mark.parametrize("source", [None, object(), 3, "x.pcap", SimpleNamespace(reader=None), SimpleNamespace(reader=3)])
    def test_what_is_no_reader(self, source: Any) -> None:
        with pytest.raises(TypeError):
            make_accountant().drain(source, 1)

    def test_reader_without_a_source(self) -> None:
        with pytest.raises(NotImplementedError):
            make_accountant().drain(Reader(), 1)  # type: ignore[arg-type]

    def test_closed_while_another_accountant_waits_to_drain_it(self, path: Path) -> None:
        source = open_offline(str(path))
        reader = source.reader
        source.close()
        for target in (make_accountant(), make_accountant()):
            with pytest.raises(ClosedCaptureError):
                target.drain(reader, 1)  # type: ignore[arg-type]

    def test_two_readers_of_one_handle(self, path: Path) -> None:
        handle = PypcapHandle(pcap.pcap(str(path)))
        first = LiveReader(handle, "x")
        with pytest.raises(ClosedCaptureError, match="the handle has a reader"):
            LiveReader(handle, "x")
        with pytest.raises(RuntimeError, match="has a reader"):
            handle.close()
        first.close()
        second = LiveReader(handle, "x")
        assert len(second.read(10)) == 3
        del second
        gc.collect()
        LiveReader(handle, "x")

    def test_two_handles_of_one_object(self, path: Path) -> None:
        source = pcap.pcap(str(path))
        first = PypcapHandle(source)
        with pytest.raises(ClosedCaptureError, match="in use"):
            PypcapHandle(source)
        first.close()
        second = PypcapHandle(source)  # pypcap's object is closed
        del first
        gc.collect()
        with pytest.raises(ClosedCaptureError, match="in use"):
            PypcapHandle(source)
        with pytest.raises(ClosedCaptureError, match="is closed"):
            _ = second.fd

    @pytest.mark.parametrize("kind", [Handle, lambda: PypcapHandle(pcap.pcap.__new__(pcap.pcap))])
    def test_handle_that_was_never_opened(self, kind: Callable[[], Handle]) -> None:
        handle = kind()
        for call in (
            lambda: handle.fd,
            lambda: handle.link_type,
            lambda: handle.set_filter("tcp"),
            lambda: handle.set_direction(1),
            handle.statistics,
        ):
            with pytest.raises(ClosedCaptureError, match="is closed"):
                call()
        handle.close()
        handle.close()

    @pytest.mark.parametrize("text", ["tcp\0", "\0", "ip and \0 or tcp"])
    def test_filter_with_a_nul_character(self, path: Path, text: str) -> None:
        """Libpcap reads up to it, and would let through what the rest forbids."""
        with path.open("rb") as file, pytest.raises(ConfigError, match="NUL"):
            SavefileReader(file, "x", filter=text)

    def test_arguments_of_a_reader(self, path: Path) -> None:
        with path.open("rb") as file:
            for arguments in ({"head": None}, {"method": 3}, {"method": "guessing"}, {"filter": 3}, {"stream": object()}):
                with pytest.raises((TypeError, ValueError, AttributeError)):
                    SavefileReader(file, "x", **arguments).open()
            for name in (None, 3):
                with pytest.raises(TypeError):
                    SavefileReader(file, name)  # type: ignore[arg-type]
        for wrong in (None, object(), "x", 1 << 70, -(1 << 70)):
            with pytest.raises((TypeError, AttributeError, OverflowError)):
                SavefileReader(wrong, "x")  # type: ignore[arg-type]

    def test_reader_keeps_the_descriptor_of_a_capture_that_is_dropped(self, path: Path, tmp_path: Path) -> None:
        """Else the next file that is opened would have its number."""
        reader = open_offline(str(path)).reader
        gc.collect()
        with (tmp_path / "other").open("wb"):
            assert make_accountant().drain(reader, 10) == 3  # type: ignore[arg-type]


class LyingStream:
    """A stream that gives out what it is told to, whatever was asked for."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)

    def read(self, n_bytes: int) -> Any:
        answer = self.answers.pop(0) if self.answers else b""
        return answer(n_bytes) if callable(answer) else answer


class TestStreams:
    @pytest.mark.parametrize(
        "answer",
        [lambda n: bytes(n + 1), lambda n: bytes(2 * n + 1000), "text", 3, -5, bytearray(10), memoryview(FILE), object()],
    )
    def test_wrong_answers(self, answer: Any) -> None:
        reader = SavefileReader(-1, "x", stream=LyingStream(FILE[:50], answer))
        with pytest.raises(TypeError, match="x: the stream's read must return None or at most"):
            make_accountant().drain(reader, 10)  # type: ignore[arg-type]

    def test_frames_before_a_wrong_answer_stay_accounted(self) -> None:
        target = make_accountant()
        reader = SavefileReader(-1, "x", stream=LyingStream(FILE, 3))
        with pytest.raises(TypeError):
            target.drain(reader, 10)  # type: ignore[arg-type]
        assert reader.n_records == 3
        assert n_frames(target) == 3

    def test_stream_that_uses_its_reader(self) -> None:
        caught: list[Exception] = []

        def use_reader(_: int) -> bytes:
            for use in (reader.open, reader.close, reader.link_types, lambda: reader.read(1), lambda: reader.next_ts_ns):
                with pytest.raises(RuntimeError, match="the capture is in use") as error:
                    use()
                caught.append(error.value)
            with pytest.raises(RuntimeError, match="the accountant is in use"):
                target.drain(reader, 1)  # type: ignore[arg-type]
            return FILE

        target = make_accountant()
        reader = SavefileReader(-1, "x", stream=LyingStream(use_reader))
        assert target.drain(reader, 10) == 3  # type: ignore[arg-type]
        assert len(caught) == 5

    def test_stream_that_raises(self) -> None:
        def fail(_: int) -> bytes:
            raise KeyError("no")

        target = make_accountant()
        reader = SavefileReader(-1, "x", stream=LyingStream(FILE[:80], fail, FILE[80:]))
        with pytest.raises(KeyError):
            target.drain(reader, 10)  # type: ignore[arg-type]
        assert target.drain(reader, 10) == 2  # type: ignore[arg-type]
        assert n_frames(target) == 3

    def test_is_stopped_that_uses_the_reader(self) -> None:
        def is_stopped() -> bool:
            reader.close()
            return True

        reader = SavefileReader(-1, "x", stream=LyingStream(None))
        with pytest.raises(RuntimeError, match="in use"):
            reader.open(is_stopped)


class TestFrames:
    @pytest.mark.parametrize("data", [None, "text", 3, [1, 2], np.zeros(3, np.uint16), np.zeros((3, 3), np.uint8)[:, 0]])
    def test_data_that_are_no_bytes(self, data: Any) -> None:
        target = make_accountant(max_conversations=10, packet_log=True)
        with pytest.raises((TypeError, ValueError)):
            target.account(Frame(0, 1, RAW, data))
        with pytest.raises((TypeError, ValueError)):
            decoder.decode(RAW, data)
        assert n_frames(target) == 0

    @pytest.mark.parametrize(
        ("name", "value"),
        [("wire_len", -1), ("wire_len", 1 << 32), ("link_type", -1), ("link_type", 1 << 32)]
        + [("ts_ns", value) for value in (1 << 63, (1 << 63) - 1, -(1 << 63), -(1 << 63) - 1, 10**30)],
    )
    def test_numbers_out_of_range(self, name: str, value: int, accountant: Callable[..., Accountant]) -> None:
        target = accountant()
        numbers = {"ts_ns": 0, "wire_len": 1, "link_type": RAW} | {name: value}
        with pytest.raises(OverflowError):
            target.account(Frame(**numbers, data=FRAME.data))
        assert target.first_ts_ns is None
        assert n_frames(target) == 0

    def test_frame_that_has_more_than_4_gib(self) -> None:
        """Its length would be taken for that of the few bytes above 4 GiB."""
        data = np.lib.stride_tricks.as_strided(np.zeros(1, np.uint8), ((1 << 32) + 20,), (0,))
        with pytest.raises((ValueError, MemoryError)):
            make_accountant().account(Frame(0, 1, RAW, data))  # type: ignore[arg-type]

    @pytest.mark.parametrize("number", [1 << 63, -(1 << 63) - 1, 10**30])
    def test_numbers_of_a_drain(self, path: Path, number: int) -> None:
        with open_offline(str(path)) as source:
            with pytest.raises(OverflowError):
                make_accountant().drain(source, number)
            with pytest.raises(OverflowError):
                source.read(number)

    def test_times_out_of_range_are_the_nearest_ones(self, path: Path) -> None:
        for until_ns, expected in ((10**30, 3), (1 << 63, 3), (-(10**30), 0), (-(1 << 63) - 1, 0)):
            with open_offline(str(path)) as source:
                assert make_accountant().drain(source, 10, until_ns) == expected
        with open_offline(str(path)) as source:
            assert make_accountant().drain(source, 10, None, 10**30) == 3
            with pytest.raises(ValueError, match="max_backstep_ns must be 0 or more, not -1"):
                make_accountant().drain(source, 10, None, -1)

    def test_numbers_of_frames_below_0(self, path: Path, accountant: Callable[..., Accountant]) -> None:
        with open_offline(str(path)) as source:
            for number in (0, -1, -(1 << 62)):
                assert accountant().drain(source, number) == 0
                assert source.read(number) == []


class TestOptions:
    @pytest.mark.parametrize(
        "tables",
        [
            {"protocols": bytes(255)},
            {"tcp_ports": b""},
            {"udp_ports": bytes(65537)},
            {"protocols": None},
            {"udp_ports": 3},
        ],
    )
    @pytest.mark.parametrize("engine", ["native", "reference"])
    def test_tables_of_applications_that_are_too_short(self, engine: str, tables: dict[str, Any]) -> None:
        given = {"protocols": bytes(256), "tcp_ports": bytes(65536), "udp_ports": bytes(65536)} | tables
        with pytest.raises((ConfigError, TypeError, ValueError)):
            make_accountant(engine, max_conversations=3, applications=SimpleNamespace(**given))  # type: ignore[arg-type]

    @pytest.mark.parametrize(
        "options",
        [
            {"max_hosts": 0},
            {"max_hosts": 1 << 31},
            {"max_hosts": 1 << 40},
            {"max_conversations": -1},
            {"max_conversations": 1 << 31},
            {"limit_bytes": -1},
            {"networks": [(b"", b"")]},
            {"networks": [(bytes(16), bytes(15))]},
            {"networks": [(None, None)]},
            {"networks": [3]},
            {"networks": 3},
            {"max_conversations": 1, "app_tables": 3},
            {"max_conversations": 1, "app_tables": (bytes(256), bytes(65536))},
            {"max_conversations": 1, "app_tables": (bytes(256), bytes(65535), bytes(65536))},
            {"max_conversations": 1, "app_tables": (None, None, None)},
            {"max_conversations": 1, "app_tables": (bytes(256), "x" * 65536, bytes(65536))},
            {"seed": -1},
            {"seed": 1 << 64},
            {"seed": None},
            {"max_hosts": None},
        ],
    )
    def test_of_the_native_half(self, options: dict[str, Any]) -> None:
        with pytest.raises((ValueError, TypeError, OverflowError)):
            NativeAccountant(**({"seed": 0} | options))
        gc.collect()

    def test_networks_that_grow_while_they_are_counted(self) -> None:
        class Growing(list[tuple[bytes, bytes]]):
            def __len__(self) -> int:
                return 1

            def __iter__(self) -> Iterator[tuple[bytes, bytes]]:
                return iter([(bytes(16), bytes(16))] * 10_000)

        NativeAccountant(seed=0, networks=Growing()).account(FRAME)

    @pytest.mark.parametrize(
        ("engine", "message"), [("refrence", "engine must be one of native, reference, not 'refrence'"), ("", "engine")]
    )
    def test_engine_that_there_is_not(self, engine: str, message: str) -> None:
        with pytest.raises(ConfigError, match=message):
            make_accountant(engine)

    @pytest.mark.parametrize("engine", ["native", "reference"])
    @pytest.mark.parametrize("name", ["max_hosts", "limit_bytes", "max_conversations", "seed"])
    @pytest.mark.parametrize("value", [2.5, "5", float("nan"), True, b"5"])
    def test_numbers_that_are_not_whole(self, engine: str, name: str, value: Any) -> None:
        with pytest.raises(ConfigError, match=f"{name} must be a whole number"):
            make_accountant(engine, **{name: value})

    def test_arguments_of_another_kind(self, path: Path) -> None:
        with pytest.raises(ConfigError, match="local_networks must be a list"):
            make_accountant(local_networks="10.0.0.0/8")
        with pytest.raises(ConfigError, match="applications must be"):
            make_accountant(applications=5)  # type: ignore[arg-type]
        with pytest.raises(ConfigError, match="filter must be a text"):
            open_offline(path, filter=5)  # type: ignore[arg-type]

    def test_numbers_of_conversations(self) -> None:
        target = make_accountant(max_conversations=4)
        for number in (1 << 63, -(1 << 63) - 1, -1):
            with pytest.raises((OverflowError, ValueError)):
                target.payload_allowance = number
        for token in (0, 1, (1 << 64) - 1, 1 << 32):
            assert not target.label(token, 1, 1)
        for wrong in ((-1, 0, 0), (1 << 64, 0, 0), (0, 256, 0), (0, -1, 0), (0, 0, 256), (None, 0, 0)):
            with pytest.raises((OverflowError, TypeError)):
                target.label(*wrong)


class TestPacketText:
    @pytest.mark.parametrize("status", [len(FrameStatus), 9, 100, 255])
    def test_status_out_of_range(self, status: int) -> None:
        records = np.zeros(5, PACKET_DTYPE)
        records["status"][3] = status
        with pytest.raises(ValueError, match=f"record 3 has the status {status}; 0 to 7 are allowed"):
            format_packets(records)
        assert format_addresses(records, False)[0]

    @pytest.mark.parametrize("records", [None, 3, [1], np.zeros(3), np.empty(0), np.zeros(2, PACKET_DTYPE.descr[:-1])])
    def test_what_are_no_records(self, records: Any) -> None:
        for function in (format_packets, lambda records: format_addresses(records, False)):
            with pytest.raises(TypeError, match="packet records are arrays of PACKET_DTYPE, not of "):
                function(records)

    def test_look_alike(self) -> None:
        with pytest.raises(TypeError, match="packet records"):
            format_packets(SimpleNamespace(dtype=PACKET_DTYPE, shape=(5,)))  # type: ignore[arg-type]

    def test_any_shape_and_place_in_memory(self) -> None:
        records = np.zeros(12, PACKET_DTYPE)
        records["wire_len"] = range(12)
        expected = bytes(format_packets(records[::2]))
        assert bytes(format_packets(records[::2].copy())) == expected
        assert bytes(format_packets(records[::2].reshape(2, 3))) == expected
        unaligned = np.frombuffer(b"x" + records[::2].tobytes(), PACKET_DTYPE, offset=1)
        assert bytes(format_packets(unaligned)) == expected

    def test_more_text_than_offsets_can_tell(self) -> None:
        one = np.zeros(1, PACKET_DTYPE)
        many = np.lib.stride_tricks.as_strided(one, (1 << 26,), (0,))
        with pytest.raises((ValueError, MemoryError)):
            format_addresses(many, False)


class TestCallbacks:
    """Functions of Python's side that native code calls: one that fails, or that uses what calls it, changes nothing."""

    USES: ClassVar[dict[str, Callable[[NativeAccountant, Callable[..., Any]], object]]] = {
        "rotate": lambda target, make: target.rotate_as(0, make),
        "finish": lambda target, make: target.finish_as(make),
        "totals": lambda target, make: target.totals_as(make),
        "payloads": lambda target, make: target.take_payloads_as(make),
        "crossings": lambda target, make: target.take_crossings_as(make),
    }

    @staticmethod
    def target() -> NativeAccountant:
        target = make_accountant(max_conversations=10, limit_bytes=10, local_networks=["10.0.0.0/8"], packet_log=True)
        assert isinstance(target, NativeAccountant)
        target.payload_allowance = 10
        target.account(FRAME)
        target.rotate(EVER)
        target.account(FRAME)
        return target

    @pytest.mark.parametrize("use", USES)
    @pytest.mark.parametrize("error", [MemoryError, KeyboardInterrupt])
    def test_that_fails(self, use: str, error: type[BaseException]) -> None:
        def fail(*_: object) -> None:
            raise error

        target, other = self.target(), self.target()
        for _ in range(2):
            with pytest.raises(error):
                self.USES[use](target, fail)
        if use in ("rotate", "finish"):
            other.end_conversations()
        assert target.take_limit_crossings() == other.take_limit_crossings()
        assert len(target.take_payloads()) == len(other.take_payloads()) == 2
        found, expected = target.finish(EVER, EVER), other.finish(EVER, EVER)
        for snapshot, other_snapshot in zip(found, expected, strict=True):
            assert rows(snapshot) == rows(other_snapshot)
            assert snapshot.flagged.tolist() == [True, True]
            assert snapshot.counters == other_snapshot.counters
            assert snapshot.counters.frames.frames in (1, 2)

    @pytest.mark.parametrize("use", USES)
    def test_that_uses_the_accountant(self, use: str) -> None:
        n_refused = 0

        def reenter(*_: object) -> None:
            nonlocal n_refused
            for again in self.USES.values():
                with pytest.raises(RuntimeError, match="the accountant is in use"):
                    again(target, reenter)
                n_refused += 1

        target = self.target()
        self.USES[use](target, reenter)
        assert n_refused >= len(self.USES)

    def test_arrays_of_a_finish_that_failed_outlive_the_accountant(self) -> None:
        kept: list[Any] = []

        def keep(*columns: object) -> None:
            kept.extend(columns)
            raise MemoryError

        target = self.target()
        with pytest.raises(MemoryError):
            target.finish_as(keep)
        del target
        gc.collect()
        assert kept[1]["hosts"].sum() > 0

    @pytest.mark.parametrize("marks", [None, np.zeros((2, 0), np.uint8), np.zeros((1, 1), np.uint8)])
    def test_finish_that_spoils_what_it_was_given_and_fails(self, marks: Any) -> None:
        def spoil(_: object, whole: dict[str, Any]) -> None:
            whole["marks"] = marks
            raise MemoryError

        target, other = self.target(), self.target()
        with pytest.raises(MemoryError):
            target.finish_as(spoil)
        assert target.totals(EVER).flagged.tolist() == other.totals(EVER).flagged.tolist()

    def test_dtypes_of_another_size(self) -> None:
        target = self.target()
        for dtype in (np.dtype("V1"), np.dtype("V97"), np.dtype("V1000")):
            with pytest.raises(TypeError, match="does not fit"):
                target.take_packets_as(dtype)
            with pytest.raises(TypeError, match="does not fit"):
                target.take_conversations_as(dtype)
        assert len(target.take_packets()) == 2


# Threads.


class Slow:
    """A stream that lets nobody read it on before it is told to."""

    def __init__(self) -> None:
        self.is_read = threading.Event()
        self.may_go_on = threading.Event()
        self._n_reads = 0

    def read(self, _: int) -> bytes:
        self._n_reads += 1
        if self._n_reads == 1:
            return FILE
        self.is_read.set()
        assert self.may_go_on.wait(30)
        return b""


@pytest.fixture
def drained() -> Iterator[tuple[NativeAccountant, SavefileReader]]:
    """Return an accountant and the reader that it drains in another thread."""
    stream = Slow()
    target = make_accountant(max_conversations=10)
    assert isinstance(target, NativeAccountant)
    reader = SavefileReader(-1, "x", stream=stream)
    thread = threading.Thread(target=target.drain, args=(reader, 10))
    thread.start()
    assert stream.is_read.wait(30)
    yield target, reader
    stream.may_go_on.set()
    thread.join()
    assert finish(target).counters.frames.frames == 3


ACCOUNTANT_USES: dict[str, Callable[[NativeAccountant], object]] = {
    "account": lambda target: target.account(FRAME),
    "rotate": lambda target: target.rotate(EVER),
    "totals": lambda target: target.totals(EVER),
    "finish": lambda target: target.finish(EVER, EVER),
    "merge into": lambda target: target.merge(make_accountant(max_conversations=1)),  # type: ignore[arg-type]
    "merge from": lambda target: make_accountant(max_conversations=1).merge(target),
    "label": lambda target: target.label(0, 0, 0),
    "end_conversations": lambda target: target.end_conversations(),
    "begin_phase": lambda target: target.begin_phase(),
    "take_payloads": lambda target: target.take_payloads(),
    "take_packets": lambda target: target.take_packets(),
    "take_conversations": lambda target: target.take_conversations(),
    "take_limit_crossings": lambda target: target.take_limit_crossings(),
    "take_contacts": lambda target: target.take_contacts(),
    "fanout": lambda target: target.fanout(0, 1),
    "peers": lambda target: target.peers(np.empty((0, 16), np.uint8), 0),
    "openings": lambda target: target.openings(),
    "note_unanswered": lambda target: target.note_unanswered(0),
    "payload_allowance": lambda target: setattr(target, "payload_allowance", 3),
    "pauses": lambda target: setattr(target, "pauses", True),
    "use_matchers": lambda target: target.use_matchers(native_matchers(), keep_details=False),
    "expect": lambda target: target.expect(6, bytes(16), 1, 0),
    "take_names": lambda target: target.take_names(),
    "add_network": lambda target: target.add_local_network(parse_network("192.0.2.0/24")),
    "sights": lambda target: target.sights(),
}
READER_USES: dict[str, Callable[[SavefileReader], object]] = {
    "open": lambda reader: reader.open(),
    "read": lambda reader: reader.read(1),
    "next_ts_ns": lambda reader: reader.next_ts_ns,
    "link_types": lambda reader: reader.link_types(),
    "close": lambda reader: reader.close(),
    "drain": lambda reader: make_accountant().drain(reader, 1),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("use", ACCOUNTANT_USES)
def test_accountant_that_another_thread_uses(drained: tuple[NativeAccountant, SavefileReader], use: str) -> None:
    with pytest.raises(RuntimeError, match="the accountant is in use"):
        ACCOUNTANT_USES[use](drained[0])
    assert (drained[0].first_ts_ns, drained[0].packets_dropped, drained[0].pauses) == (FRAME.ts_ns, 0, False)


@pytest.mark.parametrize("use", READER_USES)
def test_reader_that_another_thread_uses(drained: tuple[NativeAccountant, SavefileReader], use: str) -> None:
    with pytest.raises(RuntimeError, match="the capture is in use"):
        READER_USES[use](drained[1])
    assert not drained[1].closed


def test_every_method_is_refused_in_a_second_thread() -> None:
    """None is missing above."""
    methods = {name for name in vars(_accounting.Accountant) if not name.startswith("__")}
    plain = {"first_ts_ns", "last_ts_ns", "newest_ts_ns", "packets_dropped", "payload_allowance", "pauses", "drain", "merge"}
    plain |= {"contacts_dropped", "names_dropped", "sketches_evicted", "networks", "networks_refused"}
    tested = {name.removesuffix("_as") for name in methods} - plain - {"take_crossings"}
    assert tested <= set(ACCOUNTANT_USES)


def test_capture_that_another_thread_drains_stays_open() -> None:
    source, target = os.pipe()
    os.write(target, FILE)
    accountant, capture = make_accountant(), open_offline(f"/dev/fd/{source}")
    is_over = threading.Event()

    def drain() -> None:
        while not is_over.is_set():
            accountant.drain(capture, 10)

    def is_refused() -> bool:
        try:
            capture.close()
        except RuntimeError as error:
            return "the capture is in use" in str(error)
        raise AssertionError("it was closed")

    thread = threading.Thread(target=drain)
    thread.start()
    try:
        wait_until(lambda: accountant.first_ts_ns, "a frame")
        wait_until(is_refused, "a drain")
    finally:
        is_over.set()
        thread.join()
        os.close(target)
    capture.close()
    os.close(source)


def test_exclusive_use_ends_with_an_error() -> None:
    use = Exclusive("the thing")
    with pytest.raises(KeyError), use:
        raise KeyError
    with use, pytest.raises(RuntimeError, match="the thing is in use"), use:
        pass
    with use:
        pass


# Descriptors.


def n_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize("compress", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_captures_that_are_dropped_are_closed(tmp_path: Path, compress: Callable[[bytes], bytes]) -> None:
    (tmp_path / "x").write_bytes(compress(FILE))
    before = n_descriptors()
    for _ in range(100):
        open_offline(str(tmp_path / "x")).read(1)
    gc.collect()
    assert n_descriptors() == before


def test_capture_closes_its_own_descriptor_only(path: Path) -> None:
    """Closed once, its number may be another file's."""
    capture = open_offline(str(path))
    capture.close()
    with path.open("rb") as other:
        capture.close()
        del capture
        gc.collect()
        assert other.read() == FILE


def test_file_that_cannot_be_read_is_closed(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"\x1f\x8b\x08 no gzip")
    before = n_descriptors()
    for target in (tmp_path / "x", tmp_path):
        with pytest.raises(CaptureError):
            open_offline(str(target))
    gc.collect()
    assert n_descriptors() == before
