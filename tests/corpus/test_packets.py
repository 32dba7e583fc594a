"""The packet log of every capture of the corpus: a record for each frame, the first ones compared with the reference decoder."""

from __future__ import annotations

import numpy as np
from packet_records import expected_row, rows_of
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
    batches = [target.take_packets()]
    try:
        with open_offline(str(CORPUS / name)) as source:
            while not source.exhausted:
                target.drain(source, MOST_FRAMES)
                batches.append(target.take_packets())
    except CaptureError:
        batches.append(target.take_packets())
    records = np.concatenate(batches)
    assert rows_of(records[: len(sent)]) == [expected_row(frame) for frame in sent]
    assert len(records) == target.rotate(EVER).counters.frames.frames
