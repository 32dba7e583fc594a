"""What libFuzzer begins with; `scripts/fuzz` runs it."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from classify.cases import CASES, UDP, Case

from .inputs import HOSTS, MAX_INPUT, SEPARATOR, encode, key
from .seeds import MOST_OF_A_CAPTURE, seeds_of_capture, words

DEMO = Path(__file__).parents[2] / "pcaps" / "demo.pcap"


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_seed_has_all_payloads_of_its_case(case: Case) -> None:
    seed = encode(case.protocol == UDP, key("203.0.113.9"), case.ports, case.payloads)
    assert len(seed) <= MAX_INPUT
    assert struct.unpack_from(">BHH", seed) == (case.protocol == UDP, *case.ports)
    assert [(part[0] == 0, part[1:]) for part in seed[5:].split(SEPARATOR)] == list(case.payloads)


def test_a_group_keeps_its_place_in_the_flags() -> None:
    assert encode(True, key("ff02::fb"), (1, 2), [])[0] == 1 | 5 << 2
    assert HOSTS[5][1] == bytes.fromhex("ff0200000000000000000000000000fb")


def test_seeds_of_a_capture_are_some_of_its_conversations_and_always_the_same() -> None:
    seeds = seeds_of_capture(DEMO)
    assert seeds == seeds_of_capture(DEMO)
    assert 10 < len(seeds) <= MOST_OF_A_CAPTURE
    assert any(b"HTTP/1.1" in seed for seed in seeds)


def test_the_dictionary_has_what_matchers_look_for() -> None:
    assert {SEPARATOR, b"HTTP/", b"\x63\x82\x53\x63", b"M-SEARCH *"} <= set(words())
