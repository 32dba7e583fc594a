"""The project's own promises: its layers, its distributions, its version and what its documents name."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import sys
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from fastmon.sinks.conversations import CSV_COLUMNS
from fastmon.sinks.csv import CsvSink

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "fastmon"
PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
NATIVE_SOURCES = sorted(path.relative_to(PACKAGE).as_posix() for pattern in ("*.pyx", "*.pxd") for path in PACKAGE.rglob(pattern))


def layers() -> list[str]:
    """The modules from the lowest to the uppermost, as the import contract has them."""
    contract = next(c for c in PYPROJECT["tool"]["importlinter"]["contracts"] if c["type"] == "layers")
    return [layer.strip("()") for layer in reversed(contract["layers"])]


def fastmon_imports(source: str) -> Iterator[str]:
    """The names of fastmon's modules that Cython source imports or cimports."""
    for module in re.finditer(r"^\s*(?:from\s+(?:fastmon)?\.|c?import\s+fastmon\.)(\w+)", source, re.MULTILINE):
        yield module[1]
    for names in re.finditer(r"^\s*from\s+(?:fastmon|\.)\s+c?import\s+(\([\w\s,]+\)|[\w, ]+)", source, re.MULTILINE):
        yield from re.findall(r"\w+", names[1])


def test_import_contract_follows_the_architecture() -> None:
    table = re.findall(r"^\| `(\w+)/?` \|", (ROOT / "ARCHITECTURE.md").read_text(), re.MULTILINE)
    assert layers() == table


@pytest.mark.parametrize("name", NATIVE_SOURCES)
def test_native_sources_import_only_their_layer_and_lower(name: str) -> None:
    order = layers()
    native = order.index("_accounting")
    imported = set(fastmon_imports((PACKAGE / name).read_text()))
    assert {module for module in imported if order.index(module) > native} == set()


def test_imports_of_cython_source_are_found() -> None:
    source = """
from fastmon.native.wire cimport (
    Key,
)
from . cimport _link, _upper
cimport fastmon.native.tables.hosts
    from fastmon.errors import CaptureError
"""
    assert list(fastmon_imports(source)) == ["native", "native", "errors", "_link", "_upper"]


def build(hook: str, source: Path, target: Path) -> Path:
    """Run setuptools' build hook ("sdist" or "wheel") on `source`; return what it made in `target`."""
    code = f"import sys; from setuptools.build_meta import build_{hook} as build; print('built', build(sys.argv[1]))"
    command = [sys.executable, "-c", code, str(target)]
    environment = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    run = subprocess.run(command, cwd=source, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    return target / run.stdout.splitlines()[-1].removeprefix("built ")


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution, unpacked; of a tree that has an old generated C file lying about."""
    folder = tmp_path_factory.mktemp("sdist")
    unwanted = shutil.ignore_patterns(".*", "build", "*.egg-info", "*.so", "__pycache__")
    tree = shutil.copytree(ROOT, folder / "tree", ignore=unwanted)
    (tree / "src" / "fastmon" / "_accounting.c").write_text("#error this file is stale\n")
    subprocess.run(["tar", "-xzf", build("sdist", tree, folder), "-C", folder], check=True)
    shutil.rmtree(tree)
    (unpacked,) = (path for path in folder.iterdir() if path.is_dir())
    return unpacked


@pytest.fixture(scope="module")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel built from the source distribution alone, unpacked."""
    folder = tmp_path_factory.mktemp("wheel")
    shutil.unpack_archive(build("wheel", sdist, folder), folder / "unpacked", format="zip")
    return folder / "unpacked"


def test_sdist_carries_sources_and_nothing_generated(sdist: Path) -> None:
    files = {path.relative_to(sdist / "src" / "fastmon").as_posix() for path in (sdist / "src" / "fastmon").rglob("*")}
    assert {*NATIVE_SOURCES, "_accounting.pyi", "py.typed"} <= files
    assert [file for file in files if file.endswith((".c", ".so", ".pyc"))] == []
    assert (sdist / "LICENSE").exists()


def test_wheel_carries_the_extension_and_no_sources(wheel: Path) -> None:
    files = [path.name for path in (wheel / "fastmon").iterdir()]
    assert [name.partition(".")[0] for name in files if name.endswith(".so")] == ["_accounting"]
    assert {"_accounting.pyi", "py.typed"} <= set(files)
    assert [name for name in files if name.endswith((".c", ".pyx", ".pxd", ".h"))] == []


def test_wheel_works_on_its_own(wheel: Path, tmp_path: Path) -> None:
    code = "import sys, fastmon, fastmon.cli; print(fastmon.__file__); sys.exit(fastmon.cli.main())"
    command = [sys.executable, "-c", code, "replay", str(ROOT / "pcaps" / "demo.pcap"), "--format", "jsonl"]
    environment = {**os.environ, "PYTHONPATH": str(wheel)}
    environment.pop("LD_PRELOAD", None)
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    imported, *_, summary = run.stdout.splitlines()
    assert Path(imported).is_relative_to(wheel)
    assert json.loads(summary)["type"] == "summary"


def test_version_stands_in_one_place() -> None:
    version: str = PYPROJECT["project"]["version"]
    assert metadata.version("fastmon") == version
    elsewhere = [ROOT / "setup.py", *PACKAGE.rglob("*.py*"), *(ROOT / "scripts").iterdir()]
    assert [path for path in elsewhere if path.suffix != ".pyc" and version in path.read_text()] == []


def documents() -> str:
    """The documents that tell people what to type."""
    return "".join((ROOT / name).read_text() for name in ("README.md", "CONTRIBUTING.md"))


def test_documented_scripts_exist() -> None:
    scripts = {ROOT / name for name in re.findall(r"\bscripts/\w+\b(?!\.)|\.ci/run", documents())}
    assert scripts
    assert [script for script in scripts if not os.access(script, os.X_OK)] == []


def test_documented_commands_exist() -> None:
    commands = re.findall(r"^\s*(?:\S+ \| )*fastmon (live|replay|interfaces)\b([^#\n]*)", documents(), re.MULTILINE)
    assert {command for command, _ in commands} == {"live", "replay", "interfaces"}
    unknown = [
        (command, option)
        for command, arguments in commands
        for option in re.findall(r"(?<!\S)--?[a-z][a-z0-9-]*", arguments)
        if option not in options_of(command)
    ]
    assert unknown == []


def test_every_option_is_documented() -> None:
    rows = re.findall(r"^\| `(-.*?)\|", (ROOT / "README.md").read_text(), re.MULTILINE)
    documented = {option for row in rows for option in re.findall(r"--?[a-z][a-z0-9-]*", row)}
    assert documented == options_of("live") | options_of("replay")


def columns_in(text: str) -> list[str]:
    """Return the names of the first list of columns in `text`."""
    found = re.search(r"`((?:\w+,\s+)+\w+)`", text)
    assert found
    return re.split(r",\s+", found[1])


def test_documented_columns_are_those_written() -> None:
    readme = (ROOT / "README.md").read_text()
    stream = io.StringIO()
    CsvSink(stream)
    assert columns_in(readme[readme.index("**CSV**") :]) == stream.getvalue().strip().split(",")
    assert columns_in(readme[readme.index("As CSV") :]) == list(CSV_COLUMNS)


def test_readme_shows_what_the_demo_prints() -> None:
    """But for most of the alerts."""
    block = re.search(r"^\$ scripts/demo (.*)\n([^`]*)^```", (ROOT / "README.md").read_text(), re.MULTILINE)
    command = re.search(r'"\$venv/bin/fastmon" (.*) "\$@"', (ROOT / "scripts" / "demo").read_text())
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


@cache
def options_of(command: str) -> set[str]:
    """Return the options that one of fastmon's commands has by its help text."""
    code = "import sys, fastmon.cli; sys.exit(fastmon.cli.main())"
    arguments = [sys.executable, "-c", code, command, "--help"]
    environment = {**os.environ, "COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"}
    text = subprocess.run(arguments, env=environment, capture_output=True, text=True, check=True).stdout
    found = re.findall(r"^\s*(-[a-zA-Z](?=,))?,?\s*(--[a-z][a-z0-9-]*)", text, re.MULTILINE)
    return {option for pair in found for option in pair if option} - {"-h", "--help"}
