"""DHCP (RFC 2131, RFC 2132) and DHCPv6 (RFC 8415): leased addresses, and the names that devices call themselves."""

from __future__ import annotations

from fastmon.classify.matching import V4_MAPPED, Context, Match, certain, hinted, text
from fastmon.classify.model import NameFact

__all__ = ["dhcp", "dhcpv6"]

MAGIC = b"\x63\x82\x53\x63"
PAD, END = 0, 255
HOST_NAME, REQUESTED_ADDRESS, CLIENT_FQDN = 12, 50, 81
V6_CLIENT_ID, V6_SERVER_ID, V6_IA_NA, V6_ADDRESS, V6_RELAY, V6_FQDN = 1, 2, 3, 5, 9, 39


def dhcp(data: bytes, context: Context) -> Match | None:
    """BOOTP's layout with DHCP's cookie. If cut before the cookie, an Ethernet address with its padding is evidence."""
    if len(data) < 28 or data[1] not in {1, 6, 7} or data[2] > 16 or data[3] > 16 or data[10] & 0x7F or data[11]:
        return None
    if len(data) < 240:
        is_ethernet = data[1] == 1 and data[2] == 6 and any(data[28:34]) and len(data) >= 40 and not any(data[34:44])
        return certain("dhcp", follow=dhcp) if is_ethernet and any(data[4:8]) else hinted("dhcp") if data[2] == 6 else None
    if data[236:240] != MAGIC:
        return hinted("dhcp")  # BOOTP
    options = _options(data)
    name = options.get(HOST_NAME, b"").rstrip(b"\0") or options.get(CLIENT_FQDN, b"")[3:]
    yours, own = data[16:20], data[12:16]
    key = yours if any(yours) else own if any(own) else options.get(REQUESTED_ADDRESS, b"")
    memory = context.memory
    if name and data[0] == 1:
        memory["dhcp", data[4:8]] = name  # the server's answer has the address, and seldom the name
    name = name or memory.get(("dhcp", data[4:8]), b"")
    facts = (NameFact(V4_MAPPED + key, text(name), "dhcp"),) if name and len(key) == 4 and any(key) else ()
    return Match(("dhcp",), name=text(name) or None, facts=facts, follow=dhcp)


def _options(data: bytes) -> dict[int, bytes]:
    """Return the complete options by number. If a number occurs twice, the last one counts."""
    options = {}
    at = 240
    while at + 1 < len(data) and data[at] != END:
        end = at + 1 if data[at] == PAD else at + 2 + data[at + 1]
        if data[at] != PAD and end <= len(data):
            options[data[at]] = data[at + 2 : end]
        at = end
    return options


def dhcpv6(data: bytes, context: Context) -> Match | None:
    """A message that two or more options fill, with the identifier of a client or server; or a relayed message.

    If the message is cut, it needs a whole identifier of a known form.
    """
    if not 1 <= data[0] <= 36:
        return None
    at = 34 if data[0] in {12, 13} else 4
    options: dict[int, bytes] = {}
    while at + 4 <= len(data):
        kind, length = data[at] << 8 | data[at + 1], data[at + 2] << 8 | data[at + 3]
        if not 1 <= kind <= 150:
            return None
        options[kind] = data[at + 4 : at + 4 + length]
        at += 4 + length
    if not {V6_CLIENT_ID, V6_SERVER_ID, V6_RELAY} & options.keys():
        return None
    identifiers = [options.get(kind, b"") for kind in (V6_CLIENT_ID, V6_SERVER_ID)]
    is_cut = at > len(data) and any(map(_is_identifier, identifiers))
    is_relayed = len(options.get(V6_RELAY, b"")) >= 4
    is_filled = at == len(data) and (is_relayed or (len(options) > 1 and any(len(one) > 2 for one in identifiers)))
    if not is_cut and not is_filled:
        return hinted("dhcpv6")
    # A name may lack its final empty label, and nothing else: a part of a name may be the name of another host.
    name = _fqdn(options.get(V6_FQDN, b"")) if at <= len(data) + 1 or kind != V6_FQDN else ""
    name = name or context.memory.get("dhcpv6", "")
    context.memory["dhcpv6"] = name
    lease = options.get(V6_IA_NA, b"")
    facts: tuple[NameFact, ...] = ()
    if name and lease[12:14] == b"\0\5" and len(lease) >= 32:
        facts = (NameFact(lease[16:32], name, "dhcpv6"),)
    return Match(("dhcpv6",), name=name or None, facts=facts, follow=dhcpv6)


def _is_identifier(option: bytes) -> bool:
    """Return whether an option is a DUID of a known type and possible length (RFC 8415, section 11; RFC 6355)."""
    if len(option) < 8 or option[0] or not 1 <= option[1] <= 4:
        return False
    least, most = {1: (10, 28), 2: (8, 130), 3: (8, 24), 4: (18, 18)}[option[1]]
    return least <= len(option) <= most


def _fqdn(option: bytes) -> str:
    """Return the name in a client FQDN option (RFC 4704), with or without the final empty label; "" if a label is cut."""
    labels = []
    at = 1
    while at < len(option) and option[at]:
        labels.append(option[at + 1 : at + 1 + option[at]])
        at += 1 + option[at]
    return text(b".".join(labels)) if at <= len(option) else ""
