"""What every source of frames is, and what both kinds share.

What it does not do: open anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from fastmon.errors import ConfigError

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

    from fastmon.model.frames import Frame
    from fastmon.model.snapshot import Dropped
    from fastmon.native.readers import Reader

__all__ = ["Capture", "Closing", "check_filter"]


class Capture(Protocol):
    """A source of frames, drained by an accountant; a context manager that closes it."""

    @property
    def name(self) -> str:
        """The interface's or file's name."""
        ...

    @property
    def is_live(self) -> bool:
        """Whether the clock is the wall's, and there is no end."""
        ...

    @property
    def reader(self) -> Reader:
        """What an accountant drains."""
        ...

    @property
    def warnings(self) -> list[str]:
        """What a person should know about this source."""
        ...

    @property
    def exhausted(self) -> bool:
        """Whether a file has been read to its end."""
        ...

    @property
    def next_ts_ns(self) -> int | None:
        """Timestamp of the next frame; None at a file's end, and while none is there yet.

        Live: of the frame that the last drain or read had to stop before, None if there was none.
        """
        ...

    def times_ahead(self, n_frames: int) -> list[int]:
        """Return the timestamps of up to `n_frames` next frames of a file, as far as they are there; none of them is read."""
        ...

    @property
    def position_bytes(self) -> int:
        """Bytes of the file read so far, before decompression."""
        ...

    @property
    def size_bytes(self) -> int | None:
        """The file's size; None if it has none."""
        ...

    def read(self, max_frames: int, until_ns: int | None = None, from_ns: int | None = None) -> list[Frame]:
        """Return up to `max_frames` frames, the slow way.

        Stops before the first frame at or after `until_ns`, and before the first one that is older than `from_ns`.
        """
        ...

    def dropped(self) -> Dropped:
        """Return the frames lost since the source was opened."""
        ...

    def wait(self, timeout_s: float) -> bool:
        """Wait until frames can be read, or for `timeout_s`; return whether they can.

        At once if `next_ts_ns` is known: that frame need not be waited for.
        """
        ...

    def close(self) -> None:
        """Close the source; a second call does nothing. Raises RuntimeError while another thread reads it."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...


class Closing:
    """The context-manager half of both captures."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the source."""
        raise NotImplementedError


def check_filter(filter: str | None) -> None:
    """Raise ConfigError if a filter is no text, or has characters that no filter has."""
    if filter is not None and not isinstance(filter, str):
        raise ConfigError(f"filter must be a text, not {filter!r}")
    # libpcap would read up to a NUL, and pypcap crash on what is not UTF-8.
    if filter and not "".join(filter.split()).isprintable():
        raise ConfigError(f"filter {filter!r}: it has characters that cannot be printed")
