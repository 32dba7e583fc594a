"""Rules, groups and actions of the configuration file: what each key becomes, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from config_files import load, problems, rule, rule_problems

from fastmon.config.rules import RULES
from fastmon.config.values import parse_ports, parse_schedule, parse_zone
from fastmon.errors import ConfigError
from fastmon.policy.specs import (
    ActionSpec,
    AppsSpec,
    BaselineSpec,
    DuplicateSpec,
    FailedSpec,
    LossSpec,
    NewSpec,
    PeersSpec,
    PortRange,
    PortsSpec,
    RateSpec,
    ScheduleSpec,
    SilentSpec,
    SpreadSpec,
    TotalSpec,
)

S = 1_000_000_000
MINUTE = 60 * S
ALL_DAYS = frozenset(range(7))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('kind = "total"\nlimit = "5GB"', TotalSpec(kind="total", name="x", limit_bytes=5 * 10**9, warn_at=(80, 90, 100))),
        (
            'kind = "total"\nlimit = 7\nper = "month"\nreset-day = 31\nwarn-at = [50]\ndirection = "in"\napps = ["dns", "https"]',
            TotalSpec(
                kind="total",
                name="x",
                limit_bytes=7,
                per="month",
                reset_day=31,
                warn_at=(50,),
                direction="in",
                apps=("dns", "https"),
            ),
        ),
        (
            'kind = "total"\nlimit = "1GiB"\nper = "week"\nreset-day = "thu"\nports = ["tcp/80"]',
            TotalSpec(
                kind="total",
                name="x",
                limit_bytes=1 << 30,
                per="week",
                reset_day=3,
                warn_at=(80, 90, 100),
                ports=(PortRange(6, 80, 80),),
            ),
        ),
        (
            'kind = "total"\nlimit = 1\nby = "mac"\nper = "week"',
            TotalSpec(kind="total", name="x", limit_bytes=1, by="mac", per="week", reset_day=0, warn_at=(80, 90, 100)),
        ),
        (
            'kind = "rate"\nlimit = "80Mbit/s"\nwindow = 10\nfor = "30s"\nclear = "60Mbit/s"\nclear-for = 40\ncooldown = "10m"',
            RateSpec(kind="rate", name="x", limit=8e7, clear=6e7, for_ns=30 * S, clear_for_ns=40 * S, cooldown_ns=10 * MINUTE),
        ),
        ('kind = "rate"\nlimit = "20kpps"', RateSpec(kind="rate", name="x", limit=20_000, clear=16_000, unit="packets/s")),
        (
            'kind = "rate"\nlimit = "500conversations/s"\nclear = 20',
            RateSpec(kind="rate", name="x", limit=500, clear=20, unit="conversations/s"),
        ),
        ('kind = "rate"\nlimit = 1000.5\nclear = 1', RateSpec(kind="rate", name="x", limit=1000.5, clear=1)),
        (
            'kind = "ports"\nallow = ["udp/53", "tcp/8000-8100", "sctp", "47"]\nrole = "server"\nlearn = "7d"',
            PortsSpec(
                kind="ports",
                name="x",
                role="server",
                allow=(PortRange(17, 53, 53), PortRange(6, 8000, 8100), PortRange(132, 0, 65535), PortRange(47, 0, 65535)),
                learn_ns=7 * 1440 * MINUTE,
            ),
        ),
        ('kind = "ports"\nlearn = "1h"', PortsSpec(kind="ports", name="x", allow=(), learn_ns=60 * MINUTE)),
        ('kind = "ports"\nallow = []', PortsSpec(kind="ports", name="x", allow=())),
        ('kind = "apps"\ndeny = ["bittorrent"]', AppsSpec(kind="apps", name="x", deny=("bittorrent",))),
        (
            'kind = "peers"\nallow = ["192.0.2.0/24", "2001:db8::1", "*.example.org"]\nrole = "client"',
            PeersSpec(kind="peers", name="x", role="client", allow=("192.0.2.0/24", "2001:db8::1", "*.example.org")),
        ),
        ('kind = "spread"\nports = 100', SpreadSpec(kind="spread", name="x", ports=100)),
        (
            'kind = "spread"\npeers = 5\nports = 6\nwindow = "5m"',
            SpreadSpec(kind="spread", name="x", peers=5, ports=6, window_ns=5 * MINUTE),
        ),
        ('kind = "failed"\nlimit = 9', FailedSpec(kind="failed", name="x", limit=9)),
        ('kind = "new"\nlearn = "1d"', NewSpec(kind="new", name="x", learn_ns=1440 * MINUTE)),
        ('kind = "silent"\nfor = "10m"', SilentSpec(kind="silent", name="x", for_ns=10 * MINUTE)),
        ('kind = "duplicate"', DuplicateSpec(kind="duplicate", name="x")),
        (
            'kind = "baseline"\nmeasure = "bytes-in"\nscore = 4.5\nmin-samples = 3\nleast = "2MB"\nwindow = "1m"',
            BaselineSpec(
                kind="baseline",
                name="x",
                measure="bytes-in",
                window_ns=MINUTE,
                score=4.5,
                min_samples=3,
                least_bytes=2_000_000,
            ),
        ),
        ('kind = "loss"', LossSpec(kind="loss", name="x", scope="network")),
        (
            'kind = "loss"\nshare = "2%"\nsilence = "5m"',
            LossSpec(kind="loss", name="x", scope="network", share=0.02, silence_ns=5 * MINUTE),
        ),
        ('kind = "loss"\nshare = 0', LossSpec(kind="loss", name="x", scope="network", share=0)),
    ],
)
def test_rule_becomes_its_specification(text: str, expected: object) -> None:
    assert rule(text) == expected


def test_what_every_rule_has() -> None:
    configuration = load("""
groups.cameras = ["192.168.1.40", "192.168.1.48/29", "02:00:5e:10:00:14", "vendor:Acme*", "name:*-camera"]
action = [{ name = "phone", file = "a" }, { name = "mail", file = "b" }]
[[rule]]
name = "x"
kind = "new"
scope = "group:cameras"
severity = "critical"
time-zone = "Europe/Berlin"
schedule = "mon-fri 08:00-18:00"
actions = ["mail", "phone"]
cooldown = "1m"
""")
    assert configuration.policy.rules == (
        NewSpec(
            kind="new",
            name="x",
            scope="group:cameras",
            severity="critical",
            zone="Europe/Berlin",
            schedule=(ScheduleSpec(frozenset(range(5)), 480, 1080),),
            actions=("mail", "phone"),
            cooldown_ns=MINUTE,
        ),
    )
    assert list(configuration.policy.groups) == ["cameras"]
    assert len(configuration.policy.groups["cameras"]) == 5


def test_every_kind_of_the_contract_is_there() -> None:
    kinds = "total rate ports apps peers spread failed new silent duplicate baseline loss"
    assert list(RULES) == kinds.split()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mon-fri 08:00-18:00", ScheduleSpec(frozenset(range(5)), 480, 1080)),
        ("Sat, Sun", None),
        ("Sat,Sun", ScheduleSpec(frozenset({5, 6}), 0, 1440)),
        ("fri-mon", ScheduleSpec(frozenset({4, 5, 6, 0}), 0, 1440)),
        ("wed", ScheduleSpec(frozenset({2}), 0, 1440)),
        ("22:00-6:30", ScheduleSpec(ALL_DAYS, 1320, 390)),
        ("mon,wed-thu 00:00-24:00", ScheduleSpec(frozenset({0, 2, 3}), 0, 1440)),
        ("08:00-08:00", ScheduleSpec(ALL_DAYS, 480, 480)),
        ("24:00-06:00", None),
        ("08:60-09:00", None),
        ("08:00-24:01", None),
        ("08:00", None),
        ("monday", None),
        ("mon-", None),
        ("mon-fri 08:00-18:00 x", None),
        ("08:00-18:00 mon", None),
        ("", None),
        ("mon\n08:00-09:00\n", ScheduleSpec(frozenset({0}), 480, 540)),
    ],
)
def test_schedules(text: str, expected: ScheduleSpec | None) -> None:
    if expected is not None:
        assert parse_schedule(text) == expected
    else:
        with pytest.raises(ConfigError, match="invalid schedule"):
            parse_schedule(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("tcp/65536", "ports from 0 to 65535"),
        ("tcp/9-8", "the lower one first"),
        ("tcp/", "PROTOCOL/PORT"),
        ("tcp/1-", "PROTOCOL/PORT"),
        ("/53", "PROTOCOL/PORT"),
        ("53", None),
        ("256", "from 0 to 255"),
        ("icmp/8", "icmp has no ports"),
        ("quux/1", "a protocol is one of icmp, igmp, tcp"),
        ("tcp/\u0661", "PROTOCOL/PORT"),
        ("TCP/443", None),
    ],
)
def test_services(text: str, words: str | None) -> None:
    if words is None:
        parse_ports(text)
    else:
        with pytest.raises(ConfigError, match="invalid service") as caught:
            parse_ports(text)
        assert words in str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('kind = "totl"', ["2: kind must be one of total, rate, ports, apps, peers, spread,", "loss, not 'totl'"]),
        ("kind = 5", ["2: kind must be one of", "not 5"]),
        ('scope = "local"', ["1: kind is missing; it must be one of total"]),
        ('kind = "total"', ['1: limit is missing; it must be a size such as "5GB"']),
        ('kind = "new"\nlimits = 1', ["3: limits is no key of it; it has name, scope,", "learn"]),
        ('kind = "new"\ntime_zone = "UTC"', ["3: time_zone is no key of it", "time-zone"]),
        ('kind = "new"\nseverity = "bad"', ['3: severity must be one of "info", "warning", "critical", not \'bad\'']),
        ('kind = "new"\nscope = ["local"]', ["3: scope must be a text, not ['local']"]),
        ('kind = "new"\nscope = "10.0.0.0/33"', ["3: scope: invalid scope '10.0.0.0/33'", "group:NAME"]),
        ('kind = "new"\nscope = "group:x"', ["3: scope: unknown group 'x'", "the groups are: none"]),
        ('kind = "new"\nscope = "network"', ["3: scope: ", "'new'", "not the network"]),
        ('kind = "failed"\nlimit = 5\nscope = "network"', ["4: scope: ", "'failed'", "not the network"]),
        ('kind = "loss"\nscope = "local"', ["3: scope must be \"network\", not 'local'"]),
        ('kind = "new"\ntime-zone = "Mars/Base"', ["3: time-zone: unknown time zone 'Mars/Base'", "Europe/Berlin"]),
        ('kind = "new"\ntime-zone = "../../etc/passwd"', ["3: time-zone: unknown time zone"]),
        ('kind = "new"\ntime-zone = "Europe"', ["3: time-zone: unknown time zone"]),
        ('kind = "new"\nschedule = ["sat",\n"noon"]', ["4: schedule: invalid schedule 'noon'"]),
        ('kind = "new"\nactions = ["phone"]', ["3: actions: unknown action 'phone'; the actions are: none"]),
        ('kind = "new"\ncooldown = "soon"', ["3: cooldown: invalid duration 'soon'"]),
        ('kind = "new"\ncooldown = true', ["3: cooldown must be a duration such as", "not True"]),
        ('kind = "new"\nlearn = -1', ["3: learn: invalid duration '-1'"]),
        ('kind = "new"\nlearn = nan', ["3: learn: use a number of seconds"]),
        ('kind = "total"\nlimit = 0', ["3: limit: it must be at least 1 byte, not 0"]),
        ('kind = "total"\nlimit = 0.5', ["3: limit must be a size such as", "not 0.5"]),
        ('kind = "total"\nlimit = 1\nwarn-at = [90, 80]', ["4: warn-at must be percentages in ascending order", "[90, 80]"]),
        ('kind = "total"\nlimit = 1\nby = "address"', ['4: by must be one of "host", "mac", not \'address\'']),
        ('kind = "total"\nlimit = 1\nby = "mac"\nscope = "network"', ["4: by cannot be \"mac\" with the scope 'network'"]),
        ('kind = "total"\nlimit = 1\nwarn-at = [80, 80]', ["4: warn-at must be"]),
        ('kind = "total"\nlimit = 1\nwarn-at = []', ["4: warn-at must be"]),
        ('kind = "total"\nlimit = 1\nwarn-at = [0]', ["4: warn-at must be a list of at most 20 whole numbers", "not [0]"]),
        ('kind = "total"\nlimit = 1\nwarn-at = [1001]', ["4: warn-at must be a list of at most 20 whole numbers from 1"]),
        (f'kind = "total"\nlimit = 1\nwarn-at = {[*range(1, 22)]}', ["4: warn-at must be a list of at most 20 whole numbers"]),
        ('kind = "total"\nlimit = 1\nper = "day"\nreset-day = 2', ['5: reset-day goes with per = "week" or per = "month"']),
        ('kind = "total"\nlimit = 1\nper = "week"\nreset-day = 2', ["5: reset-day must be one of mon, tue,", "not 2"]),
        ('kind = "total"\nlimit = 1\nper = "month"\nreset-day = "mon"', ["5: reset-day must be a day from 1 to 31", "'mon'"]),
        ('kind = "total"\nlimit = 1\nper = "month"\nreset-day = 32', ["5: reset-day must be a day of the month from 1 to 31"]),
        ('kind = "total"\nlimit = 1\napps = ["dns"]\nports = ["tcp"]', ["5: ports cannot be combined with apps"]),
        ('kind = "total"\nlimit = 1\napps = ["htps"]', ["4: apps: unknown application 'htps'; known: unknown, http,"]),
        ('kind = "rate"\nlimit = "5MB/s"', ["3: limit: invalid rate '5MB/s'", "80Mbit/s"]),
        ('kind = "rate"\nlimit = "0bit/s"', ["3: limit: it must be more than 0"]),
        ('kind = "rate"\nlimit = inf', ["3: limit: it must be more than 0, not inf"]),
        ('kind = "rate"\nlimit = 5\nclear = 5', ["4: clear must be below the limit, 5 bit/s, not 5 bit/s"]),
        ('kind = "rate"\nlimit = "5Mbit/s"\nclear = "9pps"', ["4: clear must be in bit/s", "not in packets/s"]),
        ('kind = "rate"\nlimit = 5\nwindow = 0', ["4: window: it must be between 1s and 1d, not 0"]),
        ('kind = "ports"', ["1: allow or deny is missing"]),
        ('kind = "ports"\nallow = ["tcp"]\ndeny = ["udp"]', ["4: deny cannot be combined with allow"]),
        ('kind = "ports"\ndeny = []', ["3: deny must not be empty"]),
        ('kind = "ports"\ndeny = ["tcp"]\nlearn = 5', ["4: learn goes with allow, not with deny"]),
        ('kind = "ports"\nallow = ["tcp",\n\n "bla"]', ["5: allow: invalid service 'bla'"]),
        ('kind = "ports"\nrole = "both"\nallow = []', ['3: role must be one of "client", "server"']),
        ('kind = "peers"\nallow = ["10.0.0.0/40"]', ["3: allow: invalid network '10.0.0.0/40'"]),
        ('kind = "peers"\nallow = ["a b"]', ["3: allow: invalid peer 'a b'"]),
        ('kind = "spread"', ["1: peers or ports is missing"]),
        ('kind = "spread"\npeers = 0\nports = 0', ["1: peers or ports is missing"]),
        ('kind = "spread"\nports = true', ["3: ports must be a whole number from 0 to", "not True"]),
        ('kind = "failed"\nlimit = 0', ["3: limit must be a whole number from 1 to"]),
        ('kind = "silent"\nfor = 0', ["3: for: it must be between 1s"]),
        ('kind = "loss"\nshare = "200%"', ["3: share: invalid share '200%'"]),
        ('kind = "loss"\nshare = nan', ["3: share: invalid share nan"]),
        ('kind = "baseline"\nscore = 0.5', ["3: score must be a number from 1 to 1000, not 0.5"]),
    ],
)
def test_wrong_rule_names_line_key_value_and_what_is_allowed(text: str, expected: list[str]) -> None:
    (problem,) = rule_problems(text)
    line, *words = expected
    assert problem.startswith(line)
    assert [word for word in words if word not in problem] == []


@pytest.mark.parametrize("name", ["", "a b", "1a", "10.0.0.1", "x" * 65, "\u00e4", "a:b", "a\n"])
def test_names_that_could_be_addresses_or_are_none_are_refused(name: str) -> None:
    text = name.replace("\n", "\\n")
    (found,) = problems(f'[[rule]]\nname = "{text}"\nkind = "new"\n')
    assert found.startswith("2: ")
    assert "invalid name" in found


def test_name_of_the_option_limit_is_refused() -> None:
    (found,) = problems('[[rule]]\nname = "limit"\nkind = "new"\n')
    assert found.startswith("2: rule 'limit': name must be another one")


def test_names_are_given_once() -> None:
    text = '[[rule]]\nname = "a"\nkind = "new"\n' * 2 + '[[action]]\nname = "a"\nfile = "x"\n' * 2
    assert problems(text) == [
        "5: rule 'a': name is given twice, first in line 2",
        "11: action 'a': name is given twice, first in line 8",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("groups = 5", ["1: groups must be a table of lists"]),
        ("rule = 5", ["1: rule must be tables, each begun by [[rule]], not 5"]),
        ("[rule]\nname = 'x'", ["1: rule must be tables"]),
        ("action = ['x']", ["1: action must be tables"]),
        ("[groups]\na = []", ["2: group 'a' must be a list of addresses"]),
        ("[groups]\na = ['10.0.0.1', 5]", ["2: group 'a' must be a list of addresses", "5]"]),
        ("[groups]\na = ['10.0.0.1',\n 'local']", ["3: group 'a': invalid scope 'local'"]),
        ("[groups]\na = ['group:b']", ["2: group 'a': invalid scope 'group:b'"]),
        ("[groups]\n'a b' = ['10.0.0.1']", ["2: groups: invalid name 'a b'"]),
    ],
)
def test_wrong_tables(text: str, expected: list[str]) -> None:
    (found,) = problems(text)
    assert [words for words in expected if words not in found] == []


# Actions.


def action(text: str) -> ActionSpec:
    (found,) = load(f'[[action]]\nname = "a"\n{text}\n').policy.actions
    return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('exec = ["/bin/x", "--flag", ""]', {"exec": ("/bin/x", "--flag", "")}),
        ('exec = ["x"]\nenvironment = { A = "b" }', {"exec": ("x",), "environment": {"A": "b"}}),
        ('apprise = "mailto://u:p@example.org"', {"apprise": "mailto://u:p@example.org"}),
        ('syslog = "udp://[2001:db8::1]:514"', {"syslog": "udp://[2001:db8::1]:514"}),
        ('syslog = "tls://log.example.org?ca=/etc/ca.pem"', {"syslog": "tls://log.example.org?ca=/etc/ca.pem"}),
        ('syslog = "unix:/dev/log"', {"syslog": "unix:/dev/log"}),
        ('file = "/a"\nrate = "5/10s"\ntimeout = 3', {"file": "/a", "rate": 5, "rate_ns": 10 * S, "timeout_ns": 3 * S}),
    ],
)
def test_action_becomes_its_specification(text: str, expected: dict[str, Any]) -> None:
    assert action(text) == ActionSpec(name="a", **expected)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "it needs one of exec, apprise, syslog, file"),
        ('file = "a"\nexec = ["b"]', "file cannot be combined with exec"),
        ("exec = []", "exec must be a program's path and its arguments"),
        ('exec = "rm -rf /"', "exec must be a list: a program's path, and its arguments, not 'rm -rf /'"),
        ('exec = ["a\\u0000"]', "exec must be"),
        ('file = ""', "file: it must be a path"),
        ('file = "x"\nenvironment = { A = "b" }', "environment goes with exec only"),
        ('exec = ["x"]\nenvironment = { "A=" = "b" }', "environment: invalid variable 'A='"),
        ('syslog = "udp://:514"', "syslog: invalid syslog server"),
        ('syslog = "udp://x:0"', "syslog: invalid syslog server"),
        ('syslog = "http://x"', "use udp://HOST:PORT"),
        ('file = "x"\nrate = "0/1m"', "rate: invalid number of alerts '0/1m'"),
        ('file = "x"\nrate = "5/1ms"', "must be at least 1s, not 1ms"),
        ('file = "x"\nrate = 20', 'rate must be a number of alerts in a time, such as "20/1m"'),
    ],
)
def test_wrong_action(text: str, words: str) -> None:
    (found,) = problems(f'[[action]]\nname = "a"\n{text}\n')
    assert ": action 'a': " in found
    assert words in found


SECRET = "tok3n-of-the-service"


@pytest.mark.parametrize(
    "text",
    [
        f'apprise = "{SECRET}"',
        f'apprise = ["{SECRET}"]',
        f'exec = ["x"]\nenvironment = "{SECRET}"',
        f'exec = ["x"]\nenvironment = {{ A = ["{SECRET}"] }}',
    ],
)
def test_wrong_secret_is_not_shown(text: str) -> None:
    (found,) = problems(f'[[action]]\nname = "a"\n{text}\n')
    assert SECRET not in found


def test_secret_is_not_in_the_text_of_an_action() -> None:
    found = action(f'exec = ["x"]\nenvironment = {{ TOKEN = "{SECRET}" }}')
    assert found.environment == {"TOKEN": SECRET}
    assert SECRET not in repr(found) + repr(action(f'apprise = "json://{SECRET}"'))


def test_secret_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHONE_URL", "ntfy://topic")
    assert action('apprise = "env:PHONE_URL"').apprise == "env:PHONE_URL"
    monkeypatch.setenv("PHONE_URL", SECRET)
    (found,) = problems('[[action]]\nname = "a"\napprise = "env:PHONE_URL"')
    assert "apprise: it must be a URL" in found
    assert SECRET not in found
    monkeypatch.delenv("PHONE_URL")
    assert "PHONE_URL is not set" in problems('[[action]]\nname = "a"\napprise = "env:PHONE_URL"')[0]
    assert "name of an environment variable" in problems('[[action]]\nname = "a"\napprise = "env:"')[0]


@pytest.mark.parametrize(("mode", "is_right"), [(0o600, True), (0o400, True), (0o640, False), (0o604, False), (0o644, False)])
def test_secret_of_a_file_that_only_its_owner_may_read(tmp_path: Path, mode: int, is_right: bool) -> None:
    path = tmp_path / "url"
    path.write_text("ntfy://topic\n")
    path.chmod(mode)
    text = f'[[action]]\nname = "a"\napprise = "file:{path}"'
    if is_right:
        assert load(text).policy.actions[0].apprise == f"file:{path}"
    else:
        (found,) = problems(text)
        assert f"can be read by others: its mode is {mode:o}, use 600" in found


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "is empty"), (b"  \n", "is empty"), (b"\xff\xfe", "is not text"), (b"x" * 100_000, "has more than 65536 bytes")],
)
def test_file_without_a_secret(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "url"
    path.touch(0o600)
    path.write_bytes(content)
    (found,) = problems(f'[[action]]\nname = "a"\napprise = "file:{path}"')
    assert words in found


def test_secret_that_is_no_file(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing", Path("/dev/zero"), "a\\u0000b"):
        (found,) = problems(f'[[action]]\nname = "a"\napprise = "file:{path}"')
        assert "the secret in" in found


def test_system_without_time_zones_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zoneinfo.available_timezones", set)
    monkeypatch.setattr("zoneinfo.ZoneInfo", {}.__getitem__)
    assert parse_zone("UTC") == "UTC"
    with pytest.raises(ConfigError, match=r"'Europe/Berlin' cannot be used: .* install the package tzdata"):
        parse_zone("Europe/Berlin")
