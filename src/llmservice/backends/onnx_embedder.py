"""Embedding models on ONNX Runtime: BGE-M3 with its three kinds of vector, BERT and XLM-RoBERTa families."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np

from llmservice.backends.contracts import Embedded, FloatArray, ModelFacts, VectorKind
from llmservice.backends.encoder import Array, Encoder, find_encoder
from llmservice.backends.files import fingerprint
from llmservice.backends.token_batches import TokenBatches, Tokens
from llmservice.backends.vector_outputs import detect_outputs, lexical_weights, normalised
from llmservice.embedders import BaseEmbedder
from llmservice.errors import ContextOverflow, ModelLoadError

BATCH_TOKENS = 512
"""Tokens run at once, padding included; the option `batch_tokens` sets another number."""


class OnnxEmbedder(BaseEmbedder):
    """Reads an .onnx file, or a directory with one, and the tokenizer.json beside it."""

    def load(self) -> None:
        """Check the files and load them; blocks."""
        files = find_encoder(self.source)
        self._encoder = Encoder(self.source, files)
        self._outputs = detect_outputs(files.model, self._encoder.outputs)
        probe = self._probe()
        self._facts = ModelFacts(
            "onnx",
            files.context_length,
            fingerprint(self.source.path),
            dimension=None if probe.dense is None else len(probe.dense),
            vectors=self._outputs.kinds,
        )
        self._batches: TokenBatches[Embedded] = TokenBatches(
            self._compute,
            runners=self._encoder.runners,
            most_tokens=int(self.source.options.get("batch_tokens") or BATCH_TOKENS),
            alone=self._encoder.batches_alone,
        )

    @property
    def facts(self) -> ModelFacts:
        """What is known of the model."""
        return self._facts

    async def embed_texts(self, texts: Sequence[str], kinds: frozenset[VectorKind], truncate: bool) -> list[Embedded]:
        """Return vectors of each text, in order."""
        tokens = await asyncio.to_thread(self._prepare, texts, truncate)
        found = await self._batches.run(tokens)
        return [
            Embedded(
                item.tokens,
                item.dense if "dense" in kinds else None,
                item.sparse if "sparse" in kinds else None,
                item.colbert if "colbert" in kinds else None,
            )
            for item in found
        ]

    async def tokenize(self, text: str) -> list[int]:
        """Return token ids, without special tokens."""
        return await asyncio.to_thread(self._encoder.plain_tokens, text)

    async def aclose(self) -> None:
        """Stop what runs and release the model."""
        await asyncio.to_thread(self._batches.close)
        self._encoder.close()

    def _prepare(self, texts: Sequence[str], truncate: bool) -> list[Tokens]:
        limit = self._encoder.files.context_length
        found = self._encoder.tokens(texts)
        longest = max(len(item.ids) for item in found)
        if longest <= limit:
            return found
        if not truncate:
            raise ContextOverflow(longest, limit)
        return [_cut(item, limit) for item in found]

    def _probe(self) -> Embedded:
        """Run one short text, so that a model that cannot run is refused when it is loaded."""
        try:
            return self._compute(self._encoder.tokens(["probe"]))[0]
        except Exception as error:  # the runtime's exceptions share no narrower base
            raise ModelLoadError(
                f"{self._encoder.files.model} was loaded but fails on a short text: {str(error).strip()[:300]}. Its "
                "tokenizer.json or config.json is likely another model's; copy all files of one model again"
            ) from error

    def _compute(self, batch: Sequence[Tokens]) -> list[Embedded]:
        """Return all kinds of vector that the model makes, for a batch; in a thread."""
        outputs = self._encoder.run(batch)
        width = max(len(tokens.ids) for tokens in batch)
        return [self._vectors([output[row] for output in outputs], tokens, width) for row, tokens in enumerate(batch)]

    def _vectors(self, outputs: Sequence[Array], tokens: Tokens, width: int) -> Embedded:
        """Return one text's vectors out of its rows of the outputs; `width` is the batch's padded length."""
        length = len(tokens.ids)
        places = self._outputs
        dense: FloatArray | None = None
        sparse = colbert = None
        if places.dense is not None:
            dense = normalised(outputs[places.dense])
        elif places.hidden is not None:
            dense = normalised(self._pool(outputs[places.hidden][:length]))
        if places.sparse is not None:
            sparse = lexical_weights(outputs[places.sparse], tokens.ids, self._encoder.special)
        if places.colbert is not None:
            # Exports may or may not hold a row for <s>, which is no part of the vectors; </s> is.
            first = len(outputs[places.colbert]) - (width - 1)
            colbert = normalised(outputs[places.colbert][first : first + length - 1])
        return Embedded(length, dense, sparse, colbert)

    def _pool(self, hidden: Array) -> Array:
        if self._encoder.files.pooling == "cls":
            first: Array = hidden[0]
            return first
        mean: Array = hidden.mean(axis=0)
        return mean


def _cut(tokens: Tokens, limit: int) -> Tokens:
    """Drop tokens before the closing one."""
    return Tokens(
        np.concatenate((tokens.ids[: limit - 1], tokens.ids[-1:])),
        np.concatenate((tokens.segments[: limit - 1], tokens.segments[-1:])),
    )
