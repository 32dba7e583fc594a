"""Labels a conversation by its first payloads.

The payload's protocol and first byte select the matchers to try. A certain match decides. An uncertain one is evidence, and needs
support: the conversation's port, an announcement by another conversation, or a second payload for the same application.
A certain match outweighs an announcement, except for the one data connection that an FTP command names: it may carry anything.

Cost: at most MAX_MATCHERS matchers read at most MAX_PAYLOAD bytes, once each. No payload costs more than MAX_STEPS lines of
Python, and the decryption of one QUIC Initial.

State: at most `max_pending` conversations that are undecided or followed, and `max_expected` announced endpoints. The oldest are
evicted first. A conversation keeps at most MAX_VOTES pieces of evidence and MAX_MEMORY notes of matchers. An incomplete TLS hello
keeps about 8 KiB, one of QUIC 16 KiB.

What it does not do: capture, count, or sanitise names.
"""

from __future__ import annotations

import struct
from collections import deque
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

from fastmon.classify.applications import APPLICATIONS, BY_NAME
from fastmon.classify.matching import MAX_PAYLOAD, NEVER, Context, Match, MatcherFunction
from fastmon.classify.model import TCP, UDP, Conversation, Endpoint, Finding

if TYPE_CHECKING:
    from collections.abc import Hashable

    from fastmon.classify.applications import Matcher
    from fastmon.classify.matching import Expectation

__all__ = ["MAX_EXPECTED", "MAX_MATCHERS", "MAX_PAYLOAD", "MAX_PENDING", "MAX_STEPS", "MAX_VOTES", "Classifier", "function_of"]

MAX_PENDING = 4096
MAX_EXPECTED = 4096
MAX_VOTES = 8
MAX_MEMORY = 32
MAX_MATCHERS = 24
MAX_STEPS = 20_000
EXPECTED_FOR_NS = 300 * 10**9


class _State:
    """What is known of a conversation that is undecided or followed.  votes: application, tag and payload's hash of evidence."""

    __slots__ = ("follow", "label", "memory", "votes")

    def __init__(self) -> None:
        self.label = ""
        self.follow: MatcherFunction | None = None
        self.memory: dict[Hashable, Any] = {}
        self.votes: list[tuple[str, Hashable, int]] = []


class _Expected(NamedTuple):
    """The application of an announced endpoint.  ts_ns, hosts: time and hosts of the conversation that announced it."""

    app: str
    outright: bool
    ts_ns: int
    hosts: tuple[bytes, bytes]


def function_of(matcher: Matcher) -> MatcherFunction:
    """Return the function of a matcher."""
    module, name = matcher.name.split(".")
    function: MatcherFunction = getattr(import_module(f"fastmon.classify.matchers.{module}"), name)
    return function


Dispatch = dict[int, tuple[tuple[tuple[int, MatcherFunction], ...], ...]]


def _dispatch() -> Dispatch:
    """Return the matchers to try for each protocol and first byte, each with the fewest bytes that it needs."""
    tables: Dispatch = {}
    for protocol in (TCP, UDP):
        matchers = [m for application in APPLICATIONS for m in application.matchers if m.protocol == protocol]
        matchers.sort(key=lambda matcher: len(matcher.first))
        rows = [(matcher.first, (matcher.least, function_of(matcher))) for matcher in matchers]
        tables[protocol] = tuple(tuple(entry for first, entry in rows if byte in first) for byte in range(256))
    return tables


def _port_apps() -> dict[tuple[int, int], frozenset[str]]:
    found: dict[tuple[int, int], frozenset[str]] = {}
    for application in APPLICATIONS:
        for protocol, ports in ((TCP, application.tcp), (UDP, application.udp)):
            for port in ports:
                found[protocol, port] = found.get((protocol, port), frozenset()) | {application.name}
    return found


def _least() -> dict[MatcherFunction, int]:
    """Return the fewest bytes that each matcher of the table needs. Matchers outside the table read payloads of any size."""
    least: dict[MatcherFunction, int] = {}
    for application in APPLICATIONS:
        for matcher in application.matchers:
            function = function_of(matcher)
            least[function] = max(matcher.least, least.get(function, 1))
    return least


_DISPATCH = _dispatch()
_LEAST = _least()
_PORT_APPS = _port_apps()
_NONE: frozenset[str] = frozenset()


class Classifier:
    """Labels conversations.

    use_ports: False hides every port from the matchers, and takes no hint from ports or announcements.
    max_pending, max_expected: how many conversations and announced endpoints are kept.
    n_failed: payloads for which a matcher raised, which is a fault of that matcher.
    """

    def __init__(self, *, use_ports: bool = True, max_pending: int = MAX_PENDING, max_expected: int = MAX_EXPECTED) -> None:
        self.n_failed = 0
        self._use_ports = use_ports
        self._max_pending = max_pending
        self._max_expected = max_expected
        self._pending: dict[int, _State] = {}
        self._expected: dict[tuple[int, Endpoint], _Expected] = {}
        self._news: deque[tuple[int, Endpoint]] = deque(maxlen=max_expected)

    @property
    def n_pending(self) -> int:
        """Conversations with kept state."""
        return len(self._pending)

    @property
    def n_expected(self) -> int:
        """Endpoints that other conversations announced."""
        return len(self._expected)

    def take_expected(self) -> list[tuple[int, Endpoint]]:
        """Return protocol and endpoint of each announcement since the last call, of the latest `max_expected` at most."""
        news = list(self._news)
        self._news.clear()
        return news

    def forget(self, token: int) -> None:
        """Drop the state of a conversation that has ended."""
        self._pending.pop(token, None)

    def inspect(self, conversation: Conversation, payload: bytes, from_a: bool, ts_ns: int) -> Finding | None:
        """Inspect a conversation's next payload; return a finding if it has news.

        payload: MAX_PAYLOAD bytes are read; the capture may have cut it.
        Once a finding does not want more, do not pass further payloads of that conversation.  Never raises.
        """
        if conversation.protocol not in _DISPATCH or not payload:
            return None
        try:
            return self._inspect(conversation, payload[:MAX_PAYLOAD], from_a, ts_ns)
        except (IndexError, ValueError, KeyError, TypeError, AttributeError, OverflowError, struct.error):
            self.n_failed += 1
            return None

    def _inspect(self, conversation: Conversation, payload: bytes, from_a: bool, ts_ns: int) -> Finding | None:
        state = self._pending.get(conversation.token)
        if state is None:
            state = _State()
        context = self._context(conversation, from_a, state)
        if state.follow is not None:
            match = state.follow(payload, context) if len(payload) >= _LEAST.get(state.follow, 1) else None
            if match is not None and match.certain:
                return self._found(match, match.apps[0], conversation, state, ts_ns)
            return None
        announced = self._announced(conversation, ts_ns) if self._expected else None
        if announced is not None and announced.outright:
            self._spend(conversation)
            return self._found(Match((announced.app,)), announced.app, conversation, state, ts_ns)
        unsure = []
        size = len(payload)
        for least, matcher in _DISPATCH[conversation.protocol][payload[0]]:
            if size < least:
                continue
            match = matcher(payload, context)
            if match is None:
                continue
            if match.certain:
                return self._found(match, match.apps[0], conversation, state, ts_ns)
            unsure.append(match)
        if unsure:
            hints = self._hints(conversation, announced) if self._use_ports else _NONE
            return self._weigh(unsure, hints, conversation, state, ts_ns, hash(payload))
        if state.memory:
            self._keep(conversation.token, state)
        return None

    def _context(self, conversation: Conversation, from_a: bool, state: _State) -> Context:
        src, dst = (conversation.a, conversation.b) if from_a else (conversation.b, conversation.a)
        if not self._use_ports:
            src, dst = Endpoint(src.host, 0), Endpoint(dst.host, 0)
        return Context(conversation.protocol, src, dst, from_a, state.memory)

    def _announced(self, conversation: Conversation, ts_ns: int) -> _Expected | None:
        """Return the announcement of a conversation, None if there is none.

        An outright one must come from a conversation of one of its hosts: anybody may name the endpoint of others.
        """
        for endpoint in (conversation.b, conversation.a):
            expected = self._expected.get((conversation.protocol, endpoint))
            if expected is None or abs(ts_ns - expected.ts_ns) > EXPECTED_FOR_NS:
                continue
            if not expected.outright or conversation.a.host in expected.hosts or conversation.b.host in expected.hosts:
                return expected
        return None

    def _spend(self, conversation: Conversation) -> None:
        """Forget an outright announcement. It holds for one conversation, not for later ones at that endpoint."""
        for endpoint in (conversation.b, conversation.a):
            self._expected.pop((conversation.protocol, endpoint), None)

    @staticmethod
    def _hints(conversation: Conversation, announced: _Expected | None) -> frozenset[str]:
        """Return the applications of both ports and of an announcement."""
        protocol = conversation.protocol
        hints = _PORT_APPS.get((protocol, conversation.a.port), _NONE) | _PORT_APPS.get((protocol, conversation.b.port), _NONE)
        return hints | {announced.app} if announced else hints

    def _weigh(
        self, unsure: list[Match], hints: frozenset[str], conversation: Conversation, state: _State, ts_ns: int, digest: int
    ) -> Finding | None:
        """Decide for an application that the port or an earlier payload supports; without one, keep the evidence.

        The port comes first. Earlier payloads decide only if they support one application, not several.
        """
        said = [(app, match) for match in unsure for app in match.apps]
        agreed = [one for one in said if one[0] in hints][:1]
        agreed = agreed or [(app, match) for app, match in said if self._said_before(app, match.tag, digest, state)]
        if len({app for app, _ in agreed}) == 1:
            app, match = agreed[0]
            return self._found(match, app, conversation, state, ts_ns)
        votes = [(app, match.tag, digest) for app, match in said if match.tag is not NEVER]
        state.votes = (state.votes + votes)[-MAX_VOTES:]
        self._keep(conversation.token, state)
        return None

    @staticmethod
    def _said_before(app: str, tag: Hashable, digest: int, state: _State) -> bool:
        """Return whether an earlier payload was evidence for `app`. The same payload sent again does not count."""
        return any(vote[0] == app and vote[1] == tag and vote[2] != digest for vote in state.votes)

    def _found(self, match: Match, app: str, conversation: Conversation, state: _State, ts_ns: int) -> Finding | None:
        for expectation in match.expects if self._use_ports else ():
            self._expect(expectation, conversation, ts_ns)
        if app == "unknown":
            app = state.label
        is_news = (
            app != state.label
            or bool(match.name or match.facts or match.hello or match.certificate)
            or (state.follow is not None and match.follow is None)
        )
        state.label = app
        state.follow = match.follow
        if match.follow is None:
            self._pending.pop(conversation.token, None)
        else:
            self._keep(conversation.token, state)
        if not is_news:
            return None
        return Finding(BY_NAME[app].id, match.name, match.facts, match.follow is not None, match.hello, match.certificate)

    def _keep(self, token: int, state: _State) -> None:
        if len(state.memory) > MAX_MEMORY:
            state.memory.clear()
        self._pending.pop(token, None)
        while len(self._pending) >= self._max_pending:
            del self._pending[next(iter(self._pending))]
        self._pending[token] = state

    def _expect(self, expectation: Expectation, conversation: Conversation, ts_ns: int) -> None:
        key = expectation.protocol, expectation.endpoint
        self._expected.pop(key, None)
        while len(self._expected) >= self._max_expected:
            del self._expected[next(iter(self._expected))]
        hosts = (conversation.a.host, conversation.b.host)
        self._news.append(key)
        self._expected[key] = _Expected(expectation.app, expectation.outright, ts_ns, hosts)
