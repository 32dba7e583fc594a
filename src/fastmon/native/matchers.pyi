from collections.abc import Mapping, Sequence

APPS: tuple[str, ...]
NAMES: tuple[str, ...]
SOURCES: tuple[str, ...]
ANNOUNCING: dict[str, int]

class Matchers:
    def __init__(
        self,
        rows: Sequence[tuple[int, str, bytes, int]],
        numbers: Mapping[str, int],
        tcp_ports: bytes,
        udp_ports: bytes,
        resolvers: Sequence[bytes],
        wanted: int,
    ) -> None: ...

class Looker:
    def __init__(self, matchers: Matchers) -> None: ...
    def look(
        self,
        token: int,
        protocol: int,
        src: bytes,
        src_port: int,
        dst: bytes,
        dst_port: int,
        from_a: bool,
        data: bytes,
        ts_ns: int,
        follow: int = ...,
    ) -> tuple[str, int, bytes | None, int, list[tuple[bytes, bytes, str]], bytes, bytes]: ...
