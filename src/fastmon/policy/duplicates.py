"""Rules of kind `duplicate`: one address of two Ethernet addresses, each seen within a short time of the other.

Left out are addresses behind a router, which two routers may serve in turn; the Ethernet addresses that routers share
(VRRP, CARP, HSRP, GLBP); and addresses that are no single host's: unspecified, multicast, broadcast, and link-local ones, which
each network has anew. Probes of an address (ARP, duplicate address detection) are not sent from it, and count nowhere.

What it does not do: see more than one change of an address between two ticks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fastmon.model.addresses import parse_network
from fastmon.model.units import format_duration
from fastmon.model.vendors import format_mac, vendor_of
from fastmon.policy.host_watch import HostWatch, refuse_network
from fastmon.policy.open_cases import OpenCase
from fastmon.policy.scopes import NO_SCOPE, Prefixes
from fastmon.policy.words import format_subject

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray
    from typing_extensions import Self

    from fastmon.model.alerts import Alert
    from fastmon.policy.hosts import Roster
    from fastmon.policy.rules import Context, View
    from fastmon.policy.specs import DuplicateSpec
    from fastmon.policy.subjects import Column

__all__ = ["DuplicateFamily", "make_duplicate"]

_SHARED = (
    (0x00005E0001, 8),  # VRRP for IPv4, CARP
    (0x00005E0002, 8),  # VRRP for IPv6
    (0x00000C07AC, 8),  # HSRP
    (0x00000C9FF, 12),  # HSRP, version 2
    (0x000573A00, 12),  # HSRP for IPv6
    (0x0007B400, 16),  # GLBP
)
"""The Ethernet addresses of virtual routers: their first bits, and how many follow."""

_NOT_ONE_HOST = Prefixes(
    [
        parse_network(text)
        for text in ("0.0.0.0", "224.0.0.0/4", "255.255.255.255", "169.254.0.0/16", "::", "ff00::/8", "fe80::/10")
    ]
)


def make_duplicate(specs: Sequence[DuplicateSpec], context: Context) -> list[DuplicateFamily]:
    """Return the family of rules of kind `duplicate`. Raises ConfigError for a rule on the network as a whole."""
    refuse_network(specs, context)
    return [DuplicateFamily(specs, context)] if specs else []


class DuplicateFamily(HostWatch["DuplicateSpec"]):
    """All rules of the kind. A host has 8 bytes: when it was seen last, as of the tick before."""

    def __init__(self, specs: Sequence[DuplicateSpec], context: Context) -> None:
        super().__init__("duplicate", specs, context)
        self._window_ns = np.array([spec.window_ns for spec in specs], np.int64)
        self._seen_ns: Column | None = None

    def evaluate(self, view: View, now_ns: int, hosts: Roster) -> Iterable[Alert]:  # noqa: ARG002 - it is all in the hosts
        """See `Family`."""
        self.begin(now_ns, hosts)
        alerts = []
        if self._seen_ns is None:
            self._seen_ns = hosts.add_column("i8")
        else:
            alerts = self._compare(self._seen_ns.values[hosts.changed], now_ns, hosts)
        self._seen_ns.values[:] = hosts.hosts["last_seen_ns"]
        return alerts + self._clear_old(now_ns)

    def adopt(self, old: Self) -> None:
        """See `Family`."""
        super().adopt(old)
        self._seen_ns, old._seen_ns = old._seen_ns, None

    def close(self, now_ns: int, hosts: Roster) -> Iterable[Alert]:
        """See `Family`."""
        if self._seen_ns is not None:
            hosts.drop(self._seen_ns)
        return super().close(now_ns, hosts)

    def _compare(self, seen_ns: NDArray[np.int64], now_ns: int, hosts: Roster) -> list[Alert]:
        """Let incidents fire of hosts whose Ethernet address is another one now. seen_ns: when those of `changed` were seen."""
        rows, before = hosts.changed, hosts.macs_before
        macs = hosts.macs[rows]
        is_other = hosts.local[rows] & (before != 0) & (macs != before) & (macs != 0)
        if not is_other.any():
            return []
        is_other &= ~np.isin(macs, hosts.routers) & ~np.isin(before, hosts.routers)
        is_other &= ~_are_shared(macs) & ~_are_shared(before) & ~_NOT_ONE_HOST.contain(hosts.keys[rows])
        rows, before, seen_ns = rows[is_other], before[is_other], seen_ns[is_other]
        rules = self.find_rules(hosts, rows, now_ns)
        elapsed_ns = now_ns - seen_ns
        alerts = []
        for at in np.flatnonzero((rules != NO_SCOPE) & (elapsed_ns <= self._window_ns[rules])).tolist():
            row, rule = int(rows[at]), int(rules[at])
            case = OpenCase(rule, self.id_of(hosts, row), hosts.subject(row), now_ns, now_ns)
            if self.cases.fire(case):
                alerts.append(self._fire(case, int(before[at]), int(hosts.macs[row])))
                continue
            known = self.cases.find(rule, case.id)
            if known is not None and known.is_firing:
                known.last_ns = now_ns
                self.cases.note(known)
        return alerts

    def _fire(self, case: OpenCase, old_mac: int, new_mac: int) -> Alert:
        macs = [format_mac(mac) for mac in (old_mac, new_mac)]
        makers = [vendor_of(mac) or "unknown vendor" for mac in (old_mac, new_mac)]
        both = " and ".join(f"{mac} ({maker})" for mac, maker in zip(macs, makers, strict=True))
        within = format_duration(self.specs[case.rule].window_ns)
        reason = f"{format_subject(case.subject)} is the address of two devices within {within}: {both}"
        return self.fire(case, reason, {"macs": macs, "vendors": makers})

    def _clear_old(self, now_ns: int) -> list[Alert]:
        """Clear incidents a window after their last change."""
        alerts = []
        for case in self.cases.firing():
            window_ns = self.specs[case.rule].window_ns
            if now_ns >= case.last_ns + window_ns:
                reason = "one Ethernet address has it again"
                alerts.append(self.cases.clear(case, case.last_ns + window_ns, reason, window_ns=window_ns))
        return alerts


def _are_shared(macs: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Return which Ethernet addresses are those of virtual routers."""
    are = np.zeros(len(macs), np.bool_)
    for prefix, n_bits in _SHARED:
        are |= macs >> np.uint64(n_bits) == prefix
    return are
