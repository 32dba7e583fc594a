"""HTTP/1 (RFC 9112), the start of HTTP/2 (RFC 9113), SSDP, and a first look at RTSP: see `classify/matchers/web.py`."""

from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcmp

from fastmon.native.classify.apps cimport BITTORRENT, HTTP, NOTHING_FOLLOWS, SSDP
from fastmon.native.classify.look cimport (
    ASK, CERTAIN, MAX_NAME, NO, Look, begins, certain, contains, find_byte, is_digit, is_letter, is_space, likely_one, name_host,
    set_title,
)
from fastmon.native.classify.notes cimport BY_HTTP

cdef enum:
    MAX_TARGET = 1490

cdef extern from *:
    """
    static const char *const FM_METHODS[] = {
        "GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "CONNECT", "TRACE", "PATCH", "PROPFIND", "PROPPATCH", "MKCOL",
        "COPY", "MOVE", "LOCK", "UNLOCK", "REPORT", "SEARCH", "SUBSCRIBE", "UNSUBSCRIBE", "NOTIFY", "RPC_IN_DATA",
        "RPC_OUT_DATA", "BITS_POST", "CCM_POST", "SSTP_DUPLEX_POST", "MERGE", 0};

    /* The length of the method that the data begin with, and a space; 0 if there is none. */
    static inline uint32_t fm_method(const uint8_t *data, uint32_t n) {
        for (const char *const *method = FM_METHODS; *method; method++) {
            uint32_t length = (uint32_t)strlen(*method);
            if ((uint8_t)**method == data[0] && length < n && data[length] == ' ' && !memcmp(data, *method, length))
                return length;
        }
        return 0;
    }
    """
    uint32_t method_length "fm_method"(const uint8_t* data, uint32_t n) noexcept nogil

cdef struct RequestLine:
    const uint8_t* target
    uint32_t n_target
    uint32_t end
    bint has_version


cdef inline bint read_request(const Look* look, uint32_t n_method, RequestLine* line) noexcept nogil:
    """Read a request line: its target ends where " HTTP/" and a digit, a line's end, or the data's end come first."""
    cdef const uint8_t* data = look.data
    cdef uint32_t start = n_method + 1, at = n_method + 1
    line.target = data + start
    while at < look.n and data[at] != 0x0A and data[at] != 0x0D and at - start <= MAX_TARGET:
        if at > start and data[at] == 0x20 and begins(look, at, b" HTTP/", 6) and at + 6 < look.n and is_digit(data[at + 6]):
            line.n_target, line.end, line.has_version = at - start, at + 7, True
            return True
        at += 1
    line.n_target, line.end, line.has_version = at - start, at, False
    if at == start or at - start > MAX_TARGET:
        return False
    if at < look.n:
        line.end = at + 1
        if data[at] == 0x0D:
            line.end = at + 2
            return at + 1 < look.n and data[at + 1] == 0x0A
    return True


cdef inline bint is_target_byte(uint8_t byte) noexcept nogil:
    return 0x21 <= byte <= 0x7E or byte >= 0x80


cdef inline bint is_target(const uint8_t* data, uint32_t n) noexcept nogil:
    """Whether it is a path, a URI, or a host and port, up to the end, where a part of " HTTP/" may follow."""
    cdef uint32_t at = 0, n_suffix = 0
    if data[0] == 0x2F or data[0] == 0x2A or data[0] == 0x3F:
        at = 1
    else:
        while at < n and is_letter(data[at]):
            at += 1
        if not (2 <= at <= 8 and at + 3 <= n and memcmp(data + at, b"://", 3) == 0):
            at = 0
            while at < n and (is_letter(data[at]) or is_digit(data[at]) or data[at] == 0x5F or data[at] == 0x2E
                              or data[at] == 0x2D):
                at += 1
            if at == 0 or at + 1 >= n or data[at] != 0x3A or not is_digit(data[at + 1]):
                return False
    while at < n and is_target_byte(data[at]):
        at += 1
    if at == n:
        return True
    if data[at] != 0x20:
        return False
    at += 1
    while at < n and n_suffix < 4 and (data[at] == 0x48 or data[at] == 0x54 or data[at] == 0x50):
        at += 1
        n_suffix += 1
    if at < n and data[at] == 0x2F:
        at += 1
    return at == n


cdef inline bint asks_tracker(const uint8_t* target, uint32_t n) noexcept nogil:
    """Whether the target of a request is a BitTorrent tracker's (BEP 3, BEP 48)."""
    return (target[0] == 0x2F and (contains(target, n, b"announce", 8) or contains(target, n, b"scrape", 6))
            and (contains(target, n, b"?info_hash=", 11) or contains(target, n, b"&info_hash=", 11)))


cdef inline void set_host(Look* look, const uint8_t* name, uint32_t n) noexcept nogil:
    """Set the title to a host without its port."""
    cdef uint32_t i, n_colons = 0, colon = 0
    n = min(n, <uint32_t>MAX_NAME)
    if n and name[0] == 0x5B:
        name += 1
        n -= 1
        for i in range(n):
            if name[i] == 0x5D:
                n = i
                break
        set_title(look, name, n)
        return
    for i in range(n):
        if name[i] == 0x3A:
            n_colons += 1
            colon = i
    set_title(look, name, colon if n_colons == 1 else n)


cdef inline bint find_host(const Look* look, const uint8_t** host, uint32_t* n_host) noexcept nogil:
    """Find the first Host field with a value and an end, and its value without spaces around it."""
    cdef const uint8_t* data = look.data
    cdef uint32_t at = find_byte(look, 0, 0x0A), start, end
    while at < look.n:
        start = at + 6
        if (start <= look.n and data[at + 1] & 0xDF == 0x48 and data[at + 2] & 0xDF == 0x4F and data[at + 3] & 0xDF == 0x53
                and data[at + 4] & 0xDF == 0x54 and data[at + 5] == 0x3A):
            end = start
            while end < look.n and data[end] != 0x0A and data[end] != 0x0D:
                end += 1
            if start < end < look.n:
                while start < end and is_space(data[start]):
                    start += 1
                while start < end and is_space(data[end - 1]):
                    end -= 1
                host[0], n_host[0] = data + start, end - start
                return True
        at = find_byte(look, at + 1, 0x0A)
    return False


cdef inline void set_host_of_uri(Look* look, const RequestLine* line) noexcept nogil:
    """Set the title to the host of an absolute URI, if it is whole."""
    cdef const uint8_t* uri = line.target
    cdef uint32_t start = 0, end
    while start + 3 <= line.n_target and memcmp(uri + start, b"://", 3):
        start += 1
    start += 3
    if start >= line.n_target:
        return
    end = start
    while end < line.n_target and uri[end] != 0x2F:
        end += 1
    if end < line.n_target or line.has_version:
        set_host(look, uri + start, end - start)


cdef inline bint is_status_line(const Look* look) noexcept nogil:
    """Whether it begins with HTTP/ or ICY, a version, and a status code."""
    cdef const uint8_t* data = look.data
    cdef uint32_t at = 3
    if data[0] == 0x48:
        if look.n < 6 or not 0x30 <= data[5] <= 0x32:
            return False
        at = 6
        if at + 1 < look.n and data[at] == 0x2E and is_digit(data[at + 1]):
            at += 2
    return (at + 5 <= look.n and data[at] == 0x20 and 0x31 <= data[at + 1] <= 0x39 and is_digit(data[at + 2])
            and is_digit(data[at + 3]) and (data[at + 4] == 0x20 or data[at + 4] == 0x0D or data[at + 4] == 0x0A))


cdef inline int http(Look* look) noexcept nogil:
    """A request or response of HTTP/1, or the preface of HTTP/2."""
    cdef RequestLine line
    cdef const uint8_t* host = NULL
    cdef uint32_t n_host = 0, n_method
    cdef bint is_proxied
    if begins(look, 0, b"HTTP/", 5) or begins(look, 0, b"ICY ", 4):
        return certain(look, HTTP, NOTHING_FOLLOWS) if is_status_line(look) else NO
    if begins(look, 0, b"PRI * HTTP/2.0", 14):
        return certain(look, HTTP, NOTHING_FOLLOWS)
    n_method = method_length(look.data, look.n)
    if n_method == 0 or not read_request(look, n_method, &line) or not is_target(line.target, line.n_target):
        return NO
    if not line.has_version and (line.end < look.n or look.n < 5):
        return NO
    if n_method == 3 and look.data[0] == 0x47 and asks_tracker(line.target, line.n_target):
        return certain(look, BITTORRENT, NOTHING_FOLLOWS)
    if not find_host(look, &host, &n_host):
        set_host_of_uri(look, &line)
        return certain(look, HTTP, NOTHING_FOLLOWS)
    set_host(look, host, n_host)
    is_proxied = begins(look, 0, b"CONNECT", 7) or (line.target[0] != 0x2F and line.target[0] != 0x2A)
    if not is_proxied and contains(look.title, look.n_title, b"%", 1) and contains(look.title, look.n_title, b":", 1):
        return ASK  # maybe an address with a zone, which is no name
    if not is_proxied:
        name_host(look, &look.dst, BY_HTTP)
    return certain(look, HTTP, NOTHING_FOLLOWS)


cdef inline bint has_ssdp_field(const Look* look) noexcept nogil:
    cdef uint32_t at = find_byte(look, 0, 0x0A), left
    cdef const uint8_t* field
    while at < look.n:
        field = look.data + at + 1
        left = look.n - at - 1
        if left >= 3 and field[2] == 0x3A and field[1] & 0xDF == 0x54 and (field[0] & 0xDF == 0x53 or field[0] & 0xDF == 0x4E):
            return True
        if left >= 4 and field[3] == 0x3A and ((field[0] & 0xDF == 0x55 and field[1] & 0xDF == 0x53 and field[2] & 0xDF == 0x4E)
                                               or (field[0] & 0xDF == 0x4D and field[1] & 0xDF == 0x41
                                                   and field[2] & 0xDF == 0x4E)):
            return True
        at = find_byte(look, at + 1, 0x0A)
    return False


cdef inline int ssdp(Look* look) noexcept nogil:
    """UPnP discovery: lines of HTTP in datagrams."""
    if begins(look, 0, b"M-SEARCH *", 10) or begins(look, 0, b"NOTIFY *", 8):
        return certain(look, SSDP, NOTHING_FOLLOWS)
    if begins(look, 0, b"HTTP/1.1 200", 12) or begins(look, 0, b"HTTP/1.0 200", 12):
        return certain(look, SSDP, NOTHING_FOLLOWS) if has_ssdp_field(look) else likely_one(look, SSDP)
    return certain(look, BITTORRENT, NOTHING_FOLLOWS) if begins(look, 0, b"BT-SEARCH * HTTP/1", 18) else NO


cdef inline int rtsp(Look* look) noexcept nogil:
    """Whether Python must look for RTSP: a "$" with a frame, or the name of the protocol anywhere."""
    if look.data[0] == 0x24:
        return ASK if look.n > 15 and look.data[1] < 8 and look.data[4] >> 6 == 2 else NO
    if contains(look.data, look.n, b"RTSP/", 5) or contains(look.data, look.n, b"rtsp", 4):
        return ASK
    return NO
