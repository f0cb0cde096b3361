"""How the stores reach the state: directly, or from inside a transaction."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from lightrag.storage.files.state import State

T = TypeVar("T")


class Session(Protocol):
    """Reads and writes of one caller."""

    @property
    def state(self) -> State:
        """What is read; raises `StorageUnavailable` where the storage is not open."""
        ...

    async def write(self, work: Callable[[State], T]) -> T:
        """Run `work` on a state that it may change; where it raises, nothing is changed."""
        ...


class LayerSession:
    """Inside a transaction: everything happens on its layer, one step at a time."""

    def __init__(self, state: State) -> None:
        self.state = state

    async def write(self, work: Callable[[State], T]) -> T:
        """Run `work` on the transaction's layer. Work checks before it changes anything."""
        return work(self.state)
