"""The project's own promises: its layers, its distributions, its version."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "fastmon"
PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
STUBS = {path.relative_to(PACKAGE).with_suffix(".pyi").as_posix() for path in PACKAGE.rglob("*.pyx")}
"""One for each extension."""
DATA = {"py.typed", "classify/online.tsv"}
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
    modules = re.search(r"^## Modules\n(.*?)^## ", (ROOT / "ARCHITECTURE.md").read_text(), re.MULTILINE | re.DOTALL)
    assert modules
    table = re.findall(r"^\| `(\w+)/?` \|", modules[1], re.MULTILINE)
    assert layers() == table


@pytest.mark.parametrize("name", NATIVE_SOURCES)
def test_native_sources_import_only_their_layer_and_lower(name: str) -> None:
    order = layers()
    own = order.index(Path(name).parts[0].removesuffix(".pyx"))
    imported = set(fastmon_imports((PACKAGE / name).read_text()))
    assert {module for module in imported if order.index(module) > own} == set()


def native_parts() -> list[list[str]]:
    """The native parts from low to high, as ARCHITECTURE.md has them; those in one row are the two halves of one part."""
    text = (ROOT / "ARCHITECTURE.md").read_text()
    rows = re.findall(r"^\| (`[\w/]+\.p(?:xd|yx)`[^|]*)\|", text[text.index("## Native parts") :], re.MULTILINE)
    return [re.findall(r"`([\w/]+\.p(?:xd|yx))`", row) for row in rows]


def test_architecture_names_every_native_part() -> None:
    named = [f"native/{part}" for row in native_parts() for part in row]
    sources = {name for name in NATIVE_SOURCES if (PACKAGE / name).read_text()} - {"_accounting.pyx"}
    assert sorted(named) == sorted(sources)


def cimported_parts(source: str) -> Iterator[str]:
    """The native parts that Cython source cimports, or cimports something from."""
    for module, names in re.findall(r"^from fastmon\.native\.([\w.]+) cimport (\([^)]*\)|.*)", source, re.MULTILINE):
        is_folder = (PACKAGE / "native" / module.replace(".", "/")).is_dir()
        yield from [f"{module}.{name}" for name in re.findall(r"\w+", names)] if is_folder else [module]


@pytest.mark.parametrize("row", native_parts(), ids=lambda row: row[0])
def test_native_parts_cimport_only_lower_ones(row: list[str]) -> None:
    order = [part for parts in native_parts() for part in parts]
    lower = {part.removesuffix(".pxd").replace("/", ".") for part in order[: order.index(row[0])] + row}
    for part in row:
        assert set(cimported_parts((PACKAGE / "native" / part).read_text())) <= lower


IMPORTERS = {
    "_accounting": "accounting/native.py",
    "native.readers": "capture",
    "native.live_handle": "capture",
    "native.live_reader": "capture",
    "native.pypcap_handle": "capture",
    "native.decoder": "capture",
    "native.matchers": "run/inspection.py",
    "native.packet_text": "sinks/packet_files.py",
}
"""The only place where each extension is imported, of all that is Python; for its types, any module may."""


@pytest.mark.parametrize("extension", IMPORTERS)
def test_extension_is_imported_in_one_place(extension: str) -> None:
    package, _, name = f"fastmon.{extension}".rpartition(".")
    pattern = rf"^\s*(from {package}\.{name} import|from {package} import .*\b{name}\b|import {package}\.{name}\b)"
    types_only = re.compile(r"^if TYPE_CHECKING:\n(?:    .*\n|\n)+", re.MULTILINE)
    texts = {path: types_only.sub("", path.read_text()) for path in PACKAGE.rglob("*.py")}
    sources = [path for path, text in texts.items() if re.search(pattern, text, re.MULTILINE)]
    assert sources
    assert {path for path in sources if not path.is_relative_to(PACKAGE / IMPORTERS[extension])} == set()


MOST_LINES = {".py": 400, ".pyx": 500, ".pxd": 500}
TABLES = {"classify/applications.py"}
"""Modules that are one long table."""


def n_lines(name: str) -> int:
    return len((PACKAGE / name).read_text().splitlines())


def test_no_module_is_long() -> None:
    lengths = {path.relative_to(PACKAGE).as_posix(): path.suffix for path in PACKAGE.rglob("*") if path.suffix in MOST_LINES}
    long = {name for name, suffix in lengths.items() if n_lines(name) > MOST_LINES[suffix]}
    assert long - TABLES == {"_accounting.pyx"}
    assert n_lines("_accounting.pyx") <= 600


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


BUILD_S = 1200
"""The longest that compiling all extensions may take, on one of two busy cores."""


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
    (tree / "src" / "fastmon" / "native" / "readers.c").write_text("#error this file is stale\n")
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
    assert {*NATIVE_SOURCES, *STUBS, *DATA} <= files
    assert [file for file in files if file.endswith((".c", ".so", ".pyc"))] == []
    assert (sdist / "LICENSE").exists()


@pytest.mark.timeout(BUILD_S)
def test_wheel_carries_the_extensions_and_no_sources(wheel: Path) -> None:
    files = {path.relative_to(wheel / "fastmon").as_posix() for path in (wheel / "fastmon").rglob("*")}
    assert {f"{name.partition('.')[0]}.pyi" for name in files if name.endswith(".so")} == STUBS
    assert {*STUBS, *DATA} <= files
    assert [name for name in files if name.endswith((".c", ".pyx", ".pxd", ".h"))] == []


@pytest.mark.timeout(BUILD_S)
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
