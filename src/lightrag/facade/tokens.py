"""A script's tokenizer in the form that the engine counts and cuts with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lightrag.text.tokens import IntArray, Tokenizer
from lightrag.utils import TokenizerInterface

_BROKEN = "\ufffd"


class ForeignTokenizer(Tokenizer):
    """Encodes and decodes by an object that has `encode` and `decode`."""

    def __init__(self, tokenizer: TokenizerInterface) -> None:
        super().__init__()
        self._tokenizer = tokenizer

    def encode(self, text: str) -> list[int]:
        """Return the tokens of a text."""
        return list(self._tokenizer.encode(text))

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of tokens."""
        return self._tokenizer.decode(list(tokens))

    def offsets(self, text: str) -> IntArray:
        """Return at which character each token starts, and last the length of the text; shape (tokens + 1,).

        Where the tokens do not decode to the text piece by piece, they are taken to be equally long.
        """
        tokens = self.encode(text)
        starts = np.empty(len(tokens) + 1, np.int64)
        at, pending = 0, 0
        for index in range(len(tokens)):
            starts[index] = at
            piece = self.decode(tokens[pending : index + 1])
            if _BROKEN in piece and not text.startswith(piece, at):
                continue  # in the middle of a character
            if not text.startswith(piece, at):
                return np.linspace(0, len(text), len(tokens) + 1).round().astype(np.int64)
            at, pending = at + len(piece), index + 1
        starts[-1] = len(text)
        return starts
