"""What calls use: as servers tell it, estimated where they do not.

Embedding and reranking models return vectors and scores only. What their servers say of tokens is noted by the binding
and read by whoever counts around it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from typing import Any

from lightrag.llm.contracts import ChatRequest, Usage

_BYTES_PER_TOKEN = 4
"""Of UTF-8: about right for English, and for Chinese (three bytes a character) within a third."""

_TOKENS_OF_A_PICTURE = 1200
"""What vendors count for a picture of a million pixels lies between 700 and 1,600."""


def estimate_tokens(text: str) -> int:
    """Return a rough number of tokens of `text`."""
    return -(-len(text.encode()) // _BYTES_PER_TOKEN)


def estimate_usage(request: ChatRequest, answer: str) -> Usage:
    """Return the estimated usage of a call that ended with `answer` (thinking included)."""
    prompt = sum(estimate_tokens(message.content) for message in request.messages)
    prompt += _TOKENS_OF_A_PICTURE if request.picture is not None else 0
    return Usage(prompt_tokens=prompt, completion_tokens=estimate_tokens(answer), estimated=True)


def estimate_texts(texts: Iterable[str]) -> Usage:
    """Return the estimated usage of embedding some texts."""
    return Usage(sum(map(estimate_tokens, texts)), estimated=True)


def estimate_rerank(query: str, documents: Sequence[str]) -> Usage:
    """Return the estimated usage of judging documents: each is read together with the question."""
    return Usage(
        estimate_tokens(query) * len(documents) + sum(map(estimate_tokens, documents)),
        estimated=True,
    )


class NotedUsage:
    """What servers said of the calls that were made inside a block of `noted_usage`."""

    def __init__(self, around: NotedUsage | None) -> None:
        self._around = around
        self._tokens = 0
        self._is_told = False
        self._is_partial = False

    def add(self, tokens: int | None) -> None:
        """Add the tokens of one call; None where its server did not tell."""
        self._is_told = self._is_told or tokens is not None
        self._is_partial = self._is_partial or tokens is None
        self._tokens += tokens or 0
        if self._around is not None:
            self._around.add(tokens)

    @property
    def usage(self) -> Usage | None:
        """What all calls used together; None where that is not known of each."""
        return Usage(self._tokens) if self._is_told and not self._is_partial else None


_NOTED: ContextVar[NotedUsage | None] = ContextVar("lightrag_noted_usage", default=None)


@contextlib.contextmanager
def noted_usage() -> Iterator[NotedUsage]:
    """Collect what bindings note inside the block."""
    noted = NotedUsage(_NOTED.get())
    token = _NOTED.set(noted)
    try:
        yield noted
    finally:
        _NOTED.reset(token)


def note_tokens(tokens: int | None) -> None:
    """Note what a server said of the tokens of a call that embeds or reranks; None where it said nothing."""
    noted = _NOTED.get()
    if noted is not None:
        noted.add(tokens)


_IN_ANSWERS = (
    ("usage", "prompt_tokens"),
    ("usage", "total_tokens"),
    ("usage", "input_tokens"),
    ("meta", "billed_units", "input_tokens"),
    ("meta", "billed_units", "total_tokens"),
    ("meta", "tokens", "input_tokens"),
    ("inputTextTokenCount",),
)
"""Where vendors write the tokens of an embedding or reranking call. Search units of Cohere are no tokens."""
_IN_HEADERS = ("x-compute-tokens", "x-amzn-bedrock-input-token-count")
"""Of Text Embeddings Inference, and of Bedrock."""


def told_tokens(answer: Any, headers: Mapping[str, str] | None = None) -> int | None:
    """Return the tokens that a server tells of an embedding or reranking call; None where it does not."""
    for path in _IN_ANSWERS:
        value = answer
        for name in path:
            value = value.get(name) if isinstance(value, Mapping) else None
        # Some write 0 where they do not count.
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return value
    for name in _IN_HEADERS:
        text = (headers or {}).get(name, "")
        if text.isdecimal() and int(text):
            return int(text)
    return None
