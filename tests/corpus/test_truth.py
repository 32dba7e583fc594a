"""Every capture of the corpus: each host's packets and bytes are those that tshark counted, by both engines."""

from __future__ import annotations

import builders as b
import pytest
from replays import traffic

from .captures import CORPUS, names, replayed, true_hosts
from .tables import DAMAGES, DIFFERENCES

MOST_DIFFERENCES = 15


@pytest.fixture(params=["native", "reference"])
def engine(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def test_hosts_are_those_of_tshark(name: str, engine: str) -> None:
    expected = true_hosts(name)
    if name in DIFFERENCES:
        for address, numbers in DIFFERENCES[name].hosts.items():
            assert expected.pop(b.host(address), None) != numbers, f"{address} does not differ any more: take it off the list"
            if numbers is not None:
                expected[b.host(address)] = numbers
    assert traffic(replayed(engine, name).summary) == expected


def test_reading_ends_as_expected(name: str, engine: str) -> None:
    summary, error = replayed(engine, name)
    if name in DAMAGES:
        damage = DAMAGES[name]
        assert type(error) is damage.error
        assert str(error) == f"{CORPUS / name}: {damage.text}"
        assert summary.counters.frames.frames == damage.n_frames
    else:
        assert error is None


@pytest.mark.usefixtures("corpus")
def test_tables_are_short_and_name_captures_of_the_corpus() -> None:
    assert len(DIFFERENCES) <= MOST_DIFFERENCES
    assert {*DIFFERENCES, *DAMAGES} <= set(names())
