"""Names and the online services that they belong to; the table itself."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter

import pytest

from fastmon.classify import online
from fastmon.classify.online import CATEGORIES, OnlineService, is_resolver, online_service_of

ROWS = [tuple(line.split("\t")) for line in online._TABLE.read_text("ascii").splitlines() if not line.startswith("#")]
LABEL = r"[a-z0-9]([a-z0-9-]*[a-z0-9])?"


@pytest.mark.parametrize(
    ("name", "service", "category"),
    [
        ("netflix.com", "Netflix", "video"),
        ("www.netflix.com", "Netflix", "video"),
        ("ipv4-c001-fra001-ix.1.oca.nflxvideo.net", "Netflix", "video"),
        ("rr3---sn-4g5e6nzz.googlevideo.com", "YouTube", "video"),
        ("audio-fa.scdn.co", "Spotify", "music"),
        ("fe2cr.update.microsoft.com", "Windows Update", "update"),
        ("deb.debian.org", "Debian", "update"),
        ("a2.tuyaeu.com", "Tuya", "iot"),
        ("use1-wap.tplinkcloud.com", "TP-Link", "iot"),
        ("0.debian.pool.ntp.org", "NTP Pool", "time"),
        ("ad.doubleclick.net", "Google Ads", "ads"),
        ("reports.crashlytics.com", "Firebase Crashlytics", "telemetry"),
        ("e4478.a.akamaiedge.net", "Akamai", "cdn"),
        ("mmg.whatsapp.net", "WhatsApp", "messaging"),
        ("cloudflare-dns.com", "Cloudflare DNS", "dns"),
    ],
)
def test_names_of_services(name: str, service: str, category: str) -> None:
    assert online_service_of(name) == OnlineService(service, category)


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "com", "example.org", "notnetflix.com", "netflix.com.example.org", "netflix", "netflix.co", "-netflix.com"],
)
def test_names_of_none(name: str) -> None:
    assert online_service_of(name) is None


def test_longest_suffix_wins() -> None:
    names = ("google.com", "www.google.com", "mail.google.com", "x.mail.google.com", "notmail.google.com")
    found = [online_service_of(name) for name in names]
    assert [one.service for one in found if one] == ["Google", "Google", "Gmail", "Gmail", "Google"]


@pytest.mark.parametrize(
    "name", ["WWW.NETFLIX.COM", "www.Netflix.com", "www.netflix.com.", "netflix.com..", "\u00e9.netflix.com"]
)
def test_case_and_dots_at_the_end_do_not_matter(name: str) -> None:
    assert online_service_of(name) == OnlineService("Netflix", "video")


@pytest.mark.parametrize("name", ["tiktok.com", "TIKTOK.com"])
def test_only_letters_of_ascii_have_cases(name: str) -> None:
    """The Kelvin sign is a K in Unicode's eyes, and in no name's."""
    assert online_service_of(name) is not None
    assert online_service_of(name.replace("k", "\u212a").replace("K", "\u212a")) is None


def test_odd_text_is_no_error() -> None:
    assert online_service_of("\udcff.netflix.com") == OnlineService("Netflix", "video")
    assert online_service_of("." * 600) is None
    assert online_service_of("a." * 300 + "netflix.com") == OnlineService("Netflix", "video")


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        ("dns.google", True),
        ("8888.google", False),
        ("mozilla.cloudflare-dns.com", True),
        ("www.cloudflare.com", False),
        ("dns.quad9.net", True),
        ("www.quad9.net", False),
        ("doh.opendns.com", True),
        ("www.opendns.com", False),
        ("dns.adguard.com", True),
        ("abcdef.dns.nextdns.io", True),
        ("my.nextdns.io", False),
        ("mask.icloud.com", False),
        ("", False),
    ],
)
def test_public_resolvers(name: str, is_one: bool) -> None:
    assert is_resolver(name) == is_one


# The table.


def test_every_row_has_a_suffix_a_service_and_a_category() -> None:
    assert {len(row) for row in ROWS} == {3}
    assert [suffix for suffix, _, _ in ROWS if len(suffix) > 63 or not re.fullmatch(rf"({LABEL}\.)*{LABEL}", suffix)] == []
    assert [service for _, service, _ in ROWS if service != service.strip() or not 1 <= len(service) <= 32] == []
    assert {category for _, _, category in ROWS} == set(CATEGORIES)


def test_no_suffix_stands_twice() -> None:
    assert [suffix for suffix, n in Counter(suffix for suffix, _, _ in ROWS).items() if n > 1] == []


def test_table_is_in_order() -> None:
    """By category, then service: so that what belongs together stands together."""
    assert sorted(ROWS, key=lambda row: (row[2], row[1].casefold(), row[1], row[0])) == ROWS


def test_no_row_says_what_a_shorter_suffix_says() -> None:
    def above(suffix: str) -> OnlineService | None:
        return online_service_of(suffix.partition(".")[2])

    assert [suffix for suffix, *service in ROWS if above(suffix) == tuple(service)] == []


def test_nothing_below_a_resolvers_name_is_something_else() -> None:
    """The native side knows only the resolvers' suffixes."""
    below = [suffix for suffix, _, category in ROWS if category != "dns" and is_resolver(suffix)]
    assert below == []


def test_table_is_read_at_the_first_question() -> None:
    code = (
        "import fastmon.classify.classifier, fastmon.sinks.table, fastmon.sinks.jsonl; from fastmon.classify import online;"
        "before = online._services.cache_info().currsize; online.online_service_of('x');"
        "print(before, online._services.cache_info().currsize)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "0 1\n"
