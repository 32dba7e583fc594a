"""Databases and caches: MySQL, PostgreSQL, Redis, MongoDB, and MSSQL, Oracle, Cassandra, Memcached."""

from __future__ import annotations

import re

from fastmon.classify.applications import POSTGRES_TYPES
from fastmon.classify.matching import Context, Match, certain, hinted, likely

__all__ = ["cassandra", "memcached", "mongodb", "mssql", "mysql", "oracle", "postgresql", "redis"]

MYSQL_VERSION = re.compile(rb"[0-9]{1,2}\.[0-9][0-9a-zA-Z.+~_:-]{0,80}\0")
SQL = re.compile(
    rb"\s{0,8}(?:select|show|set|insert|update|delete|create|drop|begin|commit|rollback|use|alter|call|with|/\*)", re.IGNORECASE
)
POSTGRES_STARTS = {b"\x04\xd2\x16\x2f", b"\x04\xd2\x16\x30", b"\x04\xd2\x16\x2e"}
POSTGRES_EMPTY = frozenset(b"123nsIX")
REDIS_COMMAND = re.compile(rb"\*\d{1,6}\r\n(?:\$\d{1,8}\r\n|$|\*\d{1,6}\r\n|:\d)")
REDIS_REPLY = re.compile(
    rb"(?:\+(?:OK|PONG|QUEUED)|:-?\d{1,19}|\$-?\d{1,9}|-(?:ERR|NOAUTH|WRONGTYPE|DENIED|LOADING|MOVED) [^\r\n]*)\r\n"
)
REDIS_INLINE = re.compile(rb"(?:PING|INFO|QUIT|(?:GET|DEL|EXISTS|AUTH|SELECT|CONFIG GET) [^\s]+|SET \S+ \S+)\r\n", re.IGNORECASE)
MONGO_OPCODES = {1, 2001, 2002, 2004, 2005, 2006, 2007, 2010, 2011, 2012, 2013}
MONGO_BYTES = {opcode.to_bytes(4, "little") for opcode in MONGO_OPCODES}
TDS_VERSIONS = {b"\x70", b"\x71", b"\x72", b"\x73", b"\x74"}
MEMCACHED = re.compile(
    rb"(?:(?:gets?|delete|incr|decr|touch|gat) [!-~]{1,250}(?: [!-~]+)*\r\n|"
    rb"(?:set|add|replace|append|prepend|cas) [!-~]{1,250} \d+ -?\d+ \d+|stats(?: [a-z]+)?\r\n|STAT [a-z_:0-9]+ |"
    rb"VALUE [!-~]{1,250} \d+ \d+|version\r\n|VERSION \d+\.|flush_all|END\r\n$|STORED\r\n$)"
)


def mysql(data: bytes, context: Context) -> Match | None:
    """The server's greeting and the packets after it, each with a length and a number."""
    length, number = data[0] | data[1] << 8 | data[2] << 16, data[3]
    if number == 0 and data[4] == 10 and MYSQL_VERSION.match(data[5:90]):
        return certain("mysql") if length + 4 == len(data) or len(data) < 70 else None
    if length + 4 != len(data):
        return None
    if number == 0 and data[4] == 0xFF and data[6:7] in {b"\4", b"\5"}:
        return certain("mysql") if len(data) > 12 and (data[7:11] == b"Host" or data[7:8] == b"#") else likely("mysql")
    if number == 0 and data[4] in {3, 0x16}:
        return certain("mysql") if SQL.match(data[5:40]) else None
    if number == 0 and data[4] in {1, 2, 0x0E} and length < 64:
        return likely("mysql") if length == 1 or data[4] == 2 else None
    if number == 1 and length >= 32 and data[5] & 2 and not any(data[13:36]):
        return certain("mysql")
    return likely("mysql") if number in {1, 2} and data[4] in {0, 0xFF} and length >= 7 and context.memory else None


def postgresql(data: bytes, context: Context) -> Match | None:
    """The startup packet, a request to encrypt or cancel, or messages that fill the segment."""
    if data[0] == 0:
        length = int.from_bytes(data[:4], "big")
        if length == 8 or length == 16:
            return certain("postgresql") if data[4:8] in POSTGRES_STARTS else None
        is_startup = data[4:8] in {b"\0\3\0\0", b"\0\3\0\2"} and b"user\0" in data[8:60]
        return certain("postgresql") if is_startup and length >= len(data) else None
    at = n_messages = 0
    while at + 5 <= len(data):
        length = int.from_bytes(data[at + 1 : at + 5], "big")
        if data[at] not in POSTGRES_TYPES or not 4 <= length <= (4 if data[at] in POSTGRES_EMPTY else 1 << 20):
            return None
        at += 1 + length
        n_messages += 1
    if at == len(data):
        return certain("postgresql") if n_messages > 1 or len(data) > 8 else likely("postgresql")
    return likely("postgresql") if at > len(data) and n_messages > 2 else None


def redis(data: bytes, context: Context) -> Match | None:
    """An array of bulk strings, which is a client's request. A single reply is little evidence."""
    if REDIS_COMMAND.match(data):
        return certain("redis")
    return likely("redis") if REDIS_REPLY.match(data) or REDIS_INLINE.match(data) else None


def mongodb(data: bytes, context: Context) -> Match | None:
    """A message header: length, numbers, operation. The old OP_REPLY must be whole, as its operation is just 1."""
    if data[12:16] not in MONGO_BYTES:
        return None
    length = int.from_bytes(data[:4], "little")
    if not max(16, len(data)) <= length <= 48_000_000:
        return None
    if data[12:14] != b"\1\0":
        return certain("mongodb")
    is_reply = length == len(data) >= 36 and any(data[8:12]) and data[16] < 16 and not any(data[17:20])
    return certain("mongodb") if is_reply else hinted("mongodb")


def mssql(data: bytes, context: Context) -> Match | None:
    """A TDS packet (MS-TDS, section 2.2.3): type, status, length, window 0. Pre-login and login have fields to check."""
    if data[0] not in {1, 2, 3, 4, 6, 7, 14, 16, 17, 18} or data[1] & 0xE0 or data[7]:
        return None
    length = data[2] << 8 | data[3]
    if length != len(data) and not (length > len(data) and data[1] == 0):
        return None
    is_prelogin = data[0] == 18 and data[8:10] == b"\0\0" and data[11:13] == b"\0\6"  # the first option is the version, 6 bytes
    is_login = data[0] == 16 and int.from_bytes(data[8:12], "little") >= length - 8 and data[15:16] in TDS_VERSIONS
    if is_prelogin or is_login:
        return certain("mssql")
    return likely("mssql") if length == len(data) else hinted("mssql")


def oracle(data: bytes, context: Context) -> Match | None:
    """A packet of Oracle's TNS; one that connects has a description."""
    if (data[0] << 8 | data[1]) != len(data) or data[2] or data[3] or data[5] or not 1 <= data[4] <= 14:
        return None
    return certain("oracle") if b"(DESCRIPTION=" in data[8:200] or b"(CONNECT_DATA=" in data else likely("oracle")


def cassandra(data: bytes, context: Context) -> Match | None:
    """A frame of the native protocol, versions 1 to 5: version, flags, stream, operation, and its length."""
    version = data[0] & 0x7F
    if not 1 <= version <= 5 or data[1] > 0x1F:
        return None
    at = 3 if version < 3 else 4
    if data[at] > 0x10 or (data[0] & 0x80) != (0x80 if data[at] in {0, 2, 3, 6, 8, 0x0C, 0x0E, 0x10} else 0):
        return None
    if int.from_bytes(data[at + 1 : at + 5], "big") + at + 5 != len(data):
        return None
    return certain("cassandra") if b"CQL_VERSION" in data else likely("cassandra")


def memcached(data: bytes, context: Context) -> Match | None:
    """A command or answer in text, or the header of the binary protocol."""
    if data[0] in {0x80, 0x81}:
        n_extra, total = data[4], int.from_bytes(data[8:12], "big")
        exact = len(data) == 24 + total and n_extra + (data[2] << 8 | data[3]) <= total and data[1] <= 0x40 and not data[5]
        return likely("memcached") if exact else None
    return likely("memcached") if MEMCACHED.match(data) else None
