#!/usr/bin/env python3
"""Measures for how long rules keep a live run from draining, and what it loses: pauses.py [--hosts N] [--rules N]; root only.

`fastmon live` captures one end of a veth pair, in a network namespace of its own, with rules of the kinds that an operator might
use. First each host sends a frame, then random ones do, at an even rate, each to its one peer. At a tick nothing is drained
while the totals are copied, nor while rules look at them, if they do so then; the kernel's ring must hold what comes meanwhile.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
from harness.case import Plan
from harness.cases import CACHE
from harness.inputs import compiled
from harness.live import CAPTURING, SENDING, await_capture, enter_namespace, make_interfaces
from rules import MIX

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

N_FRAMES = 1_000_000
FRAME_BYTES = 512
HEADERS = np.dtype(
    [
        ("record", "<u4", 4),
        ("ethernet", "S6", 2),
        ("type", ">u2"),
        ("version", "u1"),
        ("tos", "u1"),
        ("length", ">u2"),
        ("id", ">u4"),
        ("ttl", "u1"),
        ("protocol", "u1"),
        ("checksum", ">u2"),
        ("source", ">u4"),
        ("target", ">u4"),
        ("ports", ">u2", 2),
        ("udp_length", ">u2"),
        ("udp_checksum", ">u2"),
        ("payload", f"V{FRAME_BYTES - 42}"),
    ]
)
RULES = {
    "total": 'limit = "1GB"\nper = "month"',
    "rate": 'limit = "600Mbit/s"\nclear = "400Mbit/s"\nfor = "3s"',
    "ports": 'allow = ["udp/53", "tcp/443"]',
    "spread": "peers = 1000",
    "failed": "limit = 1000",
    "new": 'learn = "1h"',
    "silent": 'for = "1h"',
    "baseline": 'window = "10s"',
    "duplicate": "",
}
WATCHED = """
import json, sys, time
from fastmon.run import live_shards, monitor
spans = {"tick": [], "copy": [], "gap": [], "dropped": []}
def watched(name, function):
    def call(*arguments):
        start = time.monotonic()
        try:
            return function(*arguments)
        finally:
            spans[name].append(time.monotonic() - start)
    return call
monitor.Monitor._copy_totals = watched("copy", monitor.Monitor._copy_totals)
tick = watched("tick", monitor.Monitor._tick)
def tick_and_loss(self, now_ns):
    tick(self, now_ns)
    spans["dropped"].append((time.monotonic(), self._dropped().kernel))
monitor.Monitor._tick = tick_and_loss
drain, ended = live_shards.LiveShard._drain, [time.monotonic()]
def noted(*arguments):
    spans["gap"].append((time.monotonic(), time.monotonic() - ended[0]))
    try:
        return drain(*arguments)
    finally:
        ended[0] = time.monotonic()
live_shards.LiveShard._drain = noted
from fastmon.cli import main
try:
    code = main(sys.argv[2:])
finally:
    with open(sys.argv[1], "w") as file:
        json.dump(spans, file)
sys.exit(code)
"""
"""Runs fastmon, and writes how long each tick, each copy of the totals and each time between two looks at the ring was."""


def write_frames(path: Path, sources: NDArray[np.uint32]) -> None:
    """Write a capture of UDP frames to port 53, one from each of some hosts."""
    frames = np.zeros(len(sources), HEADERS)
    frames["record"] = 0, 0, FRAME_BYTES, FRAME_BYTES
    frames["ethernet"] = b"\x02\x00\x00\x00\x00\x01"
    frames["type"], frames["version"], frames["length"] = 0x0800, 0x45, FRAME_BYTES - 14
    frames["ttl"], frames["protocol"], frames["source"] = 64, 17, sources
    frames["target"], frames["ports"] = 0xC000_0200 + sources % 200, (40_000, 53)
    frames["udp_length"] = FRAME_BYTES - 34
    header = np.array([0xA1B2C3D4, 4 << 16 | 2, 0, 0, 1 << 16, 1], "<u4")
    path.write_bytes(header.tobytes() + frames.tobytes())


def write_rules(path: Path, n_rules: int, kinds: Sequence[str]) -> None:
    """Write a configuration whose rules take turns among kinds, on addresses and on networks."""
    with path.open("w") as file:
        for number in range(n_rules):
            kind = kinds[number % len(kinds)]
            address = f"10.{number % 16}.{number // 16 % 256}"
            scope = "local" if number < len(kinds) else f"{address}.7" if number // len(kinds) % 2 else f"{address}.0/24"
            file.write(f'[[rule]]\nname = "r{number}"\nkind = "{kind}"\nscope = "{scope}"\n{RULES[kind]}\n\n')


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Run fastmon while frames are sent."""
    cpus = sorted(os.sched_getaffinity(0))
    plan = Plan(Path(sys.executable), CACHE, folder, False, cpus[0], cpus[-1])
    sources = np.arange(options.hosts, dtype=np.uint32) + np.uint32(10 << 24)
    write_frames(folder / "all.pcap", sources)
    write_frames(folder / "some.pcap", np.random.default_rng(1).choice(sources, N_FRAMES))
    write_rules(folder / "rules.toml", options.rules, options.kinds)
    command = [sys.executable, "-c", WATCHED, str(folder / "spans.json"), "live", CAPTURING, "--local", "10.0.0.0/8", "-i", "0"]
    command += ["--config", str(folder / "rules.toml"), "--max-hosts", str(2 * options.hosts)]
    command += options.arguments
    with (folder / "output").open("wb") as stdout, (folder / "errors").open("wb") as stderr:
        program = subprocess.Popen(["taskset", "-c", str(plan.cpu), *command], stdout=stdout, stderr=stderr)
        try:
            await_capture(program)
            sent = send_file(plan, folder / "all.pcap", options.hosts, options.rate)
            time.sleep(3)
            began_s = time.monotonic()
            sent += send_file(plan, folder / "some.pcap", options.rate * options.seconds, options.rate)
            ended_s = time.monotonic()
            time.sleep(3)
            program.send_signal(signal.SIGINT)
            program.wait(timeout=120)
        finally:
            if program.poll() is None:
                program.kill()
    sys.stderr.write((folder / "errors").read_text()[-2000:])
    spans = json.loads((folder / "spans.json").read_text())
    loss = [lost for when_s, lost in spans["dropped"] if began_s <= when_s < ended_s]
    gaps = [gap_s for when_s, gap_s in spans["gap"] if began_s <= when_s < ended_s]
    n_ticks = len(loss)
    n_later = len([when_s for when_s, _ in spans["dropped"] if when_s >= ended_s])
    ticks, copies = (sorted(spans[name][-n_later - n_ticks : -n_later or None]) for name in ("tick", "copy"))
    return {
        "hosts": options.hosts,
        "rules": options.rules,
        "rate": options.rate,
        "sent": sent,
        "dropped": spans["dropped"][-1][1],
        "dropped_at_even_rate": loss[-1] - loss[0],
        "ticks": n_ticks,
        "median_copy_ms": 1e3 * copies[n_ticks // 2],
        "median_tick_ms": 1e3 * ticks[n_ticks // 2],
        "longest_tick_ms": 1e3 * ticks[-1],
        "longest_pause_ms": 1e3 * max(gaps),
    }


def send_file(plan: Plan, path: Path, frames: int, rate: int) -> int:
    """Send the frames of a capture, again and again; return how many were sent."""
    command = ["taskset", "-c", str(plan.other_cpu), str(compiled("send_frames.c", plan.cache)), SENDING, str(path)]
    done = subprocess.run([*command, str(frames), str(rate)], capture_output=True, check=True, timeout=600)
    return int(json.loads(done.stdout)["sent"])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hosts", type=int, default=1_000_000)
    parser.add_argument("--rules", type=int, default=1000)
    parser.add_argument("--kinds", nargs="+", choices=RULES, default=MIX)
    parser.add_argument("--rate", type=int, default=100_000, help="frames a second")
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("arguments", nargs="*", help="further arguments of fastmon, after --")
    options = parser.parse_args(arguments)
    enter_namespace()
    make_interfaces()
    CACHE.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as folder:
        print(json.dumps(measure(options, Path(folder))), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
