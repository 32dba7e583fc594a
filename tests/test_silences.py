"""What a silence covers."""

from __future__ import annotations

from typing import Any

import pytest

from fastmon.model.alerts import Alert
from fastmon.model.silences import Silence, Target


def alert(**fields: Any) -> Alert:
    values = {"rule": "scan", "host": "192.168.1.40", "name": "Camera", "mac": "02:00:5e:10:00:14"}
    return Alert(id="", kind="spread", severity="info", scope="local", ts_ns=0, since_ns=0, **{**values, **fields})


@pytest.mark.parametrize(
    ("target", "covers"),
    [
        ("192.168.1.40", True),
        ("::ffff:192.168.1.40", True),
        ("192.168.1.41", False),
        ("192.168.1.0/24", True),
        ("192.168.1.7/24", True),
        ("192.168.2.0/24", False),
        ("fe80::/10", False),
        ("02:00:5E:10:00:14", True),
        ("02-00-5e-10-00-14", True),
        ("02005e100014", True),
        ("02:00:5e:10:00:15", False),
        ("camera", True),
        ("CAMERA", True),
        ("scan", True),
        ("SCAN", False),
        ("network", False),
        ("", False),
    ],
)
def test_silence_covers_what_its_target_names(target: str, covers: bool) -> None:
    assert Silence(target, 0, 10).covers(alert(), 5) is covers


@pytest.mark.parametrize(("now_ns", "covers"), [(9, False), (10, True), (19, True), (20, False)])
def test_silence_holds_for_its_time(now_ns: int, covers: bool) -> None:
    assert Silence("scan", 10, 20).covers(alert(), now_ns) is covers


def test_network_can_be_silenced_and_is_no_unknown_host() -> None:
    of_network = alert(host="", name="", mac="")
    assert Silence("network", 0, 10).covers(of_network, 5)
    assert not Silence("192.168.1.40", 0, 10).covers(of_network, 5)
    assert not Silence("0.0.0.0/0", 0, 10).covers(of_network, 5)


def test_ipv6_network_covers_its_hosts() -> None:
    of_host = alert(host="2001:db8::5", mac="", name="")
    assert Silence("2001:db8::/64", 0, 10).covers(of_host, 5)
    assert not Silence("2001:db9::/64", 0, 10).covers(of_host, 5)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (" 192.168.1.40 ", "192.168.1.40"),
        ("::ffff:192.168.1.40", "192.168.1.40"),
        ("2001:DB8:0::1", "2001:db8::1"),
        ("192.168.1.7/24", "192.168.1.0/24"),
        ("02-00-5E-10-00-14", "02:00:5e:10:00:14"),
        ("Camera", "Camera"),
    ],
)
def test_spellings_of_one_target_are_kept_as_one(text: str, kept: str) -> None:
    assert Target(text).text == kept
