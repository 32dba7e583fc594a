"""Where each link type's frames begin: LINKTYPE_ numbers and formats of https://www.tcpdump.org/linktypes.html.

`enter` skips the link-layer header and returns the first rule of `native/decode/headers.pxd`, or a status.
What it does not do: follow the rules from there.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t

from fastmon.native.decode.cooked cimport enter_cooked
from fastmon.native.decode.erf cimport ERF_IPV4, ERF_IPV6, erf_headers, erf_type, is_erf_ethernet, is_erf_hdlc
from fastmon.native.decode.headers cimport (
    MALFORMED, NON_IP, TO_ETHERNET, TO_IP, TO_LLC, TO_MPLS, TO_PPP, TO_PPPOE, TRUNCATED, UNSUPPORTED_LINK_TYPE, Cursor,
    advance, by_ethertype, tagged,
)
from fastmon.native.decode.wan cimport (
    LINK_FOLLOWS, enter_atm, enter_atm_clip, enter_frame_relay, enter_hdlc, enter_juniper, enter_juniper_cookie,
    enter_multilink, enter_sunatm,
)
from fastmon.native.decode.wireless cimport enter_dot11, enter_prism, enter_radiotap
from fastmon.native.wire cimport be16_at, le16_at, le32_at, swap32

cdef extern from *:
    """
    #define FM_JUNIPER 0xFF

    /* Every supported link type: its name and number, the bytes (or Juniper's header) before the header that counts, and that. */
    #define FM_LINK_TYPES(X) \
        X(NULL, 0, 0, FAMILY) \
        X(ETHERNET, 1, 0, ETHERNET) \
        X(AX25, 3, 0, AX25) \
        X(IEEE802_5, 6, 0, TOKEN_RING) \
        X(ARCNET_BSD, 7, 0, ARCNET) \
        X(SLIP, 8, 16, IP) \
        X(PPP, 9, 0, PPP) \
        X(FDDI, 10, 0, FDDI) \
        X(DLT_RAW, 12, 0, IP) \
        X(DLT_RAW_OPENBSD, 14, 0, IP) \
        X(PPP_HDLC, 50, 0, PPP_HDLC) \
        X(PPP_ETHER, 51, 0, PPPOE) \
        X(SYMANTEC_FIREWALL, 99, 0, SYMANTEC) \
        X(ATM_RFC1483, 100, 0, ATM) \
        X(RAW, 101, 0, IP) \
        X(C_HDLC, 104, 0, CISCO_HDLC) \
        X(IEEE802_11, 105, 0, DOT11) \
        X(ATM_CLIP, 106, 0, ATM_CLIP) \
        X(FRELAY, 107, 0, FRAME_RELAY) \
        X(LOOP, 108, 0, FAMILY) \
        X(ENC, 109, 0, ENC) \
        X(NETBSD_HDLC, 112, 0, CISCO_HDLC) \
        X(LINUX_SLL, 113, 0, COOKED) \
        X(PFLOG, 117, 0, PFLOG) \
        X(IEEE802_11_PRISM, 119, 0, PRISM) \
        X(IP_OVER_FC, 122, 16, LLC) \
        X(SUNATM, 123, 0, SUNATM) \
        X(IEEE802_11_RADIOTAP, 127, 0, RADIOTAP) \
        X(ARCNET_LINUX, 129, 0, ARCNET_LINUX) \
        X(JUNIPER_GGSN, 133, FM_JUNIPER, JUNIPER_COOKIE) \
        X(JUNIPER_SERVICES, 136, FM_JUNIPER, JUNIPER_COOKIE) \
        X(APPLE_IP_OVER_IEEE1394, 138, 16, TYPED) \
        X(USER2, 149, 0, PKTAP) \
        X(IEEE802_11_AVS, 163, 0, AVS) \
        X(JUNIPER_MONITOR, 164, FM_JUNIPER, JUNIPER_COOKIE) \
        X(PPP_PPPD, 166, 2, PPP) \
        X(JUNIPER_PPPOE, 167, FM_JUNIPER, ETHERNET) \
        X(JUNIPER_PPPOE_ATM, 168, FM_JUNIPER, TYPED) \
        X(JUNIPER_ETHER, 178, FM_JUNIPER, ETHERNET) \
        X(JUNIPER_PPP, 179, FM_JUNIPER, PPP) \
        X(JUNIPER_FRELAY, 180, FM_JUNIPER, FRAME_RELAY) \
        X(JUNIPER_CHDLC, 181, FM_JUNIPER, CISCO_HDLC) \
        X(MFR, 182, 0, MULTILINK) \
        X(PPI, 192, 0, PPI) \
        X(ERF, 197, 0, ERF) \
        X(AX25_KISS, 202, 1, AX25) \
        X(PPP_WITH_DIR, 204, 1, PPP_HDLC) \
        X(C_HDLC_WITH_DIR, 205, 1, CISCO_HDLC) \
        X(FRELAY_WITH_DIR, 206, 1, FRAME_RELAY) \
        X(MPLS, 219, 0, MPLS) \
        X(IPNET, 226, 0, IPNET) \
        X(IPV4, 228, 0, IP) \
        X(IPV6, 229, 0, IP) \
        X(NFLOG, 239, 0, NFLOG) \
        X(NETANALYZER, 240, 4, ETHERNET) \
        X(NETANALYZER_TRANSPARENT, 241, 12, ETHERNET) \
        X(IPOIB, 242, 0, INFINIBAND) \
        X(NETLINK, 253, 0, NON_IP) \
        X(PKTAP, 258, 0, PKTAP) \
        X(EPON, 259, 6, ETHERNET) \
        X(ETHERNET_MPACKET, 274, 0, MPACKET) \
        X(LINUX_SLL2, 276, 0, COOKED_2) \
        X(DSA_TAG_BRCM, 281, 16, TYPED) \
        X(DSA_TAG_BRCM_PREPEND, 282, 4, ETHERNET) \
        X(DSA_TAG_DSA, 284, 16, TYPED) \
        X(DSA_TAG_EDSA, 285, 20, TYPED) \
        X(ATSC_ALP, 289, 0, ALP)

    enum {
    #define FM_LINK_NUMBER(name, number, before, header) FM_LINK_##name = number,
        FM_LINK_TYPES(FM_LINK_NUMBER)
    };

    enum {
        FM_BEGIN_UNSUPPORTED, FM_BEGIN_FAMILY, FM_BEGIN_ETHERNET, FM_BEGIN_AX25, FM_BEGIN_TOKEN_RING, FM_BEGIN_ARCNET,
        FM_BEGIN_IP, FM_BEGIN_PPP, FM_BEGIN_FDDI, FM_BEGIN_PPP_HDLC, FM_BEGIN_PPPOE, FM_BEGIN_SYMANTEC, FM_BEGIN_ATM,
        FM_BEGIN_CISCO_HDLC, FM_BEGIN_DOT11, FM_BEGIN_ATM_CLIP, FM_BEGIN_FRAME_RELAY, FM_BEGIN_ENC, FM_BEGIN_COOKED,
        FM_BEGIN_PFLOG, FM_BEGIN_PRISM, FM_BEGIN_LLC, FM_BEGIN_SUNATM, FM_BEGIN_RADIOTAP, FM_BEGIN_ARCNET_LINUX,
        FM_BEGIN_JUNIPER_COOKIE, FM_BEGIN_TYPED, FM_BEGIN_AVS, FM_BEGIN_MULTILINK, FM_BEGIN_PPI, FM_BEGIN_MPLS,
        FM_BEGIN_IPNET, FM_BEGIN_NFLOG, FM_BEGIN_INFINIBAND, FM_BEGIN_NON_IP, FM_BEGIN_PKTAP, FM_BEGIN_MPACKET,
        FM_BEGIN_COOKED_2, FM_BEGIN_ALP, FM_BEGIN_ERF
    };

    /* By link type; 0 (unsupported) in between. */
    static const uint8_t fm_beginnings[] = {
    #define FM_LINK_BEGINNING(name, number, before, header) [number] = FM_BEGIN_##header,
        FM_LINK_TYPES(FM_LINK_BEGINNING)
    };
    static const uint8_t fm_before[] = {
    #define FM_LINK_BEFORE(name, number, before, header) [number] = before,
        FM_LINK_TYPES(FM_LINK_BEFORE)
    };
    #define FM_N_BEGINNINGS (sizeof(fm_beginnings) / sizeof(fm_beginnings[0]))
    """
    enum:
        LINK_ETHERNET "FM_LINK_ETHERNET"
        JUNIPER "FM_JUNIPER"
        LINK_ERF "FM_LINK_ERF"
    enum:
        BEGIN_UNSUPPORTED "FM_BEGIN_UNSUPPORTED"
        BEGIN_FAMILY "FM_BEGIN_FAMILY"
        BEGIN_ETHERNET "FM_BEGIN_ETHERNET"
        BEGIN_AX25 "FM_BEGIN_AX25"
        BEGIN_TOKEN_RING "FM_BEGIN_TOKEN_RING"
        BEGIN_ARCNET "FM_BEGIN_ARCNET"
        BEGIN_IP "FM_BEGIN_IP"
        BEGIN_PPP "FM_BEGIN_PPP"
        BEGIN_FDDI "FM_BEGIN_FDDI"
        BEGIN_PPP_HDLC "FM_BEGIN_PPP_HDLC"
        BEGIN_PPPOE "FM_BEGIN_PPPOE"
        BEGIN_SYMANTEC "FM_BEGIN_SYMANTEC"
        BEGIN_ATM "FM_BEGIN_ATM"
        BEGIN_CISCO_HDLC "FM_BEGIN_CISCO_HDLC"
        BEGIN_DOT11 "FM_BEGIN_DOT11"
        BEGIN_ATM_CLIP "FM_BEGIN_ATM_CLIP"
        BEGIN_FRAME_RELAY "FM_BEGIN_FRAME_RELAY"
        BEGIN_ENC "FM_BEGIN_ENC"
        BEGIN_COOKED "FM_BEGIN_COOKED"
        BEGIN_PFLOG "FM_BEGIN_PFLOG"
        BEGIN_PRISM "FM_BEGIN_PRISM"
        BEGIN_LLC "FM_BEGIN_LLC"
        BEGIN_SUNATM "FM_BEGIN_SUNATM"
        BEGIN_RADIOTAP "FM_BEGIN_RADIOTAP"
        BEGIN_ARCNET_LINUX "FM_BEGIN_ARCNET_LINUX"
        BEGIN_JUNIPER_COOKIE "FM_BEGIN_JUNIPER_COOKIE"
        BEGIN_TYPED "FM_BEGIN_TYPED"
        BEGIN_AVS "FM_BEGIN_AVS"
        BEGIN_MULTILINK "FM_BEGIN_MULTILINK"
        BEGIN_PPI "FM_BEGIN_PPI"
        BEGIN_MPLS "FM_BEGIN_MPLS"
        BEGIN_IPNET "FM_BEGIN_IPNET"
        BEGIN_NFLOG "FM_BEGIN_NFLOG"
        BEGIN_INFINIBAND "FM_BEGIN_INFINIBAND"
        BEGIN_NON_IP "FM_BEGIN_NON_IP"
        BEGIN_PKTAP "FM_BEGIN_PKTAP"
        BEGIN_MPACKET "FM_BEGIN_MPACKET"
        BEGIN_COOKED_2 "FM_BEGIN_COOKED_2"
        BEGIN_ALP "FM_BEGIN_ALP"
        BEGIN_ERF "FM_BEGIN_ERF"
    const uint8_t* BEGINNINGS "fm_beginnings"
    const uint8_t* BEFORE "fm_before"
    const uint32_t N_BEGINNINGS "FM_N_BEGINNINGS"


cdef inline int skip_to(Cursor* cursor, uint32_t length, int rule) noexcept nogil:
    if cursor.avail < length:
        return TRUNCATED
    advance(cursor, length)
    return rule


cdef inline int enter_family(Cursor* cursor, uint32_t length) noexcept nogil:
    """A header of `length` bytes that begins with an address family in the capturing host's byte order."""
    cdef uint32_t family
    if cursor.avail < length:
        return TRUNCATED
    family = le32_at(cursor.at)
    if family > 0xFFFF:
        family = swap32(family)
    if family > 0xFFFF:  # neither order: an EtherType behind a two-byte address
        family = be16_at(cursor.at + 2)
        if family < 0x0600:
            return NON_IP
    advance(cursor, length)
    if family in (2, 10, 23, 24, 28, 30):  # AF_INET, and AF_INET6 of Linux, Windows, NetBSD, FreeBSD, macOS
        return TO_IP
    return by_ethertype(<uint16_t>family) if family >= 0x0600 else NON_IP


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


cdef inline int enter_erf(Cursor* cursor) noexcept nogil:
    """A record of Endace's extensible record format."""
    cdef uint32_t length = erf_headers(cursor.at, cursor.avail)
    cdef uint8_t kind
    if length == 0:
        return TRUNCATED
    kind = erf_type(cursor.at)
    advance(cursor, length)
    if is_erf_ethernet(kind):
        return TO_ETHERNET
    if is_erf_hdlc(kind):
        return enter_hdlc(cursor, False)
    return TO_IP if kind == ERF_IPV4 or kind == ERF_IPV6 else NON_IP


cdef inline int enter_typed_before(Cursor* cursor, uint32_t length, uint32_t type_at) noexcept nogil:
    """A header of `length` bytes with an EtherType at `type_at`."""
    cdef uint16_t ethertype
    if cursor.avail < length:
        return TRUNCATED
    ethertype = be16_at(cursor.at + type_at)
    advance(cursor, length)
    return by_ethertype(ethertype)


cdef inline int enter_ax25(Cursor* cursor) noexcept nogil:
    """AX.25 (version 2.2 section 3): addresses of 7 bytes, the last of them marked, then control and protocol."""
    cdef uint32_t length = 14
    if cursor.avail < length:
        return TRUNCATED
    while not cursor.at[length - 1] & 1:
        length += 7
        if length > 70:
            return MALFORMED
        if cursor.avail < length:
            return TRUNCATED
    if cursor.avail < length + 2:
        return TRUNCATED
    if cursor.at[length] & 1 and cursor.at[length] & 0xEF != 0x03:  # neither information nor unnumbered information
        return NON_IP
    return skip_to(cursor, length + 2, TO_IP if cursor.at[length + 1] == 0xCC else NON_IP)


cdef inline int enter_alp(Cursor* cursor) noexcept nogil:
    """ATSC's link layer (A/330 section 5): one IPv4 packet, several, or a segment of one."""
    cdef const uint8_t* header = cursor.at
    cdef uint32_t length = 2
    if cursor.avail < 2:
        return TRUNCATED
    if header[0] >> 5 != 0:
        return NON_IP
    if not header[0] & 0x18:
        return skip_to(cursor, 2, TO_IP)
    if cursor.avail < 3:
        return TRUNCATED
    if header[0] & 0x18 == 0x18:  # lengths of 12 bits, and the stream's number
        advance(cursor, 3 + ((12 * ((header[2] >> 1 & 7) + 1) + 7) >> 3) + (header[2] & 1))
        return TO_IP
    if header[0] & 0x10 and header[2] >> 3:  # a later segment
        return NON_IP
    length = 3 + (header[2] >> 1 & 1)
    if header[2] & 1:
        if cursor.avail < length + 2:
            return TRUNCATED
        length += 3 + header[length + 1]
    advance(cursor, length)
    return TO_IP


cdef inline int beginning_of(uint32_t link_type) noexcept nogil:
    """Return which header the frames of `link_type` begin with, behind what stands before it: one of BEGIN_*."""
    return BEGINNINGS[link_type] if link_type < N_BEGINNINGS else <int>BEGIN_UNSUPPORTED


cdef inline int enter_header(int beginning, Cursor* cursor) noexcept nogil:
    """Skip a link-layer header, any but PKTAP's and PPI's; return the rule that follows, or a status."""
    if beginning == BEGIN_ETHERNET:
        return TO_ETHERNET
    elif beginning == BEGIN_IP:
        return TO_IP
    elif beginning == BEGIN_COOKED or beginning == BEGIN_COOKED_2:
        return enter_cooked(cursor, beginning == BEGIN_COOKED_2)
    elif beginning == BEGIN_FAMILY:
        return enter_family(cursor, 4)
    elif beginning == BEGIN_ENC:
        return enter_family(cursor, 12)
    elif beginning == BEGIN_PPP:
        return TO_PPP
    elif beginning == BEGIN_PPPOE:
        return TO_PPPOE
    elif beginning == BEGIN_MPLS:
        return TO_MPLS
    elif beginning == BEGIN_LLC:
        return TO_LLC
    elif beginning == BEGIN_TYPED:
        return tagged(cursor, 2)
    elif beginning == BEGIN_PPP_HDLC or beginning == BEGIN_CISCO_HDLC:
        return enter_hdlc(cursor, beginning == BEGIN_CISCO_HDLC)
    elif beginning == BEGIN_FRAME_RELAY:
        return enter_frame_relay(cursor)
    elif beginning == BEGIN_MULTILINK:
        return enter_multilink(cursor)
    elif beginning == BEGIN_JUNIPER_COOKIE:
        return enter_juniper_cookie(cursor)
    elif beginning == BEGIN_DOT11:
        return enter_dot11(cursor, False)
    elif beginning == BEGIN_RADIOTAP:
        return enter_radiotap(cursor)
    elif beginning == BEGIN_ERF:
        return enter_erf(cursor)
    elif beginning == BEGIN_PRISM or beginning == BEGIN_AVS:
        return enter_prism(cursor, beginning == BEGIN_AVS)
    elif beginning == BEGIN_TOKEN_RING:
        return enter_token_ring(cursor)
    elif beginning == BEGIN_ARCNET or beginning == BEGIN_ARCNET_LINUX:
        return enter_arcnet(cursor, 2 if beginning == BEGIN_ARCNET else 4)
    elif beginning == BEGIN_AX25:
        return enter_ax25(cursor)
    elif beginning == BEGIN_FDDI:
        return enter_fddi(cursor)
    elif beginning == BEGIN_ATM:
        return enter_atm(cursor)
    elif beginning == BEGIN_ATM_CLIP:
        return enter_atm_clip(cursor)
    elif beginning == BEGIN_SUNATM:
        return enter_sunatm(cursor)
    elif beginning == BEGIN_PFLOG:
        return enter_pflog(cursor)
    elif beginning == BEGIN_SYMANTEC:
        return enter_typed_before(cursor, 44, 6)
    elif beginning == BEGIN_INFINIBAND:  # IP over InfiniBand (RFC 4391)
        return enter_typed_before(cursor, 44, 40)
    elif beginning == BEGIN_IPNET:
        return enter_ipnet(cursor)
    elif beginning == BEGIN_NFLOG:
        return enter_nflog(cursor)
    elif beginning == BEGIN_MPACKET:
        return enter_mpacket(cursor)
    elif beginning == BEGIN_ALP:
        return enter_alp(cursor)
    return NON_IP if beginning == BEGIN_NON_IP else UNSUPPORTED_LINK_TYPE


cdef inline int enter_link(uint32_t link_type, Cursor* cursor) noexcept nogil:
    """Skip all up to the header that counts; a frame of PKTAP or PPI in one of these is malformed."""
    cdef int beginning = beginning_of(link_type)
    cdef int following = LINK_FOLLOWS
    if beginning == BEGIN_UNSUPPORTED:
        return UNSUPPORTED_LINK_TYPE
    if beginning == BEGIN_PKTAP or beginning == BEGIN_PPI:
        return MALFORMED
    if BEFORE[link_type] == JUNIPER:
        following = enter_juniper(cursor)
    elif BEFORE[link_type]:
        following = skip_to(cursor, BEFORE[link_type], LINK_FOLLOWS)
    return enter_header(beginning, cursor) if following == LINK_FOLLOWS else following


cdef inline int enter_pktap(Cursor* cursor) noexcept nogil:
    """Apple's packet tap: a header around a frame of another link type. Apple's own files have the number 149."""
    cdef const uint8_t* header = cursor.at
    if cursor.avail < 12:
        return TRUNCATED
    if le32_at(header) < 12:
        return MALFORMED
    if le32_at(header + 4) != 1:
        return NON_IP
    advance(cursor, le32_at(header))
    return enter_link(le32_at(header + 8), cursor)


cdef inline int enter_ppi(Cursor* cursor) noexcept nogil:
    """Per-packet information around a frame of another link type."""
    cdef const uint8_t* header = cursor.at
    if cursor.avail < 8:
        return TRUNCATED
    if le16_at(header + 2) < 8:
        return MALFORMED
    advance(cursor, le16_at(header + 2))
    return enter_link(le32_at(header + 4), cursor)


cdef inline int enter(uint32_t link_type, Cursor* cursor) noexcept nogil:
    """Skip the link-layer header of `link_type`; return the rule that follows, or a status."""
    cdef int beginning
    if link_type == LINK_ETHERNET:
        return TO_ETHERNET
    beginning = beginning_of(link_type)
    if beginning == BEGIN_PKTAP:
        return enter_pktap(cursor)
    return enter_ppi(cursor) if beginning == BEGIN_PPI else enter_link(link_type, cursor)
