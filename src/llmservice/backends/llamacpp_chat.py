"""Language models on llama.cpp."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Mapping
from typing import Any

from llmservice.backends.contracts import (
    ChatRequest,
    CompletionRequest,
    FinishReason,
    ModelFacts,
    Piece,
    Sampling,
    TokenLogprob,
)
from llmservice.backends.files import fingerprint
from llmservice.backends.gguf_header import read_gguf_header, require_chat_model
from llmservice.backends.json_schemas import guided
from llmservice.backends.llamacpp_server import Chunk, LlamaServer
from llmservice.errors import ServiceError
from llmservice.model_manager import BaseModelWrapper

_FINISH: Mapping[str, FinishReason] = {"stop": "stop", "length": "length", "tool_calls": "tool_calls"}


class LlamaCppModel(BaseModelWrapper):
    """A GGUF language model in slots with continuous batching."""

    def initialize(self) -> None:
        """Check the file and load it; blocks."""
        header = read_gguf_header(self.source.path)
        require_chat_model(header)
        self._server = LlamaServer(self.source, header)
        self._facts = ModelFacts("llamacpp", self._server.context_length, fingerprint(self.source.path))

    @property
    def facts(self) -> ModelFacts:
        """What is known of the model."""
        return self._facts

    async def generate(self, request: ChatRequest | CompletionRequest) -> AsyncGenerator[Piece, None]:
        """Yield the pieces of an answer."""
        if isinstance(request, CompletionRequest):
            handler, body = "handle_completions", await asyncio.to_thread(_completion_body, request)
        elif request.json_schema is None:
            handler, body = "handle_chat_completions", _chat_body(request)
        else:
            handler, body = "handle_completions", await asyncio.to_thread(self._bound_body, request)
        reader = _Reader()
        async with contextlib.aclosing(self._server.stream(handler, body)) as chunks:
            async for chunk in chunks:
                piece = reader.read(chunk)
                if piece is not None:
                    yield piece
        yield reader.last()

    def _bound_body(self, request: ChatRequest) -> dict[str, Any]:
        """Return the body of an answer that a schema binds; blocks.

        The template is applied here and the grammar given with the plain text: for conversations llama.cpp makes a
        weaker grammar of the schema, without limits that it does not know, and takes none beside tools.
        """
        conversation = {"messages": [dict(message) for message in request.messages]}
        if request.tools:
            conversation["tools"] = [dict(tool) for tool in request.tools]
        prompt = str(self._server.local("/apply-template", conversation)["prompt"])
        return _completion_body(CompletionRequest(prompt, request.sampling, request.json_schema))

    async def tokenize(self, text: str) -> list[int]:
        """Return token ids, without special tokens."""
        return await self._server.tokens(text, special=False)

    async def aclose(self) -> None:
        """Stop what runs and release the model."""
        await self._server.aclose()


class _Reader:
    """Makes pieces of chunks; the finish reason and the counts wait for the end."""

    def __init__(self) -> None:
        self._finish: FinishReason | None = None
        self._prompt = 0
        self._completion = 0

    def read(self, chunk: Chunk) -> Piece | None:
        """Return what a chunk adds to the answer, None for nothing."""
        usage = chunk.get("usage")
        if usage:
            self._prompt = int(usage["prompt_tokens"])
            self._completion = int(usage["completion_tokens"])
        for choice in chunk.get("choices") or ():
            if choice.get("finish_reason"):
                self._finish = _FINISH.get(choice["finish_reason"], "stop")
            delta = choice.get("delta") or {}
            text = choice.get("text") or delta.get("content") or ""
            logprobs = _logprobs(choice.get("logprobs"))
            reasoning = delta.get("reasoning_content") or ""
            calls = tuple(delta.get("tool_calls") or ())
            if text or logprobs or reasoning or calls:
                return Piece(text, logprobs, reasoning=reasoning, tool_calls=calls)
        return None

    def last(self) -> Piece:
        """Return the piece that ends the answer. Raises `ServiceError` where the answer was broken off."""
        if self._finish is None:
            raise ServiceError("llama.cpp broke the answer off; see the worker's log")
        return Piece(finish_reason=self._finish, prompt_tokens=self._prompt, completion_tokens=self._completion)


def _logprobs(found: Mapping[str, Any] | None) -> tuple[TokenLogprob, ...]:
    return tuple(
        TokenLogprob(
            item["token"],
            float(item["logprob"]),
            tuple((other["token"], float(other["logprob"])) for other in item.get("top_logprobs", ())),
        )
        for item in (found or {}).get("content") or ()
    )


def _chat_body(request: ChatRequest) -> dict[str, Any]:
    body = {"messages": [dict(message) for message in request.messages], **_sampling(request.sampling)}
    if request.sampling.logprobs is not None:
        body |= {"logprobs": True, "top_logprobs": request.sampling.logprobs}
    if request.tools:
        body["tools"] = [dict(tool) for tool in request.tools]
    return body


def _completion_body(request: CompletionRequest) -> dict[str, Any]:
    body = {"prompt": request.prompt, **_sampling(request.sampling)}
    if request.sampling.logprobs is not None:
        body["logprobs"] = request.sampling.logprobs
    if request.json_schema is not None:
        body["grammar"] = f"%llguidance {{}}\nstart: %json {guided(request.json_schema)}"
    return body


def _sampling(sampling: Sampling) -> dict[str, Any]:
    """Name every parameter, so that none of llama.cpp's own defaults (min_p 0.05, top_k 40) slips in."""
    body: dict[str, Any] = {
        "max_tokens": sampling.max_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k or 0,
        "min_p": sampling.min_p or 0.0,
        "frequency_penalty": sampling.frequency_penalty,
        "presence_penalty": sampling.presence_penalty,
        "repeat_penalty": sampling.repeat_penalty or 1.0,
    }
    if sampling.seed is not None:
        body["seed"] = sampling.seed & 0xFFFFFFFF
    if sampling.stop:
        body["stop"] = list(sampling.stop)
    if sampling.logit_bias:
        body["logit_bias"] = [[token, bias] for token, bias in sampling.logit_bias.items()]
    return body
