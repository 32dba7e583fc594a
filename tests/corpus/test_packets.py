"""The packet log of every capture of the corpus: a record for each frame, the first ones compared with the reference decoder."""

from __future__ import annotations

from packet_records import Row, expected_row, rows_of
from replays import EVER

from fastmon.accounting import make_accountant
from fastmon.capture import open_offline
from fastmon.errors import CaptureError

from .captures import CORPUS
from .test_engines import first_frames

MOST_FRAMES = 2000
"""Compared one by one, of each capture."""


def test_records_are_those_of_the_reference(name: str) -> None:
    sent = first_frames(name)[:MOST_FRAMES]
    target = make_accountant(packet_log=True)
    n_records, rows = 0, list[Row]()
    try:
        with open_offline(str(CORPUS / name)) as source:
            while not source.exhausted:
                n_frames = target.drain(source, MOST_FRAMES)
                records = target.take_packets()
                assert len(records) == n_frames
                n_records += n_frames
                rows = rows or rows_of(records)
    except CaptureError:
        n_records += len(target.take_packets())
    assert rows[: len(sent)] == [expected_row(frame) for frame in sent[: len(rows)]]
    assert n_records == target.rotate(EVER).counters.frames.frames
