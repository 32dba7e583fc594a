"""The page about what is recognised, made of the table: python -m fastmon.classify.document > docs/applications.md.

What it does not do: hold knowledge of its own.
"""

from __future__ import annotations

import sys

from fastmon.classify.applications import APPLICATIONS, Application

__all__ = ["document"]

_HEAD = """\
# Applications

What fastmon calls a conversation, and how it tells. This page is made of the table in
`src/fastmon/classify/applications.py`; `python -m fastmon.classify.document > docs/applications.md` makes it anew.

- The first payloads of a conversation are looked at, in both directions, up to 1,500 bytes each, whether a capture
  has all of them or cut them. A label from them is *by payload*.
- What may be several things (`220 ready` greets in FTP and SMTP), or is too little (RTP's 12 bytes), needs a
  second payload that says the same, or the port of the application.
- Where no payload decides, the port does (*by port*), of either side. No port and no payload: `unknown`.
- TLS is `https` when the client offers HTTP by ALPN or the port is 443. On the port of another protocol's secure
  variant (993, 995, 465, 636, 853...) it has that protocol's name; otherwise it is `tls`.
  A connection that turns to TLS (STARTTLS) keeps its first name.
- FTP data, and RTP and RTCP, are expected where the controlling connection said that they would be, for 5 minutes.
- STUN that leads to media is `rtp` as soon as media flows.
- Server names in QUIC need the extra `quic` (`pip install 'fastmon[quic]'`); without it QUIC is recognised, without a name.
- Messages cut or damaged are recognised as long as what is left could be nothing else.

Names come from DNS, mDNS, LLMNR and NetBIOS answers and registrations, DHCP's host names, SNI and HTTP's Host field. Nothing is
looked up. They are whatever was sent: an attacker chooses them.

| name | what it is | by payload | TCP ports | UDP ports | IP protocols |
|---|---|---|---|---|---|
"""


def document() -> str:
    """Return the page."""
    return _HEAD + "".join(f"{_row(application)}\n" for application in APPLICATIONS[1:])


def _row(application: Application) -> str:
    how = "" if application.protocols and not application.matchers and not application.tcp else application.how
    cells = (
        f"`{application.name}`",
        application.about,
        how or "",
        _numbers(application.tcp),
        _numbers(application.udp),
        _numbers(application.protocols),
    )
    return f"| {' | '.join(cells)} |"


def _numbers(numbers: tuple[int, ...]) -> str:
    """Return numbers with runs of more than two put together."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 2 else ", ".join(map(str, run)) for run in runs)


if __name__ == "__main__":
    sys.stdout.write(document())
