#!/usr/bin/env python3
"""Makes captures with known totals: the committed ones again, and large ones for benchmarks.

    generate.py small                     every encapsulation and file format, into pcaps/small
    generate.py demo                      the README's capture, pcaps/demo.pcap
    generate.py mix OUTPUT                conversations of many hosts, in the sizes of Internet traffic
    generate.py flood OUTPUT              every frame from a source of its own
    generate.py flood-conversations OUTPUT  every frame opens a conversation

The totals of OUTPUT go into OUTPUT.json. Everything is made from a seed: the same arguments give the same bytes.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from generator import blocks, demo, small, truth, workloads

if TYPE_CHECKING:
    from collections.abc import Sequence

HERE = Path(__file__).resolve().parent


def make_small(arguments: argparse.Namespace) -> None:
    """Write the set of small captures."""
    small.write(arguments.output, str(arguments.seed))


def make_demo(arguments: argparse.Namespace) -> None:
    """Write the README's capture."""
    capture = demo.capture(str(arguments.seed))
    arguments.output.write_bytes(capture.data)
    write_truth(arguments.output, truth.totals(capture.records))


def make_large(arguments: argparse.Namespace) -> None:
    """Write a large capture."""
    workload: blocks.Workload
    if arguments.kind == "mix":
        workload = workloads.Mix(arguments.hosts, arguments.conversations, arguments.seed)
    elif arguments.kind == "flood":
        workload = workloads.SourceFlood(arguments.frames, arguments.seed)
    else:
        workload = workloads.ConversationFlood(arguments.hosts, arguments.seed if arguments.random_payload else None)
    options = blocks.Options(arguments.frames, arguments.snaplen, arguments.rate, arguments.resolution == "ns", arguments.seed)
    write_truth(arguments.output, blocks.write(arguments.output, workload, options))


def write_truth(path: Path, totals: dict[str, object]) -> None:
    """Write totals beside their capture."""
    path.with_name(path.name + ".json").write_text(truth.dump(totals) + "\n")


def positive(text: str) -> int:
    """Return a number above 0."""
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def snaplen(text: str) -> int:
    """Return a number of captured bytes that leaves every address in its frame; the totals count on that."""
    number = int(text)
    if 0 < number < blocks.ADDRESSES_END:
        raise argparse.ArgumentTypeError(f"{number}: addresses end at byte {blocks.ADDRESSES_END}")
    return number


def parser() -> argparse.ArgumentParser:
    """Return the command line's parser."""
    result = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = result.add_subparsers(dest="kind", required=True)
    for kind, make, output in (("small", make_small, HERE / "small"), ("demo", make_demo, HERE / "demo.pcap")):
        command = kinds.add_parser(kind)
        command.set_defaults(make=make)
        command.add_argument("-o", "--output", type=Path, default=output, help="(default: %(default)s)")
        command.add_argument("--seed", type=int, default=0, help="(default: %(default)s)")
    for kind, frames in (("mix", 30_000_000), ("flood", 1_000_000), ("flood-conversations", 1_000_000)):
        command = kinds.add_parser(kind, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
        command.set_defaults(make=make_large)
        command.add_argument("output", type=Path)
        command.add_argument("--frames", type=positive, default=frames, help="number of frames")
        command.add_argument("--snaplen", type=snaplen, default=0, help="captured bytes of a frame; 0: all of them")
        command.add_argument("--rate", type=positive, default=1_000_000, help="frames a second, by their timestamps")
        command.add_argument("--resolution", choices=("us", "ns"), default="us", help="of the timestamps")
        command.add_argument("--seed", type=int, default=0, help="of everything that is chosen")
        if kind != "flood":
            command.add_argument(
                "--hosts", type=positive, default=10_000, help="number of hosts (flood-conversations: of senders)"
            )
        if kind == "flood-conversations":
            command.add_argument("--random-payload", action="store_true", help="random bytes as payloads, not zeros")
        if kind == "mix":
            command.add_argument("--conversations", type=positive, default=150_000, help="number of conversations")
    return result


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    arguments = parser().parse_args(argv)
    try:
        arguments.make(arguments)
    except (OSError, ValueError) as error:
        print(f"generate.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
