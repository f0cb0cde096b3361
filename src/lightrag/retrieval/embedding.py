"""Embeds what a question needs in one call, and remembers recent vectors."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from lightrag.llm.contracts import EmbeddingModel

REMEMBERED_VECTORS = 512


class QueryEmbedder:
    """The embedding model as questions use it."""

    def __init__(self, model: EmbeddingModel) -> None:
        self._model = model
        self._known: OrderedDict[str, npt.NDArray[np.float32]] = OrderedDict()
        self._made_by = ""

    async def vectors(self, texts: Sequence[str]) -> list[npt.NDArray[np.float32]]:
        """Return a vector per text; equal texts share one. At most one model call. Raises `ModelError`."""
        made_by = self._model.facts.identity
        if made_by != self._made_by:
            self._known.clear()
            self._made_by = made_by
        found = {text: self._known[text] for text in texts if text in self._known}
        missing = [text for text in dict.fromkeys(texts) if text not in found]
        if missing:
            made = await self._model.embed(missing, purpose="query")
            found.update(zip(missing, made, strict=True))
        if self._model.facts.identity != made_by:
            # The model was changed while it was asked.
            return [found[text] for text in texts]
        for text in found:
            self._known[text] = found[text]
            self._known.move_to_end(text)
        while len(self._known) > REMEMBERED_VECTORS:
            self._known.popitem(last=False)
        return [found[text] for text in texts]
