"""QUIC's long header, and the decryption of an Initial packet (RFC 9000, section 17.2; RFC 9001, section 5).

AES needs the optional library `cryptography`. The first Initial imports it. Without it nothing is decrypted.

What it does not do: read frames, or keep state, except whether that library is there.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from functools import cache
from typing import Any

__all__ = ["Header", "Opener", "decrypt", "initial_keys", "opener", "read_header", "varint"]

V2 = 0x6B3343CF
SALT_V1 = bytes.fromhex("38762cf7f55934b34d179ae6a4c80cadccbb7f0a")
SALT_V2 = bytes.fromhex("0dede3def700a6db819381be6e269dcbf9bd2ed9")
SALT_DRAFT_29 = bytes.fromhex("afbfec289993d24c9e9786f19c6111e04390a899")
SALT_DRAFT_23 = bytes.fromhex("c3eef712c72ebb5a11a7d2432bb46365bef9f502")
SALT_Q050 = bytes.fromhex("504574efd066fe2f9d945cfcdbd3a7f0d3b56b45")
SALT_T050 = bytes.fromhex("7ff579e5acd072915580304c43a2367c60488310")
SALT_T051 = bytes.fromhex("7a4edef4e7ccee5fa4506c19124fc8ccda6e033d")
SAMPLE = TAG = 16


@dataclass(frozen=True, slots=True)
class Header:
    """A long header.  payload_at: offset of the packet number.  end: offset behind the packet, which may not be captured."""

    version: int
    is_initial: bool
    dcid: bytes
    payload_at: int
    end: int


def varint(data: bytes, at: int) -> tuple[int, int]:
    """Return a variable-length integer and the offset behind it; the offset is -1 if the integer is cut."""
    if not 0 <= at < len(data):
        return 0, -1
    size = 1 << (data[at] >> 6)
    if at + size > len(data):
        return 0, -1
    return int.from_bytes(data[at : at + size], "big") & ((1 << (8 * size - 2)) - 1), at + size


def read_header(data: bytes) -> Header | None:
    """Return the long header; None if its fields contradict each other, or it is cut before the packet number."""
    version = int.from_bytes(data[1:5], "big")
    if data[5] > 20:
        return None
    at = 6 + data[5]
    dcid = data[6:at]
    if at >= len(data) or data[at] > 20:
        return None
    at += 1 + data[at]
    kind = data[0] >> 4 & 3
    if kind != (1 if version == V2 else 0):
        return Header(version, False, dcid, at, len(data)) if at <= len(data) else None
    n_token, at = varint(data, at)
    length, at = varint(data, at + n_token if at > 0 else -1)
    if at < 0 or not 20 <= length <= 65535:
        return None
    return Header(version, True, dcid, at, at + length)


def _salt(version: int) -> bytes | None:
    if version == V2:
        return SALT_V2
    if version == 1 or 0xFF000021 <= version <= 0xFF000022:
        return SALT_V1
    if 0xFF00001D <= version <= 0xFF000020 or version in {0xFACEB00D, 0xFACEB00E}:
        return SALT_DRAFT_29
    if 0xFF000017 <= version <= 0xFF00001C or version == 0xFACEB002:
        return SALT_DRAFT_23
    return {0x51303530: SALT_Q050, 0x54303530: SALT_T050, 0x54303531: SALT_T051}.get(version)


def _expand(secret: bytes, label: str, length: int) -> bytes:
    """Return HKDF-Expand-Label with an empty context (RFC 8446, section 7.1), of at most one block."""
    full = b"tls13 " + label.encode("ascii")
    info = length.to_bytes(2, "big") + bytes([len(full)]) + full + b"\0"
    return hmac.digest(secret, info + b"\1", "sha256")[:length]


def initial_keys(version: int, dcid: bytes) -> tuple[bytes, bytes, bytes] | None:
    """Return the client's key, IV and header protection key; None for a version whose salt is unknown."""
    salt = _salt(version)
    if salt is None:
        return None
    secret = _expand(hmac.digest(salt, dcid, "sha256"), "client in", 32)
    prefix = "quicv2" if version == V2 else "quic"
    return _expand(secret, f"{prefix} key", 16), _expand(secret, f"{prefix} iv", 12), _expand(secret, f"{prefix} hp", 16)


@cache
def _library() -> Any:
    """Return what `cryptography` has of AES: Cipher, AES, ECB, CTR, AESGCM and InvalidTag; None without that library."""
    try:
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    except ImportError:
        return None
    return Cipher, algorithms.AES, modes.ECB(), modes.CTR, AESGCM, InvalidTag


@dataclass(frozen=True, slots=True)
class Opener:
    """Decrypts the Initials of one connection's client.  mask: for header protection.  sealed: AES-GCM."""

    key: bytes
    iv: int
    mask: Any
    sealed: Any


def opener(version: int, dcid: bytes) -> Opener | None:
    """Return the opener of the connection that begins with `dcid`; None if there is no key or no library."""
    library = _library()
    keys = initial_keys(version, dcid) if library is not None else None
    if keys is None:
        return None
    cipher, aes, ecb, _, aes_gcm, _ = library
    key, iv, protection = keys
    return Opener(key, int.from_bytes(iv, "big"), cipher(aes(protection), ecb).encryptor(), aes_gcm(key))


def decrypt(data: bytes, header: Header, by: Opener) -> bytes | None:
    """Return the frames of a client's Initial; None if it cannot be decrypted, or was forged.

    If the packet is cut, return the part that is there. It cannot be checked for forgery.
    """
    at = header.payload_at
    if at + 4 + SAMPLE > min(header.end, len(data)):
        return None
    _, _, _, _, _, invalid_tag = _library()
    mask = by.mask.update(data[at + 4 : at + 4 + SAMPLE])
    first = data[0] ^ mask[0] & 0x0F
    size = (first & 3) + 1
    number = int.from_bytes(data[at : at + size], "big") ^ int.from_bytes(mask[1 : 1 + size], "big")
    nonce = (by.iv ^ number).to_bytes(12, "big")
    if header.end > len(data):
        return _decrypt_cut(data[at + size : header.end - TAG], nonce, by.key)
    associated = bytes([first]) + data[1:at] + number.to_bytes(size, "big")
    try:
        plain: bytes = by.sealed.decrypt(nonce, data[at + size : header.end], associated)
    except invalid_tag:
        return None
    return plain


def _decrypt_cut(body: bytes, nonce: bytes, key: bytes) -> bytes:
    """Decrypt the captured part: AES-GCM is AES in counter mode, from 2 (NIST SP 800-38D, section 7.1)."""
    cipher, aes, _, ctr, _, _ = _library()
    plain: bytes = cipher(aes(key), ctr(nonce + b"\0\0\0\2")).decryptor().update(body)
    return plain
