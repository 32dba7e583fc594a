"""Services, contacts and peers of hosts: the layouts that accountants, snapshots and rules share.

A service is what a local host uses or offers: its role, the protocol and the server's port. A contact is one conversation of a
local host, seen from that host. In a conversation of two local hosts, each has its own.

What it does not do: account.
"""

from __future__ import annotations

import numpy as np

__all__ = ["CLIENT", "CONTACT_DTYPE", "FANOUT_DTYPE", "OPENING_DTYPE", "PEER_DTYPE", "ROLES", "SERVER", "SERVICE_DTYPE"]

ROLES: tuple[str, ...] = ("client", "server")
"""The roles of a local host, by their numbers."""

CLIENT, SERVER = range(2)

SERVICE_DTYPE = np.dtype(
    [
        ("host", "u4"),
        ("role", "u1"),
        ("protocol", "u1"),
        ("port", "u2"),
        ("bytes_in", "u8"),
        ("bytes_out", "u8"),
        ("packets_in", "u8"),
        ("packets_out", "u8"),
        ("conversations", "u8"),
        ("first_ns", "i8"),
        ("last_ns", "i8"),
    ]
)
"""One service of one host: 64 bytes. `host` is the host's row index; `port` is the server's, 0 for a protocol without ports."""

CONTACT_DTYPE = np.dtype(
    [
        ("local", "u1", (16,)),
        ("peer", "u1", (16,)),
        ("first_ns", "i8"),
        ("last_ns", "i8"),
        ("bytes_in", "u8"),
        ("bytes_out", "u8"),
        ("packets_in", "u8"),
        ("packets_out", "u8"),
        ("protocol", "u1"),
        ("role", "u1"),
        ("port", "u2"),
        ("app", "u1"),
        ("by", "u1"),
        ("answered", "u1"),
        ("_", "u1"),
    ]
)
"""One conversation of a local host, so far: 88 bytes. `port` is the server's."""

FANOUT_DTYPE = np.dtype([("host", "u4"), ("peers", "u4"), ("ports", "u4")])
"""How many distinct peers and services a local host has opened conversations with, in a window of time: estimates."""

OPENING_DTYPE = np.dtype([("host", "u4"), ("_", "u4"), ("opened", "u8"), ("failed", "u8")])
"""How many conversations a local host has opened since the start, and how many of those have ended without an answer."""

PEER_DTYPE = np.dtype([("peer", "u1", (16,)), ("bytes_in", "u8"), ("bytes_out", "u8"), ("host", "u4"), ("_", "u4")])
"""What a host, which `host` numbers, has moved with a peer in one conversation: 40 bytes."""
