"""Sessions recorded with LightRAG's servers, played to ours: a client of theirs misses nothing.

Every answer must have the recorded status class, content type and shape; what is more is welcome. `DEVIATIONS` is the
whole list of what differs on purpose. Transcripts in the folder named by LIGHTRAG_TRANSCRIPTS are played too.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog

from lightrag.api.app import create_app
from lightrag.assembly import open_engine
from lightrag.engine import Engine
from lightrag.engine_models import Models
from lightrag.indexing.manifest import Manifest
from lightrag.llm.cache import CachedChat
from lightrag.llm.contracts import ChatRequest, Role
from lightrag.llm.meter import UsageMeter
from lightrag.settings import Settings, load_settings
from lightrag.storage.contracts import Namespace, Storage
from lightrag.testing.fake_models import FakeChat, FakeEmbedding

from .recording import REFERENCE, Call, derive, differences, load

RECORDINGS = sorted((Path(__file__).parent / "recordings").glob("*.json"))
if folder := os.environ.get("LIGHTRAG_TRANSCRIPTS"):
    RECORDINGS += sorted(Path(folder).rglob("transcript*.json"))

DEVIATIONS: list[tuple[str, str, str, str]] = [
    # method, path (regular expression), what differs (regular expression), why
    ("POST", "/documents/(file|upload)", "status 400, recorded: 500", "a wrong file type is the client's mistake"),
    ("POST", "/api/chat", "status 400, recorded: 500", "messages that cannot be answered are the client's mistake"),
    ("POST", "/documents/batch", "status 200, recorded: 404", "documented for 1.2 under this name, and served here"),
    ("GET", "/api/ps", "status 200, recorded: 404", "later versions have it"),
    ("POST", "/query", "status 200, recorded: 422", "the mode bypass came with a later version"),
    (
        "POST",
        "/query/stream",
        r'line \{"references"',
        "later versions begin with the references; older clients skip them",
    ),
    ("GET", "/documents", r"\.statuses\.failed is missing", "1.2.6 fails documents that mention a known entity"),
]

EXTRACTED = """entity<|#|>Alice<|#|>person<|#|>Alice is the CEO of Acme.
entity<|#|>Acme<|#|>organization<|#|>Acme makes rockets.
relation<|#|>Alice<|#|>Acme<|#|>leadership<|#|>Alice leads Acme.
<|COMPLETE|>"""
KEYWORDS = '{"high_level_keywords":["Company leadership"],"low_level_keywords":["Alice","Acme"]}'


def answer(request: ChatRequest) -> str:
    """Answer as the models of the recorded servers did."""
    return {Role.EXTRACT: EXTRACTED, Role.KEYWORDS: KEYWORDS}.get(request.role, "Alice leads Acme.")


async def models(settings: Settings, storage: Storage, recorded: Manifest | None) -> Models:
    chat = CachedChat(FakeChat(answer), storage.kv(Namespace.LLM_CACHE))
    return Models(dict.fromkeys(Role, chat), FakeEmbedding(8), None, (), UsageMeter())


class Player:
    """Sends recorded requests to a server of ours, and resolves the ids in them."""

    def __init__(self, client: httpx.AsyncClient, engine: Engine) -> None:
        self._client = client
        self._engine = engine
        self._answers: list[httpx.Response] = []

    async def play(self, call: Call) -> httpx.Response:
        """Send one request; return the answer when everything that it began is done."""
        request: dict[str, Any] = json.loads(await self._resolved(json.dumps(call.request)))
        if "files" in request:
            request["files"] = [(field, (name, content.encode("latin-1"))) for field, name, content in request["files"]]
        got = await self._client.request(call.method, await self._resolved(call.path), **request)
        self._answers.append(got)
        async with asyncio.timeout(60):
            await self._engine.wait_until_idle()
        return got

    async def _resolved(self, text: str) -> str:
        for reference in list(REFERENCE.finditer(text)):
            text = text.replace(reference[0], await self._meaning(reference[1], reference[2]))
        return text

    async def _meaning(self, kind: str, name: str) -> str:
        if kind == "track":
            return str(self._answers[int(name)].json()["track_id"])
        records, _ = await self._engine.list_documents(limit=1000)
        return next(record.id for record in records if record.content_summary.startswith(name))


@asynccontextmanager
async def player(tmp_path: Path) -> AsyncIterator[Player]:
    async def opener(settings: Settings, workspace: str) -> Engine:
        return await open_engine(settings, workspace, models=models)

    app = create_app(load_settings(None, {"COSINE_THRESHOLD": "-1"}, tmp_path), opener)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://server", timeout=60) as client,
    ):
        yield Player(client, app.state.server.engine)


def found_differences(call: Call, got: httpx.Response) -> list[str]:
    """Return what differs from the recording."""
    if got.status_code // 100 != call.status // 100:
        return [f"status {got.status_code}, recorded: {call.status}"]
    content_type = got.headers.get("content-type", "").split(";")[0] or None
    if content_type != call.content_type:
        return [f"content type {content_type}, recorded: {call.content_type}"]
    if call.shape is None:
        return []
    if content_type == "application/x-ndjson":
        lines = [json.loads(line) for line in got.text.splitlines() if line.strip()]
        return stream_differences(call.shape, lines)
    return list(differences(call.shape, got.json()))


def stream_differences(recorded: list[Any], ours: list[Any]) -> list[str]:
    """Compare streams: each recorded kind of line comes, in the recorded order, however many pieces there are."""
    kinds = [kind for number, kind in enumerate(recorded) if not number or kind != recorded[number - 1]]
    at = -1
    for line in ours:
        fits = [n for n in (at + 1, max(at, 0)) if n < len(kinds) and not list(differences(kinds[n], line))]
        if not fits:
            return [f"line {json.dumps(line)[:60]} is not in the recording"]
        at = fits[0]
    return [] if at == len(kinds) - 1 else [f"lines of shape {kinds[at + 1 :]} do not come"]


def is_meant(call: Call, difference: str) -> bool:
    return any(
        call.method == method and re.fullmatch(path, call.path) and re.search(what, difference)
        for method, path, what, _ in DEVIATIONS
    )


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.reset_defaults()


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: f"{path.parent.name}-{path.stem}")
async def test_a_recorded_session_finds_all_that_it_found(path: Path, tmp_path: Path) -> None:
    unmeant = []
    async with player(tmp_path) as played:
        for number, call in enumerate(load(path)):
            got = await played.play(call)
            unmeant += [
                f"{number}: {call.title}: {difference}"
                for difference in found_differences(call, got)
                if not is_meant(call, difference)
            ]
    assert not unmeant, "\n".join(unmeant)


def test_every_deviation_has_a_reason() -> None:
    assert all(reason for *_, reason in DEVIATIONS)


def test_what_a_client_would_miss_is_found() -> None:
    shape = {"id": "string", "rows": [{"n": "integer", "error": "null"}]}
    assert list(differences(shape, {"id": "x", "rows": [{"n": 1, "error": "late"}], "more": True})) == []
    assert list(differences(shape, {"rows": [{"n": "1", "error": None}]})) == [
        ".id is missing",
        ".rows[0].n is string, recorded: integer",
    ]
    assert list(differences(shape, {"id": "x", "rows": []})) == [".rows is empty, recorded: items"]


def test_a_transcript_becomes_a_recording_without_its_texts() -> None:
    inserted = {"method": "POST", "path": "/documents/text", "kw": {"json": {"text": "A."}}, "status": 200}
    followed = {"method": "GET", "path": "/documents/track_status/insert_1", "kw": {}, "status": 200}
    calls = derive(
        [
            inserted | {"ctype": "application/json", "body": '{"status":"success","track_id":"insert_1"}'},
            followed | {"ctype": "application/json", "body": '{"documents":[]}'},
        ]
    )
    assert calls[0].shape == {"status": "string", "track_id": "string"}
    assert calls[1].path == "/documents/track_status/{track:0}"
