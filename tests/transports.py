"""Hypothesis strategies for what IP carries, when it is no tunnel, and for lengths that headers state."""

from __future__ import annotations

import builders as b
from hypothesis import strategies as st

DATA = st.sampled_from([b"", b"", b"x", b"GET / HTTP/1.1", bytes(1501)])


def stated_length(draw: st.DrawFn, length: int) -> int:
    """Return the length that a header states of what is `length` bytes long."""
    near = st.integers(max(length - 60, 0), length + 20)
    return min(draw(st.one_of(st.just(length), st.just(length), st.sampled_from([0, 1, 0xFFFF]), near)), 0xFFFF)


def transport(draw: st.DrawFn) -> tuple[int, bytes]:
    """Return (protocol, payload)."""
    source, destination = draw(st.integers(0, 0xFFFF)), draw(st.integers(0, 0xFFFF))
    data = draw(DATA)
    n_words = draw(st.sampled_from([5, 5, 5, 6, 15, 4, 0]))
    return draw(
        st.sampled_from(
            [
                (b.TCP, b.tcp(source, destination, data, flags=draw(st.integers(0, 255)), words=n_words)),
                (b.UDP, b.udp(source, destination, data)),
                (b.SCTP, b.sctp(source, destination)),
                (33, b.udp(source, destination)),
                (136, b.udp(source, destination)),
                (b.ICMP, b.icmp()),
                (50, bytes(8)),
                (59, b""),
            ]
        )
    )
