"""Cut texts to what an embedding model takes, where a limit is configured."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Literal

from lightrag.llm.contracts import EmbeddingModel, FloatArray
from lightrag.llm.wrapper import Wrapper
from lightrag.text.tokens import Tokenizer


class LimitedTexts(Wrapper[EmbeddingModel]):
    """An embedding model that gets the beginning of a long text, at most `limit` tokens of it.

    Tokens are counted with the bundled tokenizer.
    """

    def __init__(self, model: EmbeddingModel, limit: int, tokenizer: Tokenizer) -> None:
        super().__init__(model)
        self._limit = limit
        self._tokenizer = tokenizer

    async def embed(self, texts: Sequence[str], *, purpose: Literal["document", "query"]) -> FloatArray:
        """Return L2-normalised vectors, shape (len(texts), dimension)."""
        return await self._model.embed(await self._fitting(texts), purpose=purpose)

    async def _fitting(self, texts: Sequence[str]) -> Sequence[str]:
        limit = self._limit
        # No token is shorter than a byte, and counting is not free.
        if all(len(text) <= limit and len(text.encode("utf-8", "replace")) <= limit for text in texts):
            return texts
        return await asyncio.to_thread(lambda: [self._cut(text) for text in texts])

    def _cut(self, text: str) -> str:
        limit = self._limit
        if len(text.encode("utf-8", "replace")) <= limit:
            return text
        offsets = self._tokenizer.offsets(text)
        return text if len(offsets) - 1 <= limit else text[: int(offsets[limit])]
