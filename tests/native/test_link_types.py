"""The link types that are offered are those that are decoded, whatever their numbers."""

from __future__ import annotations

from engines import native_decode as decode

from fastmon.capture.linktypes import LINK_TYPES, describe, is_supported
from fastmon.decode import SUPPORTED_LINK_TYPES
from fastmon.model.frames import FrameStatus

ALL_NUMBERS = range(1 << 16)
"""A capture file has 16 bits for it."""


def test_offered_are_exactly_those_that_either_decoder_knows() -> None:
    decoded = {number for number in ALL_NUMBERS if decode(number, b"").status is not FrameStatus.UNSUPPORTED_LINK_TYPE}
    assert decoded == LINK_TYPES == SUPPORTED_LINK_TYPES
    assert {number for number in ALL_NUMBERS if is_supported(number)} == decoded


def test_numbers_beyond_every_table_are_unsupported() -> None:
    for number in (1 << 16, (1 << 31) - 1, (1 << 32) - 1):
        assert decode(number, bytes(100)).status is FrameStatus.UNSUPPORTED_LINK_TYPE


def test_names_are_those_of_files() -> None:
    assert [describe(number) for number in (1, 100, 101, 12, 106, 160, 281, 305, 65535)] == [
        "ETHERNET (1)",
        "ATM_RFC1483 (100)",
        "RAW (101)",
        "RAW (12)",
        "ATM_CLIP (106)",
        "USER13 (160, for private use)",
        "DSA_TAG_BRCM (281)",
        "ETW2 (305)",
        "unknown (65535)",
    ]


def test_every_number_that_is_assigned_has_a_name() -> None:
    assigned = LINK_TYPES | set(range(11)) | {32} | set(range(99, 306))
    assert {number for number in ALL_NUMBERS if not describe(number).startswith("unknown")} == assigned | {50, 51}
