"""An example of a configuration file, which `fastmon check-config --example` prints.

What it does not do: fit a network. The rules that are not commented out raise no alert where nothing is wrong.
"""

from __future__ import annotations

__all__ = ["EXAMPLE"]

EXAMPLE = """\
# fastmon.toml: options, groups, rules and actions.
#
#   fastmon check-config fastmon.toml
#   fastmon live eth0 --config fastmon.toml --state fastmon.db
#
# A line that begins with '#' and no space is a setting that is switched off. Remove the '#' to switch it on.

# Options: those of the command line, by their long names. The command line wins.

interval = "60s"
limit = "0"                       # no limit for every host alike: the rules below have limits
#local = ["192.168.1.0/24", "2001:db8:1::/64"]
#log = "/var/log/fastmon/fastmon.log"

# Groups of hosts, for the scopes of rules: addresses, networks, MACs, vendor:GLOB, name:GLOB.

[groups]
cameras = ["192.0.2.40", "192.0.2.48/29", "02:00:5e:10:00:14"]
guests = ["198.51.100.0/24"]

# Rules. A scope says which hosts a rule governs: an address, a network, a MAC, group:NAME, vendor:GLOB, name:GLOB,
# local, all, or the network as a whole. Of several rules of a kind for the same thing, the most specific scope wins.

# total: more bytes than expected in an hour, a day, a week, a month, or the whole run.

[[rule]]
name = "daily-total"
kind = "total"
scope = "local"
limit = "100GB"
#by = "mac"                       # all addresses of a device together; by default each by itself
per = "day"
#time-zone = "Europe/Berlin"

[[rule]]
name = "camera-quota"
kind = "total"
scope = "group:cameras"
direction = "both"                # in, out, both
limit = "5GB"
per = "month"
reset-day = 15
warn-at = [80, 90, 100]           # percent of the limit; each is told once a month
#actions = ["phone"]

# rate: faster than expected, for a while. It clears at a lower rate, so that it does not flap.

[[rule]]
name = "uplink"
kind = "rate"
scope = "network"
limit = "900Mbit/s"               # or "20kpps", "500conversations/s"
clear = "700Mbit/s"
window = "10s"
for = "1m"
clear-for = "1m"
cooldown = "10m"

# ports, apps, peers: what a device may use, offer, or talk to. Anything else is told once.

[[rule]]
name = "camera-services"
kind = "ports"
scope = "group:cameras"
role = "client"                   # client: what it uses; server: what it offers
allow = ["udp/53", "udp/67", "udp/123", "tcp/443", "tcp/8000-8100", "icmp", "igmp"]
severity = "critical"

[[rule]]
name = "telnet"
kind = "ports"
scope = "local"
deny = ["tcp/23", "tcp/2323"]     # how worms find other devices

[[rule]]
name = "guest-apps"
kind = "apps"
scope = "group:guests"
deny = ["bittorrent"]

#[[rule]]
#name = "camera-peers"
#kind = "peers"
#scope = "group:cameras"
#allow = ["192.168.1.0/24", "*.example.org"]
#learn = "7d"                     # what is seen in the first week is allowed, too

# spread: many peers or ports in a short time. Those that are probed, which do not answer, refuse, or are only looked for: a
# scan, a worm. A router looks for all others: give it a limit of its own.

[[rule]]
name = "scan"
kind = "spread"
scope = "local"
count = "probed"                  # or "opened": all conversations
ports = 60
peers = 12
window = "1m"
severity = "critical"

[[rule]]
name = "spread"
kind = "spread"
scope = "local"
ports = 100
peers = 200
window = "1m"

# failed: many conversations that nobody answers.

[[rule]]
name = "unanswered"
kind = "failed"
scope = "local"
limit = 300
window = "1m"

# loss: fastmon itself missed frames; with silence, also: no frame came at all.

[[rule]]
name = "loss"
kind = "loss"
share = "1%"
#silence = "5m"

# new: a device that was never seen before. Learn for as long as it takes until every device has been there.

#[[rule]]
#name = "new-device"
#kind = "new"
#learn = "7d"
#severity = "info"

# silent: a device that should be heard from.

#[[rule]]
#name = "camera-silent"
#kind = "silent"
#scope = "group:cameras"
#for = "10m"

# duplicate: one address, two devices.

#[[rule]]
#name = "duplicate-address"
#kind = "duplicate"
#window = "1m"

# baseline: far from what a device does at this hour of the week. It tells nothing before it has learned.

#[[rule]]
#name = "unusual"
#kind = "baseline"
#measure = "bytes-out"
#score = 8
#least = "50MB"
#schedule = ["mon-fri 18:00-08:00", "sat,sun"]

# Actions: what is done with the alerts of rules that name them. Alerts also stand in the results and in the log.

#[[action]]
#name = "phone"
#apprise = "env:PHONE_URL"        # a URL, env:NAME, or file:PATH (of mode 600)

#[[action]]
#name = "script"
#exec = ["/usr/local/bin/on-alert", "--flag"]
#rate = "20/1m"                   # more are summed up

#[[action]]
#name = "siem"
#syslog = "udp://192.0.2.5:514"   # or tcp://, tls://, unix:/dev/log

#[[action]]
#name = "archive"
#file = "/var/lib/fastmon/alerts.jsonl"
"""
