"""The action `exec`: programs that behave, and programs that do not."""

from __future__ import annotations

import json
import os
import stat
import threading
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import pytest
from waiting import wait_until

from alerts.making import make_alert
from fastmon.alerts.action import DeliveryError
from fastmon.alerts.exec import ExecAction
from fastmon.alerts.records import alert_record
from fastmon.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from alerts.making import Desk

RECORDS = [alert_record(make_alert(number)) for number in range(3)]
LONG_S = 30.0


Script: TypeAlias = "Callable[[str], str]"


@pytest.fixture
def script(tmp_path: Path) -> Script:
    """Return what writes a shell script and returns its path; it runs in the test's folder."""

    def write(text: str) -> str:
        path = tmp_path / "script"
        path.write_text(f"#!/bin/sh\ncd {tmp_path}\n{text}\n")
        path.chmod(0o755)
        return str(path)

    return write


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def n_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_program_gets_a_json_line_for_each_alert(open_desk: Callable[..., Desk], script: Script, tmp_path: Path) -> None:
    desk = open_desk(exec=(script('cat > got; echo "$@" > arguments'), "--flag", "$(touch evil) ; *"))
    desk.send(*map(make_alert, range(3)))
    desk.wait_for(delivered=3)
    assert [json.loads(line)["host"] for line in (tmp_path / "got").read_text().splitlines()] == [
        "10.0.0.0",
        "10.0.0.1",
        "10.0.0.2",
    ]
    assert (tmp_path / "arguments").read_text() == "--flag $(touch evil) ; *\n"
    assert not desk.problems


def test_environment_is_what_is_stated(script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HIDDEN", "x")
    monkeypatch.setenv("TOKEN", "secret")
    path = script("exec /usr/bin/env > environment")
    ExecAction("phone", (path,), {"KEY": "env:TOKEN", "PLAIN": "a b"}).deliver(RECORDS, LONG_S)
    lines = (line.partition("=") for line in (tmp_path / "environment").read_text().splitlines())
    found = {name: value for name, _, value in lines}
    shells = {name: value for name, value in found.items() if name in {"OLDPWD", "SHLVL", "_"}}
    expected: dict[str, str] = {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "LANG": "C.UTF-8",
        "FASTMON_ACTION": "phone",
        "KEY": "secret",
        "PLAIN": "a b",
        "PWD": str(tmp_path),  # the shell's own
        **shells,
    }
    assert found == expected


def test_secret_that_has_gone_is_a_failure(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TOKEN", raising=False)
    with pytest.raises(DeliveryError, match="TOKEN is not set"):
        ExecAction("phone", (script("true"),), {"KEY": "env:TOKEN"}).deliver(RECORDS, LONG_S)


def test_program_that_reads_nothing_has_succeeded(script: Script) -> None:
    records = [alert_record(make_alert(number, reason="x" * 900)) for number in range(1000)]  # more than a pipe takes
    ExecAction("test", (script("exec true"),)).deliver(records, LONG_S)
    ExecAction("test", (script("exec <&-; sleep 0.1"),)).deliver(records, LONG_S)


def test_program_that_reads_slowly_gets_everything(script: Script, tmp_path: Path) -> None:
    records = [alert_record(make_alert(number, reason="x" * 900)) for number in range(500)]
    ExecAction("test", (script("sleep 0.2; cat > got"),)).deliver(records, LONG_S)
    assert len((tmp_path / "got").read_text().splitlines()) == 500


def test_exit_code_and_last_words_are_told(script: Script) -> None:
    with pytest.raises(DeliveryError) as caught:
        ExecAction("test", (script(r"printf 'no \033[31m such\nhost' >&2; exit 3"),)).deliver(RECORDS, LONG_S)
    assert str(caught.value) == "exited with 3: no \\x1b[31m such host"
    with pytest.raises(DeliveryError, match="was killed by SIGSEGV"):
        ExecAction("test", (script("kill -SEGV $$"),)).deliver(RECORDS, LONG_S)


def test_program_that_never_ends_is_ended(script: Script, tmp_path: Path) -> None:
    with pytest.raises(DeliveryError, match=r"had not ended after 0.3 s, and was killed"):
        ExecAction("test", (script("echo $$ > pid; exec sleep 1000"),)).deliver(RECORDS, 0.3)
    assert not is_running(int((tmp_path / "pid").read_text()))


def test_program_that_ignores_sigterm_is_killed(script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastmon.alerts.exec.GRACE_S", 0.2)
    with pytest.raises(DeliveryError, match="was killed"):
        ExecAction("test", (script("trap '' TERM; echo $$ > pid; while :; do sleep 0.1; done"),)).deliver(RECORDS, 0.5)
    assert not is_running(int((tmp_path / "pid").read_text()))


@pytest.mark.parametrize("end", ["exit 0", "exec sleep 1000"])
def test_what_a_program_leaves_running_is_ended(script: Script, tmp_path: Path, end: str) -> None:
    text = f"for i in 1 2 3; do sleep 1000 & echo $! >> pids; done; {end}"
    action = ExecAction("test", (script(text),))
    if end == "exit 0":
        action.deliver(RECORDS, LONG_S)  # though they hold its standard error open
    else:
        with pytest.raises(DeliveryError):
            action.deliver(RECORDS, 0.5)
    pids = list(map(int, (tmp_path / "pids").read_text().split()))
    assert len(pids) == 3
    wait_until(lambda: not any(map(is_running, pids)), "the end of what it started")


def test_flood_is_discarded_and_the_program_ended(script: Script) -> None:
    with pytest.raises(DeliveryError) as caught:
        ExecAction("test", (script("yes out & yes error >&2"),)).deliver(RECORDS, 0.5)
    assert "was killed: " in str(caught.value)
    assert len(str(caught.value)) < 500


def test_no_descriptor_and_no_zombie_is_left(script: Script) -> None:
    good, bad = ExecAction("test", (script("cat > /dev/null"),)), ExecAction("test", ("false",))
    good.deliver(RECORDS, LONG_S)
    before = n_descriptors()
    for _ in range(5):
        good.deliver(RECORDS, LONG_S)
        with pytest.raises(DeliveryError):
            bad.deliver(RECORDS, LONG_S)
    assert n_descriptors() == before
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_program_that_has_gone_is_a_failure(script: Script, tmp_path: Path) -> None:
    action = ExecAction("test", (script("true"),))
    (tmp_path / "script").unlink()
    with pytest.raises(DeliveryError, match="cannot be started: No such file"):
        action.deliver(RECORDS, LONG_S)


def test_program_that_is_not_there_is_a_wrong_configuration(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    assert not (tmp_path / "data").stat().st_mode & stat.S_IXUSR
    for arguments, message in (
        (("no-such-program",), "there is no program no-such-program to run"),
        ((str(tmp_path / "data"),), "there is no program"),
        ((), "an empty one"),
    ):
        with pytest.raises(ConfigError, match=message):
            ExecAction("test", arguments)


def test_end_of_the_run_ends_the_program(open_desk: Callable[..., Desk], script: Script, tmp_path: Path) -> None:
    desk = open_desk(exec=(script("trap '' TERM; echo $$ > pid; while :; do sleep 0.1; done"),), timeout_ns=10**12)
    desk.send(make_alert(1))
    pid = int(wait_until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text(), "the program"))
    desk.dispatcher.close(0.1)
    assert not is_running(pid)  # this process may end now, and could kill it no more
    assert len(desk.outbox.load()) == 1


def test_programs_of_two_actions_run_side_by_side(script: Script, tmp_path: Path) -> None:
    path = script('echo $FASTMON_ACTION >> names; while [ "$(wc -l < names)" -lt 2 ]; do sleep 0.02; done')
    threads = [threading.Thread(target=ExecAction(name, (path,)).deliver, args=(RECORDS, LONG_S)) for name in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted((tmp_path / "names").read_text().split()) == ["a", "b"]
