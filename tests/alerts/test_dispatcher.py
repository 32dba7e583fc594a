"""Queues, rates, what is tried again, and what is kept."""

from __future__ import annotations

import threading
import tracemalloc
from typing import TYPE_CHECKING

import pytest
from waiting import wait_until

from alerts.making import Desk, HandAction, make_alert, spec
from fastmon.alerts.outbox import MemoryOutbox
from fastmon.alerts.records import AlertRecord, MoreRecord, decode_record
from fastmon.alerts.worker import MAX_BATCH, MAX_WAITING
from fastmon.errors import ConfigError, FastmonError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastmon.alerts.records import Record
    from fastmon.model.alerts import Alert
    from fastmon.model.memory import Kept
    from fastmon.policy.specs import ActionSpec


class Hands:
    """Makes `HandAction`s, by name."""

    def __init__(self) -> None:
        self.made: dict[str, HandAction] = {}
        self.before: list[HandAction] = []

    def __call__(self, action: ActionSpec) -> HandAction:
        if action.exec == ("bad",):
            raise ConfigError("action bad: no")
        if action.name in self.made:
            self.before.append(self.made[action.name])
        self.made[action.name] = HandAction()
        return self.made[action.name]


@pytest.fixture
def hands() -> Hands:
    return Hands()


@pytest.fixture
def desk(hands: Hands) -> Iterator[Desk]:
    desk = Desk(spec(), spec("other"), make=hands)
    yield desk
    for action in (*hands.made.values(), *hands.before):
        action.gate.set()


def hosts(records: list[Record]) -> list[str]:
    return [record.host for record in records if isinstance(record, AlertRecord)]


def more(records: list[Record]) -> list[MoreRecord]:
    return [record for record in records if isinstance(record, MoreRecord)]


def kept(desk: Desk, action: str = "test") -> list[str]:
    return hosts([decode_record(entry.record) for entry in desk.outbox.load() if entry.action == action])


def test_alert_goes_to_the_actions_of_its_rule_alone(desk: Desk, hands: Hands) -> None:
    desk.send(make_alert(1), make_alert(2, actions=("test", "other", "none")), make_alert(3, actions=()))
    desk.wait_for(delivered=2)
    wait_until(lambda: desk.count("delivered", "other") == 1, "the other action")
    assert hosts(hands.made["test"].delivered) == ["10.0.0.1", "10.0.0.2"]
    assert hosts(hands.made["other"].delivered) == ["10.0.0.2"]


def test_silenced_alert_goes_to_nobody(desk: Desk, hands: Hands) -> None:
    desk.send(make_alert(1, is_silenced=True), make_alert(2))
    desk.wait_for(delivered=1)
    assert hosts(hands.made["test"].delivered) == ["10.0.0.2"]


def test_alerts_that_come_together_are_one_delivery(desk: Desk, hands: Hands) -> None:
    desk.send(*map(make_alert, range(10)))
    desk.wait_for(delivered=10)
    assert len(hands.made["test"].batches) == 1


def test_action_that_hangs_holds_up_neither_sender_nor_others(desk: Desk, hands: Hands) -> None:
    hands.made["test"].gate.clear()
    desk.send(*(make_alert(number, actions=("test", "other")) for number in range(5)))
    wait_until(lambda: desk.count("delivered", "other") == 5, "the other action")
    desk.send(*(make_alert(number) for number in range(5, 2000)))  # would never return if it waited
    assert desk.count("delivered") == 0
    hands.made["test"].gate.set()
    wait_until(lambda: desk.count("waiting") == 0, "the queue")
    assert desk.count("delivered") + desk.count("dropped") == 2000


def test_failure_is_told_once_and_so_is_its_end(desk: Desk, hands: Hands) -> None:
    action = hands.made["test"]
    action.fails = "cannot be reached: Connection refused"
    desk.send(make_alert(1))
    wait_until(lambda: len(action.attempts) > 3, "attempts")
    action.fails = ""
    desk.wait_for(delivered=1)
    desk.wait_for_problem("works again")
    first, last = desk.problems
    assert first.startswith("action test: cannot be reached: Connection refused; trying again in ")
    assert last == "action test: works again"
    assert desk.count("retried") >= 3
    assert hosts(action.delivered) == ["10.0.0.1"]


def test_delays_grow_and_have_an_end(desk: Desk, hands: Hands, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[float, float]] = []

    def uniform(low: float, high: float) -> float:
        asked.append((low, high))
        return 0.0

    monkeypatch.setattr("fastmon.alerts.worker.random.uniform", uniform)
    hands.made["test"].fails = "no"
    desk.send(make_alert(1))
    wait_until(lambda: len(asked) > 2000, "attempts")  # 2 ** 2000 is no float
    assert set(asked) == {(0.75, 1.0)}


def test_what_fails_waits_in_the_outbox_until_it_is_delivered(desk: Desk, hands: Hands) -> None:
    hands.made["test"].fails = "no"
    desk.send(make_alert(1), make_alert(2))
    wait_until(lambda: kept(desk) == ["10.0.0.1", "10.0.0.2"], "the outbox")
    hands.made["test"].fails = ""
    desk.wait_for(delivered=2)
    wait_until(lambda: not kept(desk), "the outbox")


def test_what_is_undelivered_at_the_end_is_delivered_by_the_next_run(desk: Desk, hands: Hands) -> None:
    hands.made["test"].fails = "no"
    desk.send(make_alert(1))
    wait_until(lambda: kept(desk), "the outbox")
    desk.send(make_alert(2))
    desk.dispatcher.close(0.5)
    assert "action test: 2 alerts could not be delivered: without a state nobody tries again" in desk.problems
    assert desk.count("waiting") == 2
    others = Hands()
    second = Desk(spec(), outbox=desk.outbox, make=others)
    second.wait_for(delivered=2)
    assert hosts(others.made["test"].delivered) == ["10.0.0.1", "10.0.0.2"]
    wait_until(lambda: not second.outbox.load(), "the outbox")
    second.dispatcher.close()


def test_close_lets_a_quick_action_deliver_and_gives_a_stuck_one_up(desk: Desk, hands: Hands) -> None:
    hands.made["other"].gate.clear()
    desk.send(*(make_alert(number, actions=("test", "other")) for number in range(3)))
    desk.dispatcher.close(0.3)
    assert (desk.count("delivered"), desk.count("delivered", "other")) == (3, 0)
    assert len(kept(desk, "other")) == 3
    assert not kept(desk)
    assert hands.made["test"].is_closed


def test_what_was_held_back_for_the_rate_is_told_at_the_end(hands: Hands) -> None:
    desk = Desk(spec(rate=2), make=hands)
    desk.send(*map(make_alert, range(5)))
    desk.dispatcher.close(5)
    delivered = hands.made["test"].delivered
    assert hosts(delivered) == ["10.0.0.0", "10.0.0.1"]
    assert [(record.alerts, record.rules, record.seconds) for record in more(delivered)] == [(3, {"uplink": 3}, 60)]


def test_alert_after_the_end_is_dropped_and_counted(desk: Desk) -> None:
    desk.dispatcher.close(0.1)
    desk.send(make_alert(1))
    assert desk.count("dropped") == 1


def test_more_than_the_rate_is_told_as_a_number_when_the_window_ends(hands: Hands) -> None:
    desk = Desk(spec(rate=3, rate_ns=300_000_000), make=hands)
    desk.send(*(make_alert(number, rule="scan" if number % 2 else "uplink") for number in range(40)))
    wait_until(lambda: more(hands.made["test"].delivered), "the number")
    (only,) = more(hands.made["test"].delivered)
    assert (only.alerts, only.rules) == (37, {"scan": 19, "uplink": 18})
    assert (only.since, only.time) == ("2026-01-01T00:00:03.000000Z", "2026-01-01T00:00:39.000000Z")
    assert hosts(hands.made["test"].delivered) == ["10.0.0.0", "10.0.0.1", "10.0.0.2"]
    desk.send(make_alert(50))
    desk.wait_for(delivered=4, summarised=37)
    desk.dispatcher.close()


def test_hundred_thousand_alerts_need_bounded_memory(hands: Hands) -> None:
    n_alerts = 100_000
    desk = Desk(spec(), spec("limited", rate=20), make=hands)
    for action in hands.made.values():
        action.gate.clear()
    evidence = {"peers": [{"host": f"192.0.2.{number}", "bytes": number} for number in range(10)]}
    held_bytes = []
    for number in range(n_alerts):
        if number == 5_000:  # their records are made by now
            wait_until(lambda: all(action.attempts for action in hands.made.values()), "deliveries that hang")
            tracemalloc.start()
        desk.send(make_alert(number, evidence=dict(evidence), actions=("test", "limited")))
        if number in (6_000, 10_000):
            held_bytes.append(tracemalloc.get_traced_memory()[0])
        if number == 10_000:
            tracemalloc.stop()
    assert held_bytes[1] - held_bytes[0] < 10_000
    assert desk.count("waiting") <= MAX_WAITING + MAX_BATCH + 1
    for action in hands.made.values():
        action.gate.set()
    desk.dispatcher.close(20)
    for name in ("test", "limited"):
        delivered = hands.made[name].delivered
        assert len(hosts(delivered)) + sum(record.alerts for record in more(delivered)) == n_alerts
        assert desk.count("delivered", name) + desk.count("dropped", name) + desk.count("summarised", name) == n_alerts
    assert len(hands.made["limited"].delivered) == 21


def test_what_waits_is_bounded_however_long_an_action_is_away(hands: Hands, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastmon.alerts.worker.MAX_WAITING", 10)
    monkeypatch.setattr("fastmon.alerts.worker.MAX_SUMS", 3)
    desk = Desk(spec(rate=1, rate_ns=1_000_000), make=hands)
    hands.made["test"].fails = "no"
    stop = threading.Event()

    def flood() -> None:
        number = 0
        while not stop.is_set():
            desk.send(make_alert(number))
            number += 1
            stop.wait(0.0005)

    thread = threading.Thread(target=flood)
    thread.start()
    wait_until(lambda: desk.count("dropped") > 100, "drops")
    stop.set()
    thread.join()
    assert len(desk.outbox.load()) <= 20
    assert desk.count("waiting") <= 20
    desk.dispatcher.close(0.1)
    n_dropped = desk.count("dropped")
    assert desk.problems[-1].endswith(f"nobody tries again; {n_dropped} alerts found no room, and were counted at best")


def test_one_refused_alert_does_not_stop_the_others_and_is_given_up(desk: Desk, hands: Hands) -> None:
    action = hands.made["test"]
    action.refuses = lambda record: isinstance(record, AlertRecord) and record.host == "10.0.0.3"
    desk.send(*map(make_alert, range(6)))
    desk.wait_for(delivered=5, failed=1)
    assert sorted(hosts(action.delivered)) == ["10.0.0.0", "10.0.0.1", "10.0.0.2", "10.0.0.4", "10.0.0.5"]
    desk.wait_for_problem("1 alert given up after")
    wait_until(lambda: not kept(desk), "the outbox")


def test_nothing_is_given_up_while_nothing_can_be_delivered(desk: Desk, hands: Hands) -> None:
    action = hands.made["test"]
    action.fails = "no"
    desk.send(make_alert(1))
    wait_until(lambda: len(action.attempts) > 20, "attempts")
    assert desk.count("failed") == 0
    assert kept(desk) == ["10.0.0.1"]
    action.fails = ""
    desk.wait_for(delivered=1)


def test_action_that_breaks_in_an_unknown_way_is_tried_again(desk: Desk, hands: Hands) -> None:
    action = hands.made["test"]

    def burst(_: Record) -> bool:
        if len(action.attempts) < 3:
            raise ZeroDivisionError("https://user:secret@example.org")
        return False

    action.refuses = burst
    desk.send(make_alert(1))
    desk.wait_for(delivered=1)
    assert desk.problems[0].startswith("action test: failed: ZeroDivisionError; trying again in")


class BrokenOutbox(MemoryOutbox):
    """A full disk."""

    def put(self, action: str, record: str) -> int:  # noqa: ARG002
        raise OSError(28, "No space left on device")

    def done(self, kept_id: int) -> None:  # noqa: ARG002
        raise OSError(28, "No space left on device")


def test_outbox_that_cannot_be_written_is_told_once_and_stops_nothing(hands: Hands) -> None:
    desk = Desk(spec(), outbox=BrokenOutbox(), make=hands)
    hands.made["test"].fails = "no"
    desk.send(make_alert(1))
    wait_until(lambda: len(hands.made["test"].attempts) > 2, "attempts")
    hands.made["test"].fails = ""
    desk.wait_for(delivered=1)
    assert len([text for text in desk.problems if "cannot be kept: [Errno 28]" in text]) == 1
    desk.dispatcher.close()


def test_outbox_that_cannot_be_read_stops_nothing(hands: Hands) -> None:
    class Unreadable(MemoryOutbox):
        def load(self) -> list[Kept]:
            raise FastmonError("the state is locked")

    desk = Desk(spec(), outbox=Unreadable(), make=hands)
    desk.send(make_alert(1))
    desk.wait_for(delivered=1)
    assert "undelivered alerts cannot be read: the state is locked" in desk.problems
    desk.dispatcher.close()


def test_nonsense_in_the_outbox_is_thrown_away(hands: Hands) -> None:
    outbox = MemoryOutbox()
    outbox.put("test", "{")
    outbox.put("test", '{"type":"more","since":"a","time":"b","seconds":60,"alerts":3,"rules":{"scan":3}}')
    desk = Desk(spec(), outbox=outbox, make=hands)
    wait_until(lambda: more(hands.made["test"].delivered), "the other")
    wait_until(lambda: not outbox.load(), "the outbox")
    desk.dispatcher.close()


def test_alerts_for_an_action_that_is_no_more_are_told_of(hands: Hands) -> None:
    outbox = MemoryOutbox()
    outbox.put("phone\x1b", "{}")
    desk = Desk(spec(), outbox=outbox, make=hands)
    assert desk.problems == ["alerts wait for the action phone\\x1b, which is not in the configuration"]
    desk.dispatcher.close()


# Reload.


def test_action_that_stays_the_same_goes_on(desk: Desk, hands: Hands) -> None:
    before = hands.made["test"]
    desk.dispatcher.set_actions([spec(), spec("third")])
    assert hands.made["test"] is before
    desk.send(make_alert(1, actions=("test", "other", "third")))
    desk.wait_for(delivered=1)
    wait_until(lambda: hands.made["third"].delivered, "the new action")
    wait_until(lambda: hands.made["other"].is_closed, "the end of the old one")


def test_changed_action_takes_over_what_waits(desk: Desk, hands: Hands) -> None:
    hands.made["test"].fails = "no"
    desk.send(make_alert(1))
    wait_until(lambda: kept(desk), "the outbox")
    desk.dispatcher.set_actions([spec(timeout_ns=1_000_000_000)])
    desk.send(make_alert(2))
    desk.wait_for(delivered=2)
    assert hosts(hands.made["test"].delivered) == ["10.0.0.1", "10.0.0.2"]


def test_action_that_comes_later_gets_what_was_kept_for_it(hands: Hands) -> None:
    outbox = MemoryOutbox()
    for name in ("test", "later"):
        outbox.put(name, '{"type":"more","since":"a","time":"b","seconds":60,"alerts":3,"rules":{"scan":3}}')
    desk = Desk(spec(), outbox=outbox, make=hands)
    desk.wait_for(delivered=1)
    desk.dispatcher.set_actions([spec(), spec("later")])
    wait_until(lambda: more(hands.made["later"].delivered), "what was kept")
    wait_until(lambda: not outbox.load(), "the outbox")
    desk.dispatcher.set_actions([spec(), spec("later", timeout_ns=5)])
    desk.send(make_alert(1, actions=("later",)))
    wait_until(lambda: hosts(hands.made["later"].delivered) == ["10.0.0.1"], "the alert")
    assert not more(hands.made["later"].delivered)  # it was delivered before
    desk.dispatcher.close()


def test_wrong_action_changes_nothing(desk: Desk, hands: Hands) -> None:
    with pytest.raises(ConfigError, match="action bad: no"):
        desk.dispatcher.set_actions([spec(timeout_ns=5), spec("bad", exec=("bad",))])
    desk.send(make_alert(1))
    wait_until(lambda: (*hands.before, hands.made["test"])[0].delivered, "the action of before")


def test_counts_of_all_actions(desk: Desk) -> None:
    alert: Alert = make_alert(1)
    desk.send(alert)
    desk.wait_for(delivered=1)
    assert desk.dispatcher.counts() == {
        name: {"delivered": number, "retried": 0, "failed": 0, "dropped": 0, "summarised": 0, "waiting": 0}
        for name, number in (("test", 1), ("other", 0))
    }
