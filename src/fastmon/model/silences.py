"""Silences: of whom, or of which rule, nobody is to be told for a while.

What it does not do: keep them (`state` does).
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from fastmon.model.alerts import Alert

__all__ = ["Silence", "Target"]

_Network: TypeAlias = "ipaddress.IPv4Network | ipaddress.IPv6Network"

_MAC = re.compile(r"[0-9a-f]{2}([:-]?[0-9a-f]{2}){5}", re.IGNORECASE)


class Target:
    """What a text names: an address or network, a MAC address, or else a name: a host's or device's, or a rule's.

    text: as it is kept and shown; the same for all spellings of one address.
    """

    __slots__ = ("_name", "_network", "mac", "text")

    def __init__(self, text: str) -> None:
        self.text = text.strip()
        self.mac = ""
        self._network = _network(self.text)
        if self._network is not None:
            is_address = self._network.prefixlen == self._network.max_prefixlen
            self.text = str(self._network.network_address if is_address else self._network)
        elif _MAC.fullmatch(self.text):
            digits = re.sub("[:-]", "", self.text.lower())
            self.text = self.mac = ":".join(digits[start : start + 2] for start in range(0, 12, 2))
        self._name = self.text.casefold()

    @property
    def is_name(self) -> bool:
        """Whether it is neither an address nor a MAC address."""
        return self._network is None and not self.mac

    def is_host(self, address: str, mac: str = "", *names: str) -> bool:
        """Return whether a host of this address, MAC address and names is meant. Each may be "", for unknown."""
        if self._network is not None:
            try:
                return ipaddress.ip_address(address) in self._network
            except ValueError:
                return False
        if self.mac:
            return self.mac == mac
        return any(name and name.casefold() == self._name for name in (address, *names))

    def is_rule(self, rule: str) -> bool:
        """Return whether this rule is meant."""
        return self.is_name and rule == self.text


def _network(text: str) -> _Network | None:
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None
    if network.version == 6 and network.prefixlen == 128 and network.network_address.ipv4_mapped is not None:
        return ipaddress.ip_network(network.network_address.ipv4_mapped)
    return network


@dataclass(frozen=True, slots=True)
class Silence:
    """From `since_ns` to `until_ns` (nanoseconds since the epoch) nobody is told of what `target` names."""

    target: str
    since_ns: int
    until_ns: int
    _target: Target = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_target", Target(self.target))

    def covers(self, alert: Alert, now_ns: int) -> bool:
        """Return whether nobody is to be told of `alert` at `now_ns`."""
        if not self.since_ns <= now_ns < self.until_ns:
            return False
        target = self._target
        return target.is_rule(alert.rule) or target.is_host(alert.subject, alert.mac, alert.name)
