"""Sizes, durations and times, from and to text."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastmon.errors import ConfigError
from fastmon.model.units import (
    Rate,
    format_duration,
    format_rate,
    format_size,
    format_time,
    format_value,
    parse_duration,
    parse_rate,
    parse_size,
)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("1500", 1500),
        ("1500B", 1500),
        ("1MB", 10**6),
        ("1mb", 10**6),
        ("1 MB", 10**6),
        ("1M", 10**6),
        ("1MiB", 2**20),
        ("1mib", 2**20),
        ("64Ki", 2**16),
        ("2kB", 2000),
        ("1.5GB", 1_500_000_000),
        ("0.5KiB", 512),
        ("9007199254740993", 9007199254740993),
        ("1PB", 10**15),
    ],
)
def test_size(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text",
    [
        "",
        "MB",
        "-1",
        "1e6",
        "1.MB",
        ".5MB",
        "1XB",
        "1Mbit",
        "1 M B",
        "1iB",
        "99999999999999999999",
        "0x10",
        "\u00b2MB",
    ],
)
def test_no_size(text: str) -> None:
    with pytest.raises(ConfigError, match="size"):
        parse_size(text)


@pytest.mark.parametrize(
    ("text", "duration_ns"),
    [
        ("0", 0),
        ("60s", 60_000_000_000),
        ("60", 60_000_000_000),
        ("500ms", 500_000_000),
        ("5m", 300_000_000_000),
        ("1h", 3_600_000_000_000),
        ("1h30m", 5_400_000_000_000),
        ("1H30M", 5_400_000_000_000),
        ("1.5s", 1_500_000_000),
        ("2d", 172_800_000_000_000),
        ("7us", 7_000),
        ("7ns", 7),
    ],
)
def test_duration(text: str, duration_ns: int) -> None:
    assert parse_duration(text) == duration_ns


@pytest.mark.parametrize("text", ["", "s", "-5s", "5x", "5 s", "1h 30m", "1e3s", "soon", "5s!", "5s5", "99999999d", "\u00b2s"])
def test_no_duration(text: str) -> None:
    with pytest.raises(ConfigError, match="duration"):
        parse_duration(text)


@given(st.integers(0, 2**63 - 1))
def test_durations_survive_being_written(duration_ns: int) -> None:
    assert parse_duration(format_duration(duration_ns)) == duration_ns


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (999_949, "999.9 kB"),
        (999_950, "1.0 MB"),
        (12_345_678, "12.3 MB"),
        (2**64, "18.4 EB"),
        (10**22, "10000.0 EB"),
    ],
)
def test_size_for_people(size: int, text: str) -> None:
    assert format_size(size) == text


def test_rate_is_in_bits() -> None:
    assert format_rate(1_000_000, 2_000_000_000) == "4.0 Mbit/s"


@pytest.mark.parametrize(
    ("ts_ns", "text"),
    [
        (0, "1970-01-01T00:00:00.000000Z"),
        (1_767_225_600_123_456_999, "2026-01-01T00:00:00.123456Z"),
        (-1, "1969-12-31T23:59:59.999999Z"),
        (2**63 - 1, "2262-04-11T23:47:16.854775Z"),
        (-(2**63), "1677-09-21T00:12:43.145224Z"),
    ],
)
def test_time(ts_ns: int, text: str) -> None:
    assert format_time(ts_ns) == text


@given(st.datetimes(datetime(1970, 1, 1), datetime(2262, 1, 1)))
def test_times_are_read_back(moment: datetime) -> None:
    ts_us = (moment - datetime(1970, 1, 1)) // datetime.resolution
    read = datetime.fromisoformat(format_time(ts_us * 1000).replace("Z", "+00:00"))
    assert read == moment.replace(tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("80Mbit/s", Rate(80e6, "bit/s")),
        ("1.5 gbps", Rate(1.5e9, "bit/s")),
        ("9bit/s", Rate(9, "bit/s")),
        ("20kpps", Rate(20e3, "packets/s")),
        ("7 packets/s", Rate(7, "packets/s")),
        ("500conversations/s", Rate(500, "conversations/s")),
        ("2kcps", Rate(2000, "conversations/s")),
    ],
)
def test_rate(text: str, rate: Rate) -> None:
    assert parse_rate(text) == rate


@pytest.mark.parametrize("text", ["", "80", "80Mbit", "80MB/s", "80Mb/s", "-1pps", "1e3pps", "Mbit/s", "1 k pps", "\u0661pps"])
def test_no_rate(text: str) -> None:
    with pytest.raises(ConfigError, match="invalid rate"):
        parse_rate(text)


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (5.1e9, "bytes", "5.1 GB"),
        (8e7, "bit/s", "80.0 Mbit/s"),
        (1234, "packets/s", "1,234 packets/s"),
        (6.25, "", "6.25"),
        (3, "ports", "3 ports"),
        (1234.5, "", "1,234.5"),
        (0.024, "share", "2.40%"),
        (float("inf"), "bytes", "inf bytes"),
    ],
)
def test_values_for_people(value: float, unit: str, text: str) -> None:
    assert format_value(value, unit) == text
