"""The bindings by name: how each one is made from the settings.

What needs an extra says so here, at the start, and not when a first question or a failing server brings it into use.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from pydantic import SecretStr

from lightrag.llm.anthropic_binding import AnthropicChat
from lightrag.llm.azure_openai_binding import azure_openai_chat, azure_openai_embedding
from lightrag.llm.bedrock_binding import BedrockChat, bedrock_embedding
from lightrag.llm.bedrock_client import AwsAccount
from lightrag.llm.cohere_binding import cohere_embedding
from lightrag.llm.contracts import ChatModel, EmbeddingModel, RerankModel, SparseModel
from lightrag.llm.extras import require
from lightrag.llm.gemini_binding import GeminiChat, GeminiEmbedding
from lightrag.llm.jina_binding import jina_embedding
from lightrag.llm.lollms_binding import LollmsChat, lollms_embedding
from lightrag.llm.ollama_binding import OllamaChat, OllamaEmbedding
from lightrag.llm.openai_binding import OpenAIChat, OpenAIEmbedding
from lightrag.llm.rerank_binding import HttpRerank
from lightrag.llm.rerank_dialects import AUTO
from lightrag.llm.sparse import OpenAISparse
from lightrag.llm.tei_binding import tei_embedding
from lightrag.llm.voyageai_binding import voyageai_embedding
from lightrag.settings import ChatModelSettings, EmbeddingSettings, RerankSettings, VendorSettings

ChatFactory = Callable[[ChatModelSettings, VendorSettings], ChatModel]
EmbeddingFactory = Callable[[EmbeddingSettings, VendorSettings], EmbeddingModel]


def _openai_chat(wanted: ChatModelSettings, vendors: VendorSettings) -> ChatModel:
    return OpenAIChat(wanted.model, wanted.host, _text(wanted.api_key), wanted.timeout, wanted.options)


def _azure_chat(wanted: ChatModelSettings, vendors: VendorSettings) -> ChatModel:
    key = _text(wanted.api_key)
    return azure_openai_chat(
        wanted.model, wanted.host, key, wanted.timeout, wanted.options, api_version=wanted.api_version
    )


def _ollama_chat(wanted: ChatModelSettings, vendors: VendorSettings) -> ChatModel:
    return OllamaChat(wanted.model, wanted.host, _text(wanted.api_key), wanted.timeout, options=wanted.options)


def _lollms_chat(wanted: ChatModelSettings, vendors: VendorSettings) -> ChatModel:
    return LollmsChat(wanted.model, wanted.host, _text(wanted.api_key), wanted.timeout, wanted.options)


def _anthropic_chat(wanted: ChatModelSettings, vendors: VendorSettings) -> ChatModel:
    require("anthropic", "anthropic", "LLM_BINDING=anthropic")
    return AnthropicChat(wanted.model, wanted.host, _text(wanted.api_key), wanted.timeout, wanted.options)


def _gemini_chat(wanted: ChatModelSettings, vendors: VendorSettings) -> ChatModel:
    require("google.genai", "gemini", "LLM_BINDING=gemini")
    return GeminiChat(wanted.model, wanted.host, _text(wanted.api_key), wanted.timeout, wanted.options)


def _bedrock_chat(wanted: ChatModelSettings, vendors: VendorSettings) -> ChatModel:
    require("botocore", "bedrock", "LLM_BINDING=bedrock")
    return BedrockChat(
        wanted.model,
        wanted.host or None,
        _text(wanted.api_key),
        wanted.timeout,
        wanted.options,
        account=_account(wanted.region, vendors),
    )


CHAT: Mapping[str, ChatFactory] = {
    "openai": _openai_chat,
    "azure_openai": _azure_chat,
    "ollama": _ollama_chat,
    "lollms": _lollms_chat,
    "anthropic": _anthropic_chat,
    "gemini": _gemini_chat,
    "bedrock": _bedrock_chat,
}


def _openai_embedding(wanted: EmbeddingSettings, vendors: VendorSettings) -> EmbeddingModel:
    return OpenAIEmbedding(
        wanted.model,
        wanted.host,
        _text(wanted.api_key),
        wanted.dim,
        wanted.send_dim,
        wanted.batch_num,
        wanted.timeout,
        query_prefix=wanted.query_prefix,
        document_prefix=wanted.document_prefix,
    )


def _azure_embedding(wanted: EmbeddingSettings, vendors: VendorSettings) -> EmbeddingModel:
    return azure_openai_embedding(
        wanted.model,
        wanted.host,
        _text(wanted.api_key),
        wanted.dim,
        wanted.send_dim,
        wanted.batch_num,
        wanted.timeout,
        api_version=wanted.api_version,
    )


def _ollama_embedding(wanted: EmbeddingSettings, vendors: VendorSettings) -> EmbeddingModel:
    return OllamaEmbedding(
        wanted.model,
        wanted.host,
        _text(wanted.api_key),
        wanted.dim,
        wanted.batch_num,
        wanted.timeout,
        options=wanted.options,
        send_dimensions=wanted.send_dim,
        query_prefix=wanted.query_prefix,
        document_prefix=wanted.document_prefix,
    )


def _lollms_embedding(wanted: EmbeddingSettings, vendors: VendorSettings) -> EmbeddingModel:
    return lollms_embedding(wanted.model, wanted.host, _text(wanted.api_key), wanted.dim, wanted.timeout)


def _gemini_embedding(wanted: EmbeddingSettings, vendors: VendorSettings) -> EmbeddingModel:
    require("google.genai", "gemini", "EMBEDDING_BINDING=gemini")
    return GeminiEmbedding(
        wanted.model,
        wanted.host,
        _text(wanted.api_key),
        wanted.dim,
        wanted.batch_num,
        wanted.timeout,
        send_dimensions=wanted.send_dim,
    )


def _bedrock_embedding(wanted: EmbeddingSettings, vendors: VendorSettings) -> EmbeddingModel:
    require("botocore", "bedrock", "EMBEDDING_BINDING=bedrock")
    return bedrock_embedding(
        wanted.model,
        wanted.host or None,
        _text(wanted.api_key),
        wanted.dim,
        wanted.batch_num,
        wanted.timeout,
        account=_account(wanted.region, vendors),
        send_dimensions=wanted.send_dim,
    )


class _VendorFactory(Protocol):
    """Makes the embedding model of a vendor."""

    def __call__(
        self,
        model: str,
        base_url: str | None,
        api_key: str | None,
        dimension: int | None,
        max_batch: int,
        timeout: float | None,
        /,
        *,
        send_dimensions: bool,
    ) -> EmbeddingModel: ...


def _vendor_embedding(make: _VendorFactory) -> EmbeddingFactory:
    """Return what makes the embedding model of a vendor whose binding takes no more than the common settings."""

    def made(wanted: EmbeddingSettings, vendors: VendorSettings) -> EmbeddingModel:
        return make(
            wanted.model,
            wanted.host,
            _text(wanted.api_key),
            wanted.dim,
            wanted.batch_num,
            wanted.timeout,
            send_dimensions=wanted.send_dim,
        )

    return made


def _tei_embedding(wanted: EmbeddingSettings, vendors: VendorSettings) -> EmbeddingModel:
    return tei_embedding(
        wanted.model,
        wanted.host,
        _text(wanted.api_key),
        wanted.dim,
        wanted.batch_num,
        wanted.timeout,
        send_dimensions=wanted.send_dim,
        query_prefix=wanted.query_prefix,
        document_prefix=wanted.document_prefix,
    )


EMBEDDING: Mapping[str, EmbeddingFactory] = {
    "openai": _openai_embedding,
    "azure_openai": _azure_embedding,
    "ollama": _ollama_embedding,
    "lollms": _lollms_embedding,
    "gemini": _gemini_embedding,
    "bedrock": _bedrock_embedding,
    "jina": _vendor_embedding(jina_embedding),
    "voyageai": _vendor_embedding(voyageai_embedding),
    "cohere": _vendor_embedding(cohere_embedding),
    "tei": _tei_embedding,
}


def rerank_binding(wanted: RerankSettings) -> RerankModel:
    """Return the reranking model that the settings name; `wanted.binding` is set."""
    return HttpRerank(
        wanted.model or "", wanted.host, _text(wanted.api_key), wanted.timeout, dialect=wanted.binding or AUTO
    )


def sparse_binding(wanted: EmbeddingSettings) -> SparseModel:
    """Return what gives sparse weights on the embedding server; `wanted.binding` is openai."""
    return OpenAISparse(wanted.model, wanted.host, _text(wanted.api_key), wanted.batch_num, wanted.timeout)


def _account(region: str | None, vendors: VendorSettings) -> AwsAccount:
    return AwsAccount(
        region or vendors.aws_region or "",
        vendors.aws_access_key_id or "",
        _text(vendors.aws_secret_access_key) or "",
        _text(vendors.aws_session_token) or "",
        vendors.aws_profile or "",
    )


def _text(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret is not None else None
