"""The documents say what is true: options, columns, records, commands, paths, links, and examples that run."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from needs import cannot_run

from fastmon.config import load_config
from fastmon.sinks.conversations import CSV_COLUMNS
from fastmon.sinks.csv import CsvSink

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "fastmon"
DEMO = ROOT / "pcaps" / "demo.pcap"
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "pcaps" / "README.md", ROOT / "benchmarks" / "README.md")
)
COMMANDS = {"live", "replay", "interfaces"}


def page(name: str) -> str:
    return (ROOT / name).read_text()


def section(name: str, heading: str) -> str:
    """Return what a page says under a heading of the second or third level, up to the next one of that level or above."""
    found = re.search(rf"^(##+) {re.escape(heading)}\n(.*?)(?=^##? |^\1 |\Z)", page(name), re.MULTILINE | re.DOTALL)
    assert found, f"{name} has no section {heading!r}"
    return found[2]


def blocks(name: str, language: str) -> list[str]:
    """Return the code of a page's blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page(name), re.MULTILINE | re.DOTALL)


def slug(heading: str) -> str:
    """Return the anchor of a heading, as GitHub makes it."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


@cache
def help_of(command: str) -> str:
    """Return the help text of one of fastmon's commands."""
    code = "import sys, fastmon.cli; sys.exit(fastmon.cli.main())"
    arguments = [sys.executable, "-c", code, command, "--help"]
    environment = {**os.environ, "COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"}
    return subprocess.run(arguments, env=environment, capture_output=True, text=True, check=True).stdout


def options_of(command: str) -> set[str]:
    """Return the options that a command has by its help text."""
    found = re.findall(r"^\s*(-[a-zA-Z](?=,))?,?\s*(--[a-z][a-z0-9-]*)", help_of(command), re.MULTILINE)
    return {option for pair in found for option in pair if option} - {"-h", "--help"}


# Commands and options.


def test_documented_scripts_exist() -> None:
    text = "".join(map(page, PAGES))
    scripts = {ROOT / name for name in re.findall(r"(?<![\w/])scripts/\w+\b(?!\.)|\.ci/run", text)}
    assert len(scripts) > 4
    assert [script for script in scripts if not os.access(script, os.X_OK)] == []


def test_documented_commands_exist() -> None:
    commands = re.findall(r"\bfastmon (live|replay|interfaces)\b([^#\n`|]*)", "".join(map(page, PAGES)))
    assert {command for command, _ in commands} == COMMANDS
    unknown = [
        (command, option)
        for command, arguments in commands
        for option in re.findall(r"(?<!\S)--?[a-z][a-z0-9-]*", arguments)
        if option not in options_of(command) | {"-h", "--help"}
    ]
    assert unknown == []


def documented_options() -> list[tuple[list[str], str]]:
    """Return the names and the default of each row of options."""
    rows = re.findall(r"^\| (`-.*?) \| .* \| (.*)\|$", page("docs/options.md").replace(r"\|", "/"), re.MULTILINE)
    return [(re.findall(r"(?<![\w-])--?[a-z][a-z0-9-]*", names), default) for names, default in rows]


def test_every_option_is_documented_once() -> None:
    documented = [name for names, _ in documented_options() for name in names]
    assert sorted(documented) == sorted(options_of("live") | options_of("replay"))


def test_documented_defaults_are_those_of_the_help() -> None:
    entry = r"^  (?:-\w, )?(--[a-z0-9-]+) (?:(?!^  -).)*?\[(\w+)\]$"
    defaults = dict(re.findall(entry, help_of("live"), re.MULTILINE | re.DOTALL))
    assert len(defaults) > 10
    documented = {names[-1]: default for names, default in documented_options()}
    assert [name for name, default in defaults.items() if f"`{default}`" not in documented[name]] == []


def test_documented_configuration_can_be_loaded(tmp_path: Path) -> None:
    (text,) = blocks("docs/options.md", "toml")
    (tmp_path / "fastmon.toml").write_text(text)
    assert load_config(str(tmp_path / "fastmon.toml"), lambda path, _: Path(path).read_bytes()).options["interval"] == "10s"


# What is written.


def columns_in(text: str) -> list[str]:
    """Return the names of the first list of columns in `text`."""
    found = re.search(r"`((?:\w+,\s+)+\w+)`", text)
    assert found
    return re.split(r",\s+", found[1])


def test_documented_columns_are_those_written() -> None:
    stream = io.StringIO()
    CsvSink(stream)
    assert columns_in(section("docs/output.md", "CSV")) == stream.getvalue().strip().split(",")
    assert columns_in(section("docs/output.md", "Conversation records")) == list(CSV_COLUMNS)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    """The records that the demo's capture gives, by type."""
    conversations = tmp_path_factory.mktemp("written") / "conversations.jsonl"
    arguments = ["replay", str(DEMO), "--local", "192.168.1.0/24", "--format", "jsonl", "--conversations", str(conversations)]
    command = [sys.executable, "-m", "fastmon", *arguments]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    records: dict[str, list[dict[str, Any]]] = {}
    for line in (printed + conversations.read_text()).splitlines():
        record = json.loads(line)
        records.setdefault(record["type"], []).append(record)
    return records


def documented_records() -> dict[str, dict[str, Any]]:
    return {record["type"]: record for record in map(json.loads, blocks("docs/output.md", "json"))}


def test_documented_records_have_the_fields_that_are_written(written: dict[str, list[dict[str, Any]]]) -> None:
    documented = documented_records()
    assert written.keys() - documented.keys() == {"snapshot"}
    for kind, record in documented.items():
        assert record.keys() == written[kind][0].keys()
        for name, value in record.items():
            if isinstance(value, dict) and name != "apps":
                assert value.keys() == written[kind][0][name].keys(), name


def test_documented_host_has_the_fields_that_are_written(written: dict[str, list[dict[str, Any]]]) -> None:
    (host,) = documented_records()["summary"]["hosts"]
    (snapshot, *_), (summary,) = written["snapshot"], written["summary"]
    assert host.keys() <= {name for found in summary["hosts"] for name in found}
    table = set(re.findall(r"`(\w+)`", re.sub(r"\|[^|]*\|$", "", section("docs/output.md", "JSON lines"), flags=re.MULTILINE)))
    assert {name for found in (*snapshot["hosts"], *summary["hosts"]) for name in found} <= table
    assert snapshot.keys() | summary.keys() <= table | {"type"}


def test_readme_shows_what_the_demo_prints() -> None:
    """But for most of the alerts."""
    block = re.search(r"^\$ scripts/demo (.*)\n([^`]*)^```", page("README.md"), re.MULTILINE)
    command = re.search(r'"\$venv/bin/fastmon" (.*) "\$@"', page("scripts/demo"))
    assert block
    assert command
    arguments = [sys.executable, "-m", "fastmon", *command[1].split(), *block[1].split()]
    printed = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60).stdout
    alerts, _, rest = block[2].partition("...\n")
    assert printed.startswith(alerts)
    assert printed[len(alerts) :].endswith(rest + "\n")
    assert set(printed[len(alerts) : -len(rest) - 1].split("\n")) - {""} == {
        line for line in printed.splitlines() if line.startswith("ALERT") and line not in alerts
    }


# Examples.


class Example(NamedTuple):
    """A block of Python, what the page says that it prints (None: nothing is said), and whether it needs root."""

    page: str
    number: int
    code: str
    output: str | None
    needs_root: bool

    def __str__(self) -> str:
        return f"{self.page}-{self.number}"


def examples() -> list[Example]:
    block = re.compile(
        r"^(?P<remark><!-- .*? -->\n)?```python\n(?P<code>.*?)^```\n(?:\n```text\n(?P<output>.*?)^```\n)?",
        re.MULTILINE | re.DOTALL,
    )
    found = [(name, match) for name in ("README.md", "docs/library.md") for match in block.finditer(page(name))]
    return [
        Example(name, number, match["code"], match["output"], "needs: root" in (match["remark"] or ""))
        for number, (name, match) in enumerate(found)
    ]


@pytest.mark.parametrize("example", examples(), ids=str)
def test_example_prints_what_the_page_says(example: Example, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = compile(example.code, str(example), "exec")
    if example.needs_root and os.geteuid() != 0:
        cannot_run("the example captures from an interface, which needs root")
    shutil.copy(DEMO, tmp_path / "gateway.pcap")
    monkeypatch.chdir(tmp_path)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(code, {"__name__": "__main__"})
    assert printed.getvalue()
    assert example.output in {None, printed.getvalue()}


# Paths, links and lines.


@pytest.mark.parametrize("name", PAGES)
def test_paths_exist(name: str) -> None:
    paths = re.findall(r"`((?:[\w.-]+/)+(?:[\w.-]+\.(?:py|pyx|pxd|pyi|h|c|md|tsv|json))?)`", page(name))
    roots = (ROOT, PACKAGE, PACKAGE / "native")
    assert [path for path in paths if not any((root / path).exists() for root in roots)] == []


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_somewhere(name: str) -> None:
    links = re.findall(r"\]\((?!https?://)([^)#]*)(?:#([^)]+))?\)", page(name))
    for target, anchor in links:
        path = (ROOT / name).parent / target if target else ROOT / name
        assert path.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
            assert anchor in map(slug, headings), f"{target}#{anchor}"


@pytest.mark.parametrize("name", PAGES)
def test_prose_lines_are_short(name: str) -> None:
    prose = re.sub(r"^```.*?^```$", "", page(name), flags=re.MULTILINE | re.DOTALL)
    assert [line for line in prose.splitlines() if len(line) > 130 and not line.startswith(("|", "<!--"))] == []


def test_every_page_is_linked_from_another() -> None:
    linked = {
        ((ROOT / name).parent / target).resolve()
        for name in PAGES
        for target in re.findall(r"\]\((?!https?://)([^)#]+)", page(name))
    }
    assert [name for name in PAGES if (ROOT / name) not in linked and name not in {"README.md", "pcaps/README.md"}] == []


def test_readme_is_short() -> None:
    assert len(page("README.md").splitlines()) <= 150


def test_every_decision_has_a_number_of_its_own() -> None:
    names = [name.removeprefix("docs/decisions/") for name in PAGES if name.startswith("docs/decisions/0")]
    assert len({name[:4] for name in names}) == len(names) > 5
    for name in names:
        assert page(f"docs/decisions/{name}").startswith(f"# {name[:4]}: ")
        assert f"({name})" in page("docs/decisions/README.md")
