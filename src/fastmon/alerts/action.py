"""What an action is: something that takes alerts, and may fail.

What it does not do: wait, try again or choose alerts; `worker` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from fastmon.errors import FastmonError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastmon.alerts.records import Record

__all__ = ["Action", "DeliveryError"]


class DeliveryError(FastmonError):
    """An action did not take records. The message says why, and has no secret: "cannot be reached: Connection refused"."""


class Action(Protocol):
    """Takes records, in a thread of its own."""

    def open(self) -> None:
        """Get ready, before the first delivery. It does not fail."""
        ...

    def deliver(self, records: Sequence[Record], timeout_s: float) -> None:
        """Deliver all of `records`, or raise DeliveryError. It ends within `timeout_s`, or soon after."""
        ...

    def abort(self) -> None:
        """Make a delivery that is under way in another thread end with an error, as far as that can be done."""
        ...

    def close(self) -> None:
        """Finish; no delivery follows."""
        ...
