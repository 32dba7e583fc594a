"""DNS (RFC 1035), multicast DNS (RFC 6762) and LLMNR (RFC 4795), over UDP, and DNS over TCP.

The records are read here, not by dpkt.dns. It rejects a whole message for one record of an unknown type (HTTPS, SVCB,
RRSIG...), for a cut end, and for a label that is not UTF-8.

What it does not do: look anything up, or keep names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastmon.classify.matching import TCP, V4_MAPPED, Context, Match, hinted, text
from fastmon.classify.model import NameFact

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["dns", "dns_stream"]

MDNS_GROUPS = {V4_MAPPED + bytes([224, 0, 0, 251]), bytes.fromhex("ff0200000000000000000000000000fb")}
LLMNR_GROUPS = {V4_MAPPED + bytes([224, 0, 0, 252]), bytes.fromhex("ff020000000000000000000000010003")}
TYPES = {*range(1, 66), *range(99, 110), *range(128, 136), *range(249, 263), 32768, 32769, 65281, 65305}
A, AAAA, OPT = 1, 28, 41
CLASSES = {1, 3, 4, 254, 255}
NETBIOS_LETTERS = frozenset(b"ABCDEFGHIJKLMNOP")
HOST_LETTERS = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_%")
MAX_RECORDS = 150
MAX_LABELS = 40  # read in one name


def read_name(data: bytes, at: int) -> tuple[str | None, int]:
    """Return the name at `at` and the offset behind it; None and -1 if it is broken or cut. Takes at most MAX_LABELS steps."""
    labels: list[bytes] = []
    end = 0
    limit = len(data)
    for _ in range(MAX_LABELS):
        if at >= limit:
            return None, -1
        length = data[at]
        if not length:
            return text(b".".join(labels)), end or at + 1
        if length >= 0xC0:
            if at + 1 >= limit:
                return None, -1
            end = end or at + 2
            target = (length & 0x3F) << 8 | data[at + 1]
            if target >= at:
                return None, -1  # compression points backwards (RFC 1035, section 4.1.4)
            at = target
        elif length > 63:
            return None, -1
        else:
            labels.append(data[at + 1 : at + 1 + length])
            at += 1 + length
    return None, -1


def dns(data: bytes, context: Context) -> Match | None:
    """A DNS, mDNS or LLMNR message. The group address or the port tells which."""
    flags, codes = data[2], data[3]
    n_questions = data[4] << 8 | data[5]
    n_records = (data[6] << 8 | data[7]) + (data[8] << 8 | data[9]) + (data[10] << 8 | data[11])
    if flags & 0x78 not in {0, 0x10, 0x20, 0x28, 0x30} or codes & 0x40 or codes & 0x0F > 11:
        return None
    app = _app_of(context)
    is_response = bool(flags & 0x80)
    if n_questions + n_records > MAX_RECORDS or not n_questions + n_records or n_questions > 32:
        return _damaged(data, app, n_questions)
    if not is_response and (not n_questions or n_records > 40):
        return _damaged(data, app, n_questions)
    if app == "dns" and (n_questions > 1 or (not is_response and flags & 4)):
        return _damaged(data, app, n_questions)
    asked, at, known = _questions(data, n_questions)
    if not known:
        return _damaged(data, app, n_questions)
    if app == "dns" and known == 1 and _may_be_netbios(data):
        return hinted("dns")
    cut = at < 0
    facts: tuple[NameFact, ...] = ()
    if not cut and n_records:
        records = list(_records(data, at, n_records))
        if not _plausible(data, at, records, n_questions):
            return _damaged(data, app, n_questions)
        n_answers = 0 if app == "mdns" else data[6] << 8 | data[7]
        facts = tuple(_facts(records, asked, n_answers, app)) if is_response else ()
    elif not cut and at != len(data) and context.protocol != TCP and any(data[at:]):
        return None
    return Match((app,), certain=known > 1, name=asked, facts=facts, follow=dns_stream if context.protocol == TCP else dns)


def _app_of(context: Context) -> str:
    if context.dst.host in MDNS_GROUPS or 5353 in context.ports:
        return "mdns"
    if context.dst.host in LLMNR_GROUPS or 5355 in context.ports:
        return "llmnr"
    return "dns"


def _questions(data: bytes, n_questions: int) -> tuple[str | None, int, int]:
    """Return the first name asked for, the end of the questions (-1 if cut), and the evidence: 0 none, 1 little, 2 enough."""
    at, asked = 12, None
    for index in range(n_questions):
        name, end = read_name(data, at)
        if name is None or end + 4 > len(data):
            return asked, -1, 2 if index else _cut_name(data, at)
        if (data[end] << 8 | data[end + 1]) not in TYPES:
            return None, -1, 0
        if (data[end + 2] & 0x7F) << 8 | data[end + 3] not in CLASSES:
            return None, -1, 0
        asked = asked if index else name
        at = end + 4
    return asked, at, 2


def _cut_name(data: bytes, at: int) -> int:
    """Return the evidence that a question is cut: 0 none, 1 little, 2 enough. Its labels must be printable up to the end."""
    n_labels = 0
    while at < len(data) and data[at]:
        length = data[at]
        label = data[at + 1 : at + 1 + length]
        if length > 63 or not all(0x20 < byte < 0x7F for byte in label):
            return 0
        n_labels += len(label) == length
        at += 1 + length
    if at + 5 <= len(data):
        return 0
    return 2 if n_labels > 1 else 1


def _may_be_netbios(data: bytes) -> bool:
    """Return whether the first name may be NetBIOS's, which has DNS's header: a label of 32 letters from A to P."""
    return len(data) < 13 or (data[12] == 32 and NETBIOS_LETTERS.issuperset(data[13:45]))


def _damaged(data: bytes, app: str, n_questions: int) -> Match | None:
    """A message with wrong fields is still DNS if it has a host name in place of the first question.

    It needs a large part of the name if the rest of the header is right, else the whole name.
    """
    n_labels = n_letters = 0
    at = 12
    while at < len(data) and 0 < data[at] <= 63:
        label = data[at + 1 : at + 1 + data[at]]
        if len(label) < data[at] or not HOST_LETTERS.issuperset(label):
            break
        n_labels += 1
        n_letters += len(label)
        at += 1 + len(label)
    is_whole = at < len(data) and not data[at]
    if n_letters == 32 and n_labels == 1:
        return None  # a NetBIOS name
    if n_labels >= 2 and n_letters >= 6 and n_questions == 1:
        return Match((app,))
    return Match((app,)) if n_labels >= 3 and n_letters >= 8 and is_whole else None


def _records(data: bytes, at: int, n_records: int) -> Iterator[tuple[str, int, int, bytes, int]]:
    """Yield name, type, class, data and end of each record. Stop at a broken or cut one."""
    for _ in range(n_records):
        name, at = read_name(data, at)
        if name is None or at + 10 > len(data):
            return
        kind, kind_class = data[at] << 8 | data[at + 1], data[at + 2] << 8 | data[at + 3]
        end = at + 10 + (data[at + 8] << 8 | data[at + 9])
        yield name, kind, kind_class, data[at + 10 : end], end
        at = end


def _plausible(data: bytes, at: int, records: list[tuple[str, int, int, bytes, int]], n_questions: int) -> bool:
    """Return whether the first record is plausible. Without a question before it, it is all the evidence."""
    if not records:
        return n_questions > 0 and len(data) - at < 300
    name, kind, kind_class, _, end = records[0]
    if kind not in TYPES:
        return False
    if kind == OPT:
        return name == ""
    return kind_class & 0x7FFF in CLASSES and (n_questions > 0 or end <= len(data) or len(name) > 3)


def _facts(records: list[tuple[str, int, int, bytes, int]], asked: str | None, n_answers: int, app: str) -> Iterator[NameFact]:
    """Yield the hosts of a response's addresses. The first `n_answers` belong to the name asked for, also through CNAMEs."""
    for index, (name, kind, _, rdata, _) in enumerate(records):
        known_as = asked if asked and index < n_answers else name
        if kind == A and len(rdata) == 4:
            yield NameFact(V4_MAPPED + rdata, known_as, app)
        elif kind == AAAA and len(rdata) == 16:
            yield NameFact(rdata, known_as, app)


def dns_stream(data: bytes, context: Context) -> Match | None:
    """A DNS message after its length (RFC 1035, section 4.2.2)."""
    if len(data) < 14:
        return None
    length = data[0] << 8 | data[1]
    if length < 17 or length > 16384 or length + 2 < len(data) < length // 4:
        return None
    return dns(data[2 : 2 + length], context)
