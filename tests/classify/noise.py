"""Payloads of no protocol, with the structure of many: small numbers, zeros, lengths that fit, some text."""

from __future__ import annotations

import random

TEXT = b"abcdefghijklmnopqrstuvwxyzABCDEF0123456789 ./:-"


def payload(source: random.Random, size: int) -> bytes:
    """Return `size` bytes of random fields."""
    data = bytearray()
    while len(data) < size:
        data += _text(source) if source.random() < 0.1 else _number(source, size, len(data))
    return bytes(data[:size])


def changed(source: random.Random, data: bytes) -> bytes:
    """Return a payload with one or two bytes changed, as the next message of a protocol may have. It may be cut."""
    other = bytearray(data)
    for _ in range(source.randint(1, 2)):
        other[source.randrange(len(other))] = source.choice((0, 1, 2, 3, source.randrange(256)))
    return bytes(other[: source.choice((len(other), len(other), source.randint(1, len(other))))])


def _text(source: random.Random) -> bytes:
    return bytes(source.choices(TEXT, k=source.randint(1, 12)))


def _number(source: random.Random, size: int, at: int) -> bytes:
    width = source.choice((1, 2, 2, 4, 4, 8))
    (number,) = source.choices(
        (
            0,
            source.randrange(9),
            source.choice((size, size - at, size - at - width, size - 4, size - 8, size + source.randrange(200))),
            -1,
            source.getrandbits(8 * width),
        ),
        (8, 4, 3, 1, 3),
    )
    return (number & ((1 << 8 * width) - 1)).to_bytes(width, source.choice(("big", "big", "little")))
