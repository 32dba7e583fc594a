"""What an accountant is: the typed face of the native one and of its pure-Python twin.

What it does not do: read clocks, open sources, print.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray
    from typing_extensions import Self

    from fastmon.capture import Capture
    from fastmon.model.conversations import AppTables, Payload
    from fastmon.model.frames import Frame
    from fastmon.model.snapshot import Interval, LimitCrossing, Snapshot

__all__ = ["Accountant", "make_accountant"]


class Accountant(Protocol):
    """Adds up frames per host and, if asked to, conversation. One owner drains, rotates and clears it.

    No method is safe in two threads at once.

    payload_allowance: payloads that may still be put into the ring for a classifier. 0 at first: nobody looks at them.
    pauses: let `drain` return early while the ring is nearly full, instead of letting payloads pass by.
    """

    payload_allowance: int
    pauses: bool

    @property
    def first_ts_ns(self) -> int | None:
        """The least timestamp of all frames since the start, not of the hosts' alone; None before the first."""
        ...

    @property
    def last_ts_ns(self) -> int | None:
        """The greatest one."""
        ...

    @property
    def newest_ts_ns(self) -> int | None:
        """The greatest timestamp since `begin_phase`; None at a phase's begin."""
        ...

    def begin_phase(self) -> None:
        """Forget the newest timestamp."""
        ...

    def totals(self, interval: Interval) -> Snapshot:
        """Copy all rows."""
        ...

    def drain(self, source: Capture, max_frames: int, until_ns: int | None = None, max_backstep_ns: int | None = None) -> int:
        """Account up to `max_frames` frames of `source`; return the number accounted.

        Stops early, before the frame, at the first frame whose timestamp is >= `until_ns` (replay: `source.next_ts_ns`
        then tells its time), and at the end of what can be read now (live: nothing more is buffered; replay: `source.exhausted`
        is then true); also while fewer than 64 slots of the ring are free, if `pauses` is set and payloads are allowed.

        Raises CaptureError if reading failed; frames read before stay accounted.
        """
        ...

    def account(self, frame: Frame) -> None:
        """Decode and account one frame (the way of frames that come from elsewhere)."""
        ...

    def merge(self, other: Self) -> None:
        """Add what `other` accounted since its last rotation to this accountant's, and rotate `other` without a snapshot."""
        ...

    def rotate(self, interval: Interval) -> Snapshot:
        """Return what was accounted since the last rotation, as the snapshot of `interval`, and begin anew.

        Hosts without traffic since then are not in it. Totals and first/last seen go on.
        """
        ...

    def finish(self, interval: Interval, whole: Interval) -> tuple[Snapshot, Snapshot]:
        """Rotate for the last time: return the last interval's snapshot and the summary of the whole run.

        The accountant hands its memory over to the snapshots instead of copying it, and cannot be used afterwards.
        """
        ...

    def take_limit_crossings(self) -> list[LimitCrossing]:
        """Return the limit crossings since the last call, in the order of their frames, each host at most once."""
        ...

    def take_payloads(self) -> list[Payload]:
        """Return the payloads of the ring, oldest first, and empty it."""
        ...

    def label(self, token: int, app: int, wanted: int) -> bool:
        """Say what a payload told of a conversation; return False if the conversation is over.

        app: its application, by payload; 0 leaves it as it is.  wanted: payloads of it still wanted, 0 to 255.
        """
        ...

    def end_conversations(self) -> None:
        """End all conversations that are running: what is accounted afterwards is of new ones. `finish` does it itself."""
        ...

    def take_packets(self) -> NDArray[np.void]:
        """Return the packet log's records since the last call, as `packets.PACKET_DTYPE`, in the order of their frames.

        `drain` reads no more frames than there is room for: `packets.MAX_RECORDS`. Of frames given to `account`, those that do
        not fit have no record, and are counted in `packets_dropped`.
        """
        ...

    @property
    def packets_dropped(self) -> int:
        """Frames accounted without the record that they should have had."""
        ...

    def take_conversations(self) -> NDArray[np.void]:
        """Return the conversations that have ended since the last call, in that order, as `conversations.CONVERSATION_DTYPE`.

        Those that `finish` ended can be taken after it.
        """
        ...


def make_accountant(
    engine: str = "native",
    *,
    inner: bool = False,
    max_hosts: int = 1 << 20,
    limit_bytes: int = 0,
    local_networks: Sequence[str] = (),
    seed: int | None = None,
    max_conversations: int = 0,
    applications: AppTables | None = None,
    keep_conversations: bool = False,
    packet_log: bool = False,
) -> Accountant:
    """Return an accountant.

    engine: "native" or "reference" (the pure-Python twin on dpkt, slow).
    inner: account the innermost IP header of tunnels instead of the outermost.
    max_hosts: hosts kept; a remote host that does not fit goes into the overflow counters; a local one displaces a remote one.
    limit_bytes: flag a host whose total, in and out, passes this; 0: no limit.
    local_networks: CIDR texts; a host in one of them is local.
    seed: of the tables' hashes; random by default.
    max_conversations: conversations kept; 0: only hosts are accounted.
    applications: what conversations' protocols and ports say of their applications.
    keep_conversations: keep those that have ended for `take_conversations`.
    packet_log: keep a record of each frame for `take_packets`.
    """
    options: dict[str, Any] = {
        "inner": inner,
        "max_hosts": max_hosts,
        "limit_bytes": limit_bytes,
        "local_networks": local_networks,
    }
    if max_conversations:
        options |= {
            "max_conversations": max_conversations,
            "applications": applications,
            "keep_conversations": keep_conversations,
        }
    if packet_log:
        options["packet_log"] = True
    if engine == "reference":
        from fastmon.reference import ReferenceAccountant

        return ReferenceAccountant(**options)
    from fastmon._accounting import Accountant as NativeAccountant

    return NativeAccountant(**options, seed=seed)
