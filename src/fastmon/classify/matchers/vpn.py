"""Tunnels and private networks: WireGuard, OpenVPN, IKE (RFC 7296) and ESP in UDP (RFC 3948), L2TP, VXLAN, GTP, Teredo, SOCKS."""

from __future__ import annotations

from fastmon.classify.matching import TCP, Context, Match, certain, hinted, likely, looks_random

__all__ = ["esp_in_udp", "gtp", "ike", "ike_natt", "l2tp", "openvpn", "openvpn_stream", "pptp", "socks", "vxlan", "wireguard"]

WIREGUARD_SIZES = {1: 148, 2: 92, 3: 64}
WIREGUARD_KEYS = {1: slice(8, 40), 2: slice(12, 44), 3: slice(8, 32), 4: slice(16, 48)}
"""By type, the place of the sender's key, of a cookie's nonce, or of ciphertext."""
EXCHANGES = {2, 4, 5, 6, 32, 33, 34, 35, 36, 37, 38, 43}
OPENVPN_CLIENT_RESETS, SERVER_RESET = {1, 7, 10}, 8


def wireguard(data: bytes, context: Context) -> Match | None:
    """A handshake by type, size and key; or two packets of data for the same receiver, padded to 16 bytes."""
    if data[1] or data[2] or data[3] or not looks_random(data[WIREGUARD_KEYS[data[0]]]):
        return None
    if WIREGUARD_SIZES.get(data[0]) == len(data):
        return certain("wireguard")
    if data[0] != 4 or len(data) < 32:
        return None
    if len(data) % 16 and len(data) > 60:
        return None
    return Match(("wireguard",), certain=False, tag=("wireguard", data[4:8]))


def openvpn(data: bytes, context: Context) -> Match | None:
    """A client's reset, or a server's answer. The answer repeats the client's session ID, unless it is encrypted."""
    opcode = data[0] >> 3
    if data[0] & 7 or len(data) < 14:
        return None
    if opcode in OPENVPN_CLIENT_RESETS:
        if not looks_random(data[1:9]):
            return hinted("openvpn")
        context.memory["openvpn", context.from_a] = data[1:9], len(data)
        if len(data) == 14 and not any(data[9:14]):
            return certain("openvpn")
        # tls-auth: a digest, a packet number, a time, no acknowledgements, number 0
        n_digest = len(data) - 22
        digest, rest = data[9 : 9 + n_digest], data[9 + n_digest :]
        is_keyed = n_digest in {16, 20, 28, 32, 48, 64} and looks_random(digest) and rest[:3] == b"\0\0\0" and not any(rest[-5:])
        return certain("openvpn") if is_keyed else hinted("openvpn")
    session, size = context.memory.get(("openvpn", not context.from_a), (None, 0))
    if session is not None and opcode in {2, 4, 5, 8} and session in data[9:120]:
        return certain("openvpn")
    if opcode == SERVER_RESET and len(data) == 66 and size >= 54:
        return certain("openvpn")  # tls-crypt hides everything but the session
    if opcode == SERVER_RESET and len(data) == 26 and data[9:14] == b"\1\0\0\0\0" and not any(data[22:26]):
        return certain("openvpn")  # it acknowledges packet 0, and is packet 0 itself
    own, _ = context.memory.get(("openvpn", context.from_a), (None, 0))
    if opcode in {4, 5} and own == data[1:9]:
        return certain("openvpn")
    return hinted("openvpn") if opcode in {2, 4, 5, 8} else None


def openvpn_stream(data: bytes, context: Context) -> Match | None:
    """OpenVPN over TCP: a packet after its length."""
    length = data[0] << 8 | data[1]
    if length < 14 or length + 2 > len(data) + 1500 or (length + 2 < len(data) and length > 120):
        return None
    return openvpn(data[2 : 2 + length], context)


def ike(data: bytes, context: Context) -> Match | None:
    """The header of IKE 1 or 2, with the datagram's length."""
    if data[17] not in {0x10, 0x20} or data[18] not in EXCHANGES or (data[16] > 54 and not 128 <= data[16] <= 140):
        return None
    if data[19] & (0xF8 if data[17] == 0x10 else 0xC7) or not any(data[:8]):
        return None
    length = int.from_bytes(data[24:28], "big")
    if length == len(data):
        return certain("ipsec")
    return hinted("ipsec") if 28 <= length < 65536 and (length > len(data)) else None


def ike_natt(data: bytes, context: Context) -> Match | None:
    """IKE on port 4500, after four zeros (RFC 3948, section 2.2)."""
    return ike(data[4:], context)


def esp_in_udp(data: bytes, context: Context) -> Match | None:
    """ESP on port 4500, or a keepalive of one byte. It can be any bytes, so the port must be known."""
    if 4500 not in context.ports:
        return None
    return hinted("ipsec") if (len(data) >= 16 and any(data[:4])) or data == b"\xff" else None


def l2tp(data: bytes, context: Context) -> Match | None:
    """A control message of L2TP 2 (RFC 2661): its length, and first a message type."""
    if data[0] & 0xCB != 0xC8 or data[1] & 0x0F != 2:
        return None
    is_sized = (data[2] << 8 | data[3]) == len(data)
    return certain("l2tp") if is_sized and (len(data) == 12 or data[14:18] == b"\0\0\0\0") else None


def pptp(data: bytes, context: Context) -> Match | None:
    """A control message of PPTP, by its cookie (RFC 2637)."""
    return certain("pptp") if data[2:4] == b"\0\1" and data[4:8] == b"\x1a\x2b\x3c\x4d" else None


def vxlan(data: bytes, context: Context) -> Match | None:
    """VXLAN (RFC 7348) around an Ethernet frame with IP, ARP or a VLAN."""
    if data[1] or data[2] or data[3] or data[7]:
        return None
    ethertype, inner = data[20:22], data[22:24]
    if ethertype in {b"\x08\0", b"\x86\xdd"} and inner:
        return certain("vxlan") if inner[0] >> 4 == (4 if ethertype == b"\x08\0" else 6) else None
    is_tagged = ethertype == b"\x81\0" and data[24:26] in {b"\x08\0", b"\x08\6", b"\x86\xdd"}
    return certain("vxlan") if is_tagged or (ethertype == b"\x08\6" and inner == b"\0\1") else hinted("vxlan")


def gtp(data: bytes, context: Context) -> Match | None:
    """GTP 1 (3GPP TS 29.281, 29.060): its length, and an IP packet if it carries data."""
    length = data[2] << 8 | data[3]
    if length + 8 != len(data):
        return None
    if data[1] == 0xFF:
        at = 12 if data[0] & 7 else 8
        return certain("gtp") if len(data) > at + 20 and data[at] >> 4 in {4, 6} else likely("gtp")
    return likely("gtp") if data[1] in {1, 2, 16, 17, 18, 19, 20, 21, 26, 27, 31} else None


def socks(data: bytes, context: Context) -> Match | None:
    """SOCKS 4 and 5 (RFC 1928): a greeting and the answer with one of its methods, or a request and its answer."""
    if data[0] == 4:
        ends = data.endswith(b"\0") and data.count(b"\0", 8) <= 2
        is_request = context.protocol == TCP and len(data) >= 9 and data[1] in {1, 2} and ends and data[8:-1].isascii()
        return likely("socks") if is_request else None
    if data[0] == 0:
        return likely("socks") if len(data) == 8 and 90 <= data[1] <= 93 else None
    if len(data) == 2:
        offered = context.memory.get(("socks", not context.from_a), b"")
        return certain("socks") if data[1] in offered else hinted("socks")
    if len(data) == 2 + data[1] and data[1] <= 8 and all(method < 10 for method in data[2:]):
        context.memory["socks", context.from_a] = data[2:]
        return hinted("socks")
    if len(data) < 10 or data[1] > 8 or data[2]:
        return None
    size = {1: 10, 3: 7 + data[4], 4: 22}.get(data[3])  # with an IPv4 address, a name, an IPv6 address
    return likely("socks") if size == len(data) else None
