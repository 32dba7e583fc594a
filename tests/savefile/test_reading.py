"""Reading: buffers' ends, bounds in time and number, filters, and captures that are closed."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import TYPE_CHECKING

import builders as b
import pytest
from replays import drain, finish, replay

from fastmon.accounting import make_accountant
from fastmon.capture import open_offline
from fastmon.errors import CaptureError, ClosedCaptureError, ConfigError, UnsupportedLinkTypeError
from fastmon.model.frames import Frame

from .reading import FRAMES, PACKET, T0, pcapng_file, read_file, read_frames, snoop_file

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastmon.capture import FileCapture

LONGEST = 262_144
CHUNK = 6 + (1 << 20)
"""What the reader takes at first: the magic number, then as much as it ever takes at once."""

BUILDERS: dict[str, Callable[[list[Frame]], bytes]] = {"pcap": b.pcap_file, "pcapng": pcapng_file, "snoop": snoop_file}


@pytest.fixture(params=BUILDERS)
def build(request: pytest.FixtureRequest) -> Callable[[list[Frame]], bytes]:
    return BUILDERS[request.param]


class TestBuffers:
    def test_longest_frames(self, build: Callable[[list[Frame]], bytes], tmp_path: Path) -> None:
        numbers = random.Random(1)
        frames = [Frame(T0, LONGEST, 1, PACKET + numbers.randbytes(LONGEST - len(PACKET))) for _ in range(5)]
        (tmp_path / "x").write_bytes(build(frames))
        assert read_file(tmp_path / "x") == (frames, None)

    def test_frames_across_the_ends_of_the_buffer(self, build: Callable[[list[Frame]], bytes], tmp_path: Path) -> None:
        numbers = random.Random(2)
        lengths = [numbers.choice([0, 1, 60, 1500, 70_000, LONGEST]) for _ in range(60)]
        frames = [Frame(T0 + n * 1000, length, 1, numbers.randbytes(length)) for n, length in enumerate(lengths)]
        (tmp_path / "x").write_bytes(build(frames))
        assert read_file(tmp_path / "x") == (frames, None)

    @pytest.mark.parametrize("n_over", range(-20, 21, 5))
    def test_record_that_ends_about_where_the_buffer_does(self, n_over: int, tmp_path: Path) -> None:
        lengths = [200_000] * 5
        lengths += [CHUNK + n_over - 24 - 5 * 200_016 - 16, 60, 60]
        frames = [Frame(T0, length, 1, bytes(length)) for length in lengths]
        (tmp_path / "x").write_bytes(b.pcap_file(frames))
        with open_offline(str(tmp_path / "x")) as capture:
            assert capture.next_ts_ns == T0
            assert capture.position_bytes == CHUNK
        assert read_file(tmp_path / "x") == (frames, None)

    def test_longest_block_is_read_and_longer_unknown_ones_are_passed_over(self, tmp_path: Path) -> None:
        file = b.PcapngFile()
        file.interface()
        file.block(0x0BAD, bytes(17 << 20))
        file.block(6, bytes(12) + bytes([1, 0, 0, 0, 1, 0, 0, 0]) + bytes((16 << 20) - 32))
        file.packet(FRAMES[0])
        (tmp_path / "x").write_bytes(bytes(file))
        assert read_file(tmp_path / "x").frames == [Frame(0, 1, 1, b"\0"), FRAMES[0]]

    def test_huge_unknown_block_is_passed_over_without_memory(self, tmp_path: Path) -> None:
        def most_resident() -> int:
            (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
            return int(line.split()[1]) * 1024

        n_bytes = 1 << 30
        length = (12 + n_bytes).to_bytes(4, "little")
        with (tmp_path / "x").open("wb") as file:  # sparse
            file.write(pcapng_file([FRAMES[0]]) + b"\xad\x0b\0\0" + length)
            file.seek(n_bytes, os.SEEK_CUR)
            file.write(length + pcapng_file([FRAMES[1]]))
        before = most_resident()
        assert read_frames(tmp_path / "x") == (FRAMES[:2], None)
        assert most_resident() - before < 16 << 20


class TestBounds:
    @pytest.fixture
    def source(self, build: Callable[[list[Frame]], bytes], tmp_path: Path) -> FileCapture:
        """Return frames at 1, 2, ... 9 µs."""
        (tmp_path / "x").write_bytes(build([Frame(n * 1000, 60, 1, PACKET) for n in range(1, 10)]))
        return open_offline(str(tmp_path / "x"))

    def test_stops_before_the_frame_at_the_time(self, source: FileCapture) -> None:
        target = make_accountant()
        with source:
            for until_ns, n_frames, next_ts_ns in ((1000, 0, 1000), (1001, 1, 2000), (5000, 3, 5000), (5000, 0, 5000)):
                assert target.drain(source, 100, until_ns) == n_frames
                assert source.next_ts_ns == next_ts_ns
                assert not source.exhausted
            assert [frame.ts_ns for frame in source.read(100, 7000)] == [5000, 6000]
            assert target.drain(source, 100, 2**62) == 3
            assert source.next_ts_ns is None
            assert source.exhausted
        assert finish(target).counters.ip.frames == 7

    def test_stops_at_the_number_of_frames(self, source: FileCapture) -> None:
        target = make_accountant()
        with source:
            assert [target.drain(source, max_frames) for max_frames in (0, 1, 5, 0)] == [0, 1, 5, 0]
            assert len(source.read(0)) == 0
            assert len(source.read(2)) == 2
            assert target.drain(source, 100) == 1
        assert finish(target).counters.ip.frames == 7

    def test_looking_at_the_next_time_consumes_nothing(self, source: FileCapture) -> None:
        with source:
            assert [source.next_ts_ns for _ in range(3)] == [1000] * 3
            assert drain(make_accountant(), source) == 9

    def test_position_goes_from_0_to_the_size(self, source: FileCapture) -> None:
        with source:
            drain(make_accountant(), source)
            assert source.position_bytes == source.size_bytes == Path(source.name).stat().st_size


class TestFilters:
    @pytest.fixture
    def capture(self, tmp_path: Path) -> Path:
        (tmp_path / "x").write_bytes(b.pcap_file(FRAMES))
        return tmp_path / "x"

    def test_only_matching_frames_are_read(self, capture: Path) -> None:
        assert read_frames(capture, filter="arp").frames == [FRAMES[2]]
        summary, _ = replay(capture, make_accountant(), filter="arp")
        assert (summary.counters.frames.frames, summary.counters.non_ip.frames) == (1, 1)

    def test_filter_sees_wire_lengths(self, capture: Path) -> None:
        assert read_frames(capture, filter="greater 1500").frames == [FRAMES[1], FRAMES[4]]

    def test_empty_filter_is_none(self, capture: Path) -> None:
        assert read_frames(capture, filter="").frames == FRAMES

    def test_next_time_is_that_of_the_next_match(self, capture: Path) -> None:
        with open_offline(str(capture), filter="arp") as source:
            assert source.next_ts_ns == FRAMES[2].ts_ns

    @pytest.mark.parametrize("filter", ["no such filter", "ip and", "port 99999", "ip\0", "\udcff"])
    @pytest.mark.parametrize("frames", [FRAMES, []], ids=["frames", "no frames"])
    def test_wrong_filter_is_refused_at_once(self, filter: str, frames: list[Frame], tmp_path: Path) -> None:
        (tmp_path / "x").write_bytes(b.pcap_file(frames))
        with pytest.raises(ConfigError, match="filter"):
            open_offline(str(tmp_path / "x"), filter=filter)

    def test_loopback_families_of_all_systems_match_in_either_byte_order(self, tmp_path: Path) -> None:
        packets = [(2, b.ipv4("10.0.0.1", "10.0.0.2")), *((family, b.ipv6("::1", "::1")) for family in (24, 28, 30))]
        for byte_order in "<>":
            frames = [Frame(T0, 60, 0, b.null(family, packet, byte_order=byte_order)) for family, packet in packets]
            for file in (b.pcap_file(frames, link_type=0, byte_order=byte_order), pcapng_file(frames, byte_order, link_type=0)):
                (tmp_path / "x").write_bytes(file)
                assert read_frames(tmp_path / "x", filter="ip").frames == frames[:1]
                assert read_frames(tmp_path / "x", filter="ip6").frames == frames[1:]

    def test_filter_is_compiled_for_every_link_type(self, tmp_path: Path) -> None:
        file = b.PcapngFile()
        raw = [Frame(T0, 60, 101, b.ipv4("10.0.0.1", "10.0.0.2")), Frame(T0, 60, 101, b.ipv6("::1", "::2"))]
        for frame in FRAMES[:3] + raw:
            file.packet(frame, file.interface(frame.link_type))
        (tmp_path / "x").write_bytes(bytes(file))
        assert read_frames(tmp_path / "x", filter="ip").frames == [*FRAMES[:2], raw[0]]

    def test_filter_that_a_later_link_type_has_not_ends_the_reading(self, tmp_path: Path) -> None:
        file = b.PcapngFile()
        file.interface(1)
        file.interface(239)
        file.packet(FRAMES[0])
        file.packet(FRAMES[0], 1)
        (tmp_path / "x").write_bytes(bytes(file))
        summary, error = replay(tmp_path / "x", make_accountant(), filter="ip")
        assert summary.counters.ip.frames == 1
        assert f"{tmp_path / 'x'}: link type 239: filter 'ip': " in str(error)

    def test_records_before_damage_are_told_with_those_filtered_out(self, tmp_path: Path) -> None:
        (tmp_path / "x").write_bytes(b.pcap_file(FRAMES)[:-1])
        frames, error = read_frames(tmp_path / "x", filter="arp")
        assert frames == [FRAMES[2]]
        assert "after 4 records" in str(error)


class TestLinkTypes:
    def test_unknown_one_is_refused_by_name_and_number(self, tmp_path: Path) -> None:
        for link_type, described in (
            (187, "BLUETOOTH_HCI_H4 (187)"),
            (147, "USER0 (147, for private use)"),
            (65535, "unknown (65535)"),
        ):
            for file in (b.pcap_file(FRAMES, link_type=link_type), pcapng_file(FRAMES, link_type=link_type)):
                (tmp_path / "x").write_bytes(file)
                with pytest.raises(UnsupportedLinkTypeError) as caught:
                    open_offline(str(tmp_path / "x"))
                assert str(caught.value) == f"{tmp_path / 'x'}: link type {described} is not supported"

    def test_frames_of_two_link_types_in_turn(self, tmp_path: Path) -> None:
        file = b.PcapngFile()
        slip, raw = file.interface(8), file.interface(101)
        packet = b.ipv4("10.0.0.1", "10.0.0.2")
        for number, interface in enumerate((slip, raw, raw, slip, slip)):
            file.packet(Frame(T0 + number * 1000, 100, 0, bytes(16 if interface == slip else 0) + packet), interface)
        (tmp_path / "x").write_bytes(bytes(file))
        for max_frames in (1, 2, 100):
            target = make_accountant()
            summary, error = replay(tmp_path / "x", target, max_frames=max_frames)
            assert error is None
            assert (target.first_ts_ns, target.last_ts_ns) == (T0, T0 + 4000)
            assert (summary.counters.ip.frames, len(summary)) == (5, 2)


class TestClosed:
    def test_closed_capture_is_not_read(self, tmp_path: Path) -> None:
        (tmp_path / "x").write_bytes(b.pcap_file(FRAMES))
        source = open_offline(str(tmp_path / "x"))
        source.close()
        source.close()
        with pytest.raises(ClosedCaptureError, match="the capture is closed"):
            source.read(1)
        with pytest.raises(ClosedCaptureError, match="the capture is closed"):
            make_accountant().drain(source, 1)
        assert source.next_ts_ns is None
        assert source.exhausted

    def test_nothing_stays_open(self, tmp_path: Path) -> None:
        (tmp_path / "x").write_bytes(b.pcap_file(FRAMES))
        (tmp_path / "text").write_text("no capture")
        before = list(Path("/proc/self/fd").iterdir())
        open_offline(str(tmp_path / "x")).close()
        for path, filter in ((tmp_path / "text", None), (tmp_path / "x", "no such filter"), (tmp_path, None)):
            with pytest.raises((CaptureError, ConfigError)):
                open_offline(str(path), filter=filter)
        assert list(Path("/proc/self/fd").iterdir()) == before
