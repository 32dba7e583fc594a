"""Mutants of small captures, the same in every run: both engines, and both ways of reading, come to the same of each."""

from __future__ import annotations

import random
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from corpus.captures import CORPUS, names
from replays import assert_same, replay
from savefile.reading import read_file

from fastmon.accounting import make_accountant

if TYPE_CHECKING:
    from collections.abc import Callable

    Mutation = Callable[[bytearray, random.Random], None]

PCAPS = Path(__file__).parents[2] / "pcaps" / "small"
MOST_BYTES = 3000
N_MUTANTS = 12
ODD_WORDS = [
    word.to_bytes(4, "little") for word in (0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 262144, 262145, 0x0A0D0D0A, 1, 3, 6)
]


def flip_bits(data: bytearray, numbers: random.Random) -> None:
    for _ in range(numbers.choice([1, 2, 8, 30])):
        data[numbers.randrange(len(data))] ^= 1 << numbers.randrange(8)


def set_bytes(data: bytearray, numbers: random.Random) -> None:
    for _ in range(numbers.choice([1, 3, 10])):
        data[numbers.randrange(len(data))] = numbers.choice([0, 1, 0x45, 0x60, 0x7F, 0x80, 0xFF])


def set_word(data: bytearray, numbers: random.Random) -> None:
    at = numbers.randrange(len(data)) & ~3
    data[at : at + 4] = numbers.choice(ODD_WORDS)[:: numbers.choice([1, -1])]


def cut(data: bytearray, numbers: random.Random) -> None:
    del data[numbers.randrange(len(data)) :]


def insert(data: bytearray, numbers: random.Random) -> None:
    at = numbers.randrange(len(data))
    data[at:at] = numbers.choice(
        [b"\0", b"\xff", numbers.randbytes(numbers.randrange(40)), bytes(data[: numbers.randrange(len(data))])]
    )


def remove(data: bytearray, numbers: random.Random) -> None:
    at = numbers.randrange(len(data))
    del data[at : at + numbers.choice([1, 2, 4, 30])]


MUTATIONS: list[Mutation] = [flip_bits, flip_bits, set_bytes, set_bytes, set_word, set_word, insert, remove, cut]


def mutant(data: bytes, numbers: random.Random) -> bytes:
    """Return `data` with one to three kinds of damage."""
    damaged = bytearray(data)
    for mutation in numbers.choices(MUTATIONS, k=numbers.choice([1, 1, 2, 3])):
        if damaged:
            mutation(damaged, numbers)
    return bytes(damaged)


def small_captures() -> list[Path]:
    """Return the captures to make mutants of."""
    paths = [*(path for path in PCAPS.iterdir() if path.suffix != ".json"), *(CORPUS / name for name in names())]
    return sorted(path for path in paths if 24 < path.stat().st_size <= MOST_BYTES)


@pytest.mark.parametrize("capture", small_captures(), ids=lambda path: path.name)
def test_mutants_of(capture: Path, tmp_path: Path) -> None:
    path, data = tmp_path / "x", capture.read_bytes()
    for number in range(N_MUTANTS):
        path.write_bytes(mutant(data, random.Random(f"{capture.name} {number}")))
        read_file(path)
        for inner in (False, True):
            assert_same(*(replay(path, make_accountant(engine, inner=inner, max_hosts=5)) for engine in ("native", "reference")))


def test_mutants_are_damaged_in_every_way() -> None:
    data = bytes(range(256))
    lengths = [len(mutant(data, random.Random(number))) for number in range(200)]
    assert min(lengths) < len(data) < max(lengths)
    assert all(mutant(data, random.Random(number)) != data for number in range(200))
