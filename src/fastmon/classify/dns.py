"""Name services: DNS, mDNS, LLMNR and NetBIOS names, with the names that they tell of hosts.

What it does not do: ask anybody.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import dpkt.dns

from fastmon.classify.model import TCP, Match, NameFact

if TYPE_CHECKING:
    from fastmon.classify.model import View

__all__ = ["RECOGNISERS", "match_dns", "match_netbios_name"]

V4_MAPPED = bytes(10) + b"\xff\xff"
HEADER = struct.Struct(">6H")
MAX_RECORDS = 256
MAX_FACTS = 32
A, AAAA, NB, NBSTAT = 1, 28, 0x20, 0x21
CLASSES = frozenset({1, 3, 4, 254, 255})
CACHE_FLUSH = 0x8000  # RFC 6762 section 10.2: the top bit of a class
OPCODES = frozenset({0, 1, 2, 4, 5, 6})
MULTICAST = {
    V4_MAPPED + bytes((224, 0, 0, 251)): "mdns",
    bytes.fromhex("ff0200000000000000000000000000fb"): "mdns",
    V4_MAPPED + bytes((224, 0, 0, 252)): "llmnr",
    bytes.fromhex("ff020000000000000000000000010003"): "llmnr",
}
BY_PORT = {5353: "mdns", 5355: "llmnr"}


def match_dns(view: View) -> Match | None:
    """Match a DNS message (RFC 1035 section 4), over TCP behind its length; mDNS (RFC 6762) and LLMNR (RFC 4795) by where it goes."""
    data = view.data
    if view.protocol == TCP:
        if len(data) < 14 or int.from_bytes(data[:2], "big") < 12:
            return None
        if len(data) - 2 > int.from_bytes(data[:2], "big") and not view.has_port(53):
            return None
        data = data[2:]
    if not _looks_like_dns(data):
        return None
    app = MULTICAST.get(view.dst.host) or BY_PORT.get(view.dst.port) or BY_PORT.get(view.src.port) or "dns"
    if app == "dns" and view.has_port(137, 138):
        return None
    name = _first_name(data)
    facts = _address_facts(data, app) if data[2] & 0x80 else ()
    return Match(app, name=name if app == "dns" else None, facts=facts, wants_more=True)


def _looks_like_dns(data: bytes) -> bool:
    """Tell whether the header and the first question or record agree with each other."""
    if len(data) < 17:
        return False
    _, flags, questions, answers, authorities, additional = HEADER.unpack_from(data)
    n_records = answers + authorities + additional
    if (flags >> 11 & 15) not in OPCODES or flags & 0x0040 or questions + n_records == 0:
        return False
    if questions > 32 or n_records > MAX_RECORDS or (flags & 0x8000 == 0 and flags & 0x000F and questions == 0):
        return False
    end = _end_of_name(data, 12)
    if end < 0 or (end > len(data)):
        return False
    if end + 4 > len(data):  # cut off: a name of letters is enough
        return end - 12 > 4 and len(data) > 30
    record_type, record_class = struct.unpack_from(">HH", data, end)
    return 0 < record_type < 0x8003 and (record_class & ~CACHE_FLUSH in CLASSES or record_type == 41)


def _end_of_name(data: bytes, at: int) -> int:
    """Return where the name at `at` ends, or would end, if it is cut off; -1 if it is none."""
    n_labels = 0
    while at < len(data):
        length = data[at]
        if length == 0:
            return at + 1
        if length >= 0xC0:
            return at + 2 if n_labels or data[at + 1 : at + 2] else -1
        if length > 63 or n_labels > 40:
            return -1
        label = data[at + 1 : at + 1 + length]
        if any(byte < 0x20 or byte == 0x7F for byte in label):
            return -1
        at += 1 + length
        n_labels += 1
    return len(data) if n_labels else -1


def _first_name(data: bytes) -> str | None:
    if data[4:6] == b"\0\0":
        return None
    labels, at = [], 12
    while at < len(data) and 0 < data[at] < 64 and at + 1 + data[at] <= len(data):
        labels.append(data[at + 1 : at + 1 + data[at]].decode("utf-8", "replace"))
        at += 1 + data[at]
    return ".".join(labels) if labels and data[at : at + 1] == b"\0" else None


def _address_facts(data: bytes, source: str) -> tuple[NameFact, ...]:
    """Return the names of the addresses in the answers: of DNS the name that was asked for, else the record's own."""
    message = dpkt.dns.DNS(data)
    asked = message.qd[0].name if message.qd and source == "dns" else None
    facts = []
    for record in [*message.an, *(message.ar if source == "mdns" else ())]:
        key = None
        if record.type == A and len(record.rdata) == 4:
            key = V4_MAPPED + record.rdata
        elif record.type == AAAA and len(record.rdata) == 16:
            key = record.rdata
        name = asked or record.name
        if key is not None and name and len(facts) < MAX_FACTS:
            facts.append(NameFact(key, name.rstrip("."), source))
    return tuple(facts)


def match_netbios_name(view: View) -> Match | None:
    """Match the NetBIOS name service (RFC 1002 section 4.2): DNS's form, with encoded names."""
    data = view.data
    if len(data) < 46 or data[12] != 32 or not all(0x41 <= byte <= 0x50 for byte in data[13:45]):
        return None
    _, flags, questions, answers, authorities, additional = HEADER.unpack_from(data)
    if questions > 2 or answers > 16 or authorities > 16 or additional > 2 or (flags >> 11 & 15) not in {0, 5, 6, 7, 8, 9, 15}:
        return None
    return Match("netbios", facts=_netbios_facts(data, flags), wants_more=True)


def _netbios_facts(data: bytes, flags: int) -> tuple[NameFact, ...]:
    """Return who registers or answers for a unique name: the record behind the question, or the answer."""
    name = _netbios_name(data[13:45])
    opcode, is_response = flags >> 11 & 15, flags & 0x8000
    at = 46
    if opcode in {5, 8, 9, 15} and not is_response:  # registration, refresh: question, then a record that points to its name
        at += 4 + 2
    elif not (is_response and flags & 0x000F == 0):
        return ()
    if name is None or len(data) < at + 16:
        return ()
    record_type, _, _, length = struct.unpack_from(">HHIH", data, at)
    is_group = data[at + 10] & 0x80
    if record_type != NB or length < 6 or is_group:
        return ()
    return (NameFact(V4_MAPPED + data[at + 12 : at + 16], name, "netbios"),)


def _netbios_name(encoded: bytes) -> str | None:
    """Return the host name that 32 letters encode, None if they are another kind of name (RFC 1001 section 14.1)."""
    decoded = bytes((encoded[at] - 0x41) << 4 | (encoded[at + 1] - 0x41) for at in range(0, 32, 2))
    name = decoded[:15].rstrip(b" \0").decode("cp850", "replace")
    return name if decoded[15] in {0x00, 0x20} and name and name[0] not in "*\x01" else None


RECOGNISERS = (
    (match_netbios_name, "udp", None),
    (match_dns, "both", None),
)
