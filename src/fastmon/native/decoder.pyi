from typing import Any

LINK_TYPES: frozenset[int]

def decode(link_type: int, data: bytes, inner: bool = ...) -> tuple[Any, ...]: ...
