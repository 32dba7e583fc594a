"""Opening, closing and asking captures, as far as it needs no permission; tests/live has the rest."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from dataclasses import dataclass, field
from importlib.metadata import requires, version
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import builders as b
import pcap
import psutil
import pytest

from fastmon.accounting import make_accountant
from fastmon.capture import interfaces, live, open_live, open_offline, pypcap
from fastmon.errors import CaptureError, ClosedCaptureError, ConfigError, UnsupportedLinkTypeError
from fastmon.model.frames import Frame
from fastmon.model.snapshot import Dropped
from fastmon.native import live_handle
from fastmon.native.live_reader import LiveReader
from fastmon.native.pypcap_handle import PypcapHandle

if TYPE_CHECKING:
    from collections.abc import Iterator

FRAME = Frame(1_767_225_600_123_456_789, 1500, 1, b.ethernet(b.IPV4, b.ipv4("10.0.0.1", "192.0.2.1")))
ETHERNET, USB = 1, 189
WRAP = 1 << 32


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a capture file with one frame of nanosecond time, of which less was captured than was sent."""
    path = tmp_path / "x.pcap"
    path.write_bytes(b.pcap_file([FRAME], nanoseconds=True))
    return path


def n_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


# Arguments.


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"snaplen": 0}, "snaplen must be between 1 and 262144, not 0"),
        ({"snaplen": 262_145}, "snaplen must be between 1 and 262144, not 262145"),
        ({"buffer_bytes": 65_535}, "buffer must be between 65536 and 2147483647, not 65535"),
        ({"buffer_bytes": 1 << 31}, "buffer must be between 65536 and 2147483647, not 2147483648"),
        ({"direction": "up"}, "direction must be one of inout, in, out, not 'up'"),
        ({"fanout_group": -1}, "fanout group must be between 0 and 65535, not -1"),
        ({"fanout_group": 65_536}, "fanout group must be between 0 and 65535, not 65536"),
        ({"filter": "tcp\0or udp"}, r"filter 'tcp\x00or udp': it has characters that cannot be printed"),
        ({"filter": "host \udcff"}, r"filter 'host \udcff': it has characters that cannot be printed"),
    ],
)
def test_wrong_arguments_of_a_live_capture(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        open_live("lo", **arguments)
    assert str(caught.value) == message


@pytest.mark.parametrize("name", ["nosuchif0", "", "lo\0", "x" * 300, "eth0\udcff"])
def test_missing_interface(name: str) -> None:
    with pytest.raises(CaptureError) as caught:
        open_live(name)
    assert str(caught.value).startswith(f"{name!r}: no such interface; there are ")
    assert " lo" in str(caught.value)


def test_file_in_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lo").mkdir()
    with pytest.raises(CaptureError, match="a file named 'lo' is in the way here"):
        open_live("lo")


@pytest.mark.parametrize("filter_text", ["no such filter", "tcp\0", "\udcff"])
def test_wrong_filter_of_a_file(path: Path, filter_text: str) -> None:
    n_before = n_descriptors()
    with pytest.raises(ConfigError, match="filter "):
        open_offline(str(path), filter=filter_text).read(1)
    assert n_descriptors() == n_before


def test_filter_with_line_breaks(path: Path) -> None:
    with open_offline(str(path), filter="ip\n\tand host 10.0.0.1\n") as source:
        assert source.read(2) == [FRAME]


@pytest.mark.parametrize("content", [b"", b"no capture at all, but long enough", b.pcap_file([FRAME], link_type=USB)])
def test_file_that_cannot_be_opened_is_closed(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x").write_bytes(content)
    n_before = n_descriptors()
    with pytest.raises(CaptureError, match="x: "):
        open_offline(str(tmp_path / "x"))
    assert n_descriptors() == n_before


def test_link_type_that_no_decoder_knows_is_named(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b.pcap_file([FRAME], link_type=USB))
    with pytest.raises(UnsupportedLinkTypeError) as caught:
        open_offline(str(tmp_path / "x"))
    assert str(caught.value) == f"{tmp_path / 'x'}: link type USB_LINUX (189) is not supported"


# Closed captures.


def test_closed_file(path: Path) -> None:
    n_before = n_descriptors()
    with open_offline(str(path)) as source:
        pass
    source.close()
    assert n_descriptors() == n_before
    with pytest.raises(ClosedCaptureError, match="the capture is closed"):
        source.read(1)
    with pytest.raises(ClosedCaptureError, match="the capture is closed"):
        make_accountant().drain(source, 1)
    with pytest.raises(ClosedCaptureError, match="closed"):
        make_accountant("reference").drain(source, 1)
    assert source.exhausted
    assert source.next_ts_ns is None
    assert source.dropped() == Dropped()


def test_file_is_closed_when_its_block_is_left_by_an_error(path: Path) -> None:
    n_before = n_descriptors()
    with pytest.raises(KeyError), open_offline(str(path)):
        raise KeyError
    assert n_descriptors() == n_before


# pypcap's object.


def test_size_and_version_of_pypcaps_object() -> None:
    """What `native/live/pypcap.pxd` mirrors; another version may have another layout of the same size."""
    assert pcap.pcap.__basicsize__ == 328
    assert {'pypcap==1.3.0; python_version < "3.12"', 'pypcap==1.3.0; extra == "pypcap"'} <= set(requires("fastmon") or ())
    assert version("pypcap") == "1.3.0"


def test_another_layout_is_refused_at_import(tmp_path: Path) -> None:
    (tmp_path / "pcap.py").write_text("class pcap:\n    pass\n")
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import fastmon.native.pypcap_handle"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "pcap.pcap size changed" in done.stderr


def test_reader_finds_the_handle_in_pypcaps_object(path: Path) -> None:
    """Wire length and nanoseconds, which pypcap does not give."""
    reader = LiveReader(PypcapHandle(pcap.pcap(str(path))), "x")
    assert reader.link_type == ETHERNET
    assert [Frame(*fields) for fields in reader.read(10)] == [FRAME]
    assert reader.read(10) == []


def test_handle_that_was_never_opened_or_is_closed(path: Path) -> None:
    closed = pcap.pcap(str(path))
    closed.close()
    for source in (closed, pcap.pcap.__new__(pcap.pcap)):
        reader = LiveReader(PypcapHandle(source), "x")
        with pytest.raises(ClosedCaptureError, match="x: the capture is closed"):
            _ = reader.link_type
        with pytest.raises(ClosedCaptureError, match="x: the capture is closed"):
            reader.read(1)


# pypcap's exceptions.


def text_of(cause: bytes) -> str:
    return f"Activateing packet capture failed. Error returned by packet capture library was {cause!r}"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((text_of(b'lo: it\'s "odd"'),), 'lo: lo: it\'s "odd"'),
        ((text_of(b"two\nlines\n"),), "lo: two\nlines"),
        ((b"as bytes, and no UTF-8: \xff",), "lo: as bytes, and no UTF-8: \ufffd"),
        (("Set snaplength failed to execute",), "lo: Set snaplength failed to execute"),
        ((), "lo: "),
    ],
)
def test_libpcaps_words_are_passed_on(arguments: tuple[object, ...], message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert failure_of_opening(monkeypatch, *arguments) == message


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        (b"You don't have permission to capture on that device", "it needs CAP_NET_RAW, not root"),
        (b"socket: Operation not permitted", "it needs CAP_NET_RAW, not root"),
        (b"Attempt to create packet socket failed - CAP_NET_RAW may be required", "it needs CAP_NET_RAW, not root"),
        (b"That device is not up", "bring it up with 'ip link set dev lo up'"),
    ],
)
def test_advice(words: bytes, advice: str, monkeypatch: pytest.MonkeyPatch) -> None:
    message = failure_of_opening(monkeypatch, text_of(words))
    assert message.startswith(f"lo: {words.decode()}: {advice}")


def failure_of_opening(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> str:
    """Return the message of the error that an OSError of pypcap becomes."""

    def failing(*_: object, **__: object) -> None:
        raise OSError(*arguments)

    monkeypatch.setattr(pcap, "pcap", failing)
    with pytest.raises(CaptureError) as caught:
        open_live("lo")
    assert isinstance(caught.value.__cause__, CaptureError)
    return str(caught.value)


# With a handle that pypcap might have returned.


@dataclass
class FakeHandle:
    """A `Handle`; `fd` is one end of a pipe."""

    fd: int
    link_type: int = ETHERNET
    filter_error: str = ""
    direction_error: str = ""
    counters: tuple[int, int, int] = (0, 0, 0)
    is_gone: bool = False
    calls: list[str] = field(default_factory=list)
    opened_with: dict[str, Any] = field(default_factory=dict)

    def set_filter(self, text: str, netmask: int) -> None:
        self.calls.append(f"set_filter({text!r})")
        assert netmask >= 0
        if self.filter_error:
            raise ConfigError(self.filter_error)

    def set_direction(self, direction: int) -> None:
        self.calls.append(f"set_direction({direction})")
        if self.direction_error:
            raise CaptureError(self.direction_error)

    def statistics(self) -> tuple[int, int, int]:
        if self.is_gone:
            raise CaptureError("The interface disappeared")
        return self.counters

    def close(self) -> None:
        self.calls.append("close()")


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Return the ends of a pipe, to read from and to write into."""
    ends = os.pipe()
    yield ends
    for fd in ends:
        os.close(fd)


@pytest.fixture
def handle(pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> FakeHandle:
    """Return what stands for all that pypcap opens."""
    handle = FakeHandle(pipe[0])

    def opened(name: str, **options: object) -> FakeHandle:
        handle.opened_with = {"name": name, **options}
        return handle

    monkeypatch.setattr(pcap, "pcap", opened)
    monkeypatch.setattr(pypcap, "PypcapHandle", lambda source: source)
    reader = SimpleNamespace(close=lambda: handle.calls.append("reader.close()"), next_ts_ns=None, n_frames=0)
    monkeypatch.setattr(live, "LiveReader", lambda *_: reader)
    return handle


@pytest.mark.parametrize(("name", "promiscuous", "asked"), [("lo", True, True), ("lo", False, False), ("any", True, False)])
def test_any_is_never_asked_to_be_promiscuous(handle: FakeHandle, name: str, promiscuous: bool, asked: bool) -> None:
    """Some versions of libpcap warn that it cannot be, which pypcap takes for a failure."""
    open_live(name, promiscuous=promiscuous)
    assert handle.opened_with["name"] == name
    assert handle.opened_with["promisc"] == asked


def test_capture_always_has_a_filter(handle: FakeHandle) -> None:
    open_live("lo")
    open_live("lo", filter="tcp", direction="in")
    assert handle.calls == ["set_filter('')", "set_filter('tcp')", "set_direction(1)"]


def test_closing_twice_closes_once_and_the_reader_first(handle: FakeHandle) -> None:
    source = open_live("lo")
    handle.calls.clear()
    source.close()
    source.close()
    assert [call for call in handle.calls if call != "reader.close()"] == ["close()"]
    assert handle.calls.index("reader.close()") < handle.calls.index("close()")


@pytest.mark.parametrize(
    ("trouble", "options", "error", "message"),
    [
        ({"link_type": USB}, {}, UnsupportedLinkTypeError, "lo: link type USB_LINUX (189) is not supported"),
        ({"filter_error": "syntax error"}, {"filter": "x"}, ConfigError, "filter 'x': syntax error"),
        ({"direction_error": "no"}, {"direction": "out"}, CaptureError, "lo: cannot capture one direction only: no"),
        ({}, {"fanout_group": 1}, CaptureError, "lo: its frames cannot be shared between workers: "),
    ],
)
def test_handle_that_cannot_be_used_is_closed(
    handle: FakeHandle, trouble: dict[str, Any], options: dict[str, Any], error: type[Exception], message: str
) -> None:
    for name, value in trouble.items():
        setattr(handle, name, value)
    with pytest.raises(error) as caught:
        open_live("lo", **options)
    assert str(caught.value).startswith(message)
    assert handle.calls[-1] == "close()"


def test_losses_go_on_across_wraps_of_libpcaps_counters(handle: FakeHandle) -> None:
    source = open_live("lo")
    for kernel, interface, expected in [
        (WRAP - 1, 5, Dropped(WRAP - 1, 5)),
        (WRAP - 1, 4, Dropped(WRAP - 1, WRAP + 4)),
        (0, 4, Dropped(WRAP, WRAP + 4)),
        (7, 4, Dropped(WRAP + 7, WRAP + 4)),
        (6, 3, Dropped(2 * WRAP + 6, 2 * WRAP + 3)),
    ]:
        handle.counters = (0, kernel, interface)
        assert without_backlog(source.dropped()) == expected


def test_losses_are_remembered_when_nobody_can_tell_them_any_more(handle: FakeHandle) -> None:
    source = open_live("lo")
    handle.counters = (100, 7, 0)
    assert without_backlog(source.dropped()) == Dropped(7)
    handle.is_gone = True
    assert without_backlog(source.dropped()) == Dropped(7)
    handle.is_gone, handle.counters = False, (100, 9, 1)
    source.close()
    handle.counters = (100, 99, 99)
    assert without_backlog(source.dropped()) == Dropped(9, 1)


def without_backlog(dropped: Dropped) -> Dropped:
    """Return the losses that are not the whole machine's."""
    return Dropped(dropped.kernel, dropped.interface)


def test_backlog_counts_from_the_opening_on(handle: FakeHandle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second column, hexadecimal, of all processors."""
    file = tmp_path / "softnet_stat"
    monkeypatch.setattr(live, "_SOFTNET_STAT", file)
    file.write_text("0000ffff 00000010 00000001 00000000\n0000aaaa 0000000f 00000002\n")
    source = open_live("lo")
    assert source.dropped().backlog == 0
    file.write_text("0000ffff 0000001a 00000001 00000000\n0000aaaa 00000010 00000002\n")
    assert source.dropped().backlog == 11
    assert handle.calls[-1] != "close()"


def test_kernel_that_says_nothing_of_its_backlog(handle: FakeHandle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "_SOFTNET_STAT", tmp_path / "absent")
    assert open_live("lo").dropped() == Dropped()
    assert handle.calls


def test_wait_ends_when_something_comes(handle: FakeHandle, pipe: tuple[int, int]) -> None:
    source = open_live("lo")
    assert handle.fd == pipe[0]
    assert not source.wait(0)
    os.write(pipe[1], b"x")
    assert source.wait(60)


@pytest.mark.parametrize(("name", "is_there"), [("lo", True), ("fm-gone", False)])
def test_error_of_an_interface_that_is_there_is_that_it_is_down(
    handle: FakeHandle, pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch, name: str, is_there: bool
) -> None:
    """Until it is up again, reading has to be tried: only libpcap finds out that it has gone in the meantime."""
    left, right = os.pipe()
    os.close(left)
    handle.fd = right  # a pipe that nobody reads has an error
    monkeypatch.setattr(live, "open_handle", lambda *_: handle)
    source = open_live(name)
    assert source.wait(60)
    os.dup2(pipe[0], right)  # and this one only silence
    assert source.wait(0) == is_there
    assert source.warnings == [f"{name}: the interface went down; capture goes on when it is up again"] * is_there
    os.close(right)


def test_closed_live_capture_does_not_wait_for_another_file_of_its_number(handle: FakeHandle) -> None:
    source = open_live("lo")
    source.close()
    with pytest.raises(ClosedCaptureError, match="lo: the capture is closed"):
        source.wait(60)
    assert handle.calls[-1] == "close()"


# Interfaces.


def test_loopback_is_listed() -> None:
    by_name = {info.name: info for info in interfaces()}
    assert "127.0.0.1/8" in by_name["lo"].addresses
    assert by_name["lo"].is_up
    assert by_name["any"].description == "all interfaces at once"


def test_interfaces_are_listed_with_their_state(monkeypatch: pytest.MonkeyPatch) -> None:
    def address(family: int, text: str, netmask: str | None) -> SimpleNamespace:
        return SimpleNamespace(family=family, address=text, netmask=netmask)

    addresses = {
        "eth7": [
            address(socket.AF_PACKET, "02:00:00:00:00:07", None),
            address(socket.AF_INET, "192.0.2.7", "255.255.255.240"),
            address(socket.AF_INET6, "fe80::7%eth7", "ffff:ffff:ffff:ffff::"),
        ]
    }
    monkeypatch.setattr(live_handle, "device_names", lambda: ["eth8", "any", "eth7", "nflog"])
    monkeypatch.setattr(psutil, "net_if_stats", lambda: {"eth7": SimpleNamespace(isup=True), "eth8": SimpleNamespace(isup=False)})
    monkeypatch.setattr(psutil, "net_if_addrs", lambda: addresses)
    assert [(info.name, info.is_up, list(info.addresses), info.description) for info in interfaces()] == [
        ("eth8", False, [], ""),
        ("any", True, [], "all interfaces at once"),
        ("eth7", True, ["192.0.2.7/28", "fe80::7/64"], ""),
        ("nflog", True, [], "not a network interface"),
    ]
