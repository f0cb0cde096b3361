"""The graph of a BERT or XLM-RoBERTa encoder, and the heads on top of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from llmservice.convert.graph import MICROSOFT, Graph

IDS, MASK, SEGMENTS = "input_ids", "attention_mask", "token_type_ids"


@dataclasses.dataclass(frozen=True, slots=True)
class EncoderShape:
    """What of a configuration the graph depends on."""

    heads: int
    layers: int
    epsilon: float
    activation: str
    """`erf`, `tanh` or `relu`."""
    pad: int | None
    """The pad id from which positions count in the RoBERTa family; None for BERT, which counts from 0."""
    segments: bool
    """Whether the model tells the two texts of a pair apart."""


class EncoderGraph:
    """Adds an encoder's nodes to a graph."""

    def __init__(self, graph: Graph, shape: EncoderShape, weights: Mapping[str, npt.NDArray[Any]]) -> None:
        self._graph = graph
        self._shape = shape
        self._weights = weights

    def hidden(self) -> str:
        """Add everything up to the last layer's token vectors, shape (batch, tokens, width)."""
        from onnx import TensorProto

        value = self._embedded()
        mask = self._graph.node("Cast", "mask.int", MASK, to=TensorProto.INT32)
        for index in range(self._shape.layers):
            value = self._layer(index, value, mask)
        return value

    def linear(self, name: str, value: str, key: str) -> str:
        """Add the linear layer whose weights are named `key`."""
        return self._graph.linear(name, value, self._weights[f"{key}.weight"].T, self._weights[f"{key}.bias"])

    def first(self, value: str) -> str:
        """Add the first token's vector, shape (batch, width)."""
        return self._graph.node("Gather", "first", value, self._graph.constant("zero", np.asarray(0, np.int64)), axis=1)

    def mean(self, value: str) -> str:
        """Add the mean of the token vectors that are no padding, shape (batch, width)."""
        middle = self._graph.integers("axis.tokens", 1)
        weights = self._float_mask()
        total = self._graph.node(
            "ReduceSum", "total", self._graph.node("Mul", "weighted", value, weights), middle, keepdims=0
        )
        return self._graph.node(
            "Div", "mean", total, self._graph.node("ReduceSum", "count", weights, middle, keepdims=0)
        )

    def sparse(self, value: str) -> str:
        """Add BGE-M3's lexical weights, shape (batch, tokens, 1), zero for padding."""
        raw = self.linear("sparse.raw", value, "sparse_linear")
        return self._graph.node(
            "Mul", "sparse_vecs", self._graph.node("Relu", "sparse.positive", raw), self._float_mask()
        )

    def colbert(self, value: str) -> str:
        """Add BGE-M3's token vectors without that of `<s>`, shape (batch, tokens - 1, width)."""
        begin, end = self._graph.integers("one", 1), self._graph.integers("end", 1 << 40)
        axis = self._graph.integers("axis.tokens", 1)
        rest = self._graph.node("Slice", "colbert.rest", value, begin, end, axis)
        mask = self._graph.node("Slice", "colbert.mask", self._float_mask(), begin, end, axis)
        return self._graph.node("Mul", "colbert_vecs", self.linear("colbert.raw", rest, "colbert_linear"), mask)

    def tanh(self, name: str, value: str) -> str:
        """Add a hyperbolic tangent."""
        return self._graph.node("Tanh", name, value)

    def named(self, name: str, value: str) -> str:
        """Give a value the name of an output."""
        return self._graph.node("Identity", name, value)

    def _float_mask(self) -> str:
        from onnx import TensorProto

        name = "mask.wide"
        if not any(node.name == name for node in self._graph.nodes):
            exact = self._graph.node("Cast", "mask.float", MASK, to=TensorProto.FLOAT)
            self._graph.node("Unsqueeze", name, exact, self._graph.integers("axis.last", 2))
        return name

    def _embedded(self) -> str:
        graph, weights = self._graph, self._weights
        words = graph.rows("words", weights["embeddings.word_embeddings.weight"], IDS)
        places = weights["embeddings.position_embeddings.weight"]
        kinds = weights["embeddings.token_type_embeddings.weight"]
        if not self._shape.segments:
            places = places + kinds[0]
        value = graph.node("Add", "placed", words, self._positions(places))
        if self._shape.segments:
            segments = graph.node("Gather", "segments", graph.constant("segments.table", kinds), SEGMENTS)
            value = graph.node("Add", "embedded.sum", value, segments)
        return self._normalised("embedded", value, "embeddings.LayerNorm")

    def _positions(self, table: npt.NDArray[Any]) -> str:
        from onnx import TensorProto

        graph, pad = self._graph, self._shape.pad
        whole = graph.constant("positions.table", table)
        if pad is None:
            start = graph.integers("begin", 0)
            length = graph.node("Shape", "positions.length", IDS, start=1, end=2)
            return graph.node("Slice", "positions", whole, start, length, start)
        padding = graph.node("Equal", "positions.padding", IDS, graph.integers("pad", pad))
        real = graph.node("Cast", "positions.real", graph.node("Not", "positions.not", padding), to=TensorProto.INT64)
        counted = graph.node(
            "CumSum", "positions.counted", real, graph.constant("axis.counted", np.asarray(1, np.int64))
        )
        number = graph.node("Add", "positions.number", graph.node("Mul", "positions.own", counted, real), "pad")
        return graph.node("Gather", "positions", whole, number)

    def _layer(self, index: int, value: str, mask: str) -> str:
        """Add one transformer layer; queries, keys and values share one multiplication."""
        graph, weights = self._graph, self._weights
        key, name = f"encoder.layer.{index}", f"layer{index}"
        parts = [f"{key}.attention.self.{part}" for part in ("query", "key", "value")]
        weight = np.concatenate([weights[f"{part}.weight"] for part in parts]).T
        bias = np.concatenate([weights[f"{part}.bias"] for part in parts])
        qkv = graph.split(f"{name}.split", graph.linear(f"{name}.qkv", value, weight, bias), 3)
        mixed = graph.node(
            "MultiHeadAttention", f"{name}.mixed", *qkv, "", mask, domain=MICROSOFT, num_heads=self._shape.heads
        )
        value = self._residual(f"{name}.attended", value, mixed, f"{key}.attention.output")
        wide = self.linear(f"{name}.wide", value, f"{key}.intermediate.dense")
        return self._residual(name, value, self._activated(f"{name}.active", wide), f"{key}.output")

    def _activated(self, name: str, value: str) -> str:
        if self._shape.activation == "relu":
            return self._graph.node("Relu", name, value)
        approximate = "tanh" if self._shape.activation == "tanh" else "none"
        return self._graph.node("Gelu", name, value, approximate=approximate)

    def _residual(self, name: str, value: str, branch: str, key: str) -> str:
        total = self._graph.node("Add", f"{name}.sum", value, self.linear(f"{name}.project", branch, f"{key}.dense"))
        return self._normalised(name, total, f"{key}.LayerNorm")

    def _normalised(self, name: str, value: str, key: str) -> str:
        weight = self._graph.constant(f"{name}.scale", self._weights[f"{key}.weight"])
        bias = self._graph.constant(f"{name}.shift", self._weights[f"{key}.bias"])
        return self._graph.node("LayerNormalization", name, value, weight, bias, axis=-1, epsilon=self._shape.epsilon)
