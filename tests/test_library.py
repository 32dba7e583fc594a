"""fastmon as a library: what README promises of `import fastmon`."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata
from typing import TYPE_CHECKING, Any

import builders as b
import pytest

import fastmon
from fastmon.model.frames import Frame
from fastmon.run.control import Control

if TYPE_CHECKING:
    from pathlib import Path

S = 1_000_000_000
T0 = 1_767_225_600 * S


def frame(second: float, wire_len: int = 100) -> Frame:
    return Frame(T0 + int(second * S), wire_len, 1, b.ethernet(b.IPV4, b.ipv4("10.0.0.1", "192.0.2.1")))


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
    list(fastmon.watch(capture, on_alert=alerts.append, limit="250", local=("192.0.2.0/24",)))
    assert [(alert.host, alert.total_bytes, alert.local) for alert in alerts] == [
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


def test_watch_can_be_stopped(capture: Path) -> None:
    control = Control(stop=True)
    (summary,) = fastmon.watch(capture, control=control)
    assert (summary.is_summary, summary.counters.frames.frames) == (True, 0)


def test_watch_with_workers(capture: Path) -> None:
    *_, summary = fastmon.watch(capture, capture, capture, workers=2)
    assert summary.counters.frames.frames == 9
    summary.check_conservation()


def test_merged_summaries_of_two_runs(capture: Path) -> None:
    (summary,) = fastmon.watch(capture, interval="0")
    merged = summary.merge(summary)
    assert merged.counters.ip.bytes == 600
    merged.check_conservation()
