"""What devices do, as the text of rules that allow just that.

The text is to be read by people before it is used, so it says how often each thing was seen. Where a device uses many ports or
peers, they are joined: ports from 1024 on, networks, and names with the same ending.

What it does not do: find out what devices do.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING

from fastmon.model.protocols import protocol_text, service_text
from fastmon.model.services import ROLES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = ["MAX_DEVICES", "Habits", "write_rules"]

MAX_DEVICES = 1000
"""Devices that get rules: those with the most conversations."""

MAX_PORTS = 16
"""Ports of a protocol that are listed one by one."""

MAX_PEERS = 64
"""Peers of a device that are listed; a device with more gets no rule on peers."""

_JOIN_NAMES, _JOIN_ADDRESSES = 3, 4
"""Names of one ending, and addresses of one network, that are joined."""

_FIRST_FREE_PORT, _MAX_PORT = 1024, 65535
_NAME = re.compile(r"[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?")
_PUBLIC_ENDING = re.compile(r"[^.]+|(com?|net|org|gov|edu|ac|gob|or|ne)\.[a-z]{2}")
"""Endings under which anybody has names: "com", "co.uk"."""


@dataclass(slots=True)
class Habits:
    """What one device does.

    scope: its Ethernet address, or its address.  addresses, name, vendor: of it.
    services: conversations by role, protocol and port.  apps: by application.  peers: by peer's address.
    peer_names: the names of peers, by address.
    """

    scope: str
    addresses: list[str] = field(default_factory=list)
    name: str = ""
    vendor: str = ""
    services: Counter[tuple[int, int, int]] = field(default_factory=Counter)
    apps: Counter[str] = field(default_factory=Counter)
    peers: Counter[str] = field(default_factory=Counter)
    peer_names: dict[str, str] = field(default_factory=dict)

    @property
    def n_conversations(self) -> int:
        """How many conversations it had."""
        return self.services.total()


def write_rules(devices: Sequence[Habits], n_skipped: int = 0) -> str:
    """Return the rules of some devices. n_skipped: things that were seen and not remembered."""
    chosen = sorted(devices, key=lambda device: -device.n_conversations)[:MAX_DEVICES]
    are_chosen = {device.scope for device in chosen}
    lines = ["# Rules that were learnt. Review them: whatever was seen is allowed, wanted or not."]
    if n_skipped:
        lines.append(f"# {n_skipped} further things were seen and not remembered: these devices do too many different things.")
    if len(devices) > len(chosen):
        lines.append(f"# {len(devices) - len(chosen)} further devices, with fewer conversations, are left out.")
    names: set[str] = set()
    for device in devices:
        if device.scope in are_chosen:
            lines += _write_device(device, _unique_name(device, names))
    return "\n".join(lines) + "\n"


def _write_device(device: Habits, name: str) -> Iterator[str]:
    facts = (device.vendor, device.name, ", ".join(device.addresses[:4]))
    yield ""
    yield f"# {device.scope}: {'; '.join(filter(None, facts))}; {_times(device.n_conversations)}"
    for role, role_name in enumerate(ROLES):
        services = Counter({service[1:]: n for service, n in device.services.items() if service[0] == role})
        yield from _write_rule(f"{name}-{role_name}", "ports", device.scope, _join_ports(services), role_name)
    yield from _write_rule(f"{name}-apps", "apps", device.scope, sorted(device.apps.items()))
    peers = _join_peers(device)
    if len(peers) > MAX_PEERS:
        yield ""
        yield f"# {device.scope} talks to {len(device.peers)} peers: too many for a rule."
    else:
        yield from _write_rule(f"{name}-peers", "peers", device.scope, peers)


def _write_rule(name: str, kind: str, scope: str, allowed: Sequence[tuple[str, int]], role: str = "") -> Iterator[str]:
    yield from ("", "[[rule]]", f'name = "{name}"', f'kind = "{kind}"', f'scope = "{scope}"')
    if role:
        yield f'role = "{role}"'
    if not allowed:
        yield "allow = []"
        return
    yield "allow = ["
    for text, n in allowed:
        yield f"    {f'{chr(34)}{text}{chr(34)},':<40} # {_times(n)}".rstrip()
    yield "]"


def _times(n: int) -> str:
    return f"{n} conversation{'' if n == 1 else 's'}"


def _unique_name(device: Habits, names: set[str]) -> str:
    """Return how a device's rules are called: its name's first part, or what the scope says."""
    word = re.sub(r"[^a-z0-9_-]+", "-", device.name.lower().partition(".")[0])[:32].strip("-")
    name = word if re.match("[a-z]", word) else "device-" + re.sub(r"[^a-z0-9]+", "-", device.scope).strip("-")
    if name in names:
        name += "-" + re.sub(r"[^a-z0-9]+", "-", device.scope).strip("-")
    names.add(name)
    return name


def _join_ports(services: Counter[tuple[int, int]]) -> list[tuple[str, int]]:
    """Return services with their numbers of conversations; of a protocol with many ports, joined."""
    joined: Counter[tuple[int, int, int]] = Counter()
    n_ports = Counter(protocol for protocol, _ in services)
    n_low = Counter(protocol for protocol, port in services if port < _FIRST_FREE_PORT)
    for (protocol, port), n in services.items():
        low, high = port, port
        if n_low[protocol] > MAX_PORTS:
            low, high = 0, _MAX_PORT
        elif n_ports[protocol] > MAX_PORTS and port >= _FIRST_FREE_PORT:
            low, high = _FIRST_FREE_PORT, _MAX_PORT
        joined[protocol, low, high] += n
    return [(_range_text(*ports), n) for ports, n in sorted(joined.items())]


def _range_text(protocol: int, low: int, high: int) -> str:
    if low == high:
        return service_text(protocol, low)
    name = protocol_text(protocol)
    return f"{name}/{low}-{high}" if low else name


def _join_peers(device: Habits) -> list[tuple[str, int]]:
    """Return peers by name, or by address where they have none, with their numbers of conversations."""
    by_name: Counter[str] = Counter()
    by_address: Counter[str] = Counter()
    for address, n in device.peers.items():
        name = device.peer_names.get(address, "").lower()
        if _NAME.fullmatch(name) and "." in name:
            by_name[name] += n
        else:
            by_address[address] += n
    networks = _join(by_address, _network, _JOIN_ADDRESSES)
    return [*sorted(_join(by_name, _ending, _JOIN_NAMES).items()), *sorted(networks.items(), key=_address_order)]


def _join(counts: Counter[str], parent_of: Callable[[str], str | None], least: int) -> Counter[str]:
    """Return the counts, with those of one parent joined where there are at least so many."""
    parents = {text: parent_of(text) for text in counts}
    n_children = Counter(parents.values())
    joined: Counter[str] = Counter()
    for text, n in counts.items():
        parent = parents[text]
        joined[parent if parent is not None and n_children[parent] >= least else text] += n
    return joined


def _ending(name: str) -> str | None:
    """Return the pattern of all names beside this one; None where these may be anybody's."""
    ending = name.partition(".")[2]
    return None if not ending or _PUBLIC_ENDING.fullmatch(ending) else f"*.{ending}"


def _network(address: str) -> str | None:
    """Return the network around an address; None for one that stands for many hosts."""
    parsed = ip_address(address)
    if parsed.is_multicast or address == "255.255.255.255":
        return None
    return str(ip_network((parsed, 24 if parsed.version == 4 else 64), strict=False))


def _address_order(item: tuple[str, int]) -> tuple[int, int, int]:
    network = ip_network(item[0])
    return network.version, int(network.network_address), network.prefixlen
