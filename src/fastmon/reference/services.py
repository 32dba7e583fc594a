"""The reference accountant's services, openings and contacts of local hosts (docs/conversations.md).

It counts peers and services exactly, where the native one estimates. Private to `fastmon.reference`.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from fastmon.model.conversations import LABELLED_BY, UNKNOWN_APP, AppTables
from fastmon.model.services import CLIENT, SERVER
from fastmon.reference.sketches import Sketches, arp_request, second_of
from fastmon.reference.sums import Account, Traffic

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastmon.model.frames import Frame, PacketSummary
    from fastmon.reference.conversation import Conversation
    from fastmon.reference.hosts import HostTable

__all__ = ["Services"]

TCP, UDP = 6, 17
SYN, RST, ACK = 2, 4, 16
ETHERNET = 1
MAX_CONTACTS = 1 << 16
MAX_WAITING = 1 << 18
MAX_ARP_REQUESTS = 1 << 16
ARP_SERVICE = (0, 0)
SERVERS_PORTS = (1024, 32768)
V4_PREFIX = bytes(10) + b"\xff\xff"


class ServiceKey(NamedTuple):
    """A service of a local host."""

    host: bytes
    role: int
    protocol: int
    port: int


@dataclass(slots=True, eq=False)
class Service:
    """What a service moved; `conversations_before`: at the last rotation."""

    first_ns: int
    last_ns: int
    account: Account[Traffic] = field(default_factory=lambda: Account(Traffic()))
    conversations: int = 0
    conversations_before: int = 0

    def add(self, traffic: Traffic, first_ns: int, last_ns: int) -> None:
        """Add what a conversation moved, which began and was last seen then."""
        self.account.add(traffic)
        self.first_ns = min(self.first_ns, first_ns)
        self.last_ns = max(self.last_ns, last_ns)


@dataclass(slots=True)
class _LocalHost:
    """How many conversations a local host opened, and how many of them failed, both also at the last rotation."""

    opened: int = 0
    failed: int = 0
    opened_before: int = 0
    failed_before: int = 0


class Services:
    """The services of local hosts, what they opened, and what is to be told of their conversations."""

    def __init__(
        self, hosts: HostTable, tables: AppTables, max_services: tuple[int, int], max_sketches: int, *, keep_contacts: bool
    ) -> None:
        self.rows: dict[ServiceKey, Service] = {}
        self.contacts: list[tuple[object, ...]] = []
        self.contacts_dropped = 0
        self.keeps_contacts = keep_contacts
        self._hosts = hosts
        self._tables = tables
        self._max_services, self._max_of_role = max_services
        self._overflow = 0
        self._overflow_before = 0
        self._local: dict[bytes, _LocalHost] = {}
        self._opened, self._probed = Sketches(max_sketches), Sketches(max_sketches)
        self._waiting: deque[Conversation] = deque(maxlen=MAX_WAITING)
        self._arp_requests: list[tuple[bytes, bytes, int]] = []

    @property
    def sketches_evicted(self) -> int:
        """How many sketches went to make room for others."""
        return self._opened.n_evicted + self._probed.n_evicted

    def overflow(self, *, is_summary: bool) -> int:
        """Return how many conversations had no service, of the interval or of the run."""
        return self._overflow - (0 if is_summary else self._overflow_before)

    def open(self, conversation: Conversation, frame: Frame, packet: PacketSummary) -> None:
        """Choose a new conversation's server, and note what its local hosts opened."""
        conversation.server = self._server_of(conversation, packet)
        for side, end in enumerate(conversation.ends):
            if self._hosts.is_local(end.host):
                conversation.local.append(side)
                conversation.services[side] = self._open_side(conversation, frame, packet, side)
                self._overflow += conversation.services[side] is None
        if conversation.may_fail:
            self._waiting.append(conversation)

    def end(self, conversation: Conversation, reason: str) -> None:
        """Count a conversation that failed, and tell of it."""
        if conversation.may_still_fail and reason != "end":
            self._fail(conversation, conversation.last_ns)
        if self._has_news(conversation) and not self._tell(conversation, self.contacts):
            self.contacts_dropped += len(conversation.local)

    def see_first_from_server(self, conversation: Conversation, ts_ns: int) -> None:
        """Count a conversation that is refused, or whose answer comes too late."""
        if not conversation.is_answered or ts_ns > conversation.answer_due_ns:
            self._fail(conversation, ts_ns)

    def note_unanswered(self, now_ns: int) -> int:
        """Count the conversations that have waited too long for an answer; return their number."""
        n_failed = 0
        while self._waiting:
            first = self._waiting[0]
            if first.may_still_fail and not first.has_ended:
                if now_ns <= first.answer_due_ns:
                    break
                self._fail(first, now_ns)
                n_failed += 1
            self._waiting.popleft()
        return n_failed

    def stop_waiting(self) -> None:
        """Leave it to the ends of conversations whether they have failed."""
        self._waiting.clear()

    def see_arp(self, frame: Frame) -> None:
        """Note what an Ethernet frame asks for, if it is an ARP request."""
        found = arp_request(frame)
        if found is not None and len(self._arp_requests) < MAX_ARP_REQUESTS:
            self._arp_requests.append((*found, second_of(frame.ts_ns)))

    def _fail(self, conversation: Conversation, ts_ns: int) -> None:
        conversation.has_failed = True
        client, server = conversation.ends[1 - conversation.server], conversation.ends[conversation.server]
        host = self._local_host(client.host)
        if host is not None:
            host.failed += 1
            second = second_of(min(ts_ns, conversation.answer_due_ns))
            self._probed.of(client.host).touch(server.host, (conversation.protocol, server.port), second)

    def tell_of(self, running: list[Conversation]) -> None:
        """Keep the records of running conversations."""
        for conversation in running:
            if self._has_news(conversation):
                self._tell(conversation, self.contacts)

    def take_contacts(self) -> list[tuple[object, ...]]:
        """Return the records that were kept."""
        contacts, self.contacts = self.contacts, []
        return contacts

    def fanout(self, now_ns: int, window_ns: int, *, probes: bool) -> list[tuple[int, int, int]]:
        """Return host row, peers and services of the local hosts that opened conversations in a window, or probed."""
        for sender, target, second in self._arp_requests:
            if self._local_host(sender) is not None:
                self._probed.of(sender).touch(target, ARP_SERVICE, second)
        self._arp_requests.clear()
        first_s, last_s = second_of(now_ns - window_ns), second_of(now_ns)
        found = []
        for number, row in enumerate(self._hosts.rows):
            sketch = (self._probed if probes else self._opened).rows.get(row.key)
            if sketch is not None and sketch.last_s >= first_s:
                peers, services = sketch.count(first_s, last_s)
                if peers:
                    found.append((number, peers, services))
        return found

    def openings(self) -> list[tuple[int, int, int, int]]:
        """Return host row, 0, conversations opened and failed of the local hosts that opened any."""
        numbered = ((number, self._local.get(row.key)) for number, row in enumerate(self._hosts.rows))
        return [(number, 0, host.opened, host.failed) for number, host in numbered if host is not None and host.opened]

    def begin_interval(self) -> None:
        """Let the interval's sums begin at 0."""
        self._overflow_before = self._overflow
        for service in self.rows.values():
            service.account.begin_interval()
            service.conversations_before = service.conversations
        for host in self._local.values():
            host.opened_before, host.failed_before = host.opened, host.failed

    def absorb_interval(self, other: Services, running: list[Conversation]) -> None:
        """Add what another accountant's local hosts did in its interval; `running`: its conversations."""
        for key, theirs in other.rows.items():
            if theirs.account.interval == Traffic():
                continue
            n_opened = theirs.conversations - theirs.conversations_before
            service = None if self._local_host(key.host) is None else self._row(key, theirs.first_ns, theirs.last_ns)
            if service is None:
                self._overflow += n_opened
            else:
                service.add(theirs.account.interval, theirs.first_ns, theirs.last_ns)
                service.conversations += n_opened
        for host, local in other._local.items():
            self._absorb_openings(host, local, other)
        self._overflow += other.overflow(is_summary=False)
        for mine, theirs_ in ((self._opened, other._opened), (self._probed, other._probed)):
            mine.n_evicted += theirs_.n_evicted
            theirs_.n_evicted = 0
        self._arp_requests = (self._arp_requests + other._arp_requests)[:MAX_ARP_REQUESTS]
        other._arp_requests.clear()
        if self.keeps_contacts and other.keeps_contacts:
            self._absorb_contacts(other, running)

    def _absorb_openings(self, key: bytes, theirs: _LocalHost, other: Services) -> None:
        n_opened, n_failed = theirs.opened - theirs.opened_before, theirs.failed - theirs.failed_before
        host = self._local_host(key) if n_opened or n_failed else None
        if host is None:
            return
        host.opened += n_opened
        host.failed += n_failed
        for mine, its in ((self._opened, other._opened), (self._probed, other._probed)):
            if key in its.rows:
                mine.of(key).absorb(its.rows[key])

    def _absorb_contacts(self, other: Services, running: list[Conversation]) -> None:
        theirs = other.take_contacts()
        n_fitting = MAX_CONTACTS - len(self.contacts)
        self.contacts += theirs[:n_fitting]
        self.contacts_dropped += other.contacts_dropped + len(theirs[n_fitting:])
        other.contacts_dropped = 0
        self.tell_of(running)

    def _server_of(self, conversation: Conversation, packet: PacketSummary) -> int:
        """Return which side is the server: the source of the first frame (0), or its destination (1)."""
        flags = packet.tcp_flags or 0
        if flags & SYN:
            return 0 if flags & ACK else 1
        ports = [end.port for end in conversation.ends]
        known_ports = {TCP: self._tables.tcp_ports, UDP: self._tables.udp_ports}.get(conversation.protocol)
        signs = [] if known_ports is None else [[known_ports[port] != UNKNOWN_APP for port in ports]]
        signs += [[port < bound for port in ports] for bound in SERVERS_PORTS]
        return next((sign.index(True) for sign in signs if sign.count(True) == 1), 1)

    def _open_side(self, conversation: Conversation, frame: Frame, packet: PacketSummary, side: int) -> Service | None:
        end, peer = conversation.ends[side], conversation.ends[1 - side]
        host = self._local_host(end.host)
        if host is None:
            return None
        service = (conversation.protocol, conversation.ends[conversation.server].port)
        if side != conversation.server:
            host.opened += 1
            second = second_of(frame.ts_ns)
            self._opened.of(end.host).touch(peer.host, service, second)
            asks = packet.ports not in (None, (0, 0)) and not (packet.tcp_flags or 0) & RST
            conversation.may_fail = (asks or packet.is_echo_request) and not _is_for_a_group(frame, packet)
            if conversation.may_fail and packet.is_echo_request:
                self._probed.of(end.host).touch(peer.host, service, second)
        row = self._row(ServiceKey(end.host, _role(conversation, side), *service), frame.ts_ns, frame.ts_ns)
        if row is not None:
            row.conversations += 1
        return row

    def _local_host(self, key: bytes) -> _LocalHost | None:
        """Return what is known of a local host; None if it has no row, or is not local."""
        row = self._hosts.find(key)
        return self._local.setdefault(key, _LocalHost()) if row is not None and row.is_local else None

    def _row(self, key: ServiceKey, first_ns: int, last_ns: int) -> Service | None:
        """Return the row of a service; None if none is left for it."""
        row = self.rows.get(key)
        if row is None:
            n_of_role = sum(each[:2] == key[:2] for each in self.rows)
            if len(self.rows) == self._max_services or n_of_role == self._max_of_role:
                return None
            row = self.rows[key] = Service(first_ns, last_ns)
        return row

    def _has_news(self, conversation: Conversation) -> bool:
        if not self.keeps_contacts or not conversation.local:
            return False
        told_app, told_answered = conversation.told
        return told_app != conversation.app or (conversation.is_answered and not told_answered)

    @staticmethod
    def _tell(conversation: Conversation, contacts: list[tuple[object, ...]]) -> bool:
        """Keep a conversation's records; return False if there is no room for all."""
        if len(contacts) + len(conversation.local) > MAX_CONTACTS:
            return False
        contacts += _contacts(conversation)
        conversation.told = (conversation.app, conversation.is_answered or conversation.told[1])
        return True


def _contacts(conversation: Conversation) -> Iterator[tuple[object, ...]]:
    """Return a conversation as rows of `CONTACT_DTYPE`."""
    for side in conversation.local:
        sent, received = conversation.moved[side], conversation.moved[1 - side]
        yield (
            list(conversation.ends[side].host),
            list(conversation.ends[1 - side].host),
            conversation.first_ns,
            conversation.last_ns,
            received.bytes,
            sent.bytes,
            received.frames,
            sent.frames,
            conversation.protocol,
            _role(conversation, side),
            conversation.ends[conversation.server].port,
            conversation.app,
            LABELLED_BY.index(conversation.by),
            conversation.is_answered,
            0,
        )


def _role(conversation: Conversation, side: int) -> int:
    return SERVER if side == conversation.server else CLIENT


def _is_for_a_group(frame: Frame, packet: PacketSummary) -> bool:
    """Tell whether more than one host gets a frame: by its Ethernet address, or by its destination."""
    address = packet.dst
    if frame.link_type == ETHERNET and frame.data[0] & 1:
        return True
    if address.startswith(V4_PREFIX):
        return address[12] in range(224, 240) or address[12:] == b"\xff" * 4
    return address[0] == 0xFF
