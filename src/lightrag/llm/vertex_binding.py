"""Chat models on Google Cloud's Vertex AI, through its OpenAI-compatible interface, with a service account's key.

The key signs a statement, for which Google gives a token that lasts an hour. Where statements are sent is Google's
address and never the one that stands in a key's file: whoever enters a key must not choose where it is used.

Formats: https://developers.google.com/identity/protocols/oauth2/service-account,
https://cloud.google.com/vertex-ai/generative-ai/docs/start/openai
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import urlencode

import jwt
import orjson

from lightrag.llm.contracts import ChatDelta, ChatReply, ChatRequest, ModelFacts
from lightrag.llm.endpoint import Endpoint, public_url
from lightrag.llm.http_client import HttpClient
from lightrag.llm.network import behind, current_gatekeeper
from lightrag.llm.openai_binding import OpenAIChat
from lightrag.llm.openai_client import Gateway

TOKEN_URL = "https://oauth2.googleapis.com/token"  # noqa: S105 - an address
_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_EARLY = 300.0
"""Seconds before its end from which a token is not used any more."""


class GoogleTokens:
    """Tokens for one service account. `key`: the JSON of its key."""

    def __init__(self, key: str, endpoint: Endpoint, timeout: float | None = 30.0, url: str = TOKEN_URL) -> None:
        self._key: dict[str, Any] = json.loads(key)
        self._endpoint = endpoint
        self._url = url
        self._client = HttpClient(url, timeout, endpoint)
        self._token, self._until = "", 0.0
        self._asking = asyncio.Lock()

    async def token(self) -> str:
        """Return a token that is good for some minutes at least. Raises `ModelError`."""
        async with self._asking:
            if time.time() > self._until - _EARLY:
                statement = await asyncio.to_thread(self._statement)
                form = urlencode({"grant_type": _GRANT, "assertion": statement}).encode()
                raw = await self._client.send(self._url, form, "application/x-www-form-urlencoded")
                try:
                    answer = orjson.loads(raw)
                    self._token = str(answer["access_token"])
                    self._until = time.time() + float(answer.get("expires_in", 3600))
                except (ValueError, LookupError, TypeError) as error:
                    raise self._endpoint.unusable("Google's answer holds no token") from error
            return self._token

    async def headers(self, _method: str, _url: str, _body: bytes) -> Mapping[str, str]:
        """Return the header that carries a token."""
        return {"authorization": f"Bearer {await self.token()}"}

    async def aclose(self) -> None:
        """Release connections."""
        await self._client.aclose()

    def _statement(self) -> str:
        at = int(time.time())
        claims = {"iss": self._key["client_email"], "scope": _SCOPE, "aud": TOKEN_URL, "iat": at, "exp": at + 3600}
        try:
            return jwt.encode(claims, self._key["private_key"], algorithm="RS256")
        except (ValueError, TypeError, jwt.PyJWTError):
            raise self._endpoint.no_access(
                "the service account's private key cannot be used", "enter the key's JSON as Google gave it"
            ) from None


class VertexChat:
    """A chat model on Vertex AI.

    `host`: `https://…-aiplatform.googleapis.com/v1/projects/…/locations/…/endpoints/openapi`; `key`: the JSON of a
    service account's key. The rest is as for `OpenAIChat`. Models of Google may be named without `google/`.
    """

    def __init__(
        self,
        model: str,
        host: str,
        key: str,
        timeout: float | None = 180.0,
        extra: Mapping[str, Any] | None = None,
        *,
        context_tokens: int | None = None,
        token_url: str = TOKEN_URL,
    ) -> None:
        self._host, self._timeout, self._extra = host, timeout, dict(extra or {})
        self._context_tokens = context_tokens
        self._name = vertex_name(model)
        self._facts = ModelFacts("vertex", self._name, public_url(host), context_tokens=context_tokens)
        self._tokens = GoogleTokens(key, Endpoint(model, public_url(token_url), "the model's name"), timeout, token_url)
        self._gatekeeper = current_gatekeeper()
        self._model: OpenAIChat | None = None
        self._token = ""
        self._former: list[OpenAIChat] = []

    @property
    def facts(self) -> ModelFacts:
        """What is known of the model."""
        return self._facts

    async def complete(self, request: ChatRequest) -> ChatReply:
        """Return the whole answer; raises `UnusableAnswer` where it is empty."""
        return await (await self._current()).complete(request)

    async def stream(self, request: ChatRequest) -> AsyncIterator[ChatDelta]:
        """Yield the answer as it is written. Closing the iterator ends the call."""
        async with contextlib.aclosing((await self._current()).stream(request)) as deltas:  # type: ignore[type-var]
            async for delta in deltas:
                yield delta

    async def aclose(self) -> None:
        """Release connections."""
        await self._tokens.aclose()
        models, self._former = [*self._former, *filter(None, (self._model,))], []
        self._model = None
        for model in models:
            await model.aclose()

    async def _current(self) -> OpenAIChat:
        """Return a client with a token that is good. One that was replaced may still be answering for a while."""
        token = await self._tokens.token()
        if self._model is None or token != self._token:
            ended, self._former = self._former, list(filter(None, (self._model,)))
            with behind(self._gatekeeper):
                self._model = OpenAIChat(
                    self._name,
                    self._host,
                    token,
                    self._timeout,
                    self._extra,
                    context_tokens=self._context_tokens,
                    gateway=Gateway("vertex"),
                )
            self._token = token
            for model in ended:
                await model.aclose()
        return self._model


def vertex_name(model: str) -> str:
    """Return a model's name with its publisher."""
    return model if "/" in model else f"google/{model}"
