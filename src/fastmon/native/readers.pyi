from collections.abc import Callable
from typing import Protocol

METHODS: tuple[str, ...]

class _Owner(Protocol):
    def fileno(self) -> int: ...

class _Stream(Protocol):
    def read(self, n_bytes: int, /) -> bytes | None: ...

class Reader:
    name: str
    closed: bool
    @property
    def next_ts_ns(self) -> int | None: ...
    def read(
        self, max_frames: int, until_ns: int | None = ..., from_ns: int | None = ...
    ) -> list[tuple[int, int, int, bytes]]: ...
    def close(self) -> None: ...

class SavefileReader(Reader):
    n_records: int
    n_input_bytes: int
    n_mapped: int
    n_prefetched: int
    def __init__(
        self,
        file: int | _Owner,
        name: str,
        *,
        stream: _Stream | None = ...,
        head: bytes = ...,
        filter: str | None = ...,
        method: str | None = ...,
    ) -> None: ...
    @property
    def exhausted(self) -> bool: ...
    @property
    def lost(self) -> tuple[int, int, int]: ...
    @property
    def unknown_beginning(self) -> bytes: ...
    def link_types(self) -> list[int]: ...
    def times_ahead(self, n_records: int) -> list[int]: ...
    def open(self, is_stopped: Callable[[], bool] | None = ...) -> None: ...
