"""Rules of kind `silent`: devices from which nothing is heard any more, or that were never heard of though a scope names them.

After a restart the devices are waited for that were there when the earlier run ended.

A device is heard of when it sends. What it is sent does not count, so one that others still ask for is silent. Of a device with
several addresses one is enough.

What it does not do: ask a device for an answer.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import accumulate
from typing import TYPE_CHECKING

import numpy as np

from fastmon.errors import ConfigError
from fastmon.model.addresses import key_from_text, key_to_text
from fastmon.model.units import format_duration, format_time
from fastmon.model.vendors import format_mac
from fastmon.policy.devices import device_ids, device_text, parse_device
from fastmon.policy.duplicates import make_duplicate
from fastmon.policy.families import match_specs
from fastmon.policy.host_watch import refuse_network
from fastmon.policy.key_index import GONE, match_words
from fastmon.policy.new_devices import SEEN_STEP_NS, make_new
from fastmon.policy.open_cases import OpenCase, OpenCases
from fastmon.policy.periods import Schedules
from fastmon.policy.scopes import NO_SCOPE, ScopeTable, parse_mac, parse_scope
from fastmon.policy.subjects import Subject
from fastmon.policy.watched_rows import WatchedRows
from fastmon.policy.words import fire_alert, format_subject

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray
    from typing_extensions import Self

    from fastmon.model.alerts import Alert
    from fastmon.model.memory import Changes, KnownDevice, Memory
    from fastmon.policy.hosts import Roster
    from fastmon.policy.rules import Context, View
    from fastmon.policy.scopes import Scope
    from fastmon.policy.specs import SilentSpec

__all__ = ["SilentFamily", "make_duplicate", "make_new", "make_silent"]

_NEVER_NS = -(1 << 62)
"""When a host was heard of that has not sent anything yet."""

_WATCHED_DTYPE = np.dtype([("rule", "i4"), ("packets_out", "u8"), ("heard_ns", "i8")])

_ALONE = np.uint64(1 << 32)
"""Added to the rule in the group of a host that is the only one of its device."""


def make_silent(specs: Sequence[SilentSpec], context: Context) -> list[SilentFamily]:
    """Return the family of rules of kind `silent`. Raises ConfigError for a rule on the network as a whole."""
    refuse_network(specs, context)
    return [SilentFamily(specs, context)] if specs else []


@dataclass(frozen=True, slots=True)
class _Named:
    """A host that a scope names, or a device of an earlier run, that was not heard of yet.

    key: 16 bytes, or b"" for one that is named by its MAC.  subject, seen_ns: of an earlier run.
    """

    rule: int
    key: bytes
    mac: int
    subject: Subject | None = None
    seen_ns: int = _NEVER_NS

    @property
    def id(self) -> str:
        return key_to_text(self.key) if self.key else format_mac(self.mac)


class SilentFamily:
    """All rules of the kind. An incident's id is its device's; of a device that was never heard of, what the scope names."""

    key = "silent"

    def __init__(self, specs: Sequence[SilentSpec], context: Context) -> None:
        self._specs = specs
        scopes = [parse_scope(spec.scope, context.groups) for spec in specs]
        self._table = ScopeTable(scopes)
        self._schedules = Schedules(specs)
        self._cases = OpenCases(specs, keeps=context.keeps)
        self._for_ns = np.array([spec.for_ns for spec in specs], np.int64)
        self._named = _named_hosts(scopes)
        self._watched: WatchedRows | None = None
        self._began_ns = self._before_ns = _NEVER_NS
        self._is_new = True
        self._heard_rows = np.empty(0, np.intp)

    def evaluate(self, view: View, now_ns: int, hosts: Roster) -> Iterable[Alert]:  # noqa: ARG002 - it is all in the hosts
        """See `Family`."""
        self._cases.cool(now_ns)
        if self._began_ns == _NEVER_NS or now_ns < self._before_ns:
            self._began_ns = self._before_ns = now_ns
        watched = self._watched
        if watched is None:
            watched = self._watched = WatchedRows(_WATCHED_DTYPE)
            hosts.add_follower(watched)
        rows = np.arange(len(hosts)) if self._is_new else hosts.join(hosts.new, hosts.changed)
        self._is_new = False
        self._govern(watched, rows, hosts)
        self._listen(watched, now_ns, hosts)
        alerts = self._meet_named(watched, rows, hosts) if self._named else []
        alerts += self._find_silent(watched, now_ns, hosts)
        alerts += self._find_unheard(now_ns)
        self._before_ns = now_ns
        return sorted(alerts, key=lambda alert: alert.ts_ns)

    def restore(self, memory: Memory) -> None:
        """See `Family`."""
        self._cases.restore(memory)
        open_cases = {(case.rule, text) for case in self._cases.firing() for text in (case.subject.host, case.subject.mac)}
        are_own = {(case.rule, case.id) for case in self._cases.firing()}
        self._named = [each for each in self._named if (each.rule, each.id) not in open_cases - are_own]
        self._named += self._find_missed(memory.devices, {(each.rule, each.id) for each in self._named} | open_cases | are_own)

    def adopt(self, old: Self) -> None:
        """See `Family`."""
        new_rules = match_specs(old._specs, self._specs)
        self._cases.adopt(old._cases, new_rules)
        unheard = {(int(new_rules[named.rule]), named.id) for named in old._named}
        kept = set(new_rules.tolist())
        self._named = [each for each in self._named if each.rule not in kept or (each.rule, each.id) in unheard]
        missed = (replace(each, rule=int(new_rules[each.rule])) for each in old._named if each.subject is not None)
        self._named += [each for each in missed if each.rule >= 0]
        self._began_ns, self._before_ns = old._began_ns, old._before_ns
        self._watched, old._watched = old._watched, None

    def close(self, now_ns: int, hosts: Roster) -> Iterable[Alert]:
        """See `Family`."""
        if self._watched is not None:
            hosts.drop(self._watched)
        return self._cases.close(now_ns)

    def take_changes(self, changes: Changes) -> None:
        """See `Family`."""
        self._cases.take_changes(changes)

    def n_bytes(self) -> int:
        """See `Family`."""
        n_watched = 0 if self._watched is None else self._watched.n_bytes()
        return n_watched + self._cases.n_bytes()

    def _govern(self, watched: WatchedRows, rows: NDArray[np.intp], hosts: Roster) -> None:
        """Find the rules of some hosts, and watch those that have one."""
        rules = self._table.assign(hosts, rows)
        at = watched.find(rows)
        watched.values["rule"][at[at != GONE]] = rules[at != GONE]
        is_new = (at == GONE) & (rules != NO_SCOPE)
        values = np.zeros(np.count_nonzero(is_new), _WATCHED_DTYPE)
        values["rule"], values["heard_ns"] = rules[is_new], _NEVER_NS
        watched.keep(watched.values["rule"] != NO_SCOPE)
        watched.add(rows[is_new], values)

    def _listen(self, watched: WatchedRows, now_ns: int, hosts: Roster) -> None:
        """Note which hosts have sent since the last tick."""
        packets, heard_ns = watched.values["packets_out"], watched.values["heard_ns"]
        packets_now = hosts.hosts["packets_out"][watched.rows]
        has_sent = packets_now != packets
        heard_ns[has_sent] = hosts.hosts["last_seen_ns"][watched.rows[has_sent]]
        np.minimum(heard_ns, now_ns, out=heard_ns)
        packets[:] = packets_now
        self._heard_rows = watched.rows[has_sent]

    def _meet_named(self, watched: WatchedRows, rows: NDArray[np.intp], hosts: Roster) -> list[Alert]:
        """Forget those of the named hosts that have been heard of, and clear their incidents. rows: new and changed ones."""
        keys = np.frombuffer(b"".join(named.key or bytes(16) for named in self._named), np.uint8).reshape(-1, 16)
        heard_ns = np.append(watched.values["heard_ns"], _NEVER_NS)
        by_key = heard_ns[watched.find(hosts.rows_of(keys))].tolist()
        at = watched.find(hosts.join(rows, self._heard_rows))
        at = at[at != GONE]
        at = at[heard_ns[at] != _NEVER_NS]
        macs = hosts.macs[watched.rows[at]]
        is_named = np.isin(macs, np.array([named.mac for named in self._named if named.mac], np.uint64))
        by_mac = dict(zip(macs[is_named].tolist(), heard_ns[at[is_named]].tolist(), strict=True))
        alerts, left = [], []
        for named, of_key in zip(self._named, by_key, strict=True):
            last_ns = by_mac.get(named.mac, _NEVER_NS) if named.mac else of_key
            if last_ns == _NEVER_NS:
                left.append(named)
                continue
            case = self._cases.find(named.rule, named.id)
            if case is not None and case.is_firing:
                alerts.append(self._clear(case, last_ns))
        self._named = left
        return alerts

    def _find_silent(self, watched: WatchedRows, now_ns: int, hosts: Roster) -> list[Alert]:
        """Let incidents fire of devices none of whose hosts was heard of in time; clear those of others."""
        rules, heard_ns = watched.values["rule"], watched.values["heard_ns"]
        due_ns = heard_ns + self._for_ns[rules]
        was_heard = heard_ns != _NEVER_NS
        is_silent = was_heard & (due_ns <= now_ns)
        open_cases = self._cases.firing()
        if not open_cases and not is_silent.any():
            return []
        groups = _group_rows(watched.rows, rules, hosts)
        of_open = _groups_of(open_cases, hosts)
        active = np.flatnonzero(was_heard & ~is_silent)
        alerts = self._clear_active(open_cases, match_words(groups[active], of_open), heard_ns[active])
        fires = np.flatnonzero(is_silent)
        fires = fires[self._schedules.holding(now_ns)[rules[fires]]]
        fires = fires[match_words(groups[fires], of_open) == GONE]
        if len(fires):
            fires = fires[match_words(groups[fires], groups[active]) == GONE]
            fires = fires[np.argsort(-due_ns[fires], kind="stable")]
            fires = np.sort(fires[np.unique(groups[fires], axis=0, return_index=True)[1]])
        for at in fires.tolist():
            if self._cases.is_full:
                break
            row = int(watched.rows[at])
            (device,) = device_ids(hosts.keys[row : row + 1], hosts.macs[row : row + 1], hosts.routers)
            text = device_text(device.tobytes())
            alerts += self._fire(int(rules[at]), text, hosts.subject(row), int(heard_ns[at]), now_ns)
        return alerts

    def _clear_active(self, cases: Sequence[OpenCase], of_cases: NDArray[np.intp], heard_ns: NDArray[np.int64]) -> list[Alert]:
        """Clear the incidents of devices that are heard of again. of_cases: the case of each host that is, or `GONE`."""
        last_ns = np.full(len(cases), _NEVER_NS)
        is_of_case = of_cases != GONE
        np.maximum.at(last_ns, of_cases[is_of_case], heard_ns[is_of_case])
        return [self._clear(cases[index], int(last_ns[index])) for index in np.flatnonzero(last_ns != _NEVER_NS).tolist()]

    def _find_missed(self, devices: Sequence[KnownDevice], but_for: set[tuple[int, str]]) -> list[_Named]:
        """Return the devices that were there when the earlier run ended: none that was silent by then, or has left for good."""
        found = []
        devices = [device for device in devices if _makes_sense(device)]
        newest_ns = max((device.last_seen_ns for device in devices), default=0)
        facts = _DeviceFacts(devices)
        rules = self._table.assign(facts, np.arange(len(facts.keys))).tolist()
        for device, at in zip(devices, facts.starts, strict=True):
            texts = (device.id, device.mac, *device.addresses)
            rule = next((rule for rule in rules[at : at + len(device.addresses)] if rule != NO_SCOPE), NO_SCOPE)
            is_recent = newest_ns - device.last_seen_ns <= int(self._for_ns[rule]) + SEEN_STEP_NS
            if rule != NO_SCOPE and is_recent and not any((rule, text) in but_for for text in texts):
                mac = parse_mac(device.id) or 0
                key = b"" if mac else key_from_text(device.id)
                subject = Subject(device.addresses[-1], device.given_name or device.name, device.mac, local=True)
                found.append(_Named(rule, key, mac, subject, device.last_seen_ns))
        return found

    def _find_unheard(self, now_ns: int) -> list[Alert]:
        """Let incidents fire of hosts that were never heard of."""
        alerts = []
        for named in self._named:
            subject = named.subject or Subject(named.id, mac="" if named.key else named.id)
            if now_ns >= self._began_ns + int(self._for_ns[named.rule]):
                alerts += self._fire(named.rule, named.id, subject, _NEVER_NS, now_ns, named.seen_ns)
        return alerts

    def _fire(
        self, rule: int, case_id: str, subject: Subject, heard_ns: int, now_ns: int, seen_ns: int = _NEVER_NS
    ) -> list[Alert]:
        """Let an incident fire, if its rule holds. It does so when the time is over, whenever the tick comes.

        seen_ns: when an earlier run saw it last.
        """
        was_heard = heard_ns != _NEVER_NS
        since_ns = heard_ns if was_heard else self._began_ns
        due_ns = since_ns + int(self._for_ns[rule])
        ts_ns = due_ns if due_ns > self._before_ns else now_ns
        if not self._schedules.holding(now_ns)[rule]:
            return []
        if not self._cases.fire(OpenCase(rule, case_id, subject, ts_ns, since_ns)):
            return []
        spec = self._specs[rule]
        evidence: dict[str, object] = {"silent_since": format_time(since_ns)}
        long = format_duration(spec.for_ns)
        reason = f"nothing was heard from {format_subject(subject)} for {long}, since {format_time(since_ns)}"
        if seen_ns != _NEVER_NS:
            evidence["last_seen"] = format_time(seen_ns)
            reason = (
                f"nothing was heard from {format_subject(subject)} for {long} since the start, and last at {format_time(seen_ns)}"
            )
        elif not was_heard:
            reason = f"{format_subject(subject)} was never heard of, for {long} since {format_time(since_ns)}"
        return [fire_alert(spec, subject, ts_ns=ts_ns, reason=reason, window_ns=spec.for_ns, evidence=evidence)]

    def _clear(self, case: OpenCase, heard_ns: int) -> Alert:
        ts_ns = max(heard_ns, case.since_ns)
        return self._cases.clear(case, ts_ns, "it is heard from again", window_ns=self._specs[case.rule].for_ns)


class _DeviceFacts:
    """Known devices as scopes see hosts: a row for each address. starts: each device's first row."""

    def __init__(self, devices: Sequence[KnownDevice]) -> None:
        owners = [device for device in devices for _ in device.addresses]
        addresses = b"".join(key_from_text(text) for device in devices for text in device.addresses)
        self.keys = np.frombuffer(addresses, np.uint8).reshape(-1, 16)
        self.local = np.ones(len(owners), np.bool_)
        self.macs = np.array([parse_mac(device.mac) or 0 for device in owners], np.uint64)
        self.starts = [0, *accumulate(len(device.addresses) for device in devices)][:-1]
        self._owners = owners

    def name(self, row: int) -> str:
        """Return a device's name; "" where none is known."""
        return self._owners[row].name


def _makes_sense(device: KnownDevice) -> bool:
    """Return whether what was kept of a device can be one."""
    try:
        for text in device.addresses:
            key_from_text(text)
        parse_device(device.id)
    except ConfigError:
        return False
    return bool(device.addresses)


def _named_hosts(scopes: Sequence[Scope]) -> list[_Named]:
    """Return the hosts that scopes name, each for its most specific scope, of equally specific ones the first."""
    found: dict[tuple[bytes, int], _Named] = {}
    for rule, scope in sorted(enumerate(scopes), key=lambda item: -item[1].specificity):
        for key, mac in [*((key, 0) for key in scope.addresses), *((b"", mac) for mac in scope.macs)]:
            found.setdefault((key, mac), _Named(rule, key, mac))
    return list(found.values())


def _group_rows(rows: NDArray[np.intp], rules: NDArray[np.int32], hosts: Roster) -> NDArray[np.uint64]:
    """Return what is the same for hosts of one device and rule: the rule with the Ethernet address, or with the only row."""
    groups = np.empty((len(rows), 2), np.uint64)
    macs = hosts.macs[rows]
    is_alone = (macs == 0) | np.isin(macs, hosts.routers)
    groups[:, 0] = np.where(is_alone, rows.view(np.uint64), macs)
    groups[:, 1] = rules.astype(np.uint64) + is_alone * _ALONE
    return groups


def _groups_of(cases: Sequence[OpenCase], hosts: Roster) -> NDArray[np.uint64]:
    """Return the same for incidents, by the devices that they are of."""
    groups = np.array([(parse_mac(case.id) or 0, case.rule) for case in cases], np.uint64).reshape(-1, 2)
    alone = np.flatnonzero(groups[:, 0] == 0)
    keys = np.frombuffer(b"".join(key_from_text(cases[at].id) for at in alone.tolist()), np.uint8).reshape(-1, 16)
    groups[alone, 0] = hosts.rows_of(keys).view(np.uint64)
    groups[alone, 1] += _ALONE
    return groups
