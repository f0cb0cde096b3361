"""The models that one question is answered with."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable

from lightrag.llm.contracts import ChatModel, RerankModel
from lightrag.types import QueryParam


@dataclasses.dataclass(frozen=True, slots=True)
class QuestionModels:
    """What serves each role; None where no model does."""

    keywords: ChatModel | None = None
    answer: ChatModel | None = None
    reranker: RerankModel | None = None


ModelsOf = Callable[[QueryParam], Awaitable[QuestionModels]]
"""Returns the models for a question, those that it names where it names some. Raises `UnknownModel` and
`AmbiguousModel`."""


async def no_models(param: QueryParam) -> QuestionModels:
    """Return none."""
    return QuestionModels()
