"""Records of the packet log: every frame once, in order, with what the reference decoder says of it; and their text."""

from __future__ import annotations

import csv
import io
import socket
from itertools import pairwise
from typing import TYPE_CHECKING

import builders as b
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packet_records import Row, expected_row, rows_of, time_text
from strategies import damaged_frames

from fastmon.accounting import make_accountant
from fastmon.capture import open_offline
from fastmon.model.frames import Frame, FrameStatus
from fastmon.model.packets import MAX_RECORDS, PACKET_DTYPE
from fastmon.native.packet_text import format_addresses, format_packets

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fastmon.accounting import Accountant

T0 = 1_767_225_600_000_000_000
V4, V6 = ("10.0.0.1", "192.0.2.1"), ("2001:db8::1", "fe80::2")
FRAMES = {
    "tcp": b.ethernet(b.IPV4, b.ipv4(*V4, b.tcp(1024, 443, flags=0x18), protocol=b.TCP)),
    "udp": b.ethernet(b.IPV6, b.ipv6(*V6, b.udp(0, 53), next_header=b.UDP)),
    "icmp": b.ethernet(b.IPV4, b.ipv4(*V4, b.icmp(), protocol=b.ICMP)),
    "cut TCP": b.ethernet(b.IPV4, b.ipv4(*V4, b.tcp(1, 2), protocol=b.TCP))[:-8],
    "cut ports": b.ethernet(b.IPV4, b.ipv4(*V4, b.tcp(1, 2), protocol=b.TCP))[:36],
    "cut extension": b.ethernet(b.IPV6, b.ipv6(*V6, b.extension6(b.TCP, b""), next_header=0))[:58],
    "later fragment": b.ethernet(b.IPV4, b.ipv4(*V4, b.tcp(1, 2), protocol=b.TCP, offset=9)),
    "tunnel": b.ethernet(b.IPV4, b.ipv4(*V4, b.ipv6(*V6, b.tcp(5, 6), next_header=b.TCP), protocol=41)),
    "not IP": b.ethernet(b.ARP, bytes(28)),
    "truncated": b.ethernet(b.IPV4, b"\x45\x00"),
    "malformed": b.ethernet(b.IPV4, bytes(20)),
    "empty": b"",
}


def records_of(path: Path, target: Accountant, **options: int) -> list[Row]:
    """Return the rows of a capture file."""
    rows: list[Row] = []
    with open_offline(str(path)) as source:
        while not source.exhausted:
            target.drain(source, options.get("max_frames", 1 << 20))
            rows += rows_of(target.take_packets())
    return rows


@pytest.mark.parametrize("inner", [False, True], ids=["outer", "inner"])
@pytest.mark.parametrize("max_conversations", [0, 100], ids=["hosts", "conversations"])
def test_every_frame_has_its_record_in_its_order(tmp_path: Path, max_conversations: int, *, inner: bool) -> None:
    sent = [Frame(T0 + 1000 * n, 64 + n, 1, data) for n, data in enumerate([*FRAMES.values()] * 9)]
    path = tmp_path / "x.pcap"
    path.write_bytes(b.pcap_file(sent))
    target = make_accountant(inner=inner, packet_log=True, max_conversations=max_conversations)
    assert records_of(path, target) == [expected_row(frame, inner=inner) for frame in sent]
    assert target.packets_dropped == 0


@settings(max_examples=100, deadline=None)
@given(sent=st.lists(damaged_frames(), max_size=4), inner=st.booleans())
def test_engines_keep_the_same_records(sent: list[Frame], inner: bool) -> None:
    targets = [make_accountant(engine, inner=inner, packet_log=True) for engine in ("native", "reference")]
    for frame in sent:
        for target in targets:
            target.account(frame)
    native, reference = (target.take_packets() for target in targets)
    assert native.tobytes() == reference.tobytes()
    assert rows_of(native) == [expected_row(frame, inner=inner) for frame in sent]


def test_link_type_that_is_not_ethernet(tmp_path: Path) -> None:
    sent = [Frame(T0, 50, 8, bytes(16) + b.ipv4(*V4, b.tcp(1, 2), protocol=b.TCP)), Frame(T0 + 1000, 60, 8, b"\x00")]
    path = tmp_path / "slip.pcap"
    path.write_bytes(b.pcap_file(sent, link_type=8))
    assert records_of(path, make_accountant(packet_log=True)) == [expected_row(frame) for frame in sent]


def test_records_change_no_sums(tmp_path: Path, accountant: Callable[..., Accountant]) -> None:
    sent = [Frame(T0 + 1000 * n, 64 + n, 1, data) for n, data in enumerate(FRAMES.values())]
    path = tmp_path / "x.pcap"
    path.write_bytes(b.pcap_file(sent))
    with_log, without = accountant(packet_log=True), accountant()
    records_of(path, with_log)
    assert len(records_of(path, without)) == 0
    assert with_log.first_ts_ns == without.first_ts_ns == T0


def test_drain_reads_no_more_than_there_is_room_for(tmp_path: Path, accountant: Callable[..., Accountant]) -> None:
    path = tmp_path / "x.pcap"
    file = b.pcap_file([Frame(T0, 60, 1, FRAMES["not IP"])])
    path.write_bytes(file[:24] + file[24:] * (MAX_RECORDS + 5))
    target = accountant(packet_log=True)
    with open_offline(str(path)) as source:
        assert [target.drain(source, 1 << 30) for _ in range(2)] == [MAX_RECORDS, 0]
        assert not source.exhausted
        assert len(target.take_packets()) == MAX_RECORDS
        assert target.drain(source, 1 << 30) == 5
    assert len(target.take_packets()) == 5
    assert target.packets_dropped == 0


def test_account_without_room_drops_and_counts(accountant: Callable[..., Accountant]) -> None:
    target = accountant(packet_log=True)
    frame = Frame(T0, 60, 1, FRAMES["not IP"])
    for _ in range(MAX_RECORDS + 3):
        target.account(frame)
    assert (len(target.take_packets()), target.packets_dropped) == (MAX_RECORDS, 3)
    target.account(frame)
    assert (len(target.take_packets()), target.packets_dropped) == (1, 3)


# Text.


def parsed(text: bytes | bytearray) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text.decode())))


@settings(max_examples=100, deadline=None)
@given(sent=st.lists(damaged_frames(), max_size=4))
def test_text_says_what_the_records_say(sent: list[Frame]) -> None:
    target = make_accountant(packet_log=True)
    for frame in sent:
        target.account(frame)
    records = target.take_packets()
    assert parsed(format_packets(records)) == [expected_row(frame).cells() for frame in sent]


@given(st.integers(-(2**63), 2**63 - 1))
def test_times(ts_ns: int) -> None:
    records = np.zeros(3, PACKET_DTYPE)
    records["ts_ns"] = [ts_ns, 0, ts_ns]
    assert [row[0] for row in parsed(format_packets(records))] == [time_text(ts) for ts in (ts_ns, 0, ts_ns)]


@pytest.mark.parametrize(
    "address",
    ["::", "::1", "1::", "::1:0:0:2", "1:0:0:2::3", "1:0:2:0:3:0:4:0", "::ffff", "::0.1.0.0", "::1.2.3.4", "0:1:2:3:4:5:6:7"],
)
def test_chosen_addresses(address: str) -> None:
    key = socket.inet_pton(socket.AF_INET6, address)
    assert texts([key]) == [socket.inet_ntop(socket.AF_INET6, key)]


GROUPS = st.one_of(st.just(0), st.integers(0, 0xFFFF))


@given(st.lists(st.lists(GROUPS, min_size=8, max_size=8).map(lambda groups: np.array(groups, ">u2").tobytes()), min_size=1))
def test_any_ipv6_address(keys: list[bytes]) -> None:
    mapped = bytes(10) + b"\xff\xff"
    assert texts(keys) == [
        socket.inet_ntop(socket.AF_INET, key[12:]) if key.startswith(mapped) else socket.inet_ntop(socket.AF_INET6, key)
        for key in keys
    ]


@given(st.lists(st.binary(min_size=4, max_size=4), min_size=1))
def test_any_ipv4_address(addresses: list[bytes]) -> None:
    keys = [bytes(10) + b"\xff\xff" + address for address in addresses]
    assert texts(keys) == [socket.inet_ntop(socket.AF_INET, address) for address in addresses]


def texts(keys: list[bytes]) -> list[str]:
    """Return addresses as the packet log writes them, alike in a row and alone."""
    records = np.zeros(len(keys), PACKET_DTYPE)
    records["dst"] = np.frombuffer(b"".join(keys), np.uint8).reshape(-1, 16)
    text, offsets = format_addresses(records, True)
    alone = [text[start:end].decode() for start, end in pairwise(offsets)]
    assert [row[3] for row in parsed(format_packets(records))] == alone
    return alone


def test_numbers_at_their_limits() -> None:
    records = np.zeros(2, PACKET_DTYPE)
    records["known"] = 7
    records[1] = (0, (255,) * 16, (255,) * 16, 2**32 - 1, 65535, 65535, 0, 7, 255, 255, 0)
    low, high = parsed(format_packets(records))
    assert low[4:] == ["0"] * 5
    assert high[4:] == ["255", "65535", "65535", "255", "4294967295"]


def test_names_of_statuses() -> None:
    records = np.zeros(len(FrameStatus), PACKET_DTYPE)
    records["status"] = list(FrameStatus)
    assert [row[1] for row in parsed(format_packets(records))] == [status.name.lower() for status in FrameStatus]


def test_no_records() -> None:
    assert format_packets(np.empty(0, PACKET_DTYPE)) == b""
    assert make_accountant().take_packets().dtype == PACKET_DTYPE


def test_records_of_another_type_are_refused() -> None:
    with pytest.raises(TypeError, match="packet records"):
        format_packets(np.zeros(1, np.uint8))
