"""Finds out which output of a model is which kind of vector, and brings it into one form.

Exports of BGE-M3 differ in names, in shapes and in whether vectors are normalised, so that is done here. The rules are
those of FlagEmbedding's `BGEM3FlagModel`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from llmservice.backends.contracts import FloatArray, VectorKind
from llmservice.backends.encoder import Array
from llmservice.backends.token_batches import Ids
from llmservice.errors import ModelLoadError

Shape = Sequence[int | str | None]
_HIDDEN = ("last_hidden_state", "token_embeddings", "hidden_states")
_NOT_FOR_TEXTS = ("pooler_output",)
"""A head that was trained on something else; the token vectors beside it are pooled instead."""
_VOCABULARY = 5000
"""A two-dimensional sparse output this wide has a place for each token id; narrower ones have one for each token."""


@dataclasses.dataclass(frozen=True, slots=True)
class Outputs:
    """Indices of a model's outputs, None for those that it has not."""

    dense: int | None
    sparse: int | None
    colbert: int | None
    hidden: int | None

    @property
    def kinds(self) -> tuple[VectorKind, ...]:
        """What the model makes."""
        found: list[VectorKind] = []
        if self.dense is not None or self.hidden is not None:
            found.append("dense")
        if self.sparse is not None:
            found.append("sparse")
        if self.colbert is not None:
            found.append("colbert")
        return tuple(found)


def detect_outputs(model: Path, outputs: Sequence[tuple[str, Shape]]) -> Outputs:
    """Tell outputs apart by name, and where a name says nothing by shape. Raises `ModelLoadError` if none fits."""
    places: dict[str, int] = {}
    unnamed = []
    for index, (name, shape) in enumerate(outputs):
        role = _role_by_name(name.lower())
        if role is None:
            unnamed.append((index, shape))
        elif role:
            places.setdefault(role, index)
    for index, shape in unnamed:
        role = _role_by_shape(shape, places)
        if role:
            places.setdefault(role, index)
    found = Outputs(places.get("dense"), places.get("sparse"), places.get("colbert"), places.get("hidden"))
    if not found.kinds:
        raise ModelLoadError(
            f"{model} has the outputs {', '.join(name for name, _ in outputs)}, and none is a vector of a text or of "
            "its tokens; export the model as feature extraction, or convert it with llmservice convert"
        )
    return found


def _role_by_name(name: str) -> str | None:
    """Return an output's role, an empty one for what is of no use, None where the name does not tell."""
    if name in _NOT_FOR_TEXTS or "logits" in name:
        return ""
    for word in ("sparse", "lexical"):
        if word in name:
            return "sparse"
    for word in ("colbert", "multi_vec", "multivec"):
        if word in name:
            return "colbert"
    if name in _HIDDEN:
        return "hidden"
    for word in ("dense", "sentence", "embedding", "pooled"):
        if word in name:
            return "dense"
    return None


def _role_by_shape(shape: Shape, places: dict[str, int]) -> str:
    if len(shape) == 2:
        return "dense"
    if len(shape) == 3 and shape[-1] == 1:
        return "sparse"
    if len(shape) == 3:
        return "colbert" if "dense" in places and "sparse" in places else "hidden"
    return ""


def normalised(vectors: Array) -> FloatArray:
    """Return vectors of length one along the last axis, float32; zero vectors stay zero."""
    exact = np.asarray(vectors, np.float32)
    length = np.linalg.norm(exact, axis=-1, keepdims=True)
    found: FloatArray = exact / np.maximum(length, np.float32(1e-12))
    return found


def lexical_weights(output: Array, ids: Ids, special: frozenset[int]) -> dict[str, float]:
    """Return the weight of each token id but the special ones, the highest where it comes again.

    `output` has a weight for each token, shape (padded length, 1) or (padded length,), or one for each id of the
    vocabulary. Weights that are not positive are left out.
    """
    flat = np.asarray(output, np.float32).reshape(-1) if output.ndim < 2 or output.shape[-1] == 1 else None
    if flat is None:
        flat = np.asarray(output, np.float32).max(axis=0)
    if len(flat) > max(_VOCABULARY, len(ids) * 2):
        pairs = [(int(number), float(flat[number])) for number in np.flatnonzero(flat > 0)]
    else:
        pairs = [(int(number), float(weight)) for number, weight in zip(ids, flat, strict=False)]
    weights: dict[str, float] = {}
    for number, weight in pairs:
        if weight > 0 and number not in special:
            key = str(number)
            weights[key] = max(weight, weights.get(key, 0.0))
    return weights
