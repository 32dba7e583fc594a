"""What tells one thing that a device does from another: as keys of fixed size for tables, and as texts that survive.

A thing that was told is a service or an application, with its role, and a peer. A thing that was learnt is a service, an
application, or a peer with its address or its name.

What it does not do: keep keys.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fastmon.model.addresses import key_from_text, key_to_text
from fastmon.model.alerts import NETWORK
from fastmon.model.protocols import service_text
from fastmon.model.services import ROLES
from fastmon.policy.devices import device_text, parse_device
from fastmon.policy.services import parse_service

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

__all__ = ["KEY_BYTES", "LEARNT", "NO_DEVICE", "ContactKeys", "Item", "change_rules", "join_keys", "split_keys", "subject_text"]

_KEY_DTYPE = np.dtype(
    [
        ("rule", ">u2"),
        ("device", "u1", (16,)),
        ("peer", "u1", (16,)),
        ("role", "u1"),
        ("protocol", "u1"),
        ("port", ">u2"),
        ("app", "u1"),
        ("_", "u1"),
    ]
)

KEY_BYTES = _KEY_DTYPE.itemsize

NO_DEVICE = bytes(16)
"""The device of a rule about the network."""

LEARNT = "learnt "
"""How the text of an item begins that was learnt."""

_SERVICE_FIELDS = ("protocol", "port")
_FIELDS = {"ports": _SERVICE_FIELDS, "apps": ("app",), "peers": _SERVICE_FIELDS}


class Item(NamedTuple):
    """What `ContactKeys.parse` returns."""

    is_learnt: bool
    key: bytes


class ContactKeys:
    """Keys and texts for rules of one kind: "ports", "apps" or "peers".

    app_names, app_numbers: of applications.
    """

    def __init__(self, kind: str, app_names: Mapping[int, str]) -> None:
        self._kind = kind
        self._app_names = app_names
        self._app_numbers = {name: number for number, name in app_names.items()}

    def told(self, contacts: NDArray[np.void], rules: NDArray[np.int64], devices: NDArray[np.uint8]) -> NDArray[np.bytes_]:
        """Return the keys of things that may be told. rules: (n,) indices.  devices: (n, 16)."""
        fields = {name: contacts[name] for name in ("role", "peer", *_FIELDS[self._kind])}
        return join_keys(len(contacts), rule=rules, device=devices, **fields)

    def learnt(self, contacts: NDArray[np.void], rules: NDArray[np.int64], devices: NDArray[np.uint8]) -> NDArray[np.bytes_]:
        """Return the keys of things that may be learnt; of peers, by their addresses."""
        names = ("peer",) if self._kind == "peers" else ("role", *_FIELDS[self._kind])
        return join_keys(len(contacts), rule=rules, device=devices, **{name: contacts[name] for name in names})

    def learnt_name(self, name: str, rule: int, device: bytes) -> bytes:
        """Return the key of a peer that was learnt by its name."""
        return _one_key(rule=rule, device=device, peer=blake2b(name.encode(), digest_size=16).digest(), port=1)

    def told_text(self, contact: np.void) -> str:
        """Return the item of a contact that was told."""
        return f"{self._what_text(contact)} {key_to_text(contact['peer'].tobytes())}"

    def learnt_text(self, contact: np.void) -> str:
        """Return the item of a contact that was learnt."""
        if self._kind == "peers":
            return f"{LEARNT}peer {key_to_text(contact['peer'].tobytes())}"
        return LEARNT + self._what_text(contact)

    def parse(self, rule: int, subject: str, item: str) -> Item:
        """Return the key of a text. Raises ValueError or ConfigError if it is none of this kind's."""
        device = NO_DEVICE if subject == NETWORK else parse_device(subject)
        first, _, rest = item.removeprefix(LEARNT).partition(" ")
        if not item.startswith(LEARNT):
            what, _, peer = rest.rpartition(" ")
            return Item(False, _one_key(rule=rule, device=device, peer=key_from_text(peer), **self._what(first, what)))
        if first == "peer":
            return Item(True, _one_key(rule=rule, device=device, peer=key_from_text(rest)))
        if first == "name":
            return Item(True, self.learnt_name(rest, rule, device))
        return Item(True, _one_key(rule=rule, device=device, **self._what(first, rest)))

    def _what_text(self, contact: np.void) -> str:
        return f"{ROLES[contact['role']]} {self.service_text(contact)}"

    def service_text(self, contact: np.void) -> str:
        """Return what rules of this kind judge: the application, or the service."""
        if self._kind == "apps":
            return self._app_names.get(int(contact["app"]), str(contact["app"]))
        return service_text(int(contact["protocol"]), int(contact["port"]))

    def _what(self, role: str, what: str) -> dict[str, int]:
        fields = {"role": ROLES.index(role)}
        if self._kind == "apps":
            return fields | {"app": self._app_numbers[what] if what in self._app_numbers else int(what)}
        return fields | dict(zip(_SERVICE_FIELDS, parse_service(what), strict=True))


def subject_text(device: bytes) -> str:
    """Return a device as the subject of what survives."""
    return NETWORK if device == NO_DEVICE else device_text(device)


def join_keys(n_keys: int, **fields: NDArray[np.generic]) -> NDArray[np.bytes_]:
    """Return keys with these fields; the others are 0."""
    keys = np.zeros(n_keys, _KEY_DTYPE)
    for name, values in fields.items():
        keys[name] = values
    return keys.view(f"S{KEY_BYTES}")


def split_keys(keys: NDArray[np.bytes_]) -> NDArray[np.void]:
    """Return the fields of keys, as a view."""
    return keys.view(_KEY_DTYPE)


def change_rules(keys: NDArray[np.bytes_], new_rules: NDArray[np.int64]) -> tuple[NDArray[np.bytes_], NDArray[np.bool_]]:
    """Return keys with other rules, and which of them still have one. new_rules: by the old ones; negative: none."""
    fields = split_keys(keys).copy()
    rules = new_rules[fields["rule"]]
    fields["rule"] = np.maximum(rules, 0)
    return fields.view(f"S{KEY_BYTES}"), rules >= 0


def _one_key(**fields: int | bytes) -> bytes:
    key = np.zeros(1, _KEY_DTYPE)
    for name, value in fields.items():
        key[name] = np.frombuffer(value, np.uint8) if isinstance(value, bytes) else value
    return key.tobytes()
