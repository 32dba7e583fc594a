"""Makes docs/applications.md from the table of applications: python -m fastmon.classify.document > docs/applications.md.

What it does not do: know applications.
"""

from __future__ import annotations

import sys

from fastmon.classify.applications import APPLICATIONS, Application

__all__ = ["document"]

_HEAD = """\
# Applications

The applications that fastmon recognises, and how. This page is generated from the table in
`src/fastmon/classify/applications.py`: `python -m fastmon.classify.document > docs/applications.md`.

- fastmon inspects the first payloads of a conversation, in both directions, up to 1,500 bytes each. They may be
  cut by the capture. A label from them is *by payload*.
- A payload that fits several applications (`220 ready` greets in FTP and SMTP), or has little evidence (RTP's 12-byte
  header), needs support: a second payload that agrees with it, or the application's port.
- If no payload decides, the port does (*by port*), of either side. Without a known port the label is `unknown`.
- TLS is `https` if the client offers HTTP by ALPN, or if the port is 443 or 8443. On the TLS port of another protocol
  (993, 995, 465, 636...) it has that protocol's name. Otherwise it is `tls`.
  A connection that switches to TLS (STARTTLS) keeps its first label.
- Encrypted DNS has names of its own. `dot` and `doq` are told by ALPN or by port 853. `doh` is HTTPS with the name of a public
  resolver: one that `src/fastmon/classify/online.tsv` has in the category `dns`. A resolver with another name is `https`.
- FTP data, RTP and RTCP are expected at the endpoints that the controlling connection announced, for 5 minutes.
- STUN that leads to media becomes `rtp` when the media starts.
- Server names in QUIC need the extra `quic` (`pip install 'fastmon[quic]'`). Without it QUIC is recognised, without a name.
- A cut or damaged message is recognised if the rest of it cannot be anything else. Otherwise it has no label by payload.
  A name that was cut is not used.

Names come from answers and registrations in DNS, mDNS, LLMNR and NetBIOS, from host names in DHCP, from SNI, and from the
Host field of HTTP. fastmon looks nothing up. Names are what was sent: an attacker can choose them.

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
    """Return numbers as text, with runs of three and more as ranges."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 2 else ", ".join(map(str, run)) for run in runs)


if __name__ == "__main__":
    sys.stdout.write(document())
