"""Capture files, through the native reader.

What it does not do: decode, account, know intervals.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from fastmon.capture import linktypes
from fastmon.capture.base import Closing, check_filter
from fastmon.capture.foreign import foreign_format
from fastmon.capture.inputs import open_input
from fastmon.errors import CaptureError, UnsupportedLinkTypeError
from fastmon.model.frames import Frame
from fastmon.model.snapshot import Dropped
from fastmon.native.readers import SavefileReader

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["FileCapture", "open_offline"]


class FileCapture(Closing):
    """A capture file, or standard input; made by `open_offline`."""

    is_live = False

    def __init__(self, path: str, filter: str | None, is_stopped: Callable[[], bool]) -> None:
        self.name = "standard input" if path == "-" else path
        self._input = open_input(path, self.name, is_stopped)
        try:
            self.reader = SavefileReader(self._input, self.name, stream=self._input.stream, head=self._input.head, filter=filter)
            self._open(is_stopped)
            self._refuse_unknown()
        except BaseException:
            self._input.close()
            raise

    def _open(self, is_stopped: Callable[[], bool]) -> None:
        try:
            self.reader.open(is_stopped)
        except CaptureError as error:
            named = foreign_format(self.reader.unknown_beginning)
            if named is None:
                raise
            raise CaptureError(f"{self.name}: not a capture file: this is {named}") from error

    def _refuse_unknown(self) -> None:
        """Raise UnsupportedLinkTypeError if no frame of the file can be decoded."""
        if self.size_bytes is not None:
            _ = self.reader.next_ts_ns  # reads ahead to the first frame, past pcapng's descriptions of interfaces
        link_types = self.reader.link_types()
        if link_types and not any(map(linktypes.is_supported, link_types)):
            described = ", ".join(linktypes.describe(link_type) for link_type in dict.fromkeys(link_types))
            raise UnsupportedLinkTypeError(f"{self.name}: link type {described} is not supported")

    @property
    def warnings(self) -> list[str]:
        """Say which interfaces of a pcapng file cannot be decoded."""
        return [
            f"{self.name}: link type {linktypes.describe(link_type)} is not supported; its frames count as undecoded"
            for link_type in dict.fromkeys(self.reader.link_types())
            if not linktypes.is_supported(link_type)
        ]

    @property
    def exhausted(self) -> bool:
        """Whether the file has been read to its end, or to its damage."""
        return self.reader.exhausted

    @property
    def next_ts_ns(self) -> int | None:
        """Timestamp of the next frame; None at the end, and while none is there yet."""
        return self.reader.next_ts_ns

    def times_ahead(self, n_frames: int) -> list[int]:
        """Return the timestamps of up to `n_frames` next frames, whether they match a filter or not; none of them is read."""
        return self.reader.times_ahead(n_frames)

    @property
    def position_bytes(self) -> int:
        """Bytes of the file read so far, before decompression."""
        return self.reader.n_input_bytes if self._input.stream is None else self._input.n_bytes

    @property
    def size_bytes(self) -> int | None:
        """The file's size; None for a pipe."""
        return self._input.size_bytes

    def read(self, max_frames: int, until_ns: int | None = None, from_ns: int | None = None) -> list[Frame]:
        """Return up to `max_frames` frames. See `Capture`.

        Raises CaptureError when reading failed and no frame from before is left to return.
        """
        return [Frame(*fields) for fields in self.reader.read(max_frames, until_ns, from_ns)]

    def dropped(self) -> Dropped:
        """Return the losses that the file says its capture had, as far as it has been read."""
        at_interfaces, in_system, between_frames = self.reader.lost
        return Dropped(file_interface=at_interfaces, file_system=in_system, file_frames=between_frames)

    def wait(self, timeout_s: float) -> bool:  # noqa: ARG002 - a file does not need it
        """Return at once: a file can always be read."""
        return True

    def close(self) -> None:
        """Close the file. Raises RuntimeError while another thread reads it."""
        self.reader.close()
        self._input.close()


def open_offline(
    path: str | os.PathLike[str], *, filter: str | None = None, is_stopped: Callable[[], bool] = lambda: False
) -> FileCapture:
    """Open a capture file; "-" is standard input.

    It is pcap, pcapng, snoop or ERF, or several of them, one behind the other; plain or compressed with gzip, Zstandard, xz,
    bzip2 or lz4.

    filter: BPF expression, pcap-filter(7).
    is_stopped: asked while a pipe's first bytes are waited for; StoppedError comes when it is true.

    Raises CaptureError if it cannot be read, is no capture file or the filter does not suit its link type,
    UnsupportedLinkTypeError if no decoder knows its link type, ConfigError if the filter is wrong for all of them.
    """
    check_filter(filter)
    return FileCapture(os.fspath(path), filter, is_stopped)
