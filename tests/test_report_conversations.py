"""Records of conversations, as docs/output.md has them."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any

import builders as b
import numpy as np
import pytest
from fakes import T0, S

from fastmon.classify import BY_NAME
from fastmon.model.conversations import CONVERSATION_DTYPE, ENDED_REASONS, LABELLED_BY, EndedConversations
from fastmon.sinks.conversations import CHUNK_ROWS, ConversationSink

if TYPE_CHECKING:
    from collections.abc import Sequence


JA4 = "t13d1516h2_8daaf6152771_e5627efa2ab1"


def ended(*names: str | None, ja4: str | None = None, certificate: str | None = None, **changes: Any) -> EndedConversations:
    """Return as many conversations as names, alike."""
    values = {
        "a": np.frombuffer(b.host("10.0.0.1"), np.uint8),
        "b": np.frombuffer(b.host("2001:db8::1"), np.uint8),
        "a_port": 50000,
        "b_port": 443,
        "protocol": b.TCP,
        "app": BY_NAME["https"].id,
        "by": LABELLED_BY.index("payload"),
        "ended": ENDED_REASONS.index("fin"),
        "packets_ab": 5,
        "bytes_ab": 700,
        "packets_ba": 4,
        "bytes_ba": 2**63,
        "first_ns": T0,
        "last_ns": T0 + S + 1_500,
        **changes,
    }
    rows = np.zeros(len(names), CONVERSATION_DTYPE)
    for name, value in values.items():
        rows[name] = value
    return EndedConversations(rows, names, [ja4] * len(names), [certificate] * len(names))


def written(events: Sequence[EndedConversations], *, is_csv: bool) -> str:
    stream = io.StringIO()
    sink = ConversationSink(stream, is_csv=is_csv)
    for event in events:
        sink.conversations(event)
    return stream.getvalue()


def records(*events: EndedConversations) -> list[dict[str, Any]]:
    return [json.loads(line) for line in written(events, is_csv=False).splitlines()]


def cells(*events: EndedConversations) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(written(events, is_csv=True))))


def test_jsonl_record_is_the_contract() -> None:
    assert records(ended("example.org", ja4=JA4, certificate="*.example.org")) == [
        {
            "type": "conversation",
            "protocol": "tcp",
            "a": {"host": "10.0.0.1", "port": 50000},
            "b": {"host": "2001:db8::1", "port": 443},
            "start": "2026-01-01T00:00:00.000000Z",
            "end": "2026-01-01T00:00:01.000001Z",
            "packets_ab": 5,
            "bytes_ab": 700,
            "packets_ba": 4,
            "bytes_ba": 2**63,
            "app": "https",
            "by": "payload",
            "name": "example.org",
            "ended": "fin",
            "service": None,
            "category": None,
            "ja4": JA4,
            "certificate": "*.example.org",
            "bytes_of": "frame",
        }
    ]


def test_csv_record() -> None:
    assert written([ended("example.org", ja4=JA4, certificate="*.example.org")], is_csv=True) == (
        "protocol,a_host,a_port,b_host,b_port,start,end,packets_ab,bytes_ab,packets_ba,bytes_ba,app,by,name,ended,service,category,"
        "ja4,certificate,bytes_of\n"
        "tcp,10.0.0.1,50000,2001:db8::1,443,2026-01-01T00:00:00.000000Z,2026-01-01T00:00:01.000001Z,"
        "5,700,4,9223372036854775808,https,payload,example.org,fin,,,"
        f"{JA4},*.example.org,frame\n"
    )


def test_service_of_the_name() -> None:
    event = ended("www.netflix.com", None, "example.org", "WWW.NETFLIX.COM")
    services = ["Netflix", None, None, "Netflix"]
    assert [(record["service"], record["category"]) for record in records(event)] == [(s, s and "video") for s in services]
    assert [(row["service"], row["category"]) for row in cells(event)] == [(s or "", "video" if s else "") for s in services]


def test_csv_has_one_header() -> None:
    assert len(written([ended("a"), ended("b", "c")], is_csv=True).splitlines()) == 4
    assert written([], is_csv=True).startswith("protocol,")
    assert written([], is_csv=False) == ""


def test_what_is_not_known_is_null_or_empty() -> None:
    unknown = ended(None, app=0, by=0)
    (record,) = records(unknown)
    assert (record["app"], record["by"], record["name"]) == ("unknown", None, None)
    assert (record["ja4"], record["certificate"]) == (None, None)
    (row,) = cells(unknown)
    assert (row["app"], row["by"], row["name"]) == ("unknown", "", "")
    assert (row["ja4"], row["certificate"]) == ("", "")


def test_name_of_a_certificate_is_cleaned() -> None:
    hostile = ended("a", certificate="=cmd\x1b[2J")
    assert cells(hostile)[0]["certificate"] == cells(ended("=cmd\x1b[2J"))[0]["name"] != "=cmd\x1b[2J"
    assert records(hostile)[0]["certificate"] == cells(hostile)[0]["certificate"]


@pytest.mark.parametrize(
    ("number", "name"), [(1, "icmp"), (6, "tcp"), (17, "udp"), (58, "icmpv6"), (132, "sctp"), (253, "253"), (0, "0")]
)
def test_protocols_have_names_or_their_number(number: int, name: str) -> None:
    assert records(ended(None, protocol=number))[0]["protocol"] == name
    assert cells(ended(None, protocol=number))[0]["protocol"] == name


@pytest.mark.parametrize("number", range(len(ENDED_REASONS)))
def test_every_reason_is_told(number: int) -> None:
    assert records(ended(None, ended=number))[0]["ended"] == ENDED_REASONS[number]


def test_port_decided() -> None:
    assert records(ended(None, by=LABELLED_BY.index("port")))[0]["by"] == "port"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a\x1b[31mb", "a\\x1b[31mb"),
        ("a\r\nb", "a\\r\\nb"),
        ("=1+1", "\\x3d1+1"),
        ("\u202eabc", "\\u202eabc"),
        ('say "hi", you', 'say "hi", you'),
        ("\udcff", "\\udcff"),
    ],
)
def test_hostile_names_are_cleaned(name: str, shown: str) -> None:
    assert records(ended(name))[0]["name"] == shown
    assert cells(ended(name))[0]["name"] == shown


@pytest.mark.parametrize("count", [CHUNK_ROWS - 1, CHUNK_ROWS, 2 * CHUNK_ROWS + 1])
def test_any_number_of_conversations_is_written_in_order(count: int) -> None:
    names = [f"n{number}" for number in range(count)]
    assert [record["name"] for record in records(ended(*names))] == names
    assert [row["name"] for row in cells(ended(*names))] == names


def test_records_are_there_once_they_are_taken() -> None:
    class Flushed(io.StringIO):
        n_flushed = 0

        def flush(self) -> None:
            self.n_flushed = len(self.getvalue().splitlines())

    stream = Flushed()
    ConversationSink(stream, is_csv=False).conversations(ended("a", "b"))
    assert stream.n_flushed == 2
