"""JA4 fingerprints: the published examples, and hellos that contradict themselves."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastmon.classify.ja4 import MAX_CIPHERS, MAX_EXTENSIONS, fingerprint

from .handshakes import CIPHERS, EXTENSIONS, hello, protocols

GREASE = ["0a0a", "1a1a", "8a8a", "fafa"]
EXAMPLE = "t13d1516h2_8daaf6152771_e5627efa2ab1"


def parts(**changes: object) -> list[str]:
    found = fingerprint(hello(**changes))  # type: ignore[arg-type]
    assert found is not None
    return found.split("_")


def test_published_example() -> None:
    assert fingerprint(hello()) == EXAMPLE
    assert fingerprint(hello(), is_quic=True) == "q" + EXAMPLE[1:]


def test_order_of_ciphers_and_extensions_does_not_matter() -> None:
    ciphers, extensions = (",".join(reversed(listed.split(","))) for listed in (CIPHERS, EXTENSIONS))
    assert fingerprint(hello(ciphers=ciphers, extensions=extensions)) == EXAMPLE


def test_order_of_signature_algorithms_does_matter() -> None:
    assert parts(signatures="0804,0403")[2] != parts(signatures="0403,0804")[2]


def test_grease_never_counts() -> None:
    first, last = GREASE[0], GREASE[-1]
    assert (
        fingerprint(
            hello(
                ciphers=f"{first},{CIPHERS},{last}",
                extensions=f"{last},{EXTENSIONS},{first}",
                versions=",".join([*GREASE, "0304", "0303"]),
                signatures=f"{first},0403,0804,0401,0503,0805,0501,0806,0601",
            )
        )
        == EXAMPLE
    )


def test_what_is_nearly_grease_counts() -> None:
    assert parts(ciphers=f"{CIPHERS},0a1a")[0] == "t13d1616h2"
    assert parts(extensions=f"{EXTENSIONS},1a0a")[0] == "t13d1517h2"


def test_server_name_and_protocols_are_not_in_the_hash() -> None:
    without = ",".join(kind for kind in EXTENSIONS.split(",") if kind not in {"0000", "0010"})
    assert "_".join(parts(extensions=without)) == "t13i151400_8daaf6152771_e5627efa2ab1"


def test_without_signature_algorithms_the_published_hash_has_no_underscore() -> None:
    assert parts(signatures="")[2] == "6d807ffa2a79"


def test_empty_lists_are_zeros() -> None:
    assert parts(ciphers="", extensions="") == ["t12i000000", "000000000000", "000000000000"]
    assert parts(ciphers=",".join(GREASE), extensions="0000,0010") == ["t12d0002h2", "000000000000", "000000000000"]


def test_hello_without_a_block_of_extensions() -> None:
    whole = hello(extensions="")
    assert fingerprint(b"\1" + (len(whole) - 6).to_bytes(3, "big") + whole[4:-2]) == "t12i150000_8daaf6152771_000000000000"


@pytest.mark.parametrize(
    ("alpn", "expected"),
    [
        (protocols(b"http/1.1"), "h1"),
        (protocols(b"h"), "hh"),
        (protocols(b""), "00"),
        (protocols(), "00"),
        (b"", "00"),
        (b"\0\1", "00"),
        (protocols(b"\xab"), "ab"),
        (protocols(b"\xab\xcd"), "ad"),
        (protocols(b"\x30\xab"), "3b"),
        (protocols(b"\x30\x31\xab\xcd"), "3d"),
        (protocols(b"\x30\xab\xcd\x31"), "01"),
        (protocols(b"\x1b[2J"), "1a"),
        (b"\0\3\xffh2", "h2"),
    ],
)
def test_ends_of_the_first_protocol(alpn: bytes, expected: str) -> None:
    assert parts(alpn=alpn)[0] == f"t13d1516{expected}"


@pytest.mark.parametrize(
    ("legacy", "versions", "expected"),
    [
        (0x0303, "0304", "t13"),
        (0x0303, "0301,0303,0302", "t12"),
        (0x0303, "0302,0301", "t11"),
        (0x0303, "0301", "t10"),
        (0x0303, "0300", "ts3"),
        (0x0303, "0002", "ts2"),
        (0x0303, "7f1c,0304", "t00"),
        (0x0301, "", "t10"),
        (0x0305, "", "t00"),
        (0xFEFF, "", "dd1"),
        (0xFEFD, "", "dd2"),
        (0xFEFD, "fefc", "dd3"),
    ],
)
def test_versions(legacy: int, versions: str, expected: str) -> None:
    assert parts(legacy=legacy, versions=versions)[0].startswith(f"{expected}d")


def test_numbers_have_two_digits() -> None:
    assert parts(ciphers=",".join(["1301"] * 6))[0] == "t13d0616h2"
    many = ",".join(f"{number:04x}" for number in range(0x1000, 0x1000 + 120))
    assert parts(ciphers=many, extensions=many)[0] == "t12i999900"


def test_bounds() -> None:
    fitting = hello(ciphers=",".join(["1301"] * MAX_CIPHERS), extensions=",".join(["0005"] * MAX_EXTENSIONS))
    assert (fingerprint(fitting) or "").startswith("t12i999900_")
    assert fingerprint(hello(ciphers=",".join(["1301"] * (MAX_CIPHERS + 1)))) is None
    assert fingerprint(hello(extensions=",".join(["0005"] * (MAX_EXTENSIONS + 1)))) is None


def test_hash_is_of_the_listed_numbers() -> None:
    assert parts(ciphers="c02f,0035")[1] == sha256(b"0035,c02f").hexdigest()[:12]
    assert parts(extensions="000d,0005", signatures="0804")[2] == sha256(b"0005,000d_0804").hexdigest()[:12]


def test_cut_at_every_length_there_is_no_fingerprint() -> None:
    whole = hello()
    assert [fingerprint(whole[:length]) for length in range(len(whole))] == [None] * len(whole)
    assert fingerprint(whole + b"\0") is None


def test_odd_length_of_ciphers() -> None:
    whole = bytearray(hello())
    whole[4 + 2 + 32 + 33 + 1] += 1
    assert fingerprint(bytes(whole)) is None


@given(st.binary(max_size=300), st.integers(0, 250))
def test_any_bytes_do_no_harm(noise: bytes, at: int) -> None:
    whole = hello()
    for damaged in (noise, whole[:at] + noise, whole[:at] + noise + whole[at + len(noise) :]):
        found = fingerprint(damaged)
        assert found is None or (len(found) == len(EXAMPLE) and found.isascii() and found.replace("_", "").isalnum())
