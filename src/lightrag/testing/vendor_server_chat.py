"""The interfaces of Azure OpenAI, Anthropic, Gemini and LoLLMs for the stand-in vendor server.

Formats: https://learn.microsoft.com/azure/ai-services/openai/reference, https://docs.claude.com/en/api/messages,
https://ai.google.dev/api/generate-content, https://github.com/ParisNeo/lollms
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import orjson

from lightrag.llm.contracts import FloatArray
from lightrag.testing.model_dialects import Answer, OpenAIDialect
from lightrag.testing.vendor_server import (
    CHAT,
    EMBEDDING,
    Rejected,
    Understood,
    VendorRequest,
    plain_error,
    require,
)


class AzureVendor(OpenAIDialect):
    """Azure OpenAI: OpenAI's bodies at addresses of deployments, with `api-version` and the header `api-key`."""

    def read(self, request: VendorRequest) -> Understood:
        """Return what a request asks for."""
        words, body = request.words, request.body
        require(isinstance(body, dict), 400, "the body should be JSON")
        if words[:2] == ["openai", "v1"]:
            return Understood("/" + "/".join(words[2:]), body)
        require(words[:2] == ["openai", "deployments"] and len(words) >= 4, 404, "Resource not found")
        require(request.query.get("api-version"), 404, "Resource not found")
        return Understood("/" + "/".join(words[3:]), body | {"model": words[2]})

    def key(self, request: VendorRequest) -> str:
        """Return the credential."""
        return request.headers.get("api-key", "")

    def error(self, message: str, code: str | None) -> bytes:
        """Return what `failure` is told."""
        return plain_error(message, code)

    def failure(self, status: int, message: str, code: str | None) -> bytes:
        """Return an error object."""
        return orjson.dumps({"error": {"code": code or str(status), "message": message}})


class AnthropicVendor:
    """Anthropic's messages: JSON, or server-sent events that name their type."""

    stream_type = b"text/event-stream"

    def read(self, request: VendorRequest) -> Understood:
        """Return what a request asks for."""
        body = request.body
        require(request.method == "POST" and request.words == ["v1", "messages"], 404, "Not found")
        require(request.headers.get("anthropic-version"), 400, "anthropic-version: header is required")
        require(isinstance(body, dict) and isinstance(body.get("max_tokens"), int), 400, "max_tokens: Field required")
        messages = [{"role": "system", "content": body["system"]}] if "system" in body else []
        messages += body["messages"]
        require(all(m["role"] in {"user", "assistant"} for m in body["messages"]), 400, "messages: unexpected role")
        return Understood(CHAT, body | {"messages": messages})

    def key(self, request: VendorRequest) -> str:
        """Return the credential: as the SDK sends it, or in the header of direct calls."""
        return request.headers.get("x-api-key") or request.headers.get("authorization", "").removeprefix("Bearer ")

    def wants_stream(self, body: dict[str, Any]) -> bool:
        """Tell whether the answer is to be sent in pieces."""
        return bool(body.get("stream"))

    def chat(self, model: str, answer: Answer) -> bytes:
        """Return a whole message."""
        blocks = [{"type": "thinking", "thinking": answer.thinking, "signature": "s"}] if answer.thinking else []
        blocks.append({"type": "text", "text": answer.text})
        message = self._message(model) | {"content": blocks, "stop_reason": _anthropic_reason(answer)}
        if answer.usage is not None:
            message["usage"] = _anthropic_usage(answer)
        return orjson.dumps(message)

    def events(self, body: dict[str, Any], answer: Answer, pieces: Sequence[str]) -> Iterator[bytes]:
        """Yield one bundle of events per piece, those that open the message before the first one, and the closing."""
        model = str(body.get("model"))
        opening = self._message(model)
        if answer.usage is not None:
            opening["usage"] = _anthropic_usage(answer) | {"output_tokens": 1}
        before = _event("message_start", message=opening) + _event("ping")
        index = 0
        if answer.thinking:
            before += _event("content_block_start", index=0, content_block={"type": "thinking", "thinking": ""})
            before += _event(
                "content_block_delta", index=0, delta={"type": "thinking_delta", "thinking": answer.thinking}
            )
            before += _event("content_block_stop", index=0)
            index = 1
        before += _event("content_block_start", index=index, content_block={"type": "text", "text": ""})
        for piece in pieces:
            yield before + _event("content_block_delta", index=index, delta={"type": "text_delta", "text": piece})
            before = b""
        usage = {} if answer.usage is None else {"usage": {"output_tokens": answer.usage[1]}}
        yield (
            before
            + _event("content_block_stop", index=index)
            + _event("message_delta", delta={"stop_reason": _anthropic_reason(answer), "stop_sequence": None}, **usage)
            + _event("message_stop")
        )

    def embeddings(self, body: dict[str, Any], vectors: FloatArray, tokens: int) -> bytes:
        """Embeddings are not among the vendor's interfaces."""
        raise Rejected(404, "Not found")

    def error(self, message: str, code: str | None) -> bytes:
        """Return what `failure` is told."""
        return plain_error(message, code)

    def failure(self, status: int, message: str, code: str | None) -> bytes:
        """Return an error object."""
        kinds = {
            400: "invalid_request_error",
            401: "authentication_error",
            404: "not_found_error",
            429: "rate_limit_error",
        }
        return orjson.dumps({"type": "error", "error": {"type": kinds.get(status, "api_error"), "message": message}})

    @staticmethod
    def _message(model: str) -> dict[str, Any]:
        fixed = {"id": "msg_1", "type": "message", "role": "assistant", "stop_reason": None, "stop_sequence": None}
        return fixed | {"model": model, "content": []}


class GeminiVendor:
    """Gemini's `generateContent`, `streamGenerateContent` and `batchEmbedContents`."""

    stream_type = b"text/event-stream"

    def read(self, request: VendorRequest) -> Understood:
        """Return what a request asks for."""
        words, body = request.words, request.body
        require(words[:2] == ["v1beta", "models"] and len(words) == 3, 404, "Requested entity was not found.")
        model, _, method = words[2].partition(":")
        require(isinstance(body, dict), 400, "Invalid JSON payload received.")
        if method == "batchEmbedContents":
            texts = [_joined(item["content"]["parts"]) for item in body["requests"]]
            wanted = body["requests"][0].get("outputDimensionality")
            return Understood(EMBEDDING, {"model": model, "input": texts, "dimensions": wanted})
        require(method in {"generateContent", "streamGenerateContent"}, 404, "Requested entity was not found.")
        messages = [{"role": item["role"], "content": _joined(item["parts"])} for item in body["contents"]]
        if "systemInstruction" in body:
            messages.insert(0, {"role": "system", "content": _joined(body["systemInstruction"]["parts"])})
        return Understood(
            CHAT, {"model": model, "messages": messages, "stream": method.startswith("stream") and request.query["alt"]}
        )

    def key(self, request: VendorRequest) -> str:
        """Return the credential."""
        return request.headers.get("x-goog-api-key", "")

    def wants_stream(self, body: dict[str, Any]) -> bool:
        """Tell whether the answer is to be sent in pieces."""
        return bool(body.get("stream"))

    def chat(self, model: str, answer: Answer) -> bytes:
        """Return a whole answer."""
        parts = [{"text": answer.thinking, "thought": True}] if answer.thinking else []
        return orjson.dumps(self._response([*parts, {"text": answer.text}], answer, closes=True))

    def events(self, body: dict[str, Any], answer: Answer, pieces: Sequence[str]) -> Iterator[bytes]:
        """Yield an event per piece, and the closing one."""
        before = b""
        if answer.thinking:
            before = _data(self._response([{"text": answer.thinking, "thought": True}], answer, closes=False))
        for piece in pieces:
            yield before + _data(self._response([{"text": piece}], answer, closes=False))
            before = b""
        yield before + _data(self._response([{"text": ""}], answer, closes=True))

    def embeddings(self, body: dict[str, Any], vectors: FloatArray, tokens: int) -> bytes:
        """Return vectors."""
        values = [{"values": vector.tolist()} for vector in vectors]
        return orjson.dumps({"embeddings": values, "usageMetadata": {"promptTokenCount": tokens}})

    def error(self, message: str, code: str | None) -> bytes:
        """Return what `failure` is told."""
        return plain_error(message, code)

    def failure(self, status: int, message: str, code: str | None) -> bytes:
        """Return an error object."""
        kinds = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 404: "NOT_FOUND", 429: "RESOURCE_EXHAUSTED"}
        error = {"code": status, "message": message, "status": kinds.get(status, "INTERNAL")}
        return orjson.dumps({"error": error})

    @staticmethod
    def _response(parts: list[dict[str, Any]], answer: Answer, *, closes: bool) -> dict[str, Any]:
        candidate: dict[str, Any] = {"content": {"role": "model", "parts": parts}, "index": 0}
        if closes:
            candidate["finishReason"] = {"stop": "STOP", "length": "MAX_TOKENS"}[answer.finish_reason]
        response: dict[str, Any] = {"candidates": [candidate], "modelVersion": "stand-in"}
        if closes and answer.usage is not None:
            prompt, completion = answer.usage
            response["usageMetadata"] = {
                "promptTokenCount": prompt,
                "candidatesTokenCount": completion,
                "totalTokenCount": prompt + completion,
            }
        return response


class LollmsVendor:
    """LoLLMs: a prompt in, bare text out; errors are JSON with status 200."""

    stream_type = b"text/plain"

    def read(self, request: VendorRequest) -> Understood:
        """Return what a request asks for."""
        body = request.body
        if request.words == ["lollms_embed"]:
            require(isinstance(body, dict) and isinstance(body.get("text"), str), 422, "text: Field required")
            return Understood(EMBEDDING, {"input": body["text"]})
        require(request.words == ["lollms_generate"], 404, "Not Found")
        require(isinstance(body, dict) and isinstance(body.get("prompt"), str), 422, "prompt: Field required")
        return Understood(CHAT, body | {"model": body.get("model_name")})

    def key(self, request: VendorRequest) -> str:
        """Return the credential."""
        return request.headers.get("authorization", "").removeprefix("Bearer ")

    def wants_stream(self, body: dict[str, Any]) -> bool:
        """Tell whether the answer is to be sent in pieces."""
        return bool(body.get("stream"))

    def chat(self, model: str, answer: Answer) -> bytes:
        """Return the bare text."""
        return answer.text.encode()

    def events(self, body: dict[str, Any], answer: Answer, pieces: Sequence[str]) -> Iterator[bytes]:
        """Yield the bare pieces."""
        yield from (piece.encode() for piece in pieces)

    def embeddings(self, body: dict[str, Any], vectors: FloatArray, tokens: int) -> bytes:
        """Return the vector."""
        return orjson.dumps({"vector": vectors[0].tolist()})

    def error(self, message: str, code: str | None) -> bytes:
        """Return what `failure` is told."""
        return plain_error(message, code)

    def failure(self, status: int, message: str, code: str | None) -> bytes:
        """Return an error object as FastAPI makes it."""
        return orjson.dumps({"detail": message})


def _joined(parts: list[dict[str, Any]]) -> str:
    return "".join(part["text"] for part in parts)


def _data(data: dict[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(data) + b"\r\n\r\n"


def _event(kind: str, **fields: Any) -> bytes:
    return b"event: " + kind.encode() + b"\ndata: " + orjson.dumps({"type": kind, **fields}) + b"\n\n"


def _anthropic_reason(answer: Answer) -> str:
    return {"stop": "end_turn", "length": "max_tokens"}.get(answer.finish_reason, answer.finish_reason)


def _anthropic_usage(answer: Answer) -> dict[str, int]:
    prompt, completion = answer.usage or (0, 0)
    return {
        "input_tokens": prompt - answer.cached_tokens,
        "output_tokens": completion,
        "cache_read_input_tokens": answer.cached_tokens,
        "cache_creation_input_tokens": 0,
    }
