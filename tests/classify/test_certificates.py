"""The names in certificates: made by openssl, cut, damaged, and hostile."""

from __future__ import annotations

import shutil
import subprocess
from functools import cache
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastmon.classify.certificates import MAX_ELEMENTS, MAX_TEXT, certificate_name

from .cases import ber
from .handshakes import (
    ALTERNATIVE_NAMES,
    BMP,
    EMPTY,
    IA5,
    PRINTABLE,
    TELETEX,
    UNIVERSAL,
    UTF8,
    der,
    dns,
    sequence,
    subject,
)


@cache
def made_by_openssl(name: str, *extensions: str, key: str = "ec") -> bytes:
    """Return a self-signed certificate in DER; skip the test where there is no openssl."""
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("openssl is not installed")
    algorithm = ["ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"] if key == "ec" else ["rsa:2048"]
    with TemporaryDirectory() as directory:
        command = [program, "req", "-x509", "-nodes", "-newkey", *algorithm, "-keyout", f"{directory}/key", "-subj", name]
        for extension in extensions:
            command += ["-addext", extension]
        return subprocess.run([*command, "-outform", "DER"], check=True, capture_output=True, timeout=60).stdout


@pytest.mark.parametrize("key", ["ec", "rsa"])
@pytest.mark.parametrize(
    ("name", "extensions", "expected"),
    [
        ("/CN=server.example", (), "server.example"),
        ("/C=DE/O=Example/CN=server.example/emailAddress=a@example.org", (), "server.example"),
        ("/CN=server.example", ("subjectAltName=DNS:*.example.org,DNS:example.org",), "*.example.org"),
        ("/CN=server.example", ("subjectAltName=IP:10.0.0.1,email:a@example.org,DNS:example.org",), "example.org"),
        ("/CN=server.example", ("subjectAltName=IP:10.0.0.1",), "server.example"),
        ("/CN=a", ("keyUsage=critical,digitalSignature", "subjectAltName=critical,DNS:b.example"), "b.example"),
        ("/O=Example", (), None),
    ],
)
def test_made_by_openssl(name: str, extensions: tuple[str, ...], expected: str | None, key: str) -> None:
    assert certificate_name(made_by_openssl(name, *extensions, key=key)) == expected


def test_cut_at_every_length_a_name_is_whole_or_absent() -> None:
    whole = made_by_openssl("/CN=server.example", "subjectAltName=DNS:www.example.org")
    told = [certificate_name(whole[:length]) for length in range(len(whole) + 1)]
    common, alternative = told.index("server.example"), told.index("www.example.org")
    assert whole[:common].endswith(b"server.example")
    assert whole[:alternative].endswith(b"www.example.org")
    expected = [None] * common + ["server.example"] * (alternative - common)
    assert told == expected + ["www.example.org"] * (len(told) - alternative)


@pytest.mark.parametrize(
    ("tag", "raw", "expected"),
    [
        (UTF8, "bücher.example".encode(), "bücher.example"),
        (PRINTABLE, b"printer", "printer"),
        (IA5, b"a.example", "a.example"),
        (TELETEX, b"b\xfccher", "bücher"),
        (BMP, "bücher".encode("utf-16-be"), "bücher"),
        (BMP, b"\0a\0", "a\\x00"),
        (UTF8, b"\xff", "\\xff"),
        (UNIVERSAL, b"\0\0\0a", None),
        (UTF8, b"", None),
        (UTF8, b"a" * (MAX_TEXT + 1), "a" * MAX_TEXT),
    ],
)
def test_types_of_text(tag: int, raw: bytes, expected: str | None) -> None:
    assert certificate_name(der(subject((tag, raw)))) == expected


def test_last_common_name_is_the_most_specific() -> None:
    assert certificate_name(der(subject((UTF8, b"Devices"), (UTF8, b"device.example")))) == "device.example"


def test_issuer_is_not_the_subject() -> None:
    assert certificate_name(der()) is None


def test_certificate_without_a_version_and_with_unique_ids() -> None:
    fields = [b"\2\1\1", EMPTY, EMPTY, EMPTY, subject((UTF8, b"old.example")), EMPTY, ber(0x81, b"\0"), ber(0x82, b"\0")]
    assert certificate_name(sequence(sequence(*fields))) == "old.example"


@pytest.mark.parametrize(
    "extension",
    [
        EMPTY,
        sequence(ALTERNATIVE_NAMES),
        sequence(ALTERNATIVE_NAMES, ber(5, b"")),
        sequence(ALTERNATIVE_NAMES, ber(4, b"")),
        sequence(ALTERNATIVE_NAMES, ber(4, ber(0x31, ber(0x82, b"set.example")))),
        dns(),
        dns(b""),
        sequence(ber(6, bytes.fromhex("551d12")), ber(4, sequence(ber(0x82, b"issuer.example")))),
    ],
)
def test_extension_without_a_name_is_passed_over(extension: bytes) -> None:
    assert certificate_name(der(subject((UTF8, b"common")), extension)) == "common"
    assert certificate_name(der(subject((UTF8, b"common")), extension, dns(b"a.example"))) == "a.example"


@pytest.mark.parametrize("n_before", [MAX_ELEMENTS - 1, MAX_ELEMENTS])
def test_bound_of_what_is_looked_at(n_before: int) -> None:
    is_seen = n_before < MAX_ELEMENTS
    assert certificate_name(der(EMPTY, *[EMPTY] * n_before, dns(b"a.example"))) == ("a.example" if is_seen else None)
    assert certificate_name(der(subject(*[(UTF8, b"a")] * n_before, (UTF8, b"b")))) == ("b" if is_seen else "a")
    assert certificate_name(der(EMPTY, dns(*[b""] * n_before, b"a.example"))) == ("a.example" if is_seen else None)


@pytest.mark.parametrize(
    "header",
    [b"\x30\x80", b"\x30\x84\0\0\0\x7f", b"\x30\xff", b"\x30\x83\xff\xff\xff", b"\x30", b"\x31\x20", b"\x30\x82\x01", b""],
)
def test_headers_that_lie(header: bytes) -> None:
    assert certificate_name(header + der(subject((UTF8, b"a")))[4:]) is None
    assert certificate_name(header) is None


def test_element_longer_than_what_contains_it() -> None:
    name = bytearray(subject((UTF8, b"a.example")))
    name[1] -= 1
    assert certificate_name(der(bytes(name))) is None


@given(st.data())
def test_damage_does_no_harm(data: st.DataObject) -> None:
    whole = bytearray(der(subject((UTF8, b"server.example")), dns(b"www.example.org")))
    for _ in range(data.draw(st.integers(1, 6))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    found = certificate_name(bytes(whole))
    assert found is None or len(found) <= 4 * MAX_TEXT


@given(st.binary(max_size=200))
def test_noise_does_no_harm(noise: bytes) -> None:
    certificate_name(noise)
    certificate_name(b"\x30\x82\x10\0\x30\x82\x10\0" + noise)
