"""Remote terminals and desktops: SSH (RFC 4253), Telnet (RFC 854), RDP (MS-RDPBCGR), VNC (RFC 6143)."""

from __future__ import annotations

import re

from fastmon.classify.matching import Context, Match, certain, likely

__all__ = ["rdp", "rdp_udp", "rfb", "ssh", "telnet"]

SSH_BANNER = re.compile(rb"SSH-[12]\.\d{1,2}-[ -~]")
SSH_KEX = (b"diffie-hellman-", b"curve25519-", b"ecdh-sha2-")
RFB_VERSION = re.compile(rb"RFB \d{3}\.\d{3}\n")
IAC, SB, SE, WILL, DONT = 255, 250, 240, 251, 254


def ssh(data: bytes, context: Context) -> Match | None:
    """The identification line, or the first message of a key exchange."""
    if data[0] == 0x53:
        return certain("ssh") if SSH_BANNER.match(data) else None
    if data[0] == 0 and len(data) > 40 and data[5] == 20 and data[4] < 64:
        return certain("ssh") if any(name in data[22:400] for name in SSH_KEX) else None
    return None


def telnet(data: bytes, context: Context) -> Match | None:
    """Negotiations: IAC, a verb, an option. A single one is little evidence."""
    n_found, at = 0, 0
    while at + 2 < len(data) and data[at] == IAC and n_found < 8:
        if WILL <= data[at + 1] <= DONT and (data[at + 2] <= 49 or data[at + 2] == 255):
            at += 3
        elif data[at + 1] == SB and (end := data.find(b"\xff\xf0", at)) > 0:
            at = end + 2
        else:
            return None
        n_found += 1
    if n_found > 1:
        return certain("telnet")
    return likely("telnet") if n_found == 1 and (at == len(data) or data[at] < 0x80) else None


def rfb(data: bytes, context: Context) -> Match | None:
    """The version line, which both sides of VNC send first."""
    return certain("vnc") if RFB_VERSION.match(data) else None


def rdp(data: bytes, context: Context) -> Match | None:
    """An X.224 connection request or confirm with RDP's cookie or negotiation, or a first message of T.125."""
    if len(data) < 7 or data[1] or not 7 <= (data[2] << 8 | data[3]) <= 8192:
        return None
    kind, cotp_length = data[5], data[4]
    if kind in {0xE0, 0xD0}:
        if cotp_length != (data[2] << 8 | data[3]) - 5 or data[6:8] != b"\0\0":
            return None
        body = data[11:]
        if body.startswith((b"Cookie: mstshash=", b"Cookie: msts=")) or (
            len(body) == 8 and body[0] in {1, 2, 3} and body[2] == 8
        ):
            return certain("rdp")
        return likely("rdp") if not body else None
    if data[4:7] == b"\2\xf0\x80" and len(data) > 8:
        if data[7:9] in {b"\x7f\x65", b"\x7f\x66"}:
            return certain("rdp")
        return likely("rdp") if data[7] >> 2 in {0x01, 0x0A, 0x0B, 0x0E, 0x0F, 0x19, 0x1A} else None
    return None


def rdp_udp(data: bytes, context: Context) -> Match | None:
    """MS-RDPEUDP: a SYN datagram, padded to 1232 bytes; snSourceAck is -1."""
    is_syn = data[:4] == b"\xff\xff\xff\xff" and data[6] & 0x0F <= 0x0D and data[7] & 1
    return certain("rdp") if is_syn and 1128 <= len(data) <= 1280 else None
