"""Applications, names and conversations from a capture to what the command line and the library show."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import builders as b
import pytest
from classify import cases
from conversation_tools import check

import fastmon
from fastmon.model.frames import Frame

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fastmon.model.conversations import EndedConversations
    from fastmon.model.snapshot import Snapshot

S = 1_000_000_000
T0 = 1_767_225_600 * S
DEMO = Path(__file__).parents[1] / "pcaps" / "demo.pcap"
COMMAND = [sys.executable, "-m", "fastmon"]
LAPTOP, SERVER, RESOLVER = "10.0.0.5", "192.0.2.1", "10.0.0.1"
LAPTOP_6, SERVER_6 = "fd00::5", "2001:db8::1"
LAPTOP_MAC, GATEWAY_MAC = b.MAC_A, b.MAC_B
COLUMNS = ("bytes_in", "bytes_out", "packets_in", "packets_out")


def run(*arguments: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    options = {"capture_output": True, "text": True, "timeout": 60, **options}
    return subprocess.run([*COMMAND, "replay", *map(str, arguments)], check=False, **options)


def records(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def summary_of(*arguments: str | Path) -> dict[str, Any]:
    """Return the only record of a run without intervals."""
    result = run(*arguments, "-i", "0", "--limit", "0", "--format", "jsonl")
    assert (result.returncode, result.stderr) == (0, "")
    (summary,) = records(result.stdout)
    return summary


def hosts(summary: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {host["host"]: host for host in summary["hosts"]}


def datagram(ts_ns: int, src: str, sport: int, dst: str, dport: int, data: bytes) -> Frame:
    is_laptop = src in (LAPTOP, LAPTOP_6, "0.0.0.0")
    macs = {"src": LAPTOP_MAC if is_laptop else GATEWAY_MAC, "dst": GATEWAY_MAC if is_laptop else LAPTOP_MAC}
    frame = b.ethernet(b.IPV4, b.ipv4(src, dst, b.udp(sport, dport, data)), **macs)
    return Frame(ts_ns, len(frame), 1, frame)


class Connection:
    """TCP between the laptop and a server, a frame every millisecond."""

    def __init__(self, start_ns: int, ports: tuple[int, int], *, v6: bool = False) -> None:
        self.ts_ns, self.ports, self.v6 = start_ns, ports, v6
        self.frames: list[Frame] = []
        self.say(b"", flags=b.SYN)
        self.say(b"", flags=b.SYN | b.ACK, from_laptop=False)

    def say(self, data: bytes, *, flags: int = b.ACK, from_laptop: bool = True) -> None:
        ends = (LAPTOP_6, SERVER_6) if self.v6 else (LAPTOP, SERVER)
        macs, ports = (LAPTOP_MAC, GATEWAY_MAC), self.ports
        if not from_laptop:
            ends, macs, ports = ends[::-1], macs[::-1], ports[::-1]
        segment = b.tcp(*ports, data, flags=flags)
        if self.v6:
            frame = b.ethernet(b.IPV6, b.ipv6(*ends, segment, next_header=b.TCP), src=macs[0], dst=macs[1])
        else:
            frame = b.ethernet(b.IPV4, b.ipv4(*ends, segment, protocol=b.TCP), src=macs[0], dst=macs[1])
        self.frames.append(Frame(self.ts_ns, len(frame), 1, frame))
        self.ts_ns += S // 1000

    def close(self) -> list[Frame]:
        self.say(b"", flags=b.FIN | b.ACK)
        self.say(b"", flags=b.FIN | b.ACK, from_laptop=False)
        return self.frames


def https(start_ns: int, name: str, sport: int = 50000, dport: int = 443, *, v6: bool = False) -> list[Frame]:
    connection = Connection(start_ns, (sport, dport), v6=v6)
    connection.say(cases.tls_record(cases.client_hello(name, ("h2",))))
    connection.say(bytes(1000), from_laptop=False)
    return connection.close()


def office(host_name: bytes = b"annas-laptop", server_name: str = "www.example.org") -> list[Frame]:
    """A lease, a name asked for, HTTPS on a port of its own over IPv4 and IPv6, and something that nobody knows."""
    lease = cases.dhcp(3, name=host_name, requested=bytes([10, 0, 0, 5]))
    answer = cases.dns_answer(server_name, bytes([192, 0, 2, 1]))
    return [
        datagram(T0, "0.0.0.0", 68, "255.255.255.255", 67, lease),
        datagram(T0 + S, LAPTOP, 40000, RESOLVER, 53, cases.dns_query(server_name)),
        datagram(T0 + S + 1, RESOLVER, 53, LAPTOP, 40000, answer),
        *https(T0 + 2 * S, server_name, dport=4433),
        *https(T0 + 3 * S, server_name, sport=50001, v6=True),
        datagram(T0 + 4 * S, LAPTOP, 41000, SERVER, 41001, b"\x00\x01what is this"),
    ]


def save(path: Path, frames: Iterable[Frame]) -> Path:
    path.write_bytes(b.pcap_file(sorted(frames, key=lambda frame: frame.ts_ns)))
    return path


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    return save(tmp_path / "office.pcap", office())


# What is known of hosts.


@pytest.mark.parametrize("engine", ["native", "reference"])
def test_hosts_have_applications_and_names(capture: Path, engine: str) -> None:
    summary = summary_of(capture, "--engine", engine)
    laptop, server = hosts(summary)[LAPTOP], hosts(summary)[SERVER]
    assert list(laptop["apps"]) == ["https", "dns", "unknown"]
    assert (laptop["name"], laptop["name_from"], laptop["mac"]) == ("annas-laptop", "dhcp", "02:00:00:00:00:0a")
    assert (server["name"], server["name_from"]) == ("www.example.org", "sni")
    assert "mac" not in server
    for host in summary["hosts"]:
        assert {name: sum(app[name] for app in host["apps"].values()) for name in COLUMNS} == {n: host[n] for n in COLUMNS}
    assert {role: set(services) for role, services in laptop["ports"].items()} == {"client": {"tcp/4433", "udp/53", "udp/41001"}}
    assert set(summary["apps"]) == {"https", "dns", "dhcp", "unknown"}
    assert sum(app["bytes"] for app in summary["apps"].values()) == summary["ip"]["bytes"]


def test_hosts_only_knows_hosts_only(capture: Path) -> None:
    summary, plain = summary_of(capture), summary_of(capture, "--hosts-only")
    assert not {"apps", "conversations"} & set(plain)
    known = {"apps", "name", "name_from", "mac", "vendor", "addresses", "ports"}
    assert not any(known & set(host) for host in plain["hosts"])
    stripped = {name: {k: v for k, v in host.items() if k not in known} for name, host in hosts(summary).items()}
    assert hosts(plain) == stripped


@pytest.mark.parametrize("extra", [["--conversations", "x.jsonl"], ["--by", "mac"], ["--ports"]])
def test_hosts_only_contradicts_what_needs_conversations(capture: Path, extra: list[str]) -> None:
    result = run(capture, "--hosts-only", *extra)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == f"fastmon: --hosts-only cannot be combined with {' '.join(extra).removesuffix(' x.jsonl')}\n"


def test_table_shows_applications_and_names(capture: Path) -> None:
    result = run(capture, "-i", "0")
    assert (result.returncode, result.stderr) == (0, "")
    assert re.search(r"^10\.0\.0\.5 +annas-laptop +local .* https +OK$", result.stdout, re.MULTILINE)
    assert re.search(r"^application +bytes +frames +share +hosts$", result.stdout, re.MULTILINE)
    assert re.search(r"^https +[\d.]+ kB +12 ", result.stdout, re.MULTILINE)


def test_budget_0_knows_ports_only(capture: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    summary = summary_of(capture, "--classify-budget", "0", "--conversations", out)
    assert not any("name" in host for host in summary["hosts"])
    by_ports = {(record["b"]["port"], record["app"], record["by"]) for record in records(out.read_text())}
    assert by_ports == {
        (67, "dhcp", "port"),
        (53, "dns", "port"),
        (4433, "unknown", None),
        (443, "https", "port"),
        (41001, "unknown", None),
    }
    assert summary["conversations"]["unclassified_for_budget"] == 8
    assert summary_of(capture)["conversations"]["unclassified_for_budget"] == 0


def test_devices_have_both_their_addresses(capture: Path) -> None:
    summary, ungrouped = summary_of(capture, "--by", "mac", "--local", "10.0.0.0/8", "--local", "fd00::/8"), summary_of(capture)
    device = hosts(summary)[LAPTOP]
    assert device["addresses"][:2] == [LAPTOP, LAPTOP_6]
    assert LAPTOP_6 not in hosts(summary)
    for name in COLUMNS:
        assert device[name] == sum(hosts(ungrouped)[address][name] for address in device["addresses"])
        assert sum(host[name] for host in summary["hosts"]) == sum(host[name] for host in ungrouped["hosts"])


def test_hosts_of_a_prefix_are_one(tmp_path: Path) -> None:
    frames = [
        Frame(T0 + n, 100, 1, b.ethernet(b.IPV6, b.ipv6(f"2001:db8:0:1::{n}", "2001:db8:0:2::1", b.udp(1000 + n, 53))))
        for n in range(1, 4)
    ]
    path = save(tmp_path / "six.pcap", frames)
    grouped = hosts(summary_of(path, "--v6-prefix", "64"))
    assert {name: (host["packets_in"], host["packets_out"]) for name, host in grouped.items()} == {
        "2001:db8:0:1::/64": (0, 3),
        "2001:db8:0:2::/64": (3, 0),
    }
    assert grouped["2001:db8:0:1::/64"]["apps"]["dns"]["packets_out"] == 3
    assert len(hosts(summary_of(path))) == 4


def test_both_groupings_in_csv(capture: Path) -> None:
    result = run(capture, "-i", "0", "--format", "csv", "--by", "mac", "--v6-prefix", "64", "--local", "10.0.0.0/8")
    rows = {row["host"]: row for row in csv.DictReader(io.StringIO(result.stdout))}
    assert rows[LAPTOP]["mac"] == "02:00:00:00:00:0a"
    assert rows["2001:db8::/64"]["app"] == "https"
    assert (rows["fd00::/64"]["mac"], rows["fd00::/64"]["addresses"]) == ("", "")


# Records of conversations.


@pytest.mark.parametrize("engine", ["native", "reference"])
def test_records_of_conversations(capture: Path, tmp_path: Path, engine: str) -> None:
    out = tmp_path / "out.jsonl"
    summary = summary_of(capture, "--conversations", out, "--engine", engine)
    found = records(out.read_text())
    assert len(found) == summary["conversations"]["opened"] == 5
    assert sum(record["bytes_ab"] + record["bytes_ba"] for record in found) == summary["ip"]["bytes"]
    assert sum(record["packets_ab"] + record["packets_ba"] for record in found) == summary["ip"]["frames"]
    (tls,) = (record for record in found if record["b"] == {"host": SERVER, "port": 4433})
    assert tls["a"] == {"host": LAPTOP, "port": 50000}
    assert [tls[name] for name in ("protocol", "app", "by", "name")] == ["tcp", "https", "payload", "www.example.org"]
    assert (tls["start"], tls["end"]) == ("2026-01-01T00:00:02.000000Z", "2026-01-01T00:00:02.005000Z")
    assert (tls["packets_ab"], tls["packets_ba"]) == (3, 3)
    (dns,) = (record for record in found if record["app"] == "dns")
    assert (dns["name"], dns["ended"]) == ("www.example.org", "end")


def test_records_as_csv(capture: Path, tmp_path: Path) -> None:
    out, lines = tmp_path / "out.csv", tmp_path / "out.jsonl"
    run(capture, "--conversations", out)
    run(capture, "--conversations", lines)
    rows = list(csv.DictReader(io.StringIO(out.read_text())))
    assert [(row["a_host"], row["app"], row["by"], row["name"], row["bytes_ab"]) for row in rows] == [
        (r["a"]["host"], r["app"], r["by"] or "", r["name"] or "", str(r["bytes_ab"])) for r in records(lines.read_text())
    ]


def test_conversation_ends_with_its_connection(tmp_path: Path) -> None:
    """One that was closed ends when its ports are used again."""
    reset = Connection(T0 + S, (50001, 443))
    reset.say(b"", flags=b.RST)
    path = save(tmp_path / "x.pcap", [*https(T0, "a.example"), *reset.frames, *https(T0 + 9 * S, "b.example")])
    out = tmp_path / "out.jsonl"
    summary = summary_of(path, "--conversations", out)
    ends = [(record["name"], record["by"], record["ended"]) for record in records(out.read_text())]
    assert ends == [("a.example", "payload", "fin"), ("b.example", "payload", "fin"), (None, "port", "rst")]
    assert summary["conversations"]["ended"] == {"fin": 2, "rst": 1, "idle": 0, "full": 0, "end": 0}


def test_payloads_are_looked_at_before_their_conversations_end_for_being_idle(tmp_path: Path) -> None:
    """Also where the frames of many minutes are read at once."""
    frames = [datagram(T0 + n * 500 * S, LAPTOP, 40000, SERVER, 9999, cases.dns_query(f"www{n}.example", 1)) for n in range(4)]
    out = tmp_path / "out.jsonl"
    summary = summary_of(save(tmp_path / "slow.pcap", frames), "--conversations", out)
    assert [(record["app"], record["name"]) for record in records(out.read_text())] == [
        ("dns", f"www{n}.example") for n in range(4)
    ]
    assert set(summary["apps"]) == {"dns"}


def test_conversations_beyond_the_most_end_early(tmp_path: Path) -> None:
    frames = [datagram(T0 + n, LAPTOP, 20000 + n, SERVER, 53, cases.dns_query("example.org")) for n in range(50)]
    path, out = save(tmp_path / "many.pcap", frames), tmp_path / "out.jsonl"
    summary = summary_of(path, "--max-conversations", "5", "--conversations", out)
    assert summary["conversations"]["ended"]["full"] == 45
    assert [record["ended"] for record in records(out.read_text())] == ["full"] * 45 + ["end"] * 5
    assert hosts(summary)[LAPTOP]["apps"]["dns"]["packets_out"] == 50
    assert "45 of them early (table full)" in run(path, "--max-conversations", "5", "-i", "0").stdout


def test_records_that_cannot_be_written(capture: Path, tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "absent" / "out.jsonl"):
        result = run(capture, "--conversations", path)
        assert (result.returncode, result.stdout) == (2, "")
        (line,) = result.stderr.splitlines()
        assert line.startswith(f"fastmon: cannot write {path}: ")
    result = run(capture, "--conversations", "/dev/full")
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert "No space left" in line
    assert "summary" in result.stdout


def test_records_of_before_stay_where_nothing_can_be_read(tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    out.write_text("of before")
    assert run(tmp_path / "absent", "--conversations", out).returncode == 1
    assert out.read_text() == "of before"
    run(save(tmp_path / "none.pcap", []), "--conversations", out)
    assert out.read_text().startswith("protocol,a_host,")


def test_records_go_to_a_file_of_their_own(capture: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for option, word in (("-o", "the file of the results"), ("--log", "the log")):
        result = run(capture, "--conversations", out, option, out)
        assert (result.returncode, result.stdout) == (2, "")
        assert word in result.stderr
    before = capture.read_bytes()
    result = run(capture, "--conversations", capture)
    assert (result.returncode, "a capture file to replay" in result.stderr) == (2, True)
    assert capture.read_bytes() == before


def test_options_from_a_configuration_file(tmp_path: Path, capture: Path) -> None:
    config, out = tmp_path / "fastmon.toml", tmp_path / "out.csv"
    config.write_text(f'by = "mac"\nv6-prefix = 64\nclassify-budget = 0\nmax-conversations = 2\nconversations = "{out}"\n')
    summary = summary_of(capture, "--config", config)
    assert summary["conversations"]["ended"] == {"fin": 2, "rst": 0, "idle": 0, "full": 2, "end": 1}
    assert summary["conversations"]["unclassified_for_budget"] > 0
    assert "2001:db8::/64" in hosts(summary)
    assert "addresses" in hosts(summary)[LAPTOP]
    assert len(out.read_text().splitlines()) == 6
    config.write_text("hosts-only = true\n")
    assert "apps" not in summary_of(capture, "--config", config)


@pytest.mark.parametrize(
    ("option", "value"),
    [("--by", "name"), ("--v6-prefix", "0"), ("--v6-prefix", "129"), ("--classify-budget", "101"), ("--max-conversations", "0")],
)
def test_wrong_values_are_told(capture: Path, option: str, value: str) -> None:
    result = run(capture, option, value)
    assert (result.returncode, result.stdout) == (2, "")
    assert option.strip("-") in result.stderr


def test_time_may_be_the_last_there_is(tmp_path: Path) -> None:
    file = b.PcapngFile()
    file.interface(ts_resolution=9)
    for ts_ns in (2**63 - 6 * S, 2**63 - 2 * S, 2**63 - 1, 2**63 - 1):
        file.packet(datagram(ts_ns, LAPTOP, 40000, SERVER, 9999, cases.dns_query("example.org")))
    path = tmp_path / "late.pcapng"
    path.write_bytes(bytes(file))
    (summary,) = fastmon.watch(path, interval="0")
    assert summary.counters.frames.frames == 4


# Names as attackers choose them.


def test_hostile_names_reach_no_output_raw(tmp_path: Path) -> None:
    path = save(tmp_path / "bad.pcap", office(b"\x1b[2Jowned\r\n\x9b", "\x1b]0;x\x07.example\u202egpj"))
    for output_format in ("table", "jsonl", "csv"):
        for suffix in ("jsonl", "csv"):
            out, log = tmp_path / f"out.{suffix}", tmp_path / "log"
            arguments = ("--format", output_format, "--conversations", out, "--log", log)
            result = run(path, *arguments)
            assert (result.returncode, result.stderr) == (0, "")
            for text in (result.stdout, out.read_text(), log.read_text()):
                assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", text)
    assert hosts(summary_of(path))[LAPTOP]["name"].startswith("\\x1b[2Jowned")


# The demo.


def test_demo_of_the_readme_adds_up(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    summary = summary_of(DEMO, "--conversations", out)
    truth = json.loads(DEMO.with_name("demo.pcap.json").read_text())
    assert {name: summary[name] for name in ("frames", "bytes", "ip")} == {
        name: truth[name] for name in ("frames", "bytes", "ip")
    }
    found = records(out.read_text())
    assert sum(record["bytes_ab"] + record["bytes_ba"] for record in found) == summary["ip"]["bytes"]
    counts = summary["conversations"]
    assert len(found) == counts["opened"] == sum(counts["ended"].values())
    for app, count in summary["apps"].items():
        moved = sum(record["bytes_ab"] + record["bytes_ba"] for record in found if record["app"] == app)
        assert count["bytes"] == moved


def test_intervals_credit_what_came_before_the_label_to_the_summary(capture: Path) -> None:
    result = run(capture, "-i", "2s", "--format", "jsonl", "--limit", "0")
    *intervals, summary = records(result.stdout)
    for record in (*intervals, summary):
        assert sum(app["bytes"] for app in record["apps"].values()) == record["ip"]["bytes"]
    assert sum(record["apps"].get("https", {"bytes": 0})["bytes"] for record in intervals) == summary["apps"]["https"]["bytes"]
    assert sum(record["conversations"]["opened"] for record in intervals) == summary["conversations"]["opened"]


# The library, and several workers.


def watched(*paths: Path, **options: Any) -> tuple[list[Snapshot], list[EndedConversations]]:
    ended: list[EndedConversations] = []
    snapshots = list(fastmon.watch(*paths, on_conversations=ended.append, **options))
    return snapshots, ended


def test_watch_gives_conversations_with_their_names(capture: Path) -> None:
    (summary,), ended = watched(capture, interval="0")
    assert summary.conversations is not None
    assert sum(len(some.rows) for some in ended) == summary.conversations.opened == 5
    named = {name for some in ended for name in some.names}
    assert named == {"www.example.org", "annas-laptop", None} or named == {"www.example.org", None}
    assert all(len(some.rows) == len(some.names) for some in ended)


def test_watch_does_not_write_conversations_by_itself(capture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    watched(capture)
    assert [path.name for path in tmp_path.iterdir()] == [capture.name]


def captures(folder: Path) -> list[Path]:
    """Three files of an office, each with a connection of its own, a second apart."""
    return [
        save(
            folder / f"{number}.pcap",
            [
                *(replace(frame, ts_ns=frame.ts_ns + number * S) for frame in office()[2:]),
                *https(T0 + (5 + number) * S, f"api{number}.example", sport=51000 + number, dport=8000),
            ],
        )
        for number in range(3)
    ]


@pytest.mark.parametrize("interval", ["0", "1s"])
@pytest.mark.parametrize("workers", [1, 2, 3])
def test_workers_come_to_the_same_as_one(tmp_path: Path, interval: str, workers: int) -> None:
    paths = captures(tmp_path)
    ((whole,), _), (snapshots, ended) = watched(*paths, interval="0"), watched(*paths, interval=interval, workers=workers)
    for snapshot in (whole, *snapshots):
        check(snapshot)
    *intervals, summary = snapshots
    assert (summary.counters, summary.network_apps()) == (whole.counters, whole.network_apps())
    assert summary.conversations is not None
    assert summary.conversations.running == 0
    n_opened = sum(len(some.rows) for some in ended)
    assert n_opened == summary.conversations.opened == sum(summary.conversations.ended.values())
    assert len(intervals) == (0 if interval == "0" else 7)
    assert sum(snapshot.conversations.opened for snapshot in intervals if snapshot.conversations) in {0, n_opened}
    moved = sum(int(some.rows["bytes_ab"].sum() + some.rows["bytes_ba"].sum()) for some in ended)
    assert moved == summary.counters.ip.bytes
    names = [name for some in ended for name in some.names if name]
    assert {name for name in names if name.startswith("api")} == {f"api{number}.example" for number in range(3)}
