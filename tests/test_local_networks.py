"""Networks that turn local during a run: what frames of a capture announce, and what does not (docs/counting.md)."""

from __future__ import annotations

import ipaddress
import struct
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import builders as b
import pytest
from engines import decode_with
from hypothesis import given
from hypothesis import strategies as st
from replays import finish

import fastmon
from fastmon.accounting import make_accountant
from fastmon.model.addresses import Network, parse_network
from fastmon.model.conversations import AppTables
from fastmon.model.frames import Frame
from fastmon.model.snapshot import Interval
from fastmon.run.networks import InterfaceNetworks, device_network

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastmon.accounting import Accountant
    from fastmon.model.snapshot import Snapshot

S = 1_000_000_000
T0 = 1_767_225_600 * S
DEVICE, ROUTER, GROUP = bytes.fromhex("001b63000001"), bytes.fromhex("001018000001"), bytes.fromhex("333300000001")
V4, V6, OTHER_V6 = "192.168.1.10", "2001:db8:1:2::77", "2a00:1450::1"
PREFIX = "2001:db8:1:2::"
IPV6 = 0x86DD


def ip_frame(packet: bytes, *, second: float = 0, src: bytes = DEVICE, dst: bytes = ROUTER) -> Frame:
    data = b.ethernet(IPV6 if packet[0] >> 4 == 6 else b.IPV4, packet, src=src, dst=dst)
    return Frame(T0 + int(second * S), len(data), 1, data)


def ipv6(src: str, dst: str, payload: bytes, *, next_header: int = 17, hop_limit: int = 64) -> bytes:
    packet = bytearray(b.ipv6(src, dst, payload, next_header=next_header))
    packet[7] = hop_limit
    return bytes(packet)


def prefix_option(prefix: str = PREFIX, length: int = 64, *, flags: int = 0xC0, valid_s: int = 86400) -> bytes:
    address = ipaddress.IPv6Address(prefix).packed
    return struct.pack(">BBBBIII", 3, 4, length, flags, valid_s, 3600, 0) + address


def advertisement(*options: bytes, src: str = "fe80::1", hop_limit: int = 255, kind: int = 134, code: int = 0) -> Frame:
    body = struct.pack(">BBHBBHII", kind, code, 0, 64, 0, 1800, 0, 0) + b"".join(options)
    return ip_frame(ipv6(src, "ff02::1", body, next_header=58, hop_limit=hop_limit), src=ROUTER, dst=GROUP)


def dhcp(
    yours: str,
    mask: bytes = b"\xff\xff\xff\x00",
    *,
    message: int = 5,
    op: int = 2,
    client: str = "0.0.0.0",
    ports: tuple[int, int] = (67, 68),
    receiver: str = "255.255.255.255",
) -> Frame:
    fixed = struct.pack(">BBBBIHH", op, 1, 6, 0, 7, 0, 0)
    addresses = ipaddress.IPv4Address(client).packed + ipaddress.IPv4Address(yours).packed + bytes(8)
    options = b"\x63\x82\x53\x63" + bytes([53, 1, message]) + bytes([1, len(mask)]) + mask + b"\xff"
    data = fixed + addresses + DEVICE + bytes(10 + 64 + 128) + options
    return ip_frame(b.ipv4("198.51.100.1", receiver, b.udp(*ports, data)), src=ROUTER, dst=b"\xff" * 6)


def option6(kind: int, data: bytes) -> bytes:
    return struct.pack(">HH", kind, len(data)) + data


def leased(address: str, *, valid_s: int = 3600) -> bytes:
    inner = option6(5, ipaddress.IPv6Address(address).packed + struct.pack(">II", 60, valid_s))
    return option6(3, bytes(12) + inner)


def delegated(prefix: str, length: int, *, valid_s: int = 3600) -> bytes:
    inner = option6(26, struct.pack(">IIB", 60, valid_s, length) + ipaddress.IPv6Address(prefix).packed)
    return option6(25, bytes(12) + inner)


def dhcpv6(*options: bytes, message: int = 7, ports: tuple[int, int] = (547, 546), src: str = "fe80::1") -> Frame:
    data = bytes([message, 0, 0, 1]) + option6(1, bytes(10)) + b"".join(options)
    return ip_frame(ipv6(src, "fe80::2", b.udp(*ports, data)), src=ROUTER, dst=DEVICE)


def from_device(second: float = 0, port: int = 1000, address: str = V6) -> Frame:
    return ip_frame(ipv6(address, OTHER_V6, b.udp(port, 443, bytes(500))), second=second)


def to_device(second: float = 0, port: int = 1000, address: str = V6) -> Frame:
    packet = ipv6(OTHER_V6, address, b.udp(443, port, bytes(900)), hop_limit=53)
    return ip_frame(packet, second=second, src=ROUTER, dst=DEVICE)


@pytest.fixture
def follow(accountant: Callable[..., Accountant]) -> Callable[..., Accountant]:
    """Return what makes an accountant of a replay."""
    private = ("10.0.0.0/8", "192.168.0.0/16", "fe80::/10", "fc00::/7")
    return partial(accountant, local_networks=private, follow_announcements=True, max_conversations=100, applications=AppTables())


def added(target: Accountant, *frames: Frame) -> list[str]:
    """Return the networks that frames make local."""
    n_before = len(target.local_networks)
    for frame in frames:
        target.account(frame)
    return [text_of(network) for network in target.local_networks[n_before:]]


def text_of(network: Network) -> str:
    address = ipaddress.IPv6Address(network.prefix)
    if address.ipv4_mapped is not None:
        return f"{address.ipv4_mapped}/{network.length - 96}"
    return f"{address}/{network.length}"


def row(snapshot: Snapshot, address: str) -> tuple[bool, int, bytes]:
    """Return whether a host is local, its bytes, and its Ethernet address."""
    index = snapshot.host_texts().index(address)
    assert snapshot.macs is not None
    n_bytes = int(snapshot.hosts["bytes_in"][index] + snapshot.hosts["bytes_out"][index])
    return bool(snapshot.local[index]), n_bytes, int(snapshot.macs[index]).to_bytes(6, "big")


def test_host_turns_local_with_all_that_it_has(follow: Callable[..., Accountant]) -> None:
    target = follow()
    frames = [from_device(), to_device(), advertisement(prefix_option()), from_device(1, port=2000)]
    assert added(target, *frames) == [f"{PREFIX}/64"]
    summary = finish(target)
    n_bytes = sum(frame.wire_len for frame in (frames[0], frames[1], frames[3]))
    assert row(summary, V6) == (True, n_bytes, DEVICE)
    assert row(summary, OTHER_V6)[0] is False
    assert row(summary, OTHER_V6)[2] == bytes(6)
    services = [(summary.host_texts()[service["host"]], int(service["port"])) for service in summary.services]
    assert services == [(V6, 443), ("fe80::1", 0)]  # of conversations that began before: none


def test_earlier_intervals_keep_what_they_said(follow: Callable[..., Accountant]) -> None:
    target = follow()
    target.account(from_device())
    before = target.rotate(Interval(T0, T0 + S))
    added(target, advertisement(prefix_option()), from_device(1))
    after = target.rotate(Interval(T0 + S, T0 + 2 * S))
    assert (row(before, V6)[0], row(after, V6)[0]) == (False, True)
    assert int(after.total_bytes_out[after.host_texts().index(V6)]) == 2 * from_device().wire_len


@pytest.mark.parametrize(
    ("frame", "networks"),
    [
        (advertisement(prefix_option()), [f"{PREFIX}/64"]),
        (advertisement(prefix_option(length=48)), ["2001:db8:1::/48"]),
        (
            advertisement(bytes([1, 1]) + ROUTER, prefix_option(), prefix_option("2001:db8:9::")),
            [f"{PREFIX}/64", "2001:db8:9::/64"],
        ),
        (dhcp("203.0.113.7"), ["203.0.113.0/24"]),
        (dhcp("203.0.113.7", message=2), ["203.0.113.0/24"]),
        (dhcp("203.0.113.7", receiver="203.0.113.7"), ["203.0.113.0/24"]),
        (dhcp("203.0.113.7", b"\xff\xff\xff\xff"), ["203.0.113.7/32"]),
        (dhcp("0.0.0.0", client="203.0.113.7"), ["203.0.113.0/24"]),
        (dhcpv6(leased(V6)), [f"{PREFIX}/64"]),
        (dhcpv6(leased(V6), message=2), [f"{PREFIX}/64"]),
        (dhcpv6(delegated("2001:db8:7700::", 56)), ["2001:db8:7700::/56"]),
        (dhcpv6(delegated("2001:db8:7700::", 56), leased(V6)), ["2001:db8:7700::/56", f"{PREFIX}/64"]),
    ],
)
def test_announcements(follow: Callable[..., Accountant], frame: Frame, networks: list[str]) -> None:
    assert added(follow(), frame) == networks


@pytest.mark.parametrize(
    "frame",
    [
        advertisement(prefix_option("::", 0)),
        advertisement(prefix_option("2000::", 3)),
        advertisement(prefix_option("2001:db8::", 47)),
        advertisement(prefix_option(length=129)),
        advertisement(prefix_option(length=255)),
        advertisement(prefix_option("ff02::", 64)),
        advertisement(prefix_option("fe80::", 64)),
        advertisement(prefix_option("::ffff:8.0.0.0", 104)),
        advertisement(prefix_option(flags=0x40)),
        advertisement(prefix_option(valid_s=0)),
        advertisement(prefix_option(), hop_limit=64),
        advertisement(prefix_option(), src="2001:db8::1"),
        advertisement(prefix_option(), kind=135),
        advertisement(prefix_option(), code=1),
        advertisement(bytes([1, 0]) + bytes(6), prefix_option()),
        advertisement(prefix_option()[:20]),
        advertisement(),
        dhcp("8.8.8.8", bytes(4)),
        dhcp("8.8.8.8", b"\xfe\x00\x00\x00"),
        dhcp("8.8.8.8", b"\xff\x00\xff\x00"),
        dhcp("8.8.8.8", b"\xff\xff\xff"),
        dhcp("0.0.0.0"),
        dhcp("224.0.0.5"),
        dhcp("127.0.0.5"),
        dhcp("255.255.255.255"),
        dhcp("203.0.113.7", message=6),
        dhcp("203.0.113.7", message=1),
        dhcp("203.0.113.7", op=1),
        dhcp("203.0.113.7", ports=(68, 68)),
        dhcp("203.0.113.7", ports=(67, 40000)),
        dhcp("203.0.113.7", ports=(67, 67)),
        dhcp("203.0.113.7", receiver="192.168.7.7"),
        dhcp("192.168.7.7"),  # local already
        dhcpv6(leased("fe80::7")),
        dhcpv6(leased(V6, valid_s=0)),
        dhcpv6(leased(V6), message=3),
        dhcpv6(leased(V6), ports=(546, 546)),
        dhcpv6(leased(V6), ports=(547, 40000)),
        dhcpv6(leased(V6), src=OTHER_V6),
        dhcpv6(delegated("::", 0)),
        dhcpv6(delegated("2000::", 3)),
        dhcpv6(delegated("2001:db8:7700::", 56, valid_s=0)),
        dhcpv6(leased(V6)[:-10]),
    ],
)
def test_what_announces_nothing(follow: Callable[..., Accountant], frame: Frame) -> None:
    assert added(follow(), frame) == []


@given(
    data=st.binary(max_size=120), kind=st.sampled_from([advertisement(prefix_option()), dhcp("203.0.113.7"), dhcpv6(leased(V6))])
)
def test_both_engines_find_the_same_in_whatever_comes(data: bytes, kind: Frame) -> None:
    """The frame's own bytes, with others behind or in place of its last ones."""
    for cut in (0, 30):
        packet = bytearray(kind.data[: len(kind.data) - cut] + data)
        if packet[14] >> 4 == 6:
            packet[18:20] = (len(packet) - 54).to_bytes(2, "big")
        else:
            packet[16:18] = (len(packet) - 14).to_bytes(2, "big")
        frame = Frame(T0, len(packet), 1, bytes(packet))
        found = [
            added(make_accountant(engine, follow_announcements=True, max_conversations=9), frame)
            for engine in ("native", "reference")
        ]
        assert found[0] == found[1]
        assert decode_with("native", 1, frame.data) == decode_with("reference", 1, frame.data)


def test_nothing_is_followed_unless_it_is_asked_for(accountant: Callable[..., Accountant]) -> None:
    assert added(accountant(max_conversations=9), advertisement(prefix_option()), dhcp("203.0.113.7")) == []


def test_announced_networks_are_bounded(follow: Callable[..., Accountant]) -> None:
    target = follow()
    frames = [advertisement(prefix_option(f"2001:db8:{number:x}::")) for number in range(1, 200)]
    assert len(added(target, *frames)) == 64
    assert target.networks_refused == 199 - 64
    target.add_local_network(parse_network("2a02::/32"))  # whoever is trusted may add more
    assert added(target) == []
    assert text_of(target.local_networks[-1]) == "2a02::/32"


def test_networks_within_others_take_no_room(follow: Callable[..., Accountant]) -> None:
    target = follow()
    assert added(target, dhcpv6(delegated("2001:db8:1::", 48)), *[advertisement(prefix_option())] * 100) == ["2001:db8:1::/48"]
    assert target.networks_refused == 0


def test_local_hosts_are_never_evicted_from_then_on(follow: Callable[..., Accountant]) -> None:
    """A full table: remote hosts that are idle leave, and the host that was one does not."""
    target = follow(max_hosts=3)
    added(target, from_device(), advertisement(prefix_option()))  # 3 hosts with the router, and the group in the overflow
    for second in range(1, 4):
        target.rotate(Interval(T0 + second * S, T0 + (second + 1) * S))
    target.account(from_device(9, address="2001:db8:1:2::78"))
    summary = finish(target)
    assert {V6, "2001:db8:1:2::78"} <= set(summary.host_texts())


def test_limit_is_crossed_once_by_each_scope(follow: Callable[..., Accountant]) -> None:
    target = follow(limit_bytes=1000)
    added(target, *[from_device(port=port) for port in (1, 2, 3)], advertisement(prefix_option()), from_device(5))
    crossings = [each for each in target.take_limit_crossings() if each.key == ipaddress.IPv6Address(V6).packed]
    assert [(each.local, each.is_late) for each in crossings] == [(False, False), (True, True)]


@pytest.mark.parametrize("engine", ["native", "reference"])
@pytest.mark.parametrize("scope", ["local", "all"])
def test_alert_of_a_host_that_turns_local_over_its_limit(tmp_path: Path, engine: str, scope: str) -> None:
    path = tmp_path / "x.pcap"
    path.write_bytes(b.pcap_file([*(from_device(n, port=n) for n in (1, 2, 3)), advertisement(prefix_option()), from_device(5)]))
    alerts: list[fastmon.Alert] = []
    list(fastmon.watch(path, limit=1000, limit_scope=scope, engine=engine, on_alert=alerts.append))
    assert [alert.host for alert in alerts].count(V6) == 1


def test_merged_accountants_bring_their_networks(follow: Callable[..., Accountant]) -> None:
    target, other = follow(), follow()
    target.account(from_device())
    added(other, advertisement(prefix_option()))
    target.merge(other)
    assert row(finish(target), V6) == (True, from_device().wire_len, DEVICE)


def local_hosts(*paths: Path, **options: Any) -> set[str]:
    summary = list(fastmon.watch(*paths, **options))[-1]
    return {host for host, is_local in zip(summary.host_texts(), summary.local, strict=True) if is_local}


@pytest.mark.parametrize("engine", ["native", "reference"])
@pytest.mark.parametrize("workers", [1, 3])
def test_files_of_other_workers_hear_of_it(tmp_path: Path, engine: str, workers: int) -> None:
    frames = [from_device(), advertisement(prefix_option()), from_device(20, port=7, address="2001:db8:1:2::78"), to_device(30)]
    paths = b.write_pieces(tmp_path, frames, 4)
    assert local_hosts(*paths, engine=engine, workers=workers, interval=5) == {V6, "2001:db8:1:2::78", "fe80::1"}


@pytest.mark.parametrize("engine", ["native", "reference"])
def test_local_option_says_otherwise(tmp_path: Path, engine: str) -> None:
    path = tmp_path / "x.pcap"
    path.write_bytes(b.pcap_file([from_device(), advertisement(prefix_option()), dhcp("203.0.113.7")]))
    assert local_hosts(path, engine=engine, local=("192.168.0.0/16",), by="mac") == set()


@pytest.mark.parametrize("engine", ["native", "reference"])
def test_too_many_networks_are_told(tmp_path: Path, engine: str) -> None:
    path = tmp_path / "x.pcap"
    path.write_bytes(b.pcap_file([advertisement(prefix_option(f"2001:db8:{number:x}::")) for number in range(1, 80)]))
    told: list[str] = []
    list(fastmon.watch(path, engine=engine, on_problem=lambda problem: told.append(problem.text)))
    assert [text for text in told if "too many networks have turned local" in text] == told[:1] != []


# Devices, where nothing is announced.

HOME = [
    from_device(0, address="2003:ec:1234:5600:1::1"),
    from_device(1, address="2003:ec:1234:5600:bbbb::88"),
    ip_frame(b.ipv4(V4, "8.8.8.8", b.udp(4000, 5000)), second=2),
    to_device(3, address="2003:ec:1234:5600:bbbb::88"),
]


def devices(path: Path, **options: Any) -> dict[str, int]:
    """Return the rows of `--by mac` with an Ethernet address, and their bytes."""
    summary = list(fastmon.watch(path, by="mac", **options))[-1]
    assert summary.macs is not None
    totals = (summary.total_bytes_in + summary.total_bytes_out).tolist()
    return {host: total for host, mac, total in zip(summary.host_texts(), summary.macs.tolist(), totals, strict=True) if mac}


@pytest.mark.parametrize("engine", ["native", "reference"])
@pytest.mark.parametrize("interval", [0, 1, 60])
def test_home_without_announcements_has_one_row_for_its_device(tmp_path: Path, engine: str, interval: int) -> None:
    path = tmp_path / "home.pcap"
    path.write_bytes(b.pcap_file(HOME))
    assert devices(path, engine=engine, interval=interval) == {V4: sum(frame.wire_len for frame in HOME)}


@pytest.mark.parametrize("engine", ["native", "reference"])
def test_router_is_no_device(tmp_path: Path, engine: str) -> None:
    """It has an address of its own, and passes on what others have sent."""
    path = tmp_path / "home.pcap"
    own = ip_frame(ipv6("fe80::1", "fe80::2", b.udp(1, 2)), src=ROUTER, dst=DEVICE)
    path.write_bytes(b.pcap_file([own, to_device(), to_device(1, address="2001:db8:1:2::78")]))
    hosts = local_hosts(path, by="mac", engine=engine)
    assert OTHER_V6 not in hosts


def test_two_networks_of_devices_are_none() -> None:
    target = make_accountant(local_networks=["192.168.0.0/16"], max_conversations=9)
    for frame in (*HOME, from_device(9, address="2001:db8:77::1")):
        target.account(frame)
    assert device_network(target.sights()) is None


def test_announcement_goes_before_what_devices_tell(tmp_path: Path) -> None:
    path = tmp_path / "home.pcap"
    path.write_bytes(b.pcap_file([advertisement(prefix_option("2001:db8:5::")), *HOME]))
    assert not any(host.startswith("2003:") for host in local_hosts(path))


def test_networks_of_an_interface_are_told_once() -> None:
    now_s, networks = [0.0], ["10.0.0.0/8"]
    looks = InterfaceNetworks(lambda: networks, lambda: now_s[0])
    assert looks.new() == []  # at the start it was asked already
    now_s[0] = 1.0
    assert looks.new() == [parse_network("10.0.0.0/8")]
    networks.append(f"{PREFIX}/64")
    assert looks.new() == []
    now_s[0] = 2.0
    assert looks.new() == [parse_network(f"{PREFIX}/64")]
    now_s[0] = 3.0
    assert looks.new() == []
