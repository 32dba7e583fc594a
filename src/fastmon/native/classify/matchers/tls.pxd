"""TLS (RFC 8446, RFC 5246), SSL 2.0's hello, and DTLS (RFC 6347, RFC 9147): see `classify/matchers/tls.py`.

What it does not do: keep a hello whose rest is still to come (`native/classify/hellos.pxd`).
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memcmp, memcpy

from fastmon.native.classify.apps cimport (
    AMQP, CERTIFICATE_FOLLOWS, COAP, DOH, DOT, DTLS, FTP, FTP_DATA, HELLO_FOLLOWS, HTTPS, IMAP, IRC, LDAP, MQTT, MSSQL, NNTP,
    NOTHING_FOLLOWS, POP3, POSTGRESQL, RDP, SIP, SMTP, STUN, TELNET, TLS, UNKNOWN, XMPP,
)
from fastmon.native.classify.hellos cimport MAX_HELLO, MAX_STREAM, Hello, add_to_hello, find_hello, keep_hello
from fastmon.native.classify.look cimport (
    MAX_NAME, NO, Look, are_zero, certain, is_digit, is_letter, likely_one, name_host, set_title,
)
from fastmon.native.classify.notes cimport BY_SNI, CERTIFICATE, CLIENT_HELLO, note_detail
from fastmon.native.classify.suffixes cimport is_among
from fastmon.native.decode.entry cimport MAX_PAYLOAD
from fastmon.native.wire cimport be16_at

cdef enum:
    CHANGE_CIPHER = 20
    ALERT = 21
    HANDSHAKE = 22
    APPLICATION_DATA = 23
    HEARTBEAT = 24
    MAX_RECORD = 16384 + 2048

cdef enum:  # messages of the handshake
    SERVER_HELLO = 2
    SERVER_CERTIFICATE = 11

cdef enum:  # extensions
    SERVER_NAME = 0
    ALPN = 16

cdef struct ClientHello:
    const uint8_t* server_name  # NULL: there is none
    uint32_t n_server_name
    int app  # by ALPN; UNKNOWN: by the port
    bint is_whole
    const uint8_t* message  # with its header
    uint32_t n_message


cdef inline uint32_t be24_at(const uint8_t* p) noexcept nogil:
    return <uint32_t>p[0] << 16 | be16_at(p + 1)


cdef inline bint is_named(const uint8_t* name, uint32_t n, const char* text, uint32_t n_text) noexcept nogil:
    return n == n_text and memcmp(name, text, n) == 0


cdef inline int app_by_alpn(const uint8_t* name, uint32_t n) noexcept nogil:
    """Return the application of a protocol's name (IANA's registry of ALPN); UNKNOWN for others."""
    if is_named(name, n, b"h2", 2) or is_named(name, n, b"http/1.1", 8) or is_named(name, n, b"http/1.0", 8):
        return HTTPS
    if is_named(name, n, b"imap", 4):
        return IMAP
    if is_named(name, n, b"pop3", 4):
        return POP3
    if is_named(name, n, b"smtp", 4):
        return SMTP
    if is_named(name, n, b"ftp", 3):
        return FTP
    if is_named(name, n, b"dot", 3):
        return DOT
    if is_named(name, n, b"mqtt", 4) or is_named(name, n, b"x-amzn-mqtt-ca", 14):
        return MQTT
    if is_named(name, n, b"sip/2", 5):
        return SIP
    if is_named(name, n, b"stun.turn", 9) or is_named(name, n, b"stun.nat-discovery", 18):
        return STUN
    if is_named(name, n, b"xmpp-client", 11) or is_named(name, n, b"xmpp-server", 11):
        return XMPP
    if is_named(name, n, b"coap", 4):
        return COAP
    if is_named(name, n, b"irc", 3):
        return IRC
    if is_named(name, n, b"nntp", 4):
        return NNTP
    if is_named(name, n, b"postgresql", 10):
        return POSTGRESQL
    return MSSQL if is_named(name, n, b"tds/8.0", 7) else UNKNOWN


cdef inline int app_by_tls_port(uint16_t port) noexcept nogil:
    if port == 443 or port == 8443:
        return HTTPS
    if port == 465:
        return SMTP
    if port == 563:
        return NNTP
    if port == 636 or port == 3269:
        return LDAP
    if port == 853:
        return DOT
    if port == 989:
        return FTP_DATA
    if port == 990:
        return FTP
    if port == 992:
        return TELNET
    if port == 993:
        return IMAP
    if port == 995:
        return POP3
    if port == 3389:
        return RDP
    if port == 5061:
        return SIP
    if port == 5223:
        return XMPP
    if port == 5349:
        return STUN
    if port == 5671:
        return AMQP
    if port == 5684:
        return COAP
    if port == 6697:
        return IRC
    return MQTT if port == 8883 else UNKNOWN


cdef inline int app_within(const Look* look, int by_alpn) noexcept nogil:
    """Return what TLS carries: by ALPN, else by the receiver's port, else by the sender's."""
    cdef int app = by_alpn
    if app == UNKNOWN:
        app = app_by_tls_port(look.dst_port)
    if app == UNKNOWN:
        app = app_by_tls_port(look.src_port)
    return TLS if app == UNKNOWN else app


cdef inline int app_of_hello(const Look* look, const ClientHello* hello) noexcept nogil:
    """Return what TLS carries; HTTPS with the name of a public resolver is DNS."""
    cdef int app = app_within(look, hello.app)
    if (app == HTTPS and hello.server_name != NULL
            and is_among(look.resolvers, hello.server_name, min(hello.n_server_name, <uint32_t>MAX_NAME))):
        return DOH
    return app


cdef inline int app_of_protocols(const uint8_t* body, uint32_t n) noexcept nogil:
    """Return the application of the first protocol in an ALPN extension that has one."""
    cdef uint32_t at = 2, length
    cdef int app = UNKNOWN
    while at < n and app == UNKNOWN:
        length = min(<uint32_t>body[at], n - at - 1)
        app = app_by_alpn(body + at + 1, length)
        at += 1 + <uint32_t>body[at]
    return app


cdef inline void read_client_hello(const uint8_t* hello, uint32_t n, ClientHello* found) noexcept nogil:
    """Read a ClientHello as far as it is there (RFC 8446, section 4.1.2)."""
    cdef uint32_t end, at = 38, size, kind, length, n_body, i
    cdef const uint8_t* body
    found.server_name = NULL
    found.n_server_name = 0
    found.app = UNKNOWN
    found.is_whole = False
    if n < 4:
        return
    end = min(n, 4 + be24_at(hello + 1))
    found.message, found.n_message = hello, end
    for i in range(3):  # session id, cipher suites, compression methods
        size = 2 if i == 1 else 1
        if at + size > end:
            return
        at += size + (be16_at(hello + at) if i == 1 else hello[at])
    found.is_whole = end == 4 + be24_at(hello + 1)
    at += 2
    while at + 4 <= end:
        kind = be16_at(hello + at)
        length = be16_at(hello + at + 2)
        at += 4
        body = hello + at
        n_body = min(length, end - at)
        if kind == SERVER_NAME and length == n_body and n_body > 5 and body[2] == 0:
            found.server_name = body + 5
            found.n_server_name = min(<uint32_t>be16_at(body + 3), n_body - 5)
        elif kind == ALPN and length == n_body:
            found.app = app_of_protocols(body, n_body)
        at += length


cdef inline bint is_host_name(const uint8_t* name, uint32_t n) noexcept nogil:
    cdef uint32_t i
    for i in range(n):
        if not (is_letter(name[i]) or is_digit(name[i]) or name[i] == 0x2E or name[i] == 0x5F or name[i] == 0x2D):
            return False
    return n > 0


cdef inline uint32_t join_handshake(const uint8_t* stream, uint32_t n, uint8_t* hello) noexcept nogil:
    """Join the contents of the handshake records; return their length. `hello` has room for `n` bytes."""
    cdef uint32_t at = 0, length, n_joined = 0
    while at + 5 <= n and stream[at] == HANDSHAKE:
        length = be16_at(stream + at + 3)
        memcpy(hello + n_joined, stream + at + 5, min(length, n - at - 5))
        n_joined += min(length, n - at - 5)
        at += 5 + length
    return n_joined


cdef inline void read_stream(const uint8_t* stream, uint32_t n, ClientHello* found, uint8_t* joined) noexcept nogil:
    """Read the hello with which a stream of at least 5 bytes begins. `joined` has room for `n` bytes."""
    if n <= 5 + <uint32_t>be16_at(stream + 3):
        read_client_hello(stream + 5, n - 5, found)
    else:
        read_client_hello(joined, join_handshake(stream, n, joined), found)


cdef inline int tell_hello(Look* look, const ClientHello* hello, bint is_joined) noexcept nogil:
    """Say what a hello tells. is_joined: of several segments, between which bytes may be missing."""
    if hello.server_name != NULL and (not is_joined or is_host_name(hello.server_name, hello.n_server_name)):
        set_title(look, hello.server_name, hello.n_server_name)
        name_host(look, &look.dst, BY_SNI)
    if not hello.is_whole:
        return certain(look, app_of_hello(look, hello), HELLO_FOLLOWS)
    note_detail(look.notes, look.token, CLIENT_HELLO, hello.message, hello.n_message)
    return certain(look, app_of_hello(look, hello), CERTIFICATE_FOLLOWS if look.notes.keeps_details else NOTHING_FOLLOWS)


cdef inline bint is_handshake_type(uint8_t kind) noexcept nogil:
    return kind <= 25 and 0x3F1F97F >> kind & 1 or kind == 67


cdef inline bint records_follow(const uint8_t* data, uint32_t n, uint32_t at) noexcept nogil:
    """Whether the bytes at `at`, if there are any, begin like a record."""
    return at >= n or (20 <= data[at] <= 24 and (at + 1 >= n or data[at + 1] == 3))


cdef inline int tls(Look* look) noexcept nogil:
    """TLS and SSL 3.0 records, at any point of a connection where a record begins."""
    cdef const uint8_t* data = look.data
    cdef uint32_t length
    cdef ClientHello hello
    cdef uint8_t[MAX_PAYLOAD] joined
    if look.n < 5 or data[1] != 3 or data[2] > 4:
        return NO
    length = be16_at(data + 3)
    if length == 0 or length > MAX_RECORD or not records_follow(data, look.n, 5 + length):
        return NO
    if data[0] == HANDSHAKE:
        if length < 4:
            return NO
        if look.n > 5 and data[5] == 1:
            if look.n >= 11 and not (data[9] == 3 and data[10] <= 4):
                return NO
            read_stream(data, look.n, &hello, joined)
            if not hello.is_whole:
                keep_hello(look.hellos, look.token, look.from_a, data, look.n)
            return tell_hello(look, &hello, False)
        if look.n > 5 and not is_handshake_type(data[5]) and (length < 40 or length > 100):
            return NO
    elif data[0] == APPLICATION_DATA:
        if length < 16:
            return NO
    elif ((data[0] == CHANGE_CIPHER and length != 1) or (data[0] == ALERT and length != 2 and not 16 <= length <= 80)
            or data[0] == HEARTBEAT):
        return NO
    return certain(look, app_within(look, UNKNOWN), begin_answer(look) if is_server_hello(look) else NOTHING_FOLLOWS)


cdef inline bint lacks_bytes(const uint8_t* stream, uint32_t n) noexcept nogil:
    """Whether the last record of a stream is incomplete."""
    cdef uint32_t at = 0
    while at + 5 <= n:
        at += 5 + <uint32_t>be16_at(stream + at + 3)
    return at != n


cdef inline bint is_cut(const Hello* earlier, const Look* look) noexcept nogil:
    """Whether a new record begins in place of the rest of the earlier one: the capture has cut that."""
    cdef const uint8_t* data = look.data
    return (lacks_bytes(earlier.data, earlier.n) and 20 <= data[0] <= 23 and look.n > 1 and data[1] == 3
            and (look.n == 2 or data[2] <= 4))


cdef inline int more_of_hello(Look* look) noexcept nogil:
    """The next segment of a stream that began with a hello."""
    cdef Hello* earlier = find_hello(look.hellos, look.token, look.from_a)
    cdef ClientHello hello
    cdef uint8_t[MAX_STREAM] joined
    if earlier == NULL:
        return NO
    if is_cut(earlier, look):
        read_stream(earlier.data, earlier.n, &hello, joined)
        return certain(look, app_of_hello(look, &hello), NOTHING_FOLLOWS)
    add_to_hello(earlier, look.data, look.n)
    read_stream(earlier.data, earlier.n, &hello, joined)
    if hello.is_whole:
        earlier.n = 0
    return tell_hello(look, &hello, True)


cdef inline bint is_server_hello(const Look* look) noexcept nogil:
    return look.data[0] == HANDSHAKE and look.n > 5 and look.data[5] == SERVER_HELLO


cdef inline bint read_answer(const uint8_t* messages, uint32_t n, const uint8_t** found, uint32_t* n_found) noexcept nogil:
    """Find the first certificate, as much of it as is there (RFC 5246, section 7.4.2); False if no more of it can follow."""
    cdef uint32_t at = 0, length
    n_found[0] = 0
    while at + 4 <= n and messages[at] == SERVER_HELLO:
        length = be24_at(messages + at + 1)
        if length > n - at - 4:
            return True
        at += 4 + length
    if at == n or messages[at] == SERVER_HELLO:
        return True
    if messages[at] != SERVER_CERTIFICATE:
        return False
    if at + 10 > n:
        return True
    length = be24_at(messages + at + 7)
    found[0] = messages + at + 10
    n_found[0] = min(length, n - at - 10)
    return n_found[0] < length


cdef inline bint answer_goes_on(Look* look, const Hello* answer, bint is_over) noexcept nogil:
    """Whether more of a server's answer is needed. If not, note its certificate. is_over: nothing follows."""
    cdef uint8_t[MAX_STREAM] joined
    cdef const uint8_t* found
    cdef uint32_t n_found, n_joined = join_handshake(answer.data, answer.n, joined)
    if read_answer(joined, n_joined, &found, &n_found) and not is_over and only_handshake(answer.data, answer.n):
        return True
    if n_found:
        note_detail(look.notes, look.token, CERTIFICATE, found, n_found)
    return False


cdef inline bint only_handshake(const uint8_t* stream, uint32_t n) noexcept nogil:
    """Whether a stream has no other records than those of a handshake."""
    cdef uint32_t at = 0
    while at + 5 <= n and stream[at] == HANDSHAKE:
        at += 5 + <uint32_t>be16_at(stream + at + 3)
    return at >= n or stream[at] == HANDSHAKE


cdef inline bint is_full(const Look* look, const Hello* answer) noexcept nogil:
    """Whether the rest of a payload is not seen, or that of an answer not kept."""
    return look.n == MAX_PAYLOAD or answer.n > MAX_HELLO


cdef inline int begin_answer(Look* look) noexcept nogil:
    """Keep a payload that begins with a server's hello, if anybody wants its certificate; return what follows."""
    cdef Hello* answer
    if not look.notes.keeps_details:
        return NOTHING_FOLLOWS
    keep_hello(look.hellos, look.token, look.from_a, look.data, look.n)
    answer = find_hello(look.hellos, look.token, look.from_a)
    return CERTIFICATE_FOLLOWS if answer_goes_on(look, answer, is_full(look, answer)) else NOTHING_FOLLOWS


cdef inline int certificate(Look* look) noexcept nogil:
    """What follows a client's hello: the server's answer, which ends with the certificate, or when the client speaks again."""
    cdef Hello* answer = find_hello(look.hellos, look.token, look.from_a)
    cdef const Hello* before = find_hello(look.hellos, look.token, not look.from_a)
    cdef bint goes_on
    if before != NULL:
        goes_on = answer_goes_on(look, before, True)
    elif answer == NULL:
        goes_on = begin_answer(look) != NOTHING_FOLLOWS if is_server_hello(look) else look.data[0] == HANDSHAKE
    elif is_cut(answer, look):
        goes_on = answer_goes_on(look, answer, True)
    else:
        add_to_hello(answer, look.data, look.n)
        goes_on = answer_goes_on(look, answer, is_full(look, answer))
    return NO if goes_on else certain(look, UNKNOWN, NOTHING_FOLLOWS)


cdef inline int ssl2(Look* look) noexcept nogil:
    """The CLIENT-HELLO of SSL 2.0, which may also begin SSL 3.0 and TLS 1.0 (RFC 2246, appendix E)."""
    cdef const uint8_t* data = look.data
    cdef uint32_t ciphers, session, challenge
    if data[2] != 1 or not ((data[3] == 0 and data[4] == 2) or (data[3] == 3 and data[4] <= 3)):
        return NO
    ciphers, session, challenge = be16_at(data + 5), be16_at(data + 7), be16_at(data + 9)
    if (<uint32_t>(be16_at(data) & 0x7FFF) != 9 + ciphers + session + challenge or ciphers % 3 or not ciphers
            or (session != 0 and session != 16) or not 16 <= challenge <= 32):
        return NO
    return certain(look, app_within(look, UNKNOWN), NOTHING_FOLLOWS)


cdef inline int dtls(Look* look) noexcept nogil:
    """DTLS 1.0 and 1.2 records, and the first ones of DTLS 1.3."""
    cdef const uint8_t* data = look.data
    cdef uint32_t length, end
    cdef uint16_t version = be16_at(data + 1)
    if ((version != 0xFEFF and version != 0xFEFD and version != 0x0100)
            or not (20 <= data[0] <= 23 or data[0] == 25)):
        return NO
    length = be16_at(data + 11)
    if length == 0 or length > MAX_RECORD:
        return NO
    end = 13 + length
    if end < look.n and end + 1 < look.n and data[end + 1] != 0xFE and data[end + 1] != 1:
        return NO
    if data[0] == HANDSHAKE and data[3] == 0 and data[4] == 0 and look.n > 13:
        if not is_handshake_type(data[13]):
            return NO
        if data[13] == 1:
            tell_dtls_hello(look)
        return certain(look, DTLS, NOTHING_FOLLOWS)
    return certain(look, DTLS, NOTHING_FOLLOWS) if end <= look.n else likely_one(look, DTLS)


cdef inline void tell_dtls_hello(Look* look) noexcept nogil:
    """Say what a ClientHello without fragments tells. In DTLS it has 8 more header bytes, and a cookie after the session id."""
    cdef const uint8_t* body = look.data + 25
    cdef uint32_t n_body = look.n - 25 if look.n > 25 else 0
    cdef bint is_whole = look.n > 25 and be24_at(look.data + 14) <= n_body and be24_at(look.data + 14) == be24_at(look.data + 22)
    cdef uint32_t at = 35, n_after, n_hello
    cdef uint8_t[MAX_PAYLOAD + 4] hello
    cdef ClientHello found
    if look.n < 22 or not are_zero(look.data + 19, 3):
        return
    if is_whole:
        n_body = be24_at(look.data + 14)  # other messages may follow
    if n_body > 34:
        at += body[34]
    if n_body <= at:
        return
    n_after = at + 1 + body[at]
    n_after = min(n_after, n_body)
    n_hello = at + n_body - n_after
    hello[0], hello[1], hello[2], hello[3] = 1, 0, <uint8_t>(n_hello >> 8), <uint8_t>n_hello
    memcpy(hello + 4, body, at)
    memcpy(hello + 4 + at, body + n_after, n_body - n_after)
    read_client_hello(hello, 4 + n_hello, &found)
    if is_whole and found.is_whole:
        note_detail(look.notes, look.token, CLIENT_HELLO, hello, 4 + n_hello)
    if found.server_name != NULL:
        set_title(look, found.server_name, found.n_server_name)
        name_host(look, &look.dst, BY_SNI)
