"""What rules of kinds `total`, `rate` and `baseline` count: of each host, and of the network as a whole.

All counters are cumulative. Those of a host begin when it gets a row.

What it does not do: remember what a counter was before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

from fastmon.errors import ConfigError
from fastmon.model.services import SERVICE_DTYPE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from fastmon.model.snapshot import Snapshot
    from fastmon.policy.rules import View
    from fastmon.policy.specs import PortRange

__all__ = ["AppBytes", "Measure", "Openings", "PortBytes", "Readings", "Traffic", "services_of"]

_NO_SERVICES = np.empty(0, SERVICE_DTYPE)

_DIRECTIONS = {"both": ("in", "out"), "in": ("in",), "out": ("out",)}


def services_of(totals: Snapshot) -> NDArray[np.void]:
    """Return the services of local hosts, as `SERVICE_DTYPE`; none where they are not accounted."""
    services: NDArray[np.void] = getattr(totals, "services", _NO_SERVICES)
    return services


class Readings(Protocol):
    """The counters at one tick."""

    def of(self, rows: slice | NDArray[np.intp]) -> NDArray[np.uint64]:
        """Return the counters of some hosts."""
        ...

    def network(self) -> int:
        """Return the network's."""
        ...


class Measure(Protocol):
    """What is counted."""

    def read(self, view: View, totals: Snapshot) -> Readings:
        """Return the counters of a tick."""
        ...


class Traffic:
    """Bytes or packets of hosts.

    what: "bytes" or "packets".  direction: "both", "in" or "out".

    Of the network: what is in all IP frames; of a direction, what all local hosts have received, or sent.
    """

    def __init__(self, what: str, direction: str) -> None:
        self._what = what
        self._names = tuple(f"{what}_{way}" for way in _DIRECTIONS[direction])

    def read(self, view: View, totals: Snapshot) -> Readings:  # noqa: ARG002 - it is all in the totals
        """See `Measure`."""
        return _TrafficReadings(totals, self._what, self._names)


class _TrafficReadings:
    def __init__(self, totals: Snapshot, what: str, names: tuple[str, ...]) -> None:
        self._totals, self._what, self._names = totals, what, names

    def of(self, rows: slice | NDArray[np.intp]) -> NDArray[np.uint64]:
        first, *rest = (self._totals.hosts[name][rows] for name in self._names)
        return first + rest[0] if rest else first

    def network(self) -> int:
        if len(self._names) == 2:
            ip = self._totals.counters.ip
            return ip.bytes if self._what == "bytes" else ip.frames
        return int(self._totals.hosts[self._names[0]].sum(where=self._totals.local))


class _DenseReadings:
    """Counters of few hosts, spread over all rows."""

    def __init__(self, n_rows: int, rows: NDArray[np.integer], values: Sequence[NDArray[np.uint64]]) -> None:
        self._counters = np.zeros(n_rows, np.uint64)
        for each in values:
            np.add.at(self._counters, rows, each)

    def of(self, rows: slice | NDArray[np.intp]) -> NDArray[np.uint64]:
        return self._counters[rows]

    def network(self) -> int:
        return int(self._counters.sum())


class Openings:
    """Conversations that local hosts have opened. Of the network: the sum of theirs."""

    def read(self, view: View, totals: Snapshot) -> Readings:
        """See `Measure`."""
        return _DenseReadings(len(totals), view.openings["host"], [view.openings["opened"]])


class AppBytes:
    """Bytes of some applications.

    numbers: the applications' names, by their numbers.

    Of the network: the sum over local hosts.

    Raises ConfigError for an unknown application.
    """

    def __init__(self, direction: str, apps: Sequence[str], numbers: Mapping[int, str]) -> None:
        if unknown := set(apps) - set(numbers.values()):
            raise ConfigError(f"unknown application {min(unknown)!r}: docs/applications.md has all names")
        self._numbers = [number for number, name in numbers.items() if name in apps]
        self._names = tuple(f"bytes_{way}" for way in _DIRECTIONS[direction])

    def read(self, view: View, totals: Snapshot) -> Readings:  # noqa: ARG002 - it is all in the totals
        """See `Measure`."""
        rows = totals.apps[np.isin(totals.apps["app"], self._numbers)]
        return _LocalReadings(totals, rows["host"], [rows[name] for name in self._names])


class PortBytes:
    """Bytes of local hosts' services with some ports. Of the network: the sum of theirs."""

    def __init__(self, direction: str, ports: Sequence[PortRange]) -> None:
        self._ports = ports
        self._names = tuple(f"bytes_{way}" for way in _DIRECTIONS[direction])

    def read(self, view: View, totals: Snapshot) -> Readings:  # noqa: ARG002 - it is all in the totals
        """See `Measure`."""
        services = services_of(totals)
        are = np.zeros(len(services), np.bool_)
        for protocol, low, high in self._ports:
            are |= (services["protocol"] == protocol) & (services["port"] >= low) & (services["port"] <= high)
        rows = services[are]
        return _LocalReadings(totals, rows["host"], [rows[name] for name in self._names])


class _LocalReadings(_DenseReadings):
    def __init__(self, totals: Snapshot, rows: NDArray[np.integer], values: Sequence[NDArray[np.uint64]]) -> None:
        super().__init__(len(totals), rows, values)
        self._local = totals.local

    def network(self) -> int:
        return int(self._counters.sum(where=self._local))
