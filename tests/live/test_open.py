"""Opening an interface: what is refused with one clear line, and the traps of pypcap that must not be stepped into."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import builders as b
import pytest
from needs import cannot_run
from waiting import DEADLINE_S, wait_until

from fastmon.accounting import make_accountant
from fastmon.capture import interfaces, open_live, open_offline
from fastmon.errors import CaptureError, ClosedCaptureError, ConfigError, UnsupportedLinkTypeError

from .capturing import account
from .command import Result, run
from .network import CAPTURED
from .traffic import conversations
from .tunnel import open_tunnel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from fastmon.accounting import Accountant

    from .network import Namespace
    from .traffic import Sender

ARPHRD_CAN = 280
WITHOUT_PERMISSION = ["setpriv", "--bounding-set", "-net_raw,-net_admin"]


def assert_one_line(result: Result, status: int, *words: str) -> None:
    """Check that the command said in one line what is wrong, with `words`, and reported nothing."""
    assert (result.status, result.output) == (status, "")
    (line,) = result.errors.splitlines()
    assert line.startswith("fastmon: ")
    for word in words:
        assert word in line


# What is refused.


@pytest.mark.parametrize("interface", [CAPTURED, "any"])
@pytest.mark.usefixtures("sender")
def test_without_permission(tmp_path: Path, interface: str) -> None:
    if shutil.which("setpriv") is None:
        cannot_run("setpriv(1) is missing: it is in the package util-linux")
    result = run(tmp_path, "live", interface, within=WITHOUT_PERMISSION)
    assert_one_line(result, 1, interface, "root", "CAP_NET_RAW", "setcap")


@pytest.mark.usefixtures("sender")
def test_missing_interface(tmp_path: Path) -> None:
    assert_one_line(run(tmp_path, "live", "fm-none"), 1, "'fm-none'", "no such interface", CAPTURED, "any")


@pytest.mark.usefixtures("sender")
def test_interface_of_another_namespace(new_namespace: Callable[[], Namespace], tmp_path: Path) -> None:
    with new_namespace().entered():
        assert_one_line(run(tmp_path, "live", CAPTURED), 1, f"'{CAPTURED}'", "no such interface")


@pytest.mark.parametrize("filter_text", ["no such filter", "host 10.0.0.1 and", "ip6 and vlan 5000000000", "\xff"])
@pytest.mark.usefixtures("sender")
def test_wrong_filter(tmp_path: Path, filter_text: str) -> None:
    assert_one_line(run(tmp_path, "live", CAPTURED, "-f", filter_text), 2, "filter", filter_text)
    with pytest.raises(ConfigError, match="filter"):
        open_live(CAPTURED, filter=filter_text)


@pytest.mark.usefixtures("namespace")
def test_link_type_that_no_decoder_knows(tmp_path: Path) -> None:
    with open_tunnel("fm-can", ARPHRD_CAN):
        assert_one_line(run(tmp_path, "live", "fm-can"), 1, "fm-can", "link type CAN_SOCKETCAN (227)")
        with pytest.raises(UnsupportedLinkTypeError, match="227"):
            open_live("fm-can")


@pytest.mark.usefixtures("namespace")
def test_what_is_listed_opens_or_says_why_not(tmp_path: Path) -> None:
    """Not nfqueue, which takes packets from whom they are meant for."""
    for name in (info.name for info in interfaces() if info.name != "nfqueue"):
        result = run(tmp_path, "live", name, "--duration", "100ms")
        assert result.status in (0, 1)
        if result.status:
            assert_one_line(result, 1, f"{name}: ")


# pypcap's traps.


@pytest.mark.parametrize("content", [b"", b.pcap_file([])], ids=["no capture", "a capture"])
@pytest.mark.usefixtures("sender")
def test_file_of_the_interfaces_name_is_not_captured_from(tmp_path: Path, content: bytes) -> None:
    """Instead of the interface, pypcap opens a file of that name in the working directory."""
    (tmp_path / CAPTURED).write_bytes(content)
    assert_one_line(run(tmp_path, "live", CAPTURED), 1, f"'{CAPTURED}'", "another folder")


@pytest.mark.usefixtures("sender")
def test_missing_file_is_not_looked_for_among_interfaces(tmp_path: Path) -> None:
    """If the file is missing, pypcap opens an interface of that name."""
    assert_one_line(run(tmp_path, "replay", CAPTURED), 1, CAPTURED, "no such file")
    with pytest.raises(CaptureError, match="no such file"):
        open_offline(str(tmp_path / CAPTURED))


def test_ctrl_c_works_after_a_capture(sender: Sender, accountant: Callable[[], Accountant]) -> None:
    """Where pypcap iterates it takes SIGINT for itself."""
    before = signal.getsignal(signal.SIGINT)
    with open_live(CAPTURED) as capture:
        sent = sender.send(conversations(100))
        assert account(accountant(), capture, 100) == sent
    assert signal.getsignal(signal.SIGINT) is before
    with pytest.raises(KeyboardInterrupt):
        wait_until(lambda: os.kill(os.getpid(), signal.SIGINT), "Ctrl-C")


def test_closed_capture(sender: Sender) -> None:
    """After `close`, pypcap crashes."""
    accountant = make_accountant()
    with open_live(CAPTURED) as capture:
        sender.send(conversations(10))
    for _ in range(2):
        capture.close()
    for use in (
        lambda: capture.read(1),
        lambda: capture.wait(0),
        lambda: accountant.drain(capture, 1),
        lambda: capture.reader.link_type,
    ):
        with pytest.raises(ClosedCaptureError, match=CAPTURED):
            use()
    assert capture.dropped().kernel == 0
    assert (capture.name, capture.exhausted, capture.next_ts_ns) == (CAPTURED, False, None)


@pytest.mark.usefixtures("sender")
def test_reader_outlives_its_capture() -> None:
    reader = open_live(CAPTURED).reader
    assert reader.read(1) == []


@pytest.mark.usefixtures("sender")
@pytest.mark.parametrize("engine", ["native", "reference"])
def test_silent_interface_does_not_block(engine: str) -> None:
    """A handle in blocking mode, pypcap's default, waits for the first frame, however long, and no signal ends that."""
    code = (
        "import sys; from fastmon import make_accountant, open_live; capture = open_live(sys.argv[1]);"
        "print(capture.wait(0.01), capture.read(10), make_accountant(sys.argv[2]).drain(capture, 10))"
    )
    command = [sys.executable, "-c", code, CAPTURED, engine]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=True)
    assert done.stdout == "False [] 0\n"


@pytest.mark.parametrize(("promiscuous", "expected"), [(True, 1), (False, 0)])
@pytest.mark.usefixtures("sender")
def test_promiscuous(promiscuous: bool, expected: int) -> None:
    with open_live(CAPTURED, promiscuous=promiscuous):
        shown = subprocess.run(["ip", "-details", "link", "show", CAPTURED], capture_output=True, text=True, check=True).stdout
    words = shown.split()
    assert int(words[words.index("promiscuity") + 1]) == expected


def test_draining_lets_other_threads_run(sender: Sender) -> None:
    """With pypcap's `dispatch`, which keeps Python's lock, no attempt would succeed."""
    sending = conversations(1_000)
    accountant = make_accountant()
    with open_live(CAPTURED) as capture, switching_seldom():

        def is_other_thread_running() -> bool:
            sender.send(sending, 50)
            return capture.wait(1) and runs_beside(lambda: accountant.drain(capture, 1 << 30))

        wait_until(is_other_thread_running, "the other thread")


@contextmanager
def switching_seldom() -> Iterator[None]:
    """Let a thread that has Python's lock keep it until it gives it away."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1000)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def runs_beside(work: Callable[[], object]) -> bool:
    """Return whether another thread, which is ready, came to run before `work` returned."""
    is_ready, is_over, ran_before = threading.Event(), False, False

    def other() -> None:
        nonlocal ran_before
        is_ready.wait()
        ran_before = not is_over

    thread = threading.Thread(target=other)
    thread.start()
    is_ready.set()
    work()
    is_over = True
    thread.join()
    return ran_before
