"""Cut texts to what an embedding model takes, where a limit is configured."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Literal

from lightrag.errors import ContextTooLong
from lightrag.llm.contracts import EmbeddingModel, FloatArray
from lightrag.llm.vectors import joined
from lightrag.llm.wrapper import Wrapper
from lightrag.text.tokens import Tokenizer

_SMALLER = 0.75
_ATTEMPTS = 6
"""Cuts after which a text that is still refused is given up: the limit is then less than a fifth of what was said."""

_log = logging.getLogger("lightrag.llm")


class LimitedTexts(Wrapper[EmbeddingModel]):
    """An embedding model that gets the beginning of a long text, at most `limit` tokens of it.

    Tokens are counted with the bundled tokenizer. A model that counts more of them and refuses a text gets less of it.
    """

    def __init__(self, model: EmbeddingModel, limit: int, tokenizer: Tokenizer) -> None:
        super().__init__(model)
        self._limit = limit
        self._tokenizer = tokenizer

    async def embed(self, texts: Sequence[str], *, purpose: Literal["document", "query"]) -> FloatArray:
        """Return L2-normalised vectors, shape (len(texts), dimension)."""
        fitting = await self._fitting(texts, self._limit)
        try:
            return await self._model.embed(fitting, purpose=purpose)
        except ContextTooLong:
            parts = [await self._embed_alone(text, purpose) for text in fitting]
        return joined(parts, self.facts.dimension)

    async def _embed_alone(self, text: str, purpose: Literal["document", "query"]) -> FloatArray:
        limit = self._limit
        for _ in range(_ATTEMPTS):
            try:
                return await self._model.embed([text], purpose=purpose)
            except ContextTooLong:
                limit = int(limit * _SMALLER)
                (text,) = await self._fitting([text], limit)
                _log.warning("The embedding model refused a text; trying its first %s tokens", limit)
        return await self._model.embed([text], purpose=purpose)

    async def _fitting(self, texts: Sequence[str], limit: int) -> Sequence[str]:
        # No token is shorter than a byte, and counting is not free.
        if all(len(text) <= limit and len(text.encode("utf-8", "replace")) <= limit for text in texts):
            return texts
        return await asyncio.to_thread(lambda: [self._cut(text, limit) for text in texts])

    def _cut(self, text: str, limit: int) -> str:
        if len(text.encode("utf-8", "replace")) <= limit:
            return text
        offsets = self._tokenizer.offsets(text)
        return text if len(offsets) - 1 <= limit else text[: int(offsets[limit])]
