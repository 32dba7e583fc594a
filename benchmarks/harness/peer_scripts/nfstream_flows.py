"""What a person writes with NFStream: nfstream_flows.py FILE. Its flows have applications, as nDPI within it says."""

import sys

from nfstream import NFStreamer

if __name__ == "__main__":
    frames = n_flows = 0
    for flow in NFStreamer(source=sys.argv[1]):
        frames += flow.bidirectional_packets
        n_flows += 1
    print(frames, "frames", n_flows, "flows")
