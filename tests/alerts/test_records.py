"""An alert as a record, as a line and as a message."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from fakes import T0, S

from alerts.making import make_alert
from fastmon.alerts.messages import MAX_LINE, MAX_SUBJECT, make_message
from fastmon.alerts.records import MoreRecord, alert_line, alert_record, decode_record, encode_record, record_line
from fastmon.model.texts import clean_text

ESCAPE = "\x1b[31m\n<@everyone>\u202e"


def fields(**changes: Any) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(encode_record(alert_record(make_alert(1, **changes))))
    return record


def test_record_has_the_documented_fields_in_their_order() -> None:
    assert list(fields(name="cam", mac="02:00:5e:10:00:14", evidence={"peers": []}).items()) == [
        ("type", "alert"),
        ("id", "0000000000000001"),
        ("rule", "uplink"),
        ("kind", "rate"),
        ("state", "firing"),
        ("severity", "warning"),
        ("scope", "local"),
        ("time", "2026-01-01T00:00:01.000000Z"),
        ("since", "2026-01-01T00:00:00.000000Z"),
        ("host", "10.0.0.1"),
        ("name", "cam"),
        ("mac", "02:00:5e:10:00:14"),
        ("local", True),
        ("value", 95_200_000),
        ("limit", 80_000_000),
        ("unit", "bit/s"),
        ("window", 10),
        ("reason", "sends and receives 95.2 Mbit/s, more than 80.0 Mbit/s"),
        ("evidence", {"peers": []}),
    ]


def test_alert_about_the_network_has_no_host() -> None:
    record = fields(host="", local=None)
    assert not {"host", "name", "mac", "local", "total_bytes"} & record.keys()
    assert alert_line(make_alert(1, host="", local=None)).startswith("ALERT uplink (warning): sends")
    assert ": the network: " in alert_line(make_alert(1, host="", local=None, reason=""))


def test_zero_and_false_are_no_absence() -> None:
    record = fields(value=0.0, limit=0.5, local=False)
    assert (record["value"], record["limit"], record["local"]) == (0, 0.5, False)


@pytest.mark.parametrize("changes", [{"host": "", "local": None}, {"kind": "rate"}, {"unit": "conversations"}])
def test_only_a_hosts_total_has_the_old_fields(changes: dict[str, Any]) -> None:
    whole = {"kind": "total", "unit": "bytes", "value": 5.0, "limit": 4.0}
    assert (fields(**whole)["total_bytes"], fields(**whole)["limit_bytes"]) == (5, 4)
    assert not {"total_bytes", "limit_bytes"} & fields(**{**whole, **changes}).keys()


def test_whatever_a_stranger_wrote_is_cleaned() -> None:
    evidence = {ESCAPE: [{"name": ESCAPE, "bytes": np.int64(5), "deep": {"a": [{"b": [ESCAPE]}]}}], "n": np.float32(0.5)}
    text = encode_record(alert_record(make_alert(1, name=ESCAPE, rule=ESCAPE, scope=ESCAPE, reason=ESCAPE, evidence=evidence)))
    assert b"\\u001b" not in text
    assert b"\\n" not in text.replace(b"\\\\n", b"")
    assert "\u202e" not in text.decode()
    entry = json.loads(text)["evidence"]
    assert entry["n"] == 0.5
    assert next(iter(entry.values()))[0]["bytes"] == 5


def test_record_is_bounded_whatever_the_evidence() -> None:
    evidence = {str(number): "x" * 10_000 for number in range(10_000)}
    assert len(encode_record(alert_record(make_alert(1, reason="y" * 1_000_000, evidence=evidence)))) < 150_000


def test_infinite_value_is_json() -> None:
    assert fields(value=float("inf"), limit=float("nan"))["value"] is None


def test_record_can_be_read_back() -> None:
    for alert in (make_alert(1), make_alert(2, state="cleared", peak=1e9, evidence={"peers": [{"host": "a", "bytes": 1}]})):
        record = alert_record(alert)
        assert decode_record(encode_record(record)) == record
    more = MoreRecord("a", "b", 60, 37, {"scan": 37})
    assert decode_record(encode_record(more)) == more


@pytest.mark.parametrize(
    ("record", "line"),
    [
        (MoreRecord("a", "b", 60, 37, {"scan": 30, "uplink": 7}), "37 more in this minute: scan 30, uplink 7"),
        (MoreRecord("a", "b", 0.5, 1234, {"scan": 1234}), "1,234 more in 500ms: scan 1,234"),
    ],
)
def test_line_of_a_number_of_alerts(record: MoreRecord, line: str) -> None:
    assert record_line(record) == line


def test_message_of_one_alert_says_everything() -> None:
    evidence = {
        "peers": [{"host": "192.0.2.1", "bytes": 4_000_000, "new": True}, {"host": "192.0.2.2", "bytes": 900}],
        "score": 6.5,
        "first_seen": "2026-01-01T00:00:00Z",
        "learned": None,
    }
    message = make_message([alert_record(make_alert(1, name="cam", mac="02:00:5e:10:00:14", evidence=evidence))])
    assert message.severity == "warning"
    assert message.subject == "[warning] uplink: 10.0.0.1 (cam, local)"
    first, *lines = message.body.splitlines()
    assert first == (
        "ALERT uplink (warning): sends and receives 95.2 Mbit/s, more than 80.0 Mbit/s, at 2026-01-01T00:00:01.000000Z"
    )
    assert lines == [
        "",
        "host: 10.0.0.1 (cam, local), 02:00:5e:10:00:14",
        "rule: uplink (rate, local)",
        "value: 95.2 Mbit/s",
        "limit: 80.0 Mbit/s",
        "window: 10s",
        "since: 2026-01-01T00:00:00.000000Z",
        "peers: 192.0.2.1 bytes 4.0 MB new yes, 192.0.2.2 bytes 900 B",
        "score: 6.5",
        "first seen: 2026-01-01T00:00:00Z",
        "learned: unknown",
    ]


def test_message_of_several_has_a_line_for_each_and_the_number_of_the_rest() -> None:
    alerts = [make_alert(1), make_alert(2, rule="scan", severity="critical"), make_alert(3, state="cleared", ts_ns=T0 + 5 * S)]
    message = make_message([*map(alert_record, alerts), MoreRecord("a", "b", 60, 37, {"scan": 37})])
    assert (message.subject, message.severity) == ("[critical] 3 alerts and 37 more alerts: uplink, scan", "critical")
    assert [line.split()[0] for line in message.body.splitlines()] == ["ALERT", "ALERT", "CLEARED", "37"]


def test_message_of_a_number_alone() -> None:
    message = make_message([MoreRecord("a", "b", 60, 37, {"scan": 37})])
    assert message == ("[info] 37 more alerts", "37 more in this minute: scan 37", "info")


def test_message_that_all_is_well() -> None:
    assert make_message([alert_record(make_alert(1, state="cleared"))]).subject.startswith("[cleared] uplink: 10.0.0.1")


def test_name_cannot_mention_anybody_or_be_markup() -> None:
    alert = make_alert(1, name="x <!channel> @everyone `a`", reason="y", evidence={"peers": ["<b>@here"] * 40})
    subject, body, _ = make_message([alert_record(alert)])
    assert not set("<>@`") & set(subject + body)
    assert "and 30 more" in body


def test_message_is_bounded() -> None:
    subject, body, _ = make_message([alert_record(make_alert(1, name="n" * 900, reason="r" * 5000, rule="q" * 500))])
    assert len(subject) <= MAX_SUBJECT
    assert max(map(len, body.splitlines())) <= MAX_LINE


@pytest.mark.parametrize(
    "text",
    ["", "a", "192.0.2.1", "2001:db8::1", "a b (c)", "tcp/5201", "-x", "a  b", " a", "a ", "a -1", "a\n", "ä", "a,=b"],
)
def test_quick_way_of_cleaning_finds_what_the_long_one_does(text: str) -> None:
    assert alert_record(make_alert(1, name=text)).name == clean_text(text)
