"""Writes what libFuzzer begins with: python tests/fuzz/seeds.py FOLDER

The inputs in FOLDER/seeds are the conversations of `tests/classify/cases.py`, of the captures in `pcaps/`, and of the capture
corpus where there is one. FOLDER/dictionary has the words that the native matchers look for. Both are the same in every run.
"""

from __future__ import annotations

import ast
import hashlib
import random
import re
import struct
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parents[1]))

from classify.cases import CASES, DUIDS, UDP
from corpus.captures import CORPUS, names

from fastmon.accounting import make_accountant
from fastmon.capture import open_offline
from fastmon.errors import CaptureError, UnsupportedLinkTypeError
from fuzz.inputs import HOSTS, MAX_INPUT, MAX_PAYLOAD, MAX_PAYLOADS, SEPARATOR, encode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastmon.model.conversations import Payload

ROOT = Path(__file__).parents[2]
CHUNK_FRAMES = 500
MOST_FRAMES = 20_000
"""Read of a capture."""

MOST_OF_A_CAPTURE = 30
"""Seeds. More of one capture tell little more."""


def seeds_of_cases() -> Iterator[bytes]:
    """Yield the conversations built by hand, and each further payload as the first of one."""
    for case in CASES:
        for start in range(len(case.payloads)):
            yield encode(case.protocol == UDP, HOSTS[0][1], case.ports, case.payloads[start:])


def long_seeds() -> Iterator[bytes]:
    """Yield what reaches the limits of what matchers keep: a hello without an end, and a name of more than 255 bytes."""
    hello = b"\x16\3\1\x40\0" + b"\1\0\x3f\xfc\3\3" + bytes(681)  # 692 bytes, which 1500 fill to `MAX_HELLO`, and beyond
    yield encode(False, HOSTS[0][1], (50000, 443), [(True, hello), (True, bytes(MAX_PAYLOAD))], n_repeats=7)
    name = 7 * (b"\x3f" + 63 * b"a")
    yield encode(True, HOSTS[7][1], (546, 547), [(True, b"\1abc" + DUIDS + struct.pack(">2HB", 39, 1 + len(name), 0) + name)])


def conversations(path: Path) -> Iterator[list[Payload]]:
    """Yield the first payloads of each conversation of a capture, up to its end or damage."""
    found: dict[int, list[Payload]] = {}
    accountant = make_accountant(max_conversations=1 << 14, seed=0)
    n_frames = 0
    with suppress(CaptureError, UnsupportedLinkTypeError), open_offline(str(path)) as source:
        while not source.exhausted and n_frames < MOST_FRAMES:
            accountant.payload_allowance = 1 << 20
            n_frames += accountant.drain(source, CHUNK_FRAMES)
            for payload in accountant.take_payloads():
                payloads = found.setdefault(payload.token, [])
                payloads.append(payload)
                accountant.label(payload.token, 0, MAX_PAYLOADS - len(payloads))
    yield from found.values()


def seeds_of_capture(path: Path) -> list[bytes]:
    """Return some of a capture's conversations, drawn at random but always the same."""
    seeds = {
        encode(first.protocol == UDP, first.b_host, (first.a_port, first.b_port), [(each.from_a, each.data) for each in payloads])
        for payloads in conversations(path)
        for first in payloads[:1]
    }
    return random.Random(path.name).sample(sorted(seeds), min(len(seeds), MOST_OF_A_CAPTURE))


def captures() -> list[Path]:
    """Return the captures that seeds are drawn from."""
    own = [ROOT / "pcaps" / "demo.pcap", *sorted((ROOT / "pcaps" / "small").iterdir())]
    return [*(path for path in own if path.suffix != ".json"), *(CORPUS / name for name in names())]


def words() -> list[bytes]:
    """Return the texts in the native matchers' source, and the separator of payloads."""
    sources = (ROOT / "src" / "fastmon" / "native" / "classify").rglob("*.pxd")
    literals = {literal for path in sources for literal in re.findall(r'b?"(?:[^"\\\n]|\\.)+"', path.read_text())}
    texts = {ast.literal_eval("b" + literal.removeprefix("b")) for literal in literals if literal.isascii()}
    return [SEPARATOR, *sorted(text for text in texts if 2 <= len(text) <= 32)]


def main() -> None:
    folder = Path(sys.argv[1])
    (folder / "seeds").mkdir(parents=True, exist_ok=True)
    for seed in [*seeds_of_cases(), *long_seeds(), *(seed for path in captures() for seed in seeds_of_capture(path))]:
        (folder / "seeds" / hashlib.sha1(seed).hexdigest()).write_bytes(seed[:MAX_INPUT])
    lines = ['"' + "".join(f"\\x{byte:02x}" for byte in word) + '"\n' for word in words()]
    (folder / "dictionary").write_text("".join(lines))


if __name__ == "__main__":
    main()
