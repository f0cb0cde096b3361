"""Methods of an instance that answer questions."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import AsyncIterator, Callable
from typing import Any

from lightrag.base import QueryParam
from lightrag.embedded.extractive_answerer import ExtractiveAnswerer
from lightrag.errors import InvalidInput
from lightrag.facade.instance import Instance, Opened
from lightrag.facade.rows import query_data
from lightrag.llm.contracts import ChatModel
from lightrag.query_validation import validate_query_not_empty, validate_rag_query
from lightrag.retrieval.answer import NO_CONTEXT_ANSWER, NO_WISHES, AnswerWriter, Instructions, history
from lightrag.retrieval.context import context_text
from lightrag.retrieval.keywords import find_keywords
from lightrag.types import DocumentFilter, QueryResult, Retrieved
from lightrag.types import QueryParam as EngineParam

Answer = str | AsyncIterator[str]
_PLACE = re.compile(r"\{(context_data|content_data|response_type|user_prompt|history)\}")


class QueryCalls(Instance):
    """Questions."""

    def query(self, query: str, param: QueryParam | None = None, system_prompt: str | None = None) -> Answer:
        """Answer a question; see `aquery`. With `param.stream` the answer is an asynchronous iterator, too."""
        return self._sync("query", lambda: self._query(query, param or QueryParam(), system_prompt))

    async def aquery(self, query: str, param: QueryParam | None = None, system_prompt: str | None = None) -> Answer:
        """Answer a question; with `param.stream` as an asynchronous generator of pieces.

        `system_prompt`: instructions in place of the packaged ones, with the places `{context_data}` (or
        `{content_data}`), `{response_type}`, `{user_prompt}` and `{history}`. Raises `EmptyQueryError`,
        `RAGQueryTooShortError`, and `ModelError` where a model fails.
        """
        param = param or QueryParam()
        query = _checked(query, param)
        return await self._call(self._query(query, param, system_prompt))

    def query_data(self, query: str, param: QueryParam | None = None) -> dict[str, Any]:
        """Return what is found for a question; see `aquery_data`."""
        return self._sync("query_data", lambda: self._query_data(query, param or QueryParam()))

    async def aquery_data(self, query: str, param: QueryParam | None = None) -> dict[str, Any]:
        """Return the entities, relations and chunks that are found for a question, without an answer.

        The dictionary has `status`, `message`, `data` (`entities`, `relationships`, `chunks`, `references`) and
        `metadata` (`query_mode`, `keywords`, `processing_info`).
        """
        param = param or QueryParam()
        query = _checked(query, param)
        return await self._call(self._query_data(query, param))

    def query_llm(
        self, query: str, param: QueryParam | None = None, system_prompt: str | None = None
    ) -> dict[str, Any]:
        """Return what is found and the answer; see `aquery_llm`."""
        return self._sync("query_llm", lambda: self._query_llm(query, param or QueryParam(), system_prompt))

    async def aquery_llm(
        self, query: str, param: QueryParam | None = None, system_prompt: str | None = None, **unused: Any
    ) -> dict[str, Any]:
        """Return what `aquery_data` returns, and the answer under `llm_response`.

        It has `content` or, with `param.stream`, `response_iterator`; `is_streaming`; `llm_generated`, which is false
        where the text was quoted, canned, or is the context itself.
        """
        param = param or QueryParam()
        query = _checked(query, param)
        return await self._call(self._query_llm(query, param, system_prompt))

    def query_with_separate_keyword_extraction(
        self, query: str, prompt: str, param: QueryParam | None = None
    ) -> Answer:
        """Answer a question with instructions that take no part in the search."""
        work = _with_wishes(param or QueryParam(), prompt)
        return self._sync("query_with_separate_keyword_extraction", lambda: self._query(query, work, None))

    async def aquery_with_separate_keyword_extraction(
        self, query: str, prompt: str, param: QueryParam | None = None
    ) -> Answer:
        """Answer a question with instructions that take no part in the search."""
        return await self.aquery(query, _with_wishes(param or QueryParam(), prompt))

    async def _query(self, query: str, param: QueryParam, system_prompt: str | None) -> Answer:
        result = await self._answer(await self._use(), _checked(query, param), param, system_prompt)
        return self._stream(result.stream) if result.stream is not None else result.text or NO_CONTEXT_ANSWER

    async def _query_data(self, query: str, param: QueryParam) -> dict[str, Any]:
        opened = await self._use()
        wanted = await self._wanted(opened, _checked(query, param), param)
        return query_data(await opened.engine.retrieve(query, wanted), param.mode)

    async def _query_llm(self, query: str, param: QueryParam, system_prompt: str | None) -> dict[str, Any]:
        result = await self._answer(await self._use(), _checked(query, param), param, system_prompt)
        is_streaming = result.stream is not None
        return {
            **query_data(result.retrieved, param.mode),
            "llm_response": {
                "content": None if is_streaming else result.text or NO_CONTEXT_ANSWER,
                "response_iterator": self._stream(result.stream) if result.stream is not None else None,
                "is_streaming": is_streaming,
                "llm_generated": result.llm_generated,
            },
        }

    async def _answer(self, opened: Opened, query: str, param: QueryParam, system_prompt: str | None) -> QueryResult:
        wanted = await self._wanted(opened, query, param)
        if system_prompt is None and param.model_func is None:
            return await opened.engine.query(query, wanted)
        model: ChatModel | None = (await opened.models.for_question(wanted)).answer
        if param.model_func is not None:
            model = self._own_model(param.model_func)
        quote = ExtractiveAnswerer(opened.models.embedding).quote
        writer = AnswerWriter(model, quote, _template(system_prompt))
        if param.mode == "bypass":
            return await writer.talk(query, wanted)
        return await writer.write(query, wanted, await opened.engine.retrieve(query, wanted))

    async def _wanted(self, opened: Opened, query: str, param: QueryParam) -> EngineParam:
        """Return the engine's parameters; a model of the query's own names the keywords, too."""
        wanted = engine_param(param, self.user_prompt_prefix)
        named = wanted.hl_keywords or wanted.ll_keywords
        if param.model_func is None or named or param.mode in {"naive", "bypass"}:
            return wanted
        language = opened.settings.indexing.language
        found = (await find_keywords(query, wanted, self._own_model(param.model_func), language)).keywords
        return dataclasses.replace(wanted, hl_keywords=list(found.high_level), ll_keywords=list(found.low_level))

    def _own_model(self, function: Callable[..., Any]) -> ChatModel:
        return self._functions().chat(function, self.llm_model_kwargs)


def engine_param(param: QueryParam, prefix: str = "") -> EngineParam:
    """Return the engine's parameters. `prefix` goes before the user's prompt, word for word."""
    if param.model is not None and param.model_func is not None:
        raise InvalidInput("model and model_func are both given; leave one of them out")
    wishes = param.user_prompt
    if prefix and not param.disable_user_prompt_prefix:
        wishes = prefix + (wishes or "")
    found = param.filter or DocumentFilter(doc_ids=tuple(param.ids or ()))
    return EngineParam(
        mode=param.mode,
        only_need_context=param.only_need_context,
        only_need_prompt=param.only_need_prompt,
        response_type=param.response_type,
        stream=param.stream,
        top_k=_positive("top_k", param.top_k),
        chunk_top_k=_positive("chunk_top_k", param.chunk_top_k),
        max_entity_tokens=param.max_token_for_local_context or param.max_entity_tokens,
        max_relation_tokens=param.max_token_for_global_context or param.max_relation_tokens,
        max_total_tokens=param.max_total_tokens,
        hl_keywords=list(param.hl_keywords),
        ll_keywords=list(param.ll_keywords),
        conversation_history=list(param.conversation_history),
        history_turns=param.history_turns,
        user_prompt=wishes,
        enable_rerank=param.enable_rerank,
        include_references=param.include_references,
        filter=found,
        model=param.model,
        rerank_model=param.rerank_model,
    )


def _positive(name: str, value: int) -> int:
    if value < 1:
        raise InvalidInput(f"{name} is {value}; it must be at least 1")
    return value


def _checked(query: str, param: QueryParam) -> str:
    return validate_query_not_empty(query) if param.mode == "bypass" else validate_rag_query(query)


def _with_wishes(param: QueryParam, prompt: str) -> QueryParam:
    return dataclasses.replace(param, user_prompt="\n\n".join(filter(None, (prompt, param.user_prompt))))


def _template(text: str | None) -> Instructions | None:
    """Return what fills a script's own instructions; other braces in them stay as they are."""
    if text is None:
        return None

    def fill(param: EngineParam, retrieved: Retrieved) -> str:
        context = context_text(retrieved)
        values = {
            "context_data": context,
            "content_data": context,
            "response_type": param.response_type,
            "user_prompt": param.user_prompt or NO_WISHES,
            "history": "\n".join(f"{message.role}: {message.content}" for message in history(param)),
        }
        return _PLACE.sub(lambda place: values[place[1]], text)

    return fill
