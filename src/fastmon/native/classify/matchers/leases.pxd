"""DHCP (RFC 2131, RFC 2132) and DHCPv6 (RFC 8415): see `classify/matchers/leases.py`."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy

from fastmon.native.classify.apps cimport DHCP, DHCP_FOLLOWS, DHCPV6, DHCPV6_FOLLOWS
from fastmon.native.classify.look cimport MAX_NAME, NO, Look, are_zero, certain, hinted_one, name_host, set_title
from fastmon.native.classify.memos cimport Memo, find_memo, keep_memo
from fastmon.native.classify.notes cimport BY_DHCP, BY_DHCPV6
from fastmon.native.wire cimport Key, be16_at, be32_at, v4_key, v6_key

cdef enum:  # options of DHCP
    PAD = 0
    HOST_NAME = 12
    REQUESTED_ADDRESS = 50
    CLIENT_FQDN = 81
    END = 255

cdef enum:  # options of DHCPv6
    V6_CLIENT_ID = 1
    V6_SERVER_ID = 2
    V6_IA_NA = 3
    V6_RELAY = 9
    V6_FQDN = 39
    N_V6_OPTIONS = 40  # those below are looked at

cdef enum:
    DHCP_MEMO = 1 << 8
    DHCPV6_MEMO = 2 << 8

cdef struct Option:
    const uint8_t* data  # NULL: it is not there
    uint32_t n


cdef inline Option find_option(const Look* look, uint8_t wanted) noexcept nogil:
    """Return a complete option of DHCP; the last one, if there are several."""
    cdef Option option
    cdef uint32_t at = 240, end
    option.data, option.n = NULL, 0
    while at + 1 < look.n and look.data[at] != END:
        end = at + 1 if look.data[at] == PAD else at + 2 + look.data[at + 1]
        if look.data[at] == wanted and wanted != PAD and end <= look.n:
            option.data, option.n = look.data + at + 2, look.data[at + 1]
        at = end
    return option


cdef inline void find_name(Look* look) noexcept nogil:
    """Set the title to the name that a client calls itself, here or in the request with the same number."""
    cdef uint64_t tag = <uint64_t>be32_at(look.data + 4) << 16 | DHCP_MEMO
    cdef Option name = find_option(look, HOST_NAME)
    cdef const Memo* memo
    while name.n and name.data[name.n - 1] == 0:
        name.n -= 1
    if name.n == 0:
        name = find_option(look, CLIENT_FQDN)
        if name.n:
            name.data += min(name.n, <uint32_t>3)
            name.n -= min(name.n, <uint32_t>3)
    if name.n:
        set_title(look, name.data, name.n)
        if look.data[0] == 1:
            keep_memo(look.memos, look.token, tag, name.data, name.n)
        return
    memo = find_memo(look.memos, look.token, tag)
    if memo != NULL:
        set_title(look, memo.data, memo.n)


cdef inline int dhcp(Look* look) noexcept nogil:
    """BOOTP's layout with DHCP's cookie. If cut before the cookie, an Ethernet address with its padding is evidence."""
    cdef const uint8_t* data = look.data
    cdef const uint8_t* address = NULL
    cdef Option requested
    cdef Key host
    if (data[1] != 1 and data[1] != 6 and data[1] != 7) or data[2] > 16 or data[3] > 16 or data[10] & 0x7F or data[11]:
        return NO
    if look.n < 240:
        if (data[1] == 1 and data[2] == 6 and look.n >= 40 and not are_zero(data + 28, 6)
                and are_zero(data + 34, min(look.n, <uint32_t>44) - 34) and not are_zero(data + 4, 4)):
            return certain(look, DHCP, DHCP_FOLLOWS)
        return hinted_one(look, DHCP) if data[2] == 6 else NO
    if memcmp(data + 236, b"\x63\x82\x53\x63", 4):
        return hinted_one(look, DHCP)  # BOOTP
    find_name(look)
    if not are_zero(data + 16, 4):
        address = data + 16
    elif not are_zero(data + 12, 4):
        address = data + 12
    else:
        requested = find_option(look, REQUESTED_ADDRESS)
        if requested.n == 4:
            address = requested.data
    if address != NULL and not are_zero(address, 4):
        host = v4_key(address)
        name_host(look, &host, BY_DHCP)
    return certain(look, DHCP, DHCP_FOLLOWS)


cdef inline bint is_identifier(const Option* option) noexcept nogil:
    """Whether an option is a DUID of a known type and possible length (RFC 8415, section 11; RFC 6355)."""
    if option.n < 8 or option.data[0] or not 1 <= option.data[1] <= 4:
        return False
    if option.data[1] == 1:
        return 10 <= option.n <= 28
    if option.data[1] == 2:
        return 8 <= option.n <= 130
    return 8 <= option.n <= 24 if option.data[1] == 3 else option.n == 18


cdef inline void add_to_title(Look* look, const uint8_t* text, uint32_t n) noexcept nogil:
    n = min(n, MAX_NAME - look.n_title)
    memcpy(look.title + look.n_title, text, n)
    look.n_title += n


cdef inline void set_fqdn(Look* look, const Option* option) noexcept nogil:
    """Set the title to the name in a client FQDN option (RFC 4704), with or without the final empty label."""
    cdef uint32_t at = 1, length
    look.n_title = 0
    while at < option.n and option.data[at]:
        length = option.data[at]
        if at + 1 + length > option.n:
            look.n_title = 0
            return
        if look.n_title:
            add_to_title(look, b".", 1)
        add_to_title(look, option.data + at + 1, length)
        at += 1 + length


cdef inline int dhcpv6(Look* look) noexcept nogil:
    """A message that two or more options fill, with the identifier of a client or server; or a relayed message.

    If the message is cut, it needs a whole identifier of a known form.
    """
    cdef const uint8_t* data = look.data
    cdef uint32_t at = 34 if data[0] == 12 or data[0] == 13 else 4
    cdef uint32_t kind = 0, n_kinds = 0, i, length
    cdef uint16_t[32] kinds
    cdef bint is_old, is_cut, is_filled
    cdef Option[N_V6_OPTIONS] options
    cdef const Memo* memo
    cdef Key host
    if not 1 <= data[0] <= 36:
        return NO
    for i in range(N_V6_OPTIONS):
        options[i].data, options[i].n = NULL, 0
    while at + 4 <= look.n:
        kind = be16_at(data + at)
        length = be16_at(data + at + 2)
        if not 1 <= kind <= 150:
            return NO
        if kind < N_V6_OPTIONS:
            options[kind].data = data + at + 4
            options[kind].n = min(length, look.n - at - 4)
        is_old = False
        for i in range(n_kinds):
            is_old = is_old or kinds[i] == kind
        if not is_old and n_kinds < 32:
            kinds[n_kinds] = <uint16_t>kind
            n_kinds += 1
        at += 4 + length
    if options[V6_CLIENT_ID].data == NULL and options[V6_SERVER_ID].data == NULL and options[V6_RELAY].data == NULL:
        return NO
    is_cut = at > look.n and (is_identifier(&options[V6_CLIENT_ID]) or is_identifier(&options[V6_SERVER_ID]))
    is_filled = at == look.n and (options[V6_RELAY].n >= 4
                                  or (n_kinds > 1 and (options[V6_CLIENT_ID].n > 2 or options[V6_SERVER_ID].n > 2)))
    if not is_cut and not is_filled:
        return hinted_one(look, DHCPV6)
    # A name may lack its final empty label, and nothing else: a part of a name may be the name of another host.
    if at <= look.n + 1 or kind != V6_FQDN:
        set_fqdn(look, &options[V6_FQDN])
    if look.n_title:
        keep_memo(look.memos, look.token, DHCPV6_MEMO, look.title, look.n_title)
    else:
        memo = find_memo(look.memos, look.token, DHCPV6_MEMO)
        if memo != NULL:
            set_title(look, memo.data, memo.n)
    if options[V6_IA_NA].n >= 32 and options[V6_IA_NA].data[12] == 0 and options[V6_IA_NA].data[13] == 5:
        host = v6_key(options[V6_IA_NA].data + 16)
        name_host(look, &host, BY_DHCPV6)
    return certain(look, DHCPV6, DHCPV6_FOLLOWS)
