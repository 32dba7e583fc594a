"""fastmon alerts, usage, silence and devices: what they show, change and refuse."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from fastmon.cli import main
from fastmon.model.memory import Changes, DayTotal, PeriodTotal
from fastmon.state.store import Store
from state.values import DAY, MAC, T0, S, alert, device, incident

if TYPE_CHECKING:
    from collections.abc import Iterator

HOSTILE = "cam\x1b]0;owned\x07\u202e"


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state with something of everything, which the commands find by default."""
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    path = tmp_path / "state.db"
    now = time.time_ns()
    rows = Changes(
        incidents=[incident("quota")],
        periods=[
            PeriodTotal("quota", "10.0.0.1", now - DAY, now + 29 * DAY + DAY // 2, 4_100_000_000, 5_000_000_000, 80),
            PeriodTotal("quota", "10.0.0.2", T0 - DAY, T0, 6_000_000_000, 5_000_000_000, 100),
            PeriodTotal("all", "network", -(2**63 - 1), 2**63 - 1, 5, 1000),
        ],
        devices=[device(name=HOSTILE), device("10.0.0.9", T0 - S, mac="", addresses=("10.0.0.9",), name="", vendor="")],
        days=[
            DayTotal("10.0.0.9", T0 - DAY, 1, 1, 1, 1),
            DayTotal("10.0.0.9", T0, 1000, 20, 1, 1),
            DayTotal("10.0.0.9", T0 + 4 * DAY, 2000, 30, 1, 1),
            DayTotal("10.0.0.1", T0, 7, 7, 7, 7),
        ],
    )
    alerts = [
        alert("quota", value=4.1e9, limit=5e9, unit="bytes", reason="82 % of 5 GB", name=HOSTILE, evidence={"peers": [HOSTILE]}),
        alert(
            "rate", rule="uplink", kind="rate", severity="critical", host="", value=9.1e7, limit=8e7, unit="bit/s", ts_ns=T0 + S
        ),
        alert("rate", rule="uplink", kind="rate", severity="critical", host="", ts_ns=T0 + 131 * S, state="cleared", peak=1e8),
        alert("new", rule="newcomers", kind="new", severity="info", host="10.0.0.9", ts_ns=T0 + 2 * S, local=True),
    ]
    with Store.open(path) as store:
        store.save(rows, alerts)
    return path


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    assert main(arguments) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    return captured.out.splitlines()


def records(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in printed(capsys, *arguments, "--format", "jsonl")]


def refusal(capsys: pytest.CaptureFixture[str], status: int, *arguments: str) -> str:
    assert main(arguments) == status
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    return line


# Alerts.


def test_alerts_are_shown_open_ones_first(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    del path
    title, *lines = printed(capsys, "alerts")
    assert title.split() == ["state", "severity", "rule", "host", "name", "since", "lasted", "value", "limit", "reason"]
    assert [line.split()[:3] for line in lines] == [
        ["open", "warning", "quota"],
        ["cleared", "critical", "uplink"],
        ["told", "info", "newcomers"],
    ]
    assert lines[0].split()[-10:] == ["2026-01-01T00:00:00Z", "4.1", "GB", "5.0", "GB", "82", "%", "of", "5", "GB"]
    assert "91.0 Mbit/s  80.0 Mbit/s" in lines[1]
    assert "network" in lines[1]
    assert "2m11s" in lines[1]


@pytest.mark.parametrize(
    ("arguments", "ids"),
    [
        ([], ["quota", "rate", "new"]),
        (["--rule", "uplink"], ["rate"]),
        (["--rule", "nosuch"], []),
        (["--severity", "warning"], ["quota", "rate"]),
        (["--severity", "critical"], ["rate"]),
        (["--host", "10.0.0.9"], ["new"]),
        (["--host", "10.0.0.0/24"], ["quota", "new"]),
        (["--host", MAC], ["quota"]),
        (["--host", "network"], ["rate"]),
        (["--since", "2026-01-01T00:00:02Z"], ["quota", "rate", "new"]),
        (["--since", "2026-01-01T00:00:03Z"], ["quota", "rate"]),
        (["--since", "2026-01-01T00:00:03+01:00"], ["quota", "rate", "new"]),
        (["--since", "2026-01-02"], ["quota"]),
        (["--since", "1s"], ["quota"]),
        (["--since", "10000d"], ["quota", "rate", "new"]),
    ],
)
def test_alerts_can_be_chosen(path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], ids: list[str]) -> None:
    del path
    assert [record["id"] for record in records(capsys, "alerts", *arguments)] == ids


def test_alert_records_have_their_fields(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    del path
    quota, rate, new = records(capsys, "alerts")
    assert quota["type"] == "alert"
    assert (quota["state"], quota["open"], quota["total_bytes"], quota["limit_bytes"]) == (
        "firing",
        True,
        4_100_000_000,
        5_000_000_000,
    )
    assert (rate["state"], rate["open"], rate["peak"], rate["duration_seconds"]) == ("cleared", False, 1e8, 131)
    assert (rate["since"], rate["time"]) == ("2026-01-01T00:00:00.000000Z", "2026-01-01T00:02:11.000000Z")
    assert "host" not in rate
    assert (new["state"], new["open"], new["local"]) == ("firing", False, True)


def test_alerts_beyond_the_top_are_counted(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    del path
    assert main(["alerts", "--top", "1"]) == 0
    captured = capsys.readouterr()
    assert len(captured.out.splitlines()) == 2
    assert captured.err == "fastmon: 2 more: see --top and --since\n"


@pytest.mark.parametrize("command", [["alerts"], ["devices"], ["usage"]])
@pytest.mark.parametrize("format_", ["table", "jsonl"])
def test_names_from_the_network_are_harmless(
    path: Path, capsys: pytest.CaptureFixture[str], command: list[str], format_: str
) -> None:
    del path
    text = "\n".join(printed(capsys, *command, "--format", format_))
    assert text.replace("\n", "").isprintable()
    assert "owned" in text


# Usage.


def test_usage_shows_quotas_and_the_days_of_others(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    del path
    lines = [line.split() for line in printed(capsys, "usage")]
    blank = lines.index([])
    assert [(line[0], line[1]) for line in lines[1:blank]] == [("all", "network"), ("quota", "10.0.0.2"), ("quota", "10.0.0.1")]
    assert lines[1][2:] == ["5", "B", "1.0", "kB", "0"]
    assert lines[2][-1] == "ended"
    assert lines[3][-1].startswith("29d")
    assert lines[blank + 1] == ["without", "a", "quota:"]
    assert lines[blank + 3] == "10.0.0.9 2026-01-05 2.0 kB 30 B 2026-01 3.0 kB 50 B".split()  # noqa: SIM905
    assert len(lines) == blank + 4


def test_usage_records(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    del path
    network, over, running, days = records(capsys, "usage")
    assert network.keys().isdisjoint({"start", "end", "days_left"})
    assert (over["over"], over["days_left"], over["percent"]) == (True, 0, 120.0)
    assert (running["bytes"], running["limit_bytes"], running["percent"], running["over"]) == (
        4_100_000_000,
        5_000_000_000,
        82.0,
        False,
    )
    assert running["days_left"] == pytest.approx(29.5, abs=0.02)
    assert days["day"] == {"date": "2026-01-05", "bytes_in": 2000, "bytes_out": 30}
    assert days["month"] == {"month": "2026-01", "bytes_in": 3000, "bytes_out": 50}


@pytest.mark.parametrize(
    ("arguments", "hosts"),
    [
        (["--rule", "all"], ["network"]),
        (["--host", "10.0.0.9"], ["10.0.0.9"]),
        (["--host", MAC], ["10.0.0.1"]),
        (["--host", "10.0.0.0/30"], ["10.0.0.2", "10.0.0.1"]),
    ],
)
def test_usage_can_be_chosen(path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], hosts: list[str]) -> None:
    del path
    assert [record["host"] for record in records(capsys, "usage", *arguments)] == hosts


# Silences.


def test_silence_is_set_listed_and_ended(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (line,) = printed(capsys, "silence", "10.0.0.1", "8h")
    assert line.startswith("10.0.0.1 is silenced until 20")
    printed(capsys, "silence", "uplink", "30m")
    with Store.open(path) as store:
        assert {(silence.target, silence.until_ns - silence.since_ns) for silence in store.silences()} == {
            ("10.0.0.1", 8 * 3600 * S),
            ("uplink", 1800 * S),
        }
    _, first, second = printed(capsys, "silence", "--list")
    assert (first.split()[0], second.split()[0]) == ("uplink", "10.0.0.1")
    assert printed(capsys, "silence", "--remove", "::ffff:10.0.0.1") == []
    _, only = printed(capsys, "silence", "--list")
    assert only.split()[0] == "uplink"


def test_silence_of_a_devices_name_is_one_of_the_device(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    printed(capsys, "devices", "rename", MAC, "kitchen")
    (line,) = printed(capsys, "silence", "Kitchen", "1h")
    assert line.startswith(f"{MAC} is silenced")
    with Store.open(path) as store:
        (silence,) = store.silences()
    assert silence.covers(alert(mac=MAC), time.time_ns())
    assert printed(capsys, "silence", "--remove", "kitchen") == []
    assert printed(capsys, "silence", "--list") == []


def test_silence_of_an_unknown_name_is_kept_and_remarked_on(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    del path
    assert main(["silence", "later", "1h"]) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("later is silenced")
    assert captured.err == "fastmon: no rule and no device is known as later, so far\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "name a HOST or RULE and a DURATION"),
        (["uplink"], "say for how long"),
        (["uplink", "soon"], "invalid duration 'soon'"),
        (["uplink", "0s"], "must be more than 0"),
        (["group:cameras", "8h"], "a group cannot be silenced"),
        (["--remove"], "--remove needs HOST or RULE"),
        (["--remove", "uplink", "1h"], "--remove needs HOST or RULE"),
        (["--list", "uplink"], "--list stands alone"),
        (["--remove", "uplink"], "uplink is not silenced"),
    ],
)
def test_wrong_silences_are_refused(path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str) -> None:
    del path
    assert words in refusal(capsys, 2, "silence", *arguments)


# Devices.


def test_devices_are_listed_renamed_and_forgotten(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    title, first, second = printed(capsys, "devices")
    assert title.split() == ["device", "name", "addresses", "vendor", "first", "seen", "last", "seen"]
    assert (first.split()[0], second.split()[0]) == (MAC, "10.0.0.9")
    assert "10.0.0.1, fe80::1  Acme" in first
    assert printed(capsys, "devices", "rename", "fe80::1", "  kitchen\x07 ", "--state", str(path)) == []
    record, _ = records(capsys, "devices")
    assert (record["id"], record["given_name"], record["vendor"]) == (MAC, r"kitchen\x07", "Acme")
    printed(capsys, "devices", "--state", str(path), "rename", MAC, "")
    record, _ = records(capsys, "devices")
    assert record["given_name"] == ""
    printed(capsys, "devices", "forget", "10.0.0.9")
    assert [record["id"] for record in records(capsys, "devices")] == [MAC]


@pytest.mark.parametrize(
    ("status", "arguments", "words"),
    [
        (1, ["forget", "10.0.0.77"], "no device '10.0.0.77' is known"),
        (1, ["forget", "10.0.0.0/24"], "are 2 devices"),
        (2, ["rename", MAC, "x" * 64], "64 characters: use at most 63"),
    ],
)
def test_wrong_devices_are_refused(
    path: Path, capsys: pytest.CaptureFixture[str], status: int, arguments: list[str], words: str
) -> None:
    del path
    assert words in refusal(capsys, status, "devices", *arguments)


# States that are not there, or not to be read.


@pytest.mark.parametrize("command", [["alerts"], ["usage"], ["devices"], ["silence", "x", "1h"], ["silence", "--list"]])
def test_state_that_is_not_there_is_named_and_not_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    missing = tmp_path / "no\x1bsuch"
    line = refusal(capsys, 1, *command, "--state", str(missing))
    assert f"there is no state at {tmp_path}/no\\x1bsuch" in line
    assert list(tmp_path.iterdir()) == []


def test_file_that_is_no_state_is_named_and_not_harmed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("nothing of fastmon's\n" * 99)
    for command in (["alerts"], ["silence", "x", "1h"]):
        assert f"{path} is not a state of fastmon's" in refusal(capsys, 1, *command, "--state", str(path))
    assert path.read_text() == "nothing of fastmon's\n" * 99


def test_damaged_state_is_said_to_be_set_aside(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path.write_bytes(b"x" * 4096)
    assert f"the state {path} is damaged (" in refusal(capsys, 1, "alerts")
    with Store.open(path) as store:  # as it was said
        assert "it is set aside" in store.take_remarks()[0]


@pytest.mark.parametrize("command", [["alerts"], ["silence", "x", "1h"]])
def test_directory_is_named_as_one(tmp_path: Path, capsys: pytest.CaptureFixture[str], command: list[str]) -> None:
    assert f"{tmp_path} is a directory" in refusal(capsys, 1, *command, "--state", str(tmp_path))


def test_empty_file_is_no_state_yet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "empty"
    path.touch()
    assert f"there is no state at {path}" in refusal(capsys, 1, "alerts", "--state", str(path))


@pytest.mark.parametrize(("option", "value"), [("--format", "csv"), ("--severity", "bad"), ("--since", "noon")])
def test_wrong_values_are_refused(path: Path, capsys: pytest.CaptureFixture[str], option: str, value: str) -> None:
    del path
    assert value in refusal(capsys, 2, "alerts", option, value)


def test_commands_read_while_a_run_writes(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Store.open(path) as store:
        store.save(Changes(), [alert("later", ts_ns=T0 + DAY)])
        assert records(capsys, "alerts")[0]["id"] == "later"
        printed(capsys, "silence", "quota", "1h")
        assert [silence.target for silence in store.silences()] == ["quota"]


def test_reader_that_has_gone_is_no_failure(path: Path) -> None:
    del path
    code = "import sys, fastmon.cli; sys.exit(fastmon.cli.main())"
    command = f"{sys.executable} -c '{code}' alerts --format jsonl | true; exit ${{PIPESTATUS[0]}}"
    run = subprocess.run(["bash", "-c", command], env=dict(os.environ), capture_output=True, text=True, check=False, timeout=60)
    assert (run.returncode, run.stderr) == (0, "")


# The page.


def page() -> str:
    return (Path(__file__).parents[2] / "docs" / "state.md").read_text()


def documented_records() -> Iterator[dict[str, Any]]:
    for block in re.findall(r"```json\n(.*?)```", page(), re.DOTALL):
        text = block.strip()
        while text:
            record, end = json.JSONDecoder().raw_decode(text)
            yield record
            text = text[end:].strip()


def test_documented_options_are_those_of_alerts(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    shown = "\n".join(printed(capsys, "alerts", "--help"))
    options = set(re.findall(r"--[a-z]+", "\n".join(re.findall(r"^ +-.*", shown, re.MULTILINE))))
    documented = re.findall(r"^\| `(?:-n`, `)?(--[a-z]+)", page(), re.MULTILINE)
    assert {*documented, "--state", "--help"} == options
    assert len(documented) == len(set(documented))


def test_documented_records_have_the_fields_that_are_written(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    del path
    alert_record, period_record, day_record, device_record = documented_records()
    _, cleared, _ = records(capsys, "alerts")
    assert alert_record.keys() - cleared.keys() == {"reason", "cleared_reason"}
    assert cleared.keys() <= alert_record.keys()
    *_, running, days = records(capsys, "usage")
    assert (period_record.keys(), day_record.keys()) == (running.keys(), days.keys())
    device_found, _ = records(capsys, "devices")
    assert device_record.keys() == device_found.keys()
