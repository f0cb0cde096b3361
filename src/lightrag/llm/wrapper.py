"""What all wrappers around a model have in common: they stand for the model that they wrap."""

from __future__ import annotations

from typing import Generic, Protocol, TypeVar

from lightrag.llm.contracts import ModelFacts


class Wrapped(Protocol):
    """Any model."""

    @property
    def facts(self) -> ModelFacts:
        """What is known of the model."""
        ...

    async def aclose(self) -> None:
        """Release what it holds."""
        ...


M = TypeVar("M", bound=Wrapped)


class Wrapper(Generic[M]):
    """A model that does something around the calls of another one, with the same facts, and closed together."""

    def __init__(self, model: M) -> None:
        self._model = model

    @property
    def facts(self) -> ModelFacts:
        """What is known of the model."""
        return self._model.facts

    async def aclose(self) -> None:
        """Close the model."""
        await self._model.aclose()
