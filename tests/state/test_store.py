"""The store: what is kept comes back, within its bounds, and nobody else's file is touched."""

from __future__ import annotations

import sqlite3
import stat
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fastmon.errors import StateError
from fastmon.model.memory import Baseline, Changes, DayTotal, Kept, Memory, OpenIncident, PeriodTotal, Told
from fastmon.state import schema
from fastmon.state.files import default_path
from fastmon.state.pending import Batch
from fastmon.state.pruning import Bounds
from fastmon.state.queries import AlertFilter, Desk
from fastmon.state.store import Store
from state.values import DAY, T0, S, alert, changes, device, incident, memory


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "kept" / "state.db"


def sql(path: Path, statement: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        return connection.execute(statement).fetchall()


def test_new_state_is_empty_and_its_owners_alone(path: Path) -> None:
    with Store.open(path) as store:
        assert (store.load(), store.fault, store.take_remarks()) == (Memory(), None, [])
        files = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
        assert files.keys() >= {"state.db", "state.db-wal", "state.db-lock"}
        assert set(files.values()) == {0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("name", ["a?b#c.db", "50%41.db", "état \x07.db", "-x.db"])
def test_file_may_have_any_name(tmp_path: Path, name: str) -> None:
    with Store.open(tmp_path / name) as store:
        store.save(changes(1))
    assert {file.name for file in tmp_path.iterdir()} == {name, f"{name}-lock"}
    with Store.open(tmp_path / name, read_only=True) as store:
        assert store.load() == memory(1)


def test_what_is_saved_is_read_back(path: Path) -> None:
    with Store.open(path) as store:
        store.save(changes(1))
    with Store.open(path) as store:
        assert store.load() == memory(1)


def test_row_replaces_the_one_with_its_key_and_leaves_the_others(path: Path) -> None:
    other = PeriodTotal("quota", "10.0.0.2", T0, T0 + DAY, 7, 8)
    with Store.open(path) as store:
        store.save(changes(1))
        store.save(Changes(periods=[other]))
        store.save(changes(2))
        found = store.load()
    assert found.periods == (*memory(2).periods, other)
    assert found.days == memory(2).days


def test_closed_incident_is_forgotten(path: Path) -> None:
    with Store.open(path) as store:
        kept = OpenIncident("uplink", "10.0.0.1", "", "other", {})
        store.save(Changes(incidents=[*changes(1).incidents, kept]))
        store.save(Changes(incidents=[OpenIncident("uplink", "network", "", "id", {}, is_closed=True)]))
        assert store.load().incidents == (kept,)


def test_closed_period_is_forgotten_and_may_begin_anew(path: Path) -> None:
    with Store.open(path) as store:
        period = PeriodTotal("quota", "10.0.0.1", T0, T0 + DAY, 5, 10)
        other = replace(period, subject="02:00:5e:10:00:14")
        store.save(Changes(periods=[period, other]))
        store.save(Changes(periods=[replace(period, is_closed=True)]))
        assert store.load().periods == (other,)
        store.save(Changes(periods=[replace(period, is_closed=True), period]))
        assert set(store.load().periods) == {other, period}


def test_only_the_last_days_are_read_back(path: Path) -> None:
    with Store.open(path) as store:
        store.save(Changes(days=[DayTotal(host, T0 + day * DAY, day, 0, 0, 0) for host in ("a", "b") for day in range(10)]))
        found = store.load().days
    assert {(row.subject, row.bytes_in) for row in found} == {(host, day) for host in ("a", "b") for day in (6, 7, 8, 9)}


@pytest.mark.parametrize("is_running", [True, False])
def test_state_can_be_read_whether_or_not_a_run_has_it(path: Path, is_running: bool) -> None:
    store = Store.open(path)
    store.save(changes(3))
    if not is_running:
        store.close()
    with Store.open(path, read_only=True) as reader:
        assert reader.load() == memory(3)
    store.close()


def test_second_run_is_refused_by_name_and_process(path: Path) -> None:
    with Store.open(path) as store:
        store.save(changes(1))
        with pytest.raises(StateError, match=r"state\.db is in use by fastmon, process \d+: name another with --state"):
            Store.open(path)
        link = path.with_name("link.db")
        link.symlink_to(path)
        with pytest.raises(StateError, match="in use"):
            Store.open(link)
        store.save(changes(2))
    with Store.open(path) as store:
        assert store.load() == memory(2)


# What SQLite cannot hold.


def test_unfit_rows_are_left_out_and_the_others_kept(path: Path) -> None:
    with Store.open(path) as store:
        rows = changes(1)
        rows.periods += [
            PeriodTotal("quota", "big", T0, T0, 1 << 70, 1),
            PeriodTotal("quota", "negative", T0, T0, -1, 1),
            PeriodTotal("quota", "numpy", np.int64(T0), T0, np.uint64(5), 1),  # type: ignore[arg-type]
            PeriodTotal("quota", "half\ud800", T0, T0, 6, 1),
        ]
        rows.baselines += [Baseline("habit", "nan", 0, 1.0, float("nan"), float("inf"))]
        store.save(rows, [alert(value=float("nan"), evidence={"n": np.int64(4)})])
        assert store.take_remarks() == [f"1 rows are not fit for the state {path}: they are left out"]
        found = store.load()
    assert {row.subject: row.bytes for row in found.periods} == {
        "10.0.0.1": 1,
        "big": (1 << 63) - 1,
        "numpy": 5,
        "half\\ud800": 6,
    }
    assert found.told == memory(1).told
    assert {(row.subject, row.mean) for row in found.baselines} == {("10.0.0.1", 0.5), ("nan", 0.0)}
    with Desk(path) as desk:
        (kept,) = desk.alerts(desk.alert_ids(AlertFilter()))
    assert kept.alert.evidence == {"n": 4}


# Bounds.


def test_device_table_is_bounded_and_forgets_the_longest_unseen(path: Path) -> None:
    with Store.open(path, bounds=Bounds(devices=50)) as store:
        store.save(Changes(devices=[device(str(number), T0 + number) for number in range(40)]))
        store.save(Changes(devices=[device(str(number), T0 + number) for number in range(40, 60)] + [device("0", T0 + 100)]))
        assert {row.id for row in store.load().devices} == {"0", *map(str, range(12, 60))}  # 50, less one for the next
        store.save(Changes(devices=[device("1000", T0 + 1000)]))
        assert {row.id for row in store.load().devices} == {"0", "1000", *map(str, range(12, 60))}
        store.save(Changes(devices=[device("1001", T0 + 1001)]))
        assert {row.id for row in store.load().devices} == {"0", "1000", "1001", *map(str, range(14, 60))}


def test_bounds_hold_after_a_restart(path: Path) -> None:
    with Store.open(path) as store:
        store.save(Changes(told=[Told("ports", "10.0.0.1", str(number), number) for number in range(30)]))
    with Store.open(path, bounds=Bounds(told=20)) as store:
        store.save(Changes(told=[Told("ports", "10.0.0.1", "new", 100)]))
        assert {row.item for row in store.load().told} == {"new", *map(str, range(11, 30))}


def test_alerts_are_bounded_and_open_ones_stay_longest(path: Path) -> None:
    with Store.open(path, bounds=Bounds(alerts=10)) as store:
        store.save(Changes(incidents=[incident("slow")]), [alert("open", rule="slow")])
        store.save(Changes(), [alert(f"new-{number}", kind="new", ts_ns=T0 + number) for number in range(1, 30)])
    with Desk(path) as desk:
        assert desk.alert_ids(AlertFilter()) == ["open", *(f"new-{number}" for number in range(29, 20, -1))]


def test_old_rows_are_forgotten_and_open_alerts_are_not(path: Path) -> None:
    now = T0 + 1000 * DAY
    with Store.open(path) as store:
        endless = PeriodTotal("run", "network", -(2**63 - 1), 2**63 - 1, 1, 2)
        running = PeriodTotal("quota", "10.0.0.2", now - DAY, now + DAY, 1, 2)
        rows = changes(1)
        rows.periods += [endless, running]
        rows.days.append(DayTotal("10.0.0.1", now - 399 * DAY, 1, 1, 1, 1))
        rows.incidents.append(incident("slow"))
        store.save(rows, [alert("open", rule="slow"), alert("past", kind="new"), alert("recent", kind="new", ts_ns=now - DAY)])
        store.prune(now)
        found = store.load()
    assert set(found.periods) == {endless, running}
    assert [row.day_start_ns for row in found.days] == [now - 399 * DAY]
    assert found.devices == memory(1).devices
    with Desk(path) as desk:
        assert desk.alert_ids(AlertFilter()) == ["open", "recent"]


# Alerts.


def test_alert_that_clears_keeps_why_it_fired(path: Path) -> None:
    fired = alert(
        "x", kind="rate", value=90.0, limit=80.0, reason="too fast", evidence={"peers": ["192.0.2.1"]}, actions=("phone",)
    )
    ended = alert("x", kind="rate", state="cleared", ts_ns=T0 + 5 * S, value=10.0, limit=80.0, peak=99.0, reason="slow again")
    with Store.open(path) as store:
        store.save(Changes(incidents=[incident()]), [fired])
        with Desk(path) as desk:
            (kept,) = desk.alerts(["x"])
            assert kept == (fired, True, "")
        store.save(Changes(), [ended])
    with Desk(path) as desk:
        (kept,) = desk.alerts(["x"])
    assert (kept.is_open, kept.cleared_reason) == (False, "slow again")
    assert (kept.alert.state, kept.alert.ts_ns, kept.alert.since_ns, kept.alert.peak) == ("cleared", T0 + 5 * S, T0, 99.0)
    assert (kept.alert.value, kept.alert.reason, kept.alert.evidence) == (90.0, "too fast", {"peers": ["192.0.2.1"]})


def test_alert_that_fires_and_clears_within_one_checkpoint(path: Path) -> None:
    with Store.open(path) as store:
        store.save(Changes(), [alert("x", kind="rate"), alert("x", kind="rate", state="cleared", ts_ns=T0 + S)])
    with Desk(path) as desk:
        (kept,) = desk.alerts(["x"])
    assert (kept.is_open, kept.alert.state, kept.alert.since_ns) == (False, "cleared", T0)


def test_alert_is_open_while_its_rule_has_the_case(path: Path) -> None:
    cases = [
        incident("slow", "10.0.0.1"),
        incident("uplink", "network"),
        incident("twice", "02:00:5e:10:00:14", alert_id="by-id"),
        incident("other", "10.0.0.2"),
    ]
    alerts = [
        alert("of-host", rule="slow"),
        alert("of-network", rule="uplink", host=""),
        alert("by-id", rule="twice"),
        alert("told-once", rule="newcomers"),
        alert("other-host", rule="other"),
        alert("ended", rule="slow", state="cleared"),
    ]
    with Store.open(path) as store:
        store.save(Changes(incidents=cases), alerts)
        with Desk(path) as desk:
            assert set(open_alerts(desk)) == {"of-host", "of-network", "by-id"}
        store.save(Changes(incidents=[replace(case, is_closed=True) for case in cases]))
        with Desk(path) as desk:
            assert open_alerts(desk) == []


def open_alerts(desk: Desk) -> list[str]:
    return [kept.alert.id for kept in desk.alerts(desk.alert_ids(AlertFilter())) if kept.is_open]


def test_outbox_is_kept_in_its_order(path: Path) -> None:
    with Store.open(path) as store:
        batch = Batch(outbox={number: Kept(number, "phone", f'{{"n":{number}}}') for number in (1, 2, 3)})
        store.write(batch)
        store.write(Batch(outbox={2: None}))
    with Store.open(path) as store:
        assert store.load_outbox() == [Kept(1, "phone", '{"n":1}'), Kept(3, "phone", '{"n":3}')]


# Versions, and files that are not fastmon's.


def test_newer_state_is_refused_and_not_harmed(path: Path) -> None:
    with Store.open(path) as store:
        store.save(changes(1))
    sql(path, "UPDATE meta SET value = '2'")
    sql(path, "PRAGMA user_version = 2")
    sql(path, "CREATE TABLE later (x)")
    before = path.read_bytes()
    for read_only in (False, True):
        with pytest.raises(StateError, match=r"state\.db is of version 2, this fastmon knows versions up to 1"):
            Store.open(path, read_only=read_only)
    with pytest.raises(StateError, match="version 2"):
        Desk(path, writes=True)
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.glob("*damaged*")] == []


def test_older_state_is_migrated(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Store.open(path) as store:
        store.save(changes(1))
    later = (*schema.MIGRATIONS, ("ALTER TABLE told ADD COLUMN note TEXT NOT NULL DEFAULT 'x'", "DROP TABLE silences"))
    monkeypatch.setattr(schema, "MIGRATIONS", later)
    for module in ("fastmon.state.schema", "fastmon.state.connection", "fastmon.state.store"):
        monkeypatch.setattr(f"{module}.VERSION", 2)
    with Store.open(path) as store:
        assert store.load() == memory(1)
        assert store.take_remarks() == []
    assert sql(path, "PRAGMA user_version") == [(2,)]
    assert sql(path, "SELECT note FROM told") == [("x",)]
    monkeypatch.undo()
    with pytest.raises(StateError, match="version 2"):
        Store.open(path)


@pytest.mark.parametrize("content", [b"root:x:0:0::/root:/bin/sh\n" * 20, b"\0" * 5000, b"x"])
def test_strangers_file_is_refused_and_not_harmed(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    with pytest.raises(StateError, match=r"notes\.txt is not a state of fastmon's"):
        Store.open(path)
    assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


def test_strangers_database_is_refused_and_not_harmed(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    sql(path, "PRAGMA journal_mode = WAL")
    sql(path, "CREATE TABLE meta (key, value)")
    before = path.read_bytes()
    with pytest.raises(StateError, match="not a state of fastmon's"):
        Store.open(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_no_regular_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="is a directory"):
        Store.open(tmp_path)
    with pytest.raises(StateError, match="is not a regular file"):
        Store.open("/dev/null")


def test_empty_file_becomes_a_state(path: Path) -> None:
    path.parent.mkdir()
    path.touch()
    with Store.open(path) as store:
        store.save(changes(1))
        assert store.take_remarks() == []


def test_state_that_is_removed_while_a_run_has_it_is_made_again(path: Path) -> None:
    with Store.open(path) as store:
        store.save(changes(1))
        path.unlink()
        store.save(changes(2))
        assert store.take_remarks() == [f"the state {path} has been removed or replaced: it is opened again"]
    with Store.open(path) as store:
        assert store.load() == memory(2)


# Where it is.


def test_default_path_is_the_services_directory_or_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    service = tmp_path / "service.db"
    monkeypatch.setattr("fastmon.state.files.SERVICE_PATH", str(service))
    assert default_path({"STATE_DIRECTORY": "/a:/b", "XDG_STATE_HOME": "/x"}) == Path("/a/state.db")
    assert default_path({"XDG_STATE_HOME": "/x", "HOME": "/home/u"}) == Path("/x/fastmon/state.db")
    assert default_path({"XDG_STATE_HOME": "relative", "HOME": "/home/u"}) == Path("/home/u/.local/state/fastmon/state.db")
    service.touch()
    assert default_path({"XDG_STATE_HOME": "/x"}) == service
