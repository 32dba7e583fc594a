"""Reading the configuration file: options, groups, rules and actions.

What it does not do: open it. The caller gives the function that reads, which may wait for a pipe or be stopped.
"""

from __future__ import annotations

import re
from dataclasses import fields
from typing import TYPE_CHECKING, Any, NamedTuple

from fastmon.config.options import OutputOptions, RunOptions
from fastmon.errors import ConfigError, ConfigFileError
from fastmon.policy.contents import Policy

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import TypeAlias

    from fastmon.config.problems import Problems
    from fastmon.policy.specs import ActionSpec

    CheckAction: TypeAlias = Callable[[ActionSpec], object]

__all__ = ["MAX_CONFIG_BYTES", "MAX_KEY_PARTS", "Configuration", "load_config", "make_options"]

MAX_CONFIG_BYTES = 1 << 20
MAX_KEY_PARTS = 100

_TOKENS = re.compile(
    r"""(?P<part>"(?:[^"\\\n]|\\.)*"?|'[^'\n]*'?|[\w-]+)|(?P<dot>\.)|(?P<space>[ \t]+)|(?P<other>\s+|[^\w\s"'.-]+)""", re.DOTALL
)
"""What keys consist of. A quote that is not closed ends with its line, or each one would be looked for to the end."""

POLICY_TABLES = ("groups", "rule", "action")


class Configuration(NamedTuple):
    """What a configuration file sets.

    options: by their names as fields of `RunOptions` and `OutputOptions`; only those that it has.
    """

    options: dict[str, Any]
    policy: Policy = Policy()


def load_config(path: str, read: Callable[[str, int], bytes], check_action: CheckAction | None = None) -> Configuration:
    """Return what the TOML file at `path` sets. The keys of options are the long ones of the command line, without dashes.

    read: returns a file's bytes, at most as many as it is told.
    check_action: raises ConfigError for an action that cannot be made, where that is to be found out.

    Raises ConfigError if it cannot be read. Raises ConfigFileError, with all that is wrong, if a key or value is.
    """
    import msgspec

    from fastmon.config.problems import Problems, file_problem

    try:
        text = _read_text(path, read)
        values = msgspec.toml.decode(text)
        problems = Problems(path, text)
        configuration = _configuration(values, problems, check_action)
        problems.check()
    except OSError as error:
        raise ConfigError(f"cannot read the configuration {path}: {error.strerror}") from None
    except RecursionError:
        raise file_problem(path, "its values are nested too deeply") from None
    except UnicodeDecodeError as error:
        raise file_problem(path, f"it is no UTF-8 text, at byte {error.start}") from None
    except ConfigFileError:
        raise
    except (msgspec.MsgspecError, ConfigError) as error:
        raise file_problem(path, str(error)) from None
    except ValueError:  # Python refuses to make a number of thousands of digits
        raise file_problem(path, "a number has too many digits") from None
    return configuration


def _read_text(path: str, read: Callable[[str, int], bytes]) -> str:
    content = read(path, MAX_CONFIG_BYTES + 1)
    if len(content) > MAX_CONFIG_BYTES:
        raise ConfigError(f"it has more than {MAX_CONFIG_BYTES:,} bytes")
    text = content.decode("utf-8-sig")
    _check_keys(text)
    return text


def _check_keys(text: str) -> None:
    """Raise ConfigError for a key with too many parts: the parser's time and memory grow with the square of their number."""
    n_parts, follows_dot, line = 0, False, 1
    for token in _TOKENS.finditer(text):
        if token.lastgroup == "part":
            n_parts = n_parts + 1 if follows_dot else 1
            if n_parts > MAX_KEY_PARTS:
                raise ConfigError(f"line {line} has a key of more than {MAX_KEY_PARTS} parts")
        elif token.lastgroup == "other":
            n_parts = 0
        line += token[0].count("\n")
        follows_dot = token.lastgroup == "dot" or (follows_dot and token.lastgroup == "space")


def _configuration(table: Mapping[str, Any], problems: Problems, check_action: CheckAction | None) -> Configuration:
    tables = {key: table[key] for key in POLICY_TABLES if key in table}
    options = _options({key: value for key, value in table.items() if key not in tables}, problems)
    if not tables:
        return Configuration(options)
    from fastmon.config.policy import read_policy

    return Configuration(options, read_policy(tables, problems, check_action))


def _options(table: Mapping[str, Any], problems: Problems) -> dict[str, Any]:
    """Return the options of a table, with their keys spelt as fields are."""
    kinds = {option.name: kind for kind in (RunOptions, OutputOptions) for option in fields(kind)}
    values: dict[str, Any] = {}
    for key, value in table.items():
        name = key.replace("-", "_")
        with problems.catch((key,)):
            if name not in kinds:
                known = ", ".join((*(known.replace("_", "-") for known in kinds), *POLICY_TABLES))
                raise ConfigError(f"unknown option {key!r}; known: {known}")
            if name in values:
                raise ConfigError(f"{key!r} is given twice, with '-' and with '_'")
            values[name] = tuple(value) if isinstance(value, list) else value
            kinds[name](**{name: values[name]})
    if not problems:
        with problems.catch(()):
            make_options(values)
    return values


def make_options(values: Mapping[str, Any]) -> tuple[RunOptions, OutputOptions]:
    """Return both sets of options. Raises ConfigError if a value is wrong, or two exclude each other within a set."""
    run = RunOptions(**{option.name: values[option.name] for option in fields(RunOptions) if option.name in values})
    output = OutputOptions(**{option.name: values[option.name] for option in fields(OutputOptions) if option.name in values})
    return run, output
