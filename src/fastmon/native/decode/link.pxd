"""Where each link type's frames begin: LINKTYPE_ numbers and formats of https://www.tcpdump.org/linktypes.html.

`enter` skips the link-layer header and returns the first rule of `native/decode/headers.pxd`, or a status.
What it does not do: follow the rules from there.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t

from fastmon.native.decode.headers cimport (
    ENCRYPTED, MALFORMED, NON_IP, TO_ETHERNET, TO_IP, TO_LLC, TO_MPLS, TO_PPP, TO_PPPOE, TRUNCATED,
    UNSUPPORTED_LINK_TYPE, Cursor, advance, by_ethertype, tagged,
)
from fastmon.native.wire cimport be16_at, be32_at, le16_at, le32_at, swap32

cdef extern from *:
    """
    /* Every supported link type: its name and number, and the header that its frames begin with. */
    #define FM_LINK_TYPES(X) \
        X(NULL, 0, FAMILY) \
        X(ETHERNET, 1, ETHERNET) \
        X(IEEE802_5, 6, TOKEN_RING) \
        X(ARCNET_BSD, 7, ARCNET) \
        X(SLIP, 8, SLIP) \
        X(PPP, 9, PPP) \
        X(FDDI, 10, FDDI) \
        X(DLT_RAW, 12, IP) \
        X(DLT_RAW_OPENBSD, 14, IP) \
        X(PPP_HDLC, 50, PPP_HDLC) \
        X(PPP_ETHER, 51, PPPOE) \
        X(ATM_RFC1483, 100, ATM) \
        X(RAW, 101, IP) \
        X(C_HDLC, 104, CISCO_HDLC) \
        X(IEEE802_11, 105, DOT11) \
        X(LOOP, 108, FAMILY) \
        X(LINUX_SLL, 113, COOKED) \
        X(PFLOG, 117, PFLOG) \
        X(IEEE802_11_PRISM, 119, PRISM) \
        X(IP_OVER_FC, 122, FIBRE_CHANNEL) \
        X(SUNATM, 123, SUNATM) \
        X(IEEE802_11_RADIOTAP, 127, RADIOTAP) \
        X(ARCNET_LINUX, 129, ARCNET_LINUX) \
        X(APPLE_IP_OVER_IEEE1394, 138, FIREWIRE) \
        X(IEEE802_11_AVS, 163, AVS) \
        X(PPI, 192, PPI) \
        X(PPP_WITH_DIR, 204, PPP_HDLC_WITH_DIRECTION) \
        X(C_HDLC_WITH_DIR, 205, CISCO_HDLC_WITH_DIRECTION) \
        X(MPLS, 219, MPLS) \
        X(IPNET, 226, IPNET) \
        X(IPV4, 228, IP) \
        X(IPV6, 229, IP) \
        X(NFLOG, 239, NFLOG) \
        X(IPOIB, 242, INFINIBAND) \
        X(PKTAP, 258, PKTAP) \
        X(ETHERNET_MPACKET, 274, MPACKET) \
        X(LINUX_SLL2, 276, COOKED_2)

    enum {
    #define FM_LINK_NUMBER(name, number, header) FM_LINK_##name = number,
        FM_LINK_TYPES(FM_LINK_NUMBER)
    };

    enum {
        FM_BEGIN_UNSUPPORTED, FM_BEGIN_ETHERNET, FM_BEGIN_IP, FM_BEGIN_PPP, FM_BEGIN_PPPOE, FM_BEGIN_MPLS, FM_BEGIN_FAMILY,
        FM_BEGIN_PPP_HDLC, FM_BEGIN_CISCO_HDLC, FM_BEGIN_PPP_HDLC_WITH_DIRECTION, FM_BEGIN_CISCO_HDLC_WITH_DIRECTION,
        FM_BEGIN_DOT11, FM_BEGIN_RADIOTAP, FM_BEGIN_PPI, FM_BEGIN_PRISM, FM_BEGIN_AVS, FM_BEGIN_COOKED, FM_BEGIN_COOKED_2,
        FM_BEGIN_TOKEN_RING, FM_BEGIN_ARCNET, FM_BEGIN_ARCNET_LINUX, FM_BEGIN_SLIP, FM_BEGIN_FDDI, FM_BEGIN_ATM,
        FM_BEGIN_SUNATM, FM_BEGIN_PFLOG, FM_BEGIN_FIBRE_CHANNEL, FM_BEGIN_FIREWIRE, FM_BEGIN_IPNET, FM_BEGIN_NFLOG,
        FM_BEGIN_INFINIBAND, FM_BEGIN_MPACKET, FM_BEGIN_PKTAP
    };

    /* By link type; 0 (unsupported) in between. */
    static const uint8_t fm_beginnings[] = {
    #define FM_LINK_BEGINNING(name, number, header) [number] = FM_BEGIN_##header,
        FM_LINK_TYPES(FM_LINK_BEGINNING)
    };
    #define FM_N_BEGINNINGS (sizeof(fm_beginnings) / sizeof(fm_beginnings[0]))
    """
    enum:
        LINK_ETHERNET "FM_LINK_ETHERNET"
        LINK_ATM_RFC1483 "FM_LINK_ATM_RFC1483"
        LINK_RAW "FM_LINK_RAW"
        LINK_IEEE802_11 "FM_LINK_IEEE802_11"
    enum:
        BEGIN_UNSUPPORTED "FM_BEGIN_UNSUPPORTED"
        BEGIN_ETHERNET "FM_BEGIN_ETHERNET"
        BEGIN_IP "FM_BEGIN_IP"
        BEGIN_PPP "FM_BEGIN_PPP"
        BEGIN_PPPOE "FM_BEGIN_PPPOE"
        BEGIN_MPLS "FM_BEGIN_MPLS"
        BEGIN_FAMILY "FM_BEGIN_FAMILY"
        BEGIN_PPP_HDLC "FM_BEGIN_PPP_HDLC"
        BEGIN_CISCO_HDLC "FM_BEGIN_CISCO_HDLC"
        BEGIN_PPP_HDLC_WITH_DIRECTION "FM_BEGIN_PPP_HDLC_WITH_DIRECTION"
        BEGIN_CISCO_HDLC_WITH_DIRECTION "FM_BEGIN_CISCO_HDLC_WITH_DIRECTION"
        BEGIN_DOT11 "FM_BEGIN_DOT11"
        BEGIN_RADIOTAP "FM_BEGIN_RADIOTAP"
        BEGIN_PPI "FM_BEGIN_PPI"
        BEGIN_PRISM "FM_BEGIN_PRISM"
        BEGIN_AVS "FM_BEGIN_AVS"
        BEGIN_COOKED "FM_BEGIN_COOKED"
        BEGIN_COOKED_2 "FM_BEGIN_COOKED_2"
        BEGIN_TOKEN_RING "FM_BEGIN_TOKEN_RING"
        BEGIN_ARCNET "FM_BEGIN_ARCNET"
        BEGIN_ARCNET_LINUX "FM_BEGIN_ARCNET_LINUX"
        BEGIN_SLIP "FM_BEGIN_SLIP"
        BEGIN_FDDI "FM_BEGIN_FDDI"
        BEGIN_ATM "FM_BEGIN_ATM"
        BEGIN_SUNATM "FM_BEGIN_SUNATM"
        BEGIN_PFLOG "FM_BEGIN_PFLOG"
        BEGIN_FIBRE_CHANNEL "FM_BEGIN_FIBRE_CHANNEL"
        BEGIN_FIREWIRE "FM_BEGIN_FIREWIRE"
        BEGIN_IPNET "FM_BEGIN_IPNET"
        BEGIN_NFLOG "FM_BEGIN_NFLOG"
        BEGIN_INFINIBAND "FM_BEGIN_INFINIBAND"
        BEGIN_MPACKET "FM_BEGIN_MPACKET"
        BEGIN_PKTAP "FM_BEGIN_PKTAP"
    const uint8_t* BEGINNINGS "fm_beginnings"
    const uint32_t N_BEGINNINGS "FM_N_BEGINNINGS"

cdef enum:
    ARPHRD_RADIOTAP = 803
    ARPHRD_NETLINK = 824


cdef inline int skip_to(Cursor* cursor, uint32_t length, int rule) noexcept nogil:
    if cursor.avail < length:
        return TRUNCATED
    advance(cursor, length)
    return rule


cdef inline int enter_null(Cursor* cursor) noexcept nogil:
    """An address family in the capturing host's byte order."""
    cdef uint32_t family
    if cursor.avail < 4:
        return TRUNCATED
    family = le32_at(cursor.at)
    if family > 0xFFFF:
        family = swap32(family)
    if family > 0xFFFF:  # neither order: an EtherType behind a two-byte address
        family = be16_at(cursor.at + 2)
        if family < 0x0600:
            return NON_IP
    advance(cursor, 4)
    if family in (2, 10, 23, 24, 28, 30):  # AF_INET, and AF_INET6 of Linux, Windows, NetBSD, FreeBSD, macOS
        return TO_IP
    return by_ethertype(<uint16_t>family) if family >= 0x0600 else NON_IP


cdef inline int enter_hdlc(Cursor* cursor, bint only_cisco) noexcept nogil:
    """Cisco HDLC, or PPP in HDLC framing (RFC 1662, RFC 1547 section 4.3)."""
    cdef uint8_t address
    if cursor.avail < 4:
        return TRUNCATED
    address = cursor.at[0]
    if address == 0x0F or address == 0x8F or (only_cisco and address != 0xFF):
        return tagged(cursor, 4)
    return TO_PPP


cdef inline int enter_dot11(Cursor* cursor, bint data_pad) noexcept nogil:
    """An 802.11 data frame (IEEE 802.11 section 9.3.2.1); an A-MSDU counts as its first subframe."""
    cdef const uint8_t* header = cursor.at
    cdef uint32_t length = 24
    cdef uint32_t qos_at = 0
    if cursor.avail < 2:
        return TRUNCATED
    if (header[0] >> 2) & 3 != 2 or header[0] & 0x40:
        return NON_IP
    if header[1] & 0x40:
        return ENCRYPTED
    if header[1] & 3 == 3:
        length += 6
    if header[0] & 0x80:
        qos_at = length
        length += 2
        if header[1] & 0x80:
            length += 4
    if data_pad:
        length = (length + 3) & ~<uint32_t>3
    if cursor.avail < length:
        return TRUNCATED
    advance(cursor, length)
    if qos_at and header[qos_at] & 0x80:
        advance(cursor, 14)
    return TO_LLC


cdef inline int enter_radiotap(Cursor* cursor) noexcept nogil:
    """A radiotap header (https://www.radiotap.org), read for its length and its data-pad flag."""
    cdef const uint8_t* header = cursor.at
    cdef uint32_t length, present, at = 8
    cdef bint data_pad = False
    if cursor.avail < 8:
        return TRUNCATED
    length = le16_at(header + 2)
    if header[0] != 0 or length < 8:
        return MALFORMED
    if cursor.avail < length:
        return TRUNCATED
    present = le32_at(header + 4)
    while le32_at(header + at - 4) & 0x80000000U:
        if at + 4 > length:
            return MALFORMED
        at += 4
    if present & 2:
        if present & 1:
            at = ((at + 7) & ~<uint32_t>7) + 8
        if at >= length:
            return MALFORMED
        data_pad = header[at] & 0x20 != 0
    advance(cursor, length)
    return enter_dot11(cursor, data_pad)


cdef inline int enter_wlan_header(Cursor* cursor, uint32_t length) noexcept nogil:
    """802.11 behind a vendor header (Prism, AVS) of `length` bytes."""
    if length < 8:
        return MALFORMED
    advance(cursor, length)
    return enter_dot11(cursor, False)


cdef inline int enter_prism(Cursor* cursor, bint is_avs) noexcept nogil:
    cdef uint32_t length
    if cursor.avail < 8:
        return TRUNCATED
    if is_avs or be32_at(cursor.at) >> 12 == 0x80211:
        return enter_wlan_header(cursor, be32_at(cursor.at + 4))
    length = le32_at(cursor.at + 4)
    return enter_wlan_header(cursor, length if length <= 0xFFFF else swap32(length))


cdef inline int enter_ppi(Cursor* cursor) noexcept nogil:
    cdef uint32_t length, link_type
    if cursor.avail < 8:
        return TRUNCATED
    length = le16_at(cursor.at + 2)
    link_type = le32_at(cursor.at + 4)
    if length < 8:
        return MALFORMED
    advance(cursor, length)
    if link_type == LINK_IEEE802_11:
        return enter_dot11(cursor, False)
    return TO_ETHERNET if link_type == LINK_ETHERNET else NON_IP


cdef inline int enter_cooked(Cursor* cursor, uint32_t length, uint32_t arphrd_at, uint32_t protocol_at) noexcept nogil:
    """Linux cooked capture, version 1 or 2."""
    cdef uint16_t arphrd, protocol
    if cursor.avail < length:
        return TRUNCATED
    arphrd = be16_at(cursor.at + arphrd_at)
    protocol = be16_at(cursor.at + protocol_at)
    advance(cursor, length)
    if arphrd == ARPHRD_NETLINK:
        return NON_IP
    if arphrd == ARPHRD_RADIOTAP:
        return enter_radiotap(cursor)
    if protocol >= 0x0600:
        return by_ethertype(protocol)
    return TO_LLC if protocol == 4 else NON_IP


cdef inline int enter_token_ring(Cursor* cursor) noexcept nogil:
    """IEEE 802.5, with source routing when the source address says so."""
    cdef uint32_t length = 14
    if cursor.avail < 14:
        return TRUNCATED
    if cursor.at[8] & 0x80:
        if cursor.avail < 16:
            return TRUNCATED
        length += cursor.at[14] & 0x1F
    advance(cursor, length)
    return TO_LLC


cdef inline int enter_arcnet(Cursor* cursor, uint32_t type_at) noexcept nogil:
    """ARCNET with RFC 1201 (3 more bytes: split flag, sequence) or RFC 1051 framing."""
    cdef uint8_t protocol
    if cursor.avail < type_at + 4:
        return TRUNCATED
    protocol = cursor.at[type_at]
    advance(cursor, type_at + (1 if protocol == 0xF0 else 4))
    return TO_IP if protocol in (0xD4, 0xC4, 0xF0) else NON_IP


cdef inline int enter_nflog(Cursor* cursor) noexcept nogil:
    """Netfilter log: TLVs, of which the payload is an IP packet."""
    cdef uint16_t length
    if cursor.avail < 4:
        return TRUNCATED
    advance(cursor, 4)
    while cursor.avail >= 4:
        length = le16_at(cursor.at)
        if length < 4:
            return MALFORMED
        if le16_at(cursor.at + 2) == 9:
            advance(cursor, 4)
            return TO_IP
        advance(cursor, (length + 3) & ~<uint32_t>3)
    return TRUNCATED


cdef inline int enter_atm(Cursor* cursor) noexcept nogil:
    """Multiprotocol encapsulation over ATM (RFC 2684)."""
    if cursor.avail < 3:
        return TRUNCATED
    return NON_IP if cursor.at[0] == 0xFE else TO_LLC


cdef inline int enter_sunatm(Cursor* cursor) noexcept nogil:
    if cursor.avail < 4:
        return TRUNCATED
    return skip_to(cursor, 4, TO_LLC if cursor.at[0] & 0x0F == 2 else NON_IP)


cdef inline int enter_pflog(Cursor* cursor) noexcept nogil:
    if cursor.avail < 4:
        return TRUNCATED
    if cursor.at[0] == 0:
        return MALFORMED
    return skip_to(cursor, (cursor.at[0] + 3) & ~3, TO_IP)


cdef inline int enter_fddi(Cursor* cursor) noexcept nogil:
    if cursor.avail < 13:
        return TRUNCATED
    return skip_to(cursor, 13, TO_LLC if cursor.at[0] & 0xC0 == 0x40 else NON_IP)


cdef inline int enter_ipnet(Cursor* cursor) noexcept nogil:
    """Solaris ipnet; the families are AF_INET and AF_INET6 there."""
    if cursor.avail < 24:
        return TRUNCATED
    return skip_to(cursor, 24, TO_IP if cursor.at[1] in (2, 26) else NON_IP)


cdef inline int enter_mpacket(Cursor* cursor) noexcept nogil:
    if cursor.avail < 8:
        return TRUNCATED
    return skip_to(cursor, 8, TO_ETHERNET if cursor.at[7] == 0xD5 else NON_IP)


cdef inline int enter_infiniband(Cursor* cursor) noexcept nogil:
    """IP over InfiniBand (RFC 4391): the type is in the last 4 bytes of the header."""
    cdef uint16_t ethertype
    if cursor.avail < 44:
        return TRUNCATED
    ethertype = be16_at(cursor.at + 40)
    advance(cursor, 44)
    return by_ethertype(ethertype)


cdef inline int enter_with_direction(Cursor* cursor, bint only_cisco) noexcept nogil:
    if cursor.avail < 1:
        return TRUNCATED
    advance(cursor, 1)
    return enter_hdlc(cursor, only_cisco)


cdef inline int beginning_of(uint32_t link_type) noexcept nogil:
    """Return which header the frames of `link_type` begin with: one of BEGIN_*."""
    return BEGINNINGS[link_type] if link_type < N_BEGINNINGS else <int>BEGIN_UNSUPPORTED


cdef inline int enter_link(int beginning, Cursor* cursor) noexcept nogil:
    """Skip the link-layer header, any but PKTAP; return the rule that follows, or a status."""
    if beginning == BEGIN_ETHERNET:
        return TO_ETHERNET
    elif beginning == BEGIN_IP:
        return TO_IP
    elif beginning == BEGIN_COOKED:
        return enter_cooked(cursor, 16, 2, 14)
    elif beginning == BEGIN_COOKED_2:
        return enter_cooked(cursor, 20, 8, 0)
    elif beginning == BEGIN_FAMILY:
        return enter_null(cursor)
    elif beginning == BEGIN_PPP:
        return TO_PPP
    elif beginning == BEGIN_PPPOE:
        return TO_PPPOE
    elif beginning == BEGIN_MPLS:
        return TO_MPLS
    elif beginning == BEGIN_PPP_HDLC or beginning == BEGIN_CISCO_HDLC:
        return enter_hdlc(cursor, beginning == BEGIN_CISCO_HDLC)
    elif beginning == BEGIN_PPP_HDLC_WITH_DIRECTION or beginning == BEGIN_CISCO_HDLC_WITH_DIRECTION:
        return enter_with_direction(cursor, beginning == BEGIN_CISCO_HDLC_WITH_DIRECTION)
    elif beginning == BEGIN_DOT11:
        return enter_dot11(cursor, False)
    elif beginning == BEGIN_RADIOTAP:
        return enter_radiotap(cursor)
    elif beginning == BEGIN_PPI:
        return enter_ppi(cursor)
    elif beginning == BEGIN_PRISM or beginning == BEGIN_AVS:
        return enter_prism(cursor, beginning == BEGIN_AVS)
    elif beginning == BEGIN_TOKEN_RING:
        return enter_token_ring(cursor)
    elif beginning == BEGIN_ARCNET or beginning == BEGIN_ARCNET_LINUX:
        return enter_arcnet(cursor, 2 if beginning == BEGIN_ARCNET else 4)
    elif beginning == BEGIN_SLIP or beginning == BEGIN_FIBRE_CHANNEL:
        return skip_to(cursor, 16, TO_IP if beginning == BEGIN_SLIP else TO_LLC)
    elif beginning == BEGIN_FDDI:
        return enter_fddi(cursor)
    elif beginning == BEGIN_ATM:
        return enter_atm(cursor)
    elif beginning == BEGIN_SUNATM:
        return enter_sunatm(cursor)
    elif beginning == BEGIN_PFLOG:
        return enter_pflog(cursor)
    elif beginning == BEGIN_FIREWIRE:
        return tagged(cursor, 18)
    elif beginning == BEGIN_IPNET:
        return enter_ipnet(cursor)
    elif beginning == BEGIN_NFLOG:
        return enter_nflog(cursor)
    elif beginning == BEGIN_INFINIBAND:
        return enter_infiniband(cursor)
    elif beginning == BEGIN_MPACKET:
        return enter_mpacket(cursor)
    return UNSUPPORTED_LINK_TYPE


cdef inline int enter(uint32_t link_type, Cursor* cursor) noexcept nogil:
    """Skip the link-layer header of `link_type`; return the rule that follows, or a status."""
    cdef int beginning = beginning_of(link_type)
    cdef uint32_t length
    if beginning != BEGIN_PKTAP:
        return enter_link(beginning, cursor)
    if cursor.avail < 12:  # Apple's PKTAP: a header around a frame of another link type
        return TRUNCATED
    length = le32_at(cursor.at)
    if length < 12:
        return MALFORMED
    if le32_at(cursor.at + 4) != 1:
        return NON_IP
    beginning = beginning_of(le32_at(cursor.at + 8))
    if beginning == BEGIN_PKTAP:
        return MALFORMED
    advance(cursor, length)
    return enter_link(beginning, cursor)
