"""Texts that come as token ids of OpenAI's cl100k_base encoding, which some clients send instead of text.

LangChain's `OpenAIEmbeddings` does so, whatever the model. The ids are read back as text, and the model's own tokenizer
reads that. The table is in the package, with where it comes from; nothing is ever downloaded.
"""

from __future__ import annotations

import array
import gzip
import threading
from binascii import a2b_base64
from collections.abc import Sequence
from importlib import resources

from llmservice.errors import InvalidRequest

TABLE = "cl100k_base.tiktoken.gz"
SPECIAL = {
    100257: b"<|endoftext|>",
    100258: b"<|fim_prefix|>",
    100259: b"<|fim_middle|>",
    100260: b"<|fim_suffix|>",
    100276: b"<|endofprompt|>",
}


class OpenAiTokens:
    """Reads token ids; safe to share between threads. The first use takes about 0.1 s, and 1 MB for good."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._table: tuple[bytes, array.array[int]] | None = None

    def texts(self, inputs: Sequence[Sequence[int]]) -> list[str]:
        """Return the text of each input; bytes that are no whole character become U+FFFD.

        Raises:
            InvalidRequest: an id is none of the encoding's.
        """
        return [self._text(ids) for ids in inputs]

    def _text(self, ids: Sequence[int]) -> str:
        content, ends = self._loaded()
        parts = []
        for number in ids:
            if 0 <= number < len(ends):
                parts.append(content[ends[number - 1] if number else 0 : ends[number]])
            elif number in SPECIAL:
                parts.append(SPECIAL[number])
            else:
                raise InvalidRequest(
                    f"input holds the token id {number}; ids are read as OpenAI's cl100k_base, which has none of that "
                    "number. Send text (in LangChain: OpenAIEmbeddings(check_embedding_ctx_length=False))",
                    "input",
                )
        return b"".join(parts).decode("utf-8", "replace")

    def _loaded(self) -> tuple[bytes, array.array[int]]:
        with self._lock:
            if self._table is None:
                self._table = _read_table()
            return self._table


def _read_table() -> tuple[bytes, array.array[int]]:
    """Return the bytes of all tokens, one after the other in the order of their ids, and where each ends."""
    packed = (resources.files("llmservice") / "data" / TABLE).read_bytes()
    tokens = [a2b_base64(line.split(b" ", 1)[0]) for line in gzip.decompress(packed).splitlines()]
    ends, end = array.array("I"), 0
    for token in tokens:
        end += len(token)
        ends.append(end)
    return b"".join(tokens), ends
