"""Calls described once and offered twice: blocking by `SyncPart`, awaitable by `AsyncPart`."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Coroutine
from functools import update_wrapper
from types import MethodType
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, Self, TypeVar, overload

from lightrag.client.requests import Address, Route, Wish, body_of
from lightrag.client.retrying import RetryPolicy, exchange
from lightrag.client.steps import Plan, Reply

P = ParamSpec("P")
T = TypeVar("T")


class Blocking(Protocol):
    """Carries out plans while the caller waits."""

    def run(self, plan: Plan[T]) -> T:
        """Return what the plan returns."""
        ...


class Awaitable(Protocol):
    """Carries out plans on the event loop."""

    async def run(self, plan: Plan[T]) -> T:
        """Return what the plan returns."""
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class Link:
    """What the parts of one client share."""

    transport: Any
    """`Blocking` or `Awaitable`, as the client is."""
    address: Address
    policy: RetryPolicy


class Part:
    """A group of calls."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def _exchange(self, route: Route, wish: Wish) -> Plan[Reply]:
        return exchange(self._link.address, self._link.policy, route, wish)


class SyncPart(Part):
    """A group of calls that block."""

    def _run(self, plan: Plan[T]) -> T:
        transport: Blocking = self._link.transport
        return transport.run(plan)


class AsyncPart(Part):
    """A group of calls to be awaited."""

    async def _run(self, plan: Plan[T]) -> T:
        transport: Awaitable = self._link.transport
        return await transport.run(plan)


class Operation(Generic[P, T]):
    """A method described by a plan: it blocks on a `SyncPart` and is awaited on an `AsyncPart`."""

    def __init__(self, plan: Callable[Concatenate[Any, P], Plan[T]], route: Route | None = None) -> None:
        self.plan = plan
        """Takes the part and the method's arguments; for use in other plans, with `yield from`."""
        self.route = route
        self.__doc__ = plan.__doc__

        def call(part: Any, /, *args: P.args, **kwargs: P.kwargs) -> Any:
            return part._run(plan(part, *args, **kwargs))

        self._method = update_wrapper(call, plan)
        # What describes a call returns the description, the call itself its result.
        signature = inspect.signature(plan).replace(return_annotation=inspect.Signature.empty)
        self._method.__signature__ = signature  # type: ignore[attr-defined]

    @overload
    def __get__(self, part: None, owner: type) -> Self: ...
    @overload
    def __get__(self, part: SyncPart, owner: type) -> Callable[P, T]: ...
    @overload
    def __get__(self, part: AsyncPart, owner: type) -> Callable[P, Coroutine[Any, Any, T]]: ...
    def __get__(self, part: Any, owner: type) -> Any:
        if part is None:
            return self
        return MethodType(self._method, part)


def operation(plan: Callable[Concatenate[Any, P], Plan[T]]) -> Operation[P, T]:
    """Make a method of a plan of several steps."""
    return Operation(plan)


def endpoint(
    method: str, path: str, read: Callable[[Any], T], *, is_repeatable: bool | None = None
) -> Callable[[Callable[Concatenate[Any, P], Wish]], Operation[P, T]]:
    """Make a method of a function that turns arguments into a `Wish`; `read` turns the answer's JSON into the result.

    `is_repeatable`: whether it may be sent again when it may have been carried out. GET is by default. DELETE is not:
    the second one would not find what the first has removed, or remove what came in between.
    """
    route = Route(method, path, method == "GET" if is_repeatable is None else is_repeatable)

    def describe(wish_of: Callable[Concatenate[Any, P], Wish]) -> Operation[P, T]:
        def plan(part: Any, /, *args: P.args, **kwargs: P.kwargs) -> Plan[T]:
            # Made before the first step, so that mistakes are told where the call is written.
            return _answered(part, route, wish_of(part, *args, **kwargs), read)

        update_wrapper(plan, wish_of)
        return Operation(plan, route)

    return describe


def _answered(part: Part, route: Route, wish: Wish, read: Callable[[Any], T]) -> Plan[T]:
    reply = yield from part._exchange(route, wish)
    return read(body_of(reply) if wish.handling == "read" else None)
