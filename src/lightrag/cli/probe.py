"""`lightrag probe`: what a model server can do, and which settings suit it."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from lightrag.cli.running import FAILED, OK, console
from lightrag.errors import InvalidInput

if TYPE_CHECKING:
    from lightrag.llm.endpoint_probe import EndpointReport
    from lightrag.settings import Settings

Kind = Literal["chat", "embedding", "rerank"]
KINDS: tuple[Kind, ...] = ("chat", "embedding", "rerank")

_VARIABLES: Mapping[Kind, tuple[str, str, str, str]] = {
    "chat": ("LLM_BINDING", "LLM_BINDING_HOST", "LLM_BINDING_API_KEY", "LLM_MODEL"),
    "embedding": ("EMBEDDING_BINDING", "EMBEDDING_BINDING_HOST", "EMBEDDING_BINDING_API_KEY", "EMBEDDING_MODEL"),
    "rerank": ("RERANK_BINDING", "RERANK_BINDING_HOST", "RERANK_BINDING_API_KEY", "RERANK_MODEL"),
}
_USUAL: Mapping[Kind, str] = {"chat": "openai", "embedding": "openai", "rerank": "auto"}
"""The binding of a server that is given by its address alone."""


@dataclasses.dataclass(frozen=True, slots=True)
class Endpoint:
    """What was said of the server on the command line; what was not is as the settings have it."""

    binding: str | None = None
    host: str | None = None
    api_key: str | None = None
    model: str | None = None

    def settings(self, kind: Kind) -> Settings:
        """Return the settings with this server in the place of the configured one.

        A server that is given by its address gets no key but the one that is given with it.
        """
        from lightrag.settings import VendorSettings, load_settings
        from lightrag.settings.options import declared
        from lightrag.settings.sources import read_dotenv

        given = (self.binding, self.host, self.api_key, self.model)
        if not any(given):
            return load_settings(None, os.environ, Path.cwd())
        names = _VARIABLES[kind]
        dropped = {"LLM_BACKENDS", "EMBEDDING_BACKENDS"}
        said = dict(zip(names, given, strict=True))
        if self.host is not None or self.binding is not None:
            dropped |= set(names)
            said[names[0]] = self.binding or _USUAL[kind]
        if self.host is not None:
            dropped |= {name for item in declared(VendorSettings) for name in item.option.env}
        environ = {**read_dotenv(Path.cwd() / ".env"), **os.environ}
        kept = {name: value for name, value in environ.items() if name not in dropped}
        return load_settings(None, kept | {name: value for name, value in said.items() if value}, Path(os.devnull))


async def probe(kind: Kind | None, endpoint: Endpoint, *, most_context: int, as_json: bool) -> int:
    """Probe the named or the configured servers and print what was found; exit status 1 where one is not usable."""
    if kind is None and any(dataclasses.astuple(endpoint)):
        raise InvalidInput("say which kind of model the server has: chat, embedding or rerank")
    reports = [
        report
        for wanted in ((kind,) if kind else KINDS)
        async for report in _reports(wanted, endpoint.settings(wanted), most_context)
    ]
    if kind is not None and not reports:
        raise InvalidInput(f"no {kind} model is configured; name one with --host and --model, or in the settings")
    if as_json:
        sys.stdout.write(json.dumps([dataclasses.asdict(report) for report in reports], ensure_ascii=False) + "\n")
    else:
        _print(reports)
    return OK if all(report.is_usable for report in reports) else FAILED


async def _reports(kind: Kind, settings: Settings, most_context: int) -> AsyncIterator[EndpointReport]:
    """Yield a report for each model of a kind, with several backends for each of them."""
    from lightrag.llm.endpoint_probe import PROBE_SECONDS
    from lightrag.llm.endpoint_probe_chat import probe_chat_endpoint
    from lightrag.llm.endpoint_probe_retrieval import probe_embedding_endpoint, probe_rerank_endpoint

    if kind == "chat":
        chats = [backend.chat for backend in settings.llm.backends] or [settings.llm]
        for chat in chats:
            if chat.binding not in (None, "embedded"):
                yield await probe_chat_endpoint(
                    chat, settings.vendors, seconds=PROBE_SECONDS, most_context=most_context
                )
    elif kind == "embedding":
        embeddings = [backend.embedding for backend in settings.embedding.backends] or [settings.embedding]
        for embedding in embeddings:
            if embedding.binding not in (None, "embedded"):
                yield await probe_embedding_endpoint(embedding, settings.vendors, seconds=PROBE_SECONDS)
    elif settings.rerank.binding is not None:
        yield await probe_rerank_endpoint(settings.rerank, seconds=PROBE_SECONDS)


def _print(reports: list[EndpointReport]) -> None:
    from rich.table import Table
    from rich.text import Text

    marks = {"ok": ("ok", "green"), "note": ("note", "yellow"), "broken": ("BROKEN", "bold red")}
    out = console()
    if not reports:
        out.print("no model server is configured: give one with --host, or set LLM_BINDING", markup=False)
    for report in reports:
        out.print(Text(f"{report.kind}: {report.name}", "bold"))
        table = Table(show_header=False, box=None, pad_edge=False)
        for check in report.checks:
            word, style = marks[check.level]
            table.add_row(Text(word, style), Text(check.subject), Text(check.detail, overflow="fold"))
        out.print(table)
        if report.settings:
            out.print("settings to use:", markup=False)
            for name, value in report.settings.items():
                out.print(f"  {name}={value}", markup=False, highlight=False)
        out.print()
