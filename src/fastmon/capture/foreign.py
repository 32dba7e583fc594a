"""Files that are no capture that fastmon reads, by their first bytes: what they are, and what makes a capture of them.

What it does not do: read them.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["foreign_format"]

_EDITCAP = "editcap -F pcapng converts it"


class _Format(NamedTuple):
    """magic: at `offset`.  name: with its article.  remedy: what to do, in words."""

    magic: bytes
    name: str
    remedy: str = _EDITCAP
    offset: int = 0


_FORMATS = (
    _Format(b"RTSS", "a Microsoft Network Monitor 1 capture"),
    _Format(b"GMBU", "a Microsoft Network Monitor 2 capture"),
    _Format(b"TRSNIFF data    \x1a", "a Sniffer (DOS) capture"),
    _Format(b"XCP\0", "a Sniffer (Windows) or NetXRay capture"),
    _Format(b"VL\0\0", "a NetXRay capture"),
    _Format(b"\xaa\xaa\xaa\xaa", "an InfoVista 5View capture"),
    _Format(b"+---------+---------------+----------+", "a K12 text file"),
    _Format(b"\x00\x00\x02\x00\x12\x05\x00\x10", "a Tektronix K12 (rf5) capture"),
    _Format(b"\x05VNF", "a Visual Networks capture"),
    _Format(b"btsnoop\0", "a Bluetooth (btsnoop) capture", "it has no IP frames"),
    _Format(b"ObserverPktBuffe", "a Viavi Observer capture"),
    _Format(b"\x01\x10\x4c\x00", "a Novell LANalyzer capture"),
    _Format(b"\x54\x52\x00\x64", "an HP-UX nettl trace"),
    _Format(b"iptrace 1.0", "an AIX iptrace capture"),
    _Format(b"iptrace 2.0", "an AIX iptrace capture"),
    _Format(b"\x7fver", "an EtherPeek or OmniPeek capture"),
    _Format(b"\x1c\x00\x01\xab", "an Ixia lcap capture"),
    _Format(b"\x1c\x00\x01\xac", "an Ixia lcap capture"),
    _Format(b"\xab\x01\x00\x1c", "an Ixia lcap capture"),
    _Format(b"\xac\x01\x00\x1c", "an Ixia lcap capture"),
    _Format(b"\x0c\xa5", "an nfdump file", "it holds flows and no frames"),
    _Format(b"\xa5\x0c", "an nfdump file", "it holds flows and no frames"),
    _Format(b"\xde\xad\xbe\xef", "a SiLK file", "it holds flows and no frames"),
    _Format(b"PK\x03\x04", "a zip archive", "unzip -p FILE | fastmon replay - reads its capture"),
    _Format(b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", "7z e -so FILE | fastmon replay - reads its capture"),
    _Format(b"Rar!\x1a\x07", "a RAR archive", "unrar p -inul FILE | fastmon replay - reads its capture"),
    _Format(b"MSCF", "a Windows cabinet", "cabextract unpacks it"),
    _Format(b"ustar", "a tar archive", "tar -xOf FILE | fastmon replay - reads its capture", 257),
    _Format(b"\x1f\x9d", "compressed by compress (.Z)", "gzip -dc FILE | fastmon replay - reads it"),
    _Format(b"\x1f\x1e", "compressed by pack", "gzip -dc FILE | fastmon replay - reads it"),
    _Format(b"\x1f\xa0", "compressed by compress -H", "gzip -dc FILE | fastmon replay - reads it"),
    _Format(b"LZIP", "compressed by lzip", "lzip -dc FILE | fastmon replay - reads it"),
    _Format(b"\x89LZO\0\r\n\x1a\n", "compressed by lzop", "lzop -dc FILE | fastmon replay - reads it"),
    _Format(b"\x5d\x00\x00", "compressed by lzma", "xz -dc FILE | fastmon replay - reads it"),
    _Format(b"\x02\x21\x4c\x18", "compressed by an old lz4", "lz4 -dc FILE | fastmon replay - reads it"),
    _Format(b"\xff\x06\x00\x00sNaPpY", "compressed by Snappy", "snzip -dc FILE | fastmon replay - reads it"),
)


def foreign_format(beginning: bytes) -> str | None:
    """Return what a file with these first bytes is, and what to do with it; None if nobody knows."""
    for magic, name, remedy, offset in _FORMATS:
        if beginning.startswith(magic, offset):
            return f"{name}; {remedy}"
    if _is_ipfix(beginning):
        return "an IPFIX file; it holds flows and no frames"
    return None


def _is_ipfix(beginning: bytes) -> bool:
    """Whether an IPFIX message (RFC 7011) begins here: version 10, its length, and a set's id and length behind its header."""
    if len(beginning) < 20 or beginning[:2] != b"\x00\x0a":
        return False
    length, set_id, set_length = (int.from_bytes(beginning[at : at + 2], "big") for at in (2, 16, 18))
    return (set_id in {2, 3} or set_id >= 256) and 4 <= set_length <= length - 16
