"""Conversations of each application, built by hand from the specifications."""

from __future__ import annotations

import struct
from dataclasses import dataclass

TCP, UDP = 6, 17


@dataclass(frozen=True, slots=True)
class Case:
    """The first payloads of a conversation, and its application.  payloads: whether `a` sent each, and its bytes.

    by_port: the payload alone is too little; `ports` decide together with it.
    """

    app: str
    protocol: int
    payloads: tuple[tuple[bool, bytes], ...]
    name: str | None = None
    ports: tuple[int, int] = (50000, 40000)
    by_port: bool = False
    label: str = ""

    def __str__(self) -> str:
        return f"{self.app} {self.label}".strip()


def tcp(app: str, *payloads: bytes, name: str | None = None, label: str = "", port: int = 0) -> Case:
    return _case(app, TCP, payloads, name, label, port)


def udp(app: str, *payloads: bytes, name: str | None = None, label: str = "", port: int = 0) -> Case:
    return _case(app, UDP, payloads, name, label, port)


def _case(app: str, protocol: int, payloads: tuple[bytes, ...], name: str | None, label: str, port: int) -> Case:
    """Return a case in which both sides take turns, `a` first. If a port is given, it is needed."""
    turns = tuple((index % 2 == 0, payload) for index, payload in enumerate(payloads))
    return Case(app, protocol, turns, name, (50000, port or 40000), bool(port), label)


def dns_name(name: str) -> bytes:
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"


def dns_query(name: str, kind: int = 1, flags: int = 0x0100) -> bytes:
    return struct.pack(">6H", 0x1234, flags, 1, 0, 0, 0) + dns_name(name) + struct.pack(">2H", kind, 1)


def dns_answer(name: str, address: bytes, *, canonical: str = "") -> bytes:
    records = b""
    if canonical:
        rdata = dns_name(canonical)
        records += b"\xc0\x0c" + struct.pack(">2HIH", 5, 1, 60, len(rdata)) + rdata
    kind = 1 if len(address) == 4 else 28
    records += (dns_name(canonical) if canonical else b"\xc0\x0c") + struct.pack(">2HIH", kind, 1, 60, len(address)) + address
    head = struct.pack(">6H", 0x1234, 0x8180, 1, 2 if canonical else 1, 0, 0)
    return head + dns_name(name) + struct.pack(">2H", kind, 1) + records


def client_hello(name: str = "", alpn: tuple[str, ...] = ()) -> bytes:
    """Return a ClientHello as a handshake message (RFC 8446, section 4.1.2)."""
    extensions = b""
    if name:
        host = b"\0" + struct.pack(">H", len(name)) + name.encode()
        extensions += struct.pack(">3H", 0, len(host) + 2, len(host)) + host
    if alpn:
        names = b"".join(bytes([len(one)]) + one.encode() for one in alpn)
        extensions += struct.pack(">3H", 16, len(names) + 2, len(names)) + names
    extensions += struct.pack(">2H", 43, 3) + b"\2\3\4"
    body = b"\3\3" + bytes(range(32)) + b"\0" + b"\0\4\x13\1\x13\2" + b"\1\0" + struct.pack(">H", len(extensions)) + extensions
    return b"\1" + len(body).to_bytes(3, "big") + body


def tls_record(content: bytes, kind: int = 22, version: bytes = b"\3\1") -> bytes:
    return bytes([kind]) + version + struct.pack(">H", len(content)) + content


def netbios_name(name: str, suffix: int = 0) -> bytes:
    """Return a name in first-level encoding (RFC 1001, section 14.1)."""
    raw = name.encode().ljust(15) + bytes([suffix])
    return b"\x20" + b"".join(bytes([0x41 + (byte >> 4), 0x41 + (byte & 15)]) for byte in raw) + b"\0"


def netbios_registration(name: str, address: bytes) -> bytes:
    question = netbios_name(name) + b"\0\x20\0\1"
    record = b"\xc0\x0c\0\x20\0\1" + struct.pack(">IH", 300, 6) + b"\0\0" + address
    return struct.pack(">6H", 1, 0x2910, 1, 0, 0, 1) + question + record


def dhcp(kind: int, *, name: bytes = b"", requested: bytes = b"", yours: bytes = bytes(4), op: int = 1) -> bytes:
    head = struct.pack(">4BIHH", op, 1, 6, 0, 0xABCDEF01, 0, 0) + bytes(4) + yours + bytes(8)
    options = bytes([53, 1, kind])
    if name:
        options += bytes([12, len(name)]) + name
    if requested:
        options += bytes([50, 4]) + requested
    return head + bytes.fromhex("020000000001").ljust(16, b"\0") + bytes(192) + b"\x63\x82\x53\x63" + options + b"\xff"


def ber(tag: int, contents: bytes) -> bytes:
    length = bytes([len(contents)]) if len(contents) < 128 else b"\x82" + struct.pack(">H", len(contents))
    return bytes([tag]) + length + contents


def rtp(sequence: int, *, kind: int = 0, source: int = 0x11223344) -> bytes:
    return struct.pack(">2BHII", 0x80, kind, sequence, sequence * 160, source) + bytes(160)


def utp(kind: int, connection: int, time: int, sequence: int, acknowledged: int) -> bytes:
    return struct.pack(">2BH3I2H", kind << 4 | 1, 0, connection, time, 0, 1 << 18, sequence, acknowledged)


def utp_extended(n_extensions: int, connection: int, time: int, sequence: int, acknowledged: int) -> bytes:
    """Return a packet with data after selective acknowledgements."""
    header = bytearray(utp(0, connection, time, sequence, acknowledged))
    header[1] = 1
    chain = b"".join(bytes([index + 1 < n_extensions, 4]) + bytes(4) for index in range(n_extensions))
    return bytes(header) + chain + b"data"


def openvpn_keyed(digest: bytes) -> bytes:
    """Return a client's reset with tls-auth."""
    return b"\x38" + bytes(range(8)) + digest + struct.pack(">II", 1, 0xE1F2A3B4) + bytes(5)


def tpkt(x224: bytes) -> bytes:
    return struct.pack(">2BH", 3, 0, 4 + len(x224)) + x224


def dnp3_header() -> bytes:
    """Return a link status request from 1 to 10."""
    return bytes.fromhex("056405c90a000100")


def crc_dnp(data: bytes) -> bytes:
    """Return CRC-16/DNP by its polynomial 0x3D65, bit by bit from the top, on reflected bytes. The matcher does it otherwise."""
    crc = 0
    for byte in data:
        for bit in range(8):
            top = (crc >> 15 & 1) ^ (byte >> bit & 1)
            crc = (crc << 1 & 0xFFFF) ^ (0x3D65 if top else 0)
    reflected = int(f"{crc ^ 0xFFFF:016b}"[::-1], 2)
    return struct.pack("<H", reflected)


HTTP_REQUEST = b"GET /index.html HTTP/1.1\r\nHost: www.example.org:8080\r\nAccept: */*\r\n\r\n"
SDP = b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 16384 RTP/AVP 0\r\n"
SIP_INVITE = (
    b"INVITE sip:bob@example.net SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:5060\r\nTo: <sip:bob@example.net>\r\n"
    b"Call-ID: 1\r\nContent-Type: application/sdp\r\n\r\n" + SDP
)
NTP_CLIENT = b"\x23\0\6\xec" + bytes(36) + bytes.fromhex("e5f1a2b3c4d5e6f7")
SNMP_GET = ber(
    0x30, ber(2, b"\1") + ber(4, b"public") + ber(0xA0, ber(2, b"\1") + ber(2, b"\0") + ber(2, b"\0") + ber(0x30, b""))
)
LDAP_BIND = ber(0x30, ber(2, b"\1") + ber(0x60, ber(2, b"\3") + ber(4, b"") + ber(0x80, b"")))
KERBEROS_AS_REQ = ber(0x6A, ber(0x30, ber(0xA1, ber(2, b"\5")) + ber(0xA2, ber(2, b"\x0a")) + ber(0xA4, ber(0x30, b""))))
RADIUS_REQUEST = b"\1\7\0\x26" + bytes(range(16)) + b"\1\6user" + b"\4\6\xc0\0\2\1" + b"\5\6\0\0\0\1"
RPC_CALL = struct.pack(">10I", 0x12345678, 0, 2, 100000, 2, 3, 0, 0, 0, 0)
RPC_REPLY = struct.pack(">7I", 0x12345678, 1, 0, 0, 0, 0, 635)
NFS_CALL = struct.pack(">10I", 0x12345679, 0, 2, 100003, 3, 0, 0, 0, 0, 0)
SMB2 = b"\xfeSMB\x40\0" + bytes(58)
SMB1 = b"\xffSMB\x72" + bytes(28)
STUN_REQUEST = b"\0\1\0\0\x21\x12\xa4\x42" + bytes(range(12))
MQTT_CONNECT = b"\x10\x10\0\4MQTT\4\2\0\x3c\0\4abcd"
DUIDS = b"\0\2\0\x0a\0\3\0\1\2\0\0\0\0\1" + b"\0\1\0\x0e\0\1\0\1\x1c\xd0\xbf\x26\2\0\0\0\0\2"
MODBUS_READ = bytes.fromhex("000100000006010300000002")
MODBUS_ANSWER = bytes.fromhex("00010000000701030400010002")
MYSQL_GREETING_BODY = b"\x0a8.0.36\0" + struct.pack("<I", 7) + b"saltsalt\0" + bytes(33)
POSTGRES_STARTUP_BODY = b"\0\3\0\0user\0bob\0database\0shop\0\0"
MONGO_QUERY_BODY = struct.pack("<3I", 1, 0, 2013) + bytes(4) + b"\0" + bytes(20)
S7_SETUP = tpkt(b"\2\xf0\x80\x32\1\0\0\0\0\0\x08\0\0\xf0\0\0\1\0\1\1\xe0")
IKE_INIT = bytes(range(1, 9)) + bytes(8) + b"\x21\x20\x22\x08" + bytes(4) + struct.pack(">I", 28 + 4) + b"\0\0\0\4"
OPENVPN_CLIENT = b"\x38" + bytes(range(8)) + b"\0" + bytes(4)
OPENVPN_SERVER = b"\x40" + bytes(range(8, 16)) + b"\1" + bytes(4) + bytes(range(8)) + bytes(4)
TDS_PRELOGIN = struct.pack(">2BHHBB", 18, 1, 26, 0, 0, 0) + bytes.fromhex("00000b000601001100 01ff".replace(" ", "")) + bytes(7)

CASES = (
    tcp("http", HTTP_REQUEST, name="www.example.org", label="request"),
    tcp("http", b"HTTP/1.1 200 OK\r\nServer: x\r\n\r\n", label="response first"),
    tcp("http", b"CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n\r\n", name="example.org", label="proxy"),
    tcp("http", b"GET http://example.org/x HTTP/1.0\r\n\r\n", name="example.org", label="absolute"),
    tcp("http", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", label="2 in the clear"),
    tcp("http", HTTP_REQUEST[:16], label="cut in the line"),
    tcp("https", tls_record(client_hello("example.org", ("h2", "http/1.1"))), name="example.org", label="by ALPN"),
    tcp("https", tls_record(client_hello("example.org")), name="example.org", label="by port", port=443),
    tcp("tls", tls_record(client_hello("example.org")), name="example.org"),
    tcp("tls", tls_record(bytes(range(100)), kind=23, version=b"\3\3"), label="in mid-connection"),
    tcp("tls", b"\x80\x1f\1\3\1\0\6\0\0\0\x10" + b"\1\0\x80\7\0\xc0" + bytes(range(16)), label="SSL 2.0's hello"),
    tcp("imap", tls_record(client_hello("mail.example.org")), name="mail.example.org", label="within TLS", port=993),
    tcp("mqtt", tls_record(client_hello("iot.example.org", ("mqtt",))), name="iot.example.org", label="within TLS, by ALPN"),
    tcp("dot", tls_record(client_hello("resolver.example", ("dot",))), name="resolver.example", label="by ALPN"),
    tcp("dot", tls_record(client_hello("resolver.example")), name="resolver.example", label="by port", port=853),
    tcp("dot", tls_record(bytes(range(100)), kind=23, version=b"\3\3"), label="in mid-connection", port=853),
    tcp("doh", tls_record(client_hello("dns.google", ("h2",))), name="dns.google", label="by ALPN"),
    tcp("doh", tls_record(client_hello("a1b2.DNS.NextDNS.io")), name="a1b2.DNS.NextDNS.io", label="by port", port=443),
    tcp("tls", tls_record(client_hello("dns.google")), name="dns.google", label="to a resolver, no HTTP"),
    tcp("mqtt", tls_record(client_hello("dns.google", ("mqtt",))), name="dns.google", label="to a resolver, by ALPN"),
    tcp("https", tls_record(client_hello("mydns.google", ("h2",))), name="mydns.google", label="to no resolver"),
    udp("dtls", b"\x16\xfe\xff\0\0" + bytes(6) + struct.pack(">H", 60) + b"\2\0\0\x30\0\0\0\0\0\x30\xfe\xff" + bytes(46)),
    udp("quic", b"\xc0\0\0\0\1\x08" + bytes(range(8)) + b"\0\0\x44\x9e" + bytes(1180), label="1, not decrypted"),
    udp("quic", b"\xd0\x6b\x33\x43\xcf\x08" + bytes(range(8)) + b"\0\0\x44\x9e" + bytes(1180), label="2, not decrypted"),
    udp("doq", b"\xc0\0\0\0\1\x08" + bytes(range(8)) + b"\0\0\x44\x9e" + bytes(1180), label="not decrypted", port=853),
    udp("doq", b"\xe0\0\0\0\1\x08" + bytes(range(8)) + b"\4abcd\x44\x9e" + bytes(1180), label="handshake", port=853),
    udp("quic", b"\x80\0\0\0\0\x08" + bytes(8) + b"\x08" + bytes(8) + b"\0\0\0\1", label="version negotiation"),
    udp(
        "quic",
        b"\x0d" + bytes(8) + b"Q043\1" + bytes(13) + b"CHLO\1\0\0\0SNI\0\x0b\0\0\0example.org",
        name="example.org",
        label="Google's",
    ),
    udp("dns", dns_query("example.org"), name="example.org"),
    udp("dns", dns_answer("example.org", bytes([192, 0, 2, 1])), name="example.org", label="answer first"),
    udp("dns", dns_query("a.much.longer.name.than.fits.example.org")[:42], label="cut"),
    tcp("dns", struct.pack(">H", 29) + dns_query("example.org"), name="example.org", label="over TCP"),
    udp("netbios", netbios_registration("WORKPC", bytes([192, 0, 2, 9])), name="WORKPC"),
    udp(
        "netbios",
        b"\x11\2\0\1\xc0\0\2\x09\0\x8a\0\x50\0\0" + netbios_name("WORKPC", 0x20) + netbios_name("GROUP", 0x1D) + b"x",
        label="datagram",
    ),
    tcp("netbios", b"\x81\0\0\x44" + netbios_name("SERVER", 0x20) + netbios_name("WORKPC"), b"\x82\0\0\0", label="session"),
    tcp("netbios", b"\x82\0\0\0", label="an answer alone", port=139),
    udp("dhcp", dhcp(1, name=b"phone"), name="phone"),
    udp("dhcp", dhcp(1)[:44], label="cut"),
    udp("dhcp", dhcp(5, op=2, yours=b"\xc0\0\2\7")[:82], label="an answer, cut"),
    udp("dhcp", dhcp(1)[:236] + b"\1\2\3\4", label="BOOTP", port=67),
    udp("dhcpv6", b"\1\1\2\3" + struct.pack(">2H", 1, 10) + bytes(10) + struct.pack(">3H", 8, 2, 0)),
    udp("dhcpv6", b"\7\1\2\3" + DUIDS + struct.pack(">2H", 3, 40) + bytes(8), label="an answer, cut"),
    udp("dhcpv6", b"\x0b\1\2\3" + DUIDS + b"\0\x27\0\7\0\5phone"[:-1], label="cut in a name"),
    udp("dhcpv6", b"\x0b\1\2\3" + DUIDS + b"\0\x27\0\x08\0\5phone", name="phone", label="cut behind a name"),
    udp("dhcpv6", b"\x0c" + bytes(33) + b"\0\x09\0\x08\x0b\1\2\3\0\x08\0\0", label="relayed"),
    udp("ntp", NTP_CLIENT),
    udp("ntp", b"\x23" + bytes(39) + bytes.fromhex("2fe5df280251af5e"), label="a client that tells nothing"),
    udp("ntp", b"\x23" + bytes(47), label="nothing but zeros", port=123),
    tcp("ftp", b"220 example FTP server ready\r\n"),
    tcp("ftp", b"220 ready\r\n", b"USER anonymous\r\n", label="by two lines"),
    udp("tftp", b"\0\1boot.img\0octet\0", name="boot.img"),
    udp("tftp", b"\0\3\0\1" + bytes(512), b"\0\4\0\1", label="a block and its acknowledgement"),
    Case("tftp", UDP, ((True, b"\0\3\xff\xff" + bytes(512)), (True, b"\0\3\0\0" + bytes(512))), label="one side's blocks"),
    tcp("smtp", b"220 mail.example.org ESMTP\r\n"),
    tcp("smtp", b"EHLO client.example.org\r\n", label="command"),
    tcp("imap", b"* OK [CAPABILITY IMAP4rev1] ready\r\n"),
    tcp("imap", b"a1 LOGIN user pass\r\n", label="command"),
    tcp("pop3", b"+OK POP3 server ready <1.2@example.org>\r\n"),
    tcp("pop3", b"+OK\r\n", b"CAPA\r\n", label="command"),
    tcp("ssh", b"SSH-2.0-OpenSSH_9.6\r\n"),
    tcp("telnet", b"\xff\xfd\x18\xff\xfd\x20"),
    tcp("telnet", b"\xff\xfd\x18" * 8 + b"\xff\xf1\xff\xf6", label="commands behind its negotiations"),
    tcp("rdp", tpkt(b"\x0e\xe0\0\0\0\0\0\1\0\x08\0\3\0\0\0")),
    tcp("vnc", b"RFB 003.008\n"),
    tcp("smb", b"\0\0\0\x40" + SMB2, label="2"),
    tcp("smb", b"\0\0\0\x21" + SMB1, label="1"),
    udp("rpc", RPC_CALL),
    udp("rpc", RPC_REPLY, label="a reply alone", port=111),
    tcp("rpc", struct.pack(">I", 0x80000000 + len(RPC_REPLY)) + RPC_REPLY, label="a reply of its length"),
    tcp("nfs", struct.pack(">I", 0x80000000 + len(NFS_CALL)) + NFS_CALL),
    tcp("ldap", LDAP_BIND),
    udp("ldap", ber(0x30, ber(2, b"\1") + ber(0x63, ber(4, b"") + ber(0x0A, b"\0") + bytes(20))), label="over UDP"),
    udp("kerberos", KERBEROS_AS_REQ),
    tcp("kerberos", struct.pack(">I", len(KERBEROS_AS_REQ)) + KERBEROS_AS_REQ, label="over TCP"),
    udp("snmp", SNMP_GET),
    udp("syslog", b"<34>Oct 11 22:14:15 host su: failed"),
    udp("syslog", b"<34>1 2026-01-01T00:00:00Z host su - - - failed", label="RFC 5424"),
    tcp("syslog", b"67 <34>1 2026-01-01T00:00:00Z host su - - - failed", label="over TCP, with a length"),
    tcp("syslog", b"600 <189>date=2026-01-01 time=00:00:00 devname=x", label="over TCP, with a length and no header"),
    udp("radius", RADIUS_REQUEST),
    udp("radius", b"\1\1\0\x4d" + bytes(16) + b"\1\x0banonymous\4\6\xc0", label="cut, no authenticator", port=1812),
    udp("radius", b"\1\7\0\x4d" + bytes(16) + b"\1\6user\4\6", b"\2\7\0\x26" + bytes(16) + b"\6\6\0", label="cut, both"),
    udp("sip", SIP_INVITE, name="example.net"),
    Case("rtp", UDP, ((True, rtp(1)), (True, rtp(2)))),
    udp("rtcp", b"\x80\xc8\0\6" + bytes.fromhex("11223344e5f1a2b3c4d5e6f70000000000000001000000a0")),
    tcp("rtsp", b"OPTIONS rtsp://192.0.2.1/stream RTSP/1.0\r\nCSeq: 1\r\n\r\n"),
    udp("stun", STUN_REQUEST),
    tcp("mqtt", MQTT_CONNECT),
    tcp("mqtt", b"\x32\x0b\0\4temp\x12\x3421C", b"\x40\2\x12\x34", label="in mid-connection"),
    tcp("mqtt", b"\x82\x08\0\1\0\3a/b\0", b"\x90\3\0\1\0", label="a subscription and its acknowledgement"),
    tcp("amqp", b"AMQP\0\0\x09\1"),
    tcp("amqp", b"\1\0\0\0\0\0\x05\0\x0a\0\x0b\0\xce", label="in mid-connection"),
    udp("coap", b"\x41\1\x12\x34\x7a\xb5hello"),
    udp("coap", b"\x45\1\x8a\x74\x72\x16\x33\x2b.well-known\4core\x10\x12\x3d\xd4", label="of a draft"),
    udp("coap", b"\x42\1\x12\x34\1\2", b"\x62\x45\x12\x34\1\2\xff22.3", label="by request and answer"),
    udp("ssdp", b'M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nMAN: "ssdp:discover"\r\n\r\n'),
    tcp("mysql", len(MYSQL_GREETING_BODY).to_bytes(3, "little") + b"\0" + MYSQL_GREETING_BODY),
    tcp("postgresql", struct.pack(">I", len(POSTGRES_STARTUP_BODY) + 4) + POSTGRES_STARTUP_BODY),
    tcp("postgresql", bytes.fromhex("0000000804d2162f"), label="request for TLS"),
    tcp("redis", b"*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n"),
    tcp("mongodb", struct.pack("<5I", 36, 7, 3, 1, 8) + bytes(16), label="an old reply"),
    tcp("mongodb", struct.pack("<I", len(MONGO_QUERY_BODY) + 4) + MONGO_QUERY_BODY),
    tcp("bittorrent", b"\x13BitTorrent protocol" + bytes(48)),
    udp("bittorrent", b"d1:ad2:id20:" + bytes(20) + b"e1:q4:ping1:t2:aa1:y1:qe", label="DHT"),
    udp("bittorrent", bytes.fromhex("0000041727101980") + bytes(4) + b"abcd", label="tracker"),
    udp(
        "bittorrent",
        utp(4, 0x1000, 1000, 1, 0),
        utp(2, 0x1000, 2000, 900, 1),
        label="uTP",
    ),
    Case("bittorrent", UDP, ((True, utp(2, 7, 1000, 5, 90)), (True, utp(0, 7, 1500, 6, 90) + b"data")), label="uTP, one side"),
    Case(
        "bittorrent",
        UDP,
        tuple((True, utp_extended(4, 7, 1000 + number, number, 90)) for number in range(2)),
        label="uTP, extended",
    ),
    udp("wireguard", b"\1\0\0\0" + bytes(range(144))),
    udp("openvpn", OPENVPN_CLIENT, OPENVPN_SERVER),
    udp("openvpn", openvpn_keyed(bytes(range(50, 70))), label="keyed"),
    tcp("openvpn", struct.pack(">H", 14) + OPENVPN_CLIENT, label="over TCP"),
    udp("ipsec", IKE_INIT),
    udp("ipsec", bytes(4) + IKE_INIT, label="through NAT"),
    udp("ipsec", b"\1\2\3\4\0\0\0\1" + bytes(range(200, 255)), label="ESP through NAT", port=4500),
    tcp("modbus", MODBUS_READ, MODBUS_ANSWER),
    Case("modbus", TCP, ((True, MODBUS_READ), (True, b"\0\2" + MODBUS_READ[2:])), label="one side's requests"),
    udp("bacnet", bytes.fromhex("810b000c0120ffff00ff1008")),
    tcp("dnp3", dnp3_header() + crc_dnp(dnp3_header())),
    tcp("ethernet-ip", struct.pack("<HHII8sI", 0x65, 4, 0, 0, bytes(8), 0) + b"\1\0\0\0"),
    udp("ethernet-ip", bytes.fromhex("020002800800010203040000000 0b1000600aabbccddeeff".replace(" ", "")), label="cyclic data"),
    tcp("s7", S7_SETUP),
    tcp("opcua", b"HELF" + struct.pack("<I", 8 + 24) + bytes(24)),
    tcp("bgp", b"\xff" * 16 + struct.pack(">HB", 19, 4)),
    tcp("xmpp", b"<stream:stream to='example.org' xmlns='jabber:client' version='1.0'>", name="example.org"),
    tcp("irc", b"NICK someone\r\nUSER a b c :d\r\n"),
    tcp("nntp", b"200 news.example.org InterNetNews ready\r\n"),
    tcp("dcerpc", bytes.fromhex("05000b0310000000") + struct.pack("<HHI", 32, 0, 1) + bytes(16)),
    tcp("dcerpc", bytes.fromhex("05000b0300000000") + struct.pack(">HHI", 32, 0, 1) + bytes(16), label="big-endian", port=135),
    udp(
        "dcerpc",
        bytes.fromhex("0400200010000000") + bytes(52) + struct.pack("<I", 1) + bytes(10) + struct.pack("<H", 20) + bytes(4 + 20),
        label="PROFINET's",
    ),
    tcp("mssql", TDS_PRELOGIN),
    tcp("mssql", struct.pack(">2BHHBB", 16, 1, 50, 0, 1, 0) + struct.pack("<2I", 42, 0x74000004) + bytes(34), label="login"),
    tcp("oracle", struct.pack(">HH4B", 66, 0, 1, 0, 0, 0) + bytes(20) + b"(DESCRIPTION=(CONNECT_DATA=(SID=x)))  "),
    tcp("cassandra", b"\4\0\0\0\1" + struct.pack(">I", 22) + b"\0\1\0\x0bCQL_VERSION\0\x053.0.0"),
    tcp("memcached", b"get key\r\n", b"VALUE key 0 3\r\nabc\r\nEND\r\n"),
    tcp("socks", b"\5\1\0", b"\5\0"),
    tcp("socks", b"\5\1\0\3\x0bexample.org\1\xbb", b"\5\0\0\1\0\0\0\0\0\0", label="a request and its answer"),
    tcp("diameter", b"\1\0\0\x14\x80\0\1\1" + bytes(12)),
    tcp("h323", tpkt(b"\x08\2\0\1\5\4")),
    tcp("iec104", bytes.fromhex("680407000000"), bytes.fromhex("68040b000000")),
    tcp("rsync", b"@RSYNCD: 31.0\n"),
    tcp("git", b"0033git-upload-pack /project.git\0host=example.org\0"),
    udp("ldp", bytes.fromhex("0001001e c0000201 0000 0100 0014 00000000 0400 0004 000f0000".replace(" ", ""))),
    udp("l2tp", bytes.fromhex("c80200140000000000000000800800000000 0001".replace(" ", ""))),
    tcp("pptp", bytes.fromhex("009c00011a2b3c4d00010000") + bytes(144)),
    udp("vxlan", b"\x08\0\0\0\0\0\x2a\0" + bytes(12) + b"\x08\0" + b"\x45" + bytes(30)),
    udp("vxlan", b"\x08\0\0\0\0\0\x2a\0" + bytes(12) + b"\x08\6\0\1\x08\0" + bytes(24), label="ARP"),
    udp("vxlan", b"\x08\0\0\0\0\0\x2a\0" + bytes(12) + b"\x81\0\0\5\x86\xdd\x60" + bytes(39), label="a VLAN"),
    udp("vxlan", b"\x08\0\0\0\0\0\x2a\0" + bytes(12) + b"\x88\xcc" + bytes(30), label="anything else", port=4789),
    udp("gtp", b"\x30\xff\0\x18\0\0\0\1" + b"\x45" + bytes(23)),
)
