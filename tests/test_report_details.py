"""What each format shows of hosts' applications, names and devices."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from fakes import T0, FakeFrame, S, key, snapshot_of

from fastmon.classify import BY_NAME
from fastmon.model.conversations import APP_DTYPE, APP_TOTAL_DTYPE, ENDED_REASONS, ConversationCounts
from fastmon.model.grouping import group_hosts
from fastmon.model.names import NameBook, NameFact
from fastmon.model.rows import Grouping
from fastmon.model.services import CLIENT, SERVER, SERVICE_DTYPE
from fastmon.model.snapshot import Count, Interval, Snapshot
from fastmon.sinks.csv import CsvSink
from fastmon.sinks.details import HostDetails, host_details, network_apps
from fastmon.sinks.jsonl import JsonlSink
from fastmon.sinks.table import MAX_NAME, TableSink

MINUTE = Interval(T0, T0 + 60 * S)
DNS, HTTPS = BY_NAME["dns"].id, BY_NAME["https"].id
PI = 0xB827EB000001
COLUMNS = ("bytes_in", "bytes_out", "packets_in", "packets_out")


def detailed(*facts: tuple[int, str, str], mac: int = 0, n_skipped: int = 0, full: int = 0) -> Snapshot:
    """Return 10.0.0.1 to 10.0.0.3: DNS of 100 bytes from 1 to 2, HTTPS of 50 from 2 to 3, and 7 unknown from 3 to itself."""
    snapshot = snapshot_of([FakeFrame(T0, 100, 1, 2), FakeFrame(T0, 50, 2, 3), FakeFrame(T0, 7, 3, 3)], MINUTE)
    apps = [(0, DNS, 0, 100, 0, 1), (1, DNS, 100, 0, 1, 0), (1, HTTPS, 0, 50, 0, 1), (2, HTTPS, 50, 0, 1, 0)]
    names = NameBook()
    names.record((NameFact(key(number), name, source) for number, name, source in facts), T0)
    return replace(
        snapshot,
        source="x.pcap",
        apps=np.array(sorted(apps), APP_DTYPE),
        app_totals=np.array(sorted([(DNS, 1, 100), (HTTPS, 1, 50)]), APP_TOTAL_DTYPE),
        macs=np.array([mac, 0, 0], np.uint64),
        conversations=ConversationCounts(3, {**dict.fromkeys(ENDED_REASONS, 0), "fin": 1, "full": full}, 1, n_skipped),
        names=names,
    )


def jsonl(snapshot: Snapshot) -> dict[str, Any]:
    stream = io.BytesIO()
    JsonlSink(stream).snapshot(snapshot)
    (line,) = stream.getvalue().splitlines()
    record: dict[str, Any] = json.loads(line)
    return record


def csv_rows(snapshot: Snapshot) -> list[dict[str, str]]:
    stream = io.StringIO()
    CsvSink(stream).snapshot(snapshot)
    return list(csv.DictReader(io.StringIO(stream.getvalue())))


def table(snapshot: Snapshot, top: int = 20) -> str:
    stream = io.StringIO()
    TableSink(stream, top).snapshot(snapshot)
    return stream.getvalue()


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def drawn(snapshot: Snapshot, width: int, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return what a terminal of `width` columns shows, without its colours."""
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    TableSink(stream, 20).snapshot(snapshot)
    return re.sub(r"\x1b\[[0-9;]*m", "", stream.getvalue())


# Details.


def test_details_of_hosts_only_are_empty() -> None:
    assert host_details(snapshot_of([FakeFrame(T0, 100, 1, 2)], MINUTE)) == [HostDetails()] * 2


def test_applications_with_most_bytes_come_first() -> None:
    details = host_details(detailed())
    assert [list(host.apps) for host in details] == [["dns"], ["dns", "https"], ["https", "unknown"]]
    assert details[1].apps["https"] == (0, 50, 0, 1)
    assert list(network_apps(detailed()).items()) == [("dns", Count(1, 100)), ("https", Count(1, 50)), ("unknown", Count(1, 7))]


def test_name_and_vendor_of_a_host() -> None:
    first, second, _ = host_details(detailed((1, "pi", "dhcp"), (2, "example.org", "dns"), mac=PI))
    assert (first.name, first.name_from, first.mac, first.vendor) == (
        "pi",
        "dhcp",
        "b8:27:eb:00:00:01",
        "Raspberry Pi Foundation",
    )
    assert (second.name, second.name_from, second.mac, second.vendor) == ("example.org", "dns", "", "")


def test_device_has_all_its_addresses() -> None:
    devices = group_hosts(detailed(mac=PI), Grouping(by_mac=True))
    addresses = {row.host: host.addresses for row, host in zip(devices, host_details(devices), strict=True)}
    assert addresses == {"10.0.0.1": ("10.0.0.1",), "10.0.0.2": (), "10.0.0.3": ()}


def test_service_of_a_hosts_name() -> None:
    first, second, third = host_details(detailed((1, "www.netflix.com", "sni"), (2, "example.org", "dns")))
    assert [(host.service, host.category) for host in (first, second, third)] == [("Netflix", "video"), ("", ""), ("", "")]


# JSON lines.


def test_jsonl_applications_sum_up_to_the_host() -> None:
    record = jsonl(detailed())
    for host in record["hosts"]:
        assert {name: sum(app[name] for app in host["apps"].values()) for name in COLUMNS} == {
            name: host[name] for name in COLUMNS
        }
    assert record["hosts"][2]["apps"] == {
        "https": {"bytes_in": 50, "bytes_out": 0, "packets_in": 1, "packets_out": 0},
        "unknown": {"bytes_in": 7, "bytes_out": 7, "packets_in": 1, "packets_out": 1},
    }


def test_jsonl_of_the_network() -> None:
    record = jsonl(detailed(n_skipped=5, full=1))
    assert record["apps"] == {
        "dns": {"frames": 1, "bytes": 100},
        "https": {"frames": 1, "bytes": 50},
        "unknown": {"frames": 1, "bytes": 7, "ports": {}},
    }
    assert sum(app["bytes"] for app in record["apps"].values()) == record["ip"]["bytes"]
    assert record["conversations"] == {
        "opened": 3,
        "running": 1,
        "ended": {"fin": 1, "rst": 0, "idle": 0, "full": 1, "end": 0},
        "unclassified_for_budget": 5,
        "services_overflow": 0,
    }


def test_jsonl_has_names_only_where_they_are_known() -> None:
    first, second, third = jsonl(detailed((1, "pi", "dhcp"), (2, "example.org", "dns"), mac=PI))["hosts"]
    known = ("name", "name_from", "mac", "vendor", "addresses")
    assert {field: first[field] for field in known if field in first} == {
        "name": "pi",
        "name_from": "dhcp",
        "mac": "b8:27:eb:00:00:01",
        "vendor": "Raspberry Pi Foundation",
    }
    assert {field: second[field] for field in known if field in second} == {"name": "example.org", "name_from": "dns"}
    assert not set(known) & set(third)


def test_services_of_names_in_json_and_csv() -> None:
    snapshot = detailed((1, "www.netflix.com", "sni"), (2, "example.org", "dns"))
    first, second, third = jsonl(snapshot)["hosts"]
    assert (first["service"], first["category"]) == ("Netflix", "video")
    assert not {"service", "category"} & (second.keys() | third.keys())
    rows = csv_rows(snapshot)
    assert [(row["service"], row["category"]) for row in rows] == [("Netflix", "video"), ("", ""), ("", "")]
    interval = jsonl(replace(snapshot, is_summary=not snapshot.is_summary))["hosts"][0]
    assert (interval["service"], interval["category"]) == ("Netflix", "video")


def with_services() -> Snapshot:
    """Return `detailed` with some services of its hosts."""
    services = [
        (0, CLIENT, 17, 53, 0, 100, 0, 1, 1, T0, T0 + S),
        (1, CLIENT, 1, 0, 0, 20, 0, 1, 3, T0, T0 + S),
        (1, CLIENT, 6, 443, 0, 30, 0, 0, 2, T0, T0 + S),
        (1, SERVER, 17, 53, 100, 0, 1, 0, 1, T0, T0 + S),
        (2, SERVER, 250, 0, 50, 0, 1, 0, 1, T0, T0 + S),
    ]
    return replace(detailed(), services=np.array(services, SERVICE_DTYPE), services_overflow=1234)


def test_jsonl_has_ports_of_hosts_that_have_services() -> None:
    record = jsonl(with_services())
    times = {"first_seen": "2026-01-01T00:00:00.000000Z", "last_seen": "2026-01-01T00:00:01.000000Z"}
    first, second, third = (host["ports"] for host in record["hosts"])
    assert first == {
        "client": {"udp/53": {"bytes_in": 0, "bytes_out": 100, "packets_in": 0, "packets_out": 1, "conversations": 1, **times}}
    }
    assert {role: list(services) for role, services in second.items()} == {"client": ["tcp/443", "icmp"], "server": ["udp/53"]}
    assert second["client"]["icmp"]["conversations"] == 3
    assert list(third["server"]) == ["250"]
    assert record["conversations"]["services_overflow"] == 1234
    assert all("ports" not in host for host in jsonl(detailed())["hosts"])


def test_jsonl_of_devices_adds_up_their_ports() -> None:
    snapshot = replace(with_services(), macs=np.array([PI, PI, 0], np.uint64))
    *_, device = jsonl(group_hosts(snapshot, Grouping(by_mac=True)))["hosts"]
    assert {role: list(services) for role, services in device["ports"].items()} == {
        "client": ["udp/53", "tcp/443", "icmp"],
        "server": ["udp/53"],
    }


def test_table_of_ports_has_the_biggest_of_the_hosts_that_are_shown() -> None:
    def lines(top: int, *, ports: bool) -> list[str]:
        stream = io.StringIO()
        TableSink(stream, top, ports=ports).snapshot(with_services())
        return stream.getvalue().splitlines()

    shown = lines(20, ports=True)
    start = shown.index("host      role    service  bytes in  bytes out  conversations")
    assert shown[start - 1] == ""
    assert shown[start + 1 : start + 6] == [
        "10.0.0.2  server  udp/53      100 B        0 B              1",
        "10.0.0.1  client  udp/53        0 B      100 B              1",
        "10.0.0.3  server  250          50 B        0 B              1",
        "10.0.0.2  client  tcp/443       0 B       30 B              2",
        "10.0.0.2  client  icmp          0 B       20 B              3",
    ]
    assert "conversations whose service did not fit: 1,234" in shown
    first = lines(1, ports=True)
    assert [line for line in first if "udp/53" in line or "tcp/443" in line] == [
        "10.0.0.2  server  udp/53      100 B        0 B              1"
    ]
    assert not any("udp/53" in line for line in lines(20, ports=False))


def test_jsonl_of_devices_has_their_addresses() -> None:
    hosts = jsonl(group_hosts(detailed(mac=PI), Grouping(by_mac=True)))["hosts"]
    assert {host["host"]: host.get("addresses") for host in hosts} == {
        "10.0.0.1": ["10.0.0.1"],
        "10.0.0.2": None,
        "10.0.0.3": None,
    }


def test_jsonl_of_many_hosts_with_details_is_one_array() -> None:
    merged = detailed().merge(replace(detailed(), source="y.pcap"))
    assert len(jsonl(merged)["hosts"]) == 3


def test_jsonl_of_hosts_only_has_no_more_fields_than_before() -> None:
    record = jsonl(replace(snapshot_of([FakeFrame(T0, 100, 1, 2)], MINUTE), is_summary=True))
    assert not {"apps", "conversations"} & set(record)
    assert " ".join(record["hosts"][0]) == "host bytes_in bytes_out packets_in packets_out first_seen last_seen local flagged"


# CSV.


def test_csv_columns_of_details() -> None:
    first, second, third = csv_rows(detailed((1, "pi", "dhcp"), mac=PI))
    assert (first["name"], first["mac"], first["vendor"]) == ("pi", "b8:27:eb:00:00:01", "Raspberry Pi Foundation")
    assert (second["name"], second["mac"], second["vendor"]) == ("", "", "")
    assert [row["app"] for row in (first, second, third)] == ["dns", "dns", "https"]
    assert second["apps"] == "dns:100:0:1:0;https:0:50:0:1"
    for row in (first, second, third):
        apps = [[int(number) for number in app.split(":")[1:]] for app in row["apps"].split(";")]
        assert [sum(numbers) for numbers in zip(*apps, strict=True)] == [int(row[name]) for name in COLUMNS]


def test_csv_of_devices_has_their_addresses() -> None:
    rows = csv_rows(group_hosts(detailed(mac=PI), Grouping(by_mac=True)))
    assert {row["host"]: row["addresses"] for row in rows} == {"10.0.0.1": "10.0.0.1", "10.0.0.2": "", "10.0.0.3": ""}


# Tables.


def test_table_of_applications() -> None:
    lines = table(detailed()).splitlines()
    start = lines.index("application  bytes  frames  share  hosts")
    assert lines[start - 1] == ""
    assert lines[start + 1 : start + 4] == [
        "dns          100 B       1  63.7%      2",
        "https         50 B       1  31.8%      2",
        "unknown        7 B       1   4.5%",
    ]


def test_table_has_as_many_applications_as_hosts_are_asked_for() -> None:
    text = table(detailed(), top=1)
    assert ("\ndns " in text, "\nhttps " in text) == (True, False)
    lines = text.splitlines()
    assert (
        lines.index("2 more hosts") < lines.index("application  bytes  frames  share  hosts") < lines.index("2 more applications")
    )
    assert "application" not in table(detailed(), top=0)


def test_table_of_hosts_only_has_no_applications() -> None:
    text = table(snapshot_of([FakeFrame(T0, 100, 1, 2)], MINUTE))
    assert not any(word in text for word in ("application", "name", "mostly", "conversations"))


def test_table_has_names_else_vendors_and_what_a_host_does_mostly() -> None:
    lines = table(detailed((2, "example.org", "dns"), mac=PI)).splitlines()
    header = next(line for line in lines if line.startswith("host"))
    assert header.split()[:2] == ["host", "name"]
    first = next(line for line in lines if line.startswith("10.0.0.1"))
    second = next(line for line in lines if line.startswith("10.0.0.2"))
    assert "  (Raspberry Pi Foundation)  " in first
    assert "  example.org  " in second
    assert first[header.index("mostly") :].split()[0] == "dns"


def of_the_internet(*names: str) -> Snapshot:
    """Return `detailed` with these names for its hosts, which are remote but for the first."""
    snapshot = detailed(*((number, name, "sni") for number, name in enumerate(names, 1)))
    return replace(snapshot, local=np.array([True, False, False]))


def test_table_has_online_services_where_there_are_any() -> None:
    lines = table(of_the_internet("", "www.netflix.com", "example.org")).splitlines()
    header = next(line for line in lines if line.startswith("host"))
    at = header.index("online service")
    services = {line.split()[0]: line[at : at + 14].strip() for line in lines if line.startswith("10.0.0.")}
    assert services == {"10.0.0.1": "", "10.0.0.2": "Netflix", "10.0.0.3": ""}
    assert "online service" not in table(of_the_internet("", "example.org", "example.org"))


def test_table_of_categories_adds_up_remote_hosts() -> None:
    lines = table(of_the_internet("www.netflix.com", "www.netflix.com", "i.ytimg.com")).splitlines()
    start = lines.index("category  bytes   share  hosts  mostly")
    assert lines[start - 1] == ""
    assert lines[start + 1 : start + 3] == ["video     214 B  100.0%      2  Netflix", "conversations: 3 begun, 1 ended"]


def test_table_of_categories_has_the_biggest_first() -> None:
    lines = table(of_the_internet("", "deb.debian.org", "i.ytimg.com")).splitlines()
    start = lines.index("category  bytes  share  hosts  mostly")
    assert [line.split()[0] for line in lines[start + 1 : start + 3]] == ["update", "video"]
    assert "category" not in table(of_the_internet("www.netflix.com"))
    assert "category" not in table(of_the_internet("", "example.org"))


@pytest.mark.parametrize("length", [MAX_NAME, MAX_NAME + 1, 200])
def test_table_shortens_long_names(length: int) -> None:
    text = table(detailed((1, "n" * length, "dhcp")))
    assert max(map(len, re.findall("n{9,}…?", text))) == MAX_NAME
    assert ("…" in text) == (length > MAX_NAME)


@pytest.mark.parametrize(("width", "gone"), [(160, []), (100, ["packets in"]), (60, ["packets in", "share", "side"])])
def test_narrow_terminal_gives_up_columns(width: int, gone: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    text = drawn(detailed((1, "a-name-of-20-letters", "dhcp")), width, monkeypatch)
    header = next(line for line in text.splitlines() if line.startswith("host"))
    assert [title for title in ("packets in", "share", "side", "bytes in", "total", "state") if title not in header] == gone
    assert max(map(len, text.splitlines()[2:6])) <= width


def test_narrow_terminal_keeps_hosts_and_applications_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    text = drawn(detailed((1, "a-name-of-20-letters", "dhcp")), 46, monkeypatch)
    assert "a-name" not in text
    assert all(f"\n10.0.0.{number} " in text for number in (1, 2, 3))
    assert re.search(r"^unknown +7 B", text, re.MULTILINE)


def test_table_notes_of_conversations() -> None:
    lines = table(detailed(n_skipped=1234, full=1)).splitlines()
    assert "conversations: 3 begun, 2 ended, 1 of them early (table full)" in lines
    assert "payloads skipped (classification budget): 1,234" in lines
    assert "want" not in table(detailed())


# Names as attackers choose them.

HOSTILE = "\x1b]0;owned\x07\x1b[2J\r\n=cmd|'/c calc'!A0\u202egpj.\x9b31m"


@pytest.mark.parametrize("source", ["dhcp", "mdns", "sni"])
def test_hostile_names_are_harmless_in_every_format(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot = detailed((1, HOSTILE, source), (2, "=1+1", source))
    stream = io.BytesIO()
    JsonlSink(stream).snapshot(snapshot)
    cells = csv_rows(snapshot)
    texts = [
        stream.getvalue().decode(),
        *cells[0].values(),
        *cells[1].values(),
        table(snapshot),
        drawn(snapshot, 160, monkeypatch),
    ]
    for text in texts:
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", text)
    for row in cells[:2]:
        assert row["name"]
        assert row["name"][0] not in "=+-@"
    names = [host.get("name", "") for host in jsonl(snapshot)["hosts"]]
    assert names[0].startswith("\\x1b]0;owned")
    assert all(name.isprintable() for name in names)
