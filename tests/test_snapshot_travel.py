"""Snapshots on their way to other processes and machines: pickled, copied, as Arrow tables, and merged there."""

from __future__ import annotations

import copy
import json
import multiprocessing
import pickle
import struct
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from fakes import T0, FakeFrame, S, key, snapshot_of
from snapshot_checks import arrays, contents, rows

import fastmon
from fastmon.classify import APPLICATIONS
from fastmon.errors import ConfigError
from fastmon.model.counters import Dropped, Interval, SourceCounts
from fastmon.model.grouping import group_hosts
from fastmon.model.names import NameBook, NameFact
from fastmon.model.rows import Grouping
from fastmon.model.snapshot import Snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator

DEMO = Path(__file__).parents[1] / "pcaps" / "demo.pcap"
MINUTE = Interval(T0, T0 + 60 * S)
ANALYSE = """
import pickle, sys, fastmon
*_, summary = fastmon.watch(sys.argv[1], interval="0")
sys.stdout.buffer.write(pickle.dumps(summary))
"""


@pytest.fixture(scope="module")
def demo() -> list[Snapshot]:
    """The snapshots of a run with conversations and names, the summary last."""
    return list(fastmon.watch(DEMO, interval="60s"))


@pytest.fixture(scope="module")
def kinds(demo: list[Snapshot]) -> dict[str, Snapshot]:
    first, second, *_, summary = demo
    other = replace(second, run="other", source="eth1")
    return {
        "interval": first,
        "summary": summary,
        "merged": first.merge(second, other),
        "devices": group_hosts(first, Grouping(by_mac=True, v6_prefix=64)),
        "chunk": next(iter(summary.chunks())),
        "top": summary.top(3),
        "hosts only": next(iter(fastmon.watch(DEMO, interval="60s", hosts_only=True))),
        "empty": snapshot_of([], MINUTE),
    }


KINDS = ["interval", "summary", "merged", "devices", "chunk", "top", "hosts only", "empty"]
WAYS: dict[str, Callable[[Snapshot], Snapshot]] = {
    **{
        f"pickle {protocol}": lambda snapshot, protocol=protocol: pickle.loads(pickle.dumps(snapshot, protocol))  # type: ignore[misc]
        for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1)
    },
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", KINDS)
def test_snapshot_comes_back_as_it_was(kinds: dict[str, Snapshot], kind: str, way: str) -> None:
    snapshot = kinds[kind]
    back = WAYS[way](snapshot)
    assert contents(back) == contents(snapshot)
    assert back.runs == snapshot.runs
    writeable = [name for name, array in arrays(back).items() if array.flags.writeable]
    assert writeable == []
    assert list(back) == list(snapshot)


ARRAYS = [
    "hosts",
    "total_bytes_in",
    "total_bytes_out",
    "local",
    "flagged",
    "apps",
    "app_totals",
    "unknown_ports",
    "macs",
    "services",
]


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_are_read_only_whoever_made_the_snapshot(demo: list[Snapshot], name: str) -> None:
    array = getattr(demo[0], name).copy()
    assert array.flags.writeable
    snapshot = replace(demo[0], **{name: array})
    assert not getattr(snapshot, name).flags.writeable
    assert array.flags.writeable  # it is its owner's


@pytest.mark.parametrize("way", [way for way in WAYS if way != "copy"])
def test_names_are_frozen_when_a_snapshot_travels(way: str) -> None:
    book = NameBook()
    book.record([NameFact(key(1), "laptop", "dhcp")], T0)
    book.record([NameFact(key(7), "elsewhere", "dhcp")], T0)
    back = WAYS[way](replace(snapshot_of([FakeFrame(T0)], MINUTE), names=book))
    book.record([NameFact(key(1), "renamed", "dhcp")], T0 + 1)
    assert back.names is not None
    assert back.names.name_of(key(1), is_local=True) == ("laptop", "dhcp")
    assert back.names.name_of(key(7), is_local=True) == ("elsewhere", "dhcp")  # a host that another machine may have seen


def summary_of(*paths: Path) -> Snapshot:
    (summary,) = fastmon.watch(*paths, interval="0")
    return summary


def test_snapshots_come_out_of_a_pool_of_processes() -> None:
    here = summary_of(DEMO)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        (back,) = pool.map(summary_of, [DEMO])
    assert {**contents(back), "run": ""} == {**contents(here), "run": ""}
    assert len(back.run) == 32
    assert back.run != here.run


def test_snapshots_of_a_run_carry_its_id(demo: list[Snapshot]) -> None:
    assert len({snapshot.run for snapshot in demo}) == 1
    assert [snapshot.sequence for snapshot in demo] == [1, 2, 3, 4, 5, 0]
    merged = Snapshot.merge(*demo[2:5])
    assert (merged.run, merged.sequence, merged.n_intervals) == (demo[0].run, 5, 3)


# Two machines.


def records_of(path: Path) -> Iterator[bytes]:
    """The records of a capture: a header of 16 bytes and an Ethernet frame each."""
    data = path.read_bytes()
    at = 24
    while at < len(data):
        (cap_len,) = struct.unpack_from("<I", data, at + 8)
        yield data[at : at + 16 + cap_len]
        at += 16 + cap_len


def write_capture(path: Path, records: list[bytes]) -> Path:
    path.write_bytes(DEMO.read_bytes()[:24] + b"".join(records))
    return path


def addresses_of(record: bytes) -> frozenset[bytes]:
    """The two addresses of a frame; none if it is not IP."""
    frame = record[16:]
    at = 14 if frame[12:14] != b"\x81\x00" else 18
    if frame[at - 2 : at] == b"\x08\x00":
        return frozenset((frame[at + 12 : at + 16], frame[at + 16 : at + 20]))
    return frozenset((frame[at + 8 : at + 24], frame[at + 24 : at + 40])) if frame[at - 2 : at] == b"\x86\xdd" else frozenset()


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The demo seen by two machines at the same time: all that two hosts say to each other goes by one of them.

    So no conversation is cut in two, and neither is one that another one announces (FTP's data). Both see most hosts.
    """
    records: tuple[list[bytes], list[bytes]] = ([], [])
    for record in records_of(DEMO):
        records[sum(map(sum, addresses_of(record))) % 2].append(record)
    folder = tmp_path_factory.mktemp("sites")
    return [write_capture(folder / f"site-{number}.pcap", some) for number, some in enumerate(records)]


def through_a_pipe(path: Path) -> Snapshot:
    """Analyse a capture in a process of its own, which pickles the summary into a pipe."""
    run = subprocess.run([sys.executable, "-c", ANALYSE, str(path)], capture_output=True, check=True)
    back = pickle.loads(run.stdout)
    assert isinstance(back, Snapshot)
    return back


def told(snapshot: Snapshot) -> dict[str, Any]:
    """All that a snapshot tells, whatever the order of its hosts; but the reasons of ends between idle and end.

    Whether an idle conversation is found before the run ends depends on how many frames of others come after it.
    """
    assert snapshot.names is not None
    assert snapshot.macs is not None
    counts = snapshot.conversations
    assert counts is not None
    names = snapshot.names.names_of(snapshot.hosts["key"], snapshot.local)
    columns = (names, snapshot.macs.tolist(), snapshot.host_apps())
    return {
        "counters": snapshot.counters,
        "hosts": rows(snapshot),
        "named": {text: values for text, *values in zip(snapshot.host_texts(), *columns, strict=True)},
        "applications": snapshot.network_apps(),
        "all names": len(snapshot.names),
        "opened": counts.opened,
        "ended": {**counts.ended, "idle": 0, "end": counts.ended["idle"] + counts.ended["end"]},
        "running": (counts.running, counts.n_skipped),
    }


def test_two_machines_summaries_come_to_one_run_over_both(sites: list[Path], demo: list[Snapshot]) -> None:
    one, other = map(through_a_pipe, sites)
    expected = told(demo[-1])
    for merged in (one.merge(other), other.merge(one), pickle.loads(pickle.dumps(other)).merge(pickle.loads(pickle.dumps(one)))):
        assert told(merged) == expected
        merged.check_conservation()
    assert len(one) + len(other) > len(demo[-1])
    assert expected["opened"] == 160
    assert [told(part)["all names"] for part in (one, other)] != [53, 53]
    assert expected["all names"] == 53


def test_captures_one_after_the_other_come_to_one_run_over_both(sites: list[Path], tmp_path: Path) -> None:
    """The second machine's capture begins ten minutes later: in a run over both files no conversation goes on in the second."""
    late = [struct.pack("<I", int.from_bytes(record[:4], "little") + 600) + record[4:] for record in records_of(sites[1])]
    later = write_capture(tmp_path / "later.pcap", late)
    one, other = through_a_pipe(sites[0]), through_a_pipe(later)
    expected = told(summary_of(sites[0], later))
    assert told(one.merge(other)) == told(other.merge(one)) == expected


def test_two_machines_intervals_come_to_one_run_over_both(sites: list[Path], demo: list[Snapshot]) -> None:
    """In any order and grouping, as they may arrive; pickled again in between."""
    intervals = [snapshot for path in sites for snapshot in fastmon.watch(path, interval="60s") if not snapshot.is_summary]
    whole = told(Snapshot.merge(*demo[:-1]))
    assert len(intervals) == 10
    for step in (1, 3, 7):  # each comes to all of the ten
        pool = [intervals[step * n % 10] for n in range(10)]
        while len(pool) > 1:
            one, another, *pool = pool
            pool.append(pickle.loads(pickle.dumps(another.merge(one))))
        assert told(pool[0]) == whole


@pytest.mark.parametrize("order", [1, -1])
def test_halves_of_a_capture_have_all_its_names_and_hosts(demo: list[Snapshot], tmp_path: Path, order: int) -> None:
    records = list(records_of(DEMO))
    half = len(records) // 2
    halves = [write_capture(tmp_path / f"{number}.pcap", some) for number, some in enumerate((records[:half], records[half:]))]
    summaries = [summary_of(path) for path in halves]

    def named(snapshot: Snapshot) -> dict[str, Any]:
        assert snapshot.names is not None
        names = snapshot.names.names_of(snapshot.hosts["key"], snapshot.local)
        return {text: name for text, name in zip(snapshot.host_texts(), names, strict=True) if name}

    merged = Snapshot.merge(*summaries[::order])
    assert named(merged) == named(demo[-1])
    assert (len(named(merged)), [len(named(summary)) for summary in summaries]) == (53, [34, 26])
    assert rows(merged) == rows(demo[-1])
    assert merged.covered_ns == sum(summary.covered_ns for summary in summaries)


# Arrow.

COLUMNS = {
    **dict.fromkeys(("start", "end"), "timestamp[ns, tz=UTC]"),
    **dict.fromkeys(("host", "name", "mac"), "string"),
    **dict.fromkeys(("local", "flagged"), "bool"),
    **dict.fromkeys(("bytes_in", "bytes_out", "packets_in", "packets_out"), "uint64"),
    **dict.fromkeys(("first_seen", "last_seen"), "timestamp[ns, tz=UTC]"),
    **dict.fromkeys(("total_bytes_in", "total_bytes_out"), "uint64"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_arrow_table_read_back_is_the_snapshot(kinds: dict[str, Snapshot], kind: str, tmp_path: Path) -> None:
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    snapshot = kinds[kind]
    parquet.write_table(snapshot.to_arrow(), tmp_path / "x.parquet")
    table = parquet.read_table(tmp_path / "x.parquet")
    assert {field.name: str(field.type) for field in table.schema} == COLUMNS
    columns = {name: table[name].cast(pa.int64()) if "seen" in name else table[name] for name in table.column_names}
    names = [None] * len(snapshot) if snapshot.names is None else snapshot.names.names_of(snapshot.hosts["key"], snapshot.local)
    macs = [0] * len(snapshot) if snapshot.macs is None else snapshot.macs.tolist()
    expected = [
        {
            **{name: value for name, value in found._asdict().items() if not name.endswith("_ns")},
            "first_seen": found.first_seen_ns,
            "last_seen": found.last_seen_ns,
            "name": name and name[0],
            "mac": mac.to_bytes(6, "big").hex(":") if mac else None,
        }
        for found, name, mac in zip(snapshot, names, macs, strict=True)
    ]
    assert pa.table(columns).drop_columns(["start", "end"]).to_pylist() == [
        {name: found[name] for name in COLUMNS if name not in ("start", "end")} for found in expected
    ]
    for name, ts_ns in (("start", snapshot.interval.start_ns), ("end", snapshot.interval.end_ns)):
        assert table[name].cast(pa.int64()).to_pylist() == [ts_ns] * len(snapshot)


@pytest.mark.parametrize("kind", KINDS)
def test_arrow_metadata_has_the_rest(kinds: dict[str, Snapshot], kind: str) -> None:
    pytest.importorskip("pyarrow")
    counts = kinds[kind].conversations
    counts = None if counts is None else replace(counts, n_skipped=5)
    snapshot = replace(
        kinds[kind],
        dropped=Dropped(1, 2, 3, 7, 8, 9),
        packet_log_dropped=4,
        contacts_dropped=5,
        names_dropped=6,
        source="a\udcff.pcap",
        conversations=counts,
        sources=(SourceCounts("eth0", 9, Dropped(1), 7),),
    )
    head = json.loads(snapshot.to_arrow(lambda app: APPLICATIONS[app].name).schema.metadata[b"fastmon"])
    counters = snapshot.counters
    conversations = counts and {
        "opened": counts.opened,
        "running": counts.running,
        "ended": counts.ended,
        "unclassified_for_budget": counts.n_skipped,
        "services_overflow": snapshot.services_overflow,
    }
    assert head.pop("conversations", None) == conversations
    apps = {APPLICATIONS[app].name: asdict(count) for app, count in snapshot.network_apps().items()}
    assert head.pop("apps", {}) == apps
    assert head == {
        "type": "summary" if snapshot.is_summary else "snapshot",
        "source": "a\udcff.pcap",
        "start_ns": snapshot.interval.start_ns,
        "end_ns": snapshot.interval.end_ns,
        "duration_ns": snapshot.covered_ns,
        "n_intervals": snapshot.n_intervals,
        "bytes_of": "frame",
        "runs": [asdict(part) for part in snapshot.runs],
        "grouping": asdict(snapshot.grouping),
        "frames": counters.frames.frames,
        "bytes": counters.frames.bytes,
        "ip": asdict(counters.ip),
        "non_ip": asdict(counters.non_ip),
        "undecoded": {reason: asdict(count) for reason, count in counters.undecoded.items()},
        "duplicates": {"frames": 0, "bytes": 0},
        "dropped": {"kernel": 1, "interface": 2, "backlog": 3, "file_interface": 7, "file_system": 8, "file_frames": 9},
        "packet_log_dropped": 4,
        "contacts_dropped": 5,
        "names_dropped": 6,
        "sources": [{"name": "eth0", "frames": 9, "dropped": asdict(Dropped(1)), "away_ns": 7}],
        "overflow": asdict(counters.overflow),
    }


def test_arrow_metadata_says_which_runs_there_are(kinds: dict[str, Snapshot]) -> None:
    pytest.importorskip("pyarrow")
    runs = json.loads(kinds["merged"].to_arrow().schema.metadata[b"fastmon"])["runs"]
    assert [(run["run"], run["source"], run["n_intervals"]) for run in runs] == sorted(
        [(kinds["interval"].run, str(DEMO), 2), ("other", "eth1", 1)]
    )


def test_table_of_more_than_a_chunk_is_one() -> None:
    pytest.importorskip("pyarrow")
    snapshot = snapshot_of([FakeFrame(T0, 100, number % 256, number % 255) for number in range(256)], MINUTE)
    names = ("hosts", "total_bytes_in", "total_bytes_out", "local", "flagged")
    columns: dict[str, Any] = {name: np.concatenate([getattr(snapshot, name)] * 9) for name in names}
    many = replace(snapshot, **columns)
    table = many.to_arrow()
    assert table.num_rows == 9 * 256
    assert table["bytes_in"].num_chunks == 1
    assert table["host"].to_pylist() == many.host_texts()


def test_arrow_asks_for_pyarrow_by_the_extra_s_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ConfigError, match=r"pip install 'fastmon\[parquet\]'"):
        snapshot_of([], MINUTE).to_arrow()


# Plain values.


def test_to_dict_keeps_devices_that_had_one_address() -> None:
    """One after the other, in two snapshots that are merged; and a host whose device is not known."""
    by_mac = Grouping(by_mac=True)
    parts = [
        group_hosts(
            replace(snapshot_of([FakeFrame(T0, size, 5, 6)], MINUTE), macs=np.array([mac, 0x0200000000BB], np.uint64)), by_mac
        )
        for mac, size in ((0x020000000007, 100), (0x020000000008, 30), (0, 9))
    ]
    merged = Snapshot.merge(*parts)
    sent = {text: values["bytes_out"] for text, values in merged.to_dict().items()}
    assert sent == {
        "10.0.0.5": 9,
        "10.0.0.5 (02:00:00:00:00:07)": 100,
        "10.0.0.5 (02:00:00:00:00:08)": 30,
        "10.0.0.6": 0,
    }


@pytest.mark.parametrize("v6_prefix", [128, 64])
def test_to_dict_of_merged_devices_has_all_bytes(demo: list[Snapshot], v6_prefix: int) -> None:
    """The devices of one half of the run have the addresses that others have in the other half."""
    first, second, *_ = demo
    assert second.macs is not None
    moved = replace(second, macs=np.where(second.macs != 0, second.macs ^ 0xFF00, second.macs).astype(np.uint64))
    grouping = Grouping(by_mac=True, v6_prefix=v6_prefix)
    merged = group_hosts(first, grouping).merge(group_hosts(moved, grouping))
    by_text = merged.to_dict()
    assert len(set(merged.host_texts())) < len(merged)
    assert len(by_text) == len(merged)
    assert sum(values["bytes_in"] for values in by_text.values()) == first.counters.ip.bytes + second.counters.ip.bytes
