"""What alerts say that a host was doing."""

from __future__ import annotations

import numpy as np

from fastmon.model.addresses import key_from_text
from fastmon.model.services import CLIENT, CONTACT_DTYPE
from fastmon.policy.specs import TotalSpec
from policy.worlds import T0, S, World, rule_set

CAMERA, OTHER = "192.168.1.40", "192.168.1.41"


def contact(local: str, peer: str, n_bytes: int, first_ns: int = T0) -> tuple[object, ...]:
    keys = [list(key_from_text(text)) for text in (local, peer)]
    return (*keys, first_ns, first_ns, 0, n_bytes, 0, 1, 6, CLIENT, 443, 0, 0, 1, 0)


def test_recent_peers_are_those_of_the_last_contacts_each_once() -> None:
    rules, world = rule_set(TotalSpec(kind="total", name="quota", limit_bytes=1000)), World()
    world.contacts = [contact(CAMERA, "203.0.113.1", 10), contact(CAMERA, "203.0.113.1", 30), contact(OTHER, "203.0.113.9", 999)]
    world.move(CAMERA, T0, n_out=1)
    assert list(rules.evaluate(world.view(T0 + S), T0 + S)) == []
    world.contacts = [
        contact(CAMERA, "203.0.113.1", 50),
        contact(CAMERA, "203.0.113.1", 7, T0 + 1),
        *(contact(CAMERA, f"2001:db8::{number // 2}", number) for number in range(2, 18)),
    ]
    world.move(CAMERA, T0 + S, n_out=1000)
    (alert,) = rules.evaluate(world.view(T0 + 2 * S), T0 + 2 * S)
    assert alert.evidence["recent_peers"] == [f"2001:db8::{number}" for number in (8, 7, 6, 5, 4)]
    assert alert.evidence["total_bytes"] == 1001


def test_many_alerts_at_once_share_a_bounded_number_of_details() -> None:
    rules, world = rule_set(TotalSpec(kind="total", name="quota", limit_bytes=1)), World()
    for number in range(300):
        world.move(f"10.0.{number // 200}.{number % 200}", T0, n_out=1)
    alerts = list(rules.evaluate(world.view(T0 + S), T0 + S))
    assert len(alerts) == 300
    assert sum("total_bytes" in alert.evidence for alert in alerts) == 256


def test_memory_of_contacts_is_bounded() -> None:
    rules, world = rule_set(TotalSpec(kind="total", name="quota", limit_bytes=1)), World()
    world.host(CAMERA)
    for second in range(1, 30):
        world.contacts = [contact(CAMERA, "203.0.113.1", 10, T0 + number) for number in range(1000)]
        rules.evaluate(world.view(T0 + second * S), T0 + second * S)
    witness = rules.make_context({}, {}, None).witness
    assert len(witness._contacts) == 4096
    assert witness._contacts.dtype == CONTACT_DTYPE
    assert np.all(witness._contacts["first_ns"] < T0 + 1000)
