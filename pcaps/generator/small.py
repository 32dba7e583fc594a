"""The committed set: many small captures in one folder, with their totals in `truth.json` beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import set_ethernet, set_formats, set_links, set_truncated, set_tunnels, set_wan
from .maker import Maker, records
from .savefile import pcap
from .set_formats import Variant
from .set_truncated import cut_everywhere, deepest
from .truth import dump, totals

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path
    from typing import TypeAlias

    from .pdu import Pdu

    FramesOf: TypeAlias = Callable[[Maker], Iterable[Pdu]]

__all__ = ["captures", "write"]

ETHERNET = 1
TRUTH = "truth.json"


def captures(seed: str) -> Iterator[Variant]:
    """Yield every capture of the set."""
    frames_of: FramesOf
    for frames_of in (*set_ethernet.CAPTURES, *set_tunnels.CAPTURES):
        yield whole(frames_of.__name__, ETHERNET, frames_of, seed)
    for frames_of in set_truncated.CAPTURES:
        yield cut(frames_of.__name__, ETHERNET, frames_of, seed)
    for name, (link_type, frames_of) in (set_links.CAPTURES | set_wan.CAPTURES).items():
        yield whole(name, link_type, frames_of, seed)
        yield cut(f"truncated_{name}", link_type, deepest(frames_of), seed)
    yield from set_formats.variants(seed)


def whole(name: str, link_type: int, frames_of: FramesOf, seed: str) -> Variant:
    """Return a capture of the frames as they are."""
    kept = records(frames_of(Maker(f"{seed}:{name}")))
    return Variant(f"{name}.pcap", pcap(kept, link_type), kept)


def cut(name: str, link_type: int, frames_of: FramesOf, seed: str) -> Variant:
    """Return a capture of each frame at every length."""
    kept = cut_everywhere(frames_of(Maker(f"{seed}:{name}")))
    return Variant(f"{name}.pcap", pcap(kept, link_type), kept)


def write(folder: Path, seed: str) -> None:
    """Write the set into `folder`, which is made if it is not there."""
    folder.mkdir(parents=True, exist_ok=True)
    truths: dict[str, dict[str, Any]] = {}
    for capture in captures(seed):
        (folder / capture.name).write_bytes(capture.data)
        truths[capture.name] = totals(capture.records, capture.error)
    entries = ",\n".join(f' "{name}": {dump(truth, " ")}' for name, truth in truths.items())
    (folder / TRUTH).write_text(f"{{\n{entries}\n}}\n")
