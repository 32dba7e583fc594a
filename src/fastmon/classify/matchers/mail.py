"""Protocols with text lines: SMTP (RFC 5321), POP3 (RFC 1939), IMAP (RFC 9051), FTP (RFC 959, RFC 2428), IRC, NNTP.

Many lines are shared: "220 ready" greets in FTP and SMTP, "USER x" logs in to FTP and POP3. Such a line is likely for each
protocol. A second line, or the port, decides.
"""

from __future__ import annotations

import re

from fastmon.classify.matching import TCP, Context, Expectation, Match, certain, likely
from fastmon.classify.matching import V4_MAPPED as V4
from fastmon.classify.model import Endpoint

__all__ = ["command", "ftp", "imap", "irc", "pop3", "reply"]

REPLY = re.compile(rb"([1-5]\d\d)(?:[ -][^\0-\x08\x0e-\x1f]{0,200}|\r?\n)")
SMTP_BANNER = re.compile(rb"smtp|lmtp|sendmail|postfix|exim|mail", re.IGNORECASE)
SMTP_EHLO = re.compile(rb"\n?250[ -](?:size|pipelining|8bitmime|starttls|auth |help|enhancedstatus|vrfy|dsn|etrn)", re.IGNORECASE)
FTP_BANNER = re.compile(rb"ftp|filezilla", re.IGNORECASE)
NEWS_BANNER = re.compile(rb"nntp|news|inn\b|posting", re.IGNORECASE)
COMMAND = re.compile(rb"([A-Za-z]{3,8})(?: ([^\r\n\0]{0,500}))?(?:\r\n|\n|$)")
PORT = re.compile(rb"(?:PORT |227 [^(\r\n]{0,80}\(?)(\d{1,3}),(\d{1,3}),(\d{1,3}),(\d{1,3}),(\d{1,3}),(\d{1,3})", re.IGNORECASE)
EXTENDED = re.compile(rb"(?:EPRT |229 [^(\r\n]{0,80}\()([!-~])([12]?)\1([0-9a-fA-F.:]{0,45})\1(\d{1,5})\1", re.IGNORECASE)
IMAP_GREETING = re.compile(rb"\* (?:OK|PREAUTH|BYE)[ \r]|\* CAPABILITY IMAP4", re.IGNORECASE)
IMAP_COMMAND = re.compile(
    rb"[A-Za-z0-9.]{1,20} (?:(capability|login |authenticate |select |lsub |examine |starttls|namespace|idle\r|uid fetch |"
    rb"id \(|id nil|enable )|(?:noop|logout|list |fetch |status |append |close|expunge|search |store |ok |no |bad ))",
    re.IGNORECASE,
)
POP3_BANNER = re.compile(rb"\+OK [^\r\n]{0,200}?(?:pop|dovecot|<[^<>@\s]{1,100}@[^<>@\s]{1,100}>)", re.IGNORECASE)
IRC_LINE = re.compile(
    rb"(?:NICK [^\s:]+\r?\n|USER \S+ \S+ \S+ :|CAP (?:LS|REQ|END)|PRIVMSG \S+ :|JOIN [#&]|"
    rb":\S{1,100} (?:NOTICE|PRIVMSG|JOIN|\d\d\d) \S+|NOTICE \S+ :\*\*\*)"
)
SMTP_COMMANDS = {b"EHLO", b"HELO", b"LHLO"}
FTP_ONLY = {b"PASV", b"EPSV", b"SYST", b"MLSD", b"MLST", b"PBSZ", b"CWD", b"XPWD", b"CLNT", b"MDTM", b"STOR", b"NLST", b"CDUP"}
POP3_ONLY = {b"CAPA", b"STLS", b"UIDL", b"APOP"}
SHARED_COMMANDS = {
    b"USER": ("ftp", "pop3"),
    b"PASS": ("ftp", "pop3"),
    b"RETR": ("ftp", "pop3"),
    b"LIST": ("ftp", "pop3"),
    b"STAT": ("ftp", "pop3"),
    b"DELE": ("ftp", "pop3"),
    b"QUIT": ("ftp", "pop3", "smtp"),
    b"NOOP": ("ftp", "pop3", "smtp"),
    b"RSET": ("pop3", "smtp"),
    b"AUTH": ("smtp", "pop3", "ftp"),
    b"FEAT": ("ftp",),
    b"TYPE": ("ftp",),
    b"OPTS": ("ftp",),
    b"PWD": ("ftp",),
    b"SIZE": ("ftp",),
    b"PROT": ("ftp",),
    b"REST": ("ftp",),
    b"ABOR": ("ftp",),
    b"DATA": ("smtp",),
    b"STARTTLS": ("smtp",),
    b"VRFY": ("smtp",),
}
FTP_CODES = {b"331", b"227", b"229", b"234", b"150", b"226", b"257", b"125", b"213"}
SMTP_CODES = {b"354", b"334", b"235", b"452", b"552", b"554"}
SHARED_CODES = {b"220", b"221", b"250", b"421", b"500", b"501", b"502", b"503", b"530", b"550"}


def reply(data: bytes, context: Context) -> Match | None:
    """A server's reply with a code, of FTP, SMTP or NNTP."""
    line = REPLY.match(data)
    if line is None:
        return None
    code, said = line[1], data[:200]
    if code == b"220":
        if FTP_BANNER.search(said):
            return certain("ftp", follow=ftp)
        return certain("smtp") if SMTP_BANNER.search(said) else likely("smtp", "ftp")
    if code in {b"227", b"229"}:
        return ftp(data, context) or likely("ftp")
    if code == b"250" and SMTP_EHLO.search(data):
        return certain("smtp")
    if code in {b"200", b"201"} and NEWS_BANNER.search(said):
        return certain("nntp")
    if code in FTP_CODES:
        return likely("ftp", follow=ftp)
    if code in SMTP_CODES:
        return likely("smtp")
    if code in {b"215", b"230", b"200", b"211", b"214"}:
        return likely("ftp", follow=ftp)
    return likely("smtp", "ftp") if code in SHARED_CODES else None


def command(data: bytes, context: Context) -> Match | None:
    """A client's command, of SMTP, FTP or POP3."""
    line = COMMAND.match(data)
    if line is None:
        return None
    verb, argument = line[1].upper(), line[2] or b""
    if verb in SMTP_COMMANDS:
        return certain("smtp") if argument else likely("smtp")
    if (verb == b"MAIL" and argument[:5].upper() == b"FROM:") or (verb == b"RCPT" and argument[:3].upper() == b"TO:"):
        return certain("smtp")
    if verb in {b"PORT", b"EPRT"}:
        return ftp(data, context) if PORT.match(data) or EXTENDED.match(data) else None
    if not data.endswith(b"\n"):
        return None
    if verb in FTP_ONLY:
        return certain("ftp", follow=ftp)
    if verb in POP3_ONLY:
        return certain("pop3")
    shared = SHARED_COMMANDS.get(verb)
    return likely(*shared) if shared else None


def ftp(data: bytes, context: Context) -> Match | None:
    """Any line of an FTP control connection. It may announce the endpoint of a data connection."""
    host, port = b"", 0
    if address := PORT.search(data):
        numbers = [int(number) for number in address.groups()]
        if max(numbers) < 256:
            host, port = V4 + bytes(numbers[:4]), numbers[4] << 8 | numbers[5]
    elif address := EXTENDED.search(data):
        host, port = b"", int(address[4])
    elif not (REPLY.match(data) or COMMAND.match(data)):
        return None
    if not 0 < port < 65536:
        return certain("ftp", follow=ftp)
    # The sender of the line listens. An address other than the sender's is one from before a translation: expect both.
    endpoints = {Endpoint(context.src.host, port)} | ({Endpoint(host, port)} if host else set())
    return Match(("ftp",), expects=tuple(Expectation("ftp-data", TCP, e, outright=True) for e in endpoints), follow=ftp)


def imap(data: bytes, context: Context) -> Match | None:
    """A greeting, or a tagged command or response."""
    if data[:1] == b"*":
        return certain("imap") if IMAP_GREETING.match(data) else None
    line = IMAP_COMMAND.match(data)
    if line is None or not any(0x30 <= byte <= 0x39 for byte in data[:20].split(b" ")[0]):
        return None  # the tags of clients have digits
    return certain("imap") if line[1] else likely("imap")


def pop3(data: bytes, context: Context) -> Match | None:
    """A server's answer."""
    if data.startswith(b"+OK"):
        if POP3_BANNER.match(data):
            return certain("pop3")
        return likely("pop3") if data[3:4] == b" " else likely("pop3", "redis")
    return likely("pop3", "redis") if data.startswith(b"-ERR") else None


def irc(data: bytes, context: Context) -> Match | None:
    """A line of IRC (RFC 2812)."""
    return certain("irc") if IRC_LINE.match(data) else None
