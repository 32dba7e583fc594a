"""The table of applications: what each is, and how it is recognised.

To add one, add an entry at the end of the table, so that ids stay, a matcher in `matchers`, and cases in
tests/classify/cases.py. docs/applications.md is generated from this table.

What it does not do: match. The classifier and the native tables are built from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastmon.classify.model import TCP, UDP

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["APPLICATIONS", "BY_NAME", "MAX_APPLICATIONS", "Application", "Matcher"]

MAX_APPLICATIONS = 250
"""Ids fit into a byte."""

EVERY_BYTE = frozenset(range(256))


@dataclass(frozen=True, slots=True)
class Matcher:
    """A matcher and the payloads to call it for.

    name: of the function, with its module in `matchers`: "web.http". The table does not load it: most runs need few of them.
    first: possible first bytes.  least: fewest bytes.
    """

    protocol: int
    name: str
    first: frozenset[int] = EVERY_BYTE
    least: int = 1


def _first_bytes(first: bytes | Iterable[int] | None) -> frozenset[int]:
    return EVERY_BYTE if first is None else frozenset(first)


def tcp(name: str, first: bytes | Iterable[int] | None = None, least: int = 1) -> Matcher:
    """Declare a matcher for TCP segments."""
    return Matcher(TCP, name, _first_bytes(first), least)


def udp(name: str, first: bytes | Iterable[int] | None = None, least: int = 1) -> Matcher:
    """Declare a matcher for UDP datagrams."""
    return Matcher(UDP, name, _first_bytes(first), least)


@dataclass(frozen=True, slots=True)
class Application:
    """One row of the table. Its id is its index in APPLICATIONS.

    name: its name in every output.  about: what it is, in one line.  how: how payloads are recognised, in one line.
    tcp, udp, sctp: its ports, which decide if no payload does.  protocols: its IP protocol numbers.
    matchers: functions that may find it. One that finds several applications is in the row of one of them.
    """

    id: int
    name: str
    about: str
    how: str = ""
    tcp: tuple[int, ...] = ()
    udp: tuple[int, ...] = ()
    sctp: tuple[int, ...] = ()
    protocols: tuple[int, ...] = ()
    matchers: tuple[Matcher, ...] = ()

    @property
    def needs_payload(self) -> bool:
        """Whether only payloads tell it: neither a port nor a protocol's number suggests it."""
        return self.id != 0 and not (self.tcp or self.udp or self.protocols)


def _app(name: str, about: str, how: str = "", *matchers: Matcher, **where: tuple[int, ...]) -> Application:
    return Application(0, name, about, how, matchers=matchers, **where)


LETTERS = bytes(range(0x41, 0x5B)) + bytes(range(0x61, 0x7B))
DIGITS = b"0123456789"
POSTGRES_TYPES = b"QPBEDSCXHpRKZTN123nstAGHWVIcdf"
ENCAPSULATION_COMMANDS = b"\x00\x01\x04\x63\x64\x65\x66\x6f\x70\x72\x73"  # of EtherNet/IP
IP_AND_ICMP = "its IP protocol number"

_TABLE = (
    _app("unknown", "not recognised, neither by payload nor by port"),
    # The web and what is encrypted like it
    _app(
        "http",
        "Hypertext Transfer Protocol 1, and 2 without TLS",
        "request and status lines; the Host field gives the name",
        tcp("web.http", b"GPHDOCTMLURSNBI", 5),
        tcp=(80, 81, 8080, 8000, 8008, 8081, 8181, 8888, 3128),
    ),
    _app(
        "https",
        "HTTP within TLS",
        "TLS that offers HTTP by ALPN, or on port 443 or 8443; SNI gives the name",
        tcp=(443, 8443),
    ),
    _app(
        "tls",
        "Transport Layer Security with other contents",
        "record headers, also in mid-connection; ALPN or the port may give it its contents' name",
        tcp("tls.tls", (20, 21, 22, 23), 5),
        tcp("tls.ssl2", range(0x80, 0x90), 11),
    ),
    _app("dtls", "TLS in datagrams", "record headers", udp("tls.dtls", (20, 21, 22, 23, 25), 13)),
    _app(
        "quic",
        "QUIC 1, 2, drafts, and Google's earlier versions",
        "long headers of known versions; SNI from the Initial, with the extra `quic`",
        udp("quic.quic", range(0xC0, 0x100), 14),
        udp("quic.quic", range(0x80, 0xC0), 14),
        udp("quic.gquic", range(0x01, 0x80), 13),
        udp=(443,),
    ),
    # Names and addresses
    _app(
        "netbios",
        "NetBIOS names, datagrams and sessions",
        "names in first-level encoding",
        udp("netbios.name_service", None, 21),
        udp("netbios.datagram", range(0x10, 0x17), 11),
        tcp("netbios.session", b"\x81\x82\x83", 4),
        udp=(137, 138),
        tcp=(139,),
    ),
    _app(
        "dns",
        "Domain Name System",
        "a plausible header, and readable questions and records; the name asked for is the name",
        udp("names.dns", None, 12),
        tcp("names.dns_stream", range(0x40), 14),
        tcp=(53,),
        udp=(53,),
    ),
    _app("mdns", "multicast DNS", "DNS to 224.0.0.251, ff02::fb, or port 5353", udp=(5353,)),
    _app(
        "llmnr", "Link-Local Multicast Name Resolution", "DNS to 224.0.0.252, ff02::1:3, or port 5355", udp=(5355,), tcp=(5355,)
    ),
    _app(
        "dhcp",
        "Dynamic Host Configuration Protocol",
        "BOOTP's fields and DHCP's cookie; if cut before the cookie, an Ethernet address and its padding",
        udp("leases.dhcp", b"\1\2", 28),
        udp=(67, 68),
    ),
    _app(
        "dhcpv6",
        "DHCP for IPv6",
        "two or more options that fill the datagram, with an identifier; if cut, an identifier of a known form",
        udp("leases.dhcpv6", range(1, 37), 8),
        udp=(546, 547),
    ),
    _app(
        "ntp",
        "Network Time Protocol",
        "fields within their ranges, or a client's random number and zeros",
        udp("directory.ntp", None, 8),
        udp=(123,),
    ),
    # Files
    _app(
        "ftp",
        "File Transfer Protocol, control",
        "replies and commands; those shared with SMTP or POP3 need a second line",
        tcp("mail.reply", b"12345", 4),
        tcp("mail.command", LETTERS, 4),
        tcp=(21, 990),
    ),
    _app("ftp-data", "File Transfer Protocol, data", "announced by PORT, PASV, EPRT, EPSV", tcp=(20, 989)),
    _app(
        "tftp",
        "Trivial File Transfer Protocol",
        "requests with a mode; two consecutive blocks, or a block and its acknowledgement",
        udp("files.tftp", b"\0", 4),
        udp=(69,),
    ),
    # Mail
    _app("smtp", "Simple Mail Transfer Protocol", "EHLO, MAIL FROM, and greetings that name it", tcp=(25, 465, 587, 2525)),
    _app(
        "imap",
        "Internet Message Access Protocol",
        "greetings, tagged commands",
        tcp("mail.imap", LETTERS + DIGITS + b"*", 6),
        tcp=(143, 993),
    ),
    _app(
        "pop3", "Post Office Protocol 3", "greetings that name it, its own commands", tcp("mail.pop3", b"+-", 3), tcp=(110, 995)
    ),
    # Terminals and desktops
    _app("ssh", "Secure Shell", "the identification line, or a key exchange", tcp("remote.ssh", b"S\0", 8), tcp=(22,)),
    _app("telnet", "Telnet", "negotiations", tcp("remote.telnet", b"\xff", 3), tcp=(23, 992)),
    _app(
        "rdp",
        "Remote Desktop Protocol",
        "X.224 connection requests with its cookie or negotiation",
        tcp("remote.rdp", b"\3", 7),
        udp("remote.rdp_udp", b"\xff", 12),
        tcp=(3389,),
        udp=(3389,),
    ),
    _app(
        "vnc",
        "Virtual Network Computing",
        "the RFB version line",
        tcp("remote.rfb", b"R", 12),
        tcp=(*range(5900, 5904), 5800, 5801),
    ),
    # Networks of offices
    _app(
        "smb",
        "Server Message Block 1, 2, 3",
        "its four-byte mark after the header of a session message",
        tcp("files.smb", b"\0", 8),
        tcp=(445,),
    ),
    _app(
        "rpc",
        "ONC remote procedure calls, and the port mapper",
        "the header of a call, or of a reply",
        udp("files.rpc", None, 24),
        tcp("files.rpc_stream", range(0x80, 0x84), 28),
        tcp("files.rpc_stream", b"\0", 28),
        tcp=(111,),
        udp=(111,),
    ),
    _app("nfs", "Network File System, with mount, lock and status", "calls to its programs", tcp=(2049,), udp=(2049,)),
    _app(
        "ldap",
        "Lightweight Directory Access Protocol",
        "the number and operation of a message, in BER",
        tcp("directory.ldap", b"\x30", 7),
        udp("directory.ldap", b"\x30", 7),
        tcp=(389, 636, 3268, 3269),
        udp=(389,),
    ),
    _app(
        "kerberos",
        "Kerberos 5",
        "version and type after the application tag",
        udp("directory.kerberos", range(0x6A, 0x7F), 12),
        tcp("directory.kerberos_stream", b"\0", 16),
        tcp=(88, 464),
        udp=(88, 464),
    ),
    # Management
    _app(
        "snmp",
        "Simple Network Management Protocol",
        "version and community, in BER",
        udp("directory.snmp", b"\x30", 10),
        udp=(161, 162),
    ),
    _app(
        "syslog",
        "Syslog",
        "a priority and a time; over TCP a length may come first",
        udp("directory.syslog", b"<", 6),
        tcp("directory.syslog", b"<123456789", 6),
        udp=(514,),
        tcp=(6514,),
    ),
    _app(
        "radius",
        "RADIUS",
        "a code, and attributes that fill the length; or a request and its answer",
        udp("directory.radius", range(1, 46), 20),
        udp=(1812, 1813, 1645, 1646),
        tcp=(1812, 1813, 2083),
    ),
    # Calls and media
    _app(
        "sip",
        "Session Initiation Protocol",
        "request and status lines",
        udp("media.sip", LETTERS + b"\r", 4),
        tcp("media.sip", LETTERS, 8),
        tcp=(5060, 5061),
        udp=(5060, 5061),
    ),
    _app(
        "rtp",
        "Real-time Transport Protocol",
        "two consecutive packets of one source, or an announcement by SDP or RTSP",
        udp("media.rtp", range(0x80, 0xC0), 12),
    ),
    _app("rtcp", "RTP's control protocol", "reports that fill the datagram", udp("media.rtcp", range(0x80, 0xC0), 4)),
    _app(
        "rtsp",
        "Real-Time Streaming Protocol",
        "request and status lines",
        tcp("web.rtsp", b"ODASPTRG$", 8),
        tcp=(554, 8554),
    ),
    _app(
        "stun",
        "STUN and TURN",
        "the magic cookie; without it, two messages filled by their attributes",
        udp("media.stun", range(0x40), 20),
        tcp("media.stun_stream", range(0x40), 20),
        tcp=(3478, 5349),
        udp=(3478, 5349, 19302),
    ),
    # Messages and things
    _app(
        "mqtt",
        "MQTT",
        "CONNECT, or two packets that fill their segments",
        tcp("iot.mqtt", range(0x10, 0xF0), 2),
        tcp=(1883, 8883),
    ),
    _app(
        "amqp",
        "AMQP 0-9-1 and 1.0",
        "the protocol header, or frames with their end mark",
        tcp("iot.amqp", b"A\0\1\2\3\x08", 8),
        tcp=(5672, 5671),
    ),
    _app(
        "coap",
        "Constrained Application Protocol",
        "known options with a path; or a request and its answer",
        udp("iot.coap", range(0x40, 0x80), 4),
        udp=(5683, 5684),
    ),
    _app("ssdp", "UPnP discovery", "M-SEARCH, NOTIFY, and their answers", udp("web.ssdp", b"MNHB", 10), udp=(1900,)),
    # Databases
    _app("mysql", "MySQL and MariaDB", "the greeting, logins, queries", tcp("databases.mysql", None, 5), tcp=(3306,)),
    _app(
        "postgresql",
        "PostgreSQL",
        "the startup packet, or messages that fill the segment",
        tcp("databases.postgresql", b"\0" + POSTGRES_TYPES, 5),
        tcp=(5432,),
    ),
    _app("redis", "Redis", "arrays in RESP, or two single replies", tcp("databases.redis", b"*+-:$" + LETTERS, 4), tcp=(6379,)),
    _app("mongodb", "MongoDB", "the length and operation of a message", tcp("databases.mongodb", None, 16), tcp=(27017,)),
    # Peers and private networks
    _app(
        "bittorrent",
        "BitTorrent: peers, DHT, trackers, uTP",
        "handshakes, bencoding, the magic number of trackers; two uTP headers that belong together",
        tcp("peers.bittorrent", b"\x13", 20),
        udp("peers.bittorrent", b"\x13", 20),
        udp("peers.dht", b"d", 12),
        udp("peers.tracker", b"\0", 16),
        udp("peers.utp", (0x01, 0x11, 0x21, 0x31, 0x41), 20),
        tcp=tuple(range(6881, 6890)),
        udp=tuple(range(6881, 6890)),
    ),
    _app(
        "wireguard",
        "WireGuard",
        "a handshake's type, size and key; two data packets for one receiver",
        udp("vpn.wireguard", range(1, 5), 32),
        udp=(51820,),
    ),
    _app(
        "openvpn",
        "OpenVPN",
        "a client's reset, or its answer with the same session",
        udp("vpn.openvpn", (0x08, 0x10, 0x20, 0x28, 0x38, 0x40, 0x50), 14),
        tcp("vpn.openvpn_stream", range(8), 16),
        tcp=(1194,),
        udp=(1194,),
    ),
    _app(
        "ipsec",
        "IPsec: IKE, ESP, AH",
        "an IKE header with its length; IP protocols 50 and 51",
        udp("vpn.ike", None, 28),
        udp("vpn.ike_natt", b"\0", 32),
        udp("vpn.esp_in_udp", None, 1),
        udp=(500, 4500),
        tcp=(500, 4500),
        protocols=(50, 51),
    ),
    # Industry and buildings
    _app(
        "modbus",
        "Modbus/TCP",
        "its header and function; a second message that answers or follows",
        tcp("industrial.modbus", None, 8),
        tcp=(502,),
    ),
    _app("bacnet", "BACnet/IP", "the header of its virtual link", udp("industrial.bacnet", b"\x81", 6), udp=(47808,)),
    _app(
        "dnp3",
        "DNP3",
        "a link frame with its checksum",
        tcp("industrial.dnp3", b"\5", 10),
        udp("industrial.dnp3", b"\5", 10),
        tcp=(20000,),
        udp=(20000,),
    ),
    _app(
        "ethernet-ip",
        "EtherNet/IP with CIP",
        "the header of its encapsulation",
        tcp("industrial.ethernet_ip", ENCAPSULATION_COMMANDS, 24),
        udp("industrial.ethernet_ip", ENCAPSULATION_COMMANDS, 24),
        udp("industrial.cip_io", b"\2", 16),
        tcp=(44818,),
        udp=(44818, 2222),
    ),
    _app("s7", "Siemens S7 and S7-plus", "its header within ISO-on-TCP", tcp("industrial.s7", b"\3", 11), tcp=(102,)),
    _app("opcua", "OPC UA", "the type and length of a message", tcp("industrial.opcua", b"HAEROCM", 8), tcp=(4840,)),
    # Routers, and IP's own protocols
    _app("bgp", "Border Gateway Protocol", "its marker", tcp("routing.bgp", b"\xff", 19), tcp=(179,)),
    _app("icmp", "Internet Control Message Protocol", IP_AND_ICMP, protocols=(1,)),
    _app("icmpv6", "ICMP for IPv6", IP_AND_ICMP, protocols=(58,)),
    _app("igmp", "Internet Group Management Protocol", IP_AND_ICMP, protocols=(2,)),
    _app("gre", "Generic Routing Encapsulation", IP_AND_ICMP, protocols=(47,)),
    _app("ospf", "Open Shortest Path First", IP_AND_ICMP, protocols=(89,)),
    _app("vrrp", "Virtual Router Redundancy Protocol", IP_AND_ICMP, protocols=(112,)),
    _app("sctp", "Stream Control Transmission Protocol", IP_AND_ICMP, protocols=(132,)),
    # More
    _app("xmpp", "XMPP (Jabber)", "a stream's opening, stanzas", tcp("iot.xmpp", b"<", 8), tcp=(5222, 5223, 5269)),
    _app("irc", "Internet Relay Chat", "its commands and numbered replies", tcp("mail.irc", b"NUCPJ:", 8), tcp=(6667, 6697)),
    _app("nntp", "Network News Transfer Protocol", "greetings that name it", tcp=(119, 563)),
    _app(
        "dcerpc",
        "DCE/RPC, of Microsoft and of PROFINET",
        "the header of a packet",
        tcp("files.dce_rpc", b"\5", 16),
        udp("files.dce_rpc_datagram", b"\4", 80),
        tcp=(135,),
    ),
    _app(
        "mssql",
        "Microsoft SQL Server (TDS)",
        "a login, or two packets that fill their segments",
        tcp("databases.mssql", bytes(range(1, 19)), 8),
        tcp=(1433,),
        udp=(1434,),
    ),
    _app("oracle", "Oracle Net (TNS)", "connect descriptions", tcp("databases.oracle", range(16), 8), tcp=(1521,)),
    _app(
        "cassandra",
        "Cassandra's native protocol",
        "frames that fill the segment",
        tcp("databases.cassandra", (1, 2, 3, 4, 5, 0x81, 0x82, 0x83, 0x84, 0x85), 9),
        tcp=(9042,),
    ),
    _app(
        "memcached",
        "Memcached",
        "two of its commands or answers",
        tcp("databases.memcached", b"gdistapcvfSVE\x80\x81", 5),
        tcp=(11211,),
        udp=(11211,),
    ),
    _app(
        "socks",
        "SOCKS 4 and 5",
        "a greeting and its answer, or a request and its answer",
        tcp("vpn.socks", b"\0\4\5", 2),
        tcp=(1080,),
    ),
    _app(
        "diameter",
        "Diameter",
        "version, length, and a known command",
        tcp("directory.diameter", b"\1", 20),
        tcp=(3868,),
        sctp=(3868,),
    ),
    _app("h323", "H.323 call signalling", "Q.931 within ISO-on-TCP", tcp("media.h323", b"\3", 10), tcp=(1720,)),
    _app("iec104", "IEC 60870-5-104", "two segments filled with frames", tcp("industrial.iec104", b"\x68", 6), tcp=(2404,)),
    _app("rsync", "rsync daemon", "its greeting", tcp("files.rsync", b"@", 9), tcp=(873,)),
    _app("git", "git's own protocol", "packet lines", tcp("files.git", DIGITS + b"abcdef", 9), tcp=(9418,)),
    _app(
        "ldp",
        "Label Distribution Protocol",
        "a PDU with a message",
        udp("routing.ldp", b"\0", 18),
        tcp("routing.ldp", b"\0", 18),
        tcp=(646,),
        udp=(646,),
    ),
    _app(
        "l2tp",
        "Layer 2 Tunneling Protocol",
        "control messages",
        udp("vpn.l2tp", (0xC8, 0xC9, 0xCA, 0xCB), 12),
        udp=(1701,),
        protocols=(115,),
    ),
    _app("pptp", "Point-to-Point Tunneling Protocol, control", "the magic cookie", tcp("vpn.pptp", b"\0", 12), tcp=(1723,)),
    _app(
        "vxlan",
        "VXLAN",
        "its header and an Ethernet frame with IP, ARP or a VLAN",
        udp("vpn.vxlan", b"\x08", 22),
        udp=(4789, 8472),
    ),
    _app("gtp", "GPRS Tunnelling Protocol", "its length, and IP inside", udp("vpn.gtp", range(0x30, 0x40), 8), udp=(2152, 2123)),
    _app("whois", "Whois", "", tcp=(43,)),
    _app("pim", "Protocol Independent Multicast", IP_AND_ICMP, protocols=(103,)),
    _app("eigrp", "Enhanced Interior Gateway Routing Protocol", IP_AND_ICMP, protocols=(88,)),
    _app("ipip", "IP within IP", IP_AND_ICMP, protocols=(4, 41)),
    _app("rip", "Routing Information Protocol", "", udp=(520, 521)),
    _app("netflow", "NetFlow and IPFIX", "", udp=(2055, 4739, 9995)),
    _app("sflow", "sFlow", "", udp=(6343,)),
    _app("hsrp", "Hot Standby Router Protocol", "", udp=(1985, 2029)),
    _app("capwap", "CAPWAP, control of wireless access points", "", udp=(5246, 5247)),
    # DNS that is encrypted
    _app("dot", "DNS over TLS", "TLS that offers it by ALPN, or on port 853; SNI gives the name", tcp=(853,)),
    _app("doq", "DNS over QUIC", "QUIC on port 853, or that offers it by ALPN, with the extra `quic`", udp=(853,)),
    _app("doh", "DNS over HTTPS", "`https` whose SNI is the name of a public resolver; HTTP/3, too, with the extra `quic`"),
)


def _numbered(application: Application, number: int) -> Application:
    values = {name: getattr(application, name) for name in Application.__slots__ if name != "id"}
    return Application(number, **values)


APPLICATIONS: tuple[Application, ...] = tuple(_numbered(application, number) for number, application in enumerate(_TABLE))
"""Every application, by id; 0 is unknown."""

BY_NAME: dict[str, Application] = {application.name: application for application in APPLICATIONS}
