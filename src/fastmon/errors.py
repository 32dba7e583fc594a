"""The exceptions that fastmon raises.

    FastmonError
    ├── CaptureError                 a source could not be opened or read
    │   ├── AbsentInterfaceError     an interface is not there, or down: it may come
    │   ├── ClosedCaptureError       a closed source was used
    │   ├── StoppedError             the run was stopped while a source was waited for
    │   ├── TruncatedCaptureError    a file ends in the middle of a record
    │   └── UnsupportedLinkTypeError no decoder knows the source's link type
    ├── ConfigError                  an option or configuration file is wrong
    │   └── ConfigFileError          a configuration file is wrong, in as many ways as it lists
    └── StateError                   what is kept between runs could not be opened, read or written

A message says what happened, the value seen and the value allowed. Frames that cannot be decoded
are counted, never raised.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastmon.model.snapshot import Snapshot

__all__ = [
    "AbsentInterfaceError",
    "CaptureError",
    "ClosedCaptureError",
    "ConfigError",
    "ConfigFileError",
    "FastmonError",
    "StateError",
    "StoppedError",
    "TruncatedCaptureError",
    "UnsupportedLinkTypeError",
]


class FastmonError(Exception):
    """Base class of fastmon's errors.

    partial: the summary of what could be read, where `analyze` raises this.
    """

    partial: Snapshot | None = None


class CaptureError(FastmonError):
    """A source could not be opened or read; what was read before stays accounted."""


class AbsentInterfaceError(CaptureError):
    """An interface is not there, or down."""


class ClosedCaptureError(CaptureError):
    """A closed source was used."""


class StoppedError(CaptureError):
    """The run was stopped while a source was waited for."""


class TruncatedCaptureError(CaptureError):
    """A capture file ends in the middle of a record."""


class UnsupportedLinkTypeError(CaptureError):
    """No decoder knows the source's link type."""


class ConfigError(FastmonError):
    """An option or a configuration file is wrong."""


class ConfigFileError(ConfigError):
    """A configuration file is wrong.

    problems: a line of text for each, with the file's name and, where it is known, the line.
    """

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class StateError(FastmonError):
    """What is kept between runs could not be opened, read or written."""
