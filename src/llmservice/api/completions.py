"""`POST /v1/completions`, OpenAI's older form."""

from __future__ import annotations

import secrets
import time
from typing import Any

import orjson
from fastapi import APIRouter, Request
from starlette.responses import Response

from llmservice.api.chat import events
from llmservice.api.requests import completion_requests
from llmservice.api.responding import EventStream, first_of, json_response, unless_gone
from llmservice.api.schemas import CompletionBody
from llmservice.api.state import get_service, get_watch
from llmservice.generation import Piece, Usage, cache_state, collect, make_jobs, stream

router = APIRouter()


@router.post("/v1/completions", tags=["text"])
async def completions(body: CompletionBody, request: Request) -> Response:
    """Text completions (legacy OpenAI format)."""
    service = get_service(request)
    runner = service.runner(body.model, "chat")
    deadline = service.deadline()
    watch = get_watch(request).generation(runner.tier)
    jobs = await make_jobs(service, runner, "complete", completion_requests(body, runner.settings))
    headers = {"X-Cache": cache_state(jobs)}
    prompts = [body.prompt] if isinstance(body.prompt, str) else body.prompt
    heads = [prompt if body.echo else "" for prompt in prompts for _ in range(body.n or 1)]
    writer = CompletionWriter(body, heads)
    if body.stream:
        batches = stream(service, runner, jobs, deadline)
        first = await unless_gone(request, first_of(batches))
        watch.first()
        return EventStream(events(writer, first, batches, watch), headers)
    answers = await unless_gone(request, collect(service, runner, jobs, deadline))
    watch.first()
    response = json_response(writer.whole(answers), headers)
    watch.finished(writer.usage.prompt_tokens, writer.usage.completion_tokens)
    return response


class CompletionWriter:
    """Writes one answer in OpenAI's older form, whole or in chunks; `heads` goes before each choice's text."""

    def __init__(self, body: CompletionBody, heads: list[str]) -> None:
        self.usage = Usage()
        self._heads = heads
        self._with_logprobs = body.logprobs is not None
        self._with_usage = bool(body.stream_options and body.stream_options.include_usage)
        self._offsets = [len(head) for head in heads]
        self._start: dict[str, Any] = {
            "id": f"cmpl-{secrets.token_hex(12)}",
            "object": "text_completion",
            "created": int(time.time()),
            "model": body.model,
        }

    def whole(self, answers: list[list[Piece]]) -> dict[str, Any]:
        """Return the answer in one."""
        choices = []
        for index, pieces in enumerate(answers):
            text = self._heads[index] + "".join(piece[0] for piece in pieces)
            choices.append(self._choice(index, text, self._finish(pieces), self._logprobs(index, pieces)))
        return {**self._start, "choices": choices, "usage": self.usage.as_json()}

    def opening(self) -> bytes:
        """Return the prompts, where they are to be repeated."""
        echoed = [self._choice(index, head, None, None) for index, head in enumerate(self._heads) if head]
        return b"".join(self._event({**self._start, "choices": [choice]}) for choice in echoed)

    def chunk(self, index: int, pieces: list[Piece]) -> bytes:
        """Return pieces of a choice as chunks."""
        out = b""
        for piece in pieces:
            finish = self._finish([piece])
            if piece[0] or finish:
                choice = self._choice(index, piece[0], finish, self._logprobs(index, [piece]))
                out += self._event({**self._start, "choices": [choice]})
        return out

    def closing(self) -> bytes:
        """Return the chunk with the counts, where it was asked for."""
        return self._event({**self._start, "choices": [], "usage": self.usage.as_json()}) if self._with_usage else b""

    def _finish(self, pieces: list[Piece]) -> str | None:
        for piece in pieces:
            if len(piece) > 1 and piece[1] is not None:
                self.usage.add(piece[2], piece[3])
                return str(piece[1])
        return None

    def _logprobs(self, index: int, pieces: list[Piece]) -> dict[str, Any] | None:
        if not self._with_logprobs:
            return None
        tokens = [token for piece in pieces if len(piece) > 1 for token in piece[4] or ()]
        offsets = []
        for token, _, _ in tokens:
            offsets.append(self._offsets[index])
            self._offsets[index] += len(token)
        return {
            "tokens": [token for token, _, _ in tokens],
            "token_logprobs": [logprob for _, logprob, _ in tokens],
            "top_logprobs": [dict(top) for _, _, top in tokens],
            "text_offset": offsets,
        }

    @staticmethod
    def _choice(index: int, text: str, finish: str | None, logprobs: dict[str, Any] | None) -> dict[str, Any]:
        return {"index": index, "text": text, "logprobs": logprobs, "finish_reason": finish}

    @staticmethod
    def _event(chunk: dict[str, Any]) -> bytes:
        return b"data: " + orjson.dumps(chunk) + b"\n\n"
