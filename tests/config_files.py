"""Loading configurations from texts, for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fastmon.config import Configuration, load_config
from fastmon.errors import ConfigFileError

PATH = "fastmon.toml"


def load(text: str | bytes) -> Configuration:
    content = text.encode() if isinstance(text, str) else text
    return load_config(PATH, lambda _path, n_bytes: content[:n_bytes])


def load_file(path: Path) -> Configuration:
    return load_config(str(path), lambda name, n_bytes: Path(name).read_bytes()[:n_bytes])


def rule(text: str) -> Any:
    """Return the one rule of a file."""
    (found,) = load(f'[[rule]]\nname = "x"\n{text}\n').policy.rules
    return found


def problems(text: str | bytes) -> list[str]:
    """Return what is wrong with a file, without its name in front."""
    with pytest.raises(ConfigFileError) as caught:
        load(text)
    assert str(caught.value) == "\n".join(caught.value.problems)
    assert all(problem.startswith(f"{PATH}:") for problem in caught.value.problems)
    return [problem.removeprefix(f"{PATH}:") for problem in caught.value.problems]


def rule_problems(text: str) -> list[str]:
    """Return what is wrong with the rule "x", the only one of a file: `[[rule]]` is its first line."""
    found = problems(f'[[rule]]\n{text}\nname = "x"\n')
    assert [problem for problem in found if ": rule 'x': " not in problem] == []
    return [problem.replace(" rule 'x':", "", 1) for problem in found]
