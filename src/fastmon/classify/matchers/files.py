"""Files and remote procedure calls: SMB, ONC RPC and NFS, DCE/RPC, TFTP, rsync, git."""

from __future__ import annotations

import re

from dpkt.tftp import TFTP

from fastmon.classify.matching import UDP, Context, Expectation, Match, certain, hinted, likely, parsed
from fastmon.classify.model import Endpoint

__all__ = ["dce_rpc", "dce_rpc_datagram", "git", "rpc", "rpc_stream", "rsync", "smb", "tftp"]

NFS_PROGRAMS = {100003, 100005, 100021, 100024, 100227, 400122}
ASSIGNED_PROGRAMS = 1_000_000
"""Well-known program numbers are below (RFC 5531, section 8.3). A higher number is little evidence."""
TFTP_REQUEST = re.compile(rb"\0[\1\2][^\0]{1,255}\0(?:netascii|octet|mail)\0", re.IGNORECASE)
TFTP_OPTIONS = re.compile(rb"\0\x06(?:(?:blksize|tsize|timeout|windowsize)\0\d+\0)+$", re.IGNORECASE)
TFTP_OPTIONS_CUT = re.compile(rb"\0\x06(?:blksize|tsize|timeout|windowsize)\0", re.IGNORECASE)
TFTP_DATA, TFTP_ACKNOWLEDGEMENT = 3, 4
TFTP_CUT = re.compile(rb"\0[\1\2][ -~]{4,}\0?$")
GIT_LINE = re.compile(rb"[0-9a-f]{4}(?:git-(?:upload|receive)-(?:pack|archive) |[0-9a-f]{40} |# service=git-|version \d\n)")


def smb(data: bytes, context: Context) -> Match | None:
    """SMB 1, 2 and 3, also encrypted or compressed, after the 4 bytes of a NetBIOS session message (MS-SMB2, 2.1)."""
    if data[5:8] == b"SMB" and data[4] >= 0xFC:
        return certain("smb")
    return None


def rpc(data: bytes, context: Context) -> Match | None:
    """A call or reply of ONC RPC (RFC 5531). A reply does not name its program; the call does."""
    if data[4:7] != b"\0\0\0" or len(data) < 24:
        return None
    if data[7] == 0:
        program = int.from_bytes(data[12:16], "big")
        if data[8:12] != b"\0\0\0\2" or not 99999 < program < 0x60000000 or data[16:18] != b"\0\0" or data[20:22] != b"\0\0":
            return None
        if program in NFS_PROGRAMS:
            return certain("nfs")
        return certain("rpc") if program < ASSIGNED_PROGRAMS else likely("rpc")
    if data[7] == 1:
        accepted = data[8:12] == b"\0\0\0\0" and data[12:15] == b"\0\0\0" and data[15] <= 6 and data[16:18] == b"\0\0"
        denied = data[8:12] == b"\0\0\0\1" and data[12:15] == b"\0\0\0" and data[15] <= 1
        if accepted or denied:
            return likely(context.by_port({2049: "nfs"}) or "rpc")
    return None


def rpc_stream(data: bytes, context: Context) -> Match | None:
    """ONC RPC after a record mark (RFC 5531, section 11). A mark with the segment's length makes the match certain."""
    match = rpc(data[4:], context)
    is_sized = int.from_bytes(data[:4], "big") & 0x7FFFFFFF == len(data) - 4
    return certain(match.apps[0]) if match is not None and is_sized else match


def dce_rpc(data: bytes, context: Context) -> Match | None:
    """Connection-oriented DCE/RPC (C706, chapter 12)."""
    if data[1] > 1 or data[2] > 20 or data[4] & 0xEF or data[5] > 3 or data[6] or data[7]:
        return None
    is_little = data[4] == 0x10
    length, n_authentication = (int.from_bytes(data[at : at + 2], "little" if is_little else "big") for at in (8, 10))
    if length < 16 + n_authentication or (length != len(data) and not (length > len(data) and data[2] in {0, 2, 11, 12})):
        return None
    return certain("dcerpc") if is_little else hinted("dcerpc")


def dce_rpc_datagram(data: bytes, context: Context) -> Match | None:
    """Connectionless DCE/RPC, as PROFINET uses it (C706, chapter 12)."""
    if data[1] > 10 or data[4] & 0xEF or data[5] > 3 or data[6] or data[7] or data[2] & 0x81:
        return None
    order = data[4] & 0x10
    length = int.from_bytes(data[74:76], "little" if order else "big")
    version = int.from_bytes(data[60:64], "little" if order else "big")
    return certain("dcerpc") if 80 + length == len(data) and version < 256 else None


def tftp(data: bytes, context: Context) -> Match | None:
    """A request with a mode (RFC 1350, RFC 2347), or data and acknowledgements of consecutive blocks."""
    if data[0] or not 1 <= data[1] <= 6:
        return None
    if data[1] <= 2:
        if not TFTP_REQUEST.match(data):
            return hinted("tftp") if len(data) < 60 and TFTP_CUT.match(data) else None
        request = parsed(TFTP, data)
        name = request.filename.decode("utf-8", "backslashreplace") if request is not None else None
        # The server answers from a new port. Its payloads must look like TFTP, because a client's port has other uses, too.
        expected = Expectation("tftp", UDP, Endpoint(context.src.host, context.src.port))
        return Match(("tftp",), name=name, expects=(expected,))
    if data[1] == TFTP_DATA or (data[1] == TFTP_ACKNOWLEDGEMENT and len(data) == 4):
        return certain("tftp") if _goes_on(data, context) else hinted("tftp")
    if data[1] == 5 and data[2] == 0 and data[3] <= 8 and data.endswith(b"\0") and data[4:-1].isascii():
        return hinted("tftp")
    if data[1] == 6 and TFTP_OPTIONS.match(data):
        return certain("tftp")
    return hinted("tftp") if TFTP_OPTIONS_CUT.match(data) else None


def _goes_on(data: bytes, context: Context) -> bool:
    """Return whether a block, or an acknowledgement, continues what either side sent last. Remember it."""
    kind, block = data[1], data[2] << 8 | data[3]
    memory = context.memory
    is_answer = memory.get(("tftp", not context.from_a)) == (
        (TFTP_ACKNOWLEDGEMENT, (block - 1) & 0xFFFF) if kind == TFTP_DATA else (TFTP_DATA, block)
    )
    is_next = memory.get(("tftp", context.from_a)) == (kind, (block - 1) & 0xFFFF)
    memory["tftp", context.from_a] = kind, block
    return is_answer or is_next


def rsync(data: bytes, context: Context) -> Match | None:
    """The greeting of the daemon."""
    return certain("rsync") if data.startswith(b"@RSYNCD: ") else None


def git(data: bytes, context: Context) -> Match | None:
    """A packet line of git's own protocol."""
    return certain("git") if GIT_LINE.match(data) else None
