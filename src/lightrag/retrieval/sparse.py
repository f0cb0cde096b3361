"""The sparse list: what the dense and the lexical list bring up, by the weights of the tokens shared with the question.

The score is that of BGE-M3's lexical matching, the sum over shared tokens of the products of both weights
(https://arxiv.org/abs/2402.03216, section 3.2).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping

from lightrag.errors import ModelError
from lightrag.llm.contracts import SparseModel
from lightrag.retrieval.fusion import DEPTH
from lightrag.storage.contracts import Hit, Namespace, Storage

_log = logging.getLogger(__name__)

Weights = Mapping[str, float]


class SparseList:
    """Compares a workspace's chunks with a question by sparse weights; without a model it finds nothing."""

    def __init__(self, storage: Storage, model: SparseModel | None) -> None:
        self._storage = storage
        self._model = model

    async def weights(self, question: str) -> Weights:
        """Return the weights of a question: none where there is no model, or it fails."""
        if self._model is None:
            return {}
        try:
            [found] = await self._model.weights([question], purpose="query")
        except ModelError as error:
            _log.warning("the question is answered without the sparse list, since its weights failed: %s", error)
            return {}
        return found

    async def rank(self, weights: Weights, *lists: Iterable[Hit]) -> list[Hit]:
        """Return those chunks of the lists that share tokens with the question, best first. Raises `StorageError`.

        Chunks without stored weights are left out.
        """
        keys = list(dict.fromkeys(hit.key for hits in lists for hit in hits))
        if not weights or not keys:
            return []
        rows = await self._storage.kv(Namespace.SPARSE).get(keys)
        return best_matches(weights, {key: row.get("weights") or {} for key, row in rows.items()})


def best_matches(question: Weights, chunks: Mapping[str, Weights]) -> list[Hit]:
    """Return the chunks that share tokens with the question, best first, at most `DEPTH`."""
    hits = [Hit(key, _score(question, weights)) for key, weights in chunks.items()]
    return sorted((hit for hit in hits if hit.score > 0), key=lambda hit: (-hit.score, hit.key))[:DEPTH]


def _score(question: Weights, chunk: Weights) -> float:
    return sum(weight * chunk[token] for token, weight in question.items() if token in chunk)
