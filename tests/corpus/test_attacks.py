"""What the example configurations tell of real attacks, and that they tell of no scan on quiet devices."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fastmon.capture import open_offline
from fastmon.config.example import EXAMPLE
from fastmon.config.file import load_config
from fastmon.config.options import make_run_options
from fastmon.errors import FastmonError
from fastmon.guard import Guard
from fastmon.library import app_names, replay_monitor
from fastmon.model.alerts import FIRING
from fastmon.run.control import Control
from fastmon.run.subscriber import Subscriber

from .captures import CORPUS, names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastmon.model.alerts import Alert

S = 1_000_000_000
EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
CONFIGURATIONS = {path.stem: path.read_text() for path in sorted(EXAMPLES.glob("*.toml"))} | {"example": EXAMPLE}
OF_SMALL_NETWORKS = sorted(set(CONFIGURATIONS) - {"gateway-10000"})
QUIET = [name for name in names() if name.startswith("iot/")]
ABOUT_SCANS = {"spread", "failed"}

SYN_SCAN, PING_SWEEP, ARP_SWEEP = "ndpi__synscan.pcap", "slips__test12-icmp-portscan.pcap", "zeek__nmap-vsn.pcap"
SCANS = {
    SYN_SCAN: ("172.16.0.8", "ports", 8),
    PING_SWEEP: ("192.168.1.109", "peers", 2),
    ARP_SWEEP: ("192.168.1.71", "peers", 1),
}
"""Attacks that spread: who does it, of what there are too many, and within how many seconds it must be told."""

OF_ONE_PEER = [
    "ndpi__tls_malicious_sha1.pcapng",  # one conversation
    "nfstream__malware.pcap",  # three peers in two hours
    "suricata__ipv6-evasion__ipv6-rsmurf__rsmurf6.pcap",  # a flood from a group's address
    "zeek__ftp__bruteforce.pcap",  # 30 conversations with one service of one server
    "zeek__rfb__vnc-scanner.pcap",  # one conversation
    "zeek__tls__heartbleed-encrypted-short.pcap",  # one conversation
]
"""Attacks that do not spread."""


class Alerts(Subscriber):
    def __init__(self) -> None:
        self.told: list[Alert] = []

    def alerts(self, alerts: Sequence[Alert]) -> None:
        self.told += alerts


def alerts_of(name: str, configuration: str, folder: Path) -> list[Alert]:
    """Replay a capture with the rules of a configuration, all private networks being local; return the alerts that fire."""
    path = folder / "rules.toml"
    path.write_text(CONFIGURATIONS[configuration])
    policy = load_config(str(path), lambda path, _: Path(path).read_bytes()).policy
    told = Alerts()
    capture = str(CORPUS / name)
    guard = Guard(policy, None, limit_scope="local", state=None, apps=app_names(), report=lambda _: None)
    with guard, suppress(FastmonError):
        options = make_run_options({"interval": "0"})
        openers = [partial(open_offline, capture)]
        replay_monitor(openers, [capture], options, told, Control(), guard, keeps_conversations=False).run()
    return [alert for alert in told.told if alert.state == FIRING]


def of_scans(alerts: Sequence[Alert]) -> list[Alert]:
    return [alert for alert in alerts if alert.kind in ABOUT_SCANS]


@pytest.mark.usefixtures("corpus")
@pytest.mark.parametrize("configuration", OF_SMALL_NETWORKS)
@pytest.mark.parametrize("name", SCANS)
def test_scans_are_told_at_once(name: str, configuration: str, tmp_path: Path) -> None:
    host, unit, within_s = SCANS[name]
    alerts = of_scans(alerts_of(f"attacks/{name}", configuration, tmp_path))
    scan = next(alert for alert in alerts if alert.rule == "scan")
    assert (scan.kind, scan.host, scan.unit) == ("spread", host, unit)
    with open_offline(str(CORPUS / "attacks" / name)) as capture:
        (first,) = capture.read(1)
    assert scan.ts_ns <= first.ts_ns // S * S + (within_s + 1) * S
    assert {alert.host for alert in alerts} == {host}


@pytest.mark.usefixtures("corpus")
@pytest.mark.parametrize("name", [SYN_SCAN, ARP_SWEEP])
def test_great_scans_are_told_in_great_networks(name: str, tmp_path: Path) -> None:
    alerts = of_scans(alerts_of(f"attacks/{name}", "gateway-10000", tmp_path))
    assert ("scan", SCANS[name][0]) in {(alert.rule, alert.host) for alert in alerts}


@pytest.mark.usefixtures("corpus")
@pytest.mark.parametrize("configuration", CONFIGURATIONS)
@pytest.mark.parametrize("name", OF_ONE_PEER)
def test_attacks_on_one_peer_are_no_scans(name: str, configuration: str, tmp_path: Path) -> None:
    assert of_scans(alerts_of(f"attacks/{name}", configuration, tmp_path)) == []


@pytest.mark.usefixtures("corpus")
@pytest.mark.parametrize("configuration", CONFIGURATIONS)
@pytest.mark.parametrize("name", QUIET or ["no corpus"])
def test_quiet_devices_raise_none(name: str, configuration: str, tmp_path: Path) -> None:
    assert of_scans(alerts_of(name, configuration, tmp_path)) == []


@pytest.mark.usefixtures("corpus")
def test_every_attack_is_known() -> None:
    assert {Path(name).name for name in names() if name.startswith("attacks/")} == {*SCANS, *OF_ONE_PEER}
