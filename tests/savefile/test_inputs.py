"""What the bytes of a capture come from: files, pipes, compressed files, and things that are none of these."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import sys
import threading
import zlib
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING

import builders as b
import lz4.frame
import pytest
from replays import replay
from waiting import wait_until

from fastmon.accounting import make_accountant
from fastmon.capture import open_offline
from fastmon.errors import CaptureError, TruncatedCaptureError
from fastmon.model.frames import Frame
from fastmon.native.readers import SavefileReader

from .reading import FRAMES, PACKET, T0, read_file

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

NOBODY = 65534
MANY = [Frame(T0 + n * 1000, 60 + n, 1, PACKET + n.to_bytes(2, "big") * (n % 50)) for n in range(3000)]
FILE = b.pcap_file(MANY)


def error_at(path: Path | str) -> str:
    with pytest.raises(CaptureError) as caught:
        open_offline(str(path))
    return str(caught.value)


class TestNoCapture:
    def test_empty_file(self, tmp_path: Path) -> None:
        (tmp_path / "x").touch()
        assert error_at(tmp_path / "x") == f"{tmp_path / 'x'}: the file is empty"
        assert error_at("/dev/null") == "/dev/null: the file is empty"

    def test_text_file(self, tmp_path: Path) -> None:
        (tmp_path / "x").write_text("just some text, and more than a header of it\n")
        assert "not a capture file: it begins with 0x6a757374" in error_at(tmp_path / "x")

    def test_less_than_a_magic_number(self, tmp_path: Path) -> None:
        (tmp_path / "x").write_bytes(b"\xd4\xc3")
        assert error_at(tmp_path / "x") == f"{tmp_path / 'x'}: the file ends in the middle of its header"

    def test_directory(self, tmp_path: Path) -> None:
        assert error_at(tmp_path) == f"{tmp_path}: is a directory"

    def test_missing_file(self, tmp_path: Path) -> None:
        assert error_at(tmp_path / "x") == f"{tmp_path / 'x'}: no such file or directory"

    def test_name_with_a_nul_character(self) -> None:
        assert "embedded null" in error_at("a\0b")

    @pytest.mark.usefixtures("ordinary_user")
    def test_file_that_may_not_be_read(self) -> None:
        with NamedTemporaryFile() as file:
            os.fchmod(file.fileno(), 0)
            assert error_at(file.name) == f"{file.name}: permission denied"

    @pytest.fixture
    def ordinary_user(self) -> Iterator[None]:
        """Let root, who may read anything, be nobody."""
        user = os.geteuid()
        if user == 0:
            os.seteuid(NOBODY)
        yield
        os.seteuid(user)

    def test_read_error(self, tmp_path: Path) -> None:
        fd = os.open(tmp_path, os.O_RDONLY)
        with pytest.raises(CaptureError, match=r"^x: Is a directory$"):
            SavefileReader(fd, "x").open()
        os.close(fd)

    def test_descriptor_that_is_not_open_for_reading(self, tmp_path: Path) -> None:
        """Once a reader waited for it for ever."""
        fd = os.open(tmp_path / "x", os.O_WRONLY | os.O_CREAT)
        source, target = os.pipe()
        os.close(source)
        closed = source
        for wrong in (fd, target, closed, -1, 1 << 30):
            with pytest.raises(CaptureError, match=f"^x: descriptor {wrong} is not open for reading$"):
                SavefileReader(wrong, "x")
        os.close(fd)
        os.close(target)

    def test_closed_standard_input(self) -> None:
        kept = os.dup(0)
        os.close(0)
        try:
            assert error_at("-") == "standard input: bad file descriptor"
        finally:
            os.dup2(kept, 0)
            os.close(kept)


class TestPipes:
    def test_fifo(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "fifo")
        writer = threading.Thread(target=(tmp_path / "fifo").write_bytes, args=(FILE,))
        writer.start()
        summary, error = replay(tmp_path / "fifo", make_accountant())
        writer.join()
        assert error is None
        assert summary.counters.ip.frames == len(MANY)

    def test_frames_are_accounted_as_they_come(self) -> None:
        source, target = os.pipe()
        file, accountant = b.pcap_file(FRAMES[:2]), make_accountant()
        try:
            os.write(target, file[:30])
            with open_offline(f"/dev/fd/{source}") as capture:
                assert accountant.drain(capture, 10) == 0
                assert not capture.exhausted
                assert capture.next_ts_ns is None
                os.write(target, file[30:-1])
                assert wait_until(lambda: accountant.drain(capture, 10), "the first frame") == 1
                os.write(target, file[-1:])
                assert wait_until(lambda: capture.next_ts_ns, "the second frame") == FRAMES[1].ts_ns
                os.close(target)
                assert accountant.drain(capture, 10) == 1
                assert wait_until(lambda: accountant.drain(capture, 10) == 0 and capture.exhausted, "the end")
                assert capture.size_bytes is None
                assert capture.position_bytes == len(file)
        finally:
            os.close(source)

    def test_pipe_that_breaks_off(self) -> None:
        source, target = os.pipe()
        os.write(target, b.pcap_file(FRAMES)[:-1])
        os.close(target)
        summary, error = replay(f"/dev/fd/{source}", make_accountant())
        os.close(source)
        assert summary.counters.frames.frames == len(FRAMES) - 1
        assert type(error) is TruncatedCaptureError


def inflated(packed: bytes) -> bytes:
    return zlib.decompressobj(31).decompress(packed)


def unpacked_lz4(packed: bytes) -> bytes:
    data: bytes = lz4.frame.LZ4FrameDecompressor().decompress(packed)
    return data


def checked_lz4(data: bytes) -> bytes:
    packed: bytes = lz4.frame.compress(data, content_checksum=True, block_checksum=True)
    return packed


def unpacked_zstd(packed: bytes) -> bytes:
    return zstd.ZstdDecompressor().decompress(packed)


COMPRESSIONS: dict[str, tuple[Callable[[bytes], bytes], Callable[[bytes], bytes]]] = {
    "gzip": (gzip.compress, inflated),
    "zstd": (zstd.compress, unpacked_zstd),
    "xz": (lzma.compress, lambda packed: lzma.LZMADecompressor().decompress(packed)),
    "bzip2": (lambda data: bz2.compress(data, 1), lambda packed: bz2.BZ2Decompressor().decompress(packed)),
    "lz4": (checked_lz4, unpacked_lz4),
}


@pytest.fixture(params=COMPRESSIONS)
def compression(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


class TestCompressed:
    def test_frames_and_positions(self, compression: str, tmp_path: Path) -> None:
        compress, _ = COMPRESSIONS[compression]
        (tmp_path / "x").write_bytes(compress(FILE))
        assert read_file(tmp_path / "x") == (MANY, None)
        with open_offline(str(tmp_path / "x")) as source:
            while not source.exhausted:
                source.read(1000)
            assert source.position_bytes == source.size_bytes == len(compress(FILE))

    def test_several_members(self, compression: str, tmp_path: Path) -> None:
        compress, _ = COMPRESSIONS[compression]
        (tmp_path / "x").write_bytes(b"".join(map(compress, (FILE[:1000], b"", FILE[1000:100_001], FILE[100_001:]))))
        assert read_file(tmp_path / "x") == (MANY, None)

    @pytest.mark.parametrize("tenths", range(1, 11))
    def test_cut(self, compression: str, tenths: int, tmp_path: Path) -> None:
        compress, decompress = COMPRESSIONS[compression]
        packed = compress(FILE)
        packed = packed[: min(len(packed) * tenths // 10, len(packed) - 1)]
        (tmp_path / "whole").write_bytes(decompress(packed))
        (tmp_path / "x").write_bytes(packed)
        frames, error = read_file(tmp_path / "x")
        assert frames == (read_file(tmp_path / "whole").frames if decompress(packed) else [])
        assert type(error) is TruncatedCaptureError
        assert str(error) == f"{tmp_path / 'x'}: the compressed data end too early"

    def test_damaged_member_after_a_good_one(self, compression: str, tmp_path: Path) -> None:
        compress, _ = COMPRESSIONS[compression]
        damaged = bytearray(compress(FILE[100_000:]))
        damaged[len(damaged) // 2 :] = b"\xff" * (len(damaged) - len(damaged) // 2)
        (tmp_path / "whole").write_bytes(FILE[:100_000])
        (tmp_path / "x").write_bytes(compress(FILE[:100_000]) + damaged)
        frames, error = read_file(tmp_path / "x")
        n_certain = len(read_file(tmp_path / "whole").frames)
        assert n_certain <= len(frames) < len(MANY)
        assert frames[:n_certain] == MANY[:n_certain]
        assert f"{tmp_path / 'x'}: the compressed data are damaged: " in str(error)

    def test_rubbish_at_the_end(self, compression: str, tmp_path: Path) -> None:
        compress, _ = COMPRESSIONS[compression]
        (tmp_path / "x").write_bytes(compress(FILE) + b"rubbish, and more than a header of it")
        frames, error = read_file(tmp_path / "x")
        assert frames == MANY
        assert "the compressed data are damaged" in str(error)

    def test_checksum_of_gzip(self, tmp_path: Path) -> None:
        (tmp_path / "x").write_bytes(gzip.compress(FILE)[:-8] + bytes(8))
        frames, error = read_file(tmp_path / "x")
        assert frames == MANY
        assert "CRC check failed" in str(error)

    def test_magic_number_and_no_more(self, tmp_path: Path) -> None:
        magics = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"\xfd7zXZ\0", b"BZh", b"\x04\x22\x4d\x18")
        for data in (magic + b" and nothing of the kind" for magic in magics):
            (tmp_path / "x").write_bytes(data)
            assert "the compressed data are damaged" in error_at(tmp_path / "x")

    def test_nothing_inside(self, compression: str, tmp_path: Path) -> None:
        compress, _ = COMPRESSIONS[compression]
        (tmp_path / "x").write_bytes(compress(b""))
        assert error_at(tmp_path / "x") == f"{tmp_path / 'x'}: the file is empty"

    def test_text_inside(self, compression: str, tmp_path: Path) -> None:
        compress, _ = COMPRESSIONS[compression]
        (tmp_path / "x").write_bytes(compress(b"hello, world"))
        assert "not a capture file" in error_at(tmp_path / "x")

    def test_damaged_capture_inside(self, compression: str, tmp_path: Path) -> None:
        compress, _ = COMPRESSIONS[compression]
        (tmp_path / "x").write_bytes(compress(FILE[:-1]))
        frames, error = read_file(tmp_path / "x")
        assert frames == MANY[:-1]
        assert str(error) == f"{tmp_path / 'x'}: the file ends in the middle of a record, after {len(MANY) - 1} records"

    def test_many_records_expand_from_little(self, compression: str, tmp_path: Path) -> None:
        compress, _ = COMPRESSIONS[compression]
        frames = [Frame(T0, 1 << 18, 1, bytes(1 << 18))] * 50
        (tmp_path / "x").write_bytes(compress(b.pcap_file(frames)))
        assert read_file(tmp_path / "x") == (frames, None)


def test_zstd_that_begins_with_a_skippable_frame(tmp_path: Path) -> None:
    """As pzstd writes it."""
    (tmp_path / "x").write_bytes(b"\x50\x2a\x4d\x18\x04\0\0\0abcd" + COMPRESSIONS["zstd"][0](FILE))
    assert read_file(tmp_path / "x") == (MANY, None)


def test_xz_file_that_asks_for_much_memory(tmp_path: Path) -> None:
    greedy = [{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 1 << 30}]
    (tmp_path / "x").write_bytes(lzma.compress(FILE, filters=greedy))
    assert "the compressed data need more memory than is allowed: Memory usage limit exceeded" in error_at(tmp_path / "x")


@pytest.mark.parametrize("flags", range(32))
def test_header_of_gzip(flags: int, tmp_path: Path) -> None:
    """With every set of fields, in each of two members, and zeros behind."""
    fields = {4: b"\x03\0abc", 8: b"name\0", 16: b"a comment\0", 2: b"\x12\x34"}
    header = b"\x1f\x8b\x08" + bytes([flags]) + bytes(6) + b"".join(field for bit, field in fields.items() if flags & bit)
    half = len(FILE) // 2
    members = [header + gzip.compress(part, mtime=0)[10:] for part in (FILE[:half], FILE[half:])]
    (tmp_path / "x").write_bytes(b"".join(members) + bytes(100))
    assert read_file(tmp_path / "x") == (MANY, None)
    (tmp_path / "x").write_bytes(header[:-1] if flags & 30 else header)
    assert error_at(tmp_path / "x") == f"{tmp_path / 'x'}: the compressed data end too early"
