"""How what is not said of one model follows from what is."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from lightrag.errors import ConfigurationError
from lightrag.settings.dialects import CHAT_PREFIXES
from lightrag.settings.models import (
    ChatModelOptions,
    ChatModelSettings,
    EmbeddingOptions,
    EmbeddingSettings,
)
from lightrag.settings.vendors import VENDORS, Binding, EmbeddingBinding, VendorSettings


@dataclasses.dataclass(frozen=True, slots=True)
class ModelContext:
    """What else decides on the models: the dialects' options and the vendors' customary variables."""

    dialects: Mapping[str, Mapping[str, Any]]
    vendors: VendorSettings


def embedding_alone(
    said: EmbeddingOptions, binding: EmbeddingBinding | None, context: ModelContext
) -> EmbeddingSettings:
    """Return an embedding model without its backends."""
    vendors = context.vendors
    dialect = binding or "ollama"
    is_azure = dialect == "azure_openai"
    endpoint = (vendors.azure_embedding_endpoint or vendors.azure_endpoint) if is_azure else None
    deployment = vendors.azure_embedding_deployment if is_azure else None
    return EmbeddingSettings(
        binding=binding,
        host=(_named(said.host) or endpoint or VENDORS[dialect].host).rstrip("/"),
        api_key=said.api_key or vendors.embedding_key(dialect),
        model=deployment or said.model or VENDORS[dialect].embedding,
        dim=said.dim,
        send_dim=said.send_dim,
        timeout=said.timeout,
        max_async=said.max_async,
        batch_num=said.batch_num,
        token_limit=said.token_limit,
        options=dict(context.dialects.get("OLLAMA_EMBEDDING_", {})) if dialect == "ollama" else {},
        query_prefix=_prefix(said.query_prefix),
        document_prefix=_prefix(said.document_prefix),
        api_version=(vendors.azure_embedding_api_version or vendors.azure_api_version) if is_azure else None,
        region=vendors.aws_region if dialect == "bedrock" else None,
        sparse=said.sparse,
    )


def chat_binding(said: ChatModelOptions) -> Binding | None:
    """Return the binding that is meant; None where nothing was said."""
    if said.binding == "openai-ollama":
        return "openai"
    if said.binding is not None:
        return said.binding
    # Who names a host or a model means the default binding, and would be surprised to get no model at all.
    # A key alone is of no use to Ollama.
    if said.host or said.model:
        return "ollama"
    return "openai" if said.api_key else None


def chat_alone(said: ChatModelOptions, binding: Binding | None, context: ModelContext) -> ChatModelSettings:
    """Return a chat model without its backends."""
    vendors = context.vendors
    dialect = binding or "ollama"
    is_azure = dialect == "azure_openai"
    endpoint = vendors.azure_endpoint if is_azure else None
    deployment = vendors.azure_deployment if is_azure else None
    return ChatModelSettings(
        binding=binding,
        host=(_named(said.host) or endpoint or VENDORS[dialect].host).rstrip("/"),
        api_key=said.api_key or vendors.key(dialect),
        model=deployment or said.model or VENDORS[dialect].chat,
        timeout=said.timeout,
        max_async=said.max_async,
        options=_chat_options(dialect, said.max_tokens, context),
        api_version=vendors.azure_api_version if is_azure else None,
        region=vendors.aws_region if dialect == "bedrock" else None,
    )


def resolve_role(default: ChatModelSettings, said: ChatModelOptions, context: ModelContext) -> ChatModelSettings:
    """Return a role's model; what it leaves open is as in the default model, or as its own binding has it."""
    given = said.model_dump(exclude_unset=True, exclude={"max_tokens", "backends"})
    binding = chat_binding(said) if "binding" in given else default.binding
    if binding != default.binding:
        other = {"timeout": default.timeout, "max_async": default.max_async} | given | {"binding": binding}
        resolved = chat_alone(ChatModelOptions.model_validate(other), binding, context)
        return resolved.model_copy(update={"model": said.model}) if said.model else resolved
    given["binding"] = default.binding
    if default.binding is None and (said.host or said.model):
        given["binding"] = "ollama"
    if given.keys() & {"host", "model", "api_key"}:
        given["backends"] = ()  # a model of its own
    return default.model_copy(update=given)


def require(binding: str | None, host: str, model: str, prefix: str, *, is_entry: bool = False) -> None:
    """Raise `ConfigurationError` where a binding lacks its address or model; `prefix` says where it was named."""
    if binding is None or binding == "embedded":
        return
    host_name, model_name = ("host", "model") if is_entry else (f"{prefix}_BINDING_HOST", f"{prefix}_MODEL")
    where = prefix if is_entry else f"{prefix}_BINDING={binding}"
    if not host and binding != "bedrock":
        also = " or AZURE_OPENAI_ENDPOINT" if binding == "azure_openai" else ""
        raise ConfigurationError(f"{where} needs an address: set {host_name}{also}")
    if not model:
        raise ConfigurationError(f"{where} needs the name of a model: set {model_name}")


def _named(host: str | None) -> str | None:
    """Return a host; LightRAG's word for a vendor's own address (`DEFAULT_GEMINI_ENDPOINT`, …) is none."""
    return None if host is None or (host.startswith("DEFAULT_") and host.endswith("_ENDPOINT")) else host


def _prefix(said: str | None) -> str:
    return "" if said is None or said == "NO_PREFIX" else said


def _chat_options(dialect: str, max_tokens: int, context: ModelContext) -> dict[str, Any]:
    options = dict(context.dialects.get(CHAT_PREFIXES.get(dialect, ""), {}))
    return {"num_ctx": max_tokens} | options if dialect == "ollama" else options
