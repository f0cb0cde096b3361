"""Models that describe pictures, over plain HTTP in the dialects of chat servers that take them.

Formats: https://platform.openai.com/docs/guides/images-vision, https://docs.claude.com/en/docs/build-with-claude/vision,
https://ai.google.dev/gemini-api/docs/image-understanding, https://docs.ollama.com/capabilities/vision
"""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any
from urllib.parse import quote

import orjson

from lightrag.llm.contracts import ChatDelta, ChatReply, ChatRequest, ModelFacts, Picture, Usage
from lightrag.llm.endpoint import Endpoint
from lightrag.llm.http_client import HttpClient
from lightrag.llm.thinking import split_thinking
from lightrag.llm.usage import estimate_usage
from lightrag.llm.vertex_binding import GoogleTokens

__all__ = ["DESCRIBE", "DIALECTS", "Description", "Picture", "VisionChat", "VisionDialect", "VisionModel"]

MOST_TOKENS = 2048
"""Of a description."""
DESCRIBE = "Describe this picture: what it shows, and every text in it word for word."


@dataclasses.dataclass(frozen=True, slots=True)
class Description:
    """What a model says of a picture."""

    text: str
    usage: Usage | None


@dataclasses.dataclass(frozen=True, slots=True)
class VisionDialect:
    """How a server is asked about a picture."""

    path: Callable[[str], str]
    """Given the model, below the base URL."""
    body: Callable[[str, Picture, str, int], dict[str, Any]]
    """Given model, picture, question and the most tokens of the answer."""
    text: Callable[[Any], str]
    usage: Callable[[Any], tuple[Any, Any]]


def _openai_body(model: str, picture: Picture, prompt: str, most: int) -> dict[str, Any]:
    url = f"data:{picture.media_type};base64,{picture.base64}"
    content = [{"type": "text", "text": prompt}, {"type": "image_url", "image_url": {"url": url}}]
    return {"model": model, "messages": [{"role": "user", "content": content}], "max_tokens": most}


def _anthropic_body(model: str, picture: Picture, prompt: str, most: int) -> dict[str, Any]:
    source = {"type": "base64", "media_type": picture.media_type, "data": picture.base64}
    content = [{"type": "image", "source": source}, {"type": "text", "text": prompt}]
    return {"model": model, "messages": [{"role": "user", "content": content}], "max_tokens": most}


def _gemini_body(_model: str, picture: Picture, prompt: str, most: int) -> dict[str, Any]:
    data = {"mime_type": picture.media_type, "data": picture.base64}
    parts = [{"inline_data": data}, {"text": prompt}]
    return {"contents": [{"role": "user", "parts": parts}], "generationConfig": {"maxOutputTokens": most}}


def _ollama_body(model: str, picture: Picture, prompt: str, most: int) -> dict[str, Any]:
    message = {"role": "user", "content": prompt, "images": [picture.base64]}
    return {"model": model, "messages": [message], "stream": False, "options": {"num_predict": most}}


def _openai_text(answer: Any) -> str:
    content = answer["choices"][0]["message"]["content"]
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


def _anthropic_text(answer: Any) -> str:
    return "".join(block["text"] for block in answer["content"] if block["type"] == "text")


def _gemini_text(answer: Any) -> str:
    parts = answer["candidates"][0]["content"]["parts"]
    return "".join(part.get("text", "") for part in parts if not part.get("thought"))


def _counts(group: str, prompt: str, completion: str) -> Callable[[Any], tuple[Any, Any]]:
    def read(answer: Any) -> tuple[Any, Any]:
        found = (answer.get(group) or {}) if group else answer
        return found.get(prompt), found.get(completion)

    return read


OPENAI = VisionDialect(
    lambda _model: "/chat/completions",
    _openai_body,
    _openai_text,
    _counts("usage", "prompt_tokens", "completion_tokens"),
)
DIALECTS: Mapping[str, VisionDialect] = {
    "openai": OPENAI,
    "azure_openai": OPENAI,
    "vertex": OPENAI,
    "anthropic": VisionDialect(
        lambda _model: "/v1/messages",
        _anthropic_body,
        _anthropic_text,
        _counts("usage", "input_tokens", "output_tokens"),
    ),
    "gemini": VisionDialect(
        lambda model: f"/v1beta/models/{quote(model, safe='')}:generateContent",
        _gemini_body,
        _gemini_text,
        _counts("usageMetadata", "promptTokenCount", "candidatesTokenCount"),
    ),
    "ollama": VisionDialect(
        lambda _model: "/api/chat",
        _ollama_body,
        lambda answer: str(answer["message"]["content"]),
        _counts("", "prompt_eval_count", "eval_count"),
    ),
}


class VisionModel:
    """A model that describes pictures.

    `query` goes behind the path of every call. Closing it closes `client`, and `tokens` where there are any.
    """

    def __init__(
        self,
        dialect: str,
        facts: ModelFacts,
        client: HttpClient,
        endpoint: Endpoint,
        query: str = "",
        tokens: GoogleTokens | None = None,
    ) -> None:
        self._dialect = DIALECTS[dialect]
        self._facts = facts
        self._client = client
        self._endpoint = endpoint
        self._query = query
        self._tokens = tokens

    @property
    def facts(self) -> ModelFacts:
        """What is known of the model."""
        return self._facts

    async def describe(self, picture: Picture, prompt: str = DESCRIBE, *, max_tokens: int = MOST_TOKENS) -> Description:
        """Return what the model says of a picture. Raises `ModelError`, `UnusableAnswer` where that is nothing."""
        body = self._dialect.body(self._facts.name, picture, prompt, max_tokens)
        raw = await self._client.post(self._dialect.path(self._facts.name) + self._query, body)
        try:
            answer = orjson.loads(raw)
            text, _thinking = split_thinking(self._dialect.text(answer))
            counts = self._dialect.usage(answer)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            start = raw[:80].decode("utf-8", "replace")
            raise self._endpoint.unusable(f"the answer holds no description, it begins {start!r}") from error
        if not text.strip():
            raise self._endpoint.empty("stop")
        known = all(isinstance(count, int) for count in counts)
        return Description(text.strip(), Usage(*counts) if known else None)

    async def aclose(self) -> None:
        """Release connections."""
        await self._client.aclose()
        if self._tokens is not None:
            await self._tokens.aclose()


class VisionChat:
    """A model that describes pictures as a chat model, so that whatever goes around those goes around it."""

    def __init__(self, model: VisionModel) -> None:
        self._model = model

    @property
    def facts(self) -> ModelFacts:
        """What is known of the model."""
        return self._model.facts

    async def complete(self, request: ChatRequest) -> ChatReply:
        """Return the description of the request's picture."""
        if request.picture is None:
            raise ValueError("a model that describes pictures is asked without one")
        prompt = "\n\n".join(message.content for message in request.messages)
        said = await self._model.describe(request.picture, prompt, max_tokens=request.max_tokens or MOST_TOKENS)
        return ChatReply(said.text, usage=said.usage or estimate_usage(request, said.text))

    async def stream(self, request: ChatRequest) -> AsyncIterator[ChatDelta]:
        """Yield the description in one piece."""
        reply = await self.complete(request)
        yield ChatDelta(text=reply.text, finish_reason=reply.finish_reason, usage=reply.usage)

    async def aclose(self) -> None:
        """Release connections."""
        await self._model.aclose()
