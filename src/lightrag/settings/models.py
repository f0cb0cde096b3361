"""Which models serve, and how what is not said follows from what is."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SecretStr

from lightrag.settings.options import Group, Option, Seconds, Secret

Binding = Literal["openai", "ollama", "embedded"]

OLLAMA_HOST = "http://localhost:11434"
OPENAI_HOST = "https://api.openai.com/v1"
HOSTS: Mapping[str, str] = {"ollama": OLLAMA_HOST, "openai": OPENAI_HOST, "embedded": ""}
CHAT_MODELS: Mapping[str, str] = {"ollama": "mistral-nemo:latest", "openai": "gpt-4o-mini", "embedded": ""}
EMBEDDING_MODELS: Mapping[str, str] = {
    "ollama": "bge-m3:latest",
    "openai": "text-embedding-3-small",
    "embedded": "",
}


def _binding_word(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    word = value.strip().lower()
    return "embedded" if word == "none" else word


NamedBinding = Annotated[Binding | None, BeforeValidator(_binding_word)]
NamedChatBinding = Annotated[
    Literal["openai", "ollama", "embedded", "openai-ollama"] | None, BeforeValidator(_binding_word)
]


class ChatModelOptions(Group):
    """What a user said of a chat model; roles have the same variables behind a prefix such as `EXTRACT_`."""

    binding: Annotated[NamedChatBinding, Option(("LLM_BINDING",), "--llm-binding")] = Field(
        None,
        description="one of openai, ollama, embedded (no model server), or openai-ollama (openai here, ollama for "
        "embeddings); unset: Ollama on this machine where it answers and has the model, else embedded",
    )
    host: Annotated[str | None, Option(("LLM_BINDING_HOST",))] = Field(
        None, description=f"base URL of the model server (ollama: {OLLAMA_HOST}, openai: {OPENAI_HOST})"
    )
    api_key: Annotated[Secret, Option(("LLM_BINDING_API_KEY",))] = Field(
        None, description="key for the model server; with openai OPENAI_API_KEY serves too"
    )
    model: Annotated[str | None, Option(("LLM_MODEL",))] = Field(
        None, description="model name (ollama: mistral-nemo:latest, openai: gpt-4o-mini)"
    )
    timeout: Annotated[Seconds, Option(("LLM_TIMEOUT",)), Field(gt=0)] = Field(
        180, description="seconds for one call; None for no limit"
    )
    max_async: Annotated[int, Option(("MAX_ASYNC_LLM", "MAX_ASYNC"), "--max-async")] = Field(
        4, ge=1, description="calls at the same time"
    )
    max_tokens: Annotated[int, Option(("MAX_TOKENS",), "--max-tokens")] = Field(
        32768, ge=256, description="context tokens asked of Ollama, unless OLLAMA_LLM_NUM_CTX is set"
    )


class EmbeddingOptions(Group):
    """What a user said of the embedding model."""

    binding: Annotated[NamedBinding, Option(("EMBEDDING_BINDING",), "--embedding-binding")] = Field(
        None,
        description="one of openai, ollama and embedded (the bundled model); unset: Ollama on this machine where it "
        "answers and has the model, else embedded",
    )
    host: Annotated[str | None, Option(("EMBEDDING_BINDING_HOST",))] = Field(
        None, description="base URL of the model server (ollama: http://localhost:11434)"
    )
    api_key: Annotated[Secret, Option(("EMBEDDING_BINDING_API_KEY",))] = Field(
        None, description="key for the model server; with openai OPENAI_API_KEY serves too"
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
    timeout: Annotated[Seconds, Option(("EMBEDDING_TIMEOUT",)), Field(gt=0)] = Field(
        30, description="seconds for one call; None for no limit"
    )
    max_async: Annotated[int, Option(("EMBEDDING_FUNC_MAX_ASYNC",))] = Field(
        8, ge=1, description="calls at the same time"
    )
    batch_num: Annotated[int, Option(("EMBEDDING_BATCH_NUM",))] = Field(
        32, ge=1, le=2048, description="texts in one call"
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


class LlmSettings(ChatModelSettings):
    """The default chat model, and the one of each role where it differs."""

    extract: ChatModelSettings
    """For extraction and summaries."""
    keyword: ChatModelSettings
    query: ChatModelSettings


class EmbeddingSettings(Group):
    """The embedding model, resolved."""

    binding: Binding | None
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


@dataclasses.dataclass(frozen=True, slots=True)
class DialectOption:
    """A parameter of a binding's dialect that is passed on when it is set."""

    name: str
    kind: Literal["int", "float", "bool", "text", "json"]


def _dialect(**kinds: str) -> tuple[DialectOption, ...]:
    return tuple(DialectOption(name, kind) for kind, names in kinds.items() for name in names.split())  # type: ignore[arg-type]


OPENAI_CHAT = _dialect(
    float="temperature top_p frequency_penalty presence_penalty",
    int="max_tokens max_completion_tokens seed",
    text="reasoning_effort safety_identifier service_tier",
    json="stop extra_body",
)
OLLAMA_ANY = _dialect(
    int="num_ctx num_batch num_gpu main_gpu num_thread num_keep seed",
    bool="low_vram numa use_mmap use_mlock",
)
OLLAMA_CHAT = OLLAMA_ANY + _dialect(
    int="num_predict top_k repeat_last_n mirostat",
    float="temperature top_p tfs_z typical_p min_p repeat_penalty presence_penalty frequency_penalty "
    "mirostat_tau mirostat_eta",
    bool="penalize_newline think",
    json="stop",
)
DIALECTS: Mapping[str, tuple[DialectOption, ...]] = {
    "OPENAI_LLM_": OPENAI_CHAT,
    "OLLAMA_LLM_": OLLAMA_CHAT,
    "OLLAMA_EMBEDDING_": OLLAMA_ANY,
}
"""Prefix of the environment variables → the options that may follow it."""

_TRUE = frozenset({"true", "1", "yes", "t", "on", "y"})
_FALSE = frozenset({"false", "0", "no", "f", "off", "n"})


def parse_dialect_value(kind: str, text: str) -> Any:
    """Return the typed value of a dialect option; raises ValueError saying what is allowed."""
    if kind == "int":
        return _number(int, text, "a whole number")
    if kind == "float":
        return _number(float, text, "a number")
    if kind == "bool":
        if text.lower() in _TRUE | _FALSE:
            return text.lower() in _TRUE
        raise ValueError("should be true or false")
    if kind == "json":
        try:
            return json.loads(text)
        except json.JSONDecodeError as error:
            raise ValueError(f"should be JSON ({error})") from None
    return text


def _number(make: type[int] | type[float], text: str, what: str) -> int | float:
    try:
        return make(text)
    except ValueError:
        raise ValueError(f"should be {what}") from None


@dataclasses.dataclass(frozen=True, slots=True)
class ModelContext:
    """What else decides on the models: the dialects' options and the vendor's customary key variable."""

    dialects: Mapping[str, Mapping[str, Any]]
    openai_api_key: SecretStr | None = None


def resolve_llm(said: ChatModelOptions, roles: Mapping[str, ChatModelOptions], context: ModelContext) -> LlmSettings:
    """Return the chat models of all roles; `roles` has `extract`, `keyword` and `query`."""
    default = _resolve_chat(said, _chat_binding(said), context)
    by_role = {name: _resolve_role(default, overrides, context) for name, overrides in roles.items()}
    return LlmSettings.model_validate(dict(default) | by_role)


def resolve_embedding(said: EmbeddingOptions, llm: ChatModelOptions, context: ModelContext) -> EmbeddingSettings:
    """Return the embedding model."""
    binding = said.binding
    if binding is None and llm.binding in {"openai-ollama", "embedded"}:
        binding = "ollama" if llm.binding == "openai-ollama" else "embedded"
    if binding is None and (said.host or said.model):
        binding = "ollama"
    dialect = binding or "ollama"
    return EmbeddingSettings(
        binding=binding,
        host=(said.host or HOSTS[dialect]).rstrip("/"),
        api_key=_key(said.api_key, dialect, context),
        model=said.model or EMBEDDING_MODELS[dialect],
        dim=said.dim,
        send_dim=said.send_dim,
        timeout=said.timeout,
        max_async=said.max_async,
        batch_num=said.batch_num,
        options=dict(context.dialects.get("OLLAMA_EMBEDDING_", {})) if dialect == "ollama" else {},
    )


def _chat_binding(said: ChatModelOptions) -> Binding | None:
    if said.binding == "openai-ollama":
        return "openai"
    if said.binding is not None:
        return said.binding
    # Who names a host or a model means the default binding, and would be surprised to get no model at all.
    # A key alone is of no use to Ollama.
    if said.host or said.model:
        return "ollama"
    return "openai" if said.api_key else None


def _resolve_chat(said: ChatModelOptions, binding: Binding | None, context: ModelContext) -> ChatModelSettings:
    dialect = binding or "ollama"
    return ChatModelSettings(
        binding=binding,
        host=(said.host or HOSTS[dialect]).rstrip("/"),
        api_key=_key(said.api_key, dialect, context),
        model=said.model or CHAT_MODELS[dialect],
        timeout=said.timeout,
        max_async=said.max_async,
        options=_chat_options(dialect, said.max_tokens, context),
    )


def _resolve_role(default: ChatModelSettings, said: ChatModelOptions, context: ModelContext) -> ChatModelSettings:
    """Return a role's model; what it leaves open is as in the default model, or as its own binding has it."""
    given = said.model_dump(exclude_unset=True, exclude={"max_tokens"})
    binding = _chat_binding(said) if "binding" in given else default.binding
    if binding != default.binding:
        other = {"timeout": default.timeout, "max_async": default.max_async} | given | {"binding": binding}
        return _resolve_chat(ChatModelOptions.model_validate(other), binding, context)
    given["binding"] = default.binding
    if default.binding is None and (said.host or said.model):
        given["binding"] = "ollama"
    return default.model_copy(update=given)


def _key(given: SecretStr | None, dialect: str, context: ModelContext) -> SecretStr | None:
    return given or (context.openai_api_key if dialect == "openai" else None)


def _chat_options(dialect: str, max_tokens: int, context: ModelContext) -> dict[str, Any]:
    if dialect == "ollama":
        return {"num_ctx": max_tokens} | dict(context.dialects.get("OLLAMA_LLM_", {}))
    return dict(context.dialects.get("OPENAI_LLM_", {})) if dialect == "openai" else {}
