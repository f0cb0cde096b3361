"""`lightrag doctor`: what is configured, what answers, and what to do about what does not."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import platform
import shutil
import sys
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from lightrag.cli.running import FAILED, OK, Where, console
from lightrag.errors import LightRAGError, StorageMismatch
from lightrag.types import DocStatus

if TYPE_CHECKING:
    from lightrag.engine import Engine
    from lightrag.engine_models import Models
    from lightrag.engine_parts import EngineInfo
    from lightrag.llm.contracts import RerankModel, Role
    from lightrag.settings import Settings

Level = Literal["ok", "note", "broken"]
LOW_DISK_BYTES = 1024**3
PROBE_SECONDS = 60


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    level: Level
    subject: str
    detail: str
    mend: str = ""
    """What to do; empty where nothing has to be done."""


async def doctor(where: Where, *, as_json: bool) -> int:
    """Look at everything and print it; exit status 1 where something is broken."""
    checks = _server_checks(where) if where.url else _local_checks(where.settings())
    findings = [finding async for finding in checks]
    if as_json:
        sys.stdout.write(json.dumps([dataclasses.asdict(item) for item in findings], ensure_ascii=False) + "\n")
    else:
        _print(findings)
    return FAILED if any(item.level == "broken" for item in findings) else OK


async def _server_checks(where: Where) -> AsyncIterator[Finding]:
    from lightrag.cli.remote import ServerTarget

    assert where.url is not None
    key = where.api_key or _secret(where.settings())
    async with ServerTarget(where.url, key) as server:
        started = time.perf_counter()
        try:
            health = await server.health()
            milliseconds = 1000 * (time.perf_counter() - started)
            yield Finding("ok", "server", f"{where.url} answers in {milliseconds:.0f} ms, {_server_name(health)}")
            await server.work()
        except LightRAGError as error:
            yield Finding("broken", "server", str(error), "Check the address, the server's log, and the key.")
            return
    configuration = health.get("configuration", {})
    for kind in ("llm", "embedding"):
        model = f"{configuration.get(f'{kind}_binding')}/{configuration.get(f'{kind}_model')}"
        yield Finding("ok", kind, f"{model} at {configuration.get(f'{kind}_binding_host') or 'this server'}")
    yield Finding("note", "models", "whether they answer is seen where the server runs", "There: lightrag doctor")


async def _local_checks(settings: Settings) -> AsyncIterator[Finding]:
    yield Finding("ok", "version", f"lightrag-server {version('lightrag-server')}, Python {platform.python_version()}")
    changed = [line for line in settings.describe() if line.origin != "default"]
    for line in changed:
        yield Finding("ok", "setting", f"{line.group}.{line.name} = {line.value} ({line.origin})")
    if not changed:
        yield Finding("ok", "settings", "all are at their defaults")
    for warning in settings.warnings:
        yield Finding("note", "settings", warning, "Correct or remove it.")
    folders = {"working folder": settings.paths.working_dir, "input folder": settings.paths.input_dir}
    usable = True
    for name, folder in folders.items():
        finding = await asyncio.to_thread(_folder, name, folder)
        usable &= finding.level != "broken"
        yield finding
    if usable:
        async for finding in _workspace_checks(settings):
            yield finding


def _folder(name: str, folder: Path) -> Finding:
    mend = "Make it writable for this user, or choose another folder (--working-dir, --input-dir)."
    probe = folder / f".doctor-{uuid.uuid4().hex}"
    try:
        # A folder that does not exist is not made: only looked at where it would be made.
        existing = next(path for path in (folder, *folder.parents) if path.exists())
        if existing == folder:
            probe.write_bytes(b"")
            probe.unlink()
        elif not existing.is_dir() or not os.access(existing, os.W_OK):
            return Finding("broken", name, f"{folder} cannot be made in {existing}", mend)
        free = shutil.disk_usage(existing).free
    except OSError as error:
        return Finding("broken", name, f"{folder} cannot be written to: {error.strerror or error}", mend)
    state = "writable" if existing == folder else "made at the first use"
    if free < LOW_DISK_BYTES:
        return Finding("note", name, f"{folder}: {state}, only {free / 1e6:.0f} MB free", "Free some disk space.")
    return Finding("ok", name, f"{folder}: {state}, {free / 1e9:.0f} GB free")


async def _workspace_checks(settings: Settings) -> AsyncIterator[Finding]:
    from lightrag.assembly import open_engine

    try:
        engine = await open_engine(settings)
    except LightRAGError as error:
        yield Finding("broken", "storage", str(error), "See docs/operations.md, or restore a backup.")
        return
    try:
        async for finding in _storage_checks(engine):
            yield finding
        info = engine.describe()
    finally:
        await engine.close()
    yield Finding("ok", "extraction", info.extractor)
    async for finding in _model_checks(settings, info):
        yield finding


async def _storage_checks(engine: Engine) -> AsyncIterator[Finding]:
    try:
        await engine.open()
        await engine.ready()
        counts = await engine.status_counts()
        found = await engine.verify()
    except StorageMismatch as error:
        yield Finding("broken", "storage", str(error), "Configure the former model, or: lightrag repair --re-embed")
        return
    except LightRAGError as error:
        yield Finding("broken", "storage", str(error), "See docs/operations.md, or restore a backup.")
        return
    name = engine.workspace or "default"
    documents = ", ".join(f"{count} {status.value}" for status, count in counts.items() if count) or "no documents"
    yield Finding("ok", "storage", f"{engine.describe().storage_family}, workspace '{name}': {documents}")
    if failed := counts[DocStatus.FAILED]:
        yield Finding("note", "documents", f"{failed} failed", "Try them again with: lightrag retry")
    size = f"{found.chunks} chunks, {found.entities} entities, {found.relations} relations, {found.vectors} vectors"
    if found.ok:
        yield Finding("ok", "integrity", f"{size}: everything agrees")
    else:
        first = found.problems[0] if found.problems else ""
        yield Finding("broken", "integrity", f"{found.problem_count} problems, such as: {first}", "lightrag repair")


async def _model_checks(settings: Settings, info: EngineInfo) -> AsyncIterator[Finding]:
    from lightrag.indexing.manifest import Manifest
    from lightrag.llm.retry import RetryPolicy
    from lightrag.model_assembly import open_models
    from lightrag.storage.memory import MemoryStorage

    facts = info.embedding
    # A store of its own: what is asked here is not to be found in the workspace's cache, nor added to it.
    models = await open_models(
        settings,
        MemoryStorage(info.workspace),
        Manifest(facts.label, info.storage_family),
        RetryPolicy(attempts=1),
    )
    try:
        yield await _embedding_check(models)
        roles = _roles_by_model(models)
        if not roles:
            yield Finding(
                "note",
                "language model",
                "none: entities are found without a model, answers quote the documents",
                "For written answers set LLM_BINDING, LLM_BINDING_HOST and LLM_MODEL. See docs/configuration.md",
            )
        for names in roles.values():
            yield await _chat_check(models, names)
        if models.reranker is not None:
            yield await _rerank_check(models.reranker)
    finally:
        await models.aclose()


async def _embedding_check(models: Models) -> Finding:
    facts = models.embedding.facts
    name = f"{facts.label}{f' at {facts.host}' if facts.host else ''}"
    started = time.perf_counter()
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            vectors = await models.embedding.embed(["Does this model answer?"], purpose="query")
    except (LightRAGError, TimeoutError) as error:
        return Finding("broken", "embedding", f"{name}: {_reason(error)}", "Check EMBEDDING_* and the model server.")
    milliseconds = 1000 * (time.perf_counter() - started)
    return Finding("ok", "embedding", f"{name}: {vectors.shape[1]} dimensions, {milliseconds:.0f} ms")


async def _rerank_check(reranker: RerankModel) -> Finding:
    started = time.perf_counter()
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            await reranker.rerank("Does this model answer?", ["It does.", "Bread is baked from flour."], 1)
    except (LightRAGError, TimeoutError) as error:
        detail = f"{reranker.facts.label}: {_reason(error)}"
        return Finding("broken", "reranking", detail, "Check RERANK_*, or try: lightrag probe rerank")
    milliseconds = 1000 * (time.perf_counter() - started)
    return Finding("ok", "reranking", f"{reranker.facts.label}: {milliseconds:.0f} ms")


def _roles_by_model(models: Models) -> dict[str, list[Role]]:
    roles: dict[str, list[Role]] = {}
    for role, chat in models.chat.items():
        roles.setdefault(chat.facts.identity, []).append(role)
    return roles


async def _chat_check(models: Models, roles: list[Role]) -> Finding:
    from lightrag.llm.contracts import ChatRequest, Message

    chat = models.chat[roles[0]]
    subject = "language model"
    shared = "" if len(roles) == len(models.chat) else f"{', '.join(roles)}: "
    name = f"{shared}{chat.facts.label} at {chat.facts.host}"
    started = time.perf_counter()
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            reply = await chat.complete(ChatRequest((Message("user", "Answer with the word yes."),), roles[0]))
    except (LightRAGError, TimeoutError) as error:
        return Finding("broken", subject, f"{name}: {_reason(error)}", "Check LLM_* and the model server.")
    seconds = time.perf_counter() - started
    return Finding("ok", subject, f"{name}: answered {len(reply.text)} characters in {seconds:.2f} s")


def _reason(error: BaseException) -> str:
    return f"no answer within {PROBE_SECONDS} s" if isinstance(error, TimeoutError) else str(error)


def _server_name(health: Mapping[str, object]) -> str:
    return f"version {health.get('core_version')}, {health.get('status')}"


def _secret(settings: Settings) -> str | None:
    key = settings.server.api_key
    return key.get_secret_value() if key else None


def _print(findings: list[Finding]) -> None:
    from rich.table import Table
    from rich.text import Text

    marks = {"ok": ("ok", "green"), "note": ("note", "yellow"), "broken": ("BROKEN", "bold red")}
    table = Table(show_header=False, box=None, pad_edge=False)
    for item in findings:
        word, style = marks[item.level]
        table.add_row(Text(word, style), Text(item.subject), Text(item.detail, overflow="fold"))
        if item.mend:
            table.add_row("", "", Text(f"→ {item.mend}", style))
    out = console()
    out.print(table)
    broken = sum(item.level == "broken" for item in findings)
    out.print("nothing is broken" if not broken else f"{broken} broken", markup=False)
