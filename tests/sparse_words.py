"""A sparse model for tests, whose tokens are words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from lightrag.errors import ModelError
from lightrag.llm.contracts import ModelFacts


class SparseWords:
    """Gives every word of a text its length as weight; fails with `failure` where that is set."""

    facts = ModelFacts("fake", "sparse")

    def __init__(self, failure: ModelError | None = None) -> None:
        self.failure = failure
        self.asked: list[tuple[str, ...]] = []

    async def weights(self, texts: Sequence[str], *, purpose: Literal["document", "query"]) -> list[dict[str, float]]:
        """Return the weights by word of each text."""
        self.asked.append(tuple(texts))
        if self.failure is not None:
            raise self.failure
        return [{word: float(len(word)) for word in text.lower().split()} for text in texts]

    async def aclose(self) -> None:
        """Do nothing."""
