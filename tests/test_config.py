"""Options and the configuration file: what they take, and what they say of what they do not take."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from fastmon.config import (
    MAX_CONFIG_BYTES,
    MAX_KEY_PARTS,
    OutputOptions,
    RunOptions,
    check_together,
    load_config,
    make_run_options,
)
from fastmon.errors import ConfigError
from fastmon.policy.contents import Policy

S = 1_000_000_000


def load(path: Path, content: str | bytes) -> dict[str, Any]:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return load_config(str(path), lambda name, n_bytes: Path(name).read_bytes()[:n_bytes]).options


@pytest.mark.parametrize(
    ("value", "expected_ns"),
    [("60s", 60 * S), (60, 60 * S), (0, 0), (0.25, S // 4), ("1h30m", 5400 * S), ("0", 0), (1e9, 10**9 * S)],
)
def test_durations_are_texts_or_seconds(value: str | float, expected_ns: int) -> None:
    assert RunOptions(interval=value).interval_ns == expected_ns
    assert RunOptions(duration=value).duration_ns == expected_ns


@pytest.mark.parametrize(("value", "expected"), [("1MB", 10**6), (1_000_000, 10**6), (0, 0), ("4KiB", 4096)])
def test_sizes_are_texts_or_bytes(value: str | int, expected: int) -> None:
    options = RunOptions(limit=value, buffer=value, packet_log_size=value)
    assert (options.limit_bytes, options.buffer_bytes, options.packet_log_bytes) == (expected,) * 3


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("interval", True, ["interval must be a duration", '"60s"', "True"]),
        ("interval", float("nan"), ["interval: use a number of seconds", "nan"]),
        ("interval", float("inf"), ["interval: use a number of seconds", "inf"]),
        ("interval", 1e300, ["interval: use a number of seconds", "1e+300"]),
        ("interval", 1e-10, ["interval must be 0 or at least 1ms", "1e-10"]),
        ("interval", -1, ["interval: ", "'-1'"]),
        ("interval", 0.0001, ["interval must be 0 or at least 1ms", "0.0001"]),
        ("limit", 0.5, ["limit must be a size", "0.5"]),
        ("limit", "much", ["limit: ", "'much'"]),
        ("max_hosts", 0, ["max-hosts must be between 1 and 2147483647, not 0"]),
        ("workers", "2", ["workers must be a whole number, not '2'"]),
        ("engine", "steam", ["engine must be one of native, reference, not 'steam'"]),
        ("inner", 1, ["inner must be true or false, not 1"]),
        ("local", "10.0.0.0/8", ["local must be a list of texts, not '10.0.0.0/8'"]),
        ("local", (10,), ["local must be a list of texts"]),
        ("packet_log", "a\0.csv", ["packet-log must be a path"]),
        ("packet_log", "", ["packet-log must be a path"]),
        ("filter", b"tcp", ["filter must be a text"]),
        ("workers", None, ["workers must be a whole number, not None"]),
    ],
)
def test_wrong_value_says_the_option_the_value_and_what_is_allowed(name: str, value: object, words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        RunOptions(**{name: value})  # type: ignore[arg-type]
    assert [word for word in words if word not in str(caught.value)] == []


@pytest.mark.parametrize("name", ["output", "log", "conversations"])
@pytest.mark.parametrize("value", ["", "a\0b"])
def test_wrong_paths_of_outputs(name: str, value: str) -> None:
    with pytest.raises(ConfigError, match=f"{name} must be a path"):
        OutputOptions(**{name: value})  # type: ignore[arg-type]


def test_options_that_exclude_each_other() -> None:
    with pytest.raises(ConfigError, match="--hosts-only cannot be combined with --by mac"):
        RunOptions(hosts_only=True, by="mac")
    with pytest.raises(ConfigError, match="--hosts-only cannot be combined with --conversations"):
        check_together(RunOptions(hosts_only=True), OutputOptions(conversations="x"), Policy())
    check_together(RunOptions(hosts_only=True), OutputOptions(), Policy())


def test_program_is_told_of_options_of_the_command_line() -> None:
    for option in fields(OutputOptions):
        with pytest.raises(ConfigError, match=f"{option.name} is an option of the command line only"):
            make_run_options({option.name: "x"})
    with pytest.raises(ConfigError, match="unknown option 'colour'"):
        make_run_options({"colour": "red"})


def test_no_option_is_in_both_sets() -> None:
    assert {option.name for option in fields(RunOptions)} & {option.name for option in fields(OutputOptions)} == set()


# The file.


def test_file_gives_options_of_both_sets(tmp_path: Path) -> None:
    text = 'interval = 10\nlimit = 5_000\nlocal = ["10.0.0.0/8"]\npacket-log-files = 3\nformat = "csv"\ninner = true\n'
    assert load(tmp_path / "x.toml", text) == {
        "interval": 10,
        "limit": 5000,
        "local": ("10.0.0.0/8",),
        "packet_log_files": 3,
        "format": "csv",
        "inner": True,
    }


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('packet-log = "a.csv"\npacket_log = "b.csv"\n', ["given twice"]),
        ('packet-log = "a\\u0000.csv"\n', ["packet-log must be a path"]),
        ("a." * 50_000 + "a = 1\n", ["line 1", f"more than {MAX_KEY_PARTS} parts"]),
        ("[" + "a." * 50_000 + "a]\n", ["line 1", "parts"]),
        ("x = {" + " a ." * 50_000 + " a = 1}\n", ["line 1", "parts"]),
        ('x = {"' + '"."'.join("a" * 50_000) + '" = 1}\n', ["line 1", "parts"]),
        ("\n" + ".".join(['"="'] * 50_000) + " = 1\n", ["line 2", "parts"]),
        (".".join(["'#'"] * 50_000) + " = 1\n", ["line 1", "parts"]),
        ("x = [\n{" + " . ".join(['"\\",="'] * 50_000) + " = 1}]\n", ["line 2", "parts"]),
        ("# " + "x" * MAX_CONFIG_BYTES, ["more than 1,048,576 bytes"]),
        (b"\xff\xfe", ["UTF-8"]),
        ("top = " + "[" * 200_000, ["nested"]),
        ("top = 1" + "0" * 5000, ["digits"]),
        ("interval = 5x", ["x.toml"]),
        ('colour = "red"', ["unknown option 'colour'", "packet-log"]),
    ],
    ids=lambda value: str(value)[:20],
)
def test_wrong_file_is_told_of_in_one_line(tmp_path: Path, content: str | bytes, words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "x.toml", content)
    assert str(tmp_path / "x.toml") in str(caught.value)
    assert "\n" not in str(caught.value)
    assert [word for word in words if word not in str(caught.value)] == []


def test_many_networks_on_one_line_are_no_long_key(tmp_path: Path) -> None:
    networks = [f"10.{n >> 8}.{n & 255}.0/24" for n in range(1000)]
    quoted = ", ".join(f'"{network}"' for network in networks)
    assert load(tmp_path / "x.toml", f"local = [{quoted}]  # {'.' * 500}\n")["local"] == tuple(networks)


def test_endless_file_is_not_read_to_its_end() -> None:
    from fastmon.capture.inputs import read_file

    with pytest.raises(ConfigError, match="more than"):
        load_config("/dev/zero", read_file)
