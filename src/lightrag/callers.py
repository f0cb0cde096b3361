"""For whom the running task works, and in which workspace: whom calls of models are charged to, what log lines name.

Both follow the task into the tasks that it begins. Work that is done for several callers at once says so text by text.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar


@dataclasses.dataclass(frozen=True, slots=True)
class Caller:
    """On whose behalf something is done; by default nobody's."""

    token_id: str | None = None
    """Whom calls are charged to beside the workspace: the token or account that asks, or that brought the document."""
    request_id: str = ""
    """Of the request; for work on a document the track id under which it was brought."""
    waits: bool = False
    """Somebody waits for the outcome: at a limit they are told, where work in the background would pause."""


NOBODY = Caller()
_CALLER: ContextVar[Caller] = ContextVar("lightrag_caller", default=NOBODY)
_PAYERS: ContextVar[Mapping[str, Caller] | None] = ContextVar("lightrag_payers", default=None)
_WORKSPACE: ContextVar[str | None] = ContextVar("lightrag_workspace", default=None)


def current_caller() -> Caller:
    """Return on whose behalf the running task works."""
    return _CALLER.get()


@contextlib.contextmanager
def calling_as(caller: Caller) -> Iterator[None]:
    """Work on behalf of somebody inside the block, in tasks begun there as well."""
    token = _CALLER.set(caller)
    try:
        yield
    finally:
        _CALLER.reset(token)


@contextlib.contextmanager
def charging(payers: Mapping[str, Caller]) -> Iterator[None]:
    """Let each of the texts that models are given inside the block be on its own caller's behalf."""
    token = _PAYERS.set(payers)
    try:
        yield
    finally:
        _PAYERS.reset(token)


def payers_of(texts: Sequence[str]) -> list[Caller]:
    """Return on whose behalf each of some texts is given to a model."""
    payers, caller = _PAYERS.get(), _CALLER.get()
    return [caller] * len(texts) if payers is None else [_payer(text, payers) or caller for text in texts]


def _payer(text: str, payers: Mapping[str, Caller]) -> Caller | None:
    known = payers.get(text)
    if known is not None or not text:
        return known
    # A part of one that is longer than what the model takes.
    return next((caller for whole, caller in payers.items() if text in whole), None)


@contextlib.contextmanager
def working_for(workspace: str | None) -> Iterator[None]:
    """Work for a workspace inside the block, in tasks begun there as well; None for none in particular."""
    token = _WORKSPACE.set(workspace)
    try:
        yield
    finally:
        _WORKSPACE.reset(token)


def note_workspace(workspace: str) -> None:
    """Note in which workspace the running task works from here to its end."""
    _WORKSPACE.set(workspace)


def current_workspace() -> str | None:
    """Return in which workspace the running task works, empty for the default one; None for none in particular."""
    return _WORKSPACE.get()
