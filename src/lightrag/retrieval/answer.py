"""Turns what was found into an answer."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Literal

from lightrag.errors import ConfigurationError
from lightrag.llm.contracts import ChatModel, ChatRequest, Message, Role, Usage
from lightrag.prompts import fill
from lightrag.retrieval.context import context_text
from lightrag.types import Outcome, QueryParam, QueryResult, RankedChunk, Retrieved, TakesBack, Thinking

NO_CONTEXT_ANSWER = "Sorry, I'm not able to provide an answer to that question.[no-context]"
"""What LightRAG's clients know as the sign that nothing was found."""
NO_WISHES = "n/a"
BREAK = "\n\n"
"""Stands between thoughts that were taken for the answer, and the answer."""
QUESTION_HEADING = "---User Query---"

_ROLES: Mapping[str, Literal["system", "user", "assistant"]] = {
    "system": "system",
    "user": "user",
    "assistant": "assistant",
}

Quote = Callable[[str, Sequence[RankedChunk]], Awaitable[str]]
"""Answers a question by quoting passages, for want of a language model."""


Instructions = Callable[[QueryParam, Retrieved], str]
"""Makes the system prompt of what was found."""


class AnswerWriter:
    """Writes answers with a language model, or by quoting where there is none.

    `system` makes the system prompt; None for the packaged one.
    """

    def __init__(self, model: ChatModel | None, quote: Quote, system: Instructions | None = None) -> None:
        self._model = model
        self._quote = quote
        self._system = system or system_prompt

    async def write(self, question: str, param: QueryParam, retrieved: Retrieved) -> QueryResult:
        """Answer from what was found. Raises `ModelError` where the model fails."""
        if retrieved.is_empty:
            return QueryResult(retrieved, text=NO_CONTEXT_ANSWER)
        if param.only_need_prompt:
            return QueryResult(retrieved, text=f"{self._system(param, retrieved)}\n\n{QUESTION_HEADING}\n{question}")
        if param.only_need_context:
            return QueryResult(retrieved, text=context_text(retrieved))
        if self._model is None:
            return QueryResult(retrieved, text=await self._quote(question, retrieved.chunks))
        messages = (Message("system", self._system(param, retrieved)), *history(param), Message("user", question))
        return await self._ask(self._model, messages, param, retrieved)

    async def talk(self, question: str, param: QueryParam) -> QueryResult:
        """Pass the question to the model as it is, with the conversation (mode `bypass`).

        Raises `ConfigurationError` where no model is configured.
        """
        if param.only_need_context or param.only_need_prompt:
            return QueryResult(Retrieved(), text="" if param.only_need_context else question)
        if self._model is None:
            raise ConfigurationError(
                "mode bypass needs a language model and none is configured; set LLM_BINDING and LLM_MODEL, or ask in"
                " another mode"
            )
        system = (Message("system", param.user_prompt),) if param.user_prompt else ()
        messages = (*system, *history(param), Message("user", question))
        return await self._ask(self._model, messages, param, Retrieved())

    async def _ask(
        self, model: ChatModel, messages: tuple[Message, ...], param: QueryParam, retrieved: Retrieved
    ) -> QueryResult:
        wanted = param.generation
        request = ChatRequest(
            messages,
            Role.ANSWER,
            max_tokens=wanted.max_tokens,
            temperature=wanted.temperature,
            json_object=wanted.json_object,
            # In a conversation the same words twice ask for two answers; what the documents say stays the same.
            fresh=param.mode == "bypass",
        )
        outcome = Outcome()
        if param.stream:
            pieces = _pieces(model, request, outcome, with_thinking=wanted.with_thinking)
            return QueryResult(retrieved, stream=pieces, llm_generated=True, outcome=outcome)
        reply = await model.complete(request)
        _note(outcome, reply.finish_reason, reply.usage, reply.given_by or model.facts.called)
        outcome.thinking = reply.thinking
        return QueryResult(retrieved, text=reply.text, llm_generated=True, outcome=outcome)


def system_prompt(param: QueryParam, retrieved: Retrieved) -> str:
    """Return the instructions with the context."""
    return instructions(param, context_text(retrieved))


def instructions(param: QueryParam, context: str) -> str:
    """Return the instructions around a context."""
    return fill(
        "answer_system",
        response_type=param.response_type,
        user_prompt=param.user_prompt or NO_WISHES,
        context=context,
    )


def history(param: QueryParam) -> tuple[Message, ...]:
    """Return the conversation so far: the last `history_turns` turns, or all of it where that is 0."""
    said = [
        Message(role, content)
        for message in param.conversation_history
        if (content := message.get("content", "")) and (role := _ROLES.get(message.get("role", "user")))
    ]
    return tuple(said[-2 * param.history_turns :] if param.history_turns else said)


async def _pieces(
    model: ChatModel, request: ChatRequest, outcome: Outcome, *, with_thinking: bool
) -> AsyncIterator[str]:
    """Yield the texts of an answer that is being written; closing this closes the call."""
    deltas = model.stream(request)
    try:
        async for delta in deltas:
            if with_thinking and delta.thinking:
                yield Thinking(delta.thinking)
            if delta.takes_back:
                yield TakesBack(BREAK)
            if delta.text:
                yield delta.text
            if delta.finish_reason is not None:
                _note(outcome, delta.finish_reason, delta.usage, delta.given_by or model.facts.called)
    finally:
        if isinstance(deltas, AsyncGenerator):
            await deltas.aclose()


def _note(outcome: Outcome, finish_reason: str, usage: Usage | None, model: str) -> None:
    outcome.finish_reason = finish_reason
    outcome.model = model
    if usage is not None and (usage.prompt_tokens or usage.completion_tokens):
        # An answer from the cache was paid for by another call and has none.
        outcome.prompt_tokens, outcome.completion_tokens = usage.prompt_tokens, usage.completion_tokens
