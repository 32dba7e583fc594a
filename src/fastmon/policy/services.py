"""Services as people write them: "tcp/443", "udp/5000-5100", "icmp", "esp".

What it does not do: know what usually runs on a port.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastmon.model.protocols import PROTOCOL_NUMBERS, protocol_text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fastmon.policy.specs import PortRange

__all__ = ["merge_ranges", "parse_service", "range_text"]

_MAX_PORT = 0xFFFF


def range_text(ports: PortRange) -> str:
    """Return a range of services, as rules have them."""
    name = protocol_text(ports.protocol)
    if (ports.low, ports.high) == (0, _MAX_PORT):
        return name
    return f"{name}/{ports.low}" if ports.low == ports.high else f"{name}/{ports.low}-{ports.high}"


def parse_service(text: str) -> tuple[int, int]:
    """Return the protocol and port of a service, from `service_text`. Raises ValueError for any other text."""
    name, _, port = text.partition("/")
    protocol, number = PROTOCOL_NUMBERS[name] if name in PROTOCOL_NUMBERS else int(name), int(port or 0)
    if not (0 <= protocol <= 0xFF and 0 <= number <= _MAX_PORT):
        raise ValueError(f"no service: {text!r}")
    return protocol, number


def merge_ranges(ranges: Iterable[PortRange]) -> list[PortRange]:
    """Return ranges in order, with those that touch or overlap joined."""
    merged: list[PortRange] = []
    for each in sorted(ranges):
        last = merged[-1] if merged else None
        if last is not None and last.protocol == each.protocol and each.low <= last.high + 1:
            merged[-1] = last._replace(high=max(last.high, each.high))
        else:
            merged.append(each)
    return merged
