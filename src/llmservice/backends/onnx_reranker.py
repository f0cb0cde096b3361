"""Cross-encoders on ONNX Runtime: BERT with its two segments, and XLM-RoBERTa."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np

from llmservice.backends.contracts import ModelFacts, Score
from llmservice.backends.encoder import Encoder, as_tokens, find_encoder
from llmservice.backends.files import fingerprint
from llmservice.backends.token_batches import TokenBatches, Tokens
from llmservice.errors import ContextOverflow, ModelLoadError
from llmservice.rerankers import BaseReranker

BATCH_TOKENS = 512
"""Tokens run at once, padding included; the option `batch_tokens` sets another number."""
_PAIRS_AT_ONCE = 256
"""Documents that are made tokens of at a time, so that a cancelled request ends soon."""


class OnnxReranker(BaseReranker):
    """Reads an .onnx file, or a directory with one, and the tokenizer.json beside it."""

    def load(self) -> None:
        """Check the files and load them; blocks."""
        files = find_encoder(self.source)
        self._encoder = Encoder(self.source, files)
        names = [name for name, _ in self._encoder.outputs]
        if len(names) > 1 and "logits" not in names:
            raise ModelLoadError(
                f"{files.model} has the outputs {', '.join(names)} and none is called logits; it is no reranker: "
                "export the model as text classification, or give this tier a reranker"
            )
        self._logits = names.index("logits") if "logits" in names else 0
        self._probe()
        self._facts = ModelFacts("onnx", files.context_length, fingerprint(self.source.path))
        self._batches: TokenBatches[Score] = TokenBatches(
            self._compute,
            runners=self._encoder.runners,
            most_tokens=int(self.source.options.get("batch_tokens") or BATCH_TOKENS),
            alone=self._encoder.batches_alone,
        )

    @property
    def facts(self) -> ModelFacts:
        """What is known of the model."""
        return self._facts

    async def rerank(self, query: str, documents: Sequence[str], document_tokens: int | None) -> list[Score]:
        """Return each document's score, in the order of the documents."""
        pairs: list[Tokens] = []
        for start in range(0, len(documents), _PAIRS_AT_ONCE):
            some = documents[start : start + _PAIRS_AT_ONCE]
            pairs += await asyncio.to_thread(self._pairs, query, some, document_tokens)
        return await self._batches.run(pairs)

    async def tokenize(self, text: str) -> list[int]:
        """Return token ids, without special tokens."""
        return await asyncio.to_thread(self._encoder.plain_tokens, text)

    async def aclose(self) -> None:
        """Stop what runs and release the model."""
        await asyncio.to_thread(self._batches.close)
        self._encoder.close()

    def _probe(self) -> None:
        """Score one pair, so that a model that cannot is refused when it is loaded."""
        try:
            output = self._encoder.run(self._pairs("probe", ["probe"]))[self._logits]
        except Exception as error:  # the runtime's exceptions share no narrower base
            raise ModelLoadError(
                f"{self._encoder.files.model} was loaded but fails on a short pair: {str(error).strip()[:300]}. Its "
                "tokenizer.json or config.json is likely another model's; copy all files of one model again"
            ) from error
        if output.size not in (1, 2) or output.ndim > 2:
            raise ModelLoadError(
                f"{self._encoder.files.model} answers a pair with an output of shape {output.shape} where a reranker "
                "has one score; it is an embedding model or a classifier: use it for another tier"
            )

    def _pairs(self, query: str, documents: Sequence[str], document_tokens: int | None = None) -> list[Tokens]:
        """Return the tokens of the query with each document, the end of long documents cut off."""
        limit = self._encoder.files.context_length
        found = []
        for encoding in self._encoder.pair_encodings(query, documents):
            tokens = as_tokens(encoding)
            excess = len(tokens.ids) - limit
            if excess > 0 or document_tokens is not None:
                places = [place for place, owner in enumerate(encoding.sequence_ids) if owner == 1]
                if 0 < len(places) <= excess:
                    raise ContextOverflow(len(tokens.ids) - len(places) + 1, limit)
                if document_tokens is not None:
                    excess = max(excess, len(places) - document_tokens)
            if excess > 0:
                keep = np.ones(len(tokens.ids), bool)
                keep[places[-excess:]] = False
                tokens = Tokens(tokens.ids[keep], tokens.segments[keep])
            found.append(tokens)
        return found

    def _compute(self, batch: Sequence[Tokens]) -> list[Score]:
        """Return the scores of a batch; in a thread. Of two classes, the score is how far the second is ahead."""
        logits = np.asarray(self._encoder.run(batch)[self._logits], np.float64).reshape(len(batch), -1)
        scores = logits[:, 0] if logits.shape[1] == 1 else logits[:, 1] - logits[:, 0]
        return [Score(float(score), len(tokens.ids)) for score, tokens in zip(scores, batch, strict=True)]
