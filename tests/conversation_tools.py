"""Frames of conversations, and what tests look at in what becomes of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import builders as b
from snapshot_checks import Row, assert_conserved, rows

from fastmon.model.conversations import (
    CONVERSATION_DTYPE,
    ENDED_REASONS,
    LABELLED_BY,
    UNKNOWN_APP,
    AppTables,
    ConversationCounts,
)
from fastmon.model.frames import Frame
from fastmon.model.services import CONTACT_DTYPE, ROLES
from fastmon.model.snapshot import Count, Counters, Interval

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from fastmon.accounting import Accountant
    from fastmon.model.snapshot import Snapshot

S = 1_000_000_000
LOCAL_1, LOCAL_2 = "10.0.0.1", "10.0.0.2"
REMOTE_1, REMOTE_2, REMOTE_3 = "192.0.2.1", "192.0.2.2", "192.0.2.3"

HTTP, DNS, ICMP_APP, ALT = 1, 2, 3, 4


def ports(apps: dict[int, int]) -> bytes:
    """Return a table of ports."""
    return bytes(apps.get(port, 0) for port in range(65536))


TABLES = AppTables(
    protocols=bytes(ICMP_APP if protocol == b.ICMP else 0 for protocol in range(256)),
    tcp_ports=ports({80: HTTP, 8080: ALT}),
    udp_ports=ports({53: DNS}),
)


def tcp(
    src: str, sport: int, dst: str, dport: int, data: bytes = b"", *, flags: int = b.ACK, ts_ns: int = 0, wire_len: int = 100
) -> Frame:
    packet = b.ipv4(src, dst, b.tcp(sport, dport, data, flags=flags), protocol=b.TCP)
    return Frame(ts_ns, wire_len, 1, b.ethernet(b.IPV4, packet))


def udp(src: str, sport: int, dst: str, dport: int, data: bytes = b"", *, ts_ns: int = 0, wire_len: int = 100) -> Frame:
    return Frame(ts_ns, wire_len, 1, b.ethernet(b.IPV4, b.ipv4(src, dst, b.udp(sport, dport, data))))


def icmp(src: str, dst: str, *, kind: int = 8, ts_ns: int = 0, wire_len: int = 100) -> Frame:
    return Frame(ts_ns, wire_len, 1, b.ethernet(b.IPV4, b.ipv4(src, dst, b.icmp(kind=kind), protocol=b.ICMP)))


def arp(sender: str, target: str, *, operation: int = 1, ts_ns: int = 0) -> Frame:
    return Frame(ts_ns, 60, 1, b.ethernet(0x0806, b.arp(sender, target, operation=operation)))


def account_all(target: Accountant, *frames: Frame) -> None:
    for frame in frames:
        target.account(frame)


def out(*, flags: int = b.ACK, ts_ns: int = 0, wire_len: int = 100, data: bytes = b"") -> Frame:
    """Return a frame from LOCAL_1 to REMOTE_1."""
    return tcp(LOCAL_1, 40000, REMOTE_1, 80, data, flags=flags, ts_ns=ts_ns, wire_len=wire_len)


def back(*, flags: int = b.ACK, ts_ns: int = 0, wire_len: int = 100, data: bytes = b"") -> Frame:
    """Return a frame from REMOTE_1 to LOCAL_1."""
    return tcp(REMOTE_1, 80, LOCAL_1, 40000, data, flags=flags, ts_ns=ts_ns, wire_len=wire_len)


def udp_number(number: int, *, ts_ns: int = 0) -> Frame:
    """Return a frame of one conversation of many."""
    return udp(LOCAL_1, 1000 + number, REMOTE_1, 9, ts_ns=ts_ns)


class Ended(NamedTuple):
    """A conversation that has ended, but for its token."""

    a: tuple[bytes, int]
    b: tuple[bytes, int]
    protocol: int
    app: int
    by: str
    ended: str
    ab: tuple[int, int]
    ba: tuple[int, int]
    first_ns: int
    last_ns: int


def ended(target: Accountant) -> list[Ended]:
    """Take the conversations that have ended; numbers of both directions are (packets, bytes)."""
    return [
        Ended(
            (bytes(row["a"]), int(row["a_port"])),
            (bytes(row["b"]), int(row["b_port"])),
            int(row["protocol"]),
            int(row["app"]),
            LABELLED_BY[row["by"]],
            ENDED_REASONS[row["ended"]],
            (int(row["packets_ab"]), int(row["bytes_ab"])),
            (int(row["packets_ba"]), int(row["bytes_ba"])),
            int(row["first_ns"]),
            int(row["last_ns"]),
        )
        for row in target.take_conversations()
    ]


def reasons(target: Accountant) -> list[str]:
    """Take the conversations that have ended; return why they did."""
    return [conversation.ended for conversation in ended(target)]


def rotate(target: Accountant, end_ns: int = 60) -> Snapshot:
    snapshot = target.rotate(Interval(end_ns - 60, end_ns))
    check(snapshot)
    return snapshot


def finish(target: Accountant, end_ns: int = 120) -> tuple[Snapshot, Snapshot]:
    last, summary = target.finish(Interval(end_ns - 60, end_ns), Interval(0, end_ns))
    check(last)
    check(summary)
    return last, summary


def check(snapshot: Snapshot) -> None:
    """Check what holds of any snapshot with conversations."""
    assert_conserved(snapshot)
    snapshot.check_conservation()
    apps = [(int(host), int(app)) for host, app in zip(snapshot.apps["host"], snapshot.apps["app"], strict=True)]
    assert apps == sorted(set(apps))
    assert all(0 <= host < len(snapshot) and app > 0 for host, app in apps)
    totals = snapshot.app_totals["app"].tolist()
    assert totals == sorted(set(totals))
    assert 0 not in totals
    assert snapshot.app_totals["frames"].all()
    counted = zip(*(snapshot.apps[name].tolist() for name in ("bytes_in", "bytes_out", "packets_in", "packets_out")), strict=True)
    assert all(any(numbers) for numbers in counted)
    assert snapshot.macs is not None
    assert len(snapshot.macs) == len(snapshot)
    check_services(snapshot)
    check_unknown_ports(snapshot)
    for sums, host in zip(snapshot.host_apps(), snapshot.hosts, strict=True):
        for name in ("bytes_in", "bytes_out", "packets_in", "packets_out"):
            assert sum(getattr(traffic, name) for traffic in sums.values()) == host[name]
    assert sum(count.frames for count in snapshot.network_apps().values()) == snapshot.counters.ip.frames


def check_unknown_ports(snapshot: Snapshot) -> None:
    """Check what holds of the ports behind unknown traffic of any snapshot."""
    ports = snapshot.unknown_ports
    places = list(zip(ports["protocol"].tolist(), ports["port"].tolist(), strict=True))
    assert places == sorted(set(places))
    assert {protocol for protocol, _ in places} <= {b.TCP, b.UDP}
    assert ports["frames"].all()
    unknown = snapshot.network_apps().get(UNKNOWN_APP, Count())
    assert int(ports["frames"].sum()) <= unknown.frames
    assert int(ports["bytes"].sum()) <= unknown.bytes


def check_services(snapshot: Snapshot) -> None:
    """Check what holds of the services of any snapshot."""
    found = [row[:4] for row in snapshot.services.tolist()]
    assert found == sorted(set(found))
    assert all(host < len(snapshot) and snapshot.local[host] for host, *_ in found)
    assert (snapshot.services["packets_in"] + snapshot.services["packets_out"]).all()
    assert (snapshot.services["first_ns"] <= snapshot.services["last_ns"]).all()


class ServiceTraffic(NamedTuple):
    """What a service moved: bytes in and out, packets in and out, conversations."""

    bytes_in: int
    bytes_out: int
    packets_in: int
    packets_out: int
    conversations: int


def services(snapshot: Snapshot, address: str) -> dict[tuple[str, int, int], ServiceTraffic]:
    """Return what each service of a host moved, by role, protocol and port."""
    keys = [bytes(key) for key in snapshot.hosts["key"]]
    rows = [row for row in snapshot.services.tolist() if keys[row[0]] == b.host(address)]
    return {(ROLES[role], protocol, port): ServiceTraffic(*numbers[:5]) for _, role, protocol, port, *numbers in rows}


class Told(NamedTuple):
    """A contact, but for its times."""

    local: bytes
    peer: bytes
    role: str
    protocol: int
    port: int
    app: int
    by: str
    answered: bool
    sent: tuple[int, int]
    received: tuple[int, int]


def contacts(target: Accountant) -> list[Told]:
    """Take the contacts; numbers of both directions are (packets, bytes)."""
    return [
        Told(
            bytes(row["local"]),
            bytes(row["peer"]),
            ROLES[row["role"]],
            int(row["protocol"]),
            int(row["port"]),
            int(row["app"]),
            LABELLED_BY[row["by"]],
            bool(row["answered"]),
            (int(row["packets_out"]), int(row["bytes_out"])),
            (int(row["packets_in"]), int(row["bytes_in"])),
        )
        for row in target.take_contacts()
    ]


def apps(snapshot: Snapshot, address: str) -> dict[int, tuple[int, ...]]:
    """Return (bytes in, bytes out, packets in, packets out) of each application of a host, 0 being the rest."""
    keys = [bytes(key) for key in snapshot.hosts["key"]]
    return {app: tuple(traffic) for app, traffic in snapshot.host_apps()[keys.index(b.host(address))].items()}


def network(snapshot: Snapshot) -> dict[int, tuple[int, int]]:
    """Return (frames, bytes) of each known application."""
    return {int(row["app"]): (int(row["frames"]), int(row["bytes"])) for row in snapshot.app_totals}


def peers(target: Accountant, keys: NDArray[np.uint8], now_ns: int) -> list[tuple[int, bytes, int, int]]:
    """Return what hosts moved with their peers: the host's place in `keys`, the peer, bytes in and out; ordered."""
    found = target.peers(keys, now_ns)
    return sorted((int(row["host"]), row["peer"].tobytes(), int(row["bytes_in"]), int(row["bytes_out"])) for row in found)


def mac(snapshot: Snapshot, address: str) -> bytes:
    """Return a host's Ethernet address, 6 zeros if it is not known."""
    assert snapshot.macs is not None
    keys = [bytes(key) for key in snapshot.hosts["key"]]
    return int(snapshot.macs[keys.index(b.host(address))]).to_bytes(6, "big")


class Counts(NamedTuple):
    """How many conversations; `ended` without the reasons of none."""

    opened: int
    ended: dict[str, int]
    running: int
    n_skipped: int = 0


def counts(snapshot: Snapshot) -> Counts:
    found = snapshot.conversations
    assert found is not None
    assert tuple(found.ended) == ENDED_REASONS
    return Counts(found.opened, {reason: n for reason, n in found.ended.items() if n}, found.running, found.n_skipped)


def label(target: Accountant, frame: Frame, app: int, wanted: int = 0) -> None:
    """Account a frame with a payload and label its conversation."""
    target.payload_allowance = 100
    target.account(frame)
    *_, payload = target.take_payloads()
    assert target.label(payload.token, app, wanted)


class Facts(NamedTuple):
    """All that a snapshot says, whatever the order of its hosts."""

    counters: Counters
    hosts: list[Row]
    apps: list[tuple[bytes, int, int, int, int, int]]
    app_totals: dict[int, tuple[int, int]]
    unknown_ports: list[tuple[int, ...]]
    macs: list[tuple[bytes, int]]
    conversations: ConversationCounts | None
    services: list[tuple[int | bytes, ...]]
    services_overflow: int
    interval: Interval
    is_summary: bool


def facts(snapshot: Snapshot) -> Facts:
    keys = [bytes(key) for key in snapshot.hosts["key"].tolist()]
    macs = [] if snapshot.macs is None else snapshot.macs.tolist()
    return Facts(
        snapshot.counters,
        rows(snapshot),
        sorted((keys[host], *numbers) for host, *numbers in snapshot.apps.tolist()),
        network(snapshot),
        snapshot.unknown_ports.tolist(),
        sorted(zip(keys, macs, strict=snapshot.macs is not None)),
        snapshot.conversations,
        sorted((keys[host], *numbers) for host, *numbers in snapshot.services.tolist()),
        snapshot.services_overflow,
        snapshot.interval,
        snapshot.is_summary,
    )


class Pair:
    """Two accountants that should come to the same, whatever tokens they give."""

    def __init__(self, first: Accountant, second: Accountant) -> None:
        self.both = (first, second)
        self.tokens: dict[int, int] = {}

    def same(self, call: Callable[[Accountant], Any]) -> Any:
        """Make a call of both; return what both return."""
        first, second = (call(target) for target in self.both)
        assert first == second
        return second

    def rotate(self, interval: Interval) -> Facts:
        return self.compared(*(target.rotate(interval) for target in self.both))

    def finish(self, interval: Interval, whole: Interval) -> tuple[Facts, Facts]:
        lasts, summaries = zip(*(target.finish(interval, whole) for target in self.both), strict=True)
        return self.compared(*lasts), self.compared(*summaries)

    def compared(self, first: Snapshot, second: Snapshot) -> Facts:
        """Check that two snapshots say the same."""
        check(first)
        assert facts(first) == facts(second)
        return facts(second)

    def totals(self, interval: Interval) -> Facts:
        """Compare the totals of both, and with whom all hosts talk."""
        self.compare_peers(interval.end_ns)
        first, second = (target.totals(interval) for target in self.both)
        first.check_conservation()
        check_services(first)
        assert facts(first) == facts(second)
        return facts(second)

    def take_contacts(self) -> None:
        """Take the contacts of both."""
        first, second = (target.take_contacts() for target in self.both)
        for name in CONTACT_DTYPE.names or ():
            assert first[name].tolist() == second[name].tolist(), name
        self.same(lambda target: target.contacts_dropped)

    def compare_peers(self, now_ns: int) -> None:
        """Compare with whom hosts talk."""
        all_keys = [target.totals(Interval(0, 1)).hosts["key"] for target in self.both]
        assert sorted(all_keys[0].tolist()) == sorted(all_keys[1].tolist())
        keys = all_keys[0]
        self.same(lambda target: peers(target, keys, now_ns))

    def compare_openings(self) -> None:
        """Compare what the local hosts of both opened; their rows may stand in another order."""
        self.same(lambda target: self._by_key(target, target.openings()))

    def compare_fanout(self, now_ns: int, window_ns: int) -> None:
        """Compare the peers and services of both, which must be so few that an estimate is exact."""
        self.same(lambda target: target.note_unanswered(now_ns))
        self.same(lambda target: self._by_key(target, target.fanout(now_ns, window_ns)))
        self.same(lambda target: self._by_key(target, target.fanout(now_ns, window_ns, probes=True)))
        self.same(lambda target: target.sketches_evicted)

    @staticmethod
    def _by_key(target: Accountant, rows: NDArray[np.void]) -> list[tuple[bytes, ...]]:
        keys = [bytes(key) for key in target.totals(Interval(0, 1)).hosts["key"].tolist()]
        return sorted((keys[host], *numbers) for host, *numbers in rows.tolist())

    def take_payloads(self) -> list[int]:
        """Take the payloads of both; return the first one's tokens."""
        first, second = (target.take_payloads() for target in self.both)
        assert [payload[1:] for payload in first] == [payload[1:] for payload in second]
        for mine, other in zip(first, second, strict=True):
            self.pair_tokens(mine.token, other.token)
        return [payload.token for payload in first]

    def take_conversations(self) -> None:
        """Take the conversations of both that have ended."""
        first, second = (target.take_conversations() for target in self.both)
        for name in CONVERSATION_DTYPE.names or ():
            if name != "token":
                assert first[name].tolist() == second[name].tolist(), name
        for mine, other in zip(first["token"].tolist(), second["token"].tolist(), strict=True):
            self.pair_tokens(mine, other)

    def pair_tokens(self, first: int, second: int) -> None:
        """Check that two tokens always come together."""
        assert self.tokens.setdefault(first, second) == second
        assert len(set(self.tokens.values())) == len(self.tokens)

    def label(self, token: int, app: int, wanted: int) -> bool:
        """Label a conversation by the first one's token."""
        first, second = self.both
        answer = first.label(token, app, wanted)
        assert second.label(self.tokens[token], app, wanted) == answer
        return answer
