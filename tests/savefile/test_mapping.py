"""Capture files that are mapped instead of read: the same comes out, also while they grow, shrink and vanish."""

from __future__ import annotations

import os
import random
import shutil
import struct
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import builders as b
import pytest
from replays import finish
from snapshot_checks import rows

from fastmon import _accounting
from fastmon.accounting import make_accountant
from fastmon.errors import CaptureError, TruncatedCaptureError
from fastmon.model.frames import Frame
from fastmon.native.readers import SavefileReader

from .reading import T0, pcapng_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from fastmon.accounting import Accountant
    from fastmon.model.conversations import Payload
    from fastmon.model.snapshot import Snapshot

MIB = 1 << 20
STRIDE = 2 * MIB
WINDOW = 16 * STRIDE
ALL = 1 << 40
MAPPED = ("mapping", "prefetching")
WAS_CUT = "x: the file was cut while it was read, after {} records"


def frame(number: int, n_bytes: int) -> Frame:
    """Return a frame whose hosts and size are its own, so that no other can stand for it."""
    data = b.ethernet(b.IPV4, b.ipv4(f"10.{number >> 8 & 255}.{number & 255}.1", f"192.0.{number % 251}.1", bytes(n_bytes)))
    return Frame(T0 + number * 1000, len(data) + number, 1, data)


def records(frames: list[Frame], *, nanoseconds: bool = False, byte_order: str = "<") -> bytes:
    """Return a pcap file."""
    parts = [b.pcap_file([one], nanoseconds=nanoseconds, byte_order=byte_order) for one in frames]
    return parts[0] + b"".join(part[24:] for part in parts[1:])


def shout(number: int) -> bytes:
    """Return a frame that opens a conversation, with a payload of its own and without zeros."""
    words = b"%d," % (number + 1) * 70
    return b.ethernet(b.IPV4, b.ipv4(f"10.0.{number % 7}.1", "192.0.2.1", b.udp(number + 1024, 53, words)))


def sizes(seed: int) -> Iterator[int]:
    """Yield payload sizes like those of traffic, and now and then one that is longer than any window's tail of small pages."""
    generator = random.Random(seed)
    while True:
        yield generator.choice((0, 1, 33, 540, 1000, 1460, generator.randrange(1500)) * 100 + (200_000, 262_000))


SIZES = sizes(7)
FRAMES = [frame(number, next(SIZES)) for number in range(12_000)]
SMALL = [frame(number, number % 700) for number in range(16_000)]
FILE = records(SMALL)


class Result(NamedTuple):
    """What came of a file."""

    summary: Snapshot
    times: tuple[int | None, int | None]
    error: CaptureError | None
    n_mapped: int


@contextmanager
def reading(path: Path, *, method: str | None = "mapping", filter: str | None = None, at: int = 0) -> Iterator[SavefileReader]:
    """Open a file, from a position on."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.lseek(fd, at, os.SEEK_SET)
        reader = SavefileReader(fd, "x", method=method, filter=filter)
        reader.open()
        yield reader
    finally:
        os.close(fd)


def account(
    path: Path, *, max_frames: int = ALL, method: str | None = "mapping", filter: str | None = None, at: int = 0
) -> Result:
    """Account a whole file, looking at the next frame's time before each call."""
    target, error = make_accountant(), None
    with reading(path, method=method, filter=filter, at=at) as reader:
        try:
            while not reader.exhausted:
                assert (reader.next_ts_ns is None) == reader.exhausted
                drain(target, reader, max_frames)
        except CaptureError as caught:
            error = caught
        return Result(finish(target), times(target), error, reader.n_mapped)


def times(target: Accountant) -> tuple[int | None, int | None]:
    return target.first_ts_ns, target.last_ts_ns


def drain(
    target: Accountant, reader: SavefileReader, max_frames: int, until_ns: int | None = None, max_backstep_ns: int | None = None
) -> int:
    return target.drain(reader, max_frames, until_ns, max_backstep_ns)  # type: ignore[arg-type]  # they take a reader, too


def assert_same(mapped: Result, read: Result) -> None:
    assert rows(mapped.summary) == rows(read.summary)
    assert mapped.summary.counters == read.summary.counters
    assert mapped.times == read.times
    assert str(mapped.error) == str(read.error)
    assert read.n_mapped == 0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "x").write_bytes(FILE)
    return tmp_path / "x"


@pytest.mark.parametrize("method", MAPPED)
class TestSameAsRead:
    @pytest.mark.parametrize("nanoseconds", [False, True])
    @pytest.mark.parametrize("max_frames", [100, 500, 4001, ALL])
    def test_frames_of_all_sizes(self, tmp_path: Path, max_frames: int, nanoseconds: bool, method: str) -> None:
        (tmp_path / "x").write_bytes(records(FRAMES, nanoseconds=nanoseconds))
        mapped = account(tmp_path / "x", max_frames=max_frames, method=method)
        assert_same(mapped, account(tmp_path / "x", method="reading"))
        assert mapped.summary.counters.ip.frames == len(FRAMES)
        assert mapped.n_mapped > (len(FRAMES) // 2 if max_frames > 4000 else 0)

    def test_conversations(self, tmp_path: Path, method: str) -> None:
        udp = [
            Frame(T0 + n, 900, 1, b.ethernet(b.IPV4, b.ipv4(f"10.0.{n % 7}.1", "192.0.2.1", b.udp(n % 300, 53, bytes(n % 900)))))
            for n in range(9000)
        ]
        (tmp_path / "x").write_bytes(records(udp))
        found = []
        for taken in (method, "reading"):
            target = make_accountant(max_conversations=5000, keep_conversations=True, seed=1)
            target.payload_allowance = 1000
            with reading(tmp_path / "x", method=taken) as reader:
                while not reader.exhausted:
                    drain(target, reader, 4000)
                assert (reader.n_mapped > 0) == (taken == method)
            payloads = target.take_payloads()
            summary = finish(target)
            assert summary.macs is not None
            assert summary.apps is not None
            found.append((payloads, rows(summary), summary.conversations, summary.macs.tolist(), summary.apps.tolist()))
        assert found[0] == found[1]
        assert any(found[0][0])

    def test_every_alignment_at_a_strides_end(self, tmp_path: Path, method: str) -> None:
        body = records(SMALL[:9000])[24:]
        for shift in range(50):
            (tmp_path / "x").write_bytes(records([frame(1, shift)]) + body)
            assert_same(mapped := account(tmp_path / "x", method=method), account(tmp_path / "x", method="reading"))
            assert mapped.n_mapped > 0

    def test_alignments_at_a_windows_end(self, tmp_path: Path, method: str) -> None:
        """Of a record's header, of a record, and of the header behind it; and of a file that ends there."""
        filler = [frame(number, 262_000) for number in range(WINDOW // 262_100)]
        n_left = WINDOW - len(records(filler))
        for shift in range(-50, 50, 7):
            around = [frame(1, n_left - 50 + shift), *SMALL[:100], frame(2, 200_000)]
            (tmp_path / "x").write_bytes(file := records([*filler, *around]))
            assert_same(mapped := account(tmp_path / "x", method=method), account(tmp_path / "x", method="reading"))
            assert mapped.n_mapped > len(filler)
            for end in (WINDOW, WINDOW + 16, WINDOW + 70_000):
                (tmp_path / "x").write_bytes(file[:end])
                assert_same(account(tmp_path / "x", method=method), account(tmp_path / "x", method="reading"))

    def test_cut_and_damaged_files(self, path: Path, method: str) -> None:
        for end in (len(FILE) - 1, STRIDE, STRIDE + 1, STRIDE + 100_000, STRIDE + 100_007):
            path.write_bytes(FILE[:end])
            assert_same(account(path, method=method), account(path, method="reading"))
        path.write_bytes(FILE[: STRIDE + 50_000] + b"\xff" * 5000 + FILE[STRIDE + 50_000 :])
        assert_same(mapped := account(path, method=method), account(path, method="reading"))
        assert mapped.error is not None

    def test_records_of_zeros_are_records(self, tmp_path: Path, method: str) -> None:
        file = records(SMALL[:5000]) + bytes(16 * 3) + records(SMALL[5000:])[24:] + bytes(16)
        (tmp_path / "x").write_bytes(file)
        assert_same(mapped := account(tmp_path / "x", method=method), account(tmp_path / "x", method="reading"))
        assert mapped.summary.counters.undecoded["truncated"].frames == 4

    def test_other_files_behind_it(self, tmp_path: Path, method: str) -> None:
        """As `cat` makes them."""
        parts = (records(SMALL), records(SMALL[:9000], nanoseconds=True), records(SMALL[:50], byte_order=">"), records(SMALL))
        (tmp_path / "x").write_bytes(b"".join(parts))
        assert_same(mapped := account(tmp_path / "x", method=method), account(tmp_path / "x", method="reading"))
        assert mapped.error is None
        assert mapped.summary.counters.frames.frames == 2 * len(SMALL) + 9050
        assert mapped.n_mapped > len(SMALL)

    @pytest.mark.parametrize("start", [0, T0])
    def test_payloads_that_look_like_records(self, tmp_path: Path, start: int, method: str) -> None:
        generator = random.Random(3)
        frames = []
        for number in range(6000):
            ts_ns = start + (number * 7 // 1000 * 1_000_000_000)
            seconds = generator.choice((ts_ns // 1_000_000_000, ts_ns // 1_000_000_000 + 40_000, 0))
            length = generator.choice((0, 1, 60, 600, 262_144, 262_145, 0xFFFF_FFFF))
            fake = struct.pack("<IIII", seconds, generator.choice((0, 999_999)), length, length) * generator.randrange(90)
            data = b.ethernet(b.IPV4, b.ipv4(f"10.0.{number % 251}.1", "192.0.2.1", bytes(number % 16) + fake))
            frames.append(Frame(ts_ns, len(data) + number, 1, data))
        (tmp_path / "x").write_bytes(records(frames))
        assert_same(mapped := account(tmp_path / "x", method=method), account(tmp_path / "x", method="reading"))
        assert mapped.summary.counters.ip.frames == len(frames)
        assert mapped.n_mapped > 0

    def test_until_a_time(self, path: Path, method: str) -> None:
        target = make_accountant()
        with reading(path, method=method) as reader:
            for until in range(0, len(SMALL), 1777):
                drain(target, reader, ALL, T0 + until * 1000)
                assert reader.n_records == until
                assert reader.next_ts_ns == T0 + until * 1000
            assert reader.n_mapped > 0

    def test_backward_steps(self, tmp_path: Path, method: str) -> None:
        """Of the frames' clock, each further than allowed; and of more frames that are a little older than the newest."""
        step = 3000
        frames = [
            one if number // step % 2 else Frame(one.ts_ns + 10**12 - number % 3 * 2000, one.wire_len, 1, one.data)
            for number, one in enumerate(SMALL)
        ]
        (tmp_path / "x").write_bytes(records(frames))
        target, stops = make_accountant(), []
        with reading(tmp_path / "x", method=method) as reader:
            while not reader.exhausted:
                target.begin_phase()
                drain(target, reader, ALL, None, 10**11)
                stops.append(reader.n_records)
            assert reader.n_mapped > 0
        assert stops == [step, 3 * step, 5 * step, len(frames)]
        assert finish(target).counters.ip.frames == len(frames)

    def test_frames_read_singly_between(self, path: Path, method: str) -> None:
        target = make_accountant()
        with reading(path, method=method) as reader:
            for at in range(0, len(SMALL), 4000):
                assert [Frame(*fields) for fields in reader.read(2)] == SMALL[at : at + 2]
                assert drain(target, reader, 3998) == 3998
            assert reader.read(1) == []
            assert reader.n_input_bytes == len(FILE)
            assert reader.n_mapped > 0

    def test_file_from_the_middle_on(self, tmp_path: Path, method: str) -> None:
        (tmp_path / "x").write_bytes(bytes(12_345) + FILE)
        mapped = account(tmp_path / "x", at=12_345, method=method)
        assert mapped.summary.counters.ip.frames == len(SMALL)
        assert mapped.n_mapped > 0

    def test_what_is_not_mapped(self, tmp_path: Path, method: str) -> None:
        for file in (pcapng_file(SMALL), records(SMALL, byte_order=">")):
            (tmp_path / "x").write_bytes(file)
            assert_same(account(tmp_path / "x", method=method), account(tmp_path / "x", method="reading"))
        (tmp_path / "x").write_bytes(FILE)
        result = account(tmp_path / "x", filter="src 10.0.1.1", method=method)
        assert result.summary.counters.ip.frames == 1
        assert result.n_mapped == 0


def test_all_ways_are_tried(path: Path) -> None:
    n_times = 5
    path.write_bytes(FILE + FILE[24:] * (n_times - 1))
    read, target = account(path, method="reading"), make_accountant()
    with reading(path, method=None) as reader:
        drain(target, reader, ALL)
        assert_same(Result(finish(target), times(target), None, reader.n_mapped), read)
        assert 0 < reader.n_prefetched < reader.n_mapped < n_times * len(SMALL)


@pytest.mark.parametrize("method", MAPPED)
def test_memory_behind_the_reader_is_given_back(path: Path, method: str) -> None:
    path.write_bytes(FILE + FILE[24:] * (WINDOW // len(FILE)))
    script = f"""
def peak():
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) << 10

drain(8000, {method!r})
before = peak()
drain(1 << 40, {method!r})
print(peak() - before)
"""
    grown = int(run(script, path).stdout)
    assert grown < WINDOW // 2


def test_proc_file_has_no_size() -> None:
    with pytest.raises(CaptureError, match="not a capture file"):
        account("/proc/self/maps")  # type: ignore[arg-type]


@pytest.mark.parametrize("method", MAPPED)
def test_file_that_grows(tmp_path: Path, method: str) -> None:
    target, end = make_accountant(), len(FILE) // 2
    (tmp_path / "x").write_bytes(FILE[:end])
    with reading(tmp_path / "x", method=method) as reader, (tmp_path / "x").open("ab") as file:
        drain(target, reader, 5000)
        while end < len(FILE):
            file.write(FILE[end : end + 1_000_003])
            file.flush()
            end += 1_000_003
            drain(target, reader, 2500)
        while not reader.exhausted:
            drain(target, reader, 2500)
        assert reader.n_mapped > len(SMALL) // 2
    assert finish(target).counters.ip.frames == len(SMALL)


def assert_first(target: Accountant, n_frames: int, whole: Path) -> None:
    """Check that exactly the first frames of a file are accounted."""
    target_times, summary = times(target), finish(target)
    other = make_accountant(bytes_of=summary.bytes_of)
    with reading(whole, method="reading") as reader:
        assert drain(other, reader, n_frames) == n_frames
    expected = finish(other)
    assert target_times == times(other)
    assert rows(summary) == rows(expected)
    assert summary.counters == expected.counters


def drain_whole(reader: SavefileReader) -> None:
    drain(make_accountant(), reader, ALL)


def take_payloads(reader: SavefileReader, payloads: list[Payload]) -> None:
    """Drain a file, and put what is offered to the classifier into `payloads`."""
    target = make_accountant(max_conversations=20_000)
    target.payload_allowance, target.pauses = 1 << 20, True
    try:
        while not reader.exhausted:
            drain(target, reader, ALL)
            payloads += target.take_payloads()
    finally:
        payloads += target.take_payloads()


@pytest.mark.parametrize("method", MAPPED)
class TestShrinking:
    @pytest.mark.parametrize("end", [0, 100, 4096 * 30, MIB, MIB + 4096])
    def test_between_two_drains_to_before_the_position(self, path: Path, end: int, method: str) -> None:
        target = make_accountant()
        with reading(path, method=method) as reader:
            drain(target, reader, 6000)
            os.truncate(path, end)
            with pytest.raises(TruncatedCaptureError, match=WAS_CUT.format(6000)):
                drain(target, reader, ALL)
        assert finish(target).counters.ip.frames == 6000

    def test_between_two_drains_to_behind_the_position(self, path: Path, method: str) -> None:
        shutil.copy(path, whole := path.with_name("whole"))
        for end in range(STRIDE + 1000, STRIDE + 8000, 379):
            shutil.copy(whole, path)
            target = make_accountant()
            with reading(path, method=method) as reader:
                drain(target, reader, 3000)
                os.truncate(path, end)
                with pytest.raises(TruncatedCaptureError, match="the file was cut while it was read"):
                    drain(target, reader, ALL)
                assert_first(target, reader.n_records, whole)

    def test_while_it_is_drained(self, path: Path, method: str) -> None:
        """Until that happened in the middle several times; each time the first frames are accounted, and nothing else."""
        shutil.copy(path, whole := path.with_name("whole"))
        generator, n_caught = random.Random(1), 0
        # so that a pause of up to so long ends within the next one
        longest_s = min(self.duration_s(path, method, drain_whole) for _ in range(5))
        for _ in range(1000):
            if n_caught == 5:
                break
            shutil.copy(whole, path)
            target, go = make_accountant(bytes_of=generator.choice(("frame", "ip"))), threading.Event()
            end = generator.choice((0, generator.randrange(len(FILE)), generator.randrange(len(FILE))))
            pause_s = generator.random() * longest_s
            cutter = threading.Thread(target=self.cut_later, args=(path, end, go, pause_s))
            cutter.start()
            with reading(path, method=method) as reader:
                go.set()
                try:
                    while not reader.exhausted:
                        drain(target, reader, ALL)
                except TruncatedCaptureError as error:
                    assert str(error) == WAS_CUT.format(reader.n_records)  # noqa: PT017 - it may also not come
                    n_caught += 0 < reader.n_mapped < len(SMALL) - 2000
                else:
                    assert reader.n_records == len(SMALL)
                cutter.join()
                assert_first(target, reader.n_records, whole)
        assert n_caught, "no drain was ever disturbed"

    def test_payloads_while_it_is_drained(self, tmp_path: Path, method: str) -> None:
        """As above, by whole pages: what is offered to the classifier are the file's bytes, not the zeros in their place."""
        path, whole = tmp_path / "x", tmp_path / "whole"
        shouts = [Frame(T0 + n * 1000, 900, 1, shout(n)) for n in range(16_000)]
        whole.write_bytes(records(shouts))
        generator, n_caught = random.Random(2), 0
        longest_s = min(self.duration_s(whole, method, lambda reader: take_payloads(reader, [])) for _ in range(5))
        for _ in range(1000):
            if n_caught == 5:
                break
            shutil.copy(whole, path)
            go = threading.Event()
            end = generator.choice((0, 4096))  # behind it is all that waits to be accounted
            cutter = threading.Thread(target=self.cut_later, args=(path, end, go, generator.random() * longest_s))
            cutter.start()
            payloads: list[Payload] = []
            with reading(path, method=method) as reader:
                go.set()
                try:
                    take_payloads(reader, payloads)
                except TruncatedCaptureError:
                    n_caught += 0 < reader.n_mapped < len(shouts) - 2000
                cutter.join()
                assert [payload.data for payload in payloads] == [
                    shouts[(payload.ts_ns - T0) // 1000].data[42:] for payload in payloads
                ]
                assert len(payloads) > reader.n_records - 128  # of two batches they may be gone
        assert n_caught, "no drain was ever disturbed"

    @staticmethod
    def duration_s(path: Path, method: str, take: Callable[[SavefileReader], None]) -> float:
        with reading(path, method=method) as reader:
            began = time.monotonic()
            take(reader)
            return time.monotonic() - began

    @staticmethod
    def cut_later(path: Path, end: int, go: threading.Event, pause_s: float) -> None:
        go.wait()
        time.sleep(pause_s)
        os.truncate(path, end)

    def test_by_several_threads_at_once(self, path: Path, method: str) -> None:
        shutil.copy(path, whole := path.with_name("whole"))
        for _ in range(4):
            shutil.copy(whole, path)
            results: list[tuple[Accountant, int]] = []
            threads = [threading.Thread(target=self.drain_all, args=(path, results, method)) for _ in range(4)]
            for thread in threads:
                thread.start()
            time.sleep(0.001)
            os.truncate(path, 300_000)
            for thread in threads:
                thread.join()
            assert len(results) == 4
            for target, n_records in results:
                assert_first(target, n_records, whole)

    @staticmethod
    def drain_all(path: Path, results: list[tuple[Accountant, int]], method: str) -> None:
        target = make_accountant()
        with reading(path, method=method) as reader:
            try:
                while not reader.exhausted:
                    drain(target, reader, 5000)
            except TruncatedCaptureError:
                pass
            results.append((target, reader.n_records))


SCRIPT = """
import faulthandler, mmap, os, signal, sys
from pathlib import Path
from fastmon.native.readers import SavefileReader
from fastmon.accounting import make_accountant

SIGBUS_BIT = 1 << signal.SIGBUS - 1

def is_caught():
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("SigCgt:"))
    return bool(int(line.split()[1], 16) & SIGBUS_BIT)

def drain(max_frames=1 << 40, method="mapping"):
    fd = os.open(sys.argv[1], os.O_RDONLY)
    reader = SavefileReader(fd, "x", method=method)
    make_accountant().drain(reader, max_frames)
    assert reader.n_mapped

def fault():
    file = open(sys.argv[1], "r+b")
    view = mmap.mmap(file.fileno(), 0)
    file.truncate(0)
    return view[100_000]
"""


def run(script: str, path: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", SCRIPT + script, str(path)], capture_output=True, text=True, check=False)


class TestHandler:
    @pytest.mark.skipif(_accounting.DEBUG, reason="AddressSanitizer has a handler of its own")
    def test_none_is_left_after_a_drain(self, path: Path) -> None:
        assert run("assert not is_caught(); drain(); assert not is_caught(); print('good')", path).stdout == "good\n"

    def test_another_fault_kills_after_a_drain(self, path: Path) -> None:
        result = run("drain(); fault(); print('alive')", path)
        assert result.returncode != 0
        assert "alive" not in result.stdout

    def test_other_faults_and_signals_while_a_file_is_drained_go_to_the_handler_before(self, path: Path) -> None:
        drain_always = """
import threading
has_begun = threading.Event()
def always():
    while True:
        drain()
        has_begun.set()
threading.Thread(target=always, daemon=True).start()
has_begun.wait()
"""
        other = path.with_name("other")
        shutil.copy(path, other)
        caught = (
            """
seen = []
signal.signal(signal.SIGBUS, lambda *_: seen.append(1))
"""
            + drain_always
            + """
for _ in range(200):
    before = len(seen)
    os.kill(os.getpid(), signal.SIGBUS)
    while len(seen) == before:
        pass
print(len(seen), flush=True)
os._exit(0)
"""
        )
        assert run(caught, path).stdout == "200\n"
        fatal = "faulthandler.enable()\n" + drain_always + f"sys.argv[1] = {str(other)!r}\nfault()\n"
        result = run(fatal, path)
        assert result.returncode != 0
        if not _accounting.DEBUG:
            assert "Bus error" in result.stderr
