"""Decide from the calls that are made anyway whether a server is fit to get more of them.

A circuit is closed as long as a server answers. It opens when the server fails too often: no calls go there for a
while, which doubles with each failure that follows. Then it is half open: one call is let through, and its end decides.
After it has closed again the share of the calls grows slowly to what is due, so that a server that has just come back
is not run over. A rate limit is no failure: the server says when to come again.
"""

from __future__ import annotations

import dataclasses
import random
import time
from collections import deque
from collections.abc import Callable
from enum import StrEnum

from lightrag.errors import AccessRefused, ModelError, ModelRateLimited, ModelUnreachable, UnusableAnswer

Clock = Callable[[], float]


class CircuitState(StrEnum):
    """Whether calls go through."""

    CLOSED = "closed"
    """They do."""
    OPEN = "open"
    """None do."""
    HALF_OPEN = "half-open"
    """One does, to try."""
    RESTING = "resting"
    """None do, until the moment that the server named."""
    REFUSED = "refused"
    """None do: the server refuses the account or the model."""


@dataclasses.dataclass(frozen=True, slots=True)
class CircuitRules:
    """When a circuit opens, and for how long. Times are in seconds."""

    failures: int = 3
    """Calls in a row that find no server."""
    window: float = 60.0
    """How far back failures are counted."""
    samples: int = 6
    """Calls in the window from which on their share of failures counts."""
    share: float = 0.5
    """The share of failures that is too much."""
    open_seconds: float = 5.0
    most_open_seconds: float = 60.0
    refused_seconds: float = 300.0
    """How long a server that refuses the account is left alone: somebody has to change something first."""
    slow_start: float = 30.0
    """How long it takes until a server that came back gets its full share."""
    least_share: float = 0.1
    """With which share that begins."""


@dataclasses.dataclass(frozen=True, slots=True)
class Ticket:
    """A call that was let through."""

    is_probe: bool
    era: int
    """How often the circuit had changed; what comes of calls from before says nothing of the server of now."""


class Circuit:
    """The circuit of one server. Belongs to one event loop."""

    def __init__(self, rules: CircuitRules | None = None, clock: Clock = time.monotonic) -> None:
        self._rules = rules or CircuitRules()
        self._clock = clock
        self._outcomes: deque[tuple[float, bool]] = deque()
        self._in_a_row = 0
        self._times_opened = 0
        self._open_until: float | None = None
        self._resting_until = 0.0
        self._refused = False
        self._probing = False
        self._closed_at: float | None = None
        self._era = 0

    @property
    def state(self) -> CircuitState:
        """Whether calls go through at this moment."""
        now = self._clock()
        if self._open_until is not None:
            if now < self._open_until:
                return CircuitState.REFUSED if self._refused else CircuitState.OPEN
            return CircuitState.HALF_OPEN
        return CircuitState.RESTING if now < self._resting_until else CircuitState.CLOSED

    def admits(self) -> bool:
        """Tell whether a call may go through."""
        state = self.state
        return state is CircuitState.CLOSED or (state is CircuitState.HALF_OPEN and not self._probing)

    def wait(self) -> float:
        """Return the seconds until a call may go through, as far as that is known."""
        until = self._open_until if self._open_until is not None else self._resting_until
        return max(0.0, until - self._clock())

    def share(self) -> float:
        """Return the share of its calls that the server should get: 1, or less when it has just come back."""
        if self._closed_at is None:
            return 1.0
        grown = (self._clock() - self._closed_at) / self._rules.slow_start if self._rules.slow_start else 1.0
        return min(1.0, max(self._rules.least_share, grown))

    def begin(self) -> Ticket:
        """Let a call through; its end is told with the ticket."""
        is_probe = self._open_until is not None
        self._probing = self._probing or is_probe
        return Ticket(is_probe, self._era)

    def succeeded(self, ticket: Ticket) -> None:
        """Note a call that was answered."""
        if ticket.is_probe and ticket.era == self._era:
            self._close()
        elif ticket.era == self._era:
            self._in_a_row = 0
            self._note(ok=True)

    def failed(self, ticket: Ticket, error: ModelError) -> None:
        """Note a call that failed. Errors that are the request's fault say that the server is well."""
        if ticket.era != self._era:
            return
        if isinstance(error, AccessRefused):
            self._open(self._rules.refused_seconds, refused=True)
        elif isinstance(error, ModelRateLimited):
            self._rest(ticket, error)
        elif isinstance(error, ModelUnreachable | UnusableAnswer):
            self._note(ok=False)
            self._in_a_row += isinstance(error, ModelUnreachable)
            if ticket.is_probe or self._in_a_row >= self._rules.failures or self._fails_often():
                self._open(self._next_pause())
        else:
            self.succeeded(ticket)

    def abandoned(self, ticket: Ticket) -> None:
        """Note a call that the caller gave up: it says nothing, but the next one may try."""
        if ticket.is_probe and ticket.era == self._era:
            self._probing = False

    def _rest(self, ticket: Ticket, error: ModelRateLimited) -> None:
        pause = self._rules.open_seconds if error.retry_after is None else error.retry_after
        if ticket.is_probe:
            self._close()
        self._resting_until = max(self._resting_until, self._clock() + pause)

    def _next_pause(self) -> float:
        pause = self._rules.open_seconds * 2.0 ** min(self._times_opened, 30)
        # A little by chance, so that many processes do not try a server that comes back all at once.
        return min(pause, self._rules.most_open_seconds) * random.uniform(0.9, 1.1)

    def _open(self, seconds: float, *, refused: bool = False) -> None:
        self._era += 1
        self._times_opened += 1
        self._open_until = self._clock() + seconds
        self._refused = refused
        self._probing = False
        self._outcomes.clear()
        self._in_a_row = 0

    def _close(self) -> None:
        self._era += 1
        self._times_opened = 0
        self._open_until = None
        self._refused = False
        self._probing = False
        self._closed_at = self._clock()

    def _note(self, *, ok: bool) -> None:
        now = self._clock()
        self._outcomes.append((now, ok))
        while self._outcomes[0][0] < now - self._rules.window:
            self._outcomes.popleft()

    def _fails_often(self) -> bool:
        failed = sum(not ok for _, ok in self._outcomes)
        return len(self._outcomes) >= self._rules.samples and failed >= self._rules.share * len(self._outcomes)
