"""From a way to reach a model to the binding that speaks with it.

What is opened here is not wrapped: limits, retries, caches and routing are laid around it by whoever uses it. All of
it connects only where the operator's guard lets tenants' base URLs lead.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote, urlencode

from lightrag.llm.anthropic_binding import AnthropicChat
from lightrag.llm.azure_openai_binding import azure_openai_chat, azure_openai_embedding
from lightrag.llm.bedrock_binding import BedrockChat, bedrock_embedding
from lightrag.llm.bedrock_client import AwsAccount
from lightrag.llm.cohere_binding import cohere_embedding
from lightrag.llm.cohere_chat_binding import CohereChat
from lightrag.llm.contracts import ChatModel, EmbeddingModel, ModelFacts, RerankModel
from lightrag.llm.endpoint import Endpoint, public_url
from lightrag.llm.gemini_binding import GeminiChat, GeminiEmbedding
from lightrag.llm.http_client import HttpClient, bearer
from lightrag.llm.jina_binding import jina_embedding
from lightrag.llm.network import Gatekeeper, behind
from lightrag.llm.nvidia_binding import nvidia_embedding
from lightrag.llm.ollama_binding import OllamaChat, OllamaEmbedding
from lightrag.llm.openai_binding import OpenAIChat, OpenAIEmbedding
from lightrag.llm.rerank_binding import HttpRerank
from lightrag.llm.speech import (
    DashScopeSpeech,
    DashScopeTranscription,
    FishSpeech,
    OpenAISpeech,
    OpenAITranscription,
    SpeechToText,
    TextToSpeech,
)
from lightrag.llm.tei_binding import tei_embedding
from lightrag.llm.vertex_binding import TOKEN_URL, GoogleTokens, VertexChat, vertex_name
from lightrag.llm.vision import VisionModel
from lightrag.llm.voyageai_binding import voyageai_embedding
from lightrag.tenancy.contracts import Candidate

CHAT_SECONDS, EMBEDDING_SECONDS, MEDIA_SECONDS = 180.0, 60.0, 120.0
MOST_TEXTS: Mapping[str, int] = {"Tongyi-Qianwen": 10, "BaiduYiyan": 16, "BaiChuan": 16}
"""Texts that a provider takes in one call, where that is fewer than usual."""
USUAL_TEXTS = 32
ANTHROPIC_VERSION = "2023-06-01"

_HTTP_RERANK = frozenset({"generic", "jina", "voyageai", "tei", "cohere", "aliyun", "nvidia"})


class Connections:
    """Opens models. `timeout`: seconds for one call, by default as long as such calls may take."""

    def __init__(self, guard: Gatekeeper, timeout: float | None = None, *, token_url: str = TOKEN_URL) -> None:
        self._guard = guard
        self._timeout = timeout
        self._token_url = token_url

    def open_chat(self, candidate: Candidate) -> ChatModel:
        """Return a chat model; it is the caller's to close."""
        with behind(self._guard):
            return _CHAT[candidate.dialect](self, candidate, self._timeout or CHAT_SECONDS)

    def open_embedding(self, candidate: Candidate) -> EmbeddingModel:
        """Return an embedding model; it is the caller's to close."""
        with behind(self._guard):
            return _EMBEDDING[candidate.dialect](candidate, self._timeout or EMBEDDING_SECONDS)

    def open_rerank(self, candidate: Candidate) -> RerankModel:
        """Return a reranking model; it is the caller's to close."""
        assert candidate.dialect in _HTTP_RERANK
        with behind(self._guard):
            return HttpRerank(
                candidate.upstream_name,
                candidate.base_url,
                candidate.secret,
                self._timeout or EMBEDDING_SECONDS,
                dialect=candidate.dialect,
            )

    def open_image2text(self, candidate: Candidate) -> VisionModel:
        """Return a model that describes pictures; it is the caller's to close."""
        with behind(self._guard):
            return self._vision(candidate, self._timeout or MEDIA_SECONDS)

    def open_speech2text(self, candidate: Candidate) -> SpeechToText:
        """Return a model that writes down recordings; it is the caller's to close."""
        with behind(self._guard):
            facts, client, endpoint, query = _media(candidate, self._timeout or MEDIA_SECONDS)
            if candidate.dialect == "dashscope":
                return DashScopeTranscription(facts, client, endpoint)
            return OpenAITranscription(facts, client, endpoint, query)

    def open_tts(self, candidate: Candidate) -> TextToSpeech:
        """Return a model that speaks; it is the caller's to close."""
        timeout = self._timeout or MEDIA_SECONDS
        with behind(self._guard):
            facts, client, endpoint, query = _media(candidate, timeout)
            if candidate.dialect == "dashscope":
                return DashScopeSpeech(facts, client, endpoint, lambda: self._files(timeout, endpoint))
            return (FishSpeech if candidate.dialect == "fish_audio" else OpenAISpeech)(facts, client, endpoint, query)

    def vertex(self, candidate: Candidate, timeout: float) -> ChatModel:
        """Return a chat model on Vertex AI."""
        return VertexChat(
            candidate.upstream_name,
            candidate.base_url,
            candidate.secret,
            timeout,
            context_tokens=candidate.context_tokens,
            token_url=self._token_url,
        )

    def _files(self, timeout: float, endpoint: Endpoint) -> HttpClient:
        with behind(self._guard):
            return HttpClient("", timeout, endpoint)

    def _vision(self, candidate: Candidate, timeout: float) -> VisionModel:
        facts, client, endpoint, query = _media(candidate, timeout)
        if candidate.dialect == "vertex":
            tokens = GoogleTokens(candidate.secret, endpoint, timeout, self._token_url)
            client = HttpClient(candidate.base_url, timeout, endpoint, authorise=tokens.headers)
            facts = ModelFacts("vertex", vertex_name(facts.name), facts.host)
            return VisionModel(candidate.dialect, facts, client, endpoint, query, tokens)
        return VisionModel(candidate.dialect, facts, client, endpoint, query)


def _media(candidate: Candidate, timeout: float) -> tuple[ModelFacts, HttpClient, Endpoint, str]:
    url, query = candidate.base_url, ""
    headers: dict[str, str] = bearer(candidate.secret)
    if candidate.dialect == "anthropic":
        headers = {"x-api-key": candidate.secret, "anthropic-version": ANTHROPIC_VERSION}
    elif candidate.dialect == "gemini":
        headers = {"x-goog-api-key": candidate.secret}
    elif candidate.dialect == "azure_openai":
        headers = {"api-key": candidate.secret}
        url = f"{url.removesuffix('/openai')}/openai/deployments/{quote(candidate.upstream_name, safe='')}"
        query = "?" + urlencode({"api-version": candidate.extra.get("api_version", "")})
    elif candidate.dialect == "vertex":
        headers = {}
    facts = ModelFacts(candidate.dialect, candidate.upstream_name, public_url(url))
    endpoint = Endpoint(candidate.upstream_name, facts.host, "the model's name", candidate.secret)
    return facts, HttpClient(url, timeout, endpoint, headers), endpoint, query


def _account(candidate: Candidate) -> AwsAccount:
    extra = candidate.extra
    return AwsAccount(extra.get("bedrock_region", ""), candidate.secret, extra.get("bedrock_sk", ""))


def _openai_extra(candidate: Candidate) -> dict[str, Any]:
    order = [name.strip() for name in str(candidate.extra.get("provider_order", "")).split(",") if name.strip()]
    return {"provider": {"order": order, "allow_fallbacks": False}} if order else {}


def _most_texts(candidate: Candidate) -> int:
    return MOST_TEXTS.get(candidate.ref.provider, USUAL_TEXTS)


_CHAT: Mapping[str, Callable[[Connections, Candidate, float], ChatModel]] = {
    "openai": lambda _self, c, timeout: OpenAIChat(
        c.upstream_name, c.base_url, c.secret, timeout, _openai_extra(c), context_tokens=c.context_tokens
    ),
    "azure_openai": lambda _self, c, timeout: azure_openai_chat(
        c.upstream_name, c.base_url, c.secret, timeout, api_version=c.extra.get("api_version")
    ),
    "ollama": lambda _self, c, timeout: OllamaChat(c.upstream_name, c.base_url, c.secret, timeout, c.context_tokens),
    "anthropic": lambda _self, c, timeout: AnthropicChat(c.upstream_name, c.base_url, c.secret, timeout),
    "gemini": lambda _self, c, timeout: GeminiChat(c.upstream_name, c.base_url, c.secret, timeout),
    "bedrock": lambda _self, c, timeout: BedrockChat(c.upstream_name, c.base_url, None, timeout, account=_account(c)),
    "cohere": lambda _self, c, timeout: CohereChat(c.upstream_name, c.base_url, c.secret, timeout),
    "vertex": Connections.vertex,
}

_EMBEDDING: Mapping[str, Callable[[Candidate, float], EmbeddingModel]] = {
    "openai": lambda c, timeout: OpenAIEmbedding(
        c.upstream_name, c.base_url, c.secret, c.dimension, max_batch=_most_texts(c), timeout=timeout
    ),
    "azure_openai": lambda c, timeout: azure_openai_embedding(
        c.upstream_name, c.base_url, c.secret, c.dimension, timeout=timeout, api_version=c.extra.get("api_version")
    ),
    "ollama": lambda c, timeout: OllamaEmbedding(c.upstream_name, c.base_url, c.secret, c.dimension, timeout=timeout),
    "gemini": lambda c, timeout: GeminiEmbedding(c.upstream_name, c.base_url, c.secret, c.dimension, timeout=timeout),
    "bedrock": lambda c, timeout: bedrock_embedding(
        c.upstream_name, c.base_url, None, c.dimension, timeout=timeout, account=_account(c)
    ),
    "jina": lambda c, timeout: jina_embedding(c.upstream_name, c.base_url, c.secret, c.dimension, timeout=timeout),
    "voyageai": lambda c, timeout: voyageai_embedding(
        c.upstream_name, c.base_url, c.secret, c.dimension, timeout=timeout
    ),
    "cohere": lambda c, timeout: cohere_embedding(c.upstream_name, c.base_url, c.secret, c.dimension, timeout=timeout),
    "tei": lambda c, timeout: tei_embedding(c.upstream_name, c.base_url, c.secret, c.dimension, timeout=timeout),
    "nvidia": lambda c, timeout: nvidia_embedding(c.upstream_name, c.base_url, c.secret, c.dimension, timeout=timeout),
}
