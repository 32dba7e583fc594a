"""Frames with their totals, known before any of them is sent, and what sends them."""

from __future__ import annotations

import ctypes
import errno
import os
import random
import socket
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Any, NamedTuple

import builders as b
from host_model import HostModel, Traffic
from replays import traffic

from fastmon.model.snapshot import Count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from typing_extensions import Self

    from fastmon.model.snapshot import Snapshot

__all__ = ["Sender", "Sending", "Totals", "conversations", "totals_of", "totals_of_record"]

ETHERNET_HEADER = 14
NOTHING = Count()


class Totals(NamedTuple):
    """What a report says of frames that were sent."""

    frames: Count
    ip: Count
    non_ip: Count
    hosts: dict[bytes, Traffic]


@dataclass
class Sending:
    """Frames and their totals.

    extra: bytes that each frame has more where it is captured than where it is sent.
    macs: the frames' source and destination.
    """

    extra: int = 0
    macs: tuple[bytes, bytes] = (b.MAC_A, b.MAC_B)
    frames: list[bytes] = field(default_factory=list)
    ip: Count = NOTHING
    non_ip: Count = NOTHING
    hosts: HostModel = field(default_factory=HostModel)

    def ip_frame(
        self, src: str, dst: str, size: int = 100, *, vlans: Sequence[int] = (), port: int = 9, data: bytes | None = None
    ) -> Self:
        """Add an IP frame of `size` bytes, or one that carries `data`; `vlans`: its tags' ethertypes, from the outside."""
        is_ipv4 = ":" not in src
        room = size - ETHERNET_HEADER - 4 * len(vlans) - (20 if is_ipv4 else 40) - 8
        payload = b.udp(50_000, port, bytes(max(room, 0)) if data is None else data)
        ethertype, packet = (b.IPV4, b.ipv4(src, dst, payload)) if is_ipv4 else (b.IPV6, b.ipv6(src, dst, payload))
        for tag in reversed(vlans):
            ethertype, packet = tag, b.vlan(ethertype, packet)
        wire_len = self._add(ethertype, packet)
        self.ip += Count(1, wire_len)
        self.hosts.add(b.host(src), b.host(dst), wire_len)
        return self

    def non_ip_frame(self, size: int = 60) -> Self:
        """Add an ARP frame."""
        self.non_ip += Count(1, self._add(b.ARP, bytes(size - ETHERNET_HEADER)))
        return self

    def _add(self, ethertype: int, payload: bytes) -> int:
        frame = b.ethernet(ethertype, payload, src=self.macs[0], dst=self.macs[1])
        self.frames.append(frame)
        return len(frame) + self.extra

    def extend(self, *others: Sending) -> None:
        """Add the frames of others."""
        for other in others:
            self.frames += other.frames
            self.ip += other.ip
            self.non_ip += other.non_ip
            self.hosts.merge(other.hosts.hosts)

    def totals(self, times: int = 1) -> Totals:
        """Return what it comes to when it is sent `times` times."""
        ip, non_ip = (Count(count.frames * times, count.bytes * times) for count in (self.ip, self.non_ip))
        hosts = {host: Traffic(*(counter * times for counter in counters)) for host, counters in self.hosts.hosts.items()}
        return Totals(ip + non_ip, ip, non_ip, hosts)


def conversations(n_frames: int, sending: Sending | None = None, *, first: str = "10.0.0.1", n_hosts: int = 50) -> Sending:
    """Return frames of all sizes between hosts of both IP versions, every tenth not IP; they are added to `sending`."""
    sending = Sending() if sending is None else sending
    choice = random.Random(n_frames)
    for number in range(n_frames):
        near, far, size = choice.randrange(n_hosts), choice.randrange(n_hosts), choice.randint(62, 1514)
        if number % 10 == 9:
            sending.non_ip_frame(size)
        elif number % 3:
            ends = str(IPv4Address(first) + near), f"192.0.2.{far}"
            sending.ip_frame(*(ends if number % 2 else ends[::-1]), size)
        else:
            sending.ip_frame(f"2001:db8::{near}", f"2001:db8:1::{far}", size)
    return sending


def totals_of(snapshot: Snapshot) -> Totals:
    """Return what a snapshot says."""
    counters = snapshot.counters
    return Totals(counters.frames, counters.ip, counters.non_ip, traffic(snapshot))


def totals_of_record(record: dict[str, Any]) -> Totals:
    """Return what a line of JSON says."""
    hosts = {
        b.host(row["host"]): Traffic(row["packets_in"], row["bytes_in"], row["packets_out"], row["bytes_out"])
        for row in record["hosts"]
    }
    return Totals(Count(record["frames"], record["bytes"]), Count(**record["ip"]), Count(**record["non_ip"]), hosts)


class _Vector(ctypes.Structure):  # iovec
    _fields_ = (("base", ctypes.c_char_p), ("length", ctypes.c_size_t))


class _Header(ctypes.Structure):  # msghdr
    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint32),
        ("vectors", ctypes.POINTER(_Vector)),
        ("n_vectors", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class _Message(ctypes.Structure):  # mmsghdr
    _fields_ = (("header", _Header), ("n_bytes_sent", ctypes.c_uint32))


_libc = ctypes.CDLL(None, use_errno=True)


class Sender:
    """Sends frames out of an interface of the namespace that the thread is in when it makes this."""

    def __init__(self, interface: str) -> None:
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self._socket.bind((interface, 0))

    def send(self, sending: Sending, times: int = 1) -> Totals:
        """Send all frames, `times` times, as fast as can be; return what they come to."""
        vectors = (_Vector * len(sending.frames))(*(_Vector(frame, len(frame)) for frame in sending.frames))
        messages = (_Message * len(vectors))()
        for message, vector in zip(messages, vectors, strict=True):
            message.header.vectors, message.header.n_vectors = ctypes.pointer(vector), 1
        for _ in range(times):
            self._send_all(messages)
        return sending.totals(times)

    def _send_all(self, messages: ctypes.Array[_Message]) -> None:
        n_sent = 0
        while n_sent < len(messages):
            rest = ctypes.byref(messages, n_sent * ctypes.sizeof(_Message))
            n_new = _libc.sendmmsg(self._socket.fileno(), rest, len(messages) - n_sent, 0)
            if n_new > 0:
                n_sent += n_new
            elif (number := ctypes.get_errno()) not in (errno.ENOBUFS, errno.EINTR):
                raise OSError(number, os.strerror(number))  # the others: nothing of this frame has left

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()
