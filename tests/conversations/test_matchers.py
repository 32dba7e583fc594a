"""Runs with native matchers beside runs in which the classifier sees every payload: they come to the same.

The inspector looks after every frame in both: later, a conversation's first payloads could be over before Python asks for more.
"""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import builders as b
import pytest
from classify.cases import CASES, TCP, Case, client_hello, tls_record
from conversation_tools import S, tcp, udp
from inspected import Inspected, Outcome

from fastmon.capture import open_offline
from fastmon.classify import BY_NAME
from fastmon.model.frames import Frame
from fastmon.model.snapshot import Interval

DEMO = Path(__file__).parents[2] / "pcaps" / "demo.pcap"


def outcomes(path: Path) -> tuple[Outcome, Outcome]:
    """Return what a capture comes to with matchers, and without."""
    found = []
    for run in (Inspected(), Inspected(matchers=None)):
        with open_offline(str(path)) as capture:
            run.drain(capture, 1)
        found.append(run.finish())
    return found[0], found[1]


def frames_of(case: Case, number: int, ports: tuple[int, int]) -> list[Frame]:
    """Return the frames of a case, between hosts of its own."""
    a, other = f"10.0.{number >> 8}.{number & 255}", f"192.0.{2 + (number >> 8)}.{number & 255}"
    make = tcp if case.protocol == TCP else udp
    ends = {True: (a, ports[0], other, ports[1]), False: (other, ports[1], a, ports[0])}
    return [make(*ends[from_a], payload) for from_a, payload in case.payloads]


def mixed(seed: int) -> list[Frame]:
    """Return the frames of all cases, twice on ports of their own and once on those of their application, mixed."""
    source = random.Random(seed)
    courses: list[list[Frame]] = []
    for case in CASES:
        own = BY_NAME[case.app].tcp if case.protocol == TCP else BY_NAME[case.app].udp
        for ports in (case.ports, (50001, case.ports[1]), (50000, own[0] if own else 7)):
            courses.append(frames_of(case, len(courses), ports))
    frames: list[Frame] = []
    while courses:
        course = source.choice(courses)
        frame = course.pop(0)
        for _ in range(1 if source.random() < 0.8 else 2):  # some are sent again
            frames.append(replace(frame, ts_ns=len(frames) * S // 1000, wire_len=len(frame.data)))
        courses = [one for one in courses if one]
    return frames


def test_demonstration() -> None:
    found, expected = outcomes(DEMO)
    assert found == expected
    assert len({one.app for one in found.ended}) > 10
    assert any(one.title for one in found.ended)


@pytest.mark.parametrize("seed", range(3))
def test_all_cases_mixed(seed: int, tmp_path: Path) -> None:
    path = tmp_path / "mixed.pcap"
    path.write_bytes(b.pcap_file(mixed(seed), link_type=1))
    found, expected = outcomes(path)
    assert found.ended == expected.ended
    assert found == expected
    assert {one.app for one in found.ended if one.by == "payload"} >= {case.app for case in CASES if not case.by_port}


def test_matchers_spare_the_classifier_most_payloads() -> None:
    n_seen = []
    for run in (Inspected(), Inspected(matchers=None)):
        with open_offline(str(DEMO)) as capture:
            run.drain(capture, 1)
        n_seen.append(run.classifier.n_seen)
    assert n_seen[0] < n_seen[1] / 3


def test_label_moves_what_was_counted_before() -> None:
    """The hello is behind frames that counted for the port, in another interval."""
    hello = tls_record(client_hello("example.org", ("imap",)))
    ends = ("10.0.0.1", 40000, "192.0.2.1", 443)
    found = []
    for run in (Inspected(), Inspected(matchers=None)):
        run.account(tcp(*ends), tcp(*ends[2:], *ends[:2]))
        run.look()
        first = run.accountant.rotate(run_interval(60))
        run.account(tcp(*ends, hello, ts_ns=61 * S))
        run.look()
        found.append((first.network_apps(), run.accountant.rotate(run_interval(120)).network_apps(), run.finish()))
    assert found[0] == found[1]
    https, imap = BY_NAME["https"].id, BY_NAME["imap"].id
    assert https in found[0][0]
    assert {imap} == set(found[0][1])
    assert found[0][2].summary.app_totals.keys() == {imap}


def run_interval(end_s: int) -> Interval:
    return Interval((end_s - 60) * S, end_s * S)
