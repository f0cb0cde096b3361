"""`POST /v1/chat/completions`."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import AsyncGenerator, Mapping
from typing import Any

import orjson
from fastapi import APIRouter, Request
from starlette.responses import Response

from llmservice.api.errors import as_http
from llmservice.api.requests import chat_requests, function_names, tool_schema
from llmservice.api.responding import EventStream, first_of, json_response, unless_gone
from llmservice.api.schemas import ChatBody
from llmservice.api.state import get_service, get_watch
from llmservice.api.watch import Watch
from llmservice.errors import ServiceError
from llmservice.generation import Delta, Job, Piece, Speaker, Usage, cache_state, collect, make_jobs, stream
from llmservice.runner import TierRunner
from llmservice.service import ModelService
from llmservice.tools import joined

router = APIRouter()

DONE = b"data: [DONE]\n\n"


@router.post("/v1/chat/completions", tags=["text"])
async def chat_completions(body: ChatBody, request: Request) -> Response:
    """Generate chat completions (OpenAI-compatible)."""
    service = get_service(request)
    runner = service.runner(body.model, "chat")
    deadline = service.deadline()
    watch = get_watch(request).generation(runner.tier)
    jobs = await make_jobs(service, runner, "chat", chat_requests(body, runner.settings))
    headers = {"X-Cache": cache_state(jobs)}
    writer = ChatWriter(body, len(jobs), headers["X-Cache"])
    if body.stream:
        return await _streamed(service, runner, jobs, deadline, writer, request, watch, headers)
    answers = await unless_gone(request, collect(service, runner, jobs, deadline))
    watch.first()
    response = json_response(writer.whole(answers), headers)
    watch.finished(writer.usage.prompt_tokens, writer.usage.completion_tokens)
    return response


async def _streamed(
    service: ModelService,
    runner: TierRunner,
    jobs: list[Job],
    deadline: float,
    writer: ChatWriter,
    request: Request,
    watch: Watch,
    headers: Mapping[str, str],
) -> Response:
    batches = stream(service, runner, jobs, deadline)
    first = await unless_gone(request, first_of(batches))
    watch.first()
    return EventStream(events(writer, first, batches, watch), headers)


async def events(
    writer: Any,
    first: tuple[int, list[Piece]] | None,
    batches: AsyncGenerator[tuple[int, list[Piece]], None],
    watch: Watch,
) -> AsyncGenerator[bytes, None]:
    """Yield the events of an answer whose first pieces have come; an error on the way becomes the last event."""
    async with contextlib.aclosing(batches):
        try:
            if first is not None:
                yield writer.opening() + writer.chunk(*first)
            async for index, pieces in batches:
                yield writer.chunk(index, pieces)
        except ServiceError as error:
            yield b"data: " + as_http(error).body() + b"\n\n"
            return
    watch.finished(writer.usage.prompt_tokens, writer.usage.completion_tokens)
    yield writer.closing() + DONE


class ChatWriter:
    """Writes one answer in OpenAI's form, whole or in chunks."""

    def __init__(self, body: ChatBody, choices: int, cache: str = "BYPASS") -> None:
        is_forced = tool_schema(body) is not None
        names = function_names(body)
        self.usage = Usage()
        self._id = f"chatcmpl-{secrets.token_hex(12)}"
        self._created = int(time.time())
        self._model = body.model
        self._with_logprobs = bool(body.logprobs)
        self._with_usage = bool(body.stream_options and body.stream_options.include_usage)
        self._speakers = [Speaker(names, is_forced) for _ in range(choices)]
        self._called = [0] * choices
        self._heads = [self._head(index) for index in range(choices)]

    def whole(self, answers: list[list[Piece]]) -> dict[str, Any]:
        """Return the answer in one."""
        choices = [self._choice(index, pieces) for index, pieces in enumerate(answers)]
        return {
            "id": self._id,
            "object": "chat.completion",
            "created": self._created,
            "model": self._model,
            "choices": choices,
            "usage": self.usage.as_json(),
        }

    def opening(self) -> bytes:
        """Return the chunks that say who speaks."""
        return b"".join(
            self._event(index, {"role": "assistant", "content": ""}, None) for index in range(len(self._heads))
        )

    def chunk(self, index: int, pieces: list[Piece]) -> bytes:
        """Return pieces of a choice as chunks."""
        speaker = self._speakers[index]
        return b"".join(self._chunks(index, speaker.feed(piece)) for piece in pieces)

    def closing(self) -> bytes:
        """Return the chunk with the counts, where it was asked for."""
        if not self._with_usage:
            return b""
        chunk = {
            "id": self._id,
            "object": "chat.completion.chunk",
            "created": self._created,
            "model": self._model,
            "choices": [],
            "usage": self.usage.as_json(),
        }
        return b"data: " + orjson.dumps(chunk) + b"\n\n"

    def _chunks(self, index: int, delta: Delta) -> bytes:
        out = b""
        if delta.reasoning:
            out = self._event(index, {"reasoning_content": delta.reasoning}, None)
        if delta.parts:
            out += self._event(index, {"tool_calls": delta.parts}, None)
            self._called[index] = max(self._called[index], *(part["index"] + 1 for part in delta.parts))
        if delta.text:
            if delta.logprobs and self._with_logprobs:
                out += self._event(index, {"content": delta.text}, None, delta.logprobs)
            else:
                # What is sent for every token is put together by hand: it is most of what the front process does.
                out += self._heads[index] + orjson.dumps(delta.text) + b'},"finish_reason":null}]}\n\n'
        for call in delta.calls:
            out += self._event(index, {"tool_calls": [call.as_json(self._called[index])]}, None)
            self._called[index] += 1
        if delta.finish is not None:
            self.usage.add(*delta.counts)
            out += self._event(index, {}, delta.finish)
        return out

    def _head(self, index: int) -> bytes:
        start = {
            "id": self._id,
            "object": "chat.completion.chunk",
            "created": self._created,
            "model": self._model,
        }
        return b'data: %b,"choices":[{"index":%d,"delta":{"content":' % (orjson.dumps(start)[:-1], index)

    def _event(self, index: int, delta: dict[str, Any], finish: str | None, logprobs: list[Any] | None = None) -> bytes:
        choice: dict[str, Any] = {"index": index, "delta": delta, "finish_reason": finish}
        if logprobs:
            choice["logprobs"] = {"content": chat_logprobs(logprobs)}
        chunk = {
            "id": self._id,
            "object": "chat.completion.chunk",
            "created": self._created,
            "model": self._model,
            "choices": [choice],
        }
        return b"data: " + orjson.dumps(chunk) + b"\n\n"

    def _choice(self, index: int, pieces: list[Piece]) -> dict[str, Any]:
        deltas = [self._speakers[index].feed(piece) for piece in pieces]
        calls = joined([part for delta in deltas for part in delta.parts])
        calls += [call.as_json() for delta in deltas for call in delta.calls]
        text = "".join(delta.text for delta in deltas)
        message: dict[str, Any] = {"role": "assistant", "content": text if text or not calls else None}
        reasoning = "".join(delta.reasoning for delta in deltas)
        if reasoning:
            message["reasoning_content"] = reasoning
        if calls:
            message["tool_calls"] = calls
        finish = next((delta.finish for delta in reversed(deltas) if delta.finish), None)
        for delta in deltas:
            self.usage.add(*delta.counts)
        choice = {"index": index, "message": message, "finish_reason": finish}
        if self._with_logprobs:
            choice["logprobs"] = {"content": chat_logprobs([one for delta in deltas for one in delta.logprobs])}
        return choice


def chat_logprobs(tokens: list[Any]) -> list[dict[str, Any]]:
    """Return log probabilities as chat answers hold them."""

    def one(token: str, logprob: float) -> dict[str, Any]:
        return {"token": token, "logprob": logprob, "bytes": list(token.encode("utf-8", "replace"))}

    return [{**one(token, logprob), "top_logprobs": [one(*other) for other in top]} for token, logprob, top in tokens]
