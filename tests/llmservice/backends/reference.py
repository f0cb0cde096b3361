"""What the encoders must compute, written down in plain numpy: one text at a time, no padding, no shared code."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file
from tokenizers import Tokenizer

Array = np.ndarray[Any, Any]


class ReferenceEncoder:
    """Reads a Hugging Face directory and runs its model in float64."""

    def __init__(self, folder: Path) -> None:
        self.config = json.loads((folder / "config.json").read_text())
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.weights = {
            name.removeprefix("bert.").removeprefix("roberta."): value.astype(np.float64)
            for name, value in load_file(folder / "model.safetensors").items()
        }

    def hidden(self, ids: list[int], segments: list[int]) -> Array:
        """Token vectors of the last layer, shape (tokens, width)."""
        weights = self.weights
        first = 2 if self.config["model_type"] == "xlm-roberta" else 0
        kinds = segments if self.config["type_vocab_size"] > 1 else [0] * len(ids)
        x = (
            weights["embeddings.word_embeddings.weight"][ids]
            + weights["embeddings.position_embeddings.weight"][first : first + len(ids)]
            + weights["embeddings.token_type_embeddings.weight"][kinds]
        )
        x = self._norm(x, "embeddings.LayerNorm")
        for index in range(self.config["num_hidden_layers"]):
            key = f"encoder.layer.{index}"
            x = self._norm(
                x + self.linear(self._attend(x, key), f"{key}.attention.output.dense"),
                f"{key}.attention.output.LayerNorm",
            )
            wide = self.linear(x, f"{key}.intermediate.dense")
            active = wide * 0.5 * (1 + np.vectorize(math.erf)(wide / math.sqrt(2)))
            x = self._norm(x + self.linear(active, f"{key}.output.dense"), f"{key}.output.LayerNorm")
        return x

    def linear(self, x: Array, key: str) -> Array:
        return x @ self.weights[f"{key}.weight"].T + self.weights[f"{key}.bias"]

    def logit(self, query: str, document: str) -> float:
        """A cross-encoder's score of a pair."""
        encoding = self.tokenizer.encode(query, document)
        first = self.hidden(encoding.ids, encoding.type_ids)[0]
        if self.config["model_type"] == "bert":
            return float(self.linear(np.tanh(self.linear(first, "pooler.dense")), "classifier")[0])
        return float(self.linear(np.tanh(self.linear(first, "classifier.dense")), "classifier.out_proj")[0])

    def text_hidden(self, text: str) -> tuple[list[int], Array]:
        encoding = self.tokenizer.encode(text)
        return encoding.ids, self.hidden(encoding.ids, encoding.type_ids)

    def _attend(self, x: Array, key: str) -> Array:
        heads = self.config["num_attention_heads"]
        parts = [self.linear(x, f"{key}.attention.self.{name}") for name in ("query", "key", "value")]
        query, keys, values = (part.reshape(len(x), heads, -1).swapaxes(0, 1) for part in parts)
        scores = query @ keys.swapaxes(1, 2) / math.sqrt(query.shape[-1])
        shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
        shares /= shares.sum(axis=-1, keepdims=True)
        return (shares @ values).swapaxes(0, 1).reshape(len(x), -1)

    def _norm(self, x: Array, key: str) -> Array:
        centred = x - x.mean(axis=-1, keepdims=True)
        spread = np.sqrt((centred**2).mean(axis=-1, keepdims=True) + self.config["layer_norm_eps"])
        return centred / spread * self.weights[f"{key}.weight"] + self.weights[f"{key}.bias"]


def unit(x: Array) -> Array:
    return x / np.linalg.norm(x, axis=-1, keepdims=True)
