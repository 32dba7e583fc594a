"""The example, the ready configurations and docs/rules.md: they can be loaded, and say what is true."""

from __future__ import annotations

import json
import re
from datetime import datetime
from pathlib import Path
from typing import Any

import builders as b
import pytest
from config_files import load, load_file

from fastmon.bounds import SEVERITIES
from fastmon.cli import main
from fastmon.config.document import fill_in
from fastmon.config.example import EXAMPLE
from fastmon.config.rules import RULES
from fastmon.model.alerts import alert_id

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "rules.md").read_text()
READY = sorted((ROOT / "docs" / "examples").glob("*.toml"))


def switch_on(text: str) -> str:
    """Return a configuration with the settings that are commented out: lines that begin with '#' and no space."""
    return re.sub(r"^#(?=\S)", "", text, flags=re.MULTILINE)


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status = main(["check-config", *arguments])
    return status, *capsys.readouterr()


# The command.


def test_example_is_printed_and_accepted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, printed, _ = run(capsys, "--example")
    assert (status, printed) == (0, EXAMPLE)
    path = tmp_path / "fastmon.toml"
    path.write_text(printed)
    status, printed, errors = run(capsys, str(path))
    assert (status, errors) == (0, "")
    assert printed.startswith(f"{path} has no errors: 2 options, 2 groups, 10 rules, 0 actions\n")
    assert ["camera-quota", "total", "group:cameras", "warning", "-"] in [line.split() for line in printed.splitlines()]


def test_all_mistakes_are_printed_one_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "fastmon.toml"
    path.write_text('top = -1\n[[rule]]\nname = "a\\nb"\nkind = "new"\n')
    status, printed, errors = run(capsys, str(path))
    assert (status, printed) == (2, "")
    first, second = errors.splitlines()
    assert first == f"fastmon: {path}:1: top must be at least 0, not -1"
    assert second.startswith(f"fastmon: {path}:3: rule 'a\\nb': name: invalid name")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('exec = ["/nonexistent/x"]', "exec: there is no program /nonexistent/x to run"),
        ('syslog = "tls://h?ca=/nope&x=y"', "syslog: invalid syslog server 'tls://h?ca=/nope&x=y'"),
        ('syslog = "tls://h?ca=/nope"', "syslog: tls://h:6514: cannot use its certificates"),
        (f'syslog = "unix:{"/a" * 200}"', "syslog: invalid path of 400 bytes"),
    ],
)
def test_action_that_a_run_refuses_is_told_in_its_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, words: str
) -> None:
    path, capture = tmp_path / "fastmon.toml", tmp_path / "empty.pcap"
    path.write_text(f'interval = 1\n[[action]]\nname = "x"\n{text}\n')
    capture.write_bytes(b.pcap_file([]))
    status, printed, errors = run(capsys, str(path))
    assert (status, printed) == (2, "")
    assert errors.startswith(f"fastmon: {path}:4: action 'x': {words}")
    assert main(["replay", str(capture), "--config", str(path)]) == 2
    assert capsys.readouterr() == ("", errors)


def test_url_that_apprise_does_not_understand_is_told_without_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("apprise")
    path = tmp_path / "fastmon.toml"
    path.write_text('[[action]]\nname = "x"\napprise = "nosuch://tok3n"\n')
    status, printed, errors = run(capsys, str(path))
    assert (status, printed) == (2, "")
    assert errors.startswith(f"fastmon: {path}:3: action 'x': apprise: it is not understood")
    assert "tok3n" not in errors


def test_url_that_cannot_be_checked_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fastmon.alerts.notify.find_spec", lambda _: None)
    path = tmp_path / "fastmon.toml"
    path.write_text('[[action]]\nname = "x"\napprise = "nosuch://tok3n"\n')
    status, printed, errors = run(capsys, str(path))
    assert status == 0
    (line,) = errors.splitlines()
    assert line.startswith("fastmon: action 'x': apprise: it cannot be checked, nor used, without the package apprise")
    assert "has no errors" in printed


def test_secrets_are_not_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("apprise")
    path = tmp_path / "fastmon.toml"
    path.write_text('[[action]]\nname = "phone"\napprise = "json://tok3n"\n')
    status, printed, errors = run(capsys, str(path))
    assert (status, errors) == (0, "")
    assert ["phone", "apprise"] in [line.split() for line in printed.splitlines()]
    assert "tok3n" not in printed


@pytest.mark.parametrize("arguments", [(), ("x.toml", "--example"), ("/no/such/file.toml",)])
def test_wrong_usage(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    status, printed, errors = run(capsys, *arguments)
    assert (status, printed) == (2, "")
    assert len(errors.splitlines()) == 1


def test_options_that_exclude_each_other_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "fastmon.toml"
    path.write_text('hosts-only = true\nconversations = "x"\n')
    status, _, errors = run(capsys, str(path))
    assert status == 2
    assert "--hosts-only cannot be combined with --conversations" in errors


# Examples.


def test_example_works_with_everything_switched_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHONE_URL", "ntfy://topic")
    policy = load(switch_on(EXAMPLE)).policy
    assert {rule.kind for rule in policy.rules} == set(RULES)
    assert {action.way for action in policy.actions} == {"exec", "apprise", "syslog", "file"}
    assert len(policy.rules) > len(load(EXAMPLE).policy.rules)


def test_example_turns_the_limit_for_every_host_off() -> None:
    assert load(EXAMPLE).options["limit"] == "0"


def test_ready_configurations_are_those_that_the_page_names() -> None:
    assert [path.name for path in READY] == ["gateway-10000.toml", "home.toml", "iot.toml", "small-office.toml"]
    assert [path for path in READY if f"(examples/{path.name})" not in PAGE] == []


@pytest.mark.parametrize("path", READY, ids=lambda path: path.stem)
def test_ready_configuration_can_be_loaded(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    configuration = load_file(path)
    assert configuration.options["limit"] == "0"
    assert len(configuration.policy.rules) > 8
    monkeypatch.setenv("PHONE_URL", "ntfy://topic")
    text = switch_on(path.read_text()).replace("file:/etc/fastmon/on-call-url", "env:PHONE_URL")
    assert len(load(text).policy.actions) == 1


@pytest.mark.parametrize("path", READY, ids=lambda path: path.stem)
def test_every_group_of_a_ready_configuration_is_used(path: Path) -> None:
    policy = load_file(path).policy
    scopes = {rule.scope for rule in policy.rules}
    assert {f"group:{name}" for name in policy.groups} <= scopes


# The page.


def test_tables_of_keys_are_up_to_date() -> None:
    assert fill_in(PAGE) == PAGE, "python -m fastmon.config.document docs/rules.md"
    assert re.findall(r"<!-- keys: ([\w-]+) -->", PAGE) == ["rule", *RULES, "action"]


def section(kind: str) -> str:
    found = re.search(rf"^## {kind}\n(.*?)(?=^## )", PAGE, re.MULTILINE | re.DOTALL)
    assert found
    return found[1]


FIELDS = (
    *("type", "id", "rule", "kind", "state", "severity", "scope", "time", "since", "host", "name", "mac", "local"),
    *("value", "limit", "unit", "window", "total_bytes", "limit_bytes", "peak", "duration_seconds", "reason", "evidence"),
)
"""Of a record, in their order."""


@pytest.mark.parametrize("kind", RULES)
def test_page_shows_a_rule_of_each_kind_and_the_alert_that_it_gives(kind: str) -> None:
    (toml,) = re.findall(r"^```toml\n(.*?)^```$", section(kind), re.MULTILINE | re.DOTALL)
    actions = '\n[[action]]\nname = "phone"\nfile = "x"\n'
    (rule,) = load(f'{toml}{actions}[groups]\ncameras = ["192.168.1.40"]\n').policy.rules
    assert rule.kind == kind
    records: list[dict[str, Any]] = [
        json.loads(text.replace("\n", ""))
        for text in re.findall(r"^```json\n(.*?)^```$", section(kind), re.MULTILINE | re.DOTALL)
    ]
    assert [record["state"] for record in records] == ["firing", "cleared"][: len(records)]
    for record in records:
        assert list(record) == [name for name in FIELDS if name in record]
        assert (record["type"], record["rule"], record["kind"], record["scope"]) == ("alert", rule.name, kind, rule.scope)
        assert record["severity"] == rule.severity
        assert rule.severity in SEVERITIES
        since = datetime.fromisoformat(record["since"].replace("Z", "+00:00"))
        if kind not in ("ports", "apps", "peers", "new"):  # their ids also name the service, the peer or the device
            assert record["id"] == alert_id(rule.name, record.get("host", "network"), int(since.timestamp()) * 10**9)
    assert len({record["id"] for record in records}) == 1


def test_other_configurations_of_the_page_can_be_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHONE_URL", "ntfy://topic")
    monkeypatch.setattr("fastmon.alerts.secrets.read_secret", lambda _text: "json://x")
    before, _, after = PAGE.partition("\n## total\n")
    texts = re.findall(r"^```toml\n(.*?)^```$", before + after.partition("\n## Actions\n")[2], re.MULTILINE | re.DOTALL)
    assert len(texts) == 3
    for text in texts:
        load(text)
