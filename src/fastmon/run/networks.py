"""Networks that turn local during a run: all workers hear of them, and keep what they have counted.

Live, the system says which networks an interface has. In a replay frames announce them, to the accountants themselves; where none
does, the frames of devices tell.

What it does not do: decide which hosts are local; accountants do.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np

from fastmon.model.addresses import Network, parse_network
from fastmon.model.rows import are_v4, key_words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

    from fastmon.run.plan import Team

__all__ = ["LOOK_S", "InterfaceNetworks", "TeamNetworks", "device_network"]

LOOK_S = 1.0
"""Live: how often to ask the system."""

_PREFIX_BYTES = 8
"""Of the network of a device: IPv6's links have prefixes of 64 bits."""


class InterfaceNetworks:
    """The networks of a live interface. find: asks the system for them, as CIDR texts.  now_s: a clock that is never set."""

    def __init__(self, find: Callable[[], Iterable[str]], now_s: Callable[[], float]) -> None:
        self._find = find
        self._now_s = now_s
        self._known: set[str] = set()
        self._looked_s = now_s()

    def new(self) -> list[Network]:
        """Return those that have come since the last look; none if that was just now."""
        if self._now_s() - self._looked_s < LOOK_S:
            return []
        self._looked_s = self._now_s()
        found: set[str] = set()
        with suppress(OSError):
            found = set(self._find())
        new = found - self._known
        self._known |= new
        return [parse_network(text) for text in sorted(new)]


class TeamNetworks:
    """What the accountants of a team take for local. infers: whether the frames of devices tell, where nothing is announced."""

    def __init__(self, team: Team, *, infers: bool) -> None:
        self._team = team
        self._infers = infers
        self._n_shared = self._n_given = len(team.collector.local_networks)

    def share(self) -> None:
        """Let all workers have what one of them has brought to the sums."""
        networks = self._team.collector.local_networks
        for network in networks[self._n_shared :]:
            for worker in self._team.workers:
                worker.accountant.add_local_network(network)
        self._n_shared = len(networks)

    def infer(self) -> None:
        """Take the network for local that the devices send from, if only one can be meant."""
        collector = self._team.collector
        if not self._infers or any(not _is_v4(network) for network in collector.local_networks[self._n_given :]):
            return
        network = device_network(collector.sights())
        if network is not None:
            collector.add_local_network(network)
            self.share()


def device_network(sights: NDArray[np.void]) -> Network | None:
    """Return the IPv6 network of the devices that frames came from, if they have only one, of 64 bits.

    sights: `rows.SIGHT_DTYPE`.

    A device has a local host, and all else that its frames come from or go to are global IPv6 hosts that it was the sender of: a
    router passes on what others sent, which the hop limits show.
    """
    is_global = sights["key"][:, 0] >> 5 == 1
    is_remote = ~sights["local"].astype(np.bool_)
    with_local = np.unique(sights["mac"][~is_remote])
    routers = np.unique(sights["mac"][is_remote & ~(is_global & sights["own"].astype(np.bool_))])
    of_devices = is_remote & np.isin(sights["mac"], np.setdiff1d(with_local, routers))
    prefixes = np.unique(sights["key"][of_devices][:, :_PREFIX_BYTES], axis=0)
    if len(prefixes) != 1:
        return None
    return Network(prefixes[0].tobytes() + bytes(16 - _PREFIX_BYTES), 8 * _PREFIX_BYTES)


def _is_v4(network: Network) -> bool:
    return bool(are_v4(key_words(np.frombuffer(network.prefix, np.uint8).reshape(1, 16)))[0])
