"""One request, repeated where that is safe."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable

from lightrag.client import errors
from lightrag.client.requests import Address, Route, Wish, error_of, retry_after
from lightrag.client.steps import Failure, Pause, Plan, Reply, Send

_TRANSIENT = frozenset({429, 502, 503, 504})
"""Statuses after which the same request may succeed."""
_REFUSING = frozenset({429, 503})
"""Statuses that, with Retry-After, say that nothing was done and when to come again."""


@dataclasses.dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often a request is repeated, and how long to wait before: full jitter below an exponential bound."""

    retries: int = 3
    first: float = 0.5
    """Bound of the first pause, in seconds; it doubles with every further one."""
    longest: float = 8.0
    patience: float = 60.0
    """Seconds that a server may ask to wait; where it asks for more, its answer is raised at once."""
    jitter: Callable[[], float] = random.random

    def after_failure(self, attempt: int, route: Route, wish: Wish, failure: Failure) -> float | None:
        """Return the pause before the next try, None where there shall be none."""
        is_safe = route.is_repeatable or not failure.was_sent
        return self._pause(attempt) if is_safe and attempt < self.retries and _can_repeat(wish) else None

    def after_reply(self, attempt: int, route: Route, wish: Wish, reply: Reply) -> float | None:
        """Return the pause before the next try, None where there shall be none."""
        if attempt >= self.retries or reply.status not in _TRANSIENT or not _can_repeat(wish):
            return None
        asked = retry_after(reply)
        if asked is not None and reply.status in _REFUSING:
            return asked + self.jitter() * self.first if asked <= self.patience else None
        return self._pause(attempt) if route.is_repeatable else None

    def _pause(self, attempt: int) -> float:
        return self.jitter() * min(self.longest, self.first * 2.0**attempt)


def exchange(address: Address, policy: RetryPolicy, route: Route, wish: Wish) -> Plan[Reply]:
    """Return the successful answer to a call. Raises the typed error of any other."""
    attempt = 0
    while True:
        try:
            # Made anew each time: the token may have been renewed meanwhile.
            reply: Reply = yield Send(address.request(route, wish))
        except Failure as failure:
            pause = policy.after_failure(attempt, route, wish, failure)
            if pause is None:
                raise _unreachable(address, failure) from failure.__cause__
        else:
            address.account.note(reply)
            if reply.is_success:
                return reply
            pause = policy.after_reply(attempt, route, wish, reply)
            if pause is None:
                raise error_of(reply)
        attempt += 1
        yield Pause(pause)


def _can_repeat(wish: Wish) -> bool:
    return wish.upload is None or wish.upload.is_repeatable


def _unreachable(address: Address, failure: Failure) -> errors.Unreachable:
    if failure.timed_out:
        return errors.TimedOut(f"The server at {address.base_url} did not answer in time ({failure})")
    if failure.was_sent:
        return errors.Unreachable(f"The connection to {address.base_url} broke off ({failure})")
    return errors.Unreachable(f"The server at {address.base_url} cannot be reached ({failure}); is it running?")
