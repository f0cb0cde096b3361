"""The body of a chat call in the form that OpenAI's dialect and those that follow it share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lightrag.llm.contracts import ChatRequest


def chat_body(model: str, request: ChatRequest, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body of a call; what `request` says goes before `options`, and its `extra` before everything.

    Format: https://platform.openai.com/docs/api-reference/chat/create
    """
    body: dict[str, Any] = {
        "model": model,
        "messages": [{"role": message.role, "content": message.content} for message in request.messages],
        **options,
    }
    if request.max_tokens is not None:
        body["max_tokens"] = request.max_tokens
    if request.temperature is not None:
        body["temperature"] = request.temperature
    if request.json_object:
        body["response_format"] = {"type": "json_object"}
    return body | dict(request.extra)
