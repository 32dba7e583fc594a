"""fastmon accounts every host's traffic, live or from capture files.

    import fastmon

    for snapshot in fastmon.watch("gateway.pcap", interval="60s", limit="1MB"):
        for host in snapshot.top(10):
            print(host.host, host.bytes_in, host.bytes_out)

Names are imported when they are used: importing the package costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastmon.accounting import Accountant, make_accountant
    from fastmon.capture import Capture, InterfaceInfo, interfaces, open_live, open_offline
    from fastmon.errors import (
        CaptureError,
        ClosedCaptureError,
        ConfigError,
        FastmonError,
        TruncatedCaptureError,
        UnsupportedLinkTypeError,
    )
    from fastmon.library import analyze, watch
    from fastmon.model.alerts import Alert
    from fastmon.model.counters import Count, Counters, Dropped, Interval, Overflow
    from fastmon.model.rows import HOST_DTYPE
    from fastmon.model.snapshot import HostRow, Snapshot

    __version__: str

__all__ = [
    "HOST_DTYPE",
    "Accountant",
    "Alert",
    "Capture",
    "CaptureError",
    "ClosedCaptureError",
    "ConfigError",
    "Count",
    "Counters",
    "Dropped",
    "FastmonError",
    "HostRow",
    "InterfaceInfo",
    "Interval",
    "Overflow",
    "Snapshot",
    "TruncatedCaptureError",
    "UnsupportedLinkTypeError",
    "analyze",
    "interfaces",
    "make_accountant",
    "open_live",
    "open_offline",
    "watch",
]

_HOMES = {
    "accounting": ("Accountant", "make_accountant"),
    "capture": ("Capture", "InterfaceInfo", "interfaces", "open_live", "open_offline"),
    "errors": tuple(name for name in __all__ if name.endswith("Error")),
    "library": ("analyze", "watch"),
    "model.alerts": ("Alert",),
    "model.counters": ("Count", "Counters", "Dropped", "Interval", "Overflow"),
    "model.rows": ("HOST_DTYPE",),
    "model.snapshot": ("HostRow", "Snapshot"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


if not TYPE_CHECKING:  # or every misspelt name would have a type

    def __getattr__(name: str) -> object:
        if name == "__version__":
            from importlib.metadata import version

            return version("fastmon")
        if name not in _HOME_OF:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        return getattr(import_module(f"fastmon.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
