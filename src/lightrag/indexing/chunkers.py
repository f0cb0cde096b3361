"""All ways of cutting under one roof: which one a document gets, whether its parameters make sense, and the cut."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Protocol, TypeVar, get_args

from lightrag.errors import ConfigurationError, InvalidInput
from lightrag.indexing.chunking import Chunker, SentenceCutter
from lightrag.indexing.chunking_custom import ChunkingFunction, Tokenizer, custom_spans
from lightrag.indexing.chunking_fixed import fixed_spans, split_spans
from lightrag.indexing.chunking_paragraphs import paragraph_spans
from lightrag.indexing.chunking_recursive import MAX_SEPARATOR_CHARS, MAX_SEPARATORS, SEPARATORS, recursive_spans
from lightrag.indexing.chunking_semantic import AMOUNTS, Embeds, semantic_spans, sentences_by
from lightrag.indexing.chunking_spans import ChunkMaker, Span, TokenCounter
from lightrag.types import BreakpointType, Chunk, ChunkingChoice, ChunkingStrategy, PageSpan

T = TypeVar("T")

MAX_SIZE = 1_000_000
_BATCH = 256
_SIZES = frozenset({"chunk_token_size", "chunk_overlap_token_size"})
_SPLITTING = _SIZES | {"split_by_character", "split_by_character_only"}
PARAMETERS: Mapping[ChunkingStrategy, frozenset[str]] = MappingProxyType(
    {
        "content_defined": _SIZES,
        "fixed_token": _SPLITTING,
        "recursive_character": _SIZES | {"separators"},
        "semantic_vector": frozenset(
            {"chunk_token_size", "breakpoint_threshold_type", "breakpoint_threshold_amount", "buffer_size"}
        ),
        "paragraph_semantic": _SIZES | {"drop_references"},
        "custom": _SPLITTING,
    }
)
"""Which parameters each strategy takes."""


class FullTokenizer(TokenCounter, Tokenizer, Protocol):
    """A tokenizer as all ways of cutting together need it."""


def standard_choices(size: int = 1200, overlap: int = 100) -> dict[ChunkingStrategy, ChunkingChoice]:
    """Return a complete choice for each strategy."""
    return {
        "content_defined": ChunkingChoice("content_defined", size, overlap),
        "fixed_token": ChunkingChoice("fixed_token", size, overlap, split_by_character_only=False),
        "recursive_character": ChunkingChoice("recursive_character", size, overlap, separators=SEPARATORS),
        "semantic_vector": ChunkingChoice(
            "semantic_vector", size, breakpoint_threshold_type="percentile", buffer_size=1
        ),
        "paragraph_semantic": ChunkingChoice("paragraph_semantic", 2000, overlap, drop_references=False),
        "custom": ChunkingChoice("custom", size, overlap, split_by_character_only=False),
    }


@dataclasses.dataclass(frozen=True, slots=True)
class ChunkingRules:
    """What the settings say of cutting."""

    strategy: ChunkingStrategy = "content_defined"
    """For documents of which nobody says anything."""
    choices: Mapping[ChunkingStrategy, ChunkingChoice] = dataclasses.field(default_factory=standard_choices)
    """A complete choice for each strategy, from which callers may deviate."""
    sentence_pattern: str | None = None
    """`semantic_vector`: regular expression between sentences; None for the rules of `lightrag.text.sentences`."""


class Chunkers:
    """Cuts documents in the way that each of them has."""

    def __init__(
        self,
        tokens: FullTokenizer,
        sentences: SentenceCutter,
        embedding: Embeds,
        rules: ChunkingRules | None = None,
        function: ChunkingFunction | None = None,
    ) -> None:
        """`function` is for the strategy `custom`.

        Raises `ConfigurationError` where the rules contradict each other.
        """
        self._tokens = tokens
        self._sentences = sentences
        self._embedding = embedding
        self._rules = rules or ChunkingRules()
        self._function = function
        size, overlap = _sizes(self._rules.choices["content_defined"])
        Chunker(tokens, sentences, size, overlap)
        try:
            for strategy in get_args(ChunkingStrategy):
                if strategy != "custom":
                    self.resolve(ChunkingChoice(strategy))
            self.default = self.resolve(ChunkingChoice(self._rules.strategy))
            """How documents are cut of which nobody says anything."""
        except InvalidInput as error:
            raise ConfigurationError(f"The settings CHUNK_* contradict each other: {error}") from None

    def count(self, text: str) -> int:
        """Return the number of tokens of a text."""
        return self._tokens.count(text)

    def resolve(self, choice: ChunkingChoice) -> ChunkingChoice:
        """Return a complete choice: what is left open follows the settings.

        Raises `InvalidInput` where a parameter is not one of the strategy, out of bounds, or contradicts another.
        """
        base = self._rules.choices.get(choice.strategy)
        if base is None:
            raise InvalidInput(f"chunking: unknown strategy '{choice.strategy}'; use one of {', '.join(PARAMETERS)}")
        if choice.strategy == "custom" and self._function is None:
            raise InvalidInput(
                "chunking: strategy 'custom' needs a function of the program that embeds this engine (chunking_func); "
                "none is there. Use one of the other strategies"
            )
        given: dict[str, Any] = {name: value for name, value in _fields(choice) if value is not None}
        if foreign := sorted(given.keys() - PARAMETERS[choice.strategy]):
            raise InvalidInput(
                f"chunking: '{foreign[0]}' is not a parameter of '{choice.strategy}', which takes "
                f"{', '.join(sorted(PARAMETERS[choice.strategy]))}"
            )
        resolved = dataclasses.replace(base, **given)
        _check(resolved)
        return resolved

    async def cut(
        self,
        choice: ChunkingChoice,
        pieces: AsyncIterator[str],
        *,
        doc_id: str,
        file_path: str,
        pages: Sequence[PageSpan] = (),
    ) -> AsyncIterator[list[Chunk]]:
        """Yield the chunks of a document in order, some at a time.

        `choice` must be complete. Only `content_defined` never holds the whole text. Where the text cannot be cut, an
        error is raised before the first chunk: `InvalidInput`, or `ModelError` of the embedding model.
        """
        if choice.strategy == "content_defined":
            size, overlap = _sizes(choice)
            cutting = Chunker(self._tokens, self._sentences, size, overlap).begin(
                doc_id, file_path=file_path, pages=pages
            )
            async for piece in pieces:
                yield await asyncio.to_thread(cutting.feed, piece)
            yield await asyncio.to_thread(cutting.feed, "", is_last=True)
            return
        text = "".join([piece async for piece in pieces])
        maker = ChunkMaker(doc_id, file_path, pages)
        if choice.strategy == "custom":
            for custom in _batches(await self._custom(text, choice)):
                yield [maker.make(span, content) for span, content in custom]
            return
        for spans in _batches(await self._spans(text, choice)):
            yield [maker.make(span, text[span.start : span.end]) for span in spans]

    async def _custom(self, text: str, choice: ChunkingChoice) -> list[tuple[Span, str]]:
        if self._function is None:
            raise InvalidInput(
                "This document was cut by a function (chunking strategy 'custom') that is not there; open the "
                "workspace with it, or insert the document again with another strategy"
            )
        return await custom_spans(self._function, self._tokens, text, choice)

    async def _spans(self, text: str, choice: ChunkingChoice) -> list[Span]:
        if choice.strategy != "semantic_vector":
            return await asyncio.to_thread(lambda: list(self._plain_spans(text, choice)))
        kind: BreakpointType = choice.breakpoint_threshold_type or "percentile"
        amount = choice.breakpoint_threshold_amount
        return await semantic_spans(
            text,
            await asyncio.to_thread(self._sentence_spans, text),
            self._tokens,
            self._embedding,
            size=_sizes(choice)[0],
            kind=kind,
            amount=AMOUNTS[kind] if amount is None else amount,
            buffer_size=choice.buffer_size or 1,
        )

    def _plain_spans(self, text: str, choice: ChunkingChoice) -> Iterator[Span]:
        size, overlap = _sizes(choice)
        tokens = self._tokens
        if choice.strategy == "recursive_character":
            separators = choice.separators or SEPARATORS
            return recursive_spans(text, tokens, size=size, overlap=overlap, separators=separators)
        if choice.strategy == "paragraph_semantic":
            drop = bool(choice.drop_references)
            return paragraph_spans(text, tokens, size=size, overlap=overlap, drop_references=drop)
        if choice.split_by_character:
            only = bool(choice.split_by_character_only)
            separator = choice.split_by_character
            return split_spans(text, tokens, size=size, overlap=overlap, separator=separator, only=only)
        return fixed_spans(text, tokens, size=size, overlap=overlap)

    def _sentence_spans(self, text: str) -> list[tuple[int, int]]:
        pattern = self._rules.sentence_pattern
        spans = self._sentences(text) if pattern is None else sentences_by(pattern, text)
        return [(start, end) for start, end in spans if text[start:end].strip()]


def _check(choice: ChunkingChoice) -> None:
    size, overlap = _sizes(choice)
    problem = ""
    if not 1 <= size <= MAX_SIZE:
        problem = f"chunk_token_size is {size}; it must be between 1 and {MAX_SIZE}"
    elif choice.strategy == "content_defined" and (size < 16 or overlap > size // 2):
        problem = (
            f"chunk_token_size is {size} and chunk_overlap_token_size {overlap}; content_defined needs at least 16 "
            "tokens and shares at most half of them"
        )
    elif overlap < 0 or (overlap >= size and not _shares_nothing(choice)):
        problem = (
            f"chunk_overlap_token_size ({overlap}) must be less than chunk_token_size ({size}); what the request "
            "leaves out follows the settings, so give both"
        )
    elif len(choice.separators or ()) > MAX_SEPARATORS:
        problem = f"{len(choice.separators or ())} separators are given, at most {MAX_SEPARATORS} are allowed"
    elif any(len(item) > MAX_SEPARATOR_CHARS for item in (*(choice.separators or ()), choice.split_by_character or "")):
        problem = f"a separator is longer than {MAX_SEPARATOR_CHARS} characters"
    elif choice.buffer_size is not None and not 1 <= choice.buffer_size <= 100:
        problem = f"buffer_size is {choice.buffer_size}; it must be between 1 and 100"
    elif (amount := choice.breakpoint_threshold_amount) is not None:
        most = 100.0 if choice.breakpoint_threshold_type in ("percentile", "gradient") else 1e9
        if not 0 < amount <= most:
            problem = (
                f"breakpoint_threshold_amount is {amount}; for {choice.breakpoint_threshold_type} it must be more "
                f"than 0 and at most {most:g}"
            )
    if problem:
        raise InvalidInput(f"chunking with '{choice.strategy}': {problem}")


def _shares_nothing(choice: ChunkingChoice) -> bool:
    """Whether the overlap is never used, so that it may be anything."""
    return choice.strategy == "semantic_vector" or bool(choice.split_by_character and choice.split_by_character_only)


def _sizes(choice: ChunkingChoice) -> tuple[int, int]:
    return choice.chunk_token_size or 0, choice.chunk_overlap_token_size or 0


def _fields(choice: ChunkingChoice) -> Iterator[tuple[str, Any]]:
    for field in dataclasses.fields(choice):
        if field.name != "strategy":
            yield field.name, getattr(choice, field.name)


def _batches(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), _BATCH):
        yield items[start : start + _BATCH]
