"""Industry and buildings: see `classify/matchers/industrial.py`."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memcmp

from fastmon.native.classify.apps cimport BACNET, DNP3, ETHERNET_IP, IEC104, MODBUS, NOTHING_FOLLOWS, OPCUA, S7
from fastmon.native.classify.look cimport NO, Look, are_zero, begins, certain, contains, hinted_one, likely_one
from fastmon.native.wire cimport be16_at, le16_at, le32_at


cdef inline int modbus(Look* look) noexcept nogil:
    """The MBAP header of Modbus/TCP: protocol 0, its length, a public function. It is little evidence alone."""
    cdef const uint8_t* data = look.data
    cdef uint32_t length, at
    cdef uint8_t function
    if data[2] or data[3] or data[4] or look.n < 8:
        return NO
    length = be16_at(data + 4)
    function = data[7] & 0x7F
    if not (1 <= function <= 8 or function in (11, 12, 15, 16, 17, 43, 90) or 20 <= function <= 24):
        return NO
    if not 2 <= length <= 254 or 6 + length > look.n or (data[7] >= 0x80 and length != 3):
        return NO
    at = 8 + length  # the protocol of a second message in the segment
    if at < look.n and (at + 1 == look.n or data[at] or data[at + 1]):
        return NO
    return likely_one(look, MODBUS)


cdef inline int bacnet(Look* look) noexcept nogil:
    """The virtual link of BACnet/IP: function, length, and a network header of version 1 (ASHRAE 135, annex J)."""
    cdef const uint8_t* data = look.data
    cdef uint32_t length = be16_at(data + 2), at = 10 if data[1] == 4 else 4
    if data[1] > 0x0C or (length != look.n and not 42 <= look.n < length < 1500):
        return NO
    if data[1] == 4 or 9 <= data[1] <= 11:
        return certain(look, BACNET, NOTHING_FOLLOWS) if look.n > at and data[at] == 1 else NO
    return certain(look, BACNET, NOTHING_FOLLOWS) if length >= 6 and data[1] else likely_one(look, BACNET)


cdef inline uint16_t dnp3_crc(const uint8_t* data, uint32_t n) noexcept nogil:
    cdef uint16_t crc = 0
    cdef uint32_t i
    cdef int _bit
    for i in range(n):
        crc ^= data[i]
        for _bit in range(8):
            crc = crc >> 1 ^ (0xA6BC if crc & 1 else 0)
    return crc ^ 0xFFFF


cdef inline int dnp3(Look* look) noexcept nogil:
    """A link frame (IEEE 1815): start bytes, length, and the header's checksum."""
    cdef const uint8_t* data = look.data
    if data[1] != 0x64 or data[2] < 5:
        return NO
    return certain(look, DNP3, NOTHING_FOLLOWS) if dnp3_crc(data, 8) == le16_at(data + 8) else NO


cdef inline int ethernet_ip(Look* look) noexcept nogil:
    """The encapsulation of EtherNet/IP: command, length, status, and options 0 (ODVA volume 2, chapter 2)."""
    cdef const uint8_t* data = look.data
    cdef uint32_t length
    cdef bint has_session
    if data[1] or data[0] not in (0x00, 0x01, 0x04, 0x63, 0x64, 0x65, 0x66, 0x6F, 0x70, 0x72, 0x73):
        return NO
    if not are_zero(data + 20, 4) or data[9] or data[10] or data[11]:
        return NO
    length = le16_at(data + 2)
    if 24 + length != look.n and not (24 + length > look.n and look.n < 100 and data[0] >= 0x63):
        return NO
    has_session = not are_zero(data + 4, 4)
    if data[0] == 0x6F or data[0] == 0x70:
        return certain(look, ETHERNET_IP, NOTHING_FOLLOWS) if has_session and length >= 16 else NO
    if data[0] == 0x65:
        return certain(look, ETHERNET_IP, NOTHING_FOLLOWS) if length == 4 else NO
    if data[0] > 0x65 or (data[0] >= 0x63 and not has_session):
        return certain(look, ETHERNET_IP, NOTHING_FOLLOWS)
    return hinted_one(look, ETHERNET_IP)


cdef inline int cip_io(Look* look) noexcept nogil:
    """Cyclic data of CIP (ODVA volume 2, section 2-6): two items, a sequenced address and connected data."""
    if begins(look, 0, b"\2\0\2\x80\x08\0", 6) and begins(look, 14, b"\xb1\0", 2):
        return certain(look, ETHERNET_IP, NOTHING_FOLLOWS)
    return NO


cdef inline int s7(Look* look) noexcept nogil:
    """S7 or S7-plus in ISO-on-TCP (RFC 1006), or a connection request with the TSAP of both ends."""
    cdef const uint8_t* data = look.data
    if data[1] or look.n < 11:
        return NO
    if data[5] == 0xF0 and data[4] == 2:
        if data[7] == 0x32:
            if (1 <= data[8] <= 3 or data[8] == 7) and not data[9] and not data[10]:
                return certain(look, S7, NOTHING_FOLLOWS)
            return NO
        if data[7] == 0x72 and (1 <= data[8] <= 3 or data[8] == 0xFE):
            return certain(look, S7, NOTHING_FOLLOWS)
        return NO
    if (data[5] == 0xE0 or data[5] == 0xD0) and <int>data[4] == <int>be16_at(data + 2) - 5:
        if contains(data + 11, look.n - 11, b"\xc1\2", 2) and contains(data + 11, look.n - 11, b"\xc2\2", 2):
            return likely_one(look, S7)
    return NO


cdef inline int opcua(Look* look) noexcept nogil:
    """A message of OPC UA over TCP (part 6, section 7.1.2): a type of four letters, and its length."""
    cdef const uint8_t* data = look.data
    cdef uint32_t length = le32_at(data + 4)
    if not (memcmp(data, b"HELF", 4) == 0 or memcmp(data, b"ACKF", 4) == 0 or memcmp(data, b"ERRF", 4) == 0
            or memcmp(data, b"RHEF", 4) == 0 or memcmp(data, b"OPNF", 4) == 0 or memcmp(data, b"CLOF", 4) == 0
            or memcmp(data, b"MSGF", 4) == 0 or memcmp(data, b"MSGC", 4) == 0 or memcmp(data, b"MSGA", 4) == 0):
        return NO
    return certain(look, OPCUA, NOTHING_FOLLOWS) if 8 <= length <= 1 << 26 and length + 20 >= look.n // 8 else NO


cdef inline int iec104(Look* look) noexcept nogil:
    """Frames of IEC 60870-5-104 that fill the segment: start byte, length, control fields."""
    cdef const uint8_t* data = look.data
    cdef uint32_t at = 0, length
    while at + 6 <= look.n:
        length = data[at + 1]
        if data[at] != 0x68 or not 4 <= length <= 253:
            return NO
        if data[at + 2] & 3 == 3 and (length != 4 or data[at + 3] or data[at + 4] or data[at + 5]):
            return NO
        at += 2 + length
    return likely_one(look, IEC104) if at == look.n else NO
