"""Files that are no capture that can be read are named, with what to do about them."""

from __future__ import annotations

import io
import tarfile
import zipfile
from typing import TYPE_CHECKING

import builders as b
import pytest

from fastmon import cli
from fastmon.capture import open_offline
from fastmon.errors import CaptureError

from .reading import FRAMES

if TYPE_CHECKING:
    from pathlib import Path

CONVERTED = "editcap -F pcapng converts it"
FLOWS = "it holds flows and no frames"


def zipped() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("x.pcap", b.pcap_file(FRAMES))
    return file.getvalue()


def tarred() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        info = tarfile.TarInfo("x.pcap")
        info.size = len(b.pcap_file(FRAMES))
        archive.addfile(info, io.BytesIO(b.pcap_file(FRAMES)))
    return file.getvalue()


CASES = {
    "netmon 1": (b"RTSS\1\1\1\0", f"a Microsoft Network Monitor 1 capture; {CONVERTED}"),
    "netmon 2": (b"GMBU\0\2\1\0", f"a Microsoft Network Monitor 2 capture; {CONVERTED}"),
    "sniffer": (b"TRSNIFF data    \x1a\1\0", f"a Sniffer (DOS) capture; {CONVERTED}"),
    "5view": (b"\xaa\xaa\xaa\xaa \0\0\0", f"an InfoVista 5View capture; {CONVERTED}"),
    "k12": (b"+---------+---------------+----------+\r\n", f"a K12 text file; {CONVERTED}"),
    "visual": (b"\x05VNF\x08\0\0\0", f"a Visual Networks capture; {CONVERTED}"),
    "btsnoop": (b"btsnoop\0\0\0\0\1\0\0\3\xea", "a Bluetooth (btsnoop) capture; it has no IP frames"),
    "ipfix": (b"\0\x0a\0\x20" + bytes(12) + b"\0\2\0\x10" + bytes(12), f"an IPFIX file; {FLOWS}"),
    "nfdump": (b"\x0c\xa5\1\0", f"an nfdump file; {FLOWS}"),
    "zip": (zipped(), "a zip archive; unzip -p FILE | fastmon replay - reads its capture"),
    "tar": (tarred(), "a tar archive; tar -xOf FILE | fastmon replay - reads its capture"),
    "7z": (b"7z\xbc\xaf\x27\x1c\0\4", "a 7-Zip archive; 7z e -so FILE | fastmon replay - reads its capture"),
    "compress": (b"\x1f\x9d\x90\xd4\x86", "compressed by compress (.Z); gzip -dc FILE | fastmon replay - reads it"),
    "lzip": (b"LZIP\1\x0c", "compressed by lzip; lzip -dc FILE | fastmon replay - reads it"),
    "lzma": (b"\x5d\0\0\x80\0\xff\xff\xff\xff", "compressed by lzma; xz -dc FILE | fastmon replay - reads it"),
}


@pytest.mark.parametrize("name", CASES)
def test_format_is_named(name: str, tmp_path: Path) -> None:
    beginning, text = CASES[name]
    (tmp_path / "x").write_bytes(beginning + bytes(600))
    with pytest.raises(CaptureError) as caught:
        open_offline(str(tmp_path / "x"))
    assert str(caught.value) == f"{tmp_path / 'x'}: not a capture file: this is {text}"


def test_one_line_and_the_next_file(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x").write_bytes(CASES["netmon 2"][0] + bytes(600))
    (tmp_path / "y").write_bytes(b.pcap_file(FRAMES))
    assert cli.main(["replay", str(tmp_path / "x"), str(tmp_path / "y"), "--format", "jsonl", "-i", "0"]) == 1
    out, err = capfd.readouterr()
    assert '"frames":5' in out
    assert err.count("Microsoft Network Monitor 2") == 1


def test_ipfix_needs_a_set(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"\0\x0a\0\x20" + bytes(600))
    with pytest.raises(CaptureError, match="it begins with 0x000a0020"):
        open_offline(str(tmp_path / "x"))
