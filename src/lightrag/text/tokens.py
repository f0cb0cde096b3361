"""Count and cut text in tokens of o200k_base. The table is in the package; nothing is ever downloaded."""

from __future__ import annotations

import dataclasses
import gzip
import io
import re
import threading
from binascii import a2b_base64
from collections.abc import Sequence
from importlib import resources

import numpy as np
import numpy.typing as npt
import tiktoken

from lightrag.errors import InvalidInput
from lightrag.footprint import give_back
from lightrag.text.scripts import encodable

IntArray = npt.NDArray[np.int64]

_TABLE = "o200k_base.tiktoken.gz"
_SPECIAL = {"<|endoftext|>": 199999, "<|endofprompt|>": 200018}
# How o200k_base cuts text before it merges bytes; the encoding is defined by this pattern and the table together.
_PATTERN = "|".join(
    (
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
        r"\p{N}{1,3}",
        r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
        r"\s*[\r\n]+",
        r"\s+(?!\S)",
        r"\s+",
    )
)
# The encoder's pattern recurses once a blank and aborts on some hundred thousand in a row, so that longer runs are cut.
_BLANKS = re.compile(r"\s{1000}")


@dataclasses.dataclass(frozen=True, slots=True)
class TokenWindow:
    """Characters [start, end) of a text, and how many tokens they hold."""

    start: int
    end: int
    tokens: int


class Tokenizer:
    """Encoder and decoder of o200k_base; safe to share between threads, and meant to be.

    The table is read on first use, which takes 0.3 s and 45 MB. Text that looks like a special token
    (`<|endoftext|>`) is text. Lone surrogates, which no encoding can hold, count as U+FFFD.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._encoding: tiktoken.Encoding | None = None

    def encode(self, text: str) -> list[int]:
        """Return the tokens of a text."""
        return self._encode(encodable(text))

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of tokens; bytes that are no whole character become U+FFFD."""
        return self._loaded().decode(list(tokens))

    def count(self, text: str) -> int:
        """Return the number of tokens of a text."""
        return len(self.encode(text))

    def offsets(self, text: str) -> IntArray:
        """Return at which character each token starts, and last the length of the text.

        Shape (tokens + 1,), never falling: `text[offsets[i]:offsets[j]]` is what tokens i to j - 1 say, cut at whole
        characters, so that adjacent slices join to the text. A token that starts inside a character has that
        character's index.
        """
        text = encodable(text)
        pieces = self._loaded().decode_tokens_bytes(self._encode(text))
        ends = np.cumsum(np.fromiter((len(piece) for piece in pieces), dtype=np.int64, count=len(pieces)))
        starts = np.concatenate((np.zeros(1, np.int64), ends))
        if text.isascii():
            return starts
        raw = np.frombuffer(text.encode(), dtype=np.uint8)
        character = np.cumsum((raw & 0xC0) != 0x80) - 1
        return np.append(character, len(text))[starts].astype(np.int64)

    def windows(self, text: str, size: int, overlap: int = 0) -> list[TokenWindow]:
        """Cut a text into windows of `size` tokens, each sharing `overlap` tokens with the one before.

        Raises `InvalidInput` where windows would not move on.
        """
        if size < 1 or not 0 <= overlap < size:
            raise InvalidInput(
                f"a window of {size} tokens with {overlap} shared cannot move on; share less than the size"
            )
        offsets = self.offsets(text)
        total = len(offsets) - 1
        windows = []
        for first in range(0, total, size - overlap):
            last = min(first + size, total)
            windows.append(TokenWindow(int(offsets[first]), int(offsets[last]), last - first))
            if last == total:
                break
        return windows

    def _encode(self, text: str) -> list[int]:
        encoding = self._loaded()
        tokens: list[int] = []
        start = 0
        for blanks in _BLANKS.finditer(text):
            tokens += encoding.encode_ordinary(text[start : blanks.end()])
            start = blanks.end()
        if start == 0:
            return encoding.encode_ordinary(text)
        return tokens + encoding.encode_ordinary(text[start:])

    def _loaded(self) -> tiktoken.Encoding:
        if self._encoding is None:
            with self._lock:
                if self._encoding is None:
                    self._encoding = _read_encoding()
        return self._encoding


def load_tokenizer() -> Tokenizer:
    """Return a tokenizer; make one per process and pass it on, since each reads its own table."""
    return Tokenizer()


def _read_encoding() -> tiktoken.Encoding:
    table = resources.files(__package__) / "data" / _TABLE
    # Unpacked in one go, which is faster than reading lines from the archive; never all lines at once.
    lines = io.BytesIO(gzip.decompress(table.read_bytes()))
    ranks = {a2b_base64(token): int(rank) for token, rank in map(bytes.split, lines)}
    del lines
    encoding = tiktoken.Encoding(
        "o200k_base", pat_str=_PATTERN, mergeable_ranks=ranks, special_tokens=_SPECIAL, explicit_n_vocab=None
    )
    # The encoder has copied the table; emptying ours halves what stays in memory.
    ranks.clear()
    give_back()
    return encoding
