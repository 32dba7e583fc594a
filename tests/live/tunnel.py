"""Interfaces whose other end is a descriptor (tun(4))."""

from __future__ import annotations

import fcntl
import struct
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from needs import cannot_run

from .network import ip

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import FileIO

__all__ = ["open_tunnel"]

_DEVICE = Path("/dev/net/tun")
_TUNSETIFF, _TUNSETLINK = 0x400454CA, 0x400454CD  # <linux/if_tun.h>
_IFF_TUN, _IFF_NO_PI = 0x0001, 0x1000


@contextmanager
def open_tunnel(interface: str, hardware: int | None = None) -> Iterator[FileIO]:
    """Make an interface, up, on which arrive the packets that are written; `hardware`: its ARPHRD_ number, by default none."""
    if not _DEVICE.exists():
        cannot_run(f"{_DEVICE} is missing")
    with _DEVICE.open("r+b", buffering=0) as device:
        fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH22x", interface.encode(), _IFF_TUN | _IFF_NO_PI))
        if hardware is not None:
            fcntl.ioctl(device, _TUNSETLINK, hardware)
        ip("link", "set", interface, "up")
        yield device
