"""A month with everything that rules tell of, its rules, and the alerts that they have to give.

A month here is one of a quota, from one reset day to the next, by the clocks of Berlin: in spring one of its days has 23 hours,
in autumn one has 25.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import NamedTuple

import builders as b

from fastmon.model.frames import Frame

S = 1_000_000_000
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)

PEER, OTHER_PEER, ROUTER_MAC = "192.0.2.10", "198.51.100.5", bytes.fromhex("02005e000001")
LEAK, FLAP, BURST, LAMP, PRINTER = "10.0.0.40", "10.0.0.7", "10.0.0.8", "10.0.0.50", "10.0.0.41"
PORT_SCANNER, HOST_SCANNER = "10.0.0.66", "10.0.0.67"
METER, DAILY, CLOCK = "10.0.0.20", "10.0.0.21", "10.0.0.1"
KNOWN, NEWCOMER, NEWCOMERS_OTHER = "10.0.0.97", "10.0.0.99", "10.0.0.100"

RULES = """
limit = "0"

[[rule]]
name = "leak"
kind = "total"
scope = "10.0.0.40"
limit = "100kB"
per = "hour"
warn-at = [80, 100]

[[rule]]
name = "month"
kind = "total"
scope = "10.0.0.20"
limit = "100kB"
per = "month"
reset-day = 15
warn-at = [80, 100]
time-zone = "Europe/Berlin"

[[rule]]
name = "day"
kind = "total"
scope = "10.0.0.21"
limit = "100kB"
per = "day"
warn-at = [100]
time-zone = "Europe/Berlin"

[[rule]]
name = "flap"
kind = "rate"
scope = "10.0.0.7"
limit = "100kbit/s"
clear = "50kbit/s"
window = "5s"
for = "5s"
clear-for = "20s"

[[rule]]
name = "burst"
kind = "rate"
scope = "10.0.0.8"
limit = "1Mbit/s"
window = "5s"

[[rule]]
name = "scan"
kind = "spread"
ports = 100
peers = 100
window = "1m"

[[rule]]
name = "newcomer"
kind = "new"
scope = "10.0.0.96/28"
learn = "1h"

[[rule]]
name = "lamp"
kind = "silent"
scope = "10.0.0.48/29"
for = "2m"

[[rule]]
name = "printer"
kind = "ports"
scope = "10.0.0.41"
learn = "1h"
allow = []
"""


class Told(NamedTuple):
    """What is expected of an alert; `time` as it stands there, without "Z"."""

    time: str
    rule: str
    host: str
    state: str


class Month(NamedTuple):
    """Times are UTC. The quotas' month is from `reset` to `next_reset`; `day` and `next_day` are midnights around the change."""

    reset: str
    day: str
    next_day: str
    next_reset: str


SPRING = Month("2026-03-14T23:00", "2026-03-28T23:00", "2026-03-29T22:00", "2026-04-14T22:00")
AUTUMN = Month("2026-10-14T22:00", "2026-10-24T22:00", "2026-10-25T23:00", "2026-11-14T23:00")

BUSY = "2026-03-28T22:30"
"""When the busy half hour of spring begins. The lists below number its seconds."""


def moment(minute: str, second: float = 0) -> datetime:
    return datetime.fromisoformat(minute + ":00+00:00") + timedelta(seconds=second)


def far_reset_day() -> int:
    """Return a reset day of months that is not near: for tests that live runs go through."""
    return (datetime.now(timezone.utc).day + 13) % 28 + 1


def text(minute: str, second: float = 0) -> str:
    return moment(minute, second).isoformat(timespec="microseconds")[:26]


MONTH_BEGINS = moment(SPRING.reset, -10_800)
BUSY_BEGINS = moment(BUSY, -7200)


def mac_of(host: str) -> bytes:
    """Return the Ethernet address of a device. The newcomer has two addresses."""
    return bytes.fromhex("02005e0001") + bytes([int((NEWCOMER if host == NEWCOMERS_OTHER else host).rsplit(".", 1)[1])])


def frame(
    at: datetime, src: str, dst: str = PEER, port: int = 443, *, size: int = 100, flags: int = b.ACK, sport: int = 0
) -> Frame:
    payload = b.tcp(sport or 40_000, port, flags=flags)
    data = b.ethernet(b.IPV4, b.ipv4(src, dst, payload, protocol=b.TCP), src=mac_of(src), dst=ROUTER_MAC)
    return Frame(int(at.timestamp()) * S + at.microsecond * 1000, size, 1, data)


def quotas(month: Month) -> list[Frame]:
    """Return traffic of a month and the hours around it: some before and after each midnight that the quotas turn on."""
    moves = [
        (METER, month.reset, -7199.5, 90),  # in the month before
        (METER, month.reset, 0.5, 50),
        (METER, month.next_reset, -1.8, 31),  # 81 kB in the month's last second
        (METER, month.next_reset, 0.5, 20),
        (DAILY, month.day, -0.8, 30),  # on the day before
        (DAILY, month.day, 0.5, 60),
        (DAILY, month.next_day, -1.5, 60),  # 120 kB in the day's last second
        (DAILY, month.next_day, 0.5, 60),
    ]
    frames = [frame(moment(minute, second), host, size=1000 * n_kb) for host, minute, second, n_kb in moves]
    start, end = moment(month.reset, -10_800), moment(month.next_reset, 1800)
    while start < end:  # a silence of more than a day would be a step of the clock
        frames.append(frame(start, CLOCK))
        start += timedelta(hours=6)
    return frames


def told_of_quotas(month: Month) -> list[Told]:
    return [
        Told(text(month.reset, -7199), "month", METER, "firing"),
        Told(text(month.reset), "month", METER, "cleared"),
        Told(text(month.next_day, -1), "day", DAILY, "firing"),
        Told(text(month.next_day), "day", DAILY, "cleared"),
        Told(text(month.next_reset, -1), "month", METER, "firing"),
        Told(text(month.next_reset), "month", METER, "cleared"),
    ]


def busy() -> list[Frame]:
    """Return what happens in the busy half hour, and before it to those who learn."""
    frames = []
    for learnt in (MONTH_BEGINS, BUSY_BEGINS):
        frames += [frame(learnt, KNOWN), frame(learnt, PRINTER), frame(learnt, PRINTER, OTHER_PEER, 53)]

    def add(second: float, *details: object, **more: object) -> None:
        frames.append(frame(moment(BUSY, second), *details, **more))  # type: ignore[arg-type]

    for second in range(600):
        add(second, LEAK, size=200)
    for second in range(100, 200):
        add(second + 0.1, FLAP, size=14_000 if second < 120 or second % 10 < 5 else 7_000)
    for number in range(60):
        add(350.5 + number / 1000, BURST, size=14_000)
    for second in (*range(0, 301, 10), 600):
        add(second + 0.25, LAMP)
    for number in range(300):
        add(700.2 + number / 1000, PORT_SCANNER, port=1000 + number, flags=b.SYN)
        target = f"198.51.100.{number + 1}" if number < 150 else f"203.0.113.{number - 149}"
        add(800.2 + number / 1000, HOST_SCANNER, target, 22, flags=b.SYN)
    add(890, KNOWN)
    add(900.3, NEWCOMER)
    add(905, NEWCOMERS_OTHER)
    add(940, PRINTER, OTHER_PEER, 53)
    add(950.2, PRINTER, OTHER_PEER, 8443, flags=b.SYN)
    return frames


BUSY_TOLD = [
    Told(text(BUSY, 110), "flap", FLAP, "firing"),
    Told(text(BUSY, 221), "flap", FLAP, "cleared"),
    Told(text(BUSY, 351), "burst", BURST, "firing"),
    Told(text(BUSY, 356), "burst", BURST, "cleared"),
    Told(text(BUSY, 400), "leak", LEAK, "firing"),
    Told(text(BUSY, 420.25), "lamp", LAMP, "firing"),
    Told(text(BUSY, 500), "leak", LEAK, "firing"),
    Told(text(BUSY, 600.25), "lamp", LAMP, "cleared"),
    Told(text(BUSY, 701), "scan", PORT_SCANNER, "firing"),
    Told(text(BUSY, 720.25), "lamp", LAMP, "firing"),
    Told(text(BUSY, 760.499), "scan", PORT_SCANNER, "cleared"),
    Told(text(BUSY, 801), "scan", HOST_SCANNER, "firing"),
    Told(text(BUSY, 860.499), "scan", HOST_SCANNER, "cleared"),
    Told(text(BUSY, 901), "newcomer", NEWCOMER, "firing"),
    Told(text(BUSY, 951), "printer", PRINTER, "firing"),
    Told(text(BUSY, 1800), "leak", LEAK, "cleared"),
]


class Season(NamedTuple):
    """A capture and what it gives."""

    frames: list[Frame]
    told: list[Told]

    @classmethod
    def of(cls, frames: list[Frame], told: list[Told]) -> Season:
        return cls(sorted(frames, key=lambda frame: frame.ts_ns), sorted(told))

    def between(self, start: datetime, end: datetime) -> Season:
        """Return a part that begins with a frame."""
        first_ns, last_ns = (int(each.timestamp()) * S for each in (start, end))
        times = start.isoformat()[:19], end.isoformat()[:19]
        frames = [frame for frame in self.frames if first_ns <= frame.ts_ns < last_ns]
        return Season(frames, [told for told in self.told if times[0] <= told.time < times[1]])


_SPRING = Season.of(quotas(SPRING) + busy(), told_of_quotas(SPRING) + BUSY_TOLD)
SEASONS = {
    "spring": _SPRING,
    "autumn": Season.of(quotas(AUTUMN), told_of_quotas(AUTUMN)),
    "evening": _SPRING.between(BUSY_BEGINS, moment(SPRING.day, 60)),
}
"""`evening` is the busy part of spring: short enough for an interval of a minute."""
