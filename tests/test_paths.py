"""Whatever a run may write is kept apart from whatever it reads or writes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fastmon.config import OutputOptions, RunOptions
from fastmon.errors import ConfigError
from fastmon.sinks.log import KEPT_FILES
from fastmon.sinks.paths import check_paths

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def check(*captures: str, config: str | None = None, packet_log: str | None = None, files: int = 10, **output: str) -> None:
    check_paths(captures, RunOptions(packet_log=packet_log, packet_log_files=files), OutputOptions(**output), config)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["cap.csv", "cap.1.csv", "cap.2.csv"])
def test_rotation_of_the_packet_log_must_not_reach_a_capture(folder: Path, name: str) -> None:
    (folder / name).write_bytes(b"a capture")
    with pytest.raises(ConfigError, match=rf"{name} is a capture file to replay"):
        check(name, packet_log="cap.csv", files=3)
    check(name, packet_log=f"other-{name}", files=3)


def test_file_beyond_those_that_are_kept_is_free(folder: Path) -> None:
    (folder / "cap.3.csv").write_bytes(b"a capture")
    check("cap.3.csv", packet_log="cap.csv", files=3)


@pytest.mark.parametrize("option", ["output", "conversations", "log"])
@pytest.mark.usefixtures("folder")
def test_rotation_must_not_reach_another_output(option: str) -> None:
    with pytest.raises(ConfigError, match=r"p\.1\.csv is "):
        check(packet_log="p.csv", **{option: "p.1.csv"})  # type: ignore[arg-type]


@pytest.mark.parametrize("number", [1, KEPT_FILES])
def test_rotation_of_the_log_must_not_reach_anything(folder: Path, number: int) -> None:
    name = f"run.log.{number}"
    with pytest.raises(ConfigError, match=r"is the log, or an older file of it|is the file of the results"):
        check(log="run.log", output=name)
    (folder / name).write_bytes(b"interval = 1")
    with pytest.raises(ConfigError, match=rf"{name} is the configuration file"):
        check(log="run.log", config=name)
    check(log="run.log", output=f"run.log.{KEPT_FILES + 1}")


def test_links_and_other_spellings_are_seen_through(folder: Path) -> None:
    (folder / "x.pcap").write_bytes(b"a capture")
    (folder / "link").symlink_to("x.pcap")
    (folder / "hard").hardlink_to(folder / "x.pcap")
    (folder / "sub").mkdir()
    for name in ("link", "hard", "./x.pcap", "sub/../x.pcap", str(folder / "x.pcap")):
        with pytest.raises(ConfigError, match="is a capture file to replay"):
            check("x.pcap", output=name)
    with pytest.raises(ConfigError, match="is the file of the results"):
        check("x.pcap", output="new", conversations="sub/../new")


def test_what_is_no_file_may_be_named_twice(folder: Path) -> None:
    check("/dev/null", output="/dev/null", log="/dev/null", conversations="/dev/null")
    check(output="one", log="two", conversations="three", packet_log=str(folder / "four.csv"))
