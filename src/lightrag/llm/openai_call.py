"""One call of LightRAG's functions for OpenAI's dialect: sent by the SDK, tried again, read, its failure named."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import openai
from openai import (
    APIConnectionError,
    APIError,
    APIStatusError,
    APITimeoutError,
    AsyncOpenAI,
    BadRequestError,
    RateLimitError,
)

from lightrag.errors import AccessRefused, ContextTooLong, ModelError, UnusableAnswer
from lightrag.llm.endpoint import Endpoint, public_url
from lightrag.llm.retry import Retrial, RetryPolicy

T = TypeVar("T")

_POLICY = RetryPolicy(attempts=3, unusable_attempts=3, base=1.0, most=10.0, deadline=30.0)


class InvalidResponseError(Exception):
    """The server answered with something else than a completion."""


class EmptyResponseError(InvalidResponseError):
    """The server answered without text."""


class ContextLengthExceededError(BadRequestError):
    """The prompt does not fit the model's context."""


class QuotaExceededError(RateLimitError):
    """The account's quota is used up; trying again does not help."""


class OpenAICall:
    """One request. `tracker`: its `add_usage` is told the tokens, where it is not None.

    Raises the SDK's exceptions and those of this module, with messages that say what to do.
    """

    def __init__(self, client: AsyncOpenAI, model: str, body: dict[str, Any], tracker: Any) -> None:
        self._client = client
        self._endpoint = _endpoint(model, client)
        self._body = body
        self._tracker = tracker

    async def complete(self, enable_cot: bool) -> str:
        """Return the whole answer."""
        return await self._persist(lambda: self._answered(enable_cot))

    async def stream(self, enable_cot: bool) -> AsyncGenerator[str]:
        """Return the pieces of the answer; the request has been accepted then."""
        try:
            events = await self._persist(
                lambda: self._send(self._body | {"stream": True, "stream_options": {"include_usage": True}})
            )
        except BaseException:
            await self._client.close()
            raise
        return self._pieces(events, enable_cot)

    async def embed(self) -> npt.NDArray[np.float32]:
        """Return the vectors."""
        return await self._persist(self._embedded)

    async def _answered(self, enable_cot: bool) -> str:
        response = await self._send(self._body)
        choices = getattr(response, "choices", None)
        if not choices or choices[0].message is None:
            raise InvalidResponseError("the answer is not a chat completion")
        message = choices[0].message
        self._track(getattr(response, "usage", None))
        text = message.content or ""
        thinking = getattr(message, "reasoning_content", None) or ""
        if not text.strip() and enable_cot and thinking.strip():
            return f"<think>{thinking}</think>"
        if not text.strip():
            raise EmptyResponseError(f"the answer is empty (finish reason '{choices[0].finish_reason}')")
        return str(text)

    async def _embedded(self) -> npt.NDArray[np.float32]:
        response = await self._client.embeddings.create(**self._body)
        rows = sorted(response.data or [], key=lambda row: row.index)
        if len(rows) != len(self._body["input"]):
            raise InvalidResponseError(f"{len(rows)} vectors came back for {len(self._body['input'])} texts")
        self._track(response.usage)
        return np.array([row.embedding for row in rows], dtype=np.float32)

    async def _send(self, body: dict[str, Any]) -> Any:
        completions = self._client.chat.completions
        if inspect.isclass(body.get("response_format")):
            return await completions.parse(**{key: value for key, value in body.items() if "stream" not in key})
        try:
            return await completions.create(**body)
        except BadRequestError as error:
            refused = next((name for name in ("response_format", "stream_options") if name in str(error)), "")
            if refused not in body:
                raise
            return await completions.create(**{key: value for key, value in body.items() if key != refused})

    async def _pieces(self, events: Any, enable_cot: bool) -> AsyncGenerator[str]:
        is_thinking = has_text = False
        try:
            async for event in events:
                self._track(getattr(event, "usage", None))
                delta = event.choices[0].delta if event.choices else None
                text = (delta.content or "") if delta is not None else ""
                thinking = (getattr(delta, "reasoning_content", None) or "") if enable_cot and not has_text else ""
                if thinking and not text:
                    yield thinking if is_thinking else f"<think>{thinking}"
                    is_thinking = True
                if text:
                    yield f"</think>{text}" if is_thinking else text
                    is_thinking, has_text = False, True
            if is_thinking:
                yield "</think>"
                has_text = True
            if not has_text:
                raise EmptyResponseError("the streamed answer is empty")
        except (openai.OpenAIError, InvalidResponseError) as error:
            raise self._named(error, self._meaning(error)) from error
        finally:
            await events.close()
            await self._client.close()

    async def _persist(self, send: Callable[[], Awaitable[T]]) -> T:
        retrial = Retrial(_POLICY, None)
        while True:
            try:
                return await send()
            except (openai.OpenAIError, InvalidResponseError) as error:
                meaning = self._meaning(error)
                try:
                    await retrial.after(meaning)
                except ModelError:
                    raise self._named(error, meaning) from error

    def _meaning(self, error: Exception) -> ModelError:
        """Return the kind of an error, with a message that says what to do."""
        if isinstance(error, APIStatusError):
            return self._endpoint.from_status(error.status_code, error.response.text, error.response.headers)
        if isinstance(error, APITimeoutError):
            timeout = self._client.timeout
            return self._endpoint.late(timeout if isinstance(timeout, (int, float)) else None)
        if isinstance(error, APIConnectionError):
            return self._endpoint.unreachable(f"the connection failed ({error.__cause__ or error})")
        if isinstance(error, APIError):
            return self._endpoint.from_status(500, str(error.body or error.message))
        return self._endpoint.unusable(str(error))

    def _named(self, error: Exception, meaning: ModelError) -> Exception:
        """Return the exception to raise: of the SDK's class, with the message of ours."""
        text = str(meaning)
        if isinstance(error, APIStatusError):
            kind = type(error)
            if isinstance(meaning, ContextTooLong):
                kind = ContextLengthExceededError
            elif isinstance(meaning, AccessRefused) and error.status_code in {402, 429}:
                kind = QuotaExceededError
            return kind(text, response=error.response, body=error.body)
        if isinstance(meaning, UnusableAnswer):
            return type(error)(text) if isinstance(error, InvalidResponseError) else InvalidResponseError(text)
        error.args = (text,)
        if isinstance(error, APIError):
            error.message = text
        return error

    def _track(self, usage: Any) -> None:
        if self._tracker is None or usage is None:
            return
        counts = {name: getattr(usage, name, 0) or 0 for name in ("prompt_tokens", "completion_tokens", "total_tokens")}
        self._tracker.add_usage(counts)


def _endpoint(model: str, client: AsyncOpenAI) -> Endpoint:
    return Endpoint(model, public_url(str(client.base_url)), "the model's name", str(client.api_key or ""))
