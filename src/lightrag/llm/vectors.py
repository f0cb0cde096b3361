"""Turn what embedding servers send into checked, L2-normalised float32 arrays."""

from __future__ import annotations

import binascii
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from lightrag.llm.contracts import FloatArray
from lightrag.llm.endpoint import Endpoint

Encoded = str | Sequence[float]
"""One vector: base64 of little-endian float32, or a list of numbers."""


def by_index(data: Any) -> list[Any]:
    """Return the items of OpenAI's form of a list, `[{"index", ...}]`, in order; some servers leave indices out."""
    return sorted(data, key=lambda item: item.get("index") or 0)


def batches(texts: Sequence[str], size: int | None) -> Iterator[Sequence[str]]:
    """Yield `texts` in runs of at most `size`; an empty text, which servers refuse, becomes a space."""
    prepared = [text or " " for text in texts]
    step = size or max(1, len(prepared))
    for start in range(0, len(prepared), step):
        yield prepared[start : start + step]


def decode_vectors(encoded: Sequence[Encoded], count: int, dimension: int | None, endpoint: Endpoint) -> FloatArray:
    """Return the vectors of one answer, shape (count, dimension), L2-normalised.

    Base64 goes straight into the array, without Python lists. `dimension` None takes that of the answer. Raises
    `UnusableAnswer` for a wrong number of vectors or values that are not finite numbers, and `ModelRefused` for
    another dimension, which no retry will mend.
    """
    if len(encoded) != count:
        raise endpoint.unusable(f"{len(encoded)} vectors came back for {count} texts")
    try:
        rows = [
            np.frombuffer(binascii.a2b_base64(vector), "<f4")
            if isinstance(vector, str)
            else np.asarray(vector, np.float32)
            for vector in encoded
        ]
    except (ValueError, TypeError) as error:
        raise endpoint.unusable(f"the vectors cannot be read ({error})") from error
    lengths = {row.shape for row in rows}
    if len(lengths) != 1 or rows[0].ndim != 1 or rows[0].size == 0:
        raise endpoint.unusable("the vectors of one answer differ in length or are empty")
    if dimension is not None and rows[0].size != dimension:
        raise endpoint.refused(
            f"vectors of dimension {rows[0].size} came back where {dimension} was expected",
            "set the embedding dimension to what the model gives, or choose the model that the workspace was made with",
        )
    return _normalised(np.stack(rows).astype(np.float32, copy=False), endpoint)


def joined(parts: Sequence[FloatArray], dimension: int | None) -> FloatArray:
    """Return the vectors of several answers as one array; of none, an empty one."""
    if not parts:
        return np.empty((0, dimension or 0), np.float32)
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _normalised(vectors: FloatArray, endpoint: Endpoint) -> FloatArray:
    norms = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
    if not np.isfinite(norms).all():
        raise endpoint.unusable("a vector holds values that are not finite numbers")
    np.maximum(norms, np.finfo(np.float32).tiny, out=norms)  # a vector of zeros stays one
    out: FloatArray = vectors / norms[:, None]
    return out
