"""Judge long documents by their pieces, where a reranker would cut or refuse them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lightrag.llm.contracts import RerankHit, RerankModel
from lightrag.llm.wrapper import Wrapper
from lightrag.text.tokens import Tokenizer

Cutter = Callable[[str], list[str]]
"""Returns the pieces of a document, itself where it is short."""

OVERLAP = 0.1
"""The share of a piece that the next one repeats, so that no sentence is lost at a cut."""


def token_cutter(tokenizer: Tokenizer, size: int) -> Cutter:
    """Return a cutter into pieces of at most `size` tokens."""

    def cut(text: str) -> list[str]:
        if len(text) <= size:  # no token is shorter than a character
            return [text]
        return [text[window.start : window.end] for window in tokenizer.windows(text, size, int(OVERLAP * size))]

    return cut


class ChunkedRerank(Wrapper[RerankModel]):
    """A reranking model that takes documents of any length; a document is as relevant as its best piece."""

    def __init__(self, model: RerankModel, cut: Cutter) -> None:
        super().__init__(model)
        self._cut = cut

    async def rerank(self, query: str, documents: Sequence[str], top_n: int) -> list[RerankHit]:
        """Return the `top_n` most relevant documents, best first."""
        pieces: list[str] = []
        owners: list[int] = []
        for index, document in enumerate(documents):
            parts = self._cut(document)
            pieces += parts
            owners += [index] * len(parts)
        if len(pieces) == len(documents):
            return await self._model.rerank(query, documents, top_n)
        best: dict[int, float] = {}
        for hit in await self._model.rerank(query, pieces, len(pieces)):
            best.setdefault(owners[hit.index], hit.score)  # hits come best first
        return [RerankHit(index, score) for index, score in best.items()][:top_n]
