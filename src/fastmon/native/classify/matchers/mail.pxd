"""Protocols with text lines: SMTP, POP3, IMAP, FTP, IRC: see `classify/matchers/mail.py`.

Which line it is, and what it announces, is for Python to say: these only find payloads that begin like one.
"""

from libc.stdint cimport uint8_t, uint32_t

from fastmon.native.classify.apps cimport NOTHING_FOLLOWS, POP3
from fastmon.native.classify.look cimport ASK, NO, Look, begins, find_byte, is_digit, is_letter


cdef extern from *:
    """
    /* The first three letters of the commands that Python knows; their case does not matter. */
    static inline int fm_is_verb(const uint8_t *data, uint32_t n) {
        static const char verbs[] =
            "EHLO\\0   HELO\\0   LHLO\\0   MAIL\\0   RCPT\\0   PORT\\0   EPRT\\0   PASV\\0   EPSV\\0   SYST\\0   MLSD\\0   "
            "MLST\\0   PBSZ\\0   CWD\\0    XPWD\\0   CLNT\\0   MDTM\\0   STOR\\0   NLST\\0   CDUP\\0   CAPA\\0   STLS\\0   "
            "UIDL\\0   APOP\\0   USER\\0   PASS\\0   RETR\\0   LIST\\0   STAT\\0   DELE\\0   QUIT\\0   NOOP\\0   RSET\\0   "
            "AUTH\\0   FEAT\\0   TYPE\\0   OPTS\\0   PWD\\0    SIZE\\0   PROT\\0   REST\\0   ABOR\\0   DATA\\0   STARTTLS"
            "VRFY\\0   ";
        for (const char *verb = verbs; *verb; verb += 8) {
            uint32_t i = 0;
            while (i < n && (data[i] & 0xDF) == (uint8_t)verb[i])
                i++;
            if (i == n && (i == 8 || !verb[i]))
                return 1;
        }
        return 0;
    }
    """
    bint is_verb "fm_is_verb"(const uint8_t* data, uint32_t n) noexcept nogil


cdef inline bint is_code(uint32_t code) noexcept nogil:
    """Whether it is a code of FTP, SMTP or NNTP that Python knows."""
    return (code in (125, 150, 200, 201, 211, 213, 214, 215, 220, 221, 226, 227, 229, 230, 234, 235, 250, 257)
            or code in (331, 334, 354, 421, 452, 500, 501, 502, 503, 530, 550, 552, 554))


cdef inline int reply(Look* look) noexcept nogil:
    """A server's reply: a known code, then a space, a hyphen, or a line's end."""
    cdef const uint8_t* data = look.data
    if not (0x31 <= data[0] <= 0x35 and is_digit(data[1]) and is_digit(data[2])):
        return NO
    if not is_code((data[0] - 0x30) * 100 + (data[1] - 0x30) * 10 + (data[2] - 0x30)):
        return NO
    return ASK if data[3] == 0x20 or data[3] == 0x2D or data[3] == 0x0D or data[3] == 0x0A else NO


cdef inline int command(Look* look) noexcept nogil:
    """A client's command: a known one, then a space, a line's end, or nothing more."""
    cdef const uint8_t* data = look.data
    cdef uint32_t at = 0
    while at < look.n and at < 9 and is_letter(data[at]):
        at += 1
    if not 3 <= at <= 8 or not is_verb(data, at):
        return NO
    return ASK if at == look.n or data[at] == 0x20 or data[at] == 0x0D or data[at] == 0x0A else NO


cdef inline int imap(Look* look) noexcept nogil:
    """A greeting, or a tag of at most 20 letters, digits and points, with a digit, and a space."""
    cdef const uint8_t* data = look.data
    cdef uint32_t at = 0
    cdef bint has_digit = False
    if data[0] == 0x2A:
        return ASK if data[1] == 0x20 else NO
    while at < look.n and at < 20 and (is_letter(data[at]) or is_digit(data[at]) or data[at] == 0x2E):
        has_digit = has_digit or is_digit(data[at])
        at += 1
    return ASK if has_digit and at < look.n and data[at] == 0x20 else NO


cdef inline int pop3(Look* look) noexcept nogil:
    """A server's answer."""
    return ASK if begins(look, 0, b"+OK", 3) or begins(look, 0, b"-ERR", 4) else NO


cdef inline int irc(Look* look) noexcept nogil:
    """A line of IRC (RFC 2812) begins with a command and a space, or with a colon and a sender."""
    cdef const uint8_t* data = look.data
    if data[0] == 0x3A:
        return ASK if find_byte(look, 1, 0x20) < look.n else NO
    if (begins(look, 0, b"NICK ", 5) or begins(look, 0, b"USER ", 5) or begins(look, 0, b"CAP ", 4)
            or begins(look, 0, b"PRIVMSG ", 8) or begins(look, 0, b"JOIN ", 5) or begins(look, 0, b"NOTICE ", 7)):
        return ASK
    return NO
