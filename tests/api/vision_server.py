"""A stand-in for models that describe pictures, in the dialects of OpenAI and Ollama."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import orjson

from lightrag.testing.model_server import ModelServer, Receive, Scope, Send


class VisionServer(ModelServer):
    """Says of each picture what `names` has for its content, and fails as `fails` says."""

    def __init__(self) -> None:
        super().__init__()
        self.names: dict[bytes, str] = {}
        self.fails: Callable[[bytes], int] = lambda _picture: 200
        self.asked: list[tuple[str, bytes]] = []
        """Model and picture of every call, those of probes left out."""
        self.prompts: list[str] = []

    def described(self, model: str | None = None) -> list[str]:
        """Return the names of the pictures that a model was asked about."""
        return [self.names.get(picture, "?") for asked, picture in self.asked if model in (None, asked)]

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:
        raw = b""
        while True:
            message = await receive()
            raw += message.get("body", b"")
            if not message.get("more_body"):
                break
        body = orjson.loads(raw)
        prompt, picture = _read(str(scope["path"]), body)
        status = 200
        if "colour" not in prompt:
            self.asked.append((body["model"], picture))
            self.prompts.append(prompt)
            status = self.fails(picture)
        said = f"{self.names.get(picture, 'Something')} as {body['model']} sees it"
        answer: dict[str, Any] = {"error": {"message": "scripted failure"}}
        if status == 200 and str(scope["path"]).endswith("/api/chat"):
            answer = {"message": {"content": said}, "done": True, "prompt_eval_count": 9, "eval_count": 4}
        elif status == 200:
            usage = {"prompt_tokens": 900, "completion_tokens": 40}
            answer = {"choices": [{"message": {"content": said}}], "usage": usage}
        content = orjson.dumps(answer)
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": content})


def _read(path: str, body: dict[str, Any]) -> tuple[str, bytes]:
    """Return prompt and picture of a request."""
    message = body["messages"][0]
    if path.endswith("/api/chat"):
        return message["content"], base64.b64decode(message["images"][0])
    text, image = message["content"]
    return text["text"], base64.b64decode(image["image_url"]["url"].partition(",")[2])
