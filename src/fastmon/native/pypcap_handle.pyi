import pcap

from fastmon.native.live_handle import Handle

class PypcapHandle(Handle):
    def __init__(self, source: pcap.pcap) -> None: ...
