"""Build the settings from every place where a user may have set them."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import Field, SecretStr, ValidationError
from pydantic_core import ErrorDetails

from lightrag.errors import ConfigurationError
from lightrag.settings.auth import AuthSettings, auth_problems, strict_whitelist
from lightrag.settings.backends import BackendOptions
from lightrag.settings.commandline import SERVER, option_name, read_command_line
from lightrag.settings.dialects import DIALECTS, parse_dialect_value
from lightrag.settings.groups import (
    IndexingSettings,
    ParsingSettings,
    PathSettings,
    QuerySettings,
    ServerSettings,
    StorageSettings,
)
from lightrag.settings.ignored import DEPLOYMENT, reason_to_ignore, unheeded_options, unheeded_variables
from lightrag.settings.models import (
    ChatModelOptions,
    EmbeddingOptions,
    EmbeddingSettings,
    LlmSettings,
)
from lightrag.settings.options import Declared, Group, Option, declared
from lightrag.settings.rerank import RerankSettings, resolve_rerank
from lightrag.settings.resolve import resolve_embedding, resolve_llm
from lightrag.settings.resolve_one import ModelContext
from lightrag.settings.sources import Found, Sources, read_dotenv, read_ini
from lightrag.settings.tenancy import TenancySettings
from lightrag.settings.vendors import VendorSettings

_GROUPS: Mapping[str, tuple[str, type[Group]]] = {
    "server": ("server", ServerSettings),
    "auth": ("logins", AuthSettings),
    "paths": ("folders", PathSettings),
    "llm": ("language model", ChatModelOptions),
    "embedding": ("embedding model", EmbeddingOptions),
    "rerank": ("reranking", RerankSettings),
    "vendors": ("accounts of vendors", VendorSettings),
    "storage": ("storage", StorageSettings),
    "indexing": ("indexing", IndexingSettings),
    "query": ("questions", QuerySettings),
    "parsing": ("reading of files", ParsingSettings),
    "tenancy": ("workspaces as tenants", TenancySettings),
}
_ROLES: Mapping[str, str] = {"extract": "EXTRACT_", "keyword": "KEYWORD_", "query": "QUERY_"}
_OUR_PREFIXES = (
    *("LIGHTRAG_", "AUTH_", "LLM_", "EMBEDDING_", "RERANK_", "SUMMARY_", "EXTRACT_LLM_", "KEYWORD_LLM_", "QUERY_LLM_"),
    *DIALECTS,
)
"""A variable that begins so is meant for this program, wherever it is set."""

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
    auth: AuthSettings
    paths: PathSettings
    llm: LlmSettings
    embedding: EmbeddingSettings
    rerank: RerankSettings
    vendors: VendorSettings
    storage: StorageSettings
    indexing: IndexingSettings
    query: QuerySettings
    parsing: ParsingSettings
    tenancy: TenancySettings
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
    argv: Sequence[str] | None = None,
    environ: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    *,
    program: str = SERVER,
) -> Settings:
    """Read the settings: command line > environment > `.env` > `config.ini` (storages) > defaults.

    `argv` is the command line without the program's name; None for a program with another command line.
    `environ` is usually `os.environ`. `.env` and `config.ini` are looked for in `cwd`, relative folders are
    below it; `program` is the name that the help shows. Raises `ConfigurationError` naming every value that cannot be
    used.
    """
    environ = {} if environ is None else environ
    cwd = Path.cwd() if cwd is None else cwd
    titles = {title: list(declared(group)) for title, group in _GROUPS.values()}
    sources = Sources(
        command_line={} if argv is None else read_command_line(argv, titles, program),
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
        groups["paths"] = self._absolute(groups["paths"], groups["tenancy"])
        groups["server"] = self._guarded(groups["server"], groups["auth"])
        groups["storage"] = self._storages(groups["storage"])
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
            for problem in _without_alternatives(error.errors(include_url=False)):
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
                variable = prefix + option.name.upper()
                value = self._sources.find(Option((variable,), option_name(prefix, option.name)))
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
        server, indexing, auth = groups["server"], groups["indexing"], groups["auth"]
        assert isinstance(server, ServerSettings)
        assert isinstance(auth, AuthSettings)
        assert isinstance(indexing, IndexingSettings)
        if indexing.chunk_overlap >= indexing.chunk_size:
            self._problems.append(
                f"CHUNK_OVERLAP_SIZE ({indexing.chunk_overlap}) must be less than CHUNK_SIZE ({indexing.chunk_size})"
            )
        self._problems.extend(auth_problems(auth, server))
        if server.ssl:
            files = {"--ssl-certfile": server.ssl_certfile, "--ssl-keyfile": server.ssl_keyfile}
            for name, path in files.items():
                if path is None:
                    self._problems.append(f"{name} is needed with --ssl: name the file")
                elif not (self._cwd / path).is_file():
                    self._problems.append(f"{name}: there is no file {path}")

    def _guarded(self, server: Group, auth: Group) -> Group:
        assert isinstance(server, ServerSettings)
        assert isinstance(auth, AuthSettings)
        open_paths = strict_whitelist(auth, server, is_given="server.whitelist_paths" in self._origins)
        return server.model_copy(update={"whitelist_paths": tuple(open_paths)})

    def _absolute(self, paths: Group, tenancy: Group) -> PathSettings:
        assert isinstance(paths, PathSettings)
        assert isinstance(tenancy, TenancySettings)
        workspace = paths.workspace if tenancy.default_workspace is None else tenancy.default_workspace
        return PathSettings(
            working_dir=(self._cwd / paths.working_dir.expanduser()).absolute(),
            input_dir=(self._cwd / paths.input_dir.expanduser()).absolute(),
            workspace=workspace,
        )

    def _storages(self, storage: Group) -> Group:
        """Leave open which storages go with those that were named: the family of the latter decides."""
        named = {field for field in type(storage).model_fields if f"storage.{field}" in self._origins}
        if not named:
            return storage
        return storage.model_copy(update={field: "" for field in type(storage).model_fields if field not in named})

    def _warnings(self) -> Iterator[str]:
        known = {*_known_variables(), *DEPLOYMENT}
        yield from unheeded_options(self._sources.command_line)
        for variables, place in ((self._sources.environ, "environment"), (self._sources.dotenv, ".env")):
            unknown = [name for name in sorted(variables) if name not in known and variables[name].strip()]
            yield from unheeded_variables(unknown, place)
            for name in unknown:
                near = _nearest(name, known)
                # The file is written for this program; in the environment, names without our prefixes are anybody's.
                is_ours = name.startswith(_OUR_PREFIXES) or (place == ".env" and near is not None)
                if is_ours and reason_to_ignore(name) is None:
                    yield f"{name} ({place}) is not known{f'; did you mean {near}?' if near else ''}"
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


def _nearest(name: str, known: set[str]) -> str | None:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.8)
    return near[0] if near else None


def _without_alternatives(problems: Sequence[ErrorDetails]) -> list[ErrorDetails]:
    """Return problems with those about one field that takes several sets of words made one."""
    words: dict[int | str, ErrorDetails] = {}
    kept: list[ErrorDetails] = []
    for problem in problems:
        field = problem["loc"][0]
        if problem["type"] != "literal_error":
            kept.append(problem)
        elif field in words:
            words[field]["msg"] += f", or else {problem['ctx']['expected']}"
        else:
            words[field] = {**problem, "loc": (field,)}
            kept.append(words[field])
    return kept


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
