"""Known devices and silences, as tables and records.

What it does not do: read them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastmon.reports.texts import cell, moment, span, time_text
from fastmon.sinks.grid import Grid

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fastmon.model.memory import KnownDevice
    from fastmon.model.silences import Silence

__all__ = ["device_grid", "device_record", "silence_grid"]


def device_grid(devices: Iterable[KnownDevice]) -> Grid:
    """Return a table of devices."""
    grid = Grid(
        ("device", "name", "addresses", "vendor", "first seen", "last seen"),
        optional=(frozenset({4}), frozenset({3})),
        folded=frozenset({2}),
    )
    for device in devices:
        name = cell(device.given_name or device.name)
        if device.given_name and device.name:
            name = f"{name} ({cell(device.name)})"
        addresses = ", ".join(map(cell, device.addresses))
        times = (moment(device.first_seen_ns), moment(device.last_seen_ns))
        grid.rows.append((cell(device.id), name, addresses, cell(device.vendor), *times))
    return grid


def device_record(device: KnownDevice) -> dict[str, object]:
    """Return a device's record."""
    return {
        "type": "device",
        "id": device.id,
        "mac": device.mac,
        "addresses": device.addresses,
        "name": device.name,
        "given_name": device.given_name,
        "vendor": device.vendor,
        "first_seen": time_text(device.first_seen_ns),
        "last_seen": time_text(device.last_seen_ns),
    }


def silence_grid(silences: Iterable[Silence], now_ns: int) -> Grid:
    """Return a table of silences."""
    grid = Grid(("silenced", "since", "until", "left"), numbers=frozenset({3}))
    for silence in silences:
        times = (moment(silence.since_ns), moment(silence.until_ns))
        grid.rows.append((cell(silence.target), *times, span(silence.until_ns - now_ns)))
    return grid
