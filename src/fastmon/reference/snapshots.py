"""From the reference accountant's sums to snapshots.

Private to `fastmon.reference`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fastmon.model.conversations import APP_DTYPE, APP_TOTAL_DTYPE, PORT_TOTAL_DTYPE, UNKNOWN_APP
from fastmon.model.counters import Count, Counters, Overflow
from fastmon.model.frames import UNDECODED, FrameStatus
from fastmon.model.rows import HOST_DTYPE
from fastmon.model.services import SERVICE_DTYPE
from fastmon.model.snapshot import Snapshot
from fastmon.reference.sums import Sums, Traffic

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, TypeAlias

    from numpy.typing import NDArray

    from fastmon.model.conversations import ConversationCounts
    from fastmon.model.counters import Interval
    from fastmon.reference.conversation import Conversation
    from fastmon.reference.conversations import Conversations
    from fastmon.reference.hosts import Row
    from fastmon.reference.services import Services
    from fastmon.reference.sums import Account

    Unsettled: TypeAlias = tuple[Conversation, int, bytes, Traffic]

__all__ = ["Period", "counters_of"]


class Period:
    """What a snapshot is of: an interval, or the whole run."""

    def __init__(self, interval: Interval, *, is_summary: bool, bytes_of: str) -> None:
        self._interval = interval
        self._bytes_of = bytes_of
        self._is_summary = is_summary

    def snapshot(self, counters: Counters, rows: list[Row]) -> Snapshot:
        """Return the snapshot of some hosts."""
        hosts = np.empty(len(rows), HOST_DTYPE)
        hosts["key"] = np.frombuffer(b"".join(row.key for row in rows), np.uint8).reshape(-1, 16)
        for name in ("bytes_in", "bytes_out", "packets_in", "packets_out"):
            hosts[name] = [getattr(self._of(row.account), name) for row in rows]
        for name in ("first_seen_ns", "last_seen_ns"):
            hosts[name] = [getattr(row, name) for row in rows]
        hosts.setflags(write=False)
        return Snapshot(
            self._interval,
            counters,
            hosts,
            total_bytes_in=_read_only([row.account.total.bytes_in for row in rows], np.uint64),
            total_bytes_out=_read_only([row.account.total.bytes_out for row in rows], np.uint64),
            local=_read_only([row.is_local for row in rows], np.bool_),
            flagged=_read_only([row.is_flagged for row in rows], np.bool_),
            is_summary=self._is_summary,
            bytes_of=self._bytes_of,
        )

    def conversation_fields(self, rows: list[Row], conversations: Conversations, counts: ConversationCounts) -> dict[str, Any]:
        """Return the fields that a snapshot of the same hosts has where conversations are accounted."""
        return {
            "apps": self.apps(rows),
            "app_totals": self.app_totals(conversations.app_totals),
            "unknown_ports": self.port_totals(conversations.unknown_ports),
            "macs": self.macs(rows),
            "conversations": counts,
        }

    def app_totals(self, credited: dict[int, Account[Count]], unsettled: Sequence[Unsettled] = ()) -> NDArray[np.void]:
        """Return what was credited to the network's applications; `unsettled`: what is to be added to it."""
        found = {app: self._of(account) for app, account in credited.items()}
        for conversation, _, _, traffic in unsettled:
            sent = Count(traffic.packets_out, traffic.bytes_out)
            found[conversation.app] = found.get(conversation.app, Count()) + sent
        totals = [(app, sums.frames, sums.bytes) for app, sums in sorted(found.items()) if app != UNKNOWN_APP and sums.frames]
        return _read_only(totals, APP_TOTAL_DTYPE)

    def port_totals(self, credited: dict[tuple[int, int], Account[Count]]) -> NDArray[np.void]:
        """Return the traffic of no known application by protocol and port."""
        found = [(protocol, port, self._of(account)) for (protocol, port), account in sorted(credited.items())]
        totals = [(sums.frames, sums.bytes, port, protocol) for protocol, port, sums in found if sums.frames]
        return _read_only(totals, PORT_TOTAL_DTYPE)

    def apps(self, rows: list[Row], unsettled: Sequence[Unsettled] = ()) -> NDArray[np.void]:
        """Return what was credited to the hosts' applications; `unsettled`: what is to be added to it."""
        found = {(row.key, app): self._of(account) for row in rows for app, account in row.apps.items()}
        for conversation, _, key, traffic in unsettled:
            found[key, conversation.app] = found.get((key, conversation.app), Traffic()) + traffic
        numbers_of = {row.key: number for number, row in enumerate(rows)}
        apps = [
            (numbers_of[key], app, traffic.bytes_in, traffic.bytes_out, traffic.packets_in, traffic.packets_out)
            for (key, app), traffic in found.items()
            if key in numbers_of and app != UNKNOWN_APP and traffic != Traffic()
        ]
        return _read_only(sorted(apps), APP_DTYPE)

    def service_fields(self, rows: list[Row], services: Services, unsettled: Sequence[Unsettled] = ()) -> dict[str, Any]:
        """Return the fields of a snapshot that are of services; `unsettled`: what is to be added to them."""
        more: dict[int, list[tuple[Traffic, int, int]]] = {}
        for conversation, side, _, traffic in unsettled:
            more.setdefault(id(conversation.services[side]), []).append((traffic, conversation.first_ns, conversation.last_ns))
        numbers_of = {row.key: number for number, row in enumerate(rows)}
        found = []
        for key, service in services.rows.items():
            added = more.get(id(service), [])
            traffic = sum((each for each, _, _ in added), self._of(service.account))
            if traffic == Traffic():
                continue
            n_opened = service.conversations - (0 if self._is_summary else service.conversations_before)
            first_ns = min([service.first_ns, *(first for _, first, _ in added)])
            last_ns = max([service.last_ns, *(last for _, _, last in added)])
            counters = (traffic.bytes_in, traffic.bytes_out, traffic.packets_in, traffic.packets_out)
            found.append((numbers_of[key.host], *key[1:], *counters, n_opened, first_ns, last_ns))
        return {
            "services": _read_only(sorted(found), SERVICE_DTYPE),
            "services_overflow": services.overflow(is_summary=self._is_summary),
        }

    @staticmethod
    def macs(rows: list[Row]) -> NDArray[np.uint64]:
        """Return the local hosts' Ethernet addresses as numbers, 0 where they are not known."""
        return _read_only([row.mac if row.is_local else 0 for row in rows], np.uint64)

    def _of(self, account: Account[Sums]) -> Sums:
        return account.total if self._is_summary else account.interval


def counters_of(counts: Mapping[FrameStatus, Count], beside_ip: int, overflow: Traffic) -> Counters:
    """Return the counters of frames by their status, and of what did not fit.

    beside_ip: bytes of IP frames that are not counted as theirs.
    """
    return Counters(
        frames=sum(counts.values(), Count(0, beside_ip)),
        ip=counts.get(FrameStatus.IP, Count()),
        non_ip=counts.get(FrameStatus.NON_IP, Count()),
        undecoded={status.name.lower(): counts.get(status, Count()) for status in UNDECODED},
        overflow=Overflow(overflow.packets_in, overflow.bytes_in, overflow.packets_out, overflow.bytes_out),
        duplicates=counts.get(FrameStatus.DUPLICATE, Count()),
    )


def _read_only(values: Sequence[Any], dtype: Any) -> NDArray[Any]:
    array = np.array(values, dtype)
    array.setflags(write=False)
    return array
