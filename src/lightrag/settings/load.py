"""Build the settings from every place where a user may have set them."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import Field, SecretStr, ValidationError

from lightrag.errors import ConfigurationError
from lightrag.settings.backends import BackendOptions
from lightrag.settings.commandline import read_command_line
from lightrag.settings.dialects import DIALECTS, parse_dialect_value
from lightrag.settings.groups import (
    IndexingSettings,
    ParsingSettings,
    PathSettings,
    QuerySettings,
    ServerSettings,
    StorageSettings,
)
from lightrag.settings.models import (
    ChatModelOptions,
    EmbeddingOptions,
    EmbeddingSettings,
    LlmSettings,
)
from lightrag.settings.options import Declared, Group, declared
from lightrag.settings.rerank import RerankSettings, resolve_rerank
from lightrag.settings.resolve import resolve_embedding, resolve_llm
from lightrag.settings.resolve_one import ModelContext
from lightrag.settings.sources import Found, Sources, read_dotenv, read_ini
from lightrag.settings.vendors import VendorSettings

_GROUPS: Mapping[str, tuple[str, type[Group]]] = {
    "server": ("server", ServerSettings),
    "paths": ("folders", PathSettings),
    "llm": ("language model", ChatModelOptions),
    "embedding": ("embedding model", EmbeddingOptions),
    "rerank": ("reranking", RerankSettings),
    "vendors": ("accounts of vendors", VendorSettings),
    "storage": ("storage", StorageSettings),
    "indexing": ("indexing", IndexingSettings),
    "query": ("questions", QuerySettings),
    "parsing": ("reading of files", ParsingSettings),
}
_ROLES: Mapping[str, str] = {"extract": "EXTRACT_", "keyword": "KEYWORD_", "query": "QUERY_"}
WITHOUT_EFFECT = frozenset(
    {
        "DOCUMENT_LOADING_ENGINE",
        "EMBEDDING_TOKEN_LIMIT",
        "KG_CHUNK_PICK_METHOD",
        "MAX_EMBED_TOKENS",
        "MAX_FILE_PATHS",
        "MAX_SOURCE_IDS_PER_ENTITY",
        "MAX_SOURCE_IDS_PER_RELATION",
        "MAX_TOKEN_ENTITY_DESC",
        "MAX_TOKEN_RELATION_DESC",
        "MAX_TOKEN_SUMMARY",
        "MAX_TOKEN_TEXT_CHUNK",
        "RELATED_CHUNK_NUMBER",
        "SOURCE_IDS_LIMIT_METHOD",
    }
)
"""Variables of LightRAG whose subject does not exist here; who sets one is told."""
_OUR_PREFIXES = ("LIGHTRAG_", "LLM_", "EMBEDDING_", "RERANK_", *DIALECTS)

G = TypeVar("G", bound=Group)
Options = TypeVar("Options", ChatModelOptions, EmbeddingOptions)


@dataclasses.dataclass(frozen=True, slots=True)
class SettingLine:
    """One setting for display: secrets are masked."""

    group: str
    name: str
    value: str
    origin: str
    """The place and name that set it (`environment PORT`), or `default`."""
    variables: tuple[str, ...] = ()
    """Environment variables that set it."""


class Settings(Group):
    """Everything that can be configured, typed and checked."""

    server: ServerSettings
    paths: PathSettings
    llm: LlmSettings
    embedding: EmbeddingSettings
    rerank: RerankSettings
    vendors: VendorSettings
    storage: StorageSettings
    indexing: IndexingSettings
    query: QuerySettings
    parsing: ParsingSettings
    warnings: tuple[str, ...] = ()
    """What looks like a mistake but does not prevent a start."""
    origins: dict[str, str] = Field(default_factory=dict)
    """`group.field` → the place and name that set it; defaults are absent."""

    def describe(self) -> list[SettingLine]:
        """Return every setting with its value and where it came from."""
        return [line for group in _GROUPS for line in self._describe_group(group)]

    def _describe_group(self, group: str) -> Iterator[SettingLine]:
        values: Group = getattr(self, group)
        variables = {item.field: item.option.env for item in declared(_GROUPS[group][1])}
        for field in type(values).model_fields:
            value = getattr(values, field)
            if isinstance(value, Group):
                yield from self._describe_role(group, field, value)
                continue
            key = f"{group}.{field}"
            yield SettingLine(group, field, _shown(value), self.origins.get(key, "default"), variables.get(field, ()))

    def _describe_role(self, group: str, role: str, values: Group) -> Iterator[SettingLine]:
        for field in type(values).model_fields:
            origin = self.origins.get(f"{group}.{role}.{field}")
            if origin:
                yield SettingLine(group, f"{role}.{field}", _shown(getattr(values, field)), origin)


def load_settings(
    argv: Sequence[str] | None = None, environ: Mapping[str, str] | None = None, cwd: Path | None = None
) -> Settings:
    """Read the settings: command line > environment > `.env` > `config.ini` (storages) > defaults.

    `argv` is the command line without the program's name; None for a program with another command line.
    `environ` is usually `os.environ`. `.env` and `config.ini` are looked for in `cwd`, relative folders are
    below it. Raises `ConfigurationError` naming every value that cannot be used.
    """
    environ = {} if environ is None else environ
    cwd = Path.cwd() if cwd is None else cwd
    titles = {title: list(declared(group)) for title, group in _GROUPS.values()}
    sources = Sources(
        command_line={} if argv is None else read_command_line(argv, titles),
        environ=environ,
        dotenv=read_dotenv(cwd / ".env"),
        ini=read_ini(cwd / "config.ini"),
    )
    return _Loader(sources, cwd).load()


class _Loader:
    """Reads the groups one by one and gathers what is wrong, so that a user sees all of it at once."""

    def __init__(self, sources: Sources, cwd: Path) -> None:
        self._sources = sources
        self._cwd = cwd
        self._problems: list[str] = []
        self._origins: dict[str, str] = {}

    def load(self) -> Settings:
        groups = {
            name: self._read(name, group) for name, (_, group) in _GROUPS.items() if name not in {"llm", "embedding"}
        }
        chat = self._with_keys(self._read("llm", ChatModelOptions), "LLM_BACKENDS")
        roles = {
            name: self._with_keys(self._read(f"llm.{name}", ChatModelOptions, prefix), f"{prefix}LLM_BACKENDS")
            for name, prefix in _ROLES.items()
        }
        embedding = self._with_keys(self._read("embedding", EmbeddingOptions), "EMBEDDING_BACKENDS")
        vendors, rerank = groups["vendors"], groups["rerank"]
        assert isinstance(vendors, VendorSettings)
        assert isinstance(rerank, RerankSettings)
        groups["rerank"] = resolve_rerank(rerank, vendors)
        context = ModelContext(self._dialects(), vendors)
        self._check_together(groups)
        if self._problems:
            raise ConfigurationError("\n".join(self._problems))
        groups["paths"] = self._absolute(groups["paths"])
        return Settings.model_validate(
            groups
            | {
                "llm": resolve_llm(chat, roles, context),
                "embedding": resolve_embedding(embedding, chat, context),
                "warnings": tuple(self._warnings()),
                "origins": self._origins,
            }
        )

    def _read(self, name: str, group: type[G], role: str = "") -> G:
        found: dict[str, tuple[Declared, Found]] = {}
        for item in declared(group, role):
            value = self._sources.find(item.option)
            if value is not None:
                found[item.field] = (item, value)
                self._origins[f"{name}.{item.field}"] = f"{value.place} {value.name}"
        try:
            return group.model_validate({field: value.text for field, (_, value) in found.items()})
        except ValidationError as error:
            for problem in error.errors(include_url=False):
                item, value = found[str(problem["loc"][0])]
                where = "".join(f"entry {at + 1}: " if isinstance(at, int) else f"{at}: " for at in problem["loc"][1:])
                self._problems.append(_problem(value, item.is_secret, where + problem["msg"]))
            return group()

    def _with_keys(self, said: Options, variable: str) -> Options:
        """Return options whose backends have the keys that their `api_key_env` names."""
        backends = [self._with_key(backend, f"{variable}, entry {n}") for n, backend in enumerate(said.backends, 1)]
        return said.model_copy(update={"backends": tuple(backends)}) if backends else said

    def _with_key(self, backend: BackendOptions, where: str) -> BackendOptions:
        if backend.api_key_env is None or backend.api_key is not None:
            return backend
        key = self._sources.variable(backend.api_key_env)
        if key is None:
            self._problems.append(f"{where}: the variable {backend.api_key_env} that should hold the key is not set")
            return backend
        return backend.model_copy(update={"api_key": SecretStr(key.text)})

    def _dialects(self) -> dict[str, dict[str, Any]]:
        dialects: dict[str, dict[str, Any]] = {}
        for prefix, options in DIALECTS.items():
            for option in options:
                value = self._sources.variable(prefix + option.name.upper())
                if value is None:
                    continue
                try:
                    dialects.setdefault(prefix, {})[option.name] = parse_dialect_value(option.kind, value.text)
                except ValueError as error:
                    self._problems.append(_problem(value, False, str(error)))
                group = "embedding" if "EMBEDDING" in prefix else "llm"
                self._origins[f"{group}.options"] = f"{value.place} {prefix}*"
        return dialects

    def _check_together(self, groups: Mapping[str, Group]) -> None:
        server, indexing = groups["server"], groups["indexing"]
        assert isinstance(server, ServerSettings)
        assert isinstance(indexing, IndexingSettings)
        if indexing.chunk_overlap >= indexing.chunk_size:
            self._problems.append(
                f"CHUNK_OVERLAP_SIZE ({indexing.chunk_overlap}) must be less than CHUNK_SIZE ({indexing.chunk_size})"
            )
        if server.ssl:
            files = {"--ssl-certfile": server.ssl_certfile, "--ssl-keyfile": server.ssl_keyfile}
            for name, path in files.items():
                if path is None:
                    self._problems.append(f"{name} is needed with --ssl: name the file")
                elif not (self._cwd / path).is_file():
                    self._problems.append(f"{name}: there is no file {path}")

    def _absolute(self, paths: Group) -> PathSettings:
        assert isinstance(paths, PathSettings)
        return PathSettings(
            working_dir=(self._cwd / paths.working_dir.expanduser()).absolute(),
            input_dir=(self._cwd / paths.input_dir.expanduser()).absolute(),
            workspace=paths.workspace,
        )

    def _warnings(self) -> Iterator[str]:
        known = set(_known_variables())
        for variables, place in ((self._sources.environ, "environment"), (self._sources.dotenv, ".env")):
            for name in sorted(variables):
                if name in WITHOUT_EFFECT and variables[name].strip():
                    yield f"{name} ({place}) has no effect here"
                    continue
                if name.startswith(_OUR_PREFIXES) and name not in known and variables[name].strip():
                    yield f"{name} ({place}) is not known{_did_you_mean(name, known)}"
        known_keys = {item.option.ini for _, group in _GROUPS.values() for item in declared(group)}
        for section, key in sorted(set(self._sources.ini) - {known for known in known_keys if known}):
            yield f"[{section}] {key} in config.ini is not used"


def _known_variables() -> Iterator[str]:
    for _, group in _GROUPS.values():
        for item in declared(group):
            yield from item.option.env
    for prefix in _ROLES.values():
        for item in declared(ChatModelOptions, prefix):
            yield from item.option.env
    for prefix, options in DIALECTS.items():
        yield from (prefix + option.name.upper() for option in options)


def _did_you_mean(name: str, known: set[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.8)
    return f"; did you mean {near[0]}?" if near else ""


def _problem(value: Found, is_secret: bool, message: str) -> str:
    shown = "" if is_secret else f" is {value.text!r}"
    message = message.removeprefix("Value error, ")
    return f"{value.name}{shown} ({value.place}): {message[0].lower()}{message[1:]}"


def _shown(value: object) -> str:
    if isinstance(value, SecretStr):
        return "********"
    if isinstance(value, tuple):
        return ", ".join(str(item) for item in value)
    return "" if value is None else str(value)
