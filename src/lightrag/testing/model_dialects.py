"""The two dialects of the stand-in model server: how a request is read and an answer is written.

Formats: https://platform.openai.com/docs/api-reference/chat and https://docs.ollama.com/api.
"""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any, Protocol, runtime_checkable

import orjson

from lightrag.llm.contracts import FloatArray

JSON_TYPE = b"application/json"
CREATED = "2024-01-15T00:00:00Z"


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """What the model says; `usage` is (prompt, completion) tokens, or None where the server tells none."""

    text: str
    thinking: str = ""
    finish_reason: str = "stop"
    """Empty where the server does not say why an answer ended."""
    usage: tuple[int, int] | None = (0, 0)
    cached_tokens: int = 0


class Dialect(Protocol):
    """Writes answers in the form of one kind of server."""

    stream_type: bytes

    def wants_stream(self, body: dict[str, Any]) -> bool:
        """Tell whether the answer is to be sent in pieces."""
        ...

    def chat(self, model: str, answer: Answer) -> bytes:
        """Return a whole answer."""
        ...

    def events(self, body: dict[str, Any], answer: Answer, pieces: Sequence[str]) -> Iterator[bytes]:
        """Yield the pieces of a streamed answer, the closing event last."""
        ...

    def embeddings(self, body: dict[str, Any], vectors: FloatArray, tokens: int) -> bytes:
        """Return vectors in the order of the request."""
        ...

    def error(self, message: str, code: str | None) -> bytes:
        """Return an error body."""
        ...


@runtime_checkable
class TellsInHeaders(Protocol):
    """A dialect whose vectors come with headers of their own."""

    def headers(self, tokens: int) -> Sequence[tuple[bytes, bytes]]:
        """Return the headers of vectors."""
        ...


class OpenAIDialect:
    """Chat completions (JSON or server-sent events) and embeddings (float lists or base64)."""

    stream_type = b"text/event-stream"

    def wants_stream(self, body: dict[str, Any]) -> bool:
        """Tell whether the answer is to be sent in pieces."""
        return bool(body.get("stream", False))

    def chat(self, model: str, answer: Answer) -> bytes:
        """Return a `chat.completion`."""
        message: dict[str, Any] = {"role": "assistant", "content": answer.text}
        if answer.thinking:
            message["reasoning_content"] = answer.thinking
        out: dict[str, Any] = {
            "id": "chatcmpl-stand-in",
            "object": "chat.completion",
            "created": 0,
            "model": model,
            "choices": [{"index": 0, "message": message, "finish_reason": answer.finish_reason or None}],
        }
        if answer.usage is not None:
            out["usage"] = _openai_usage(answer)
        return orjson.dumps(out)

    def events(self, body: dict[str, Any], answer: Answer, pieces: Sequence[str]) -> Iterator[bytes]:
        """Yield `chat.completion.chunk` events, the usage (where asked for), and the end mark."""
        base = {"id": "chatcmpl-stand-in", "object": "chat.completion.chunk", "created": 0, "model": body.get("model")}

        def event(choices: list[dict[str, Any]], **more: Any) -> bytes:
            return b"data: " + orjson.dumps({**base, "choices": choices, **more}) + b"\n\n"

        if answer.thinking:
            yield event([{"index": 0, "delta": {"reasoning_content": answer.thinking}, "finish_reason": None}])
        for piece in pieces:
            yield event([{"index": 0, "delta": {"content": piece}, "finish_reason": None}])
        yield event([{"index": 0, "delta": {}, "finish_reason": answer.finish_reason or None}])
        if answer.usage is not None and (body.get("stream_options") or {}).get("include_usage"):
            yield event([], usage=_openai_usage(answer))
        yield b"data: [DONE]\n\n"

    def embeddings(self, body: dict[str, Any], vectors: FloatArray, tokens: int) -> bytes:
        """Return an `embedding` list."""
        as_base64 = body.get("encoding_format") == "base64"
        data = [
            {
                "object": "embedding",
                "index": index,
                "embedding": base64.b64encode(vector.tobytes()).decode() if as_base64 else vector.tolist(),
            }
            for index, vector in enumerate(vectors)
        ]
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        return orjson.dumps({"object": "list", "data": data, "model": body.get("model"), "usage": usage})

    def error(self, message: str, code: str | None) -> bytes:
        """Return an error object."""
        return orjson.dumps({"error": {"message": message, "type": code or "error", "code": code}})


class OllamaDialect:
    """Chat (JSON or NDJSON) and embeddings as Ollama has them."""

    stream_type = b"application/x-ndjson"

    def wants_stream(self, body: dict[str, Any]) -> bool:
        """Tell whether the answer is to be sent in pieces; Ollama streams unless told not to."""
        return bool(body.get("stream", True))

    def chat(self, model: str, answer: Answer) -> bytes:
        """Return a finished answer."""
        return orjson.dumps({**self._piece(model, answer.text, answer.thinking), **self._closing(answer)})

    def events(self, body: dict[str, Any], answer: Answer, pieces: Sequence[str]) -> Iterator[bytes]:
        """Yield one JSON line per piece; the last one is marked as done."""
        model = str(body.get("model"))
        if answer.thinking:
            yield orjson.dumps({**self._piece(model, "", answer.thinking), "done": False}) + b"\n"
        for piece in pieces:
            yield orjson.dumps({**self._piece(model, piece, ""), "done": False}) + b"\n"
        yield orjson.dumps({**self._piece(model, "", ""), **self._closing(answer)}) + b"\n"

    def embeddings(self, body: dict[str, Any], vectors: FloatArray, tokens: int) -> bytes:
        """Return vectors as float lists."""
        return orjson.dumps(
            {"model": body.get("model"), "embeddings": vectors, "prompt_eval_count": tokens},
            option=orjson.OPT_SERIALIZE_NUMPY,
        )

    def error(self, message: str, code: str | None) -> bytes:
        """Return an error object."""
        return orjson.dumps({"error": message})

    @staticmethod
    def _piece(model: str, text: str, thinking: str) -> dict[str, Any]:
        message = {"role": "assistant", "content": text}
        if thinking:
            message["thinking"] = thinking
        return {"model": model, "created_at": CREATED, "message": message}

    @staticmethod
    def _closing(answer: Answer) -> dict[str, Any]:
        out: dict[str, Any] = {"done": True}
        if answer.finish_reason:
            out["done_reason"] = answer.finish_reason
        if answer.usage is not None:
            out["prompt_eval_count"], out["eval_count"] = answer.usage
        return out


def _openai_usage(answer: Answer) -> dict[str, Any]:
    prompt, completion = answer.usage or (0, 0)
    usage: dict[str, Any] = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }
    if answer.cached_tokens:
        usage["prompt_tokens_details"] = {"cached_tokens": answer.cached_tokens}
    return usage
