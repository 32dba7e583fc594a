"""Multiplies a capture: each frame several times, with other addresses in each copy, so that as many networks talk at once.

Copies of a frame have its time, and follow each other. IPv4, IPv6, ARP and Ethernet addresses are changed (`renumber.py`), behind
VLAN tags, too, and the checksums that cover them. Payloads stay: addresses in them, and headers in tunnels, are the original's.
Written are the whole, two halves of it that have each conversation in one of them, and short parts for slow programs. Files are
written once for a capture, and frame by frame: memory depends on the number of addresses, not on that of frames.
"""

from __future__ import annotations

import hashlib
import json
import sys
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .case import UnavailableError
from .places import IPV4, IPV6, MAC, find_places
from .renumber import Renumbering, has_copies
from .savefile import plain, reading

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from .places import Places

__all__ = ["Multiplied", "Survey", "multiply", "survey", "write_copies"]

VERSION = 3
"""Of what is written; another one makes the files anew."""
SPREAD = 0x9E3779B97F4A7C15
"""Makes neighbouring sums of addresses differ in the bits that choose a half."""
PIECE_BYTES = 1 << 24
"""Copies of a frame are made in pieces of this size."""


class Survey(NamedTuple):
    """What a capture has: frames, their bytes on the wire, and addresses by kind."""

    frames: int
    wire_bytes: int
    addresses: dict[int, set[bytes]]


@dataclass(frozen=True, slots=True)
class Multiplied:
    """A capture and its copies.

    path: the whole.  halves: two files that have its frames together.  parts: shorter files, by name.
    frames, wire_bytes: of the whole.  part_frames: of each part.
    """

    name: str
    sha256: str
    copies: int
    frames: int
    wire_bytes: int
    path: Path
    halves: tuple[Path, Path]
    parts: dict[str, Path]
    part_frames: dict[str, int]

    def as_json(self) -> str:
        """Return everything as text."""
        return json.dumps({"version": VERSION, **asdict(self)}, default=str)


def survey(path: Path) -> Survey:
    """Read a capture once."""
    addresses: dict[int, set[bytes]] = {MAC: set(), IPV4: set(), IPV6: set()}
    n_frames = wire_bytes = 0
    with reading(path) as (header, frames):
        for frame in frames:
            n_frames += 1
            wire_bytes += frame.wire_len
            for at, kind in find_places(header.link_type, frame.data).addresses:
                addresses[kind].add(frame.data[at : at + kind])
    return Survey(n_frames, wire_bytes, addresses)


def with_copies(data: bytes, places: Places, renumbering: Renumbering, first: int, last: int) -> NDArray[np.uint8]:
    """Return a frame in the copies from `first` up to `last`, a row each; the record's header stays zero before it."""
    rows = np.zeros((last - first, 16 + len(data)), np.uint8)
    rows[:, 16:] = np.frombuffer(data, np.uint8)
    if last == 1:
        return rows
    change = np.zeros(last - first, np.int64)
    for at, kind in places.addresses:
        images = renumbering.images(data[at : at + kind])
        rows[:, 16 + at : 16 + at + kind] = images.rows[first:last]
        if kind != MAC:
            change += images.change[first:last]
    for at, may_be_absent in places.checksums:
        before = int.from_bytes(data[at : at + 2], "big")
        if not (may_be_absent and before == 0):
            # RFC 1624. A sum of 0 and one of 0xFFFF are the same; UDP must write the latter's checksum as 0xFFFF.
            sums = (0xFFFF - before + change) % 0xFFFF
            sums[(sums == 0) & (not may_be_absent)] = 0xFFFF
            rows[:, 16 + at : 16 + at + 2] = (0xFFFF - sums).astype(">u2")[:, None].view(np.uint8)
    if first == 0:
        rows[0, 16:] = np.frombuffer(data, np.uint8)
    return rows


class Side(NamedTuple):
    """Which half a frame's copies belong to: copy 0 to this one, the others in turn, unless all have the same addresses."""

    of_copy_0: int
    alternates: bool


@dataclass(slots=True)
class Output:
    """A file of frames.

    copies: only the first ones of each frame are written, None: all.  most: frames that are written, None: any number.
    half: which of the two halves, None: both.
    """

    path: Path
    copies: int | None = None
    most: int | None = None
    half: int | None = None
    frames: int = 0

    def chosen(self, rows: NDArray[np.uint8], first: int, side: Side) -> NDArray[np.uint8]:
        """Return the rows that belong here.  first: the copy of the first row.  side: which half they belong to."""
        if self.copies is not None:
            rows = rows[: max(0, self.copies - first)]
        if self.most is not None:
            rows = rows[: self.most - self.frames]
        if self.half is not None:
            is_other = (first + side.of_copy_0 + self.half) % 2
            rows = rows[is_other::2] if side.alternates else rows[: 0 if side.of_copy_0 != self.half else None]
        self.frames += len(rows)
        return rows


def side_of(data: bytes, places: Places) -> Side:
    """Return a frame's side, the same for all frames between two hosts."""
    ends, alternates = 0, False
    for at, kind in places.addresses:
        if kind != MAC:
            address = data[at : at + kind]
            ends += int.from_bytes(address, "big")
            alternates = alternates or has_copies(address)
    return Side(ends * SPREAD >> 40 & 1, alternates)


def write_copies(source: Path, found: Survey, n_copies: int, outputs: Sequence[Output]) -> None:
    """Write each frame of a capture `n_copies` times into the outputs."""
    renumbering = Renumbering(found.addresses, n_copies)
    with ExitStack() as stack:
        header, frames = stack.enter_context(reading(source))
        files = [stack.enter_context(output.path.open("wb", buffering=1 << 20)) for output in outputs]
        for file in files:
            file.write(header.pack())
        for frame in frames:
            places = find_places(header.link_type, frame.data)
            side = side_of(frame.data, places)
            step = max(2, PIECE_BYTES // (16 + len(frame.data))) & ~1
            for first in range(0, n_copies, step):
                rows = with_copies(frame.data, places, renumbering, first, min(first + step, n_copies))
                rows[:, :16] = np.frombuffer(frame.record_header(), np.uint8)
                for output, file in zip(outputs, files, strict=True):
                    file.write(output.chosen(rows, first, side).tobytes())


def multiply(path: Path, cache: Path, least_frames: int, parts: Mapping[str, int]) -> Multiplied:
    """Multiply a capture to at least so many frames, unless that was done.  parts: the most frames of shorter files, by name."""
    digest = sha256_of(path)
    stem = f"{path.name.split('.')[0]}-{digest[:12]}-{least_frames}"
    note = cache / f"{stem}.multiplied.json"
    found = known(note, {name: cache / f"{stem}-first{most}.pcap" for name, most in parts.items()})
    if found is not None:
        return found
    with TemporaryDirectory(dir=cache, prefix="making-") as folder:
        source = plain(path, Path(folder))
        print(f"reading {path.name}", file=sys.stderr)
        content = survey(source)
        if not content.frames:
            raise UnavailableError(f"{path.name}: no frames")
        n_copies = -(-least_frames // content.frames)
        if n_copies > 1 and not content.addresses[IPV4] | content.addresses[IPV6]:
            print(f"{path.name}: no IP addresses where they are looked for: all copies are the same", file=sys.stderr)
        print(f"multiplying {path.name} by {n_copies}", file=sys.stderr)
        outputs = outputs_for(Path(folder), stem, content.frames, list(parts.values()))
        write_copies(source, content, n_copies, outputs)
        for output in outputs:
            output.path = output.path.rename(cache / output.path.name)
    whole, half_0, half_1, *short = outputs
    made = Multiplied(
        name=path.name,
        sha256=digest,
        copies=n_copies,
        frames=whole.frames,
        wire_bytes=content.wire_bytes * n_copies,
        path=whole.path,
        halves=(half_0.path, half_1.path),
        parts={name: output.path for name, output in zip(parts, short, strict=True)},
        part_frames={name: output.frames for name, output in zip(parts, short, strict=True)},
    )
    note.write_text(made.as_json())
    return made


def outputs_for(folder: Path, stem: str, n_frames: int, parts: Sequence[int]) -> list[Output]:
    """Return the files to write. A part has as few copies as it needs, to span as much of the capture as it can."""
    whole = Output(folder / f"{stem}.pcap")
    halves = [Output(folder / f"{stem}-half{half}.pcap", half=half) for half in (0, 1)]
    short = [Output(folder / f"{stem}-first{most}.pcap", copies=-(-most // n_frames), most=most) for most in parts]
    return [whole, *halves, *short]


def known(note: Path, parts: Mapping[str, Path]) -> Multiplied | None:
    """Return what was written before, None if it is not all there."""
    if not note.exists():
        return None
    saved: dict[str, Any] = json.loads(note.read_text())
    saved["parts"] = {name: Path(path) for name, path in saved["parts"].items()}
    if saved.pop("version") != VERSION or saved["parts"] != parts:
        return None
    saved["path"], saved["halves"] = Path(saved["path"]), tuple(map(Path, saved["halves"]))
    made = Multiplied(**saved)
    return made if all(path.exists() for path in (made.path, *made.halves, *made.parts.values())) else None


def sha256_of(path: Path) -> str:
    """Return a file's checksum."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 22):
            digest.update(piece)
    return digest.hexdigest()
