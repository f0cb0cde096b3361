"""Which models serve: what a user says of them, and what follows from it."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, SecretStr

from lightrag.settings.backends import ChatBackendList, EmbeddingBackendList
from lightrag.settings.discovery import ModelsHost
from lightrag.settings.options import Group, Option, Seconds, Secret, none_from_word
from lightrag.settings.vendors import (
    OLLAMA_HOST,
    OPENAI_HOST,
    Binding,
    EmbeddingBinding,
    NamedChatBinding,
    NamedEmbeddingBinding,
)

_BACKENDS = (
    "several backends for one model: a JSON list of objects, or a file that holds one, each with any of name, binding, "
    "host, api_key, api_key_env, model, timeout, max_async, order, weight, options, api_version, region"
)


class ChatModelOptions(Group):
    """What a user said of a chat model; roles have the same variables behind a prefix such as `EXTRACT_`."""

    binding: Annotated[NamedChatBinding, Option(("LLM_BINDING",), "--llm-binding")] = Field(
        None,
        description="one of openai, ollama, azure_openai, lollms, anthropic, gemini, bedrock, embedded (no model "
        "server), or openai-ollama (openai here, ollama for embeddings); unset: Ollama on this machine where it "
        "answers and has the model, else embedded",
    )
    host: Annotated[ModelsHost, Option(("LLM_BINDING_HOST",))] = Field(
        None,
        description=f"base URL of the model server (ollama: {OLLAMA_HOST}, openai: {OPENAI_HOST}), or llmservice: "
        "for the model service that runs in this folder, llmservice:/folder for one elsewhere",
    )
    api_key: Annotated[Secret, Option(("LLM_BINDING_API_KEY",))] = Field(
        None, description="key for the model server; the vendor's own variable (OPENAI_API_KEY, ...) serves too"
    )
    model: Annotated[str | None, Option(("LLM_MODEL",))] = Field(
        None, description="model name (ollama: mistral-nemo:latest, openai: gpt-4o-mini)"
    )
    timeout: Annotated[Seconds, Option(("LLM_TIMEOUT",))] = Field(
        180, description="seconds for one call; None for no limit"
    )
    max_async: Annotated[int, Option(("MAX_ASYNC_LLM", "MAX_ASYNC"), "--max-async")] = Field(
        4, ge=1, description="calls at the same time"
    )
    max_tokens: Annotated[int, Option(("MAX_TOKENS",), "--max-tokens")] = Field(
        32768, ge=256, description="context tokens asked of Ollama, unless OLLAMA_LLM_NUM_CTX is set"
    )
    backends: Annotated[ChatBackendList, Option(("LLM_BACKENDS",), is_secret=True)] = Field((), description=_BACKENDS)


class EmbeddingOptions(Group):
    """What a user said of the embedding model."""

    binding: Annotated[NamedEmbeddingBinding, Option(("EMBEDDING_BINDING",), "--embedding-binding")] = Field(
        None,
        description="one of openai, ollama, azure_openai, lollms, gemini, bedrock, jina, voyageai, cohere, tei and "
        "embedded (the bundled model); unset: Ollama on this machine where it answers and has the model, else embedded",
    )
    host: Annotated[ModelsHost, Option(("EMBEDDING_BINDING_HOST",))] = Field(
        None, description="base URL of the model server (ollama: http://localhost:11434), or llmservice:"
    )
    api_key: Annotated[Secret, Option(("EMBEDDING_BINDING_API_KEY",))] = Field(
        None, description="key for the model server; the vendor's own variable (OPENAI_API_KEY, ...) serves too"
    )
    model: Annotated[str | None, Option(("EMBEDDING_MODEL",))] = Field(
        None, description="model name (ollama: bge-m3:latest, openai: text-embedding-3-small)"
    )
    dim: Annotated[int | None, Option(("EMBEDDING_DIM",))] = Field(
        None, ge=1, le=65536, description="length of the vectors; unset: what the model answers with"
    )
    send_dim: Annotated[bool, Option(("EMBEDDING_SEND_DIM",))] = Field(
        False, description="ask the model server for vectors of length EMBEDDING_DIM"
    )
    timeout: Annotated[Seconds, Option(("EMBEDDING_TIMEOUT",))] = Field(
        30, description="seconds for one call; None for no limit"
    )
    max_async: Annotated[int, Option(("EMBEDDING_FUNC_MAX_ASYNC",))] = Field(
        8, ge=1, description="calls at the same time"
    )
    batch_num: Annotated[int, Option(("EMBEDDING_BATCH_NUM",))] = Field(
        32, ge=1, le=2048, description="texts in one call"
    )
    token_limit: Annotated[
        Annotated[int, Field(ge=16)] | None,
        Option(("EMBEDDING_TOKEN_LIMIT", "MAX_EMBED_TOKENS")),
        BeforeValidator(none_from_word),
    ] = Field(None, description="tokens of a text beyond which it is cut for embedding; unset: read in windows")
    query_prefix: Annotated[str | None, Option(("EMBEDDING_QUERY_PREFIX",))] = Field(
        None, description="text put before questions, for models that want one; NO_PREFIX for none"
    )
    document_prefix: Annotated[str | None, Option(("EMBEDDING_DOCUMENT_PREFIX",))] = Field(
        None, description="text put before documents, for models that want one; NO_PREFIX for none"
    )
    sparse: Annotated[bool, Option(("EMBEDDING_SPARSE",))] = Field(
        False, description="ask the model server for sparse weights too (llmservice with BGE-M3), for mode mix"
    )
    backends: Annotated[EmbeddingBackendList, Option(("EMBEDDING_BACKENDS",), is_secret=True)] = Field(
        (), description=f"{_BACKENDS}; all must run the same model"
    )


class ChatModelSettings(Group):
    """A chat model, resolved."""

    binding: Binding | None
    """None: Ollama at `host` where it answers and has `model`, else the embedded parts."""
    host: str
    api_key: SecretStr | None
    model: str
    timeout: float | None
    max_async: int
    options: dict[str, Any]
    """Parameters of the binding's dialect that go with every call (temperature, num_ctx, …)."""
    api_version: str | None = None
    """Of Azure OpenAI."""
    region: str | None = None
    """Of Amazon Bedrock."""
    backends: tuple[ChatBackend, ...] = ()
    """What is called in this model's place, where there are any."""


class ChatBackend(Group):
    """A backend of a chat model, resolved."""

    name: str
    order: int
    weight: float
    chat: ChatModelSettings

    def __str__(self) -> str:
        return f"{self.name} (order {self.order}, weight {self.weight:g})"


class LlmSettings(ChatModelSettings):
    """The default chat model, and the one of each role where it differs."""

    extract: ChatModelSettings
    """For extraction and summaries."""
    keyword: ChatModelSettings
    query: ChatModelSettings


class EmbeddingSettings(Group):
    """The embedding model, resolved."""

    binding: EmbeddingBinding | None
    """None: Ollama at `host` where it answers and has `model`, else the bundled model."""
    host: str
    api_key: SecretStr | None
    model: str
    dim: int | None
    send_dim: bool
    timeout: float | None
    max_async: int
    batch_num: int
    options: dict[str, Any]
    token_limit: int | None = None
    query_prefix: str = ""
    document_prefix: str = ""
    api_version: str | None = None
    """Of Azure OpenAI."""
    region: str | None = None
    """Of Amazon Bedrock."""
    sparse: bool = False
    """Whether the server is asked for sparse weights too."""
    backends: tuple[EmbeddingBackend, ...] = ()
    """What is called in this model's place, where there are any."""


class EmbeddingBackend(Group):
    """A backend of the embedding model, resolved."""

    name: str
    order: int
    weight: float
    embedding: EmbeddingSettings

    def __str__(self) -> str:
        return f"{self.name} (order {self.order}, weight {self.weight:g})"
