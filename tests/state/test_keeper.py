"""The keeper: what it merges, when it writes, and that nobody waits for it."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from waiting import wait_until

from fastmon.errors import StateError
from fastmon.model.memory import Changes, Kept, OpenIncident, Told
from fastmon.model.silences import Silence, Target
from fastmon.state import pending
from fastmon.state.keeper import Keeper
from fastmon.state.pending import Batch, Pending
from fastmon.state.queries import AlertFilter, Desk
from fastmon.state.store import Store
from state.values import DAY, MAC, T0, S, alert, changes, device, memory, numbers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastmon.run.subscriber import Problem


class SlowStore(Store):
    """A store whose disk answers when it is told to. written: the batches."""

    def prepare(self) -> None:
        self.is_writing = threading.Event()
        self.may_write = threading.Event()
        self.written: list[Batch] = []

    def write(self, batch: Batch) -> None:
        self.is_writing.set()
        self.may_write.wait()
        self.written.append(batch)
        super().write(batch)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


@pytest.fixture
def reports() -> list[Problem]:
    return []


@pytest.fixture
def slow(path: Path) -> Iterator[SlowStore]:
    store = SlowStore.open(path)
    store.prepare()
    yield store
    store.may_write.set()


def put_until_stuck(keeper: Keeper, store: SlowStore, number: int) -> None:
    keeper.put(changes(number), [alert(str(number))])
    wait_until(store.is_writing.is_set, "a checkpoint")


# When it writes.


def test_last_checkpoint_is_written_at_the_end(path: Path, reports: list[Problem]) -> None:
    keeper = Keeper(Store.open(path), reports.append, interval_s=3600)
    keeper.put(changes(1))
    keeper.put(changes(2))
    assert keeper.close()
    with Store.open(path) as store:
        assert store.load() == memory(2)
    assert reports == []


def test_alerts_are_written_before_the_next_checkpoint_is_due(path: Path, reports: list[Problem]) -> None:
    keeper = Keeper(Store.open(path), reports.append, interval_s=3600)
    keeper.put(changes(1), [alert("x")])

    def is_written() -> bool:
        with Desk(path) as desk:
            return desk.alert_ids(AlertFilter()) == ["x"] and desk.periods() == list(memory(1).periods)

    wait_until(is_written, "the alert and what belongs to it")
    assert keeper.close()


def test_changes_are_due_after_an_interval_and_written_then(path: Path, reports: list[Problem]) -> None:
    """Then they do not wait for the thread, which may have looked just before."""
    keeper = Keeper(Store.open(path), reports.append, interval_s=3600)
    assert not keeper.is_due
    keeper._last_put_s -= 3600
    assert keeper.is_due
    keeper.put(changes(1))
    assert not keeper.is_due
    with Store.open(path, read_only=True) as reader:
        wait_until(lambda: numbers(reader.load()) == {1}, "the checkpoint")
    assert keeper.close()


def test_tick_that_is_a_bit_early_is_in_time(path: Path, reports: list[Problem], monkeypatch: pytest.MonkeyPatch) -> None:
    """The next one would be a second late."""
    now_s = time.monotonic() + 1
    monkeypatch.setattr(time, "monotonic", lambda: now_s)
    keeper = Keeper(Store.open(path), reports.append, interval_s=10)
    keeper.put(Changes())
    now_s += 9
    assert not keeper.is_due
    now_s += 0.99
    assert keeper.is_due
    monkeypatch.undo()
    assert keeper.close()


def test_changes_that_are_not_due_are_written_with_the_next_checkpoint(path: Path, reports: list[Problem]) -> None:
    keeper = Keeper(Store.open(path), reports.append, interval_s=0.05)
    keeper._last_put_s += 3600
    keeper.put(changes(1))
    with Store.open(path, read_only=True) as reader:
        wait_until(lambda: numbers(reader.load()) == {1}, "the checkpoint")
    assert keeper.close()


def test_disk_that_has_failed_is_left_alone_for_an_interval(
    path: Path, reports: list[Problem], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Batch) -> None:
        raise StateError("no")

    store = Store.open(path)
    monkeypatch.setattr(store, "write", fail)
    keeper = Keeper(store, reports.append, interval_s=3600)
    keeper.put(changes(1), [alert()])
    wait_until(lambda: reports, "the fault")
    keeper.put(changes(2), [alert()])
    assert keeper._wait_s() > 3000
    assert keeper.close()


# While the disk is slow.


def test_rows_that_wait_are_merged_into_one_checkpoint(slow: SlowStore, path: Path, reports: list[Problem]) -> None:
    keeper = Keeper(slow, reports.append, interval_s=0)
    put_until_stuck(keeper, slow, 1)
    for number in range(2, 50):
        keeper.put(changes(number), [alert(str(number))])
    slow.may_write.set()
    assert keeper.close()
    _, merged, *rest = (batch for batch in slow.written if batch)
    assert rest == []
    assert {name: list(rows.values()) for name, rows in merged.rows.items()} == {
        name: getattr(changes(49), name) for name in merged.rows
    }
    assert [kept.id for kept in merged.alerts.values()] == [str(number) for number in range(2, 50)]
    with Store.open(path) as store:
        assert store.load() == memory(49)


def test_newer_rows_win_over_those_that_could_not_be_written() -> None:
    rows = Pending()
    rows.put(changes(1), [])
    failed = rows.take()
    rows.put(Changes(days=changes(2).days), [])
    for _ in range(pending.MAX_UNMERGED):  # now the first ones are merged, the last ones not yet
        rows.put(Changes(periods=changes(3).periods), [])
    rows.put_back(failed)
    batch = rows.take()
    assert [row.bytes_in for row in batch.rows["days"].values()] == [2]
    assert [row.bytes for row in batch.rows["periods"].values()] == [3]
    assert [row.ts_ns for row in batch.rows["told"].values()] == [1]


def test_incident_that_closes_while_it_waits_is_closed(path: Path) -> None:
    with Store.open(path) as store:
        store.save(changes(1))
        rows = Pending()
        rows.put(changes(2), [])
        rows.put(Changes(incidents=[OpenIncident("uplink", "network", "", "id", {}, is_closed=True)]), [])
        store.write(rows.take())
        assert store.load().incidents == ()


def test_what_waits_is_bounded_and_what_is_dropped_told(
    slow: SlowStore, path: Path, reports: list[Problem], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pending, "MAX_ROWS", 10)
    monkeypatch.setattr(pending, "MAX_ALERTS", 20)
    keeper = Keeper(slow, reports.append, interval_s=0)
    put_until_stuck(keeper, slow, 1)
    for number in range(100):
        keeper.put(Changes(told=[Told("r", "s", str(number), number)]), [alert(str(number))])
    slow.may_write.set()
    assert keeper.close()
    with Store.open(path) as store:
        assert {row.ts_ns for row in store.load().told} == {1, *range(90, 100)}
    with Desk(path) as desk:
        assert set(desk.alert_ids(AlertFilter())) == {"1", *map(str, range(80, 100))}
    cause = f"the state {path} could not be written for too long"
    assert [problem.text for problem in reports] == [
        f"rows are dropped: {cause}",
        f"90 rows of told, 80 rows of alerts dropped: {cause}",
    ]


def test_disk_that_never_answers_does_not_hold_up_the_end(slow: SlowStore, reports: list[Problem]) -> None:
    keeper = Keeper(slow, reports.append, interval_s=0)
    put_until_stuck(keeper, slow, 1)
    assert not keeper.close(timeout_s=0.01)
    (problem,) = reports
    assert problem.error is not None
    assert problem.text.endswith("the disk does not answer")


def test_failure_of_the_thread_is_told(path: Path, reports: list[Problem], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("threading.excepthook", lambda _: None)
    store = Store.open(path)
    monkeypatch.setattr(store, "write", lambda _: 1 // 0)
    keeper = Keeper(store, reports.append, interval_s=0)
    keeper.put(changes(1), [alert()])
    wait_until(lambda: reports, "the failure")
    assert "is kept no more: ZeroDivisionError" in reports[0].text
    assert reports[0].error is not None
    for number in range(20):
        keeper.put(changes(number), [alert()])
    assert not keeper._pending.take()
    assert keeper.close()


# What commands change meanwhile.


def test_silence_acts_on_a_running_capture(path: Path, reports: list[Problem]) -> None:
    keeper = Keeper(Store.open(path), reports.append, interval_s=0.01)
    assert keeper.silences() == ()
    silence = Silence("10.0.0.1", T0, T0 + DAY)
    with Desk(path, writes=True) as desk:
        desk.silence(silence)
    wait_until(lambda: keeper.silences() == (silence,), "the silence")
    with Desk(path, writes=True) as desk:
        assert desk.end_silence(Target("10.0.0.1"))
    wait_until(lambda: keeper.silences() == (), "its end")
    assert keeper.close()


def test_name_that_a_person_gives_outlives_the_networks(path: Path, reports: list[Problem]) -> None:
    keeper = Keeper(Store.open(path), reports.append, interval_s=0.01)
    keeper.put(Changes(devices=[device()]), [alert()])

    def is_there() -> bool:
        with Desk(path) as desk:
            return len(desk.devices()) == 1

    wait_until(is_there, "the device")
    with Desk(path, writes=True) as desk:
        desk.rename(desk.find_device(MAC), "kitchen")
    wait_until(lambda: keeper.given_names() == {MAC: "kitchen"}, "the name")
    keeper.put(Changes(devices=[device(name="cam-2")]))
    assert keeper.close()
    with Store.open(path) as store:
        (found,) = store.load().devices
    assert (found.name, found.given_name) == ("cam-2", "kitchen")


def test_forgotten_device_stays_so_until_it_is_new_again(path: Path) -> None:
    with Store.open(path) as store:
        store.save(Changes(devices=[device()], told=[Told("new", MAC, "", T0), Told("new", "other", "", T0)]))
        with Desk(path, writes=True) as desk:
            desk.forget(desk.find_device("camera"), T0 + S)
        store.save(Changes(devices=[device(last_seen_ns=T0 + 2 * S)]))  # a run that still knows it
        found = store.load()
        assert (found.devices, [row.subject for row in found.told]) == ((), ["other"])
        again = device(first_seen_ns=T0 + 3 * S, last_seen_ns=T0 + 4 * S)
        store.save(Changes(devices=[again]))
        assert store.load().devices == (again,)


# The outbox.


def test_undelivered_records_outlive_the_run(path: Path, reports: list[Problem]) -> None:
    keeper = Keeper(Store.open(path), reports.append)
    ids = [keeper.outbox.put("phone", str(number)) for number in range(4)]
    keeper.outbox.done(ids[1])
    assert keeper.close()
    keeper = Keeper(Store.open(path), reports.append)
    assert [(kept.action, kept.record) for kept in keeper.outbox.load()] == [("phone", "0"), ("phone", "2"), ("phone", "3")]
    for kept in keeper.outbox.load():
        keeper.outbox.done(kept.id)
    new = keeper.outbox.put("mail", "4")
    assert new not in ids
    assert keeper.close()
    with Store.open(path) as store:
        assert store.load_outbox() == [Kept(new, "mail", "4")]


def test_state_that_was_damaged_is_told_of_at_the_start(path: Path, reports: list[Problem]) -> None:
    path.write_bytes(b"nonsense")
    path.with_name("state.db-lock").touch()
    assert Keeper(Store.open(path), reports.append).close()
    (problem,) = reports
    assert "is set aside as" in problem.text
    assert problem.error is None
