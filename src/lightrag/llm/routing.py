"""Choose among backends: the best one that is well gets the call, the next one where it fails.

Backends of the lowest `order` come first; within one order calls are shared out by `weight`, to the less busy one of
two that are drawn. Health is learned from the calls themselves (`lightrag.llm.circuit`). An error that would be the
same everywhere (a prompt that is too long, an invalid request) is raised at once. An answer that has begun is never
begun again elsewhere.

Where no backend is fit, a call waits for the first one that may be tried again, background work longer than somebody
who is waiting; if nothing was tried at all, one backend is tried all the same before the call is given up, unless
the rules say otherwise.
"""

from __future__ import annotations

import asyncio
import copy
import dataclasses
import logging
import random
from collections.abc import Collection, Sequence
from types import TracebackType
from typing import Generic, Protocol, TypeVar

from lightrag.errors import AccessRefused, ModelError, ModelRefused, ModelUnreachable, UnusableAnswer
from lightrag.llm.circuit import Circuit, CircuitRules, CircuitState, Clock, Ticket
from lightrag.llm.contracts import ModelFacts, Role
from lightrag.llm.limiter import Priority


class _Model(Protocol):
    @property
    def facts(self) -> ModelFacts: ...

    async def aclose(self) -> None: ...


M = TypeVar("M", bound=_Model)

_log = logging.getLogger(__name__)
_PAUSE = 0.5
"""Seconds before the same backend gets the same call again, at the least."""


@dataclasses.dataclass(frozen=True, slots=True)
class Route(Generic[M]):
    """One backend as it is configured."""

    name: str
    model: M
    order: int = 0
    weight: float = 1.0
    """Share of the calls within its order; 0 for none."""
    called: str = ""
    """How questions ask for the model; empty for what its facts say."""


@dataclasses.dataclass(frozen=True, slots=True)
class RoutingRules:
    """How a route is taken. Times are in seconds."""

    circuit: CircuitRules = dataclasses.field(default_factory=CircuitRules)
    interactive_patience: float = 20.0
    """How long a call that somebody waits for waits for a backend."""
    background_patience: float = 600.0
    tries_the_unfit: bool = True
    """Whether a call that would find no fit backend in time tries one all the same before it is given up."""


@dataclasses.dataclass(frozen=True, slots=True)
class BackendState:
    """A backend as it is at this moment."""

    name: str
    model: str
    """Binding, name and host."""
    order: int
    weight: float
    state: CircuitState
    share: float
    """Of its weight, while it comes back."""
    seconds_left: float
    """Until it may be tried again."""
    active: int
    calls: int
    failures: int
    last_error: str
    idle_seconds: float | None
    """Since its last answer; None where there was none."""


@dataclasses.dataclass(frozen=True, slots=True)
class BackendReport:
    """A backend as it is at this moment, and what it serves."""

    roles: tuple[Role, ...]
    state: BackendState


class Backend(Generic[M]):
    """A backend with its health."""

    def __init__(self, route: Route[M], rules: CircuitRules, clock: Clock) -> None:
        self.route = route
        self.circuit = Circuit(rules, clock)
        self.active = 0
        self.calls = 0
        self.failures = 0
        self.error: ModelError | None = None
        self.answered_at: float | None = None
        self.excluded = False
        """It serves another model; nothing will change that."""

    def state(self, now: float) -> BackendState:
        """Return it as it is."""
        circuit = self.circuit
        return BackendState(
            name=self.route.name,
            model=self.route.model.facts.identity,
            order=self.route.order,
            weight=self.route.weight,
            state=CircuitState.REFUSED if self.excluded else circuit.state,
            share=circuit.share(),
            seconds_left=circuit.wait(),
            active=self.active,
            calls=self.calls,
            failures=self.failures,
            last_error=str(self.error) if self.error else "",
            idle_seconds=None if self.answered_at is None else now - self.answered_at,
        )


class Attempt(Generic[M]):
    """One call to one backend. Leaving the block notes how it went; errors that may heal elsewhere end there."""

    def __init__(self, backend: Backend[M], walk: Walk[M], clock: Clock) -> None:
        self.backend = backend
        self.begun = False
        """Something of the answer was handed on: it is too late for another backend."""
        self._walk = walk
        self._clock = clock
        self._ticket: Ticket

    @property
    def model(self) -> M:
        """The backend's model."""
        return self.backend.route.model

    def __enter__(self) -> Attempt[M]:
        self._ticket = self.backend.circuit.begin()
        self.backend.active += 1
        self.backend.calls += 1
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _traceback: TracebackType | None
    ) -> bool:
        backend = self.backend
        backend.active -= 1
        if isinstance(error, ModelError):
            backend.failures += 1
            backend.error = error
            backend.circuit.failed(self._ticket, error)
            self._walk.error = error
            return not self.begun and heals_elsewhere(error)
        if error is None or (self.begun and not isinstance(error, Exception)):
            backend.answered_at = self._clock()
            backend.circuit.succeeded(self._ticket)
        else:
            backend.circuit.abandoned(self._ticket)
        return False


class Walk(Generic[M]):
    """The way of one call along the backends."""

    def __init__(self, router: Router[M], patience: float) -> None:
        self._router = router
        self._patience = patience
        self._tried: list[Backend[M]] = []
        self._until: float | None = None
        self.error: ModelError | None = None

    async def next(self) -> Attempt[M]:
        """Return the next attempt, after a pause where every backend was tried; raises the last error."""
        router = self._router
        while True:
            backend = router.choose(self._tried)
            if backend is not None:
                return self._attempt(backend)
            now = router.clock()
            self._until = self._until if self._until is not None else now + self._patience
            wait = router.wait(self._tried)
            if wait is None or now + wait > self._until:
                if self.error is not None:
                    raise self.error
                backend = router.last_resort()
                if router.rules.tries_the_unfit:
                    return self._attempt(backend)
                raise ModelUnreachable(
                    f"'{backend.route.name}' is left alone for {backend.circuit.wait():.0f} s, since it failed "
                    f"before: {backend.error}"
                )
            _log.info("no backend is fit for a model call, waiting %.1f s", wait)
            await asyncio.sleep(wait)
            self._tried.clear()

    def _attempt(self, backend: Backend[M]) -> Attempt[M]:
        if self.error is not None:
            _log.info("model call goes on to backend '%s': %s", backend.route.name, self.error)
        self._tried.append(backend)
        return Attempt(backend, self, self._router.clock)


class Router(Generic[M]):
    """Chooses among backends."""

    def __init__(self, routes: Sequence[Route[M]], rules: RoutingRules, clock: Clock, chance: random.Random) -> None:
        if not any(route.weight > 0 for route in routes):
            raise ValueError("at least one backend needs a weight above 0")
        self.backends = [Backend(route, rules.circuit, clock) for route in routes]
        self.rules = rules
        self.clock = clock
        self._chance = chance

    @property
    def primary(self) -> Backend[M]:
        """The backend that stands for all: the first one of the lowest order."""
        return min(self._usable(), key=lambda backend: backend.route.order)

    def only(self, names: Collection[str]) -> Router[M]:
        """Return a router along the backends of these names, which are the same ones, with the same health."""
        part = copy.copy(self)
        part.backends = [backend for backend in self.backends if backend.route.name in names]
        return part

    def walk(self, priority: Priority) -> Walk[M]:
        """Begin the way of a call."""
        is_awaited = priority is Priority.INTERACTIVE
        return Walk(self, self.rules.interactive_patience if is_awaited else self.rules.background_patience)

    def choose(self, tried: Sequence[Backend[M]]) -> Backend[M] | None:
        """Return the backend for a call that was `tried` elsewhere; None where none is fit."""
        fit = [backend for backend in self._usable() if backend not in tried and backend.circuit.admits()]
        for order in sorted({backend.route.order for backend in fit}):
            tier = [backend for backend in fit if backend.route.order == order]
            warm = [backend for backend in tier if self._chance.random() < backend.circuit.share()]
            if warm:
                return self._drawn(warm)
        return self._drawn(fit) if fit else None

    def wait(self, tried: Sequence[Backend[M]]) -> float | None:
        """Return the seconds until a backend may be tried again; None where waiting does not help."""
        waits = [
            max(backend.circuit.wait(), _PAUSE)
            for backend in self._usable()
            if backend.circuit.state is not CircuitState.REFUSED
            # What just answered nonsense would answer it again.
            and not (backend in tried and isinstance(backend.error, UnusableAnswer))
        ]
        return min(waits) if waits else None

    def last_resort(self) -> Backend[M]:
        """Return the backend that may be tried soonest."""
        return min(self._usable(), key=lambda backend: (backend.circuit.wait(), backend.route.order))

    def snapshot(self) -> list[BackendState]:
        """Return all backends as they are."""
        now = self.clock()
        return [backend.state(now) for backend in self.backends]

    async def aclose(self) -> None:
        """Close all models."""
        for backend in self.backends:
            await backend.route.model.aclose()

    def _usable(self) -> list[Backend[M]]:
        return [backend for backend in self.backends if backend.route.weight > 0 and not backend.excluded]

    def _drawn(self, tier: Sequence[Backend[M]]) -> Backend[M]:
        if len(tier) == 1:
            return tier[0]
        weights = [backend.route.weight * backend.circuit.share() for backend in tier]
        first, second = self._chance.choices(tier, weights, k=2)
        return min(first, second, key=lambda backend: backend.active / backend.route.weight)


def heals_elsewhere(error: ModelError) -> bool:
    """Tell whether another backend may succeed where this error came from."""
    return not isinstance(error, ModelRefused) or isinstance(error, AccessRefused)
