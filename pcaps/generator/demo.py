"""The README's capture: five minutes of a small office's network, as its gateway sees them.

A dozen devices talk to some forty servers, all of documentation or private addresses, in protocols that their first payloads
show: TLS with a server's name, HTTP, QUIC, SMB, RTP, DNS, mDNS, SSDP, NTP and DHCP. Frames are cut, long ones more than
short ones; their wire lengths are those of whole frames.
"""

from __future__ import annotations

import random
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .ethernet import ethernet, ieee802_3, llc
from .ip import PROTOCOLS, address, icmp, ipv4, ipv6, tcp, udp
from .maker import START_NS
from .pdu import Pdu, non_ip, opaque
from .savefile import pcap
from .set_formats import Variant
from .truth import Record

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["capture"]

SNAPLEN, BULK_SNAPLEN = 320, 112  # a lease's host name and a ClientHello's server name fit; of full frames less is kept
BULK_LEN = 700
RANDOM_LEN = 64  # of a payload; the rest is zeros, which pack well
DURATION_S = 300
ETHERNET, ARP, LLDP = 1, 0x0806, 0x88CC
BROADCAST = b"\xff" * 6
SYN, ACK, PUSH, FIN = 2, 16, 8, 1
SEGMENT = 1448  # what a full frame carries when segments have timestamps
SEARCH = b'M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nMAN: "ssdp:discover"\r\nMX: 1\r\nST: ssdp:all\r\n\r\n'
TIMESTAMPS = b"\1\1\x08\x0a" + bytes(8)


@dataclass(frozen=True, slots=True)
class Node:
    """A device of the network, or a server beyond the gateway, whose frames bear the gateway's MAC address."""

    mac: bytes
    v4: bytes
    v6: bytes = b""
    name: str = ""


def device(number: int, name: str, *, has_v6: bool = False) -> Node:
    """Return the device whose addresses end in `number`."""
    v6 = address(f"2001:db8:1::{number:x}") if has_v6 else b""
    return Node(bytes.fromhex("02005e1000") + bytes([number]), address(f"192.168.1.{number}"), v6, name)


GATEWAY = device(1, "gateway", has_v6=True)
LAPTOP, DESKTOP, PHONE, TV = (
    device(number, name, has_v6=True)
    for number, name in ((20, "annas-laptop"), (21, "desktop"), (30, "annas-phone"), (40, "living-room-tv"))
)
OLD_PHONE, TABLET, SPEAKER, CAMERA = (
    device(number, name) for number, name in ((31, "old-phone"), (32, "tablet"), (41, "speaker"), (50, "door-camera"))
)
THERMOSTAT, PRINTER, NAS, CONSOLE = (
    device(number, name) for number, name in ((51, "thermostat"), (60, "printer"), (61, "nas"), (70, "console"))
)
DEVICES = (LAPTOP, DESKTOP, PHONE, TV, OLD_PHONE, TABLET, SPEAKER, CAMERA, THERMOSTAT, PRINTER, NAS, CONSOLE)
SERVERS = [
    Node(GATEWAY.mac, address(f"{network}.{10 * n + 7}"), address(f"2001:db8:f{net:x}{n:02x}::7"))
    for net, network in enumerate(("192.0.2", "198.51.100", "203.0.113"))
    for n in range(13)
]
NAMES = ("www", "api", "cdn", "mail", "video", "updates", "time", "static", "push", "music", "maps", "sync", "news")


@dataclass(frozen=True, slots=True)
class Flow:
    """The datagrams between two ports, in one direction."""

    src: Node
    dst: Node
    ports: tuple[int, int]
    v6: bool = False

    def back(self) -> Flow:
        """Return the other direction."""
        return Flow(self.dst, self.src, (self.ports[1], self.ports[0]), self.v6)


class Office:
    """Collects what the devices send, in seconds since the start."""

    def __init__(self, seed: str) -> None:
        self.random = random.Random(f"{seed}:demo")
        self.frames: list[tuple[float, Pdu]] = []
        self.next_port = 49152

    def port(self) -> int:
        """Return a client's port that was not used before."""
        self.next_port += 1
        return self.next_port

    def send(self, at: float, src: Node, dst: Node, body: Pdu, protocol: str = "udp", *, v6: bool = False) -> None:
        """Send one packet."""
        packet = ipv6(src.v6, dst.v6, PROTOCOLS[protocol], body) if v6 else ipv4(src.v4, dst.v4, PROTOCOLS[protocol], body)
        self.frames.append((at, ethernet(packet, src=src.mac, dst=dst.mac, pad=True)))

    def stream(self, at: float, flow: Flow, payloads: Iterable[bytes], gap: float) -> None:
        """Send datagrams with these payloads, `gap` seconds apart."""
        for payload in payloads:
            self.send(at, flow.src, flow.dst, udp(opaque(payload), *flow.ports), v6=flow.v6)
            at += gap * (0.5 + self.random.random())

    def filler(self, size: int) -> bytes:
        """Return a payload whose beginning is random."""
        return self.random.randbytes(min(size, RANDOM_LEN)) + bytes(max(0, size - RANDOM_LEN))

    def lookup(self, at: float, client: Node, name: str, answer: bytes) -> float:
        """Ask the gateway for a name's address; return when the answer is there."""
        port, number, kind = self.port(), self.random.getrandbits(16), 1 if len(answer) == 4 else 28
        question = labels(name) + struct.pack(">HH", kind, 1)
        query = struct.pack(">HHHHHH", number, 0x0100, 1, 0, 0, 0) + question
        record = struct.pack(">HHHIH", 0xC00C, kind, 1, 300, len(answer)) + answer
        reply = struct.pack(">HHHHHH", number, 0x8180, 1, 1, 0, 0) + question + record
        self.send(at, client, GATEWAY, udp(opaque(query), port, 53))
        at += 0.004 + self.random.random() * 0.02
        self.send(at, GATEWAY, client, udp(opaque(reply), 53, port))
        return at + 0.001

    def web(self, at: float, client: Node, server: Node, request: int, reply: int, *, port: int = 443, v6: bool = False) -> None:
        """Look a server up, connect to it, and fetch `reply` bytes with `request` bytes: TLS on 443, HTTP on 80."""
        name = server_name(server)
        at = self.lookup(at, client, name, server.v6 if v6 else server.v4)
        connection = Connection(self, at, client, server, port, v6=v6)
        if port == 443:
            connection.client(client_hello(name, self.random.randbytes(32)))
            connection.server(b"\x16\x03\x03\0\x7a\x02\0\0\x76\x03\x03" + self.filler(3600))
            connection.client(b"\x14\x03\x03\0\1\1\x17\x03\x03\0\x35" + self.filler(53))
            connection.client(b"\x17\x03\x03" + struct.pack(">H", request) + self.filler(request))
            connection.server(b"\x17\x03\x03\x40\0" + self.filler(reply))
        else:
            connection.client(f"GET /{self.random.getrandbits(20):x} HTTP/1.1\r\nHost: {name}\r\n".encode().ljust(request, b"-"))
            connection.server(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n" + self.filler(reply))
        connection.close()


def server_name(server: Node) -> str:
    """Return what people call a server."""
    number = SERVERS.index(server)
    return f"{NAMES[number % len(NAMES)]}.example.{('com', 'net', 'org')[number // 13]}"


def labels(name: str) -> bytes:
    """Return a name as DNS writes it (RFC 1035, 3.1)."""
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"


def client_hello(name: str, noise: bytes) -> bytes:
    """Return a ClientHello for HTTP over TLS 1.3, with its server's name, padded to 517 bytes (RFC 8446, 4.1.2; RFC 7685)."""
    host, protocols = name.encode(), b"\x02h2\x08http/1.1"
    extensions = struct.pack(">HHHBH", 0, len(host) + 5, len(host) + 3, 0, len(host)) + host
    extensions += struct.pack(">HHH", 16, len(protocols) + 2, len(protocols)) + protocols + b"\0\x2b\0\3\2\3\4"
    before = b"\3\3" + noise + b"\0" + b"\0\4\x13\1\x13\2" + b"\1\0"
    n_padding = 517 - 9 - len(before) - 2 - len(extensions) - 4
    extensions += struct.pack(">HH", 21, n_padding) + bytes(n_padding)
    body = before + struct.pack(">H", len(extensions)) + extensions
    handshake = b"\1" + len(body).to_bytes(3, "big") + body
    return b"\x16\3\1" + struct.pack(">H", len(handshake)) + handshake


class Connection:
    """One TCP connection, whose sides speak in turn; every second segment is acknowledged."""

    def __init__(self, office: Office, at: float, client: Node, server: Node, port: int, *, v6: bool = False) -> None:
        self.office, self.at, self.v6 = office, at, v6
        self.nodes, self.ports = (client, server), (office.port(), port)
        self.seq = [office.random.getrandbits(31), office.random.getrandbits(31)]
        self.delay = (0.004 if client.mac != server.mac and server in SERVERS else 0.0005) * (1 + office.random.random())
        self.segment(0, b"", SYN)
        self.segment(1, b"", SYN | ACK)
        self.segment(0, b"", ACK)

    def segment(self, side: int, payload: bytes, flags: int) -> None:
        """Send one segment: of the client (0) or the server (1)."""
        other = 1 - side
        body = tcp(
            payload,
            self.ports[side],
            self.ports[other],
            seq=self.seq[side],
            ack=self.seq[other] if flags & ACK else 0,
            flags=flags,
            options=TIMESTAMPS,
        )
        self.seq[side] += len(payload) + (1 if flags & (SYN | FIN) else 0)
        self.office.send(self.at, self.nodes[side], self.nodes[other], body, "tcp", v6=self.v6)
        self.at += self.delay * (0.5 + self.office.random.random())

    def say(self, side: int, data: bytes) -> None:
        """Send data in full segments."""
        for n, start in enumerate(range(0, len(data), SEGMENT - 20 * self.v6)):
            last = start + SEGMENT - 20 * self.v6 >= len(data)
            self.segment(side, data[start : start + SEGMENT - 20 * self.v6], ACK | (PUSH if last else 0))
            if n % 2 or last:
                self.segment(1 - side, b"", ACK)

    def client(self, data: bytes) -> None:
        """Send data to the server."""
        self.say(0, data)

    def server(self, data: bytes) -> None:
        """Send data to the client."""
        self.say(1, data)

    def close(self) -> None:
        """End the connection, the client first."""
        for side in (0, 1):
            self.segment(side, b"", FIN | ACK)
            self.segment(1 - side, b"", ACK)


def browse(office: Office) -> None:
    """Fetch pages for people's devices; half of those that can speak IPv6 do."""
    for client in (LAPTOP, DESKTOP, PHONE, OLD_PHONE, TABLET, TV, CONSOLE, SPEAKER):
        for _ in range(7):
            server = SERVERS[office.random.randrange(len(SERVERS))]
            v6 = bool(client.v6) and office.random.random() < 0.5
            port = 80 if office.random.random() < 0.25 else 443
            at = office.random.random() * (DURATION_S - 15)
            office.web(
                at, client, server, 200 + office.random.randrange(600), office.random.randrange(400, 9000), port=port, v6=v6
            )


def transfer(office: Office) -> None:
    """Download to a laptop, stream to the television over IPv6, copy to the storage, upload from the camera."""
    office.web(12.0, LAPTOP, SERVERS[2], 400, 1_030_000)
    at = office.lookup(40.0, TV, server_name(SERVERS[17]), SERVERS[17].v6)
    video = Flow(TV, SERVERS[17], (office.port(), 443), v6=True)
    for chunk in range(8):
        office.stream(at + chunk * 30, video, quic(office, 1242, [40] * 24), 0.06)
        office.stream(at + chunk * 30 + 0.02, video.back(), quic(office, 1330, [1330] * 92), 0.015)
    copy = Connection(office, 75.0, DESKTOP, NAS, 445)
    copy.client(b"\0\0\0\x90\xfeSMB" + office.filler(140))
    copy.server(b"\0\0\0\xb0\xfeSMB" + office.filler(172))
    copy.client(b"\0\x10\0\0\xfeSMB" + office.filler(1_060_000))
    copy.server(b"\0\0\0\x54\xfeSMB" + office.filler(80))
    copy.close()
    office.stream(5.0, Flow(CAMERA, SERVERS[30], (office.port(), 5004)), rtp(office, 180, 140), 2.0)


def quic(office: Office, initial: int, sizes: list[int]) -> Iterator[bytes]:
    """Yield datagrams of QUIC 1 (RFC 9000, 17): an Initial of `initial` bytes, then short headers."""
    yield (
        b"\xc3\0\0\0\1\x08"
        + office.random.randbytes(8)
        + b"\0\0"
        + struct.pack(">H", 0x4000 | initial - 18)
        + office.filler(initial - 18)
    )
    for size in sizes:
        yield b"\x43" + office.filler(size - 1)


def rtp(office: Office, size: int, count: int) -> Iterator[bytes]:
    """Yield RTP packets of one source (RFC 3550, 5.1)."""
    source = office.random.getrandbits(32)
    for n in range(count):
        yield struct.pack(">BBHII", 0x80, 0, 1000 + n, 160 * n, source) + office.filler(size - 12)


def chatter(office: Office) -> None:
    """Time, discovery, pings, and the leases of a network."""
    multicast = Node(bytes.fromhex("01005e0000fb"), address("224.0.0.251"))
    multicast_v6 = Node(bytes.fromhex("3333000000fb"), b"", address("ff02::fb"))
    discovery = Node(bytes.fromhex("01005e7ffffa"), address("239.255.255.250"))
    everyone, nobody = Node(BROADCAST, address("255.255.255.255")), address("0.0.0.0")
    for n, client in enumerate(DEVICES):
        start = office.random.random() * 20
        lease = Node(client.mac, nobody)
        office.send(start, lease, everyone, udp(dhcp(client, is_reply=False), 68, 67))
        office.send(start + 0.01, GATEWAY, client, udp(dhcp(client, is_reply=True), 67, 68))
        for at in range(int(start) + 20, DURATION_S - 5, 64):
            office.send(at, client, SERVERS[6], udp(opaque(b"\x23\0\6\xec" + bytes(36) + office.filler(8)), 123, 123))
            office.send(
                at + 0.013, SERVERS[6], client, udp(opaque(b"\x24\1\6\xec" + bytes(8) + b"GPS\0" + office.filler(32)), 123, 123)
            )
        if n % 3 == 0:
            office.send(start + 30, client, multicast, udp(mdns(client, client.v4), 5353, 5353))
            office.send(start + 60, client, discovery, udp(opaque(SEARCH), office.port(), 1900))
        if client.v6:
            office.send(start + 31, client, multicast_v6, udp(mdns(client, client.v6), 5353, 5353), v6=True)
            office.send(start + 33, client, GATEWAY, icmp(135, GATEWAY.v6), "icmpv6", v6=True)
            office.send(start + 33.001, GATEWAY, client, icmp(136, GATEWAY.v6), "icmpv6", v6=True)
    for n in range(20):
        office.send(100.0 + n, LAPTOP, SERVERS[20], icmp(8, bytes(56)), "icmp")
        office.send(100.012 + n, SERVERS[20], LAPTOP, icmp(0, bytes(56)), "icmp")


def dhcp(client: Node, *, is_reply: bool) -> Pdu:
    """Return a client's request, with its name, or the reply (RFC 2131)."""
    yours = client.v4 if is_reply else bytes(4)
    head = struct.pack(">BBBBI8x4s8x6s", 2 if is_reply else 1, 1, 6, 0, client.mac[5], yours, client.mac).ljust(236, b"\0")
    options = b"\x35\1\5\x36\4" + GATEWAY.v4 if is_reply else b"\x35\1\3\x32\4" + client.v4
    if not is_reply:
        options += bytes([12, len(client.name)]) + client.name.encode()
    return opaque((head + b"\x63\x82\x53\x63" + options + b"\xff").ljust(300, b"\0"))


def mdns(client: Node, own: bytes) -> Pdu:
    """Return what a device announces: its name and address (RFC 6762, 8.3)."""
    record = labels(f"{client.name}.local") + struct.pack(">HHIH", 1 if len(own) == 4 else 28, 0x8001, 120, len(own)) + own
    return opaque(struct.pack(">HHHHHH", 0, 0x8400, 0, 1, 0, 0) + record)


def link_layer(office: Office) -> None:
    """Frames without IP: address resolution, spanning tree, discovery."""
    for client in DEVICES:
        for _ in range(3):
            at = office.random.random() * DURATION_S
            question = struct.pack(">HHBBH6s4s6s4s", 1, 0x0800, 6, 4, 1, client.mac, client.v4, bytes(6), GATEWAY.v4)
            answer = struct.pack(">HHBBH6s4s6s4s", 1, 0x0800, 6, 4, 2, GATEWAY.mac, GATEWAY.v4, client.mac, client.v4)
            office.frames.append((at, ethernet(non_ip(question), ARP, src=client.mac, dst=BROADCAST, pad=True)))
            office.frames.append((at + 0.0004, ethernet(non_ip(answer), ARP, src=GATEWAY.mac, dst=client.mac, pad=True)))
    for at in range(0, DURATION_S, 6):
        office.frames.append((at + 0.5, ieee802_3(llc(non_ip(bytes(35)), 0x42, 0x42))))
    for at in range(0, DURATION_S, 30):
        office.frames.append((at + 0.7, ethernet(non_ip(office.filler(90)), LLDP, src=GATEWAY.mac)))


def capture(seed: str) -> Variant:
    """Return the capture, its frames in the order of their times."""
    office = Office(seed)
    for part in (browse, transfer, chatter, link_layer):
        part(office)
    records = [
        Record(
            frame, START_NS + int(at * 1e6) * 1000, min(len(frame.data), SNAPLEN if len(frame.data) < BULK_LEN else BULK_SNAPLEN)
        )
        for at, frame in sorted(office.frames, key=lambda timed: timed[0])
    ]
    return Variant("demo.pcap", pcap(records, ETHERNET, snaplen=SNAPLEN), records)
