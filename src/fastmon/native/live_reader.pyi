from fastmon.native.live_handle import Handle
from fastmon.native.readers import Reader

class LiveReader(Reader):
    start_ns: int
    @property
    def n_frames(self) -> int: ...
    @property
    def link_type(self) -> int: ...
    def __init__(self, source: Handle, name: str) -> None: ...
