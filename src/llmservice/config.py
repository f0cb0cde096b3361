"""The service's settings: environment over `.env` over defaults, checked at the start."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError

from llmservice.errors import ConfigurationError
from llmservice.tiers import ModelKind, Tier

BackendName = Literal["auto", "llamacpp", "mlx", "onnx"]
LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]


@dataclasses.dataclass(frozen=True, slots=True)
class Env:
    """The variable that sets a field; for a tier's fields, what follows the tier's prefix."""

    name: str
    shared: bool = False
    """The name without the prefix sets it for every tier that has no own value."""


def _words(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    return tuple(word.strip() for word in value.split(",") if word.strip())


def _pairs(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    pairs = [item.partition("=") for item in value.split(",") if item.strip()]
    if any(not name.strip() or not target.strip() for name, _, target in pairs):
        raise ValueError("should be written as name=model, name=model")
    return {name.strip().lower(): target.strip().lower() for name, _, target in pairs}


def _upper(value: Any) -> Any:
    return value.strip().upper() if isinstance(value, str) else value


def _lower(value: Any) -> Any:
    return (
        value.strip().lower().replace("llama.cpp", "llamacpp").replace("llama_cpp", "llamacpp")
        if isinstance(value, str)
        else value
    )


def _object(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except json.JSONDecodeError as error:
        raise ValueError(f"should be a JSON object ({error})") from None


Words = Annotated[tuple[str, ...], BeforeValidator(_words)]


class Group(BaseModel):
    """Settings that belong together; frozen."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, protected_namespaces=())


AnyGroup = TypeVar("AnyGroup", bound=Group)


class ServerSettings(Group):
    """How the service is reached and when it ends."""

    port: Annotated[int, Env("PORT")] = Field(8000, ge=0, le=65535, description="API port; 0 for any free one")
    host: Annotated[str, Env("HOST")] = Field("0.0.0.0", min_length=1, description="Host address")  # noqa: S104
    log_level: Annotated[LogLevel, Env("LOG_LEVEL"), BeforeValidator(_upper)] = Field(
        "INFO", description="Logging level"
    )
    shutdown_timeout: Annotated[float, Env("SHUTDOWN_TIMEOUT")] = Field(
        600, ge=0, description="Auto-shutdown after inactivity (seconds); 0 for never"
    )
    port_strict: Annotated[bool, Env("PORT_STRICT")] = Field(
        False, description="Fail where PORT is taken, instead of using the next free one"
    )
    port_file: Annotated[Path, Env("PORT_FILE")] = Field(Path(".port"), description="Where the port is written")
    api_key: Annotated[SecretStr | None, Env("API_KEY")] = Field(
        None, description="Key that clients must send as a bearer token; none for no authentication"
    )
    cors_origins: Annotated[Words, Env("CORS_ORIGINS")] = Field(
        ("*",), description="Origins that browsers may call from, separated by commas"
    )
    model_aliases: Annotated[Mapping[str, str], Env("MODEL_ALIASES"), BeforeValidator(_pairs)] = Field(
        {}, description="More model names, as gpt-4o=medium, gpt-4o-mini=light"
    )
    request_timeout: Annotated[float, Env("REQUEST_TIMEOUT")] = Field(
        600, gt=0, description="Longest time for one request, waiting included (seconds)"
    )
    drain_timeout: Annotated[float, Env("DRAIN_TIMEOUT")] = Field(
        30, ge=0, description="Time that running requests get to end when the service is stopped (seconds)"
    )
    max_body_mb: Annotated[float, Env("MAX_BODY_MB")] = Field(32, gt=0, description="Largest request body (MiB)")
    max_documents: Annotated[int, Env("MAX_RERANK_DOCUMENTS")] = Field(
        1000, ge=1, description="Most documents of one rerank request"
    )
    max_inputs: Annotated[int, Env("MAX_EMBEDDING_INPUTS")] = Field(
        2048, ge=1, description="Most texts of one embedding request"
    )


class CacheSettings(Group):
    """How answers are kept."""

    enabled: Annotated[bool, Env("ENABLE_CACHE")] = Field(True, description="Enable response caching")
    max_size: Annotated[int, Env("CACHE_MAX_SIZE")] = Field(1000, ge=1, description="Maximum cache entries")
    ttl: Annotated[float, Env("CACHE_TTL_SECONDS")] = Field(3600, gt=0, description="Cache time-to-live (seconds)")
    persist: Annotated[bool, Env("CACHE_PERSIST_TO_DISK")] = Field(False, description="Persist cache to disk")
    max_mb: Annotated[float, Env("CACHE_MAX_MB")] = Field(256, gt=0, description="Most memory for answers (MiB)")
    path: Annotated[Path, Env("CACHE_PATH")] = Field(
        Path(".llmservice-cache.db"), description="SQLite file of a persisted cache"
    )


class TierSettings(Group):
    """One tier's model and how it is run."""

    model_path: Annotated[Path | None, Env("MODEL_PATH")] = Field(
        None, description="Model file (GGUF, ONNX) or directory (MLX, ONNX); none for no such tier"
    )
    model_name: Annotated[str, Env("MODEL_NAME")] = Field("", description="Name for clients; the path's by default")
    backend: Annotated[BackendName, Env("BACKEND"), BeforeValidator(_lower)] = Field(
        "auto", description="llamacpp, mlx, onnx, or auto for what the files are"
    )
    n_ctx: Annotated[int | None, Env("N_CTX", shared=True)] = Field(
        None, ge=16, description="Context window of one request (tokens); the model's own, at most 8192, by default"
    )
    n_batch: Annotated[int, Env("N_BATCH", shared=True)] = Field(512, ge=1, description="Batch size (llamacpp only)")
    n_threads: Annotated[int | None, Env("N_THREADS", shared=True)] = Field(
        None, ge=1, description="CPU threads; unset: as many as there are cores, at most 8, one fewer for llama.cpp"
    )
    n_gpu_layers: Annotated[int, Env("N_GPU_LAYERS", shared=True)] = Field(
        -1, ge=-1, description="GPU layers (-1 for all)"
    )
    temperature: Annotated[float, Env("TEMPERATURE")] = Field(0.7, ge=0, le=2, description="Default temperature")
    top_p: Annotated[float, Env("TOP_P")] = Field(0.95, ge=0, le=1, description="Default top-p")
    top_k: Annotated[int, Env("TOP_K")] = Field(40, ge=1, description="Default top-k")
    max_tokens: Annotated[int, Env("MAX_TOKENS")] = Field(1000, ge=1, description="Default max tokens")
    repeat_penalty: Annotated[float, Env("REPEAT_PENALTY")] = Field(
        1.1, gt=0, le=2, description="Repetition penalty; 1 for none"
    )
    use_mmap: Annotated[bool, Env("USE_MMAP", shared=True)] = Field(True, description="Memory mapping")
    use_mlock: Annotated[bool, Env("USE_MLOCK", shared=True)] = Field(False, description="Lock in memory")
    embedding_mode: Annotated[bool, Env("EMBEDDING_MODE")] = Field(
        False, description="Serve embeddings from this tier; EMBEDDING always does"
    )
    embedding_dimension: Annotated[int | None, Env("EMBEDDING_DIMENSION")] = Field(
        None, ge=1, description="Embedding dimensions where a request names none; the model's own by default"
    )
    slots: Annotated[int, Env("SLOTS")] = Field(4, ge=1, le=256, description="Requests worked on at once")
    queue_size: Annotated[int, Env("QUEUE_SIZE")] = Field(
        64, ge=0, description="Requests that may wait for a slot; more are refused with 429"
    )
    idle_timeout: Annotated[float, Env("IDLE_TIMEOUT", shared=True)] = Field(
        300, ge=0, description="Unload the model after so much idle time (seconds); 0 for never"
    )
    load_timeout: Annotated[float, Env("LOAD_TIMEOUT", shared=True)] = Field(
        300, gt=0, description="Longest time for loading the model (seconds)"
    )
    options: Annotated[Mapping[str, Any], Env("OPTIONS"), BeforeValidator(_object)] = Field(
        {}, description="What only one backend knows, as a JSON object"
    )


class Settings(BaseModel):
    """All settings, with the tiers that have a model."""

    model_config = ConfigDict(frozen=True)

    server: ServerSettings
    cache: CacheSettings
    tiers: Mapping[Tier, TierSettings]

    def names(self) -> dict[Tier, str]:
        """Return the configured models' names by tier."""
        return {tier: settings.model_name for tier, settings in self.tiers.items()}


def kind_of(tier: Tier, settings: TierSettings) -> ModelKind:
    """Return what a tier's model is asked for."""
    if tier is Tier.RERANKER:
        return "rerank"
    return "embedding" if tier is Tier.EMBEDDING or settings.embedding_mode else "chat"


def declared(group: type[Group]) -> Iterator[tuple[str, Env, Any]]:
    """Yield field name, variable and pydantic's description of every setting of a group."""
    for field, info in group.model_fields.items():
        for mark in info.metadata:
            if isinstance(mark, Env):
                yield field, mark, info


def read_settings(environ: Mapping[str, str], dotenv: Mapping[str, str], overrides: Mapping[str, str]) -> Settings:
    """Return the settings: overrides (the command line) before the environment before `.env`.

    Blank values count as not set. Without a tier, the bundled MiniLM serves EMBEDDING.

    Raises:
        ConfigurationError: values that cannot be used, each with its variable and the mend.
    """
    values = {**_filled(dotenv), **_filled(environ), **_filled(overrides)}
    problems: list[str] = []
    server = _read_group(ServerSettings, values, "", problems)
    cache = _read_group(CacheSettings, values, "", problems)
    tiers: dict[Tier, TierSettings] = {}
    for tier in Tier:
        settings = _read_group(TierSettings, values, tier.prefix, problems)
        if settings is not None and settings.model_path is not None:
            tiers[tier] = _named(settings)
    if problems or server is None or cache is None:
        raise ConfigurationError("\n".join(problems))
    if not tiers:
        tiers = {Tier.EMBEDDING: bundled_embedder()}
    return Settings(server=server, cache=cache, tiers=tiers)


def variables() -> set[str]:
    """Return the names of all variables that the service reads."""
    names = {env.name for group in (ServerSettings, CacheSettings) for _, env, _ in declared(group)}
    for _, env, _ in declared(TierSettings):
        names |= {tier.prefix + env.name for tier in Tier} | ({env.name} if env.shared else set())
    return names


def unknown_variables(values: Mapping[str, str]) -> list[str]:
    """Return variables of a `.env` file that begin like a tier's and mean nothing: misspelled ones."""
    known = variables()
    return [name for name in values if name.startswith(tuple(tier.prefix for tier in Tier)) and name not in known]


def bundled_embedder() -> TierSettings:
    """Return the tier that the shipped MiniLM serves."""
    from minilm_int8 import MAX_PIECES, files

    values = {
        "model_path": Path(str(files().model)).parent,
        "model_name": "all-MiniLM-L6-v2-int8",
        "backend": "onnx",
        "slots": 2,
        "n_ctx": MAX_PIECES,
    }
    return TierSettings.model_validate(values)


def _filled(values: Mapping[str, str]) -> dict[str, str]:
    return {name: value.strip() for name, value in values.items() if value.strip()}


def _named(settings: TierSettings) -> TierSettings:
    path = settings.model_path
    if settings.model_name or path is None:
        return settings
    name = path.name.removesuffix(".gguf").removesuffix(".onnx")
    return settings.model_copy(update={"model_name": name or str(path)})


def _read_group(group: type[AnyGroup], values: Mapping[str, str], prefix: str, problems: list[str]) -> AnyGroup | None:
    found: dict[str, str] = {}
    variables: dict[str, str] = {}
    for field, env, _ in declared(group):
        for name in (prefix + env.name, env.name) if env.shared else (prefix + env.name,):
            if name in values:
                found[field] = values[name]
                variables[field] = name
                break
    try:
        return group.model_validate(found)
    except ValidationError as error:
        for item in error.errors(include_input=False, include_url=False):
            field = str(item["loc"][0])
            message = item["msg"].removeprefix("Value error, ").replace("Input should", "should")
            problem = f"{variables.get(field, field)}: the value {message}; correct it or remove the variable"
            if problem not in problems:
                problems.append(problem)
        return None
