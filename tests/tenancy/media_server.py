"""A stand-in for interfaces that no other stand-in has: pictures, speech, Cohere's chat, NVIDIA's rankings, tokens.

Every request is recorded with its headers; answers are in the form that each vendor documents.
"""

from __future__ import annotations

from typing import Any

import orjson

from lightrag.testing.model_server import ModelServer, Receive, RecordedRequest, Scope, Send

SOUND = b"RIFF" + bytes(60)
SEEN = "A red square."


class MediaServer(ModelServer):
    """The server; `reply` is told what to answer by the path."""

    def __init__(self) -> None:
        super().__init__()
        self.raw: list[bytes] = []

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:
        raw = b""
        while True:
            message = await receive()
            raw += message.get("body", b"")
            if not message.get("more_body"):
                break
        self.raw.append(raw)
        headers = {key.decode(): value.decode("latin-1") for key, value in scope["headers"]}
        path = str(scope["path"])
        try:
            body = orjson.loads(raw)
        except orjson.JSONDecodeError:
            body = {}
        query = scope["query_string"].decode()
        self.requests.append(RecordedRequest(f"{path}?{query}" if query else path, headers, body))
        content, kind = self._content(path, body)
        status = 404 if content is None else 200
        headers_out = [(b"content-type", kind), (b"content-length", str(len(content or b"")).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers_out})
        await send({"type": "http.response.body", "body": content or b""})

    def _content(self, path: str, body: dict[str, Any]) -> tuple[bytes | None, bytes]:
        json = b"application/json"
        if path.endswith("/audio/speech") or path == "/fish":
            return SOUND, b"audio/mpeg"
        if path == "/sound.wav":
            return SOUND, b"audio/wav"
        if path.endswith("/v2/chat"):
            return _cohere_stream(), b"text/event-stream"
        found = self._answer_of(path, body)
        return (None if found is None else orjson.dumps(found)), json

    def _answer_of(self, path: str, body: dict[str, Any]) -> Any:
        if path.endswith("/token"):
            return {"access_token": "token-of-google", "expires_in": 3600}
        if path.endswith("/audio/transcriptions"):
            return {"text": "hello"}
        if path.endswith("/multimodal-generation/generation"):
            if "text" in body["input"]:
                return {"output": {"audio": {"url": f"{self.url}/sound.wav"}}}
            return {"output": {"choices": [{"message": {"content": [{"text": "hello"}]}}]}}
        if path.endswith(("/ranking", "/reranking")):
            return {"rankings": [{"index": 0, "logit": 1.5}]}
        if path.endswith("/v1/messages"):
            return {"content": [{"type": "text", "text": SEEN}], "usage": {"input_tokens": 9, "output_tokens": 4}}
        if path.endswith(":generateContent"):
            return {"candidates": [{"content": {"parts": [{"text": SEEN}]}}]}
        if path.endswith("/api/chat"):
            return {"message": {"content": SEEN}, "done": True}
        if path.endswith("/chat/completions"):
            return {"choices": [{"message": {"content": SEEN}}], "usage": {"prompt_tokens": 9, "completion_tokens": 4}}
        return None


def _cohere_stream() -> bytes:
    delta = {"message": {"content": {"text": "Fine, thank you."}}}
    end = {"finish_reason": "COMPLETE", "usage": {"tokens": {"input_tokens": 5, "output_tokens": 4}}}
    events = [{"type": "content-delta", "delta": delta}, {"type": "message-end", "delta": end}]
    return b"".join(b"event: " + str(e["type"]).encode() + b"\ndata: " + orjson.dumps(e) + b"\n\n" for e in events)
