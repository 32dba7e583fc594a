"""NetBIOS over TCP/IP (RFC 1001, RFC 1002): name service, datagrams and session requests.

What it does not do: SMB in sessions (`files`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastmon.classify.matching import V4_MAPPED, Context, Match, certain, likely, text
from fastmon.classify.model import NameFact

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["datagram", "name_service", "session"]

REGISTRATIONS = {5, 7, 8, 9, 15}
NB, NBSTAT = 0x20, 0x21
GROUP = 0x80
HOST_SUFFIXES = {0x00, 0x20}
HEX = frozenset(range(0x41, 0x51))


def _is_encoded(data: bytes, at: int) -> bool:
    """Return whether there is a name in first-level encoding at `at`. It may be cut to 8 letters or more.

    One in eight of its letters may be damaged.
    """
    letters = data[at + 1 : at + 33]
    return len(letters) >= 8 and data[at] == 32 and 8 * sum(byte in HEX for byte in letters) >= 7 * len(letters)


def _decoded(data: bytes, at: int) -> tuple[str, int]:
    """Return the name at `at` and its suffix, the 16th byte. All 34 bytes must be there."""
    raw = bytes(((data[i] - 0x41) & 0x0F) << 4 | (data[i + 1] - 0x41) & 0x0F for i in range(at + 1, at + 33, 2))
    return text(raw[:15].rstrip(b" \0")), raw[15]


def name_service(data: bytes, context: Context) -> Match | None:
    """A query, a registration or an answer of the name service, port 137 (RFC 1002, section 4.2)."""
    n_questions, n_answers = data[4] << 8 | data[5], data[6] << 8 | data[7]
    if n_questions + n_answers != 1 or data[8] or data[9] or data[10] or data[11] > 1 or not _is_encoded(data, 12):
        return None
    if len(data) < 50:
        return certain("netbios", follow=name_service)
    kind = data[46] << 8 | data[47]
    if kind not in {NB, NBSTAT, 0x0A, 1, 2} or data[48:50] != b"\0\1" or not HEX.issuperset(data[13:45]):
        return certain("netbios", follow=name_service)  # damaged
    name, suffix = _decoded(data, 12)
    facts: tuple[NameFact, ...] = ()
    if n_questions and data[11] and (data[2] >> 3 & 0x0F) in REGISTRATIONS and suffix in HOST_SUFFIXES:
        facts = tuple(_addresses(data, 62, name))
    elif n_answers and kind == NB and data[2] & 0x80 and not data[3] & 0x0F and suffix in HOST_SUFFIXES:
        facts = tuple(_addresses(data, 56, name))
    elif n_answers and kind == NBSTAT:
        facts = tuple(_own_names(data, context))
    return Match(("netbios",), name=None if name == "*" else name, facts=facts, follow=name_service)


def _addresses(data: bytes, at: int, name: str) -> Iterator[NameFact]:
    """Yield the addresses of an NB record whose data is at `at`, after its length: each has flags and an address."""
    end = min(at + (data[at - 2] << 8 | data[at - 1]), len(data)) if at <= len(data) else 0
    while at + 6 <= end:
        if not data[at] & GROUP and any(data[at + 2 : at + 6]):
            yield NameFact(V4_MAPPED + data[at + 2 : at + 6], name, "netbios")
        at += 6


def _own_names(data: bytes, context: Context) -> Iterator[NameFact]:
    """Yield the workstation name of a host that answers with its node status (RFC 1002, section 4.2.18)."""
    for index in range(data[56] if len(data) > 56 else 0):
        entry = data[57 + 18 * index : 75 + 18 * index]
        if len(entry) < 18:
            return
        if entry[15] == 0 and not entry[16] & GROUP:
            yield NameFact(context.src.host, text(entry[:15].rstrip(b" \0")), "netbios")
            return


def datagram(data: bytes, context: Context) -> Match | None:
    """A message of the datagram service, port 138 (RFC 1002, section 4.4)."""
    if not 0x10 <= data[0] <= 0x16 or data[1] > 0x0F:
        return None
    if data[0] == 0x13:
        return certain("netbios") if len(data) == 11 and 0x82 <= data[10] <= 0x84 else None
    is_sized = data[8:10] == b"\0\x8a" and data[0] < 0x13 and len(data) > 11 and (data[10] << 8 | data[11]) + 14 == len(data)
    if not _is_encoded(data, 14 if data[0] < 0x13 else 10):
        return certain("netbios") if is_sized else None
    facts: tuple[NameFact, ...] = ()
    if data[0] < 0x13 and len(data) >= 48 and any(data[4:8]) and HEX.issuperset(data[15:47]):
        name, suffix = _decoded(data, 14)
        if suffix in HOST_SUFFIXES:
            facts = (NameFact(V4_MAPPED + data[4:8], name, "netbios"),)
    return Match(("netbios",), facts=facts)


def session(data: bytes, context: Context) -> Match | None:
    """A request of the session service, port 139 (RFC 1002, section 4.3), or its answer, whose 4 bytes are little evidence."""
    if data[0] == 0x81:
        return certain("netbios", follow=_after_session) if data[1:4] == b"\0\0\x44" and _is_encoded(data, 4) else None
    if data == b"\x82\0\0\0" or (len(data) == 5 and data[:4] == b"\x83\0\0\1" and data[4] in {0x80, 0x81, 0x82, 0x83, 0x8F}):
        return likely("netbios", follow=_after_session)
    return None


def _after_session(data: bytes, context: Context) -> Match | None:
    """The content of a session. It is SMB, which then is the label."""
    if len(data) >= 8 and data[0] == 0 and data[5:8] == b"SMB" and data[4] >= 0xFC:
        return certain("smb")
    return certain("netbios", follow=_after_session) if data[:1] in {b"\x82", b"\x81"} else None
