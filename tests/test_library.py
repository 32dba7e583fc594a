"""fastmon as a library: what README promises of `import fastmon`."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from importlib import metadata
from typing import TYPE_CHECKING, Any

import builders as b
import pytest
from waiting import wait_until

import fastmon
from fastmon import library
from fastmon.model.addresses import key_from_text
from fastmon.model.frames import Frame
from fastmon.run import queues
from fastmon.run.control import Control

if TYPE_CHECKING:
    from pathlib import Path

    from fastmon.model.conversations import EndedConversations
    from fastmon.run.subscriber import Problem

S = 1_000_000_000
T0 = 1_767_225_600 * S


def frame(second: float, wire_len: int = 100) -> Frame:
    return Frame(T0 + int(second * S), wire_len, 1, b.ethernet(b.IPV4, b.ipv4("10.0.0.1", "192.0.2.1")))


def opening(number: int) -> Frame:
    """Return a frame of one conversation of many, long after the one before."""
    packet = b.ipv4("10.0.0.1", "192.0.2.1", b.udp(number, 9))
    return Frame(T0 + number * 200 * S, 100, 1, b.ethernet(b.IPV4, packet))


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    path = tmp_path / "x.pcap"
    path.write_bytes(b.pcap_file([frame(0), frame(1), frame(61)]))
    return path


def test_every_public_name_is_there() -> None:
    assert all(getattr(fastmon, name) is not None for name in fastmon.__all__)
    assert set(fastmon.__all__) <= set(dir(fastmon))
    assert sorted(fastmon.__all__, key=lambda name: (not name.isupper(), not name[0].isupper(), name)) == fastmon.__all__


def test_watch_is_no_module_once_it_was_used(capture: Path) -> None:
    code = f"import fastmon; print(len([*fastmon.watch({str(capture)!r})])); print(len([*fastmon.watch({str(capture)!r})]))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["3", "3"]


def test_version_and_unknown_names() -> None:
    assert fastmon.__version__ == metadata.version("fastmon")
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = fastmon.no_such_name  # type: ignore[attr-defined]


@pytest.mark.parametrize("engine", ["native", "reference"])
def test_watch_a_file(capture: Path, engine: str) -> None:
    first, second, summary = fastmon.watch(capture, interval="60s", engine=engine)
    assert [snapshot.counters.frames.frames for snapshot in (first, second, summary)] == [2, 1, 3]
    assert summary.is_summary
    assert summary.source == str(capture)
    assert first.top(1).to_dict()["10.0.0.1"]["bytes_out"] == 200
    assert second.total_bytes_out.sum() == 300


def test_watch_an_open_capture_leaves_it_open(capture: Path) -> None:
    with fastmon.open_offline(str(capture), filter="ip") as source:
        (summary,) = fastmon.watch(source, interval="0")
        assert source.exhausted
        assert summary.counters.ip.frames == 3


def test_watch_has_no_limit_unless_told(capture: Path) -> None:
    alerts: list[fastmon.Alert] = []
    list(fastmon.watch(capture, on_alert=alerts.append))
    assert alerts == []
    list(fastmon.watch(capture, on_alert=alerts.append, limit="250", limit_scope="all", local=("192.0.2.0/24",)))
    assert [(alert.host, alert.value, alert.local) for alert in alerts] == [
        ("10.0.0.1", 300, False),
        ("192.0.2.1", 300, True),
    ]


def test_watch_raises_after_the_summary(capture: Path) -> None:
    capture.write_bytes(capture.read_bytes()[:-1])
    snapshots = fastmon.watch(capture, str(capture), interval="0")
    assert next(snapshots).counters.frames.frames == 4
    with pytest.raises(fastmon.TruncatedCaptureError, match=r"x\.pcap"):
        next(snapshots)


def test_watch_refuses_wrong_options_at_once(capture: Path) -> None:
    with pytest.raises(fastmon.ConfigError, match="interval"):
        fastmon.watch(capture, interval="often")
    with pytest.raises(ValueError, match="capture"):
        fastmon.watch()
    with pytest.raises(ValueError, match="paths"):
        fastmon.watch(5)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "options",
    [
        {"colour": "red"},
        {"interval": [60]},
        {"interval": True},
        {"interval": -1},
        {"interval": float("nan")},
        {"limit": 1.5},
        {"limit": -1},
        {"inner": 1},
        {"local": "10.0.0.0/8"},
        {"local": [10]},
        {"workers": None},
        {"filter": b"tcp"},
        {"snaplen": 1.5},
        {"output": "x"},
        {"format": "jsonl"},
        {"log": "x"},
        {"top": 5},
        {"conversations": "x"},
        {"packet_log": "a\0b.csv"},
    ],
)
def test_watch_names_the_wrong_option(capture: Path, options: dict[str, Any]) -> None:
    (name,) = options
    with pytest.raises(fastmon.ConfigError, match=name.replace("_", "[-_]")):
        fastmon.watch(capture, **options)


def test_watch_takes_local_networks_as_a_list(capture: Path) -> None:
    (summary,) = fastmon.watch(capture, interval="0", local=["10.0.0.0/8"])
    assert summary.local.sum() == len(summary) - 1


@pytest.mark.parametrize(("interval", "limit"), [(60, 250), (60.0, "250"), ("1m", 250)])
def test_watch_takes_numbers(capture: Path, interval: str | float, limit: str | int) -> None:
    alerts: list[fastmon.Alert] = []
    *snapshots, _ = fastmon.watch(capture, interval=interval, limit=limit, limit_scope="all", on_alert=alerts.append)
    assert [snapshot.counters.frames.frames for snapshot in snapshots] == [2, 1]
    assert [alert.value for alert in alerts] == [300, 300]


def test_watch_tells_problems(capture: Path) -> None:
    told: list[Problem] = []
    capture.write_bytes(b.pcap_file([frame(100), frame(0), frame(1)]))
    *snapshots, _ = fastmon.watch(capture, on_problem=told.append)
    assert [snapshot.counters.frames.frames for snapshot in snapshots] == [1, 2]
    (problem,) = told
    assert "the clock steps back" in problem.text


def test_watch_waits_for_a_slow_body(tmp_path: Path) -> None:
    """More intervals than may wait come one by one, and none is merged."""
    path = tmp_path / "long.pcap"
    path.write_bytes(b.pcap_file([frame(second) for second in range(50)]))
    snapshots = fastmon.watch(path, interval=1)
    first = next(snapshots)
    wait_until(lambda: any(thread.name == "fastmon-run" for thread in threading.enumerate()), "the run's thread")
    rest = list(snapshots)
    assert [snapshot.n_intervals for snapshot in (first, *rest)] == [1] * 51
    assert [snapshot.interval.start_ns for snapshot in (first, *rest[:-1])] == [T0 + second * S for second in range(50)]


def test_watch_that_is_left_ends_its_threads_and_closes_its_file(tmp_path: Path) -> None:
    path = tmp_path / "long.pcap"
    path.write_bytes(b.pcap_file([frame(second) for second in range(500)]))
    before = set(threading.enumerate()), len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    snapshots = fastmon.watch(path, interval=1, workers=2)
    next(snapshots)
    snapshots.close()
    assert (set(threading.enumerate()), len(os.listdir("/proc/self/fd"))) == before  # noqa: PTH208


def test_watch_that_was_never_begun_has_opened_nothing(capture: Path, tmp_path: Path) -> None:
    before = set(threading.enumerate()), len(os.listdir("/proc/self/fd")), set(tmp_path.iterdir())  # noqa: PTH208
    snapshots = fastmon.watch(capture, capture, workers=2, packet_log=str(tmp_path / "log.csv"))
    after = set(threading.enumerate()), len(os.listdir("/proc/self/fd")), set(tmp_path.iterdir())  # noqa: PTH208
    assert after == before
    snapshots.close()


def test_options_that_would_do_nothing_are_refused(capture: Path) -> None:
    with pytest.raises(fastmon.ConfigError, match="snaplen is of live captures"):
        fastmon.watch(capture, snaplen=100)
    with (
        fastmon.open_offline(capture) as opened,
        pytest.raises(fastmon.ConfigError, match="filter is given when a capture is opened"),
    ):
        fastmon.watch(opened, filter="udp")
    with pytest.raises(fastmon.ConfigError, match="on_conversations cannot be combined with hosts_only"):
        fastmon.watch(capture, hosts_only=True, on_conversations=print)


def test_watch_tells_what_its_body_was_too_slow_for(capture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A live run does not wait; here a replay does as it does."""
    watch_queue = library._WatchQueue
    monkeypatch.setattr(library, "_WatchQueue", lambda _, kinds: watch_queue(lambda: False, kinds))
    monkeypatch.setattr(queues, "MAX_ROWS", 1)
    capture.write_bytes(b.pcap_file([opening(port) for port in range(1, 9)]))
    told: list[str] = []
    n_ended = 0

    def take(ended: EndedConversations) -> None:
        nonlocal n_ended
        n_ended += len(ended.rows)
        wait_until(lambda: not any(thread.name == "fastmon-run" for thread in threading.enumerate()), "the end of the run")

    *_, summary = fastmon.watch(
        capture, interval=0, max_conversations=1, on_conversations=take, on_problem=lambda p: told.append(p.text)
    )
    assert told[0] == "conversations are dropped: the loop over the snapshots is too slow"
    assert told[-1] == f"{8 - n_ended} conversations dropped: the loop over the snapshots was too slow"
    assert summary.conversations is not None
    assert sum(summary.conversations.ended.values()) == 8


def test_names_of_a_snapshot_are_those_of_its_end(capture: Path) -> None:
    """A name that comes later is not in it, however late it is looked at."""
    request = b.tcp(40000, 80, b"GET / HTTP/1.1\r\nHost: late.example\r\n\r\n")
    named = b.ethernet(b.IPV4, b.ipv4("10.0.0.1", "192.0.2.1", request, protocol=b.TCP))
    capture.write_bytes(b.pcap_file([frame(0), Frame(T0 + 20 * S, 200, 1, named)]))
    books = [snapshot.names for snapshot in list(fastmon.watch(capture, interval=10))]
    names = [book.name_of(key_from_text("192.0.2.1"), is_local=False) for book in books if book is not None]
    assert names == [None, None, ("late.example", "http"), ("late.example", "http")]


def test_error_in_a_callback_ends_the_run(capture: Path) -> None:
    def refuse(_: fastmon.Alert) -> None:
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        list(fastmon.watch(capture, limit=250, on_alert=refuse))
    assert not any(thread.name == "fastmon-run" for thread in threading.enumerate())


def test_analyze_is_the_summary_of_all_files(capture: Path) -> None:
    summary = fastmon.analyze(capture, str(capture), local=("192.0.2.0/24",))
    assert (summary.is_summary, summary.counters.frames.frames) == (True, 6)
    assert summary.local.sum() == 1
    with pytest.raises(fastmon.ConfigError, match="interval is no option of analyze"):
        fastmon.analyze(capture, interval="1s")


def test_analyze_of_a_damaged_file_has_what_could_be_read(capture: Path) -> None:
    capture.write_bytes(capture.read_bytes()[:-1])
    with pytest.raises(fastmon.TruncatedCaptureError) as caught:
        fastmon.analyze(capture)
    assert caught.value.partial is not None
    assert caught.value.partial.counters.frames.frames == 2


def test_analyze_of_nothing(tmp_path: Path) -> None:
    with pytest.raises(fastmon.CaptureError, match="absent"):
        fastmon.analyze(tmp_path / "absent")
    with pytest.raises(ValueError, match="capture"):
        fastmon.analyze()


def test_watch_can_be_stopped(capture: Path) -> None:
    control = Control(stop=True)
    (summary,) = fastmon.watch(capture, control=control)
    assert (summary.is_summary, summary.counters.frames.frames) == (True, 0)


def test_watch_with_workers(capture: Path) -> None:
    *_, summary = fastmon.watch(capture, capture, capture, workers=2)
    assert summary.counters.frames.frames == 9
    summary.check_conservation()


def test_merged_summaries_of_two_runs(capture: Path) -> None:
    summaries = [summary for _ in range(2) for summary in fastmon.watch(capture, interval="0")]
    merged = fastmon.Snapshot.merge(*summaries)
    assert merged.counters.ip.bytes == 600
    assert len({part.run for part in merged.runs}) == 2
    merged.check_conservation()
