"""What can be asked of a snapshot with conversations."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from conversation_tools import facts
from fakes import T0, FakeFrame, S, snapshot_of

from fastmon.errors import FastmonError
from fastmon.model.conversations import APP_DTYPE, APP_TOTAL_DTYPE, CONVERSATION_DTYPE, ENDED_REASONS, ConversationCounts
from fastmon.model.services import SERVICE_DTYPE
from fastmon.model.snapshot import CHUNK_ROWS, HOST_DTYPE, Count, Counters, Interval, Snapshot

MINUTE = Interval(T0, T0 + 60 * S)
MAC = 0x0200000000AA


def ended(**numbers: int) -> dict[str, int]:
    return dict.fromkeys(ENDED_REASONS, 0) | numbers


def with_apps(
    frames: list[FakeFrame], apps: list[tuple[int, ...]], totals: list[tuple[int, ...]], counts: ConversationCounts, mac: int = 0
) -> Snapshot:
    """Return a snapshot with applications, and an Ethernet address of its first host."""
    snapshot = snapshot_of(frames, MINUTE)
    macs = np.zeros(len(snapshot), np.uint64)
    macs[:1] = mac
    return replace(
        snapshot,
        apps=np.array(apps, APP_DTYPE),
        app_totals=np.array(totals, APP_TOTAL_DTYPE),
        macs=macs,
        conversations=counts,
    )


# Hosts are 10.0.0.1, .2 and .3, in this order.
ONE = with_apps(
    [FakeFrame(T0, 100, 1, 2), FakeFrame(T0, 50, 2, 3), FakeFrame(T0, 7, 3, 3)],
    [(0, 5, 0, 100, 0, 1), (1, 5, 100, 0, 1, 0), (1, 9, 0, 50, 0, 1), (2, 9, 50, 0, 1, 0)],
    [(5, 1, 100), (9, 1, 50)],
    ConversationCounts(3, ended(fin=1), 2, 1),
    mac=MAC,
)
OTHER = with_apps(
    [FakeFrame(T0, 10, 3, 4), FakeFrame(T0, 20, 2, 3)],
    [(0, 3, 0, 20, 0, 1), (1, 3, 20, 0, 1, 0), (1, 9, 0, 10, 0, 1), (2, 9, 10, 0, 1, 0)],
    [(3, 1, 20), (9, 1, 10)],
    ConversationCounts(2, ended(rst=1, idle=3), 5, 0),
)


def test_sizes_of_rows() -> None:
    assert (CONVERSATION_DTYPE.itemsize, APP_DTYPE.itemsize, APP_TOTAL_DTYPE.itemsize) == (96, 40, 24)


def test_applications_of_hosts_add_up_to_the_hosts() -> None:
    assert ONE.host_apps() == [
        {5: (0, 100, 0, 1)},
        {5: (100, 0, 1, 0), 9: (0, 50, 0, 1)},
        {9: (50, 0, 1, 0), 0: (7, 7, 1, 1)},
    ]


def test_applications_of_the_network_add_up_to_ip() -> None:
    assert ONE.network_apps() == {5: Count(1, 100), 9: Count(1, 50), 0: Count(1, 7)}
    assert OTHER.network_apps() == {3: Count(1, 20), 9: Count(1, 10)}


def test_hosts_only_has_no_applications() -> None:
    snapshot = snapshot_of([FakeFrame(T0, 100, 1, 2)], MINUTE)
    assert (len(snapshot.apps), len(snapshot.app_totals), snapshot.macs, snapshot.conversations) == (0, 0, None, None)
    assert snapshot.host_apps() == [{}, {}]
    assert snapshot.network_apps() == {}


def test_top_keeps_the_applications_of_its_hosts() -> None:
    top = ONE.top(2)
    assert [row.host for row in top] == ["10.0.0.2", "10.0.0.1"]
    assert top.host_apps() == [{5: (100, 0, 1, 0), 9: (0, 50, 0, 1)}, {5: (0, 100, 0, 1)}]
    assert top.macs is not None
    assert top.macs.tolist() == [0, MAC]
    assert (top.app_totals is ONE.app_totals, top.conversations) == (True, ONE.conversations)
    assert not top.apps.flags.writeable
    assert len(ONE.top(0).apps) == 0


def test_chunks_keep_the_applications_of_their_hosts() -> None:
    n_hosts = 2 * CHUNK_ROWS + 3
    hosts = np.zeros(n_hosts, HOST_DTYPE)
    hosts["key"][:, 12:] = np.arange(n_hosts, dtype=">u4").view(np.uint8).reshape(-1, 4)
    hosts["bytes_in"] = 1000
    apps = np.zeros(n_hosts - 1, APP_DTYPE)  # every host but the second
    apps["host"] = np.delete(np.arange(n_hosts), 1)
    apps["app"], apps["bytes_in"] = 7, np.arange(n_hosts - 1) % 1000 + 1
    marks = np.zeros(n_hosts, np.bool_)
    snapshot = Snapshot(
        MINUTE,
        Counters(),
        hosts,
        hosts["bytes_in"],
        hosts["bytes_out"],
        marks,
        marks,
        apps=apps,
        macs=np.arange(n_hosts).astype(np.uint64),
        conversations=ConversationCounts(),
    )
    chunks = list(snapshot.chunks())
    assert [len(chunk.apps) for chunk in chunks] == [CHUNK_ROWS - 1, CHUNK_ROWS, 3]
    assert [chunk.apps["host"].tolist()[-1] for chunk in chunks] == [CHUNK_ROWS - 1, CHUNK_ROWS - 1, 2]
    assert [sums for chunk in chunks for sums in chunk.host_apps()] == snapshot.host_apps()
    assert chunks[1].macs is not None
    assert chunks[1].macs[0] == CHUNK_ROWS


def test_merge_adds_up_by_host_and_application() -> None:
    merged = ONE.merge(OTHER)
    assert merged.host_apps() == [
        {5: (0, 100, 0, 1)},
        {3: (0, 20, 0, 1), 5: (100, 0, 1, 0), 9: (0, 50, 0, 1)},
        {3: (20, 0, 1, 0), 9: (50, 10, 1, 1), 0: (7, 7, 1, 1)},
        {9: (10, 0, 1, 0)},
    ]
    assert merged.apps["host"].tolist() == [0, 1, 1, 1, 2, 2, 3]
    assert merged.network_apps() == {3: Count(1, 20), 5: Count(1, 100), 9: Count(2, 60), 0: Count(1, 7)}
    assert merged.conversations == ConversationCounts(5, ended(fin=1, rst=1, idle=3), 7, 1)
    assert merged.macs is not None
    assert merged.macs.tolist() == [MAC, 0, 0, 0]
    assert not any(array.flags.writeable for array in (merged.apps, merged.app_totals, merged.macs))
    merged.check_conservation()


def test_merge_in_any_order_comes_to_the_same() -> None:
    assert facts(ONE.merge(OTHER, ONE)) == facts(OTHER.merge(ONE, ONE))


def test_merge_with_hosts_only() -> None:
    plain = snapshot_of([FakeFrame(T0, 30, 1, 4)], MINUTE)
    merged = plain.merge(ONE)
    assert merged.host_apps()[0] == {5: (0, 100, 0, 1), 0: (0, 30, 0, 1)}
    assert merged.conversations == ONE.conversations
    assert merged.macs is not None
    assert merged.macs.tolist() == [MAC, 0, 0, 0]
    alone = plain.merge(plain)
    assert (alone.macs, alone.conversations, len(alone.apps)) == (None, None, 0)


def test_merge_does_not_change_its_parts() -> None:
    before = facts(ONE)
    ONE.merge(OTHER)
    OTHER.merge(ONE)
    assert facts(ONE) == before
    assert ONE.apps["host"].tolist() == [0, 1, 1, 2]


@pytest.mark.parametrize("column", ["bytes_in", "bytes_out", "packets_in", "packets_out"])
def test_applications_that_moved_more_than_their_host_are_told(column: str) -> None:
    apps = ONE.apps.copy()
    apps[column][2] += 101
    ONE.check_conservation()
    with pytest.raises(FastmonError, match=f"applications of host 1: {column}"):
        replace(ONE, apps=apps).check_conservation()


@pytest.mark.parametrize(("column", "number"), [("frames", 3), ("bytes", 108)])
def test_applications_that_moved_more_than_was_ip_are_told(column: str, number: int) -> None:
    totals = ONE.app_totals.copy()
    totals[column][1] = number
    with pytest.raises(FastmonError, match=f"applications: {column}"):
        replace(ONE, app_totals=totals).check_conservation()


def test_services_that_moved_more_than_their_host_are_found() -> None:
    services = np.zeros(1, SERVICE_DTYPE)
    services["bytes_in"] = 1 << 40
    with pytest.raises(FastmonError, match="services of host 0: bytes_in is 1099511627776"):
        replace(ONE, services=services).check_conservation()


def test_services_follow_their_hosts() -> None:
    services = np.array([(0, 0, 6, 80, 1, 0, 1, 0, 1, 5, 6), (1, 1, 17, 53, 0, 2, 0, 1, 1, 7, 8)], SERVICE_DTYPE)
    snapshot = replace(ONE, services=services)
    biggest = snapshot.top(1)
    (row,) = (number for number, host in enumerate(snapshot.host_texts()) if host == biggest.host_texts()[0])
    assert [service[1:] for service in biggest.services.tolist()] == [services.tolist()[row][1:]]
    assert biggest.services["host"].tolist() == [0]


def test_services_of_merged_snapshots_add_up() -> None:
    first = np.array([(0, 0, 6, 80, 1, 10, 1, 1, 1, 50, 60)], SERVICE_DTYPE)
    second = np.array([(0, 0, 6, 80, 2, 20, 1, 1, 1, 40, 55), (0, 1, 6, 80, 4, 40, 1, 1, 3, 40, 55)], SERVICE_DTYPE)
    parts = [replace(ONE, services=first, services_overflow=2), replace(ONE, services=second, services_overflow=3)]
    merged = parts[0].merge(parts[1])
    assert merged.services.tolist() == [(0, 0, 6, 80, 3, 30, 2, 2, 2, 40, 60), (0, 1, 6, 80, 4, 40, 1, 1, 3, 40, 55)]
    assert merged.services_overflow == 5
