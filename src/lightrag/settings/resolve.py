"""How what is not said of the models, their roles and their backends follows from what is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import SecretStr

from lightrag.errors import ConfigurationError
from lightrag.settings.backends import BackendOptions, ChatBackendOptions, EmbeddingBackendOptions
from lightrag.settings.models import (
    ChatBackend,
    ChatModelOptions,
    ChatModelSettings,
    EmbeddingBackend,
    EmbeddingOptions,
    EmbeddingSettings,
    LlmSettings,
)
from lightrag.settings.resolve_one import (
    ModelContext,
    chat_alone,
    chat_binding,
    embedding_alone,
    require,
    resolve_role,
)
from lightrag.settings.vendors import VENDORS


def resolve_llm(said: ChatModelOptions, roles: Mapping[str, ChatModelOptions], context: ModelContext) -> LlmSettings:
    """Return the chat models of all roles; `roles` has `extract`, `keyword` and `query`.

    Raises `ConfigurationError` where something is missing that a binding needs.
    """
    alone = chat_alone(said, chat_binding(said), context)
    default = alone.model_copy(update={"backends": _chat_backends(alone, said.backends, "LLM_BACKENDS", context)})
    by_role = {name: resolve_role(default, overrides, context) for name, overrides in roles.items()}
    for name, overrides in roles.items():
        if overrides.backends:
            variable = f"{name.upper()}_LLM_BACKENDS"
            backends = _chat_backends(by_role[name], overrides.backends, variable, context)
            by_role[name] = by_role[name].model_copy(update={"backends": backends})
    for variable, wanted in {"": default, **{f"{name.upper()}_": chat for name, chat in by_role.items()}}.items():
        if not wanted.backends:
            require(wanted.binding, wanted.host, wanted.model, f"{variable}LLM")
    return LlmSettings.model_validate(dict(default) | by_role)


def resolve_embedding(said: EmbeddingOptions, llm: ChatModelOptions, context: ModelContext) -> EmbeddingSettings:
    """Return the embedding model; raises `ConfigurationError` where something is missing that the binding needs."""
    binding = said.binding
    if binding is None and llm.binding in {"openai-ollama", "embedded"}:
        binding = "ollama" if llm.binding == "openai-ollama" else "embedded"
    if binding is None and (said.host or said.model):
        binding = "ollama"
    alone = embedding_alone(said, binding, context)
    alone = _beside(alone, chat_alone(llm, chat_binding(llm), context))
    if not said.backends:
        require(alone.binding, alone.host, alone.model, "EMBEDDING")
    if alone.sparse and (alone.binding != "openai" or said.backends):
        raise ConfigurationError(
            "EMBEDDING_SPARSE=true asks one server of OpenAI's dialect for sparse weights; set "
            "EMBEDDING_BINDING=openai with EMBEDDING_BINDING_HOST (llmservice: for the model service) and no "
            "EMBEDDING_BACKENDS, or EMBEDDING_SPARSE=false"
        )
    return alone.model_copy(update={"backends": _embedding_backends(alone, said.backends, context)})


def _beside(embedding: EmbeddingSettings, chat: ChatModelSettings) -> EmbeddingSettings:
    """Return an embedding model that takes from the chat model of the same binding what is not said of it.

    An Azure resource serves both, and has no usual address. A key is taken for the very server it was given for only.
    """
    if embedding.binding is None or embedding.binding != chat.binding:
        return embedding
    host = embedding.host or chat.host
    key = chat.api_key if embedding.api_key is None and host == chat.host else embedding.api_key
    return embedding.model_copy(update={"host": host, "api_key": key})


def _chat_backends(
    default: ChatModelSettings, entries: Sequence[ChatBackendOptions], variable: str, context: ModelContext
) -> tuple[ChatBackend, ...]:
    backends: list[ChatBackend] = []
    for number, entry in enumerate(entries, 1):
        given = _given(entry, ("binding", "host", "model", "timeout", "max_async"))
        said = ChatModelOptions.model_validate(given)
        alone = default.model_copy(update={"backends": ()})
        chat = resolve_role(alone, said, context)
        if chat.binding is None or chat.binding == "embedded":
            raise ConfigurationError(f"{variable}: entry {number} needs a binding that calls a model server")
        require(chat.binding, chat.host, chat.model, f"{variable}: entry {number}", is_entry=True)
        key = _entry_key(
            entry, chat.host, chat.binding, default.host, default.api_key, context.vendors.key(chat.binding)
        )
        chat = chat.model_copy(update=_further(entry, chat, key))
        name = _name(entry, f"{chat.binding}/{chat.model}", [backend.name for backend in backends])
        backends.append(ChatBackend(name=name, order=entry.order, weight=entry.weight, chat=chat))
    _check_weights(backends, variable)
    return tuple(backends)


def _embedding_backends(
    default: EmbeddingSettings, entries: Sequence[EmbeddingBackendOptions], context: ModelContext
) -> tuple[EmbeddingBackend, ...]:
    backends: list[EmbeddingBackend] = []
    variable = "EMBEDDING_BACKENDS"
    for number, entry in enumerate(entries, 1):
        binding = entry.binding or default.binding
        if binding is None or binding == "embedded":
            raise ConfigurationError(f"{variable}: entry {number} needs a binding that calls a model server")
        given = _given(entry, ("host", "model", "timeout", "max_async", "batch_num"))
        if binding == default.binding:
            embedding = default.model_copy(update={**given, "backends": ()})
        else:
            carried = ["dim", "send_dim", "timeout", "max_async", "batch_num", "token_limit"]
            carried += ["query_prefix", "document_prefix"]
            other = {name: getattr(default, name) for name in carried} | given
            embedding = embedding_alone(EmbeddingOptions.model_validate(other), binding, context)
            embedding = embedding.model_copy(update={"model": entry.model} if entry.model else {})
        require(binding, embedding.host, embedding.model, f"{variable}: entry {number}", is_entry=True)
        own = context.vendors.embedding_key(binding)
        key = _entry_key(entry, embedding.host, binding, default.host, default.api_key, own)
        embedding = embedding.model_copy(update=_further(entry, embedding, key))
        first = backends[0].embedding.model if backends else embedding.model
        if not entry.same_model and _plain(embedding.model) != _plain(first):
            raise ConfigurationError(
                f"{variable}: entry {number} names the model '{embedding.model}', the first one '{first}'; vectors of "
                'different models cannot be mixed (where it is the same one under another name, add "same_model": true)'
            )
        name = _name(entry, f"{binding}/{embedding.model}", [backend.name for backend in backends])
        backends.append(EmbeddingBackend(name=name, order=entry.order, weight=entry.weight, embedding=embedding))
    _check_weights(backends, variable)
    return tuple(backends)


def _given(entry: BackendOptions, fields: Sequence[str]) -> dict[str, Any]:
    return {name: getattr(entry, name) for name in fields if getattr(entry, name) is not None}


def _further(
    entry: BackendOptions, resolved: ChatModelSettings | EmbeddingSettings, key: SecretStr | None
) -> dict[str, Any]:
    return {
        "host": resolved.host.rstrip("/"),
        "api_key": key,
        "options": resolved.options | entry.options,
        "api_version": entry.api_version or resolved.api_version,
        "region": entry.region or resolved.region,
    }


def _entry_key(
    entry: BackendOptions,
    host: str,
    binding: str,
    default_host: str,
    default_key: SecretStr | None,
    own_key: SecretStr | None,
) -> SecretStr | None:
    """Return the key of a backend: a key is never carried over to another server than the one that it was given for."""
    if entry.api_key is not None:
        return entry.api_key
    if host.rstrip("/") == default_host:
        return default_key
    return own_key if host.rstrip("/") == VENDORS[binding].host or binding == "azure_openai" else None


def _name(entry: BackendOptions, default: str, taken: Sequence[str]) -> str:
    name = entry.name or default
    same = sum(other == name or other.startswith(f"{name} #") for other in taken)
    return f"{name} #{same + 1}" if same else name


def _check_weights(backends: Sequence[ChatBackend | EmbeddingBackend], variable: str) -> None:
    if backends and not any(backend.weight > 0 for backend in backends):
        raise ConfigurationError(f"{variable}: at least one backend needs a weight above 0")


def _plain(model: str) -> str:
    """Return the name of a model without who published it and which version: `BAAI/bge-m3` is `bge-m3:latest`."""
    return model.rpartition("/")[2].partition(":")[0].lower()
