"""Classification: the first payloads of a conversation give its application, and names of hosts.

`APPLICATIONS` is the table of applications and how each is recognised. `classifier.Classifier` applies it: it loads
all matchers, so it is not imported here. docs/applications.md shows it.

What it does not do: capture, write, or look names up in the network. Names come out as they were sent; they are not sanitised.
"""

from __future__ import annotations

from fastmon.classify.applications import APPLICATIONS, BY_NAME, Application
from fastmon.classify.model import Conversation, Endpoint, Finding, NameFact
from fastmon.classify.tables import by_port, by_protocol, for_native

__all__ = [
    "APPLICATIONS",
    "BY_NAME",
    "Application",
    "Conversation",
    "Endpoint",
    "Finding",
    "NameFact",
    "by_port",
    "by_protocol",
    "for_native",
]
