"""Industry and buildings: Modbus, BACnet/IP, DNP3, EtherNet/IP, S7, OPC UA, IEC 60870-5-104."""

from __future__ import annotations

from fastmon.classify.applications import ENCAPSULATION_COMMANDS
from fastmon.classify.matching import Context, Match, certain, hinted, likely

__all__ = ["bacnet", "cip_io", "dnp3", "ethernet_ip", "iec104", "modbus", "opcua", "s7"]

MODBUS_FUNCTIONS = {1, 2, 3, 4, 5, 6, 7, 8, 11, 12, 15, 16, 17, 20, 21, 22, 23, 24, 43, 90}
CIP_IO = b"\2\0\2\x80\x08\0"
OPCUA_TYPES = {b"HELF", b"ACKF", b"ERRF", b"RHEF", b"OPNF", b"CLOF", b"MSGF", b"MSGC", b"MSGA"}


def modbus(data: bytes, context: Context) -> Match | None:
    """The MBAP header of Modbus/TCP: protocol 0, its length, a public function. A second message must answer or follow."""
    if data[2] or data[3] or data[4] or len(data) < 8 or (data[7] & 0x7F) not in MODBUS_FUNCTIONS:
        return None
    length = data[4] << 8 | data[5]
    if not 2 <= length <= 254 or 6 + length > len(data):
        return None
    if 6 + length < len(data) and (data[6 + length + 2 : 6 + length + 4] or b"\0\0") != b"\0\0":
        return None
    if data[7] >= 0x80 and length != 3:
        return None
    number, unit, function = data[:2], data[6], data[7] & 0x7F
    is_answer = context.memory.get(("modbus", not context.from_a)) == (number, unit, function)
    earlier = context.memory.get(("modbus", context.from_a))
    is_next = earlier is not None and earlier[0] != number and earlier[1] == unit
    context.memory["modbus", context.from_a] = number, unit, function
    return certain("modbus") if is_answer or is_next else hinted("modbus")


def bacnet(data: bytes, context: Context) -> Match | None:
    """The virtual link of BACnet/IP: function, length, and a network header of version 1 (ASHRAE 135, annex J)."""
    if data[1] > 0x0C:
        return None
    length = data[2] << 8 | data[3]
    at = 10 if data[1] == 4 else 4
    if length != len(data) and not 42 <= len(data) < length < 1500:
        return None
    if data[1] in {4, 9, 0x0A, 0x0B}:
        return certain("bacnet") if len(data) > at and data[at] == 1 else None
    return certain("bacnet") if length >= 6 and data[1] else likely("bacnet")


def dnp3(data: bytes, context: Context) -> Match | None:
    """A link frame (IEEE 1815): start bytes, length, and the header's checksum."""
    if data[1] != 0x64 or data[2] < 5:
        return None
    return certain("dnp3") if _dnp3_crc(data[:8]) == int.from_bytes(data[8:10], "little") else None


def _dnp3_crc(data: bytes) -> int:
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xA6BC if crc & 1 else 0)
    return crc ^ 0xFFFF


def ethernet_ip(data: bytes, context: Context) -> Match | None:
    """The encapsulation of EtherNet/IP: command, length, status, and options 0 (ODVA volume 2, chapter 2)."""
    if data[1] or data[0] not in ENCAPSULATION_COMMANDS or data[20:24] != b"\0\0\0\0" or data[9] or data[10] or data[11]:
        return None
    length = data[2] | data[3] << 8
    if 24 + length != len(data) and not (24 + length > len(data) and len(data) < 100 and data[0] >= 0x63):
        return None
    has_session = data[4:8] != b"\0\0\0\0"
    if data[0] in {0x6F, 0x70}:
        return certain("ethernet-ip") if has_session and length >= 16 else None
    if data[0] == 0x65:
        return certain("ethernet-ip") if length == 4 else None
    return certain("ethernet-ip") if data[0] > 0x65 or (data[0] >= 0x63 and not has_session) else hinted("ethernet-ip")


def cip_io(data: bytes, context: Context) -> Match | None:
    """Cyclic data of CIP (ODVA volume 2, section 2-6): two items, a sequenced address and connected data."""
    return certain("ethernet-ip") if data.startswith(CIP_IO) and data[14:16] == b"\xb1\0" else None


def s7(data: bytes, context: Context) -> Match | None:
    """S7 or S7-plus in ISO-on-TCP (RFC 1006), or a connection request with the TSAP of both ends."""
    if data[1] or len(data) < 11:
        return None
    kind = data[5]
    if kind == 0xF0 and data[4] == 2:
        if data[7] == 0x32:
            return certain("s7") if data[8] in {1, 2, 3, 7} and data[9:11] == b"\0\0" else None
        return certain("s7") if data[7] == 0x72 and data[8] in {1, 2, 3, 0xFE} else None
    if kind in {0xE0, 0xD0} and data[4] == (data[2] << 8 | data[3]) - 5:
        tails = data[11:]
        return likely("s7") if b"\xc1\2" in tails and b"\xc2\2" in tails else None
    return None


def opcua(data: bytes, context: Context) -> Match | None:
    """A message of OPC UA over TCP (part 6, section 7.1.2): a type of four letters, and its length."""
    if data[:4] not in OPCUA_TYPES:
        return None
    length = int.from_bytes(data[4:8], "little")
    return certain("opcua") if 8 <= length <= 1 << 26 and length + 20 >= len(data) // 8 else None


def iec104(data: bytes, context: Context) -> Match | None:
    """Frames of IEC 60870-5-104 that fill the segment: start byte, length, control fields."""
    at = 0
    while at + 6 <= len(data):
        length = data[at + 1]
        is_frame = data[at] == 0x68 and 4 <= length <= 253
        if not is_frame or (data[at + 2] & 3 == 3 and (length != 4 or data[at + 3] or data[at + 4] or data[at + 5])):
            return None
        at += 2 + length
    return likely("iec104") if at == len(data) else None
