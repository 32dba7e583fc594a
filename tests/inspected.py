"""An accountant with an inspector, with or without native matchers, and what becomes of conversations."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from conversation_tools import Facts, facts

from fastmon.accounting import NativeAccountant, make_accountant
from fastmon.classify import APPLICATIONS, by_port, by_protocol
from fastmon.classify.classifier import Classifier
from fastmon.errors import CaptureError
from fastmon.model.conversations import LABELLED_BY, AppTables
from fastmon.model.names import NameBook
from fastmon.model.snapshot import Interval
from fastmon.run.inspection import Inspector, ReplayBudget, native_matchers

if TYPE_CHECKING:
    from fastmon.capture import Capture
    from fastmon.classify import Conversation, Finding
    from fastmon.model.frames import Frame
    from fastmon.native.matchers import Matchers

MATCHERS = native_matchers()
TABLES = AppTables(by_protocol(), by_port(6), by_port(17))
EVER = Interval(-(1 << 62), 1 << 62)
TOKEN_BYTES = 8


class Counting(Classifier):
    """A classifier that counts the payloads it is shown."""

    def __init__(self) -> None:
        super().__init__()
        self.n_seen = 0

    def inspect(self, conversation: Conversation, payload: bytes, from_a: bool, ts_ns: int) -> Finding | None:
        self.n_seen += 1
        return super().inspect(conversation, payload, from_a, ts_ns)


class Ended(NamedTuple):
    """A conversation that has ended, and all of its record but the token."""

    first_ns: int
    app: str
    by: str
    title: str | None
    ja4: str | None
    certificate: str | None
    record: bytes


class Outcome(NamedTuple):
    """All that a run tells.  names: the state of its book."""

    ended: list[Ended]
    names: Any
    summary: Facts


class Inspected:
    """An accountant whose payloads are looked at when `look` is called."""

    def __init__(self, *, matchers: Matchers | None = MATCHERS, **options: Any) -> None:
        defaults: dict[str, Any] = {"max_conversations": 1 << 16, "applications": TABLES, "keep_conversations": True, "seed": 0}
        self.accountant = cast("NativeAccountant", make_accountant("native", **(defaults | options)))
        self.classifier = Counting()
        self.names = NameBook()
        self.inspector = Inspector(
            self.accountant, lambda: self.classifier, ReplayBudget(100), self.names, matchers=matchers, keeps_details=True
        )
        self.ended: list[Ended] = []

    def account(self, *frames: Frame) -> None:
        """Account frames at once."""
        for frame in frames:
            self.accountant.account(frame)

    def look(self, n_frames: int = 1) -> None:
        """Look at what came, and take what has ended."""
        self.inspector.look(n_frames)
        self.take_ended()

    def take_ended(self) -> None:
        """Take the conversations that have ended, with what payloads told of them."""
        ended = self.inspector.complete(self.accountant.take_conversations())
        for row, title, ja4, certificate in zip(*ended, strict=True):
            app, by = APPLICATIONS[row["app"]].name, LABELLED_BY[row["by"]]
            self.ended.append(Ended(int(row["first_ns"]), app, by, title, ja4, certificate, row.tobytes()[TOKEN_BYTES:]))

    def drain(self, capture: Capture, gulp_frames: int, max_frames: int = 1 << 62) -> None:
        """Account a capture, up to its end, its damage or a number of frames; look after so many frames each."""
        n_frames = 0
        with suppress(CaptureError):
            while not capture.exhausted and n_frames < max_frames:
                n_drained = self.accountant.drain(capture, gulp_frames)
                self.look(n_drained)
                n_frames += n_drained

    def finish(self) -> Outcome:
        """End everything."""
        self.inspector.finish()
        _, summary = self.accountant.finish(EVER, EVER)
        self.take_ended()
        return Outcome(self.ended, self.names.__getstate__(), facts(summary))

    def labels(self) -> list[tuple[str, str]]:
        """Look, end everything, and return each conversation's application and what told it, the first one first."""
        self.look()
        return [(one.app, one.by) for one in sorted(self.finish().ended)]
