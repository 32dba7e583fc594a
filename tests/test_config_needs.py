"""Rules that cannot work with the options of a run are refused, others are not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import builders as b
import pytest
from config_files import load

from fastmon.cli import main
from fastmon.config import OutputOptions, RunOptions, check_together
from fastmon.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

GROUPS = """
[groups]
some = ["192.0.2.1", "02:00:5e:10:00:14", "name:printer"]
macs = ["02:00:5e:10:00:14", "name:printer"]
"""


def refusal(rules: str, **options: object) -> str:
    """Return why a run with these rules and options is refused, "" if it is not."""
    try:
        check_together(RunOptions(**options), OutputOptions(), load(rules + GROUPS).policy)  # type: ignore[arg-type]
    except ConfigError as error:
        return str(error)
    return ""


def rule(text: str) -> str:
    return f'[[rule]]\nname = "x"\n{text}\n'


OF_CONVERSATIONS = [
    'kind = "ports"\nallow = ["tcp/443"]',
    'kind = "apps"\nallow = ["dns"]',
    'kind = "peers"\ndeny = ["192.0.2.0/24"]',
    'kind = "spread"\npeers = 5',
    'kind = "failed"\nlimit = 5',
    'kind = "rate"\nlimit = "5cps"',
    'kind = "total"\nlimit = 5\napps = ["dns"]',
    'kind = "total"\nlimit = 5\nports = ["tcp/443"]',
]

OF_MACS = [
    'kind = "duplicate"',
    'kind = "total"\nlimit = 5\nby = "mac"',
    'kind = "new"\nscope = "02:00:5e:10:00:14"',
    'kind = "total"\nlimit = 5\nscope = "vendor:Apple*"',
    'kind = "baseline"\nscope = "group:macs"',
    'kind = "silent"\nfor = 5\nscope = "group:some"',
]

OF_NAMES = ['kind = "rate"\nlimit = 5\nscope = "name:*-camera"']

OF_HOSTS = [
    'kind = "total"\nlimit = 5\nscope = "group:some"',
    'kind = "rate"\nlimit = "5bps"\nscope = "network"',
    'kind = "rate"\nlimit = "5pps"\nscope = "all"',
    'kind = "new"',
    'kind = "silent"\nfor = 5\nscope = "192.0.2.1"',
    'kind = "baseline"\nscope = "192.0.2.0/24"',
    'kind = "loss"',
]

OF_PAYLOADS = [
    ('kind = "peers"\ndeny = ["*.example.org"]', "names of hosts"),
    ('kind = "peers"\nallow = ["192.0.2.1", "*.example.org"]', "names of hosts"),
    ('kind = "apps"\ndeny = ["tls"]', "payloads"),
    ('kind = "total"\nlimit = 5\napps = ["rtp", "rtcp"]', "payloads"),
]

OF_PORTS = [
    'kind = "peers"\ndeny = ["192.0.2.1", "*.example.org"]',
    'kind = "apps"\ndeny = ["tls", "dns"]',
    'kind = "apps"\ndeny = ["unknown"]',
    'kind = "apps"\nallow = ["tls"]',
]


@pytest.mark.parametrize(
    ("text", "need"),
    [
        *((text, "conversations") for text in OF_CONVERSATIONS),
        *((text, "MAC addresses") for text in OF_MACS),
        *((text, "names of hosts") for text in OF_NAMES),
    ],
)
def test_hosts_only_leaves_nothing_for_these(text: str, need: str) -> None:
    kind = text.split('"')[1]
    expected = f"--hosts-only cannot be combined with rule 'x' ({kind}: it needs {need})"
    assert refusal(rule(text), hosts_only=True) == expected
    assert refusal(rule(text)) == ""


@pytest.mark.parametrize("text", OF_HOSTS)
def test_hosts_only_is_enough_for_these(text: str) -> None:
    assert refusal(rule(text), hosts_only=True) == ""


@pytest.mark.parametrize(("text", "need"), [*OF_PAYLOADS, *((text, "names of hosts") for text in OF_NAMES)])
def test_without_a_look_at_payloads_these_cannot_work(text: str, need: str) -> None:
    assert refusal(rule(text), classify_budget=0).startswith("--classify-budget 0 cannot be combined with rule 'x' (")
    assert f": it needs {need})" in refusal(rule(text), classify_budget=0)
    assert refusal(rule(text), classify_budget=1) == ""


@pytest.mark.parametrize("text", [*OF_CONVERSATIONS, *OF_MACS, *OF_HOSTS, *OF_PORTS])
def test_ports_and_addresses_are_enough_for_these(text: str) -> None:
    assert refusal(rule(text), classify_budget=0) == ""


def test_the_first_rules_are_named_and_the_others_counted() -> None:
    rules = "".join(f'[[rule]]\nname = "r{number}"\nkind = "failed"\nlimit = 5\n' for number in range(5))
    assert refusal(rules, hosts_only=True) == (
        "--hosts-only cannot be combined with rule 'r0' (failed: it needs conversations), rule 'r1' (failed: it needs "
        "conversations), rule 'r2' (failed: it needs conversations) and 2 more"
    )


def test_commands_refuse_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, capture = tmp_path / "fastmon.toml", tmp_path / "empty.pcap"
    capture.write_bytes(b.pcap_file([]))
    path.write_text(rule('kind = "failed"\nlimit = 5'))
    assert main(["replay", str(capture), "--config", str(path), "--hosts-only"]) == 2
    expected = ("", "fastmon: --hosts-only cannot be combined with rule 'x' (failed: it needs conversations)\n")
    assert capsys.readouterr() == expected
    path.write_text("hosts-only = true\n" + path.read_text())
    assert main(["check-config", str(path)]) == 2
    assert capsys.readouterr() == expected
