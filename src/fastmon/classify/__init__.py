"""What the traffic is: a conversation's first payloads -> its application, and hosts' names.

`APPLICATIONS` is the table of what is recognised and how; `Classifier` applies it. docs/applications.md shows it to people.

What it does not do: read or write anything, or look names up. Names come out as they were sent, and are not sanitised.
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
