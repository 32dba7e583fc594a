"""Every capture of the corpus, read in every way there is: each comes to the same as the plain one."""

from __future__ import annotations

import gzip
import os
import random
import shutil
import subprocess
import sys
import threading
from collections import defaultdict
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING

import builders as b
import pytest
from host_model import HostModel
from needs import cannot_run
from replays import EVER, Replay, assert_same, finish, replay, traffic
from snapshot_checks import assert_conserved

from fastmon.accounting import make_accountant
from fastmon.capture import open_offline
from fastmon.errors import CaptureError, UnsupportedLinkTypeError
from fastmon.model.snapshot import Counters

from .captures import CORPUS, contents, replayed

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from fastmon.model.frames import Frame


def expected(name: str) -> Replay:
    return replayed("native", name)


def test_drained_in_odd_numbers_of_frames(name: str) -> None:
    for max_frames in (1, 7, 1000):
        assert_same(replay(CORPUS / name, make_accountant(), max_frames=max_frames), expected(name))


def test_read_frame_by_frame(name: str) -> None:
    target, error = make_accountant(), None
    try:
        with open_offline(str(CORPUS / name)) as source:
            while not source.exhausted:
                for frame in source.read(100):
                    target.account(frame)
    except CaptureError as caught:
        error = caught
    assert_same(Replay(finish(target), error), expected(name))


@contextmanager
def standard_input(data: bytes) -> Iterator[None]:
    """Let `data` come through a pipe on standard input, in pieces of all sizes."""
    kept = os.dup(0)
    source, target = os.pipe()
    os.dup2(source, 0)
    os.close(source)
    writer = threading.Thread(target=write_in_pieces, args=(target, data))
    writer.start()
    try:
        yield
    finally:
        os.dup2(kept, 0)  # a writer that nobody reads any more ends
        os.close(kept)
        writer.join()


def write_in_pieces(target: int, data: bytes) -> None:
    sizes = random.Random(len(data))
    rest = memoryview(data)
    with suppress(BrokenPipeError):
        while rest:
            rest = rest[os.write(target, rest[: sizes.choice([1, 100, 5000, 1 << 16])]) :]
    os.close(target)


def test_through_a_pipe(name: str) -> None:
    with standard_input((CORPUS / name).read_bytes()):
        found = replay("-", make_accountant())
    if isinstance(expected(name).error, UnsupportedLinkTypeError):
        assert len(found.summary) == 0  # a pipe is not waited for until an interface is described: its frames count as undecoded
    else:
        assert_same(found, expected(name))


@pytest.mark.parametrize("compress", [partial(gzip.compress, compresslevel=1), zstd.compress], ids=["gzip", "zstd"])
def test_compressed(name: str, compress: Callable[[bytes], bytes], tmp_path: Path) -> None:
    packed = tmp_path / "packed"
    packed.write_bytes(compress(contents(name)))
    assert_same(replay(packed, make_accountant()), expected(name))


FILTERS = ["ip or ip6", "tcp or udp port 53", "greater 200", "not ether[0] & 1 != 0"]


def test_filtered_as_by_tcpdump(name: str) -> None:
    if shutil.which("tcpdump") is None:
        cannot_run("there is no tcpdump to compare with")
    if isinstance(expected(name).error, UnsupportedLinkTypeError):
        pytest.skip("its link type is not supported")
    for filter in FILTERS:
        n_frames = tcpdump_count(contents(name), filter)
        if n_frames is None:  # there are formats that tcpdump cannot read
            n_frames = tcpdump_sum(name, filter)
        summary, error = replay(CORPUS / name, make_accountant(), filter=filter)
        if n_frames is None:  # libpcap compiles it for other link types
            assert "filter" in str(error)
        else:
            assert summary.counters.frames.frames == n_frames


def tcpdump_count(file: bytes, filter: str) -> int | None:
    """Return how many frames tcpdump lets through; None if it cannot read the file, or has no such filter for it."""
    run = subprocess.run(["tcpdump", "-r", "-", "--count", filter], input=file, capture_output=True, check=False)
    return None if run.returncode else int(run.stdout.split()[0])


def tcpdump_sum(name: str, filter: str) -> int | None:
    """Return the same of a capture written anew, a pcap file for each link type, in the capture's byte order."""
    is_big_endian = contents(name)[8:12] == bytes.fromhex("1a2b3c4d")  # pcapng; BSD loopback headers are taken to be so, too
    by_link_type: defaultdict[int, list[Frame]] = defaultdict(list)
    with suppress(CaptureError), open_offline(str(CORPUS / name)) as source:
        while not source.exhausted:
            for frame in source.read(1000):
                by_link_type[frame.link_type].append(frame)
    counts = [
        tcpdump_count(b.pcap_file(frames, link_type=link_type, byte_order="<>"[is_big_endian]), filter)
        for link_type, frames in by_link_type.items()
    ]
    return None if None in counts else sum(count or 0 for count in counts)


def test_rotated_anywhere(name: str) -> None:
    numbers = random.Random(name)
    target, model = make_accountant(), HostModel()
    counters = Counters()
    with suppress(CaptureError), open_offline(str(CORPUS / name)) as source:
        while not source.exhausted:
            target.drain(source, numbers.choice([0, 1, 10, 1000, 1 << 16]))
            snapshot = target.rotate(EVER)
            assert_conserved(snapshot)
            model.merge(traffic(snapshot))
            counters += snapshot.counters
    last, summary = target.finish(EVER, EVER)
    model.merge(traffic(last))
    assert model.hosts == traffic(summary)
    assert counters + last.counters == summary.counters
    assert_same(Replay(summary, expected(name).error), expected(name))
