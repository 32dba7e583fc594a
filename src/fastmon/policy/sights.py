"""What rules of kind `total` see at a tick: the counters of hosts, of devices, or of the network.

What it does not do: remember what a counter was before.
"""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING

import numpy as np

from fastmon.policy.incidents import NEVER_NS
from fastmon.policy.subjects import CHUNK_ROWS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from fastmon.model.snapshot import Snapshot
    from fastmon.policy.device_rows import DeviceRows, Members
    from fastmon.policy.measures import Readings

__all__ = ["DeviceSight", "HostSight", "NetworkSight", "Sight"]


class Sight:
    """What is seen of all subjects. rules: (n,), the index of each one's rule; negative where none governs it."""

    def __init__(self, rules: NDArray[np.signedinteger]) -> None:
        self.rules = rules

    def counters(self, rows: slice | NDArray[np.intp]) -> NDArray[np.int64]:
        """Return the counters of some rows."""
        raise NotImplementedError

    def first_seen(self, rows: NDArray[np.intp]) -> NDArray[np.int64]:
        """Return since when the counters of some rows count; `-NEVER_NS` where they did not begin at 0."""
        raise NotImplementedError

    def last_seen(self) -> NDArray[np.int64]:
        """Return when each row moved something last."""
        raise NotImplementedError

    def keys(self, rows: NDArray[np.intp]) -> NDArray[np.uint8]:
        """Return the keys of some rows."""
        raise NotImplementedError

    def words(self, rows: NDArray[np.intp]) -> NDArray[np.uint64]:
        """Return the keys of some rows as `as_words` does."""
        return np.ascontiguousarray(self.keys(rows)).view(np.uint64)

    def chunks(self) -> Iterator[slice]:
        """Iterate over all rows, some at a time."""
        for start in range(0, len(self.rules), CHUNK_ROWS):
            yield slice(start, min(start + CHUNK_ROWS, len(self.rules)))


class HostSight(Sight):
    """What is seen of hosts. are_mixed: (n,) whose counters have bytes that count for others; None if there are none."""

    def __init__(
        self,
        totals: Snapshot,
        readings: Readings,
        rules: NDArray[np.signedinteger],
        are_mixed: NDArray[np.bool_] | None = None,
    ) -> None:
        super().__init__(rules)
        self._hosts = totals.hosts
        self._readings = readings
        self._are_mixed = are_mixed

    def with_rules(self, rules: NDArray[np.signedinteger]) -> HostSight:
        """Return the same under other rules."""
        other = copy(self)
        other.rules = rules
        return other

    def counters(self, rows: slice | NDArray[np.intp]) -> NDArray[np.int64]:
        """See `Sight`."""
        return self._readings.of(rows).view(np.int64)

    def first_seen(self, rows: NDArray[np.intp]) -> NDArray[np.int64]:
        """See `Sight`."""
        seen: NDArray[np.int64] = self._hosts["first_seen_ns"][rows]
        return seen if self._are_mixed is None else np.where(self._are_mixed[rows], -NEVER_NS, seen)

    def last_seen(self) -> NDArray[np.int64]:
        """See `Sight`."""
        seen: NDArray[np.int64] = self._hosts["last_seen_ns"]
        return seen

    def keys(self, rows: NDArray[np.intp]) -> NDArray[np.uint8]:
        """See `Sight`."""
        keys: NDArray[np.uint8] = self._hosts["key"][rows]
        return keys


class NetworkSight(Sight):
    """What rules on the network see: each the same."""

    def __init__(self, totals: Snapshot, readings: Readings, n_rules: int) -> None:
        super().__init__(np.arange(n_rules))
        self._totals = totals
        self._readings = readings

    def counters(self, rows: slice | NDArray[np.intp]) -> NDArray[np.int64]:
        """See `Sight`."""
        return np.full(len(self.rules[rows]), self._readings.network())

    def first_seen(self, rows: NDArray[np.intp]) -> NDArray[np.int64]:
        """See `Sight`."""
        return np.full(len(rows), self._totals.interval.start_ns)

    def last_seen(self) -> NDArray[np.int64]:
        """Return that it always moves something."""
        return np.full(len(self.rules), NEVER_NS)

    def keys(self, rows: NDArray[np.intp]) -> NDArray[np.uint8]:
        """Return zeros."""
        return np.zeros((len(rows), 16), np.uint8)


class DeviceSight(Sight):
    """What is seen of devices: the sums of their hosts.

    of_hosts: what is seen of hosts.  members: the hosts that count for devices.
    are_mixed: (n,) which devices' counters began with something else than what their hosts moved for them.
    """

    def __init__(
        self,
        of_hosts: HostSight,
        devices: DeviceRows,
        members: Members,
        rules: NDArray[np.signedinteger],
        are_mixed: NDArray[np.bool_],
    ) -> None:
        super().__init__(rules)
        self._of_hosts = of_hosts
        self._devices = devices
        self._members = members
        self._are_mixed = are_mixed
        self._sums = self._of_members(np.add, of_hosts.counters(members.hosts), 0)

    def counters(self, rows: slice | NDArray[np.intp]) -> NDArray[np.int64]:
        """See `Sight`."""
        return self._sums[rows]

    def first_seen(self, rows: NDArray[np.intp]) -> NDArray[np.int64]:
        """See `Sight`."""
        first = self._of_members(np.minimum, self._of_hosts.first_seen(self._members.hosts), -NEVER_NS)
        first[self._are_mixed] = -NEVER_NS
        return first[rows]

    def last_seen(self) -> NDArray[np.int64]:
        """See `Sight`."""
        return self._of_members(np.maximum, self._of_hosts.last_seen()[self._members.hosts], -NEVER_NS)

    def keys(self, rows: NDArray[np.intp]) -> NDArray[np.uint8]:
        """See `Sight`."""
        return self._devices.keys_of(rows)

    def _of_members(self, combine: np.ufunc, values: NDArray[np.int64], missing: int) -> NDArray[np.int64]:
        """Return a value of each device, of those of its hosts."""
        combined = np.full(len(self.rules), missing, np.int64)
        if len(values):
            combined[self._members.devices] = combine.reduceat(values, self._members.starts)
        return combined
