"""The reference accountant's conversations (docs/conversations.md).

Private to `fastmon.reference`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, NamedTuple

from fastmon.model.conversations import ENDED_REASONS, LABELLED_BY, UNKNOWN_APP, ConversationCounts, Payload
from fastmon.model.snapshot import Count
from fastmon.reference.announcements import announced_networks
from fastmon.reference.conversation import Conversation, Endpoint, nothing
from fastmon.reference.sums import Account, Sums, Traffic

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fastmon.model.conversations import AppTables
    from fastmon.model.frames import Frame, PacketSummary
    from fastmon.reference.hosts import HostTable
    from fastmon.reference.services import Services

__all__ = ["RING_SLOTS", "Conversations"]

TCP, UDP = 6, 17
FIN, SYN, RST, ACK = 1, 2, 4, 16
ETHERNET = 1
WANTED_PAYLOADS = 4
RING_SLOTS = 1024
FORCED_LOOKS = 8
SLOTS_PER_FORCED_END = 1024
MOST_FORCED_ENDS = 32
SWEEP_FRAMES = 4096
SWEEP_SLOTS = 256
_BEFORE_ANY_FRAME_NS = -(1 << 63)


class _Relabelling(NamedTuple):
    """What a label moves from one application to another: what its hosts were credited with before, the sum, and its port."""

    old: int
    app: int
    shares: list[tuple[bytes, Traffic]]
    sums: Count
    lower_port: tuple[int, int]


class _Receiver:
    """Who gets what an interval came to: an accountant that merges it, or nobody if it is rotated."""


_NOBODY = _Receiver()


class Conversations:
    """The conversations that run, those that have ended, and what all of them moved for each application."""

    def __init__(
        self,
        max_conversations: int,
        tables: AppTables,
        hosts: HostTable,
        services: Services,
        *,
        keep: bool,
        follow_announcements: bool,
    ) -> None:
        self.services = services
        self._follows = follow_announcements
        self.payload_allowance = 0
        self.ring: list[Payload] = []
        self.ended: list[tuple[object, ...]] = []
        self.app_totals: defaultdict[int, Account[Count]] = defaultdict(lambda: Account(Count()))
        self.unknown_ports: defaultdict[tuple[int, int], Account[Count]] = defaultdict(lambda: Account(Count()))
        self._max_conversations = max_conversations
        self._tables = tables
        self._hosts = hosts
        self._keep = keep
        self._slots: list[Conversation | None] = []
        self._freed: list[int] = []
        self._running: dict[tuple[int, frozenset[Endpoint]], Conversation] = {}
        self._hand = 0
        self._sweep_hand = 0
        self._n_frames = 0
        self._n_opened = 0
        self._clock_ns = _BEFORE_ANY_FRAME_NS
        self._counts: Counter[str] = Counter()
        self._counts_before: Counter[str] = Counter()
        self._relabellings: list[_Relabelling] = []
        self._receivers: set[_Receiver] = set()
        self._as_receiver = _Receiver()

    @property
    def n_free_ring_slots(self) -> int:
        """How many payloads still fit in the ring."""
        return RING_SLOTS - len(self.ring)

    def begin_phase(self) -> None:
        """Forget the clock: the next frame may have any time."""
        self._clock_ns = _BEFORE_ANY_FRAME_NS
        self.services.stop_waiting()

    def account(self, frame: Frame, packet: PacketSummary, moved: Count) -> None:
        """Account a frame whose hosts have been accounted; `moved`: what is counted of it."""
        if packet.protocol is None:
            return
        self._clock_ns = max(self._clock_ns, frame.ts_ns)
        for network in announced_networks(packet) if self._follows else ():
            self._hosts.add_network(network, is_announced=True)
        src_port, dst_port = packet.ports or (0, 0)
        ends = Endpoint(packet.src, src_port), Endpoint(packet.dst, dst_port)
        found = self._running.get((packet.protocol, frozenset(ends)))
        if found is not None and self._ends_before(found, frame, packet):
            self._end(found, "idle")
            found = None
        conversation = found or self._open(frame, packet, ends)
        sender = 0 if ends[0] == conversation.ends[0] else 1
        may_fail = conversation.may_still_fail
        conversation.moved[sender] += moved
        conversation.first_ns = min(conversation.first_ns, frame.ts_ns)
        conversation.last_ns = max(conversation.last_ns, frame.ts_ns)
        if packet.tcp_flags is not None:
            conversation.see_flags(packet.tcp_flags, sender)
        if may_fail and sender == conversation.server:
            self.services.see_first_from_server(conversation, frame.ts_ns)
        if packet.payload and conversation.wanted:
            self._offer(conversation, frame, packet, sender)
        self._n_frames += 1
        if self._n_frames % SWEEP_FRAMES == 0:
            self._sweep(self._clock_ns)

    def label(self, token: int, app: int, wanted: int) -> bool:
        """See `accounting.Accountant`."""
        for conversation in self._running.values():
            if conversation.token == token:
                conversation.wanted = wanted
                if app != UNKNOWN_APP:
                    self._relabel(conversation, app)
                return True
        return False

    def expire(self, interval_end_ns: int) -> None:
        """End what is idle at the end of an interval."""
        for conversation in self._in_slot_order():
            if conversation.is_over_at(max(self._clock_ns, interval_end_ns - 1)):
                self._end(conversation, "idle")

    def settle(self) -> None:
        """Credit applications with what all conversations moved since they were last settled."""
        for conversation in self._in_slot_order():
            self._settle(conversation)

    def end_without_host(self) -> None:
        """End those with a host that has been in the table, and is no longer."""
        for conversation in self._in_slot_order():
            for end, credited in zip(conversation.ends, conversation.credited, strict=True):
                if credited and self._hosts.find(end.host) is None:
                    self._end(conversation, "full")
                    break

    def end_all(self) -> None:
        """End what is left."""
        for conversation in self._in_slot_order():
            self._end(conversation, "end")

    def begin_interval(self, receiver: Conversations | None) -> None:
        """Let the interval's sums begin at 0. What it came to is in `receiver`'s, if it was merged."""
        self.services.begin_interval()
        self._receivers.add(receiver._as_receiver if receiver is not None else _NOBODY)  # noqa: SLF001
        self._relabellings.clear()
        self._counts_before = self._counts.copy()
        for account in (*self.app_totals.values(), *self.unknown_ports.values()):
            account.begin_interval()

    def absorb_interval(self, other: Conversations) -> None:
        """Add what another accountant's conversations came to in its interval."""
        self.services.absorb_interval(other.services, other._in_slot_order())
        self._counts.update(other._counts - other._counts_before)
        for app, account in other.app_totals.items():
            self.app_totals[app].add(account.interval)
        for port, account in other.unknown_ports.items():
            self.unknown_ports[port].add(account.interval)
        has_all_before = other._receivers <= {self._as_receiver}
        for each in other._relabellings if has_all_before else ():
            self._move_totals(each, moves_hosts=self._hosts.overflow.total == Traffic())

    def tell_of_running(self) -> None:
        """Keep records of what is new of those that run."""
        self.services.tell_of(self._in_slot_order())

    def unsettled(self) -> Iterable[tuple[Conversation, int, bytes, Traffic]]:
        """Return what would be settled now: of each conversation and side, the host's key and traffic."""
        for conversation in self._in_slot_order():
            moved = [each - settled for each, settled in zip(conversation.moved, conversation.settled, strict=True)]
            if moved != nothing():
                for side, key, traffic in conversation.shares(moved):
                    yield conversation, side, key, traffic

    def peers(self, keys: Sequence[bytes], now_ns: int) -> list[tuple[object, ...]]:
        """Return what some hosts have moved in each conversation, as rows of `PEER_DTYPE`."""
        return [
            (list(conversation.ends[1 - side].host), traffic.bytes_in, traffic.bytes_out, keys.index(key), 0)
            for conversation in self._in_slot_order()
            if not conversation.is_over_at(now_ns)
            for side, key, traffic in conversation.shares(conversation.moved)
            if key in keys and self._hosts.find(key) is not None
        ]

    def counts(self, *, is_summary: bool) -> ConversationCounts:
        """Return the numbers of conversations, of the interval or of the run."""
        counts = self._counts if is_summary else self._counts - self._counts_before
        running = self._counts["opened"] - sum(self._counts[reason] for reason in ENDED_REASONS)
        ended = {reason: counts[reason] for reason in ENDED_REASONS}
        return ConversationCounts(counts["opened"], ended, running, counts["skipped"])

    def _in_slot_order(self) -> list[Conversation]:
        return [conversation for conversation in self._slots if conversation is not None]

    def _ends_before(self, conversation: Conversation, frame: Frame, packet: PacketSummary) -> bool:
        """Tell whether a conversation is over before a frame that would be its next one."""
        flags = packet.tcp_flags or 0
        is_reopened = conversation.closed_by and flags & (SYN | ACK | FIN | RST) == SYN
        return bool(is_reopened) or conversation.is_over_at(frame.ts_ns)

    def _open(self, frame: Frame, packet: PacketSummary, ends: tuple[Endpoint, Endpoint]) -> Conversation:
        assert packet.protocol is not None
        slot = self._free_slot(frame.ts_ns)
        self._n_opened += 1
        self._counts["opened"] += 1
        app, by = self._app_of(packet.protocol, ends)
        wanted = WANTED_PAYLOADS if packet.protocol in (TCP, UDP) else 0
        conversation = Conversation(
            self._n_opened, slot, packet.protocol, ends, app, by, wanted, first_ns=frame.ts_ns, last_ns=frame.ts_ns
        )
        self._slots[slot] = self._running[packet.protocol, frozenset(ends)] = conversation
        self.services.open(conversation, frame, packet)
        self._learn_macs(frame, packet)
        return conversation

    def _free_slot(self, ts_ns: int) -> int:
        """Return a slot for a new conversation; if there is none, end others by force."""
        if not self._freed and len(self._slots) < self._max_conversations:
            self._slots.append(None)
            return len(self._slots) - 1
        if not self._freed:
            n_ends = min(max(self._max_conversations // SLOTS_PER_FORCED_END, 1), MOST_FORCED_ENDS)
            for victim in [self._choose_victim() for _ in range(n_ends)]:
                self._end(victim, "idle" if victim.is_over_at(ts_ns) else "full")
        return self._freed.pop()

    def _choose_victim(self) -> Conversation:
        n_slots = len(self._slots)
        candidates = [self._slots[(self._hand + i) % n_slots] for i in range(min(FORCED_LOOKS, n_slots))]
        self._hand = (self._hand + len(candidates)) % n_slots
        return min((each for each in candidates if each is not None), key=lambda each: each.last_ns)

    def _app_of(self, protocol: int, ends: tuple[Endpoint, Endpoint]) -> tuple[int, str]:
        """Return the application of a new conversation, and what says so."""
        if self._tables.protocols[protocol] != UNKNOWN_APP:
            return self._tables.protocols[protocol], "payload"
        ports = {TCP: self._tables.tcp_ports, UDP: self._tables.udp_ports}.get(protocol, bytes(65536))
        for port in sorted(end.port for end in ends):
            if ports[port] != UNKNOWN_APP:
                return ports[port], "port"
        return UNKNOWN_APP, "none"

    def _learn_macs(self, frame: Frame, packet: PacketSummary) -> None:
        """Remember the Ethernet addresses of both hosts; whether that of a frame's receiver is its own is not seen."""
        if frame.link_type != ETHERNET or len(frame.data) < 14:
            return
        for key, mac, is_source in ((packet.src, frame.data[6:12], True), (packet.dst, frame.data[0:6], False)):
            row, number = self._hosts.find(key), int.from_bytes(mac, "big")
            if row is None or mac[0] & 1 or not number:
                continue
            if is_source:
                row.has_own_mac = packet.is_fresh
            elif row.mac != number:
                row.has_own_mac = False
            row.mac = number

    def _offer(self, conversation: Conversation, frame: Frame, packet: PacketSummary, sender: int) -> None:
        """Put a payload into the ring if somebody may look at it and it fits."""
        if self.payload_allowance == 0 or self.n_free_ring_slots == 0:
            self._counts["skipped"] += 1
            return
        self.payload_allowance -= 1
        conversation.wanted -= 1
        a, b = conversation.ends
        self.ring.append(Payload(conversation.token, conversation.protocol, *a, *b, sender == 0, frame.ts_ns, packet.payload))

    def _sweep(self, now_ns: int) -> None:
        """Look at some slots, and end what is idle there."""
        n_slots = len(self._slots)
        n_looks = min(SWEEP_SLOTS, n_slots)
        for i in range(n_looks):
            conversation = self._slots[(self._sweep_hand + i) % n_slots]
            if conversation is not None and conversation.is_over_at(now_ns):
                self._end(conversation, "idle")
        self._sweep_hand = (self._sweep_hand + n_looks) % n_slots

    def _end(self, conversation: Conversation, reason: str) -> None:
        """End a conversation for `reason`, or for that of its closing if it is closed; free its slot."""
        self._settle(conversation)
        reason = conversation.closed_by or reason
        self.services.end(conversation, reason)
        self._counts[reason] += 1
        conversation.has_ended = True
        self._slots[conversation.slot] = None
        self._freed.append(conversation.slot)
        del self._running[conversation.protocol, frozenset(conversation.ends)]
        if self._keep:
            self.ended.append(_record(conversation, reason))

    def _settle(self, conversation: Conversation) -> None:
        """Credit its application with what it moved since it was last settled."""
        unsettled = [moved - settled for moved, settled in zip(conversation.moved, conversation.settled, strict=True)]
        if unsettled == nothing():
            return
        for side, key, traffic in conversation.shares(unsettled):
            row = self._hosts.find(key)
            if row is None:
                conversation.credited[side] = False
            elif conversation.app != UNKNOWN_APP:
                row.apps[conversation.app].add(traffic)
            service = conversation.services[side]
            if service is not None:
                service.add(traffic, conversation.first_ns, conversation.last_ns)
        if conversation.app != UNKNOWN_APP:
            self.app_totals[conversation.app].add(unsettled[0] + unsettled[1])
        elif conversation.protocol in (TCP, UDP):
            self.unknown_ports[conversation.lower_port].add(unsettled[0] + unsettled[1])
        conversation.settled = list(conversation.moved)

    def _relabel(self, conversation: Conversation, app: int) -> None:
        """Give a conversation another application, with what it moved so far."""
        old, conversation.app, conversation.by = conversation.app, app, "payload"
        shares = [
            (key, traffic) for side, key, traffic in conversation.shares(conversation.settled) if conversation.credited[side]
        ]
        sums = conversation.settled[0] + conversation.settled[1]
        relabelling = _Relabelling(old, app, shares, sums, conversation.lower_port)
        self._move_totals(relabelling, moves_hosts=True)
        self._relabellings.append(relabelling)

    def _move_totals(self, moved: _Relabelling, *, moves_hosts: bool) -> None:
        for key, traffic in moved.shares if moves_hosts else ():
            row = self._hosts.find(key)
            if row is not None:
                _move(row.apps, moved.old, moved.app, traffic)
        _move(self.app_totals, moved.old, moved.app, moved.sums)
        if moved.old == UNKNOWN_APP and moved.lower_port[0] in (TCP, UDP):
            self.unknown_ports[moved.lower_port].withdraw_earlier(moved.sums)


def _move(apps: defaultdict[int, Account[Sums]], old: int, new: int, sums: Sums) -> None:
    """Move what was credited in earlier intervals from one application to another."""
    if old != UNKNOWN_APP:
        apps[old].withdraw_earlier(sums)
    apps[new].add_earlier(sums)


def _record(conversation: Conversation, reason: str) -> tuple[object, ...]:
    """Return an ended conversation as a row of `CONVERSATION_DTYPE`."""
    (a_host, a_port), (b_host, b_port) = conversation.ends
    from_a, from_b = conversation.moved
    return (
        conversation.token,
        list(a_host),
        list(b_host),
        a_port,
        b_port,
        conversation.protocol,
        conversation.app,
        LABELLED_BY.index(conversation.by),
        ENDED_REASONS.index(reason),
        from_a.frames,
        from_a.bytes,
        from_b.frames,
        from_b.bytes,
        conversation.first_ns,
        conversation.last_ns,
    )
