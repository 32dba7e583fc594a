"""Every variant of every format gives the frames that were put into it."""

from __future__ import annotations

import os
import struct
from dataclasses import replace
from typing import TYPE_CHECKING

import builders as b
import pytest
from waiting import wait_until

from fastmon.capture import open_offline
from fastmon.model.frames import Frame

from .reading import FRAMES, PACKET, T0, pcapng_file, read_file, snoop_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def old_pcap(major: int, minor: int, frames: list[Frame], *, swapped: bool, byte_order: str = "<") -> bytes:
    """Return a pcap file as programs before libpcap 0.4 wrote it; `swapped`: wire length before captured length."""
    file = struct.pack(byte_order + "IHHiIII", 0xA1B2C3D4, major, minor, 0, 0, 65535, 1)
    for frame in frames:
        lengths = (frame.wire_len, len(frame.data)) if swapped else (len(frame.data), frame.wire_len)
        file += struct.pack(byte_order + "IIII", frame.ts_ns // 10**9, frame.ts_ns % 10**9 // 1000, *lengths) + frame.data
    return file


def longer_pcap(extra: int, frames: list[Frame], *, modified: bool = False, byte_order: str = "<") -> bytes:
    """Return a pcap file whose records' headers are `extra` bytes longer than the format's."""
    file = struct.pack(byte_order + "IHHiIII", 0xA1B2CD34 if modified else 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)
    for frame in frames:
        times = (frame.ts_ns // 10**9, frame.ts_ns % 10**9 // 1000)
        header = struct.pack(byte_order + "IIII", *times, len(frame.data), frame.wire_len)
        file += header + struct.pack(byte_order + "IHBBI", 2, 0x0800, 0, 0, 99)[:extra] + frame.data
    return file


LONGER = [frame for frame in FRAMES if frame.data] * 2
LONGER_FILES = {
    "Nokia": lambda frames, byte_order: longer_pcap(4, frames, byte_order=byte_order),
    "Red Hat 6.1": lambda frames, byte_order: longer_pcap(8, frames, byte_order=byte_order),
    "SuSE 6.3": lambda frames, byte_order: longer_pcap(12, frames, modified=True, byte_order=byte_order),
    "modified": lambda frames, byte_order: longer_pcap(8, frames, modified=True, byte_order=byte_order),
    "plain": lambda frames, byte_order: longer_pcap(0, frames, byte_order=byte_order),
}
"""No magic number tells how long the headers are."""


@pytest.mark.parametrize("n_frames", [0, 1, 2, 3, 8])
@pytest.mark.parametrize("byte_order", ["<", ">"])
@pytest.mark.parametrize("name", LONGER_FILES)
def test_records_with_longer_headers(name: str, byte_order: str, n_frames: int, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(LONGER_FILES[name](LONGER[:n_frames], byte_order))
    assert read_file(tmp_path / "x") == (LONGER[:n_frames], None)


@pytest.mark.parametrize("name", LONGER_FILES)
def test_longer_headers_in_a_pipe_that_begins_slowly(name: str) -> None:
    file = LONGER_FILES[name](LONGER, "<")
    source, target = os.pipe()
    try:
        os.write(target, file[:40])  # ends within the first record's header
        with open_offline(f"/dev/fd/{source}") as capture:
            assert capture.read(10) == []
            os.write(target, file[40:])
            os.close(target)
            frames: list[Frame] = []

            def are_there() -> bool:
                frames.extend(capture.read(10))
                return capture.exhausted

            wait_until(are_there, "the end")
        assert frames == LONGER
    finally:
        os.close(source)


@pytest.mark.parametrize("n_frames", [1, 2, 8])
@pytest.mark.parametrize("name", LONGER_FILES)
def test_longer_headers_among_other_files(name: str, n_frames: int, tmp_path: Path) -> None:
    frames = LONGER[:n_frames]
    (tmp_path / "x").write_bytes(b.pcap_file(FRAMES) + LONGER_FILES[name](frames, "<") + pcapng_file(FRAMES))
    assert read_file(tmp_path / "x") == (FRAMES + frames + FRAMES, None)


@pytest.mark.parametrize("data", [bytes(60), PACKET, b"\xff" * 60], ids=["zeros", "a packet", "ones"])
@pytest.mark.parametrize("gap_s", [0, 1, 86400, 3 * 366 * 86400])
@pytest.mark.parametrize("cut", [0, 5, 30])
def test_usual_headers_are_never_taken_for_longer_ones(cut: int, gap_s: int, data: bytes, tmp_path: Path) -> None:
    frames = [Frame(T0 + n * gap_s * 10**9, 40, 1, data) for n in range(4)]  # captured more than there was
    file = b.pcap_file(frames, snaplen=20)
    (tmp_path / "x").write_bytes(file[: len(file) - cut])
    assert read_file(tmp_path / "x").frames == frames[: 4 - (cut > 0)]


def rich_pcapng(byte_order: str) -> bytes:
    """Return a pcapng file with everything in it that is to be passed over."""
    file = b.PcapngFile(byte_order)
    pack = struct.Struct(byte_order + "HH").pack
    comment = pack(1, 5) + b"hello" + bytes(3)
    file.block(4, b"names")
    file.block(1, struct.pack(byte_order + "HHI", 1, 0, 0) + comment + pack(2, 4) + b"eth0")  # its options have no end
    file.block(0x80000001, b"private")
    for frame in FRAMES:
        times = struct.pack(byte_order + "II", frame.ts_ns // 1000 >> 32, frame.ts_ns // 1000 & 0xFFFFFFFF)
        body = struct.pack(byte_order + "I", 0) + times + struct.pack(byte_order + "II", len(frame.data), frame.wire_len)
        file.block(6, body + frame.data + bytes(-len(frame.data) % 4) + comment + pack(0, 0))
        file.block(5, bytes(12))
        file.block(0x0BAD, bytes(1001))
    return bytes(file)


def obsolete_pcapng(byte_order: str) -> bytes:
    file = b.PcapngFile(byte_order)
    file.interface()
    for frame in FRAMES:
        file.obsolete_packet(frame)
    return bytes(file)


def many_sections() -> bytes:
    """Return FRAMES, each in a section of its own byte order, in which its interface is the second, with a clock of its own."""
    file = b.PcapngFile()
    for number, frame in enumerate(FRAMES):
        file.section("<>"[number % 2])
        file.interface(113)
        file.packet(frame, file.interface(ts_resolution=6 + 3 * (number % 2), ts_offset_s=1_000_000 * (1 - number)))
    return bytes(file)


FILES: dict[str, Callable[[], bytes]] = {
    "pcap": lambda: b.pcap_file(FRAMES),
    "pcap, big-endian": lambda: b.pcap_file(FRAMES, byte_order=">"),
    "pcap, nanoseconds": lambda: b.pcap_file(FRAMES, nanoseconds=True),
    "pcap, nanoseconds, big-endian": lambda: b.pcap_file(FRAMES, nanoseconds=True, byte_order=">"),
    "pcap, modified": lambda: b.pcap_file(FRAMES, modified=True),
    "pcap, modified, big-endian": lambda: b.pcap_file(FRAMES, modified=True, byte_order=">"),
    "pcap, with an FCS length of 0": lambda: b.pcap_file(FRAMES, link_type=0x04000001),
    "pcap, whose FCS length is not known": lambda: b.pcap_file(FRAMES, link_type=0x20000001),
    "pcap 2.2": lambda: old_pcap(2, 2, FRAMES, swapped=True),
    "pcap 2.3": lambda: old_pcap(2, 3, FRAMES, swapped=False),
    "pcap 2.3, lengths swapped": lambda: old_pcap(2, 3, FRAMES, swapped=True),
    "pcap 543.0, lengths swapped": lambda: old_pcap(543, 0, FRAMES, swapped=True, byte_order=">"),
    "pcap, snaplen below its frames": lambda: b.pcap_file(FRAMES, snaplen=1),
    "pcapng": lambda: pcapng_file(FRAMES),
    "pcapng, big-endian": lambda: pcapng_file(FRAMES, ">"),
    "pcapng, obsolete packets": lambda: obsolete_pcapng("<"),
    "pcapng, obsolete packets, big-endian": lambda: obsolete_pcapng(">"),
    "pcapng, other blocks and options": lambda: rich_pcapng("<"),
    "pcapng, other blocks and options, big-endian": lambda: rich_pcapng(">"),
    "pcapng, many sections": many_sections,
    "snoop": lambda: snoop_file(FRAMES),
    "snoop, padded": lambda: snoop_file(FRAMES, padding=3),
}


@pytest.mark.parametrize("name", FILES)
def test_frames_come_as_they_were_put_in(name: str, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(FILES[name]())
    assert read_file(tmp_path / "x") == (FRAMES, None)


@pytest.mark.parametrize("name", ["pcap", "pcapng", "snoop"])
def test_file_without_frames(name: str, tmp_path: Path) -> None:
    empty = {"pcap": b.pcap_file([]), "pcapng": pcapng_file([]), "snoop": snoop_file([])}
    (tmp_path / "x").write_bytes(empty[name])
    assert read_file(tmp_path / "x") == ([], None)


@pytest.mark.parametrize(("snoop_link_type", "link_type"), [(0, 1), (2, 6), (4, 1), (8, 10)])
def test_link_types_of_snoop_become_those_of_pcap(snoop_link_type: int, link_type: int, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(snoop_file(FRAMES, link_type=snoop_link_type))
    assert {frame.link_type for frame in read_file(tmp_path / "x").frames} == {link_type}


def test_link_type_is_the_low_half_of_its_field(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b.pcap_file([replace(FRAMES[0], link_type=276)], link_type=0xF4000114))
    assert [frame.link_type for frame in read_file(tmp_path / "x").frames] == [276]


class TestPcapng:
    def test_interfaces_have_link_types_of_their_own(self, tmp_path: Path) -> None:
        file, frames = b.PcapngFile(), [replace(FRAMES[0], link_type=link_type) for link_type in (1, 113, 101, 0, 113)]
        for frame in frames:
            file.packet(frame, file.interface(frame.link_type))
        (tmp_path / "x").write_bytes(bytes(file))
        assert read_file(tmp_path / "x").frames == frames

    def test_section_forgets_the_interfaces_before_it(self, tmp_path: Path) -> None:
        file = b.PcapngFile()
        file.packet(FRAMES[0], file.interface(1))
        file.section(">")
        file.packet(replace(FRAMES[0], link_type=101), file.interface(101))
        (tmp_path / "x").write_bytes(bytes(file))
        assert [frame.link_type for frame in read_file(tmp_path / "x").frames] == [1, 101]

    def test_lengths_are_rounded_up_to_4(self, tmp_path: Path) -> None:
        def block(block_type: int, body: bytes) -> bytes:
            """Return a block whose length leaves out its padding, as some programs have written it."""
            length = struct.pack("<I", 12 + len(body))
            return struct.pack("<I", block_type) + length + body + bytes(-len(body) % 4) + length

        packet = struct.pack("<IIIII", 0, 0, 0, 35, 1514) + PACKET[:35]
        blocks = [block(0x0BAD, b"12345"), block(6, packet), block(0x0BAD, b"123"), block(6, packet)]
        (tmp_path / "x").write_bytes(pcapng_file([]) + b"".join(blocks))
        assert read_file(tmp_path / "x") == ([Frame(0, 1514, 1, PACKET[:35])] * 2, None)

    def test_simple_packets_have_the_time_of_the_packet_before(self, tmp_path: Path) -> None:
        file = b.PcapngFile()
        file.interface()
        for frame in (FRAMES[0], FRAMES[4]):
            file.simple_packet(replace(frame, wire_len=len(frame.data)))
            file.packet(frame)
        file.simple_packet(FRAMES[0])
        (tmp_path / "x").write_bytes(bytes(file))
        times = [0, FRAMES[0].ts_ns, FRAMES[0].ts_ns, FRAMES[4].ts_ns, FRAMES[4].ts_ns]
        assert [frame.ts_ns for frame in read_file(tmp_path / "x").frames] == times

    @pytest.mark.parametrize(("snaplen", "cap_len"), [(0, len(PACKET)), (20, 20), (len(PACKET),) * 2, (9999, len(PACKET))])
    def test_simple_packet_is_cut_at_its_interfaces_snaplen(self, snaplen: int, cap_len: int, tmp_path: Path) -> None:
        file = b.PcapngFile()
        file.interface(snaplen=snaplen)
        file.simple_packet(Frame(0, len(PACKET), 1, PACKET[:cap_len]))
        (tmp_path / "x").write_bytes(bytes(file))
        assert read_file(tmp_path / "x").frames == [Frame(0, len(PACKET), 1, PACKET[:cap_len])]

    def test_simple_packet_longer_than_its_snaplen_keeps_its_wire_length(self, tmp_path: Path) -> None:
        file = b.PcapngFile()
        file.interface(snaplen=20)
        file.simple_packet(Frame(0, 1514, 1, PACKET[:20]))
        (tmp_path / "x").write_bytes(bytes(file))
        assert read_file(tmp_path / "x").frames == [Frame(0, 1514, 1, PACKET[:20])]

    def test_link_types_that_nobody_knows_are_warned_of_beside_others(self, tmp_path: Path) -> None:
        file = b.PcapngFile()
        file.packet(FRAMES[0], file.interface(1))
        file.packet(replace(FRAMES[0], link_type=147), file.interface(147))
        file.interface(189)
        (tmp_path / "x").write_bytes(bytes(file))
        with open_offline(str(tmp_path / "x")) as source:
            while not source.exhausted:
                source.read(10)
            assert source.warnings == [
                f"{tmp_path / 'x'}: link type {name} is not supported; its frames count as undecoded"
                for name in ("USER0 (147, for private use)", "USB_LINUX (189)")
            ]


def test_first_frames_time_is_known_before_it_is_read(tmp_path: Path) -> None:
    for name, build in FILES.items():
        (tmp_path / "x").write_bytes(build())
        with open_offline(str(tmp_path / "x")) as source:
            assert source.next_ts_ns == T0, name


CHECKSUM = b"FCS!"


def checked(frame: Frame, *, n_captured: int = 4) -> Frame:
    """Return `frame` as it is captured with its checksum, of which `n_captured` bytes were captured."""
    return replace(frame, wire_len=frame.wire_len + 4, data=frame.data + CHECKSUM[:n_captured])


class TestChecksum:
    """What a file says to be the frames' checksum (FCS) is no part of them."""

    BARE = (FRAMES[0], FRAMES[2])
    SHORT = Frame(T0, 0, 1, b"")
    """Of a frame shorter than its checksum nothing is left."""

    @pytest.mark.parametrize("byte_order", ["<", ">"])
    @pytest.mark.parametrize("modified", [False, True])
    def test_length_in_the_header_of_a_pcap_file(self, byte_order: str, modified: bool, tmp_path: Path) -> None:
        frames = [*map(checked, self.BARE), Frame(T0, 3, 1, b"abc")]
        file = b.pcap_file(frames, link_type=0x24000001, byte_order=byte_order, modified=modified)
        (tmp_path / "x").write_bytes(file)
        assert read_file(tmp_path / "x") == ([*self.BARE, self.SHORT], None)

    @pytest.mark.parametrize("n_captured", [0, 2, 4])
    def test_checksum_that_was_not_captured_whole(self, n_captured: int, tmp_path: Path) -> None:
        cut = FRAMES[1]
        frames = [checked(self.BARE[0], n_captured=n_captured), replace(cut, wire_len=cut.wire_len + 4)]
        (tmp_path / "x").write_bytes(b.pcap_file(frames, link_type=0x24000001))
        assert read_file(tmp_path / "x") == ([self.BARE[0], cut], None)

    @pytest.mark.parametrize("byte_order", ["<", ">"])
    @pytest.mark.parametrize("length", [32, 4], ids=["bits", "bytes"])
    def test_length_of_an_interface(self, byte_order: str, length: int, tmp_path: Path) -> None:
        file = b.PcapngFile(byte_order)
        file.interface(fcs_length=length)
        file.interface()
        file.packet(checked(self.BARE[0]))
        file.packet(self.BARE[1], interface=1)
        file.obsolete_packet(checked(self.BARE[1]))
        file.simple_packet(checked(self.BARE[0]))
        (tmp_path / "x").write_bytes(bytes(file))
        frames, error = read_file(tmp_path / "x")
        assert ([frame.wire_len for frame in frames], error) == (
            [frame.wire_len for frame in (*self.BARE, *self.BARE[::-1])],
            None,
        )
        assert [frame.data for frame in frames] == [frame.data for frame in (*self.BARE, *self.BARE[::-1])]

    @pytest.mark.parametrize("byte_order", ["<", ">"])
    def test_length_of_a_packet_goes_before_its_interfaces(self, byte_order: str, tmp_path: Path) -> None:
        file = b.PcapngFile(byte_order)
        file.interface(fcs_length=16)
        two = replace(self.BARE[0], wire_len=self.BARE[0].wire_len + 2)
        file.packet(checked(self.BARE[0]), flags=4 << 5 | 1)
        file.packet(two, flags=1)  # says nothing of its checksum
        file.packet(two)
        (tmp_path / "x").write_bytes(bytes(file))
        assert read_file(tmp_path / "x") == ([self.BARE[0]] * 3, None)

    def test_options_that_are_damaged_say_nothing(self, tmp_path: Path) -> None:
        file = b.PcapngFile()
        file.interface()
        file.packet(self.BARE[0], options=b"\x01\0\xff\xff" + b"\x02\0\x04\0\x80\0\0\0")
        file.packet(self.BARE[1], options=b"\x02\0")
        file.packet(self.BARE[1], options=bytes(4) + b"\x02\0\x04\0\x80\0\0\0")
        (tmp_path / "x").write_bytes(bytes(file))
        assert read_file(tmp_path / "x") == ([self.BARE[0], self.BARE[1], self.BARE[1]], None)
