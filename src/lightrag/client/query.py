"""Questions: answered at once, while the answer is written, or with what was found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict, Unpack

from lightrag.client.errors import Invalid
from lightrag.client.operations import AsyncPart, Part, SyncPart, endpoint
from lightrag.client.records import Answer, Found
from lightrag.client.requests import Route, Wish
from lightrag.client.streams import EVENTS, AnswerStream, AsyncAnswerStream

Mode = Literal["local", "global", "hybrid", "naive", "mix", "bypass"]

STREAM = Route("POST", "/query/stream", is_repeatable=False)


class QueryOptions(TypedDict, total=False):
    """How a question is to be answered; what is left out has the server's defaults."""

    only_need_context: bool
    only_need_prompt: bool
    response_type: str
    top_k: int
    chunk_top_k: int
    max_entity_tokens: int
    max_relation_tokens: int
    max_total_tokens: int
    hl_keywords: Sequence[str]
    ll_keywords: Sequence[str]
    conversation_history: Sequence[Mapping[str, str]]
    history_turns: int
    user_prompt: str
    enable_rerank: bool
    include_references: bool
    include_chunk_content: bool
    filter: Mapping[str, Any]
    """`doc_ids`, `file_paths` (patterns too) and `tags`; all that are given must hold."""
    model: str
    """The chat model that names the keywords and writes the answer: `name@provider`, or a name that only one has.

    Raises `NotFound` for one that the workspace cannot use, with those that it can.
    """
    rerank_model: str
    """The model that reorders the passages, named likewise."""


class QueryCalls(Part):
    """Questions to the documents of a workspace."""

    @endpoint("POST", "/query", Answer.read)
    def __call__(self, query: str, mode: Mode = "mix", **options: Unpack[QueryOptions]) -> Wish:
        """Answer a question from the documents, with references to where it was found."""
        return _wish(query, mode, options)

    @endpoint("POST", "/query/data", Found.read)
    def data(self, query: str, mode: Mode = "mix", **options: Unpack[QueryOptions]) -> Wish:
        """Return the entities, relations and chunks that are found for a question, without an answer."""
        return _wish(query, mode, options)


class Query(QueryCalls, SyncPart):
    """Questions to the documents of a workspace; call it with one."""

    def stream(self, query: str, mode: Mode = "mix", **options: Unpack[QueryOptions]) -> AnswerStream:
        """Answer a question while the answer is written: iterate over it, best within a `with` block."""
        plan = self._exchange(STREAM, _wish(query, mode, options, streamed=True))
        return AnswerStream(lambda: self._run(plan))


class AsyncQuery(QueryCalls, AsyncPart):
    """Questions to the documents of a workspace; call it with one."""

    def stream(self, query: str, mode: Mode = "mix", **options: Unpack[QueryOptions]) -> AsyncAnswerStream:
        """Answer a question while the answer is written: iterate over it, best within an `async with` block."""
        plan = self._exchange(STREAM, _wish(query, mode, options, streamed=True))
        return AsyncAnswerStream(lambda: self._run(plan))


def _wish(query: str, mode: Mode, options: Mapping[str, Any], *, streamed: bool = False) -> Wish:
    unknown = sorted(options.keys() - QueryOptions.__annotations__.keys())
    if unknown:
        raise TypeError(f"A query has no option '{unknown[0]}'; there are {', '.join(QueryOptions.__annotations__)}")
    if not isinstance(query, str):
        raise Invalid(f"A question is a text, not {type(query).__name__}")
    body = {"query": query, "mode": mode} | {name: value for name, value in options.items() if value is not None}
    return Wish(json=body, accept=EVENTS, handling="stream") if streamed else Wish(json=body)
