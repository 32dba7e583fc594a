"""Compares fastmon's labels of conversations with nDPI's: python tests/ndpi_compare.py [--hide-ports] [--verbose]

The corpus has nDPI's own expected results beside its captures. A conversation counts if nDPI's protocol is one that fastmon
knows by a name in OURS; where nDPI names a service within a protocol (TLS.Amazon), the protocol counts. Disagreements are
listed, each with its reason where one is known.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

sys.path.insert(0, str(Path(__file__).parent))

from corpus.captures import CORPUS

import fastmon
from fastmon.classify import APPLICATIONS, Conversation, Endpoint, Finding, by_port, by_protocol
from fastmon.classify.classifier import Classifier
from fastmon.decode import decode
from fastmon.model import addresses
from fastmon.model.conversations import LABELLED_BY, AppTables
from fastmon.model.names import NameBook
from fastmon.run.inspection import Inspector, ReplayBudget

TCP, UDP = 6, 17

_ENCRYPTED_DNS = ("dot", "doh", "doq")
_WITHIN_TLS = ("imap", "pop3", "smtp", "ldap", "ftp", "rdp", "mqtt", "amqp", "xmpp", "irc", "sip", "coap", "stun")
_TLS = ("tls", "https", "dot", "doh", *_WITHIN_TLS)
_RPC = ("rpc", "nfs")

OURS: dict[str, tuple[str, ...]] = {
    "HTTP": ("http",),
    "HTTP_Proxy": ("http",),
    "HTTP_Connect": ("http",),
    "HTTP2": ("http",),
    "TLS": _TLS,
    "QUIC": ("quic", "doq", "doh"),
    "DNS": ("dns",),
    "MDNS": ("mdns",),
    "LLMNR": ("llmnr",),
    "NetBIOS": ("netbios",),
    "DHCP": ("dhcp",),
    "DHCPV6": ("dhcpv6",),
    "NTP": ("ntp",),
    "FTP_CONTROL": ("ftp",),
    "FTP_DATA": ("ftp-data",),
    "FTPS": ("ftp",),
    "TFTP": ("tftp",),
    "SMTP": ("smtp",),
    "SMTPS": ("smtp", "tls"),
    "IMAP": ("imap",),
    "IMAPS": ("imap", "tls"),
    "POP3": ("pop3",),
    "POPS": ("pop3", "tls"),
    "SSH": ("ssh",),
    "Telnet": ("telnet",),
    "RDP": ("rdp",),
    "VNC": ("vnc",),
    "SMBv1": ("smb",),
    "SMBv23": ("smb",),
    "RPC": _RPC,
    "NFS": _RPC,
    "LDAP": ("ldap",),
    "Kerberos": ("kerberos",),
    "SNMP": ("snmp",),
    "Syslog": ("syslog",),
    "Radius": ("radius",),
    "SIP": ("sip",),
    "RTP": ("rtp",),
    "SRTP": ("rtp",),
    "RTCP": ("rtcp",),
    "RTSP": ("rtsp",),
    "STUN": ("stun",),
    "MQTT": ("mqtt",),
    "AMQP": ("amqp",),
    "COAP": ("coap",),
    "SSDP": ("ssdp",),
    "MySQL": ("mysql",),
    "PostgreSQL": ("postgresql",),
    "Redis": ("redis",),
    "MongoDB": ("mongodb",),
    "BitTorrent": ("bittorrent",),
    "WireGuard": ("wireguard",),
    "OpenVPN": ("openvpn",),
    "IPSec": ("ipsec",),
    "Modbus": ("modbus",),
    "BACnet": ("bacnet",),
    "DNP3": ("dnp3",),
    "EthernetIP": ("ethernet-ip",),
    "S7Comm": ("s7",),
    "S7CommPlus": ("s7",),
    "OPC-UA": ("opcua",),
    "BGP": ("bgp",),
    "ICMP": ("icmp",),
    "ICMPV6": ("icmpv6",),
    "IGMP": ("igmp",),
    "GRE": ("gre",),
    "OSPF": ("ospf",),
    "VRRP": ("vrrp",),
    "SCTP": ("sctp",),
}
"""nDPI's names, and ours of the same. TLS is named by us for what its port or ALPN says is within."""

REASONS: dict[tuple[str, str, str], str] = {
    ("BGP", "unknown", "port"): "no payload; port 2605 is bgpd's terminal, not BGP",
    ("OSPF", "unknown", "port"): "no payload; port 2604 is ospfd's terminal, and OSPF has no ports",
    ("Syslog", "unknown", "port"): "no payload; TCP port 514 is rsh's, syslog's is UDP",
    (
        "FTP_DATA",
        "unknown",
        "DPI",
    ): "announced later than the control connection's first payloads; nDPI guesses by the file's kind",
    ("SRTP", "stun", "DPI"): "media came later than the first payloads, which are STUN's",
    ("STUN", "rtp", "DPI"): "media among the first payloads",
    ("TLS", "unknown", "port"): "no TLS in the payloads; only the port said so",
    ("TLS", "unknown", "DPI"): "no TLS in the first payloads: nDPI waits for more",
    ("SIP", "unknown", "DPI"): "no SIP in the payloads: a keepalive of one vendor, or damaged",
    ("HTTP", "unknown", "DPI"): "a damaged request",
    ("COAP", "unknown", "DPI"): "a draft's options with a byte behind them",
    ("DNS", "unknown", "DPI"): "a damaged message, by its port alone",
    ("NetBIOS", "unknown", "DPI"): "a damaged message, by its port alone",
}
"""Why a kind of disagreement is there: nDPI's protocol, our label, and whether nDPI went by payload or port."""

LINE = re.compile(
    r"^\t\d+\t(?P<protocol>\S+) (?P<a>\S+) (?:<->|->) (?P<b>\S+) .*?\[proto: (?P<tunnel>\w+:)?[\d.]+/(?P<name>[^\]]+)\]"
    r".*?\[Confidence: (?P<confidence>[^\]]+)\]"
    r".*?\[\d+ pkts/(?P<bytes_ab>\d+) bytes (?:<->|->) \d+ pkts/(?P<bytes_ba>\d+) bytes\]"
)
PROTOCOL_NUMBERS = {
    "TCP": 6,
    "UDP": 17,
    "ICMP": 1,
    "ICMPV6": 58,
    "IGMP": 2,
    "OSPF": 89,
    "SCTP": 132,
    "GRE": 47,
    "ESP": 50,
    "AH": 51,
    "VRRP": 112,
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What nDPI says of a conversation."""

    capture: str
    protocol: int
    ends: frozenset[tuple[bytes, int]]
    text: str
    name: str
    confidence: str
    size: int
    is_tunnelled: bool

    @property
    def master(self) -> str:
        return self.name.partition(".")[0]


@dataclass(slots=True)
class Labelled:
    """What fastmon says of a conversation. by: "payload", "port" or "none".  payloads: what its classifier was given."""

    app: str
    by: str
    payloads: list[bytes] = field(default_factory=list)


class Witness(Classifier):
    """A classifier that remembers what it is given, by token."""

    def __init__(self, *, use_ports: bool) -> None:
        super().__init__(use_ports=use_ports)
        self.seen: dict[int, list[bytes]] = defaultdict(list)

    def inspect(self, conversation: Conversation, payload: bytes, from_a: bool, ts_ns: int) -> Finding | None:
        self.seen[conversation.token].append(payload)
        return super().inspect(conversation, payload, from_a, ts_ns)


def verdicts(path: Path) -> Iterator[Verdict]:
    """Yield the conversations of one of nDPI's results."""
    for line in path.read_text(errors="replace").splitlines():
        found = LINE.match(line)
        if found is None:
            continue
        protocol = PROTOCOL_NUMBERS.get(found["protocol"], -1)
        ends = frozenset(_end(found[side]) for side in ("a", "b"))
        size = int(found["bytes_ab"]) + int(found["bytes_ba"])
        text = f"{found['protocol']} {found['a']} {found['b']}"
        yield Verdict(
            path.name.removesuffix(".out"), protocol, ends, text, found["name"], found["confidence"], size, bool(found["tunnel"])
        )


def _end(written: str) -> tuple[bytes, int]:
    if written.startswith("["):
        host, _, port = written[1:].partition("]:")
    elif written.count(":") == 1:
        host, _, port = written.partition(":")
    else:
        host, port = written, "0"
    return addresses.key_from_text(host), int(port or 0)


def segments(path: Path) -> Iterator[tuple[int, int, Endpoint, Endpoint, bytes]]:
    """Yield time, IP protocol, source, destination and payload of a capture's packets that have one."""
    with fastmon.open_offline(str(path)) as capture:
        while frames := capture.read(1000):
            for frame in frames:
                packet = decode(frame)
                if packet.payload and packet.protocol is not None and packet.ports is not None:
                    ends = Endpoint(packet.src, packet.ports[0]), Endpoint(packet.dst, packet.ports[1])
                    yield frame.ts_ns, packet.protocol, *ends, packet.payload


Key: TypeAlias = tuple[int, frozenset[tuple[bytes, int]]]


def conversations(path: Path, *, hide_ports: bool) -> dict[Key, Labelled]:
    """Return what fastmon says of a capture's conversations, and of those in tunnels, where they are not the same."""
    return labelled(path, inner=True, hide_ports=hide_ports) | labelled(path, inner=False, hide_ports=hide_ports)


def labelled(path: Path, *, inner: bool, hide_ports: bool) -> dict[Key, Labelled]:
    """Account a capture with an unlimited budget; of what had several lives, a label by payload counts."""
    tables = AppTables(by_protocol()) if hide_ports else AppTables(by_protocol(), by_port(TCP), by_port(UDP))
    accountant = fastmon.make_accountant(inner=inner, max_conversations=1 << 20, applications=tables, keep_conversations=True)
    witness = Witness(use_ports=not hide_ports)
    inspector = Inspector(accountant, lambda: witness, ReplayBudget(100), NameBook())
    with suppress(fastmon.CaptureError), fastmon.open_offline(str(path)) as capture:
        while not capture.exhausted:
            inspector.look(accountant.drain(capture, 1000))
    inspector.look(0)
    accountant.end_conversations()
    found: dict[Key, Labelled] = {}
    for row in accountant.take_conversations():
        has_ports = row["protocol"] in {TCP, UDP}  # in nDPI's eyes
        ends = frozenset((row[end].tobytes(), int(row[f"{end}_port"]) * has_ports) for end in ("a", "b"))
        one = Labelled(APPLICATIONS[row["app"]].name, LABELLED_BY[row["by"]], witness.seen[int(row["token"])])
        before = found.get((int(row["protocol"]), ends))
        if before is None or LABELLED_BY.index(one.by) > LABELLED_BY.index(before.by):
            found[int(row["protocol"]), ends] = one
    return found


@dataclass(frozen=True, slots=True)
class Miss:
    """A disagreement.  by: what our label is from.  payloads: what the classifier was given."""

    verdict: Verdict
    ours: str
    by: str
    payloads: list[bytes]

    def reason(self) -> str:
        """Return why, or nothing."""
        how = "port" if "port" in self.verdict.confidence else "DPI"
        if reason := REASONS.get((self.verdict.master, self.ours, how)):
            return reason
        if self.by == "none" and not self.payloads:
            return "no payload"
        return "ports are hidden, and the payloads say nothing" if self.by == "none" and how == "port" else ""

    def line(self) -> str:
        """Return it for people."""
        one = self.verdict
        return (
            f"{one.capture} {one.text} {one.size} bytes: nDPI {one.name} ({one.confidence}), "
            f"here {self.ours} by {self.by}: {self.reason() or '?'}"
        )


@dataclass(slots=True)
class Comparison:
    """The sums over all captures."""

    n_all: int = 0
    n_right: int = 0
    bytes_all: int = 0
    bytes_right: int = 0
    n_dpi: int = 0
    n_dpi_right: int = 0
    n_encrypted_dns: int = 0
    n_encrypted_dns_right: int = 0
    n_missing: int = 0
    out_of_scope: Counter[str] = field(default_factory=Counter)
    extra: Counter[tuple[str, str]] = field(default_factory=Counter)
    misses: list[Miss] = field(default_factory=list)

    def add(self, verdict: Verdict, one: Labelled | None) -> None:
        accepted = OURS.get(verdict.master)
        if verdict.is_tunnelled:
            accepted = None
        ours, by = (one.app, one.by) if one else ("missing", "none")
        if accepted is None:
            self.out_of_scope[verdict.master] += 1
            self.extra[verdict.name, ours] += 1
            return
        if one is None:
            self.n_missing += 1
        right = ours in accepted or (verdict.protocol == TCP and ".SMB" in verdict.name and ours == "smb")
        is_dpi = verdict.confidence.startswith("DPI")
        self.n_all += 1
        self.n_right += right
        self.bytes_all += verdict.size
        self.bytes_right += verdict.size * right
        self.n_dpi += is_dpi
        self.n_dpi_right += is_dpi and right
        if verdict.name.endswith("DoH_DoT"):
            self.n_encrypted_dns += 1
            self.n_encrypted_dns_right += ours in _ENCRYPTED_DNS
        if not right:
            self.misses.append(Miss(verdict, ours, by, one.payloads if one else []))


def captures() -> list[tuple[Path, Path]]:
    """Return the captures that nDPI's results are there for, with those."""
    expected = {path.name.removesuffix(".out"): path for path in (CORPUS / "expected" / "ndpi").glob("*.out")}
    folders = [folder for folder in sorted(CORPUS.iterdir()) if folder.is_dir() and folder.name != "expected"]
    return [(path, expected[path.name]) for folder in folders for path in sorted(folder.iterdir()) if path.name in expected]


def compare(*, hide_ports: bool) -> Comparison:
    """Compare all captures."""
    total = Comparison()
    for capture, expected in captures():
        found = conversations(capture, hide_ports=hide_ports)
        for verdict in verdicts(expected):
            total.add(verdict, found.get((verdict.protocol, verdict.ends)))
    return total


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hide-ports", action="store_true", help="from the classifier: only payloads decide")
    parser.add_argument("--verbose", action="store_true", help="show first payloads, and what is out of scope")
    options = parser.parse_args()
    if not CORPUS.is_dir():
        parser.error(f"there is no capture corpus in {CORPUS}; FASTMON_CORPUS can name another folder")
    total = compare(hide_ports=options.hide_ports)
    for miss in sorted(total.misses, key=lambda miss: miss.verdict.name):
        print(miss.line())
        for payload in miss.payloads if options.verbose else []:
            print(f"    {len(payload)}: {payload[:48].hex(' ')} {payload[:48]!r}")
    if options.verbose:
        for (theirs, ours), count in sorted(total.extra.items()):
            print(f"out of scope: nDPI {theirs}, here {ours}: {count}")
    for what, right, of in (
        ("conversations", total.n_right, total.n_all),
        ("bytes", total.bytes_right, total.bytes_all),
        ("conversations that nDPI decided by payload", total.n_dpi_right, total.n_dpi),
    ):
        print(f"{what}: {right} of {of} = {right / of:.2%}")
    print(f"encrypted DNS in nDPI's eyes: {total.n_encrypted_dns}, here: {total.n_encrypted_dns_right}")
    print(f"not found in the captures: {total.n_missing}; out of scope: {sum(total.out_of_scope.values())}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
