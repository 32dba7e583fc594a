"""What a state survives: kills, power cuts, full and read-only disks, damage, locks, clocks that jump."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from waiting import wait_until

from fastmon.errors import StateError
from fastmon.model.memory import Changes, Memory, Told
from fastmon.state.keeper import Keeper
from fastmon.state.queries import AlertFilter, Desk
from fastmon.state.store import Store
from state.disks import files_no_longer_than, fill, remount, small_disk
from state.values import DAY, T0, alert, changes, memory, numbers

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastmon.run.subscriber import Problem
    from fastmon.state.pending import Batch

HERE = Path(__file__).parent


class Reports(list["Problem"]):
    """Takes problems."""

    @property
    def texts(self) -> list[str]:
        return [problem.text for problem in self]


@pytest.fixture
def reports() -> Reports:
    return Reports()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


# Kills and power cuts.


def test_killed_at_fifty_moments_loses_nothing_that_was_written(path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE.parent), *sys.path])}
    command = [sys.executable, str(HERE / "killed.py"), str(path)]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=280)
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("50 kills")


class Cut:
    """A state whose log has seven checkpoints, and how long the log was after each."""

    def __init__(self, folder: Path) -> None:
        path = folder / "state.db"
        with Store.open(path) as store:
            log = folder / "state.db-wal"
            self.log_bytes = [log.stat().st_size]
            for number in range(1, 8):
                store.save(changes(number))
                self.log_bytes.append(log.stat().st_size)
            self.files = {file.name: file.read_bytes() for file in (path, log)}


@pytest.fixture(scope="module")
def cut(tmp_path_factory: pytest.TempPathFactory) -> Cut:
    return Cut(tmp_path_factory.mktemp("cut"))


@given(data=st.data())
@settings(max_examples=40)
def test_power_cut_leaves_whole_checkpoints_and_all_that_reached_the_disk(
    tmp_path_factory: pytest.TempPathFactory, cut: Cut, data: st.DataObject
) -> None:
    """What had been synced is whole; of the rest any bytes may be there."""
    n_bytes = data.draw(st.integers(cut.log_bytes[0], cut.log_bytes[-1]))
    rest = data.draw(st.binary(max_size=5000))
    folder = tmp_path_factory.mktemp("power")
    (folder / "state.db").write_bytes(cut.files["state.db"])
    (folder / "state.db-wal").write_bytes(cut.files["state.db-wal"][:n_bytes] + rest)
    with Store.open(folder / "state.db") as store:
        found = numbers(store.load())
        assert (store.fault, store.take_remarks()) == (None, [])
    n_whole = sum(size <= n_bytes for size in cut.log_bytes) - 1
    assert found == ({n_whole} if n_whole else set())


def test_each_checkpoint_is_synced(path: Path) -> None:
    with Store.open(path) as store:
        assert store._connection is not None
        assert store._connection.execute("PRAGMA synchronous").fetchone() == (2,)
        assert store._connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


# Full and read-only disks.


def check_recovery(keeper: Keeper, path: Path, reports: Reports, words: str) -> None:
    """Check that a fault was told once, that all is written when it is over, and that this is told, too."""
    wait_until(lambda: len(reports) == 2, "the end of the fault")
    assert words in reports.texts[0]
    assert reports.texts[1] == f"the state {path} is kept again"
    assert keeper.close()
    assert len(reports) == 2
    with Store.open(path) as store:
        assert numbers(store.load()) == {99}


def test_full_disk_is_told_once_and_tried_again(tmp_path: Path, reports: Reports) -> None:
    with small_disk(tmp_path / "disk") as disk:
        path = disk / "state.db"
        keeper = Keeper(Store.open(path), reports.append, interval_s=0.01)
        keeper.put(changes(1))
        filler = fill(disk)
        keeper.put(Changes(told=[Told("r", "s", str(number) * 99, 5) for number in range(1000)]))
        wait_until(lambda: reports, "the fault")
        tries = count_tries(keeper)
        keeper.put(Changes(told=[Told("ports", "10.0.0.1", "tcp/5201", 98)]), [alert()])
        wait_until(lambda: tries() > 3, "some more checkpoints")
        assert len(reports) == 1
        keeper.put(changes(99))
        filler.unlink()
        wait_until(lambda: len(reports) == 2, "the end of the fault")
        assert "disk" in reports.texts[0]
        assert reports.texts[1] == f"the state {path} is kept again"
        assert keeper.close()
        with Store.open(path) as store:
            found = store.load()
        assert (found.periods, found.days) == (memory(99).periods, memory(99).days)
        assert Told("ports", "10.0.0.1", "tcp/5201", 99) in found.told


def count_tries(keeper: Keeper) -> Callable[[], int]:
    """Return what tells how often the keeper has tried to write from now on."""
    tried: list[Batch] = []
    write = keeper._store.write

    def counted(batch: Batch) -> None:
        tried.append(batch)
        write(batch)

    keeper._store.write = counted  # type: ignore[method-assign]
    return lambda: len(tried)


def test_file_that_cannot_grow_is_told_once_and_tried_again(path: Path, reports: Reports) -> None:
    keeper = Keeper(Store.open(path), reports.append, interval_s=0.01)
    with files_no_longer_than(1 << 16):
        keeper.put(Changes(told=[Told("r", "s", str(number) * 100, 99) for number in range(1000)]))
        wait_until(lambda: reports, "the fault")
    keeper.put(changes(99))
    check_recovery(keeper, path, reports, "cannot keep the state")


def test_state_on_a_disk_that_is_full_from_the_start_begins_when_there_is_room(tmp_path: Path, reports: Reports) -> None:
    with small_disk(tmp_path / "disk") as disk:
        path = disk / "state.db"
        filler = fill(disk)
        store = Store.open(path)
        assert store.load() == Memory()
        keeper = Keeper(store, reports.append, interval_s=0.01)
        keeper.put(changes(99))
        filler.unlink()
        check_recovery(keeper, path, reports, "cannot keep the state")


@pytest.mark.parametrize("is_killed", [False, True])
def test_read_only_state_is_read_and_written_when_it_can_be(tmp_path: Path, reports: Reports, is_killed: bool) -> None:
    with small_disk(tmp_path / "disk") as disk:
        path = disk / "state.db"
        with Store.open(path) as store:
            store.save(changes(1))
            shutil.copytree(disk, tmp_path / "copied")  # its log has the checkpoint, as after a kill
        if is_killed:
            for name in ("state.db", "state.db-wal"):
                shutil.copyfile(tmp_path / "copied" / name, disk / name)
        remount(disk, "ro")
        store = Store.open(path)
        assert store.load() == memory(1)
        with Desk(path) as desk:
            assert desk.periods() == list(memory(1).periods)
        with pytest.raises(StateError, match="cannot change the state"):
            Desk(path, writes=True).forget(memory(1).devices[0], T0)
        keeper = Keeper(store, reports.append, interval_s=0.01)
        keeper.put(changes(99))
        tries = count_tries(keeper)
        wait_until(lambda: tries() > 3, "some more checkpoints")
        remount(disk, "rw")
        check_recovery(keeper, path, reports, "cannot keep the state")


def test_fault_at_the_end_is_an_error(path: Path, reports: Reports) -> None:
    keeper = Keeper(Store.open(path), reports.append, interval_s=0.01)
    with files_no_longer_than(1 << 16):
        keeper.put(Changes(told=[Told("r", "s", str(number) * 100, 99) for number in range(1000)]))
        wait_until(lambda: reports, "the fault")
        assert keeper.close()
    assert [problem.error is None for problem in reports] == [True, False]
    assert "what has come since the last checkpoint is not kept" in reports.texts[1]


# Locks.


def test_state_that_another_process_writes_for_long_is_told_once(
    path: Path, reports: Reports, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fastmon.state.connection.BUSY_S", 0.01)
    keeper = Keeper(Store.open(path), reports.append, interval_s=0.01)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    keeper.put(changes(99))
    wait_until(lambda: reports, "the fault")
    tries = count_tries(keeper)
    wait_until(lambda: tries() > 3, "some more checkpoints")
    other.close()
    check_recovery(keeper, path, reports, "database is locked")


# Damage.


class Whole:
    """A state with rows of all tables, on several pages."""

    def __init__(self, folder: Path) -> None:
        path = folder / "state.db"
        rows = changes(1)
        rows.told += [Told("ports", f"10.0.0.{number}", "tcp/80", number) for number in range(200)]
        with Store.open(path) as store:
            store.save(rows, [alert(str(number), evidence={"peers": [number]}) for number in range(50)])
        self.content = path.read_bytes()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    return Whole(tmp_path_factory.mktemp("whole"))


def damaged(folder: Path, content: bytes) -> Path:
    path = folder / "state.db"
    path.write_bytes(content)
    (folder / "state.db-lock").touch()
    return path


def ask_everything(path: Path) -> None:
    with Desk(path) as desk:
        list(desk.alerts(desk.alert_ids(AlertFilter())))
        desk.periods(), desk.days(), desk.devices(), desk.silences(0)


@given(data=st.data())
@settings(max_examples=60)
def test_damaged_state_is_kept_or_set_aside_and_the_next_one_works(
    tmp_path_factory: pytest.TempPathFactory, whole: Whole, data: st.DataObject
) -> None:
    content = bytearray(whole.content)
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(content) - 1) | st.integers(0, 100))
        piece = data.draw(st.binary(min_size=1, max_size=600) | st.integers(1, 5000).map(bytes))
        content[start : start + len(piece)] = piece[: len(content) - start]
    del content[data.draw(st.just(len(content)) | st.integers(0, len(content))) :]
    folder = tmp_path_factory.mktemp("damaged")
    path = damaged(folder, bytes(content))
    with suppress(StateError):
        ask_everything(path)
    with Store.open(path) as store:
        found = store.load()
        store.silences(), store.given_names(), store.load_outbox()
        assert store.fault is None
        rows: dict[str, Any] = {name: list(getattr(found, name)) for name in Memory.__dataclass_fields__}
        store.save(Changes(**rows))
        store.save(changes(9))
        remarks = store.take_remarks()
        asides = [file for file in folder.glob("state.db.damaged-*Z*") if not file.name.endswith(("-wal", "-shm"))]
        assert len(remarks) == len(asides)
        assert all(any(aside.name in remark for remark in remarks) for aside in asides)
    with Store.open(path) as store:
        found = store.load()
        assert store.take_remarks() == []
    assert set(memory(9).periods) <= set(found.periods)
    ask_everything(path)


@pytest.mark.parametrize(
    ("at", "n_bytes"),
    [(0, 4096), (0, 1), (16, 2), (18, 1), (19, 1), (44, 4), (56, 4), (60, 4), (68, 4), (2000, 4096), (4096 * 5, 4096)],
)
def test_damaged_state_is_set_aside_by_name_and_time(tmp_path: Path, whole: Whole, at: int, n_bytes: int) -> None:
    """Also where SQLite takes the damage for a property: that the file is read-only, of another version or encoding."""
    content = whole.content[:at] + b"\x05" * n_bytes + whole.content[at + n_bytes :]
    path = damaged(tmp_path, content)
    with Store.open(path) as store:
        (remark,) = store.take_remarks()
        (aside,) = tmp_path.glob("state.db.damaged-????????T??????Z")
        assert store.load() == Memory()
    assert remark.startswith(f"the state {path} is damaged (")
    assert remark.endswith(f"): it is set aside as {aside}, and a new one is begun")
    assert aside.read_bytes() == content


@pytest.mark.parametrize("statement", ["DROP TABLE told", "DROP INDEX alerts_by_time", "DELETE FROM meta"])
def test_state_that_lacks_a_part_is_set_aside(path: Path, statement: str) -> None:
    with Store.open(path) as store:
        store.save(changes(1))
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(statement)
    with Store.open(path) as store:
        (remark,) = store.take_remarks()
        store.save(changes(2))
        assert store.load() == memory(2)
    assert "its tables are not as fastmon makes them" in remark


def test_damaged_states_of_one_second_are_all_kept(tmp_path: Path) -> None:
    for _ in range(3):
        path = damaged(tmp_path, b"nonsense" * 1000)
        Store.open(path).close()
    assert len(list(tmp_path.glob("state.db.damaged-*"))) == 3


def test_damage_that_shows_in_mid_run_costs_no_later_checkpoint(path: Path, reports: Reports) -> None:
    with Store.open(path) as store:
        store.save(Changes(told=[Told("r", "s", str(number) * 50, 1) for number in range(5000)]))
    store = Store.open(path)
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 500_000)
    keeper = Keeper(store, reports.append, interval_s=0.01)
    keeper.put(Changes(told=[Told("r", "s", str(number) * 50, 2) for number in range(5000)]))
    wait_until(lambda: reports, "the damage")
    keeper.put(changes(99))
    assert keeper.close()
    assert "is set aside as" in reports.texts[0]
    with Store.open(path) as store:
        assert memory(99).periods == store.load().periods


def test_damage_that_shows_in_a_write_does_not_cost_it(path: Path) -> None:
    rows = Changes(told=[Told("r", "s", str(number) * 50, 1) for number in range(5000)])
    with Store.open(path) as store:
        store.save(rows)
    with Store.open(path) as store:
        with path.open("r+b") as file:
            file.seek(4096)
            file.write(b"\xff" * 500_000)
        store.save(rows)
        assert len(store.load().told) == 5000


def test_log_of_a_state_that_was_removed_is_not_taken_for_the_new_ones(tmp_path: Path, cut: Cut) -> None:
    (tmp_path / "state.db-wal").write_bytes(cut.files["state.db-wal"])
    with Store.open(tmp_path / "state.db") as store:
        assert (store.load(), store.take_remarks()) == (Memory(), [])


# Clocks.


def test_clock_that_jumps_ahead_makes_nothing_old(path: Path, reports: Reports, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a clock that has been steady for an hour is believed."""
    clock = SimpleNamespace(wall_ns=T0, mono_ns=0)
    fake = SimpleNamespace(
        time_ns=lambda: clock.wall_ns, monotonic_ns=lambda: clock.mono_ns, monotonic=lambda: clock.mono_ns / 1e9
    )
    monkeypatch.setattr("fastmon.state.keeper.time", fake)
    pruned = threading.Event()
    store = Store.open(path)
    prune = store.prune

    def watched(now_ns: int) -> None:
        prune(now_ns)
        pruned.set()

    monkeypatch.setattr(store, "prune", watched)
    keeper = Keeper(store, reports.append, interval_s=36_000)

    def checkpoint(number: int) -> None:
        keeper.put(Changes(), [alert(str(number), kind="new", ts_ns=T0)])
        wait_until(lambda: str(number) in ids() and keeper._last_try_s == fake.monotonic(), "a checkpoint")

    def ids() -> list[str]:
        with Desk(path) as desk:
            return desk.alert_ids(AlertFilter())

    hour_ns = 3600 * 1_000_000_000
    clock.mono_ns += 2_000_000_000
    checkpoint(1)
    clock.mono_ns += hour_ns
    clock.wall_ns += 3650 * DAY
    checkpoint(2)
    assert not pruned.is_set()
    clock.mono_ns += hour_ns
    clock.wall_ns -= 3650 * DAY - hour_ns
    checkpoint(3)
    assert not pruned.is_set()
    clock.mono_ns += hour_ns
    clock.wall_ns += hour_ns
    checkpoint(4)
    wait_until(pruned.is_set, "the removal of what is old")
    assert ids() == ["1", "2", "3", "4"]
    assert keeper.close()
