"""Allow and deny lists, matched with arrays of contacts: services, applications, peers.

What it does not do: decide what follows from a match; `contacts` does.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fastmon.errors import ConfigError
from fastmon.model.addresses import Network, parse_network
from fastmon.model.conversations import LABELLED_BY, UNKNOWN_APP
from fastmon.policy.scopes import NamePatterns, Prefixes
from fastmon.policy.services import merge_ranges

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from fastmon.policy.specs import PortRange

__all__ = ["AppLists", "Listed", "PeerLists", "PortLists", "are_guesses", "have_application", "is_name", "parse_peers"]

_BY_PAYLOAD = LABELLED_BY.index("payload")
_N_APPS = 256
_PORT_BITS, _SERVICE_BITS = 16, 24
_LOOKS_LIKE_ADDRESS = re.compile(r"[0-9.]+(/.*)?|.*:.*|.*/.*")


class Listed(NamedTuple):
    """Which contacts are in the list of their rule.

    undecided: what is known may change in a moment: the application is a guess, or the peer has no name yet.
    """

    are_listed: NDArray[np.bool_]
    are_undecided: NDArray[np.bool_]


class PortLists:
    """A list of services for each rule: all of them are one array of ranges, searched once."""

    def __init__(self, lists: Sequence[Sequence[PortRange]]) -> None:
        merged = [(rule, each) for rule, ranges in enumerate(lists) for each in merge_ranges(ranges)]
        self._starts = np.array([_service_code(rule, each.protocol, each.low) for rule, each in merged], np.int64)
        self._ends = np.array([_service_code(rule, each.protocol, each.high) for rule, each in merged], np.int64)

    def match(self, contacts: NDArray[np.void], rules: NDArray[np.int64]) -> Listed:
        """Return which contacts use a service in the list of their rule."""
        never = np.zeros(len(contacts), np.bool_)
        if not len(self._starts):
            return Listed(never, never)
        codes = rules << _SERVICE_BITS | contacts["protocol"].astype(np.int64) << _PORT_BITS | contacts["port"]
        before = np.searchsorted(self._starts, codes, "right") - 1
        return Listed((before >= 0) & (codes <= self._ends[before]), never)


def _service_code(rule: int, protocol: int, port: int) -> int:
    return rule << _SERVICE_BITS | protocol << _PORT_BITS | port


class AppLists:
    """A list of applications, by name, for each rule.

    app_numbers: the number of each name.

    Raises ConfigError for an unknown name.
    """

    def __init__(self, lists: Sequence[Sequence[str]], app_numbers: Callable[[str], int | None]) -> None:
        self._table = np.zeros((len(lists), _N_APPS), np.bool_)
        for rule, names in enumerate(lists):
            for name in names:
                number = app_numbers(name)
                if number is None:
                    raise ConfigError(f"unknown application {name!r}: docs/applications.md has all names")
                self._table[rule, number] = True

    def match(self, contacts: NDArray[np.void], rules: NDArray[np.int64]) -> Listed:
        """Return which contacts are of an application in the list of their rule.

        It is certain once a payload has told it. A port is a guess.
        """
        return Listed(self._table[rules, contacts["app"]], are_guesses(contacts))


def are_guesses(contacts: NDArray[np.void]) -> NDArray[np.bool_]:
    """Return which contacts' applications no payload has told."""
    guesses: NDArray[np.bool_] = contacts["by"] != _BY_PAYLOAD
    return guesses


def have_application(contacts: NDArray[np.void]) -> NDArray[np.bool_]:
    """Return which contacts may be judged by their application: one is known, or both sides have sent and none was found."""
    have: NDArray[np.bool_] = (contacts["app"] != UNKNOWN_APP) | (contacts["answered"] != 0) & (contacts["packets_in"] != 0)
    return have


class PeerLists:
    """A list of peers for each rule: addresses, networks, and patterns of names.

    names_of: the names of (n, 16) keys of hosts; "" where there is none.
    """

    def __init__(self, lists: Sequence[Sequence[str]], names_of: Callable[[NDArray[np.uint8]], Sequence[str]]) -> None:
        self._lists = [parse_peers(peers) for peers in lists]
        self._names_of = names_of

    def match(self, contacts: NDArray[np.void], rules: NDArray[np.int64]) -> Listed:
        """Return which contacts have a peer in the list of their rule. A peer without a name may get one."""
        listed, undecided = np.zeros(len(contacts), np.bool_), np.zeros(len(contacts), np.bool_)
        for rule in np.unique(rules).tolist():
            prefixes, patterns = self._lists[rule]
            rows = np.flatnonzero(rules == rule)
            listed[rows] = prefixes.contain(contacts["peer"][rows])
            rows = rows[~listed[rows]]
            if patterns and len(rows):
                listed[rows], undecided[rows] = self._match_names(contacts["peer"][rows], patterns)
        return Listed(listed, undecided)

    def _match_names(self, peers: NDArray[np.uint8], patterns: NamePatterns) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Return which peers have a name that fits, and which have none."""
        unique, inverse = np.unique(np.ascontiguousarray(peers).view("S16").ravel(), return_inverse=True)
        names = self._names_of(unique.view(np.uint8).reshape(-1, 16))
        fits = np.fromiter(map(patterns.match, names), np.bool_, len(names))
        lacks = np.fromiter((not name for name in names), np.bool_, len(names))
        return fits[inverse], lacks[inverse]


def parse_peers(texts: Sequence[str]) -> tuple[Prefixes, NamePatterns]:
    """Return the networks and the patterns of names of a list of peers.

    Raises ConfigError for a text that looks like an address, and is none.
    """
    peers = [_parse_peer(text) for text in texts]
    networks = [peer for peer in peers if isinstance(peer, Network)]
    return Prefixes(networks), NamePatterns(peer for peer in peers if isinstance(peer, str))


def is_name(text: str) -> bool:
    """Return whether a peer of a list is a pattern of names."""
    return isinstance(_parse_peer(text), str)


def _parse_peer(text: str) -> Network | str:
    try:
        return parse_network(text)
    except ConfigError:
        if _LOOKS_LIKE_ADDRESS.fullmatch(text):
            raise ConfigError(f"invalid peer {text!r}: use an address, a CIDR, or a pattern of names") from None
        return text
