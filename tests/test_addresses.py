"""Host keys and networks."""

from __future__ import annotations

import ipaddress
import socket
from typing import TYPE_CHECKING, NamedTuple

import builders as b
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from fastmon.accounting import make_accountant
from fastmon.errors import ConfigError
from fastmon.model.addresses import (
    PRIVATE_NETWORKS,
    interface_networks,
    key_from_text,
    key_to_text,
    keys_to_text,
    parse_network,
)
from fastmon.model.frames import Frame
from fastmon.model.snapshot import Interval

if TYPE_CHECKING:
    from collections.abc import Sequence

ENGINES = ("native", "reference")

V4_MAPPED = bytes(10) + b"\xff\xff"


def keys(*texts: str) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    return np.frombuffer(b"".join(map(key_from_text, texts)), np.uint8).reshape(-1, 16)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("10.0.0.1", V4_MAPPED + bytes([10, 0, 0, 1])),
        ("2001:db8::1", bytes.fromhex("20010db8000000000000000000000001")),
        ("::", bytes(16)),
        ("::1", bytes(15) + b"\x01"),
        ("fe80::1", bytes.fromhex("fe800000000000000000000000000001")),
    ],
)
def test_keys_and_text(text: str, key: bytes) -> None:
    assert key_from_text(text) == key
    assert key_to_text(key) == text


def test_zone_is_no_part_of_a_key() -> None:
    assert key_from_text("fe80::1%eth0") == key_from_text("fe80::1")


@pytest.mark.parametrize("text", ["", "10.0.0", "10.0.0.256", "example.org", "10.0.0.1/8", "::g"])
def test_no_address(text: str) -> None:
    with pytest.raises(ConfigError, match="address"):
        key_from_text(text)


def test_many_keys_to_text() -> None:
    assert keys_to_text(keys("10.0.0.1", "::1", "192.0.2.7")) == ["10.0.0.1", "::1", "192.0.2.7"]
    assert keys_to_text(np.empty((0, 16), np.uint8)) == []


@pytest.mark.parametrize("text", ["", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/a", "fc00::/129", "everything", "10.0.0.0/8/8"])
def test_no_network(text: str) -> None:
    with pytest.raises(ConfigError, match="network"):
        parse_network(text)


def test_host_bits_of_a_network_are_cleared() -> None:
    assert parse_network("192.168.1.77/24") == parse_network("192.168.1.0/24")
    assert parse_network(" 10.0.0.1 ") == parse_network("10.0.0.1/32")


def is_local(engine: str, address: str, networks: Sequence[str]) -> bool:
    """Return what an accountant says of a host that sent a packet to itself."""
    packet = b.ipv6(address, address) if ":" in address else b.ipv4(address, address)
    accountant = make_accountant(engine, max_hosts=1, local_networks=networks)
    accountant.account(Frame(0, len(packet), 101, packet))
    return bool(accountant.rotate(Interval(0, 1)).local.all())


ADDRESSES = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6))


@given(ADDRESSES, ADDRESSES, st.integers(0, 128))
def test_is_local_agrees_with_the_standard_library(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
    base: ipaddress.IPv4Address | ipaddress.IPv6Address,
    length: int,
) -> None:
    if base.version == 6:
        length = max(length, 97)  # shorter ones may contain ::ffff:0:0/96, where IPv4 hosts are
        assume(base.ipv4_mapped is None)
    network = ipaddress.ip_network((base, min(length, base.max_prefixlen)), strict=False)
    near = network.network_address + int(address) % network.num_addresses
    for candidate in (address, near):
        expected = candidate.version == network.version and candidate in network
        if candidate.version == 6 and candidate.ipv4_mapped is not None:
            continue
        assert [is_local(engine, str(candidate), [str(network)]) for engine in ENGINES] == [expected, expected]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10.255.255.255", True),
        ("172.15.0.0", False),
        ("172.31.0.0", True),
        ("172.32.0.0", False),
        ("192.168.0.1", True),
        ("100.64.0.1", True),
        ("100.128.0.0", False),
        ("169.254.1.1", True),
        ("127.0.0.1", True),
        ("8.8.8.8", False),
        ("224.0.0.1", False),
        ("fd12::1", True),
        ("fe80::1", True),
        ("::1", True),
        ("2001:db8::1", False),
    ],
)
def test_private_networks(text: str, expected: bool) -> None:
    assert [is_local(engine, text, PRIVATE_NETWORKS) for engine in ENGINES] == [expected, expected]


class Address(NamedTuple):
    """What psutil says of one address."""

    family: int
    address: str
    netmask: str | None


def test_networks_of_an_interface(monkeypatch: pytest.MonkeyPatch) -> None:
    addresses = {
        "eth0": [
            Address(socket.AF_INET, "203.0.113.9", "255.255.255.240"),
            Address(socket.AF_INET6, "2001:db8:1::9", "ffff:ffff:ffff:ffff::"),
            Address(socket.AF_INET6, "fe80::1%eth0", "ffff:ffff:ffff:ffff::"),
            Address(socket.AF_PACKET, "02:00:00:00:00:01", None),
        ],
        "mirror0": [Address(socket.AF_INET6, "fe80::2%mirror0", "ffff:ffff:ffff:ffff::")],
    }
    monkeypatch.setattr("psutil.net_if_addrs", lambda: addresses)
    assert interface_networks("eth0") == ["2001:db8:1::/64", "203.0.113.0/28", "fe80::/64"]
    assert list(interface_networks("mirror0")) == []
    assert list(interface_networks("absent0")) == []
