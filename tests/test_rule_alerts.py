"""The alerts of docs/rules.md are those that its rules give: each rule sees something happen, and tells of it.

With `FASTMON_WRITE_PAGE` in the environment, the page gets the alerts that are given now.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from config_files import load
from policy.worlds import HOUR, MINUTE, S, World

from fastmon.alerts.records import alert_record, encode_record
from fastmon.config.rules import RULES
from fastmon.library import app_names
from fastmon.model.addresses import key_from_text
from fastmon.model.counters import Dropped
from fastmon.model.names import NameBook, NameFact
from fastmon.model.services import CLIENT
from fastmon.policy.ruleset import RuleSet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from fastmon.model.alerts import Alert

PAGE = Path(__file__).parents[1] / "docs" / "rules.md"

NOW = 1_794_232_992 * S
"""2026-11-09T14:03:12Z, a Monday."""

CAMERA_V6 = "2001:db8::40"
CAMERA, LAPTOP, ROUTER, NEWCOMER = "192.168.1.40", "192.168.1.23", "192.168.1.1", "192.168.1.77"
CAMERA_MAC, LAPTOP_MAC = 0x02_00_5E_10_00_14, 0x02_00_5E_10_00_2A
SERVER = "192.0.2.80"
HTTPS, DNS, UNKNOWN = "https", "dns", "unknown"
NUMBERS = {name: number for number, name in app_names().items()}
TCP, UDP = 6, 17


class Scene:
    """Rules that see a world tick by tick."""

    def __init__(self, kind: str) -> None:
        found = re.search(rf"^## {kind}\n.*?^```toml\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
        assert found
        actions = '\n[[action]]\nname = "phone"\nfile = "x"\n'
        policy = load(f'{found[1]}{actions}[groups]\ncameras = ["{CAMERA}"]\n').policy
        self.names = NameBook()
        self.rules = RuleSet(policy.rules, groups=policy.groups, apps=app_names(), names=self.names)
        self.world = World()

    def meet(self, address: str, ts_ns: int = NOW - HOUR, *, mac: int = 0, name: str = "") -> None:
        """Let a host be there."""
        self.world.host(address, ts_ns, mac=mac)
        self.world.move(address, ts_ns, n_out=100)
        if name:
            self.names.record([NameFact(key_from_text(address), name, "dhcp")], ts_ns)

    def meet_camera(self) -> None:
        self.meet(CAMERA, mac=CAMERA_MAC, name="garden-camera")

    def meet_laptop(self) -> None:
        self.meet(LAPTOP, mac=LAPTOP_MAC, name="annas-laptop")

    def contact(self, local: str, peer: str, protocol: int, port: int, app: str, n_in: int, n_out: int) -> None:
        """Let a local host have opened a conversation half a second ago."""
        keys = [list(key_from_text(text)) for text in (local, peer)]
        times = (NOW - S // 2, NOW - S // 4)
        numbers = (n_in, n_out, 1, 1, protocol, CLIENT, port, NUMBERS[app], 2, 1, 0)
        self.world.contacts.append((*keys, *times, *numbers))
        self.world.talks.append((local, peer, n_in, n_out))
        self.world.move(local, NOW - S // 4, n_in=n_in, n_out=n_out)
        host = self.world.host(local)
        host.services[CLIENT, protocol, port] = n_in + n_out
        if app != UNKNOWN:
            host.apps[NUMBERS[app]] = n_in + n_out

    def tick(self, now_ns: int = NOW) -> list[Alert]:
        return list(self.rules.evaluate(self.world.view(now_ns), now_ns))


def total(scene: Scene) -> Iterator[Alert]:
    scene.meet_camera()
    scene.meet(CAMERA_V6, mac=CAMERA_MAC)
    yield from scene.tick(NOW - S)
    scene.world.move(CAMERA, NOW - 1, n_in=400_000_021, n_out=3_100_000_000)
    scene.world.move(CAMERA_V6, NOW - 1, n_in=100, n_out=1_000_000_000)
    host = scene.world.host(CAMERA)
    host.apps = {NUMBERS[HTTPS]: 4_490_000_321, NUMBERS[DNS]: 10_000_000}
    host.services = {(CLIENT, TCP, 443): 4_490_000_321, (CLIENT, UDP, 53): 10_000_000}
    scene.world.talks = [
        (CAMERA, SERVER, 390_000_000, 3_000_000_000),
        (CAMERA_V6, SERVER, 0, 1_000_000_000),
        (CAMERA, ROUTER, 8_000_000, 2_000_000),
    ]
    yield from scene.tick()


def rate(scene: Scene) -> Iterator[Alert]:
    scene.meet_laptop()
    scene.world.host(LAPTOP).apps = {NUMBERS[HTTPS]: 400_000_000}
    start = NOW - 39 * S
    for second in range(1200):
        now = start + second * S
        yield from scene.tick(now)
        scene.world.move(LAPTOP, now + 1, n_out=11_400_000 if second < 1000 else 5_000_000)


def ports(scene: Scene) -> Iterator[Alert]:
    scene.meet_camera()
    scene.contact(CAMERA, SERVER, TCP, 5201, UNKNOWN, 52, 60)
    yield from scene.tick()


def apps(scene: Scene) -> Iterator[Alert]:
    guest = "192.168.20.7"
    scene.meet(guest, mac=0x02_00_5E_10_00_31)
    scene.contact(guest, "198.51.100.9", UDP, 6881, "bittorrent", 310, 145)
    yield from scene.tick()


def peers(scene: Scene) -> Iterator[Alert]:
    scene.meet_camera()
    yield from scene.tick(NOW - 8 * 24 * HOUR)  # it learns for a week
    scene.contact(CAMERA, "203.0.113.9", TCP, 443, HTTPS, 1400, 700)
    yield from scene.tick(NOW - 5 * S)
    yield from scene.tick()  # a name may come


def spread(scene: Scene) -> Iterator[Alert]:
    scene.meet_laptop()
    scene.world.fanout = [(LAPTOP, 1, 412)]
    scene.world.move(LAPTOP, NOW - 1, n_in=24_720, n_out=24_620)
    scene.world.talks = [(LAPTOP, SERVER, 60, 60)] * 412
    yield from scene.tick()


def failed(scene: Scene) -> Iterator[Alert]:
    scene.meet_laptop()
    yield from scene.tick(NOW - MINUTE)
    host = scene.world.host(LAPTOP)
    host.opened, host.failed = 530, 518
    scene.world.move(LAPTOP, NOW - 1, n_out=31_700)
    yield from scene.tick()


def new(scene: Scene) -> Iterator[Alert]:
    scene.meet(ROUTER)
    yield from scene.tick(NOW - 8 * 24 * HOUR)
    scene.meet(NEWCOMER, NOW - S // 2, mac=0x02_00_5E_10_00_4D)
    yield from scene.tick()


def silent(scene: Scene) -> Iterator[Alert]:
    scene.meet_camera()
    scene.world.move(CAMERA, NOW - 10 * MINUTE, n_out=900)
    for second in range(601):
        yield from scene.tick(NOW - 10 * MINUTE + second * S)


def duplicate(scene: Scene) -> Iterator[Alert]:
    scene.meet(ROUTER, mac=0x02_00_5E_10_00_01, name="router")
    scene.world.move(ROUTER, NOW - S, n_out=60)
    yield from scene.tick(NOW - S)
    scene.world.host(ROUTER).mac = 0x02_00_5E_10_00_99
    scene.world.move(ROUTER, NOW - 1, n_out=60)
    yield from scene.tick()


def baseline(scene: Scene) -> Iterator[Alert]:
    scene.meet_laptop()
    window = 5 * MINUTE
    last = NOW // window * window
    for week in range(8, -1, -1):
        first = last - week * 7 * 24 * HOUR - 12 * window
        yield from scene.tick(first)
        for index in range(1, 13):
            end = first + index * window
            scene.world.move(LAPTOP, end - 1, n_out=912_000_000 if end == last else 4_000_000 + index % 3 * 100_000)
            yield from scene.tick(end)


def loss(scene: Scene) -> Iterator[Alert]:
    scene.meet(ROUTER)
    yield from scene.tick(NOW - MINUTE)
    scene.world.move(ROUTER, NOW - 1, n_out=60, n_packets=976_000)
    scene.world.dropped = Dropped(kernel=24_000)
    yield from scene.tick()


SCENES: dict[str, Callable[[Scene], Iterable[Alert]]] = {
    scene.__name__: scene for scene in (total, rate, ports, apps, peers, spread, failed, new, silent, duplicate, baseline, loss)
}


def shown(alert: Alert) -> str:
    """Return an alert as the page shows it: JSON in lines of at most 120 characters."""
    parts = re.findall(r'(?:"(?:[^"\\]|\\.)*"|[^,"])+,?', encode_record(alert_record(alert)).decode())
    lines = [""]
    for part in parts:
        if len(lines[-1]) + len(part) > 119:
            lines.append(" ")
        lines[-1] += part
    return "\n".join(lines) + "\n"


def given(kind: str) -> list[str]:
    return [shown(alert) for alert in SCENES[kind](Scene(kind))]


BLOCK = re.compile(r"^```json\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("kind", RULES)
def test_alerts_of_the_page_are_those_that_its_rules_give(kind: str) -> None:
    text = PAGE.read_text()
    found = re.search(rf"^## {kind}\n.*?(?=^## )", text, re.MULTILINE | re.DOTALL)
    assert found
    told = given(kind)
    if "FASTMON_WRITE_PAGE" in os.environ:
        blocks = iter(told)
        PAGE.write_text(text.replace(found[0], BLOCK.sub(lambda _: f"```json\n{next(blocks)}```", found[0])))
        return
    records = [json.loads(block.replace("\n", "")) for block in BLOCK.findall(found[0])]
    assert [json.loads(each.replace("\n", "")) for each in told] == records
