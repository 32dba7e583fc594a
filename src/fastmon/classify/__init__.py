"""Classification: the first payloads of a conversation give its application, and names of hosts.

`APPLICATIONS` is the table of applications and how each is recognised. `Classifier` applies it. docs/applications.md shows it.

What it does not do: input or output, or look names up. Names come out as they were sent; they are not sanitised.
"""

from __future__ import annotations

from fastmon.classify.applications import APPLICATIONS, BY_NAME, Application
from fastmon.classify.classifier import Classifier
from fastmon.classify.model import Conversation, Endpoint, Finding, NameFact
from fastmon.classify.tables import by_port, by_protocol

__all__ = [
    "APPLICATIONS",
    "BY_NAME",
    "Application",
    "Classifier",
    "Conversation",
    "Endpoint",
    "Finding",
    "NameFact",
    "by_port",
    "by_protocol",
]
