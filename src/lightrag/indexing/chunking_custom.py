"""Cuts with a function of the caller's, as LightRAG's `chunking_func`."""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

from lightrag.errors import InvalidInput
from lightrag.indexing.chunking_spans import Span
from lightrag.types import ChunkingChoice

ChunkingFunction = Callable[..., Any]
"""`(tokenizer, content, split_by_character, split_by_character_only, chunk_overlap_token_size, chunk_token_size)`, or
the older form without `tokenizer` and with the name of the tokenizer's model last. Returns, or is awaited for, mappings
with `content` and perhaps `tokens`, in the order of the text."""

_MODEL_NAME = "gpt-4o-mini"
_WORD = re.compile(r"\S+")


class Tokenizer(Protocol):
    """What a custom function is given to count with."""

    def count(self, text: str) -> int: ...
    def encode(self, text: str) -> list[int]: ...
    def decode(self, tokens: Any) -> str: ...


async def custom_spans(
    function: ChunkingFunction, tokenizer: Tokenizer, text: str, choice: ChunkingChoice
) -> list[tuple[Span, str]]:
    """Return the passages that the function makes of a text, and where in it they stand.

    A passage that is found in the text, whatever its blanks, has the span where it was found behind the beginning of
    the one before. One that is not there has an empty span. Raises `InvalidInput` where the function fails or returns
    something else than passages.
    """
    arguments = (
        choice.split_by_character,
        bool(choice.split_by_character_only),
        choice.chunk_overlap_token_size,
        choice.chunk_token_size,
    )
    called = (text, *arguments, _MODEL_NAME) if _is_old_form(function) else (tokenizer, text, *arguments)
    try:
        if inspect.iscoroutinefunction(function):
            made = await function(*called)
        else:
            made = await asyncio.to_thread(function, *called)
            made = await made if inspect.isawaitable(made) else made
    except InvalidInput:
        raise
    except Exception as error:
        raise InvalidInput(f"The chunking function failed ({type(error).__name__}: {error})") from error
    return await asyncio.to_thread(lambda: list(_located(text, made, tokenizer)))


def _is_old_form(function: ChunkingFunction) -> bool:
    try:
        parameters = list(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return False
    return bool(parameters) and parameters[0] in {"content", "text"}


def _located(text: str, made: Any, tokenizer: Tokenizer) -> Iterator[tuple[Span, str]]:
    if not isinstance(made, (list, tuple)):
        raise InvalidInput(f"The chunking function returned {type(made).__name__}; a list of chunks is expected")
    cursor = 0
    for number, item in enumerate(made, start=1):
        content = item.get("content") if isinstance(item, Mapping) else None
        if not isinstance(content, str):
            raise InvalidInput(f"Chunk {number} of the chunking function has no 'content' string")
        content = content.strip()
        if not content:
            continue
        tokens = item.get("tokens")
        count = tokens if isinstance(tokens, int) else tokenizer.count(content)
        start, end = _find(text, content, cursor)
        cursor = start
        yield Span(start, end, count), content


def _find(text: str, content: str, cursor: int) -> tuple[int, int]:
    at = text.find(content, cursor)
    if at < 0:
        at = text.find(content)
    if at >= 0:
        return at, at + len(content)
    words = [re.escape(word) for word in _WORD.findall(content)]
    found = re.compile(r"\s+".join(words)).search(text, cursor)
    return found.span() if found else (cursor, cursor)
