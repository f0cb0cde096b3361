"""all-MiniLM-L6-v2 as an int8 ONNX model: data only. Origin and licence are in PROVENANCE.md and LICENSE."""

from __future__ import annotations

import dataclasses
from importlib import resources
from importlib.resources.abc import Traversable

DIMENSION = 384
"""Length of the vectors."""

MAX_PIECES = 256
"""Most word pieces of one input, the two markers included; the model was trained on no more."""


@dataclasses.dataclass(frozen=True, slots=True)
class ModelFiles:
    """The two files that a runtime needs; `importlib.resources.as_file` gives them a path."""

    model: Traversable
    """ONNX: `input_ids`, `attention_mask` (int64, [batch, pieces]) to `embedding` (float32, [batch, 384])."""
    tokenizer: Traversable
    """Definition for the `tokenizers` library."""


def files() -> ModelFiles:
    """Return where the model's files are."""
    folder = resources.files(__name__)
    return ModelFiles(model=folder / "model.onnx", tokenizer=folder / "tokenizer.json")
