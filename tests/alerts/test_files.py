"""The action `file`, and secrets."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from alerts.making import make_alert
from fastmon.alerts.action import DeliveryError
from fastmon.alerts.files import FileAction
from fastmon.alerts.records import alert_record
from fastmon.alerts.secrets import read_secret
from fastmon.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from alerts.making import Desk

RECORDS = [alert_record(make_alert(number)) for number in range(3)]


def test_alerts_are_appended_as_json_lines(open_desk: Callable[..., Desk], tmp_path: Path) -> None:
    path = tmp_path / "alerts.jsonl"
    path.write_text("{}\n")
    desk = open_desk(file=str(path), rate=1)
    desk.send(*map(make_alert, range(50)))  # a file gets them all
    desk.wait_for(delivered=50)
    first, *lines = path.read_text().splitlines()
    assert first == "{}"
    assert [json.loads(line)["host"] for line in lines] == [f"10.0.0.{number}" for number in range(50)]


def test_file_that_was_renamed_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "alerts.jsonl"
    action = FileAction(str(path))
    action.deliver(RECORDS[:1], 1)
    path.rename(tmp_path / "alerts.jsonl.1")
    action.deliver(RECORDS[1:], 1)
    assert len(path.read_text().splitlines()) == 2
    assert path.stat().st_mode & 0o027 == 0


def test_folder_that_is_missing_is_told_of_and_tried_again(open_desk: Callable[..., Desk], tmp_path: Path) -> None:
    path = tmp_path / "later" / "alerts.jsonl"
    desk = open_desk(file=str(path))
    desk.send(make_alert(1))
    text = desk.wait_for_problem("action test")
    assert text.startswith(f"action test: cannot write {path}: No such file or directory; trying again in")
    path.parent.mkdir()
    desk.wait_for(delivered=1)


def test_full_disk_leaves_no_part_of_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "alerts.jsonl"
    path.write_text("{}\n")
    write = os.write

    def fill(fd: int, data: bytes) -> int:
        if len(data) < 100:
            raise OSError(28, "No space left on device")
        return write(fd, data[: len(data) - 50])

    monkeypatch.setattr("fastmon.alerts.files.os.write", fill)
    with pytest.raises(DeliveryError, match="No space left"):
        FileAction(str(path)).deliver(RECORDS, 1)
    assert path.read_text() == "{}\n"


def test_pipe_that_nobody_reads_fails_at_once(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with pytest.raises(DeliveryError, match="No such device"):
        FileAction(str(path)).deliver(RECORDS, 1)


def test_secret_from_the_environment_a_file_or_as_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHONE_URL", " json://a ")
    path = tmp_path / "url"
    path.write_text("json://b\n")
    path.chmod(0o600)
    assert [read_secret(text) for text in ("env:PHONE_URL", f"file:{path}", "json://c")] == ["json://a", "json://b", "json://c"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o700])
def test_secret_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "url"
    path.write_text("json://hidden")
    path.chmod(mode)
    with pytest.raises(ConfigError, match=f"its mode is {mode:03o}, use 600") as caught:
        read_secret(f"file:{path}")
    assert "hidden" not in str(caught.value)


def test_secret_that_is_not_there(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)  # opening it must not wait for a writer
    for name in ("empty", "big", "binary"):
        (tmp_path / name).write_bytes({"empty": b" \n", "big": b"x" * 70_000, "binary": b"\xff"}[name])
        (tmp_path / name).chmod(0o600)
    for text, message in (
        ("env:FASTMON_NO_SUCH", "the environment variable FASTMON_NO_SUCH is not set"),
        (f"file:{tmp_path}/none", "No such file"),
        (f"file:{tmp_path}", "no regular file"),
        (f"file:{tmp_path}/pipe", "no regular file"),
        (f"file:{tmp_path}/empty", "is empty"),
        (f"file:{tmp_path}/big", "more than 65536 bytes"),
        (f"file:{tmp_path}/binary", "not text"),
        ("file:a\0b", "null"),
    ):
        with pytest.raises(ConfigError, match=message):
            read_secret(text)


def test_pipe_that_is_read_gets_the_lines(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    FileAction(str(path)).deliver(RECORDS, 1)
    with os.fdopen(fd) as reader:
        assert len(reader.read().splitlines()) == 3
