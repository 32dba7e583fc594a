"""The sources of a run, from its options: captures of interfaces, what opens files, and which networks are local.

What it does not do: run.
"""

from __future__ import annotations

import os
from contextlib import nullcontext
from random import SystemRandom
from typing import TYPE_CHECKING

from fastmon.bounds import FANOUT_GROUPS
from fastmon.capture import open_offline
from fastmon.capture.handles import ANY, DEFAULT_BUFFER_BYTES, DEFAULT_SNAPLEN, HandleSettings
from fastmon.capture.live import PAYLOAD_SNAPLEN, open_shares
from fastmon.errors import ConfigError
from fastmon.model.addresses import PRIVATE_NETWORKS, interface_networks

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import ExitStack

    from fastmon.capture import Capture, LiveCapture
    from fastmon.config import RunOptions
    from fastmon.run.control import Control
    from fastmon.run.shards import SourceOpener

__all__ = ["local_networks", "make_opener", "open_captures", "own_networks"]


def open_captures(interfaces: Sequence[str], options: RunOptions, stack: ExitStack) -> list[LiveCapture]:
    """Open interfaces for as long as `stack` is open, each once for each worker; those of one interface stand together.

    Raises ConfigError if they do not suit the options; see `open_live` for other errors.
    """
    for interface in interfaces:
        if interfaces.count(interface) > 1:
            raise ConfigError(f"interface {interface!r} is named more than once")
    if options.exclude and ANY not in interfaces:
        raise ConfigError(f"--exclude leaves interfaces out of {ANY!r}, which is not captured from")
    # At random: processes of two containers may have the same number, and would share the frames.
    first_group, end_group = FANOUT_GROUPS[0], FANOUT_GROUPS[1] + 1
    groups = SystemRandom().sample(range(first_group, end_group), len(interfaces))
    captures: list[LiveCapture] = []
    for interface, group in zip(interfaces, groups, strict=True):
        settings = HandleSettings(
            filter=options.filter,
            snaplen=options.snaplen or (DEFAULT_SNAPLEN if options.hosts_only else PAYLOAD_SNAPLEN),
            buffer_bytes=DEFAULT_BUFFER_BYTES if options.buffer_bytes is None else options.buffer_bytes,
            direction=options.direction,
            provider=options.handle,
            fanout_group=group if options.workers > 1 else None,
        )
        exclude = options.exclude if interface == ANY else ()
        shares = open_shares(interface, settings, options.workers, exclude=exclude, wait=options.wait)
        captures += map(stack.enter_context, shares)
    return captures


def local_networks(interfaces: Sequence[str], options: RunOptions) -> Sequence[str]:
    """Return the networks that are local on some interfaces: those of the options, else the interfaces' own.

    An interface without addresses of its own (a mirror port, say) has the private ones.
    """
    own = [network for name in interfaces for network in interface_networks(name) or PRIVATE_NETWORKS]
    return options.local or tuple(dict.fromkeys(own))


def own_networks(interfaces: Sequence[str]) -> Sequence[str]:
    """Return the networks that some interfaces have now."""
    return [network for name in interfaces for network in interface_networks(name)]


def make_opener(source: Capture | str | os.PathLike[str], options: RunOptions, control: Control) -> SourceOpener:
    """Return what opens a source of a replay, unless `control.stop` comes first; one that is open stays so."""
    if isinstance(source, (str, os.PathLike)):
        return lambda: open_offline(os.fspath(source), filter=options.filter, is_stopped=lambda: control.stop)
    return lambda: nullcontext(source)
