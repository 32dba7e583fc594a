"""What an accountant is, and the choice between the native one (`native`) and its pure-Python twin.

What it does not do: read clocks, open sources, print.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Protocol

from fastmon.accounting.native import NativeAccountant
from fastmon.bounds import (
    BYTES_OF,
    DEDUP_FRAMES,
    MAX_CONVERSATIONS,
    MAX_DEDUP_NS,
    MAX_HOSTS,
    check_choice,
    check_number,
    check_range,
)
from fastmon.errors import ConfigError
from fastmon.model.addresses import parse_network
from fastmon.model.conversations import AppTables

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray
    from typing_extensions import Self

    from fastmon.capture import Capture
    from fastmon.model.addresses import Network
    from fastmon.model.conversations import FoundNames, Payload
    from fastmon.model.frames import Frame
    from fastmon.model.snapshot import Interval, LimitCrossing, Snapshot
    from fastmon.native.matchers import Matchers

__all__ = ["Accountant", "NativeAccountant", "make_accountant"]

ENGINES = ("native", "reference")
MAX_LIMIT_BYTES = (1 << 63) - 1
MAX_SEED = (1 << 64) - 1
LEAST_SERVICES = 1 << 16
SKETCH_SEED = int.from_bytes(os.urandom(8), "little")
"""Of the sketches behind `fanout`: the same in all accountants of a process, so that they can be merged."""


class Accountant(Protocol):
    """Adds up frames per host and, if asked to, per conversation. One owner drains, rotates and clears it.

    The native one refuses a call while another call is in it, from another thread or from a callback: RuntimeError. The times
    and `packets_dropped` can be read at any time.

    payload_allowance: payloads that may still be put into the ring for a classifier. 0 at first: nobody looks at them.
    pauses: let `drain` return early while the ring is nearly full, instead of skipping payloads.
    """

    payload_allowance: int
    pauses: bool

    @property
    def first_ts_ns(self) -> int | None:
        """The least timestamp of all frames since the start, not of the hosts' alone; None before the first."""

    @property
    def last_ts_ns(self) -> int | None:
        """The greatest one."""

    @property
    def newest_ts_ns(self) -> int | None:
        """The greatest timestamp of the frames since the last `begin_phase`; None before the first.

        Frames that were merged count, too.
        """
        ...

    def begin_phase(self) -> None:
        """Begin a new phase of the frames' clock, which may have been set: `newest_ts_ns` is None again."""
        ...

    @property
    def local_networks(self) -> Sequence[Network]:
        """The networks whose hosts are local: those from the start, then those added."""
        ...

    @property
    def networks_refused(self) -> int:
        """How many were not added, because there is a bound."""

    def add_local_network(self, network: Network) -> None:
        """Take the hosts of a further network for local from now on. Their rows stay, with all that they have."""
        ...

    def sights(self) -> NDArray[np.void]:
        """Return the Ethernet addresses that the frames of hosts came from or went to, also of remote ones, as `SIGHT_DTYPE`."""
        ...

    def drain(self, source: Capture, max_frames: int, until_ns: int | None = None, max_backstep_ns: int | None = None) -> int:
        """Account up to `max_frames` frames of `source`; return the number accounted.

        Stops early, before a frame, at the first one whose timestamp is `until_ns` or later, and at the first one that is more
        than `max_backstep_ns` older than `newest_ts_ns`, which each frame may move. `source.next_ts_ns` is that frame's time.

        Also stops at the end of what can be read now (live: nothing more is buffered; replay: `source.exhausted` is then true),
        and while fewer than 64 slots of the ring are free, if `pauses` is set and payloads are allowed.

        Raises CaptureError if reading failed; frames read before stay accounted.
        """
        ...

    def account(self, frame: Frame) -> None:
        """Decode and account one frame that comes from elsewhere. Raises OverflowError for a number out of range."""
        ...

    def merge(self, other: Self) -> None:
        """Add what `other` accounted since its last rotation to this accountant's, and rotate `other` without a snapshot.

        Raises ValueError if `other` is this accountant, or if only one of them accounts conversations, or IP bytes.
        """
        ...

    def rotate(self, interval: Interval) -> Snapshot:
        """Return what was accounted since the last rotation, as the snapshot of `interval`, and begin anew.

        Hosts without traffic since then are not in it. Totals and first/last seen go on.
        """
        ...

    def finish(self, interval: Interval, whole: Interval) -> tuple[Snapshot, Snapshot]:
        """Rotate for the last time: return the last interval's snapshot and the summary of the whole run.

        The accountant hands its memory over to the snapshots, and cannot be used afterwards.
        """
        ...

    def totals(self, interval: Interval) -> Snapshot:
        """Return the rows of all hosts since the start, idle ones included, as a summary. Nothing is closed and nothing changes.

        Services and applications have what running conversations have moved until now. It has no numbers of conversations (None).
        """
        ...

    def take_limit_crossings(self) -> list[LimitCrossing]:
        """Return the limit crossings since the last call, in the order of their frames, each host at most once."""
        ...

    def take_payloads(self) -> list[Payload]:
        """Return the payloads of the ring, oldest first, and empty it."""
        ...

    def use_matchers(self, matchers: Matchers, keep_details: bool) -> None:
        """Let native matchers look at payloads first: `take_payloads` gives what they cannot decide.

        keep_details: whether `take_names` gives what conversations tell of themselves. The reference ignores it all.
        """
        ...

    def expect(self, protocol: int, host: bytes, port: int, ts_ns: int) -> None:
        """Leave conversations with an endpoint to `take_payloads`: a payload of `ts_ns` announced them. host: its 16-byte key."""
        ...

    def take_names(self, *, all_sights: bool = False) -> FoundNames:
        """Return the names that the matchers found since the last call.

        all_sights: also tell again when a host's names were seen last.
        """
        ...

    @property
    def names_dropped(self) -> int:
        """Names, and TLS handshakes, that did not fit since the start."""
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

    def take_contacts(self) -> NDArray[np.void]:
        """Return what is new of the conversations of local hosts since the last call, as `services.CONTACT_DTYPE`.

        A record for each local side of each new conversation, and of one that was answered or got another application.
        """
        ...

    @property
    def contacts_dropped(self) -> int:
        """Records of contacts that did not fit, of conversations that are over."""
        ...

    def note_unanswered(self, now_ns: int) -> int:
        """Count the conversations that have waited too long for an answer at `now_ns` as failed; return their number."""
        ...

    def fanout(self, now_ns: int, window_ns: int, *, probes: bool = False) -> NDArray[np.void]:
        """Estimate how many peers and services local hosts opened conversations with in a window, as `services.FANOUT_DTYPE`.

        It has those that opened any. probes: what they probed instead (docs/conversations.md).
        Raises ValueError if `window_ns` is below 1.
        """
        ...

    def openings(self) -> NDArray[np.void]:
        """Return how many conversations local hosts opened since the start, and how many failed, as `services.OPENING_DTYPE`."""
        ...

    def peers(self, keys: NDArray[np.uint8], now_ns: int) -> NDArray[np.void]:
        """Return what some hosts have moved with their peers, as `services.PEER_DTYPE`, in no order.

        keys: (k, 16) uint8, of at most 65,535 hosts, each once; `host` of a record is the place in it. There is a record for each
        conversation that is not over at `now_ns`. Raises ValueError for other keys.
        """
        ...

    @property
    def sketches_evicted(self) -> int:
        """Local hosts that `fanout` forgot, to make room for others."""
        ...


def make_accountant(
    engine: str = "native",
    *,
    inner: bool = False,
    bytes_of: str = "frame",
    dedup_ns: int = 0,
    dedup_frames: int = 1 << 18,
    max_hosts: int = 1 << 20,
    limit_bytes: int = 0,
    local_networks: Sequence[str] = (),
    follow_announcements: bool = False,
    seed: int | None = None,
    max_conversations: int = 0,
    applications: AppTables | None = None,
    keep_conversations: bool = False,
    packet_log: bool = False,
    keep_contacts: bool = False,
    max_services: int | None = None,
    max_services_per_role: int = 256,
    max_sketches: int = 1 << 16,
    sketch_seed: int | None = None,
) -> Accountant:
    """Return an accountant.

    engine: "native" or "reference" (the pure-Python twin on dpkt, slow).
    inner: account the innermost IP header of tunnels instead of the outermost.
    bytes_of: what is counted of an IP frame: "frame", its length on the wire, or "ip", that of its IP packet.
    dedup_ns: leave out copies of a frame that are at most so much older or newer; 0: count them.
    dedup_frames: frames, those that were counted last, of which copies are found; a power of two.
    max_hosts: hosts kept; a remote host that does not fit goes into the overflow counters; a local one displaces a remote one.
    limit_bytes: flag a host whose total, in and out, passes this; 0: no limit.
    local_networks: CIDR texts; a host in one of them is local.
    follow_announcements: add the networks that frames announce, where conversations are accounted: docs/counting.md.
    seed: of the tables' hashes; random by default.
    max_conversations: conversations kept; 0: only hosts are accounted.
    applications: what conversations' protocols and ports say of their applications.
    keep_conversations: keep those that have ended for `take_conversations`, if conversations are accounted.
    packet_log: keep a record of each frame for `take_packets`.
    keep_contacts: keep what is new of conversations of local hosts for `take_contacts`.
    max_services: services kept of all local hosts; by default twice `max_hosts`, but at least 65,536.
    max_services_per_role: those of one local host as a client, and as a server.  max_sketches: hosts that `fanout` knows.
    sketch_seed: of the hashes of `fanout`, the same in accountants that are merged; random by default, but one for the process.

    Raises ConfigError for an argument out of its range.
    """
    check_choice("engine", engine, ENGINES)
    check_choice("bytes_of", bytes_of, BYTES_OF)
    check_number("dedup_ns", dedup_ns, 0, MAX_DEDUP_NS)
    check_number("dedup_frames", dedup_frames, *DEDUP_FRAMES)
    if dedup_frames & (dedup_frames - 1):
        raise ConfigError(f"dedup_frames must be a power of two, not {dedup_frames}")
    check_number("max_hosts", max_hosts, *MAX_HOSTS)
    check_number("limit_bytes", limit_bytes, 0, MAX_LIMIT_BYTES)
    check_number("max_conversations", max_conversations, *MAX_CONVERSATIONS)
    check_range("seed", seed, 0, MAX_SEED)
    if isinstance(local_networks, str):
        raise ConfigError(f"local_networks must be a list of texts, not {local_networks!r}")
    max_services = min(max(2 * max_hosts, LEAST_SERVICES), MAX_HOSTS[1]) if max_services is None else max_services
    sizes = {"max_services": max_services, "max_services_per_role": max_services_per_role, "max_sketches": max_sketches}
    for name, size in sizes.items():
        check_range(name, size, *MAX_HOSTS)
    if applications is not None:
        if not isinstance(applications, AppTables):
            raise ConfigError(f"applications must be an AppTables, not {applications!r}")
        applications = AppTables(applications.protocols, applications.tcp_ports, applications.udp_ports)
    shared: dict[str, Any] = {
        "inner": inner,
        "ip_bytes": bytes_of == "ip",
        "dedup": (dedup_ns, dedup_frames),
        "max_hosts": max_hosts,
        "limit_bytes": limit_bytes,
        "follow_announcements": follow_announcements,
        "max_conversations": max_conversations,
        "keep_conversations": keep_conversations,
        "packet_log": packet_log,
        "keep_contacts": keep_contacts,
        "max_services": (max_services, max_services_per_role),
        "max_sketches": max_sketches,
    }
    if engine == "reference":
        from fastmon.reference import ReferenceAccountant

        return ReferenceAccountant(local_networks=local_networks, applications=applications, **shared)
    return NativeAccountant(
        seed=int.from_bytes(os.urandom(8), "little") if seed is None else seed,
        networks=[(network.prefix, network.mask) for network in map(parse_network, local_networks)],
        app_tables=None if applications is None else (applications.protocols, applications.tcp_ports, applications.udp_ports),
        sketch_seed=SKETCH_SEED if sketch_seed is None else sketch_seed,
        **shared,
    )
