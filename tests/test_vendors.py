"""Ethernet addresses as text, and who made the device."""

from __future__ import annotations

import subprocess
import sys

import pytest

from fastmon.model.vendors import format_mac, is_locally_administered, vendor_of


@pytest.mark.parametrize(
    ("mac", "text"), [(0, "00:00:00:00:00:00"), (0x0A0B0C0D0E0F, "0a:0b:0c:0d:0e:0f"), (2**48 - 1, "ff:ff:ff:ff:ff:ff")]
)
def test_text(mac: int, text: str) -> None:
    assert format_mac(mac) == text


@pytest.mark.parametrize(
    ("mac", "vendor"),
    [
        (0x3C22FB112233, "Apple, Inc."),
        (0xB827EB000001, "Raspberry Pi Foundation"),
        (0x0050C2000FFF, "T.L.S. Corp."),
        (0xAA0004001122, "DIGITAL EQUIPMENT CORPORATION"),
        (0x70B3D5000000, None),
        (0x525400AABBCC, None),
        (0xDA0000112233, None),
        (0x3D22FB112233, None),
        (0xFFFFFFFFFFFF, None),
        (0, None),
    ],
)
def test_vendor(mac: int, vendor: str | None) -> None:
    assert vendor_of(mac) == vendor
    assert vendor_of(mac) == vendor


def test_vendors_of_all_blocks_are_fit_to_be_shown() -> None:
    from netaddr.eui.ieee import OUI_INDEX

    vendors = {vendor for oui in list(OUI_INDEX)[::50] if (vendor := vendor_of(oui << 24)) is not None}
    assert len(vendors) > 100
    assert [vendor for vendor in vendors if not vendor.isprintable() or vendor.startswith(("=", "+", "-", "@"))] == []


@pytest.mark.parametrize(
    ("mac", "is_local"), [(0x3C22FB112233, False), (0xDA0000112233, True), (0x0242AC110002, True), (0, False)]
)
def test_locally_administered(mac: int, is_local: bool) -> None:
    assert is_locally_administered(mac) is is_local


def test_registry_is_imported_when_first_asked() -> None:
    code = "import sys, fastmon.model.vendors; print('netaddr' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
