"""The table of applications: what each one is, and how it is recognised.

Adding one is an entry here (at the end: numbers stay) and a test. A payload decides where a matcher knows it; the port
decides where no payload does. What this module does not do: look at payloads; the modules of the matchers do.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fastmon.conversations import AppTables

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["APPLICATIONS", "NUMBERS", "Application", "app_tables"]


@dataclass(frozen=True, slots=True)
class Application:
    """One application. about: for people.  how: how its payload is recognised; "" if only by port or protocol.

    tcp, udp: ports that it is known by.  protocols: IP protocols that it is.
    """

    name: str
    about: str
    how: str = ""
    tcp: tuple[int, ...] = ()
    udp: tuple[int, ...] = ()
    protocols: tuple[int, ...] = field(default=(), kw_only=True)


_ = Application

APPLICATIONS: tuple[Application, ...] = (
    _("unknown", "nothing is known of it"),
    _("http", "Hypertext Transfer Protocol", "request and status lines; HTTP/2's preface", (80, 8000, 8008, 8080, 3128, 8888)),
    _("https", "HTTP over TLS", "TLS on port 443, or whose ALPN is HTTP's", (443, 8443), (443,)),
    _("tls", "TLS of anything else", "record and handshake headers; SNI and ALPN of the ClientHello"),
    _("dtls", "TLS in datagrams", "record header; SNI of the ClientHello"),
    _("quic", "QUIC", "version of the long header; SNI of the Initial packet"),
    _("dns", "Domain Name System", "header and first question or record", (53, 853), (53,)),
    _("mdns", "Multicast DNS", "DNS to its group or port", (), (5353,)),
    _("llmnr", "Link-Local Multicast Name Resolution", "DNS to its group or port", (5355,), (5355,)),
    _("netbios", "NetBIOS names, datagrams and sessions", "encoded names, header types", (137, 139), (137, 138)),
    _("dhcp", "Dynamic Host Configuration Protocol", "magic cookie behind BOOTP's header", (), (67, 68)),
    _("dhcpv6", "DHCP for IPv6", "message type and options", (), (546, 547)),
    _("ntp", "Network Time Protocol", "mode, version and timestamps", (), (123,)),
    _("ftp", "File Transfer Protocol, control", "replies and commands", (21, 990)),
    _("ftp-data", "File Transfer Protocol, data", "endpoints announced by PORT, PASV, EPRT and EPSV", (20, 989)),
    _("tftp", "Trivial File Transfer Protocol", "opcode, file name and mode; the port that the server answers from", (), (69,)),
    _("smtp", "Simple Mail Transfer Protocol", "greeting and commands", (25, 465, 587, 2525)),
    _("imap", "Internet Message Access Protocol", "greeting and tagged commands", (143, 993)),
    _("pop3", "Post Office Protocol", "greeting and commands", (110, 995)),
    _("ssh", "Secure Shell", "identification string, key exchange", (22,)),
    _("telnet", "Telnet", "option negotiation", (23, 992)),
    _("rdp", "Remote Desktop Protocol", "TPKT and X.224 connection request", (3389,), (3389,)),
    _("vnc", "Virtual Network Computing", "protocol version", (5900, 5901, 5902, 5903, 5800)),
    _("smb", "Server Message Block", "\\xffSMB, \\xfeSMB, \\xfdSMB behind the session header", (445,)),
    _("rpc", "ONC remote procedure calls", "call and reply headers", (111,), (111,)),
    _("nfs", "Network File System", "RPC of program 100003", (2049,), (2049,)),
    _("ldap", "Lightweight Directory Access Protocol", "BER message with an LDAP operation", (389, 636, 3268, 3269), (389,)),
    _("kerberos", "Kerberos", "BER application tags", (88, 464), (88, 464)),
    _("snmp", "Simple Network Management Protocol", "BER message with version and PDU", (161, 162), (161, 162)),
    _("syslog", "System logging", "priority in angle brackets", (514, 601, 6514), (514,)),
    _("radius", "Remote Authentication Dial-In User Service", "code, length and attributes", (1812, 1813), (1645, 1646, 1812, 1813, 3799)),
    _("sip", "Session Initiation Protocol", "request and status lines", (5060, 5061), (5060,)),
    _("rtp", "Real-time Transport Protocol", "announced by SIP or RTSP, or the headers of two packets", (), (5004,)),
    _("rtcp", "RTP's control protocol", "packet types and lengths", (), (5005,)),
    _("rtsp", "Real-Time Streaming Protocol", "request and status lines", (554, 8554)),
    _("stun", "Session Traversal Utilities for NAT, and TURN", "magic cookie, attributes", (3478, 5349), (3478, 3479)),
    _("mqtt", "MQTT", "CONNECT and its acknowledgement", (1883, 8883)),
    _("amqp", "Advanced Message Queuing Protocol", "protocol header, frames", (5671, 5672)),
    _("coap", "Constrained Application Protocol", "header and options", (5683,), (5683, 5684)),
    _("ssdp", "Simple Service Discovery Protocol", "HTTP's lines in datagrams", (), (1900,)),
    _("mysql", "MySQL", "greeting, login and commands", (3306, 33060)),
    _("postgresql", "PostgreSQL", "startup message, typed messages", (5432,)),
    _("redis", "Redis", "RESP arrays of bulk strings", (6379,)),
    _("mongodb", "MongoDB", "message header with a known operation", (27017, 27018, 27019)),
    _("bittorrent", "BitTorrent", "handshake; tracker, DHT and uTP datagrams", (6881, 6882, 6883, 6884, 6885, 6886, 6887, 6888, 6889), (6881,)),
    _("wireguard", "WireGuard", "message type and length", (), (51820,)),
    _("openvpn", "OpenVPN", "opcodes of the handshake", (1194,), (1194,)),
    _("ipsec", "IPsec: IKE, ESP and AH", "IKE's header; ESP behind it", (), (500, 4500), protocols=(50, 51)),
    _("modbus", "Modbus over TCP", "header and function code", (502,)),
    _("bacnet", "BACnet/IP", "BVLC header", (), (47808,)),
    _("dnp3", "Distributed Network Protocol", "start bytes and checksum", (20000,), (20000,)),
    _("ethernet-ip", "EtherNet/IP", "encapsulation header", (44818,), (2222, 44818)),
    _("s7", "Siemens S7 communication", "protocol 0x32 in COTP in TPKT", (102,)),
    _("opcua", "OPC Unified Architecture", "message type and length", (4840,)),
    _("bgp", "Border Gateway Protocol", "marker, length and type", (179,)),
    _("icmp", "Internet Control Message Protocol", protocols=(1,)),
    _("icmpv6", "ICMP for IPv6", protocols=(58,)),
    _("igmp", "Internet Group Management Protocol", protocols=(2,)),
    _("gre", "Generic Routing Encapsulation", protocols=(47,)),
    _("ospf", "Open Shortest Path First", protocols=(89,)),
    _("vrrp", "Virtual Router Redundancy Protocol, and CARP", protocols=(112,)),
    _("sctp", "Stream Control Transmission Protocol", protocols=(132,)),
    _("ipip", "IP in IP", protocols=(4, 41)),
    _("pim", "Protocol Independent Multicast", protocols=(103,)),
    _("eigrp", "Enhanced Interior Gateway Routing Protocol", protocols=(88,)),
    _("rip", "Routing Information Protocol", "command, version and entries", (), (520, 521)),
    _("ldp", "Label Distribution Protocol", "version, length and label space", (646,), (646,)),
    _("bfd", "Bidirectional Forwarding Detection", "version, length and discriminators", (), (3784, 3785, 4784)),
    _("hsrp", "Hot Standby Router Protocol", "version and group message", (), (1985, 2029)),
    _("vxlan", "Virtual eXtensible LAN", "", (), (4789, 8472)),
    _("geneve", "Generic Network Virtualization Encapsulation", "", (), (6081,)),
    _("gtp", "GPRS Tunnelling Protocol", "", (), (2123, 2152)),
    _("whois", "WHOIS", "", (43,)),
    _("xmpp", "Extensible Messaging and Presence Protocol", "", (5222, 5223, 5269)),
    _("rsync", "rsync", "", (873,)),
    _("socks", "SOCKS", "", (1080,)),
    _("irc", "Internet Relay Chat", "", (6667, 6697)),
    _("git", "git", "", (9418,)),
    _("memcached", "memcached", "", (11211,), (11211,)),
    _("elasticsearch", "Elasticsearch", "", (9200, 9300)),
    _("mssql", "Microsoft SQL Server", "", (1433,), (1434,)),
    _("oracle", "Oracle Database", "", (1521,)),
    _("ipp", "Internet Printing Protocol", "", (631,), (631,)),
    _("ws-discovery", "Web Services Dynamic Discovery", "", (), (3702,)),
)
"""By number; 0 is unknown."""

NUMBERS: dict[str, int] = {application.name: number for number, application in enumerate(APPLICATIONS)}


def app_tables() -> AppTables:
    """Return what protocols and ports say, for an accountant."""
    return AppTables(
        protocols=_table(256, ((number, app.protocols) for number, app in enumerate(APPLICATIONS))),
        tcp_ports=_table(65536, ((number, app.tcp) for number, app in enumerate(APPLICATIONS))),
        udp_ports=_table(65536, ((number, app.udp) for number, app in enumerate(APPLICATIONS))),
    )


def _table(size: int, entries: Iterable[tuple[int, tuple[int, ...]]]) -> bytes:
    table = bytearray(size)
    for number, places in entries:
        for place in places:
            table[place] = number
    return bytes(table)
