"""The packet log: its files, their limits and rotation, what is dropped, and the command line's option."""

from __future__ import annotations

import csv
import gzip
import io
import json
import subprocess
import sys
import threading
from collections import Counter
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import builders as b
import numpy as np
import pytest
from packet_records import Row, expected_row, rows_of, time_text

import fastmon
from fastmon.accounting import make_accountant
from fastmon.capture import open_offline
from fastmon.config import RunOptions
from fastmon.errors import ConfigError, FastmonError
from fastmon.model.frames import Frame
from fastmon.model.packets import PACKET_DTYPE
from fastmon.sinks import packet_files, packet_log
from fastmon.sinks.packet_files import COLUMNS, ENDINGS, open_packet_files
from fastmon.sinks.packet_log import PacketLog

if TYPE_CHECKING:
    from numpy.typing import NDArray

T0 = 1_767_225_600_000_000_000
N_FRAMES = 3000


def frame(number: int) -> Frame:
    """Return one of many frames, all different, of which each seventh is not IP and each eleventh is cut."""
    if number % 7 == 0:
        data = b.ethernet(b.ARP, bytes(28))
    elif number % 2:
        data = b.ethernet(b.IPV4, b.ipv4("10.0.0.1", "192.0.2.9", b.tcp(number, 443), protocol=b.TCP))
    else:
        data = b.ethernet(b.IPV6, b.ipv6("2001:db8::1", "2001:db8::2", b.udp(number, 53), next_header=b.UDP))
    return Frame(T0 + 1000 * number, 60 + number, 1, data[:30] if number % 11 == 0 else data)


FRAMES = [frame(number) for number in range(N_FRAMES)]
ROWS = [expected_row(frame) for frame in FRAMES]


@pytest.fixture(scope="module")
def records() -> NDArray[np.void]:
    """The records of `FRAMES`."""
    target = make_accountant(packet_log=True)
    for each in FRAMES:
        target.account(each)
    return target.take_packets()


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of `FRAMES`."""
    path = tmp_path_factory.mktemp("packets") / "x.pcap"
    path.write_bytes(b.pcap_file(FRAMES))
    return path


def read(path: Path) -> list[Row]:
    """Return the rows of a file of the packet log, by its ending."""
    if path.name.endswith(".parquet"):
        return read_parquet(path)
    data = path.read_bytes()
    if path.name.endswith(".gz"):
        data = gzip.decompress(data)
    elif path.name.endswith(".zst"):
        data = decompressed_zstd(data)
    header, *rows = csv.reader(io.StringIO(data.decode(), newline=""))
    assert tuple(header) == COLUMNS
    return [Row(time, status, src or None, dst or None, *map(number, rest)) for time, status, src, dst, *rest in rows]


def number(text: str) -> int | None:
    return int(text) if text else None


def decompressed_zstd(data: bytes) -> bytes:
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    return zstd.decompress(data)


def read_parquet(path: Path) -> list[Row]:
    pq = pytest.importorskip("pyarrow.parquet")
    table = pq.read_table(path)
    assert tuple(table.column_names) == COLUMNS
    times = table.column("time").cast("int64").to_pylist()
    rest = [table.column(name).to_pylist() for name in COLUMNS[1:]]
    return [Row(*values) for values in zip(map(time_text, times), *rest, strict=True)]


def files(path: Path, ending: str) -> list[Path]:
    """Return the files of a packet log, the oldest first."""
    stem = path.name.removesuffix(ending)
    numbers = sorted((int(file.name.split(".")[1]) for file in path.parent.glob(f"{stem}.[0-9]*{ending}")), reverse=True)
    return [*(path.with_name(f"{stem}.{number}{ending}") for number in numbers), path]


# Files.


@pytest.mark.parametrize("ending", ENDINGS)
def test_files_read_back(tmp_path: Path, records: NDArray[np.void], ending: str) -> None:
    path = tmp_path / f"packets{ending}"
    target = open_packet_files(str(path), 0, 3)
    for start in range(0, len(records), 700):
        target.write(records[start : start + 700])
    target.close()
    assert rows_of(records) == ROWS
    assert read(path) == ROWS
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("limit_bytes", [4096, 20_000])
def test_rotation_keeps_every_record_and_the_limit(
    tmp_path: Path, records: NDArray[np.void], ending: str, limit_bytes: int
) -> None:
    path = tmp_path / f"packets{ending}"
    target = open_packet_files(str(path), limit_bytes, 1000)
    for start in range(0, len(records), 100):
        target.write(records[start : start + 100])
    target.close()
    found = files(path, ending)
    assert list(chain.from_iterable(map(read, found))) == ROWS
    sizes = [file.stat().st_size for file in found]
    if ending == ".csv":
        assert max(sizes) <= limit_bytes
        assert min(sizes[:-1]) > limit_bytes - 120  # no row is longer
    elif ending == ".parquet":
        assert len(found) > 1
    else:
        assert len(found) == 1 or max(sizes) <= limit_bytes + 8000


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_rotation_deletes_the_oldest(tmp_path: Path, records: NDArray[np.void], ending: str) -> None:
    path = tmp_path / f"packets{ending}"
    target = open_packet_files(str(path), 8000, 3)
    target.write(records)
    target.close()
    found = files(path, ending)
    assert [file.name for file in found] == [f"packets.2{ending}", f"packets.1{ending}", f"packets{ending}"]
    kept = list(chain.from_iterable(map(read, found)))
    assert 0 < len(kept) < len(ROWS)
    assert kept == ROWS[-len(kept) :]


def test_only_one_file(tmp_path: Path, records: NDArray[np.void]) -> None:
    path = tmp_path / "packets.csv"
    target = open_packet_files(str(path), 8000, 1)
    target.write(records)
    target.close()
    assert list(tmp_path.iterdir()) == [path]
    assert read(path)[-1] == ROWS[-1]


def test_file_of_an_earlier_run_is_kept(tmp_path: Path, records: NDArray[np.void]) -> None:
    path = tmp_path / "packets.csv"
    path.write_text("earlier")
    target = open_packet_files(str(path), 0, 2)
    target.write(records)
    target.close()
    assert (tmp_path / "packets.1.csv").read_text() == "earlier"
    assert read(path) == ROWS


@pytest.mark.parametrize("ending", ENDINGS)
def test_no_records_make_a_complete_file(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"packets{ending}"
    open_packet_files(str(path), 4096, 2).close()
    assert read(path) == []


def test_wide_range_of_times_in_parquet(tmp_path: Path) -> None:
    records = np.zeros(3, PACKET_DTYPE)
    records["ts_ns"] = [-(2**63), 0, 2**63 - 1]
    target = open_packet_files(str(tmp_path / "x.parquet"), 0, 1)
    target.write(records)
    target.close()
    assert [row.time for row in read(tmp_path / "x.parquet")] == [time_text(ts_ns) for ts_ns in records["ts_ns"].tolist()]


def test_pyarrow_is_asked_for_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ConfigError, match=r"fastmon\[parquet\]"):
        open_packet_files(str(tmp_path / "x.parquet"), 0, 1)


# The queue.


class Stalled:
    """Files that write nothing until they are let go."""

    def __init__(self) -> None:
        self.begun, self.go = threading.Event(), threading.Event()
        self.written: list[NDArray[np.void]] = []
        self.n_pending = 0

    def write(self, records: NDArray[np.void]) -> None:
        self.begun.set()
        assert self.go.wait(30)
        self.written.append(records)

    def close(self) -> None:
        pass


@pytest.fixture
def stalled(monkeypatch: pytest.MonkeyPatch) -> Stalled:
    files = Stalled()
    monkeypatch.setattr(packet_log, "open_packet_files", lambda *_: files)
    return files


def batch(n_records: int) -> NDArray[np.void]:
    return np.zeros(n_records, PACKET_DTYPE)


def test_live_a_stalled_writer_costs_records_that_are_counted(stalled: Stalled) -> None:
    log = PacketLog("x.csv", 0, 1, waits=False, queue_records=100)
    log.put(batch(10))
    assert stalled.begun.wait(30)
    for _ in range(5):
        log.put(batch(30))
    assert log.dropped == 60
    stalled.go.set()
    log.close()
    assert sum(map(len, stalled.written)) == 100
    assert (log.dropped, log.error) == (60, None)


def test_replay_waits_for_a_stalled_writer(stalled: Stalled) -> None:
    log = PacketLog("x.csv", 0, 1, waits=True, queue_records=100)
    log.put(batch(10))
    assert stalled.begun.wait(30)
    log.put(batch(90))
    waiting = threading.Thread(target=log.put, args=(batch(30),))
    waiting.start()
    waiting.join(0.1)
    assert waiting.is_alive()
    stalled.go.set()
    waiting.join(30)
    log.close()
    assert sum(map(len, stalled.written)) == 130
    assert log.dropped == 0


def test_batch_greater_than_the_queue_is_taken(stalled: Stalled) -> None:
    stalled.go.set()
    log = PacketLog("x.csv", 0, 1, waits=True, queue_records=100)
    log.put(batch(1000))
    log.close()
    assert (sum(map(len, stalled.written)), log.dropped) == (1000, 0)


def test_writer_that_fails_ends_nothing_else(tmp_path: Path, records: NDArray[np.void]) -> None:
    (tmp_path / "full.csv").symlink_to("/dev/full")
    log = PacketLog(str(tmp_path / "full.csv"), 0, 1, waits=True)
    for _ in range(3):
        log.put(records)
    log.close()
    log.put(records)
    assert "No space left on device" in str(log.error)
    assert log.dropped == 4 * len(records)


def test_records_of_a_parquet_file_without_its_end_are_counted(
    tmp_path: Path, records: NDArray[np.void], monkeypatch: pytest.MonkeyPatch
) -> None:
    write, n_groups = packet_files.ParquetFiles._write_group, 0

    def fail_later(self: packet_files.ParquetFiles) -> None:
        nonlocal n_groups
        n_groups += 1
        if n_groups == 8:
            raise OSError(28, "No space left on device")
        write(self)

    monkeypatch.setattr(packet_files.ParquetFiles, "_write_group", fail_later)
    log = PacketLog(str(tmp_path / "x.parquet"), 6000, 10, waits=True)
    for start in range(0, len(records), 50):
        log.put(records[start : start + 50])
    log.close()
    (tmp_path / "x.parquet").unlink()
    n_readable = sum(len(read(path)) for path in tmp_path.iterdir())
    assert n_groups == 8
    assert 0 < n_readable == len(records) - log.dropped


def test_file_whose_header_does_not_fit_is_empty(tmp_path: Path) -> None:
    files = open_packet_files(str(tmp_path / "x.csv"), 0, 1)
    assert files._raw is not None
    files._raw.raw.close()  # what is in its buffer is lost, as on a full disk
    files.abandon()
    assert (tmp_path / "x.csv").read_bytes() == b""


def test_close_twice(tmp_path: Path) -> None:
    log = PacketLog(str(tmp_path / "x.csv"), 0, 1, waits=True)
    log.close()
    log.close()
    assert read(tmp_path / "x.csv") == []


def test_full_disk_leaves_whole_rows(tmp_path: Path, records: NDArray[np.void], monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.csv"
    log = PacketLog(str(path), 0, 1, waits=True)
    take, n_taken = packet_files.CsvFiles._put, 0

    def put(self: packet_files.CsvFiles, text: bytes | memoryview) -> None:
        nonlocal n_taken
        n_taken += 1
        if n_taken == 2:
            self._stream.write(text[: len(text) // 2])
            raise OSError(28, "No space left on device")
        take(self, text)

    monkeypatch.setattr(packet_files.CsvFiles, "_put", put)
    for start in range(0, 300, 100):
        log.put(records[start : start + 100])
    log.close()
    assert read(path) == ROWS[:100]
    assert isinstance(log.error, FastmonError)
    assert log.dropped == 200


# Runs.


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fastmon", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def summary_of(result: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    summary: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    assert summary["type"] == "summary"
    return summary


@pytest.mark.parametrize("engine", ["native", "reference"])
@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_replay_logs_every_frame(tmp_path: Path, capture: Path, ending: str, engine: str) -> None:
    path = tmp_path / f"packets{ending}"
    result = run("replay", capture, "--packet-log", path, "--format", "jsonl", "-i", "1ms", "--engine", engine, "--limit", "0")
    assert (result.returncode, result.stderr) == (0, "")
    assert read(path) == ROWS
    assert summary_of(result)["packet_log_dropped"] == 0


def test_sizes_and_files_are_options(tmp_path: Path, capture: Path) -> None:
    arguments = ("--packet-log", tmp_path / "p.csv", "--packet-log-size", "8kB", "--packet-log-files", "2")
    assert run("replay", capture, "-i", "0", *arguments).returncode == 0
    assert sorted(file.name for file in tmp_path.iterdir()) == ["p.1.csv", "p.csv"]


def test_workers_log_every_frame(tmp_path: Path, capture: Path) -> None:
    copies = [tmp_path / f"{n}.pcap" for n in range(3)]
    for copy in copies:
        copy.write_bytes(capture.read_bytes())
    path = tmp_path / "packets.csv"
    list(fastmon.watch(*copies, workers=3, packet_log=str(path)))
    assert Counter(read(path)) == Counter(ROWS * 3)


def test_frames_before_damage_are_logged(tmp_path: Path, capture: Path) -> None:
    damaged = tmp_path / "damaged.pcap"
    damaged.write_bytes(capture.read_bytes()[:-5])
    result = run("replay", damaged, "--packet-log", tmp_path / "p.csv", "-i", "0")
    assert result.returncode == 1
    assert read(tmp_path / "p.csv") == ROWS[:-1]


@pytest.mark.parametrize("ending", ENDINGS)
def test_full_disk_costs_the_log_only(tmp_path: Path, capture: Path, ending: str) -> None:
    path = tmp_path / f"full{ending}"
    path.symlink_to("/dev/full")
    result = run("replay", capture, "--packet-log", path, "--format", "jsonl", "-i", "0", "--limit", "0")
    assert result.returncode == 1
    assert result.stderr.splitlines() == [f"fastmon: cannot write the packet log {path}: No space left on device"]
    summary = summary_of(result)
    assert (summary["frames"], summary["packet_log_dropped"]) == (N_FRAMES, N_FRAMES)


@pytest.mark.parametrize(("path", "words"), [("/nonexistent/x.csv", "No such file"), ("x.txt", "ends in none of .csv, ")])
def test_log_that_cannot_be_begun(capture: Path, path: str, words: str) -> None:
    result = run("replay", capture, "--packet-log", path)
    assert (result.returncode, result.stdout) == (2, "")
    (line,) = result.stderr.splitlines()
    assert words in line


def test_capture_file_is_not_overwritten(tmp_path: Path, capture: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(capture.read_bytes())
    assert run("replay", path, "--packet-log", path).returncode == 2
    assert path.read_bytes() == capture.read_bytes()


@pytest.mark.parametrize("options", [{"packet_log_size": "4000"}, {"packet_log_files": 0}, {"packet_log_size": "much"}])
def test_wrong_options(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="packet-log"):
        RunOptions(**options)


def test_loss_is_told(capture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A writer that takes nothing: the run says so once while it lasts, and how much is missing at its end."""
    from fastmon.run.plan import Plan, Team, Worker
    from fastmon.run.replay import ReplayMonitor
    from fastmon.run.subscriber import Problem, Subscriber
    from fastmon.sinks.table import TableSink

    problems: list[Problem] = []
    snapshots: list[fastmon.Snapshot] = []

    class Recorder(Subscriber):
        def problem(self, problem: Problem) -> None:
            problems.append(problem)

        def snapshot(self, snapshot: fastmon.Snapshot) -> None:
            snapshots.append(snapshot)

    monkeypatch.setattr("fastmon.run.queues.BoundedQueue._has_room", lambda *_: False)
    log = PacketLog(str(tmp_path / "x.csv"), 0, 1, waits=False)
    opener = lambda: open_offline(str(capture))  # noqa: E731
    accountant = make_accountant(packet_log=True)
    ReplayMonitor(Plan("x", 1_000_000), [opener], Team([Worker(accountant)], accountant), Recorder(), None, log).run()
    *intervals, summary = snapshots
    assert [problem.text.partition(": ")[2] for problem in problems] == [
        "records are dropped: it cannot be written as fast as frames come",
        f"{N_FRAMES:,} records dropped",
    ]
    assert [problem.error for problem in problems] == [None, None]
    assert sum(snapshot.packet_log_dropped for snapshot in intervals) == summary.packet_log_dropped == N_FRAMES
    stream = io.StringIO()
    TableSink(stream, 1).snapshot(summary)
    assert "LOST records of the packet log: 3,000" in stream.getvalue()
