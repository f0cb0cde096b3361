"""A running server, spoken to over HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx

from lightrag.cli.targets import (
    Answer,
    Cited,
    DocumentState,
    Ending,
    NoServer,
    NotLetIn,
    Offered,
    Question,
    SourceFile,
    Work,
)
from lightrag.errors import Conflict, InvalidInput, LightRAGError, NotFound
from lightrag.types import DocStatus, JsonObject, TagValue, TakesBack

UPLOAD_NAME_SEPARATOR = "__"
"""Stands for `/`: a server keeps uploads in one flat folder and drops slashes from their names."""
_REFUSALS: Mapping[int, type[LightRAGError]] = {404: NotFound, 409: Conflict}


class ServerTarget:
    """Works through a server's REST API. Use as an asynchronous context manager.

    `workspace` is the one that calls are about; None leaves it to the server and the key.
    """

    def __init__(self, url: str, api_key: str | None, workspace: str | None = None) -> None:
        headers = {"X-API-Key": api_key} if api_key else {}
        if workspace:
            headers["LIGHTRAG-WORKSPACE"] = workspace
        # Answers may take as long as a model needs; connecting may not.
        self._http = httpx.AsyncClient(
            base_url=(url if "://" in url else f"http://{url}").rstrip("/"),
            headers=headers,
            timeout=httpx.Timeout(600, connect=10),
            trust_env=False,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def offer(self, file: SourceFile, tags: Mapping[str, TagValue]) -> Offered:
        """Upload the file; a changed one replaces its former version."""
        fields = {"on_conflict": "update", "tags": json.dumps(dict(tags))}
        name = file.name.replace("/", UPLOAD_NAME_SEPARATOR)
        stream = await asyncio.to_thread(file.path.open, "rb")
        with stream:
            answer = await self._call("POST", "/documents/upload", data=fields, files={"file": (name, stream)})
        if not answer.get("documents"):
            raise Conflict(str(answer.get("message", "The server did not take the file")))
        document = answer["documents"][0]
        outcome = document["status"]
        return Offered("unchanged" if outcome == "duplicated" else outcome, document["doc_id"])

    async def state(self, doc_id: str) -> DocumentState:
        """Return how far a document is."""
        row = await self._call("GET", f"/documents/{doc_id}")
        return DocumentState(
            DocStatus(row["status"]), row["chunks_count"], row.get("failed_chunks", 0), row.get("error_msg")
        )

    async def work(self) -> Work:
        """Return what the server's pipeline is doing."""
        status = await self._call("GET", "/documents/pipeline_status")
        return Work(
            status.get("chunks", 0),
            status.get("chunks_done", 0),
            status.get("latest_message", ""),
            status.get("paused_until"),
        )

    async def ask(self, question: Question) -> Answer:
        """Begin to answer a question: the first line of the stream holds the references."""
        lines = self._lines("/query/stream", _body(question))
        nothing: dict[str, Any] = {}
        first = await anext(lines, nothing)
        references = [
            Cited(item["reference_id"], item["file_path"], item.get("chunks", []))
            for item in first.get("references") or []
        ]
        ending = Ending()
        return Answer(references, _texts(first, lines, ending), ending)

    async def search(self, question: Question) -> Mapping[str, Any]:
        """Return what is found."""
        return await self._call("POST", "/query/data", json=_body(question))

    async def edits(self, limit: int) -> list[JsonObject]:
        """Return the newest manual edits."""
        found = await self._call("GET", "/graph/edits", params={"limit": limit})
        return list(found["edits"])

    async def undo_edit(self, edit_id: str) -> None:
        """Take an edit back."""
        await self._call("POST", f"/graph/edits/{quote(edit_id, safe='')}/undo")

    async def health(self) -> Mapping[str, Any]:
        """Return what the server says of itself."""
        return await self._call("GET", "/health")

    async def _lines(self, path: str, body: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
        with _connection_errors(str(self._http.base_url)):
            async with self._http.stream("POST", path, json=body) as answer:
                if answer.status_code >= 300:
                    await answer.aread()
                    raise _refusal(answer)
                async for line in answer.aiter_lines():
                    if line.strip():
                        yield json.loads(line)

    async def _call(self, method: str, path: str, **arguments: Any) -> dict[str, Any]:
        with _connection_errors(str(self._http.base_url)):
            answer = await self._http.request(method, path, **arguments)
        if answer.status_code >= 300:
            raise _refusal(answer)
        body = answer.json()
        return body if isinstance(body, dict) else {}


def _body(question: Question) -> dict[str, Any]:
    wanted = question.filter
    body: dict[str, Any] = {"query": question.text, "mode": question.mode}
    if not wanted.is_empty:
        body["filter"] = {
            "doc_ids": list(wanted.doc_ids),
            "file_paths": list(wanted.file_paths),
            "tags": dict(wanted.tags),
        }
    names = ("top_k", "chunk_top_k", "user_prompt", "model", "rerank_model")
    given = {name: getattr(question, name) for name in names}
    return body | {name: value for name, value in given.items() if value is not None}


async def _texts(first: dict[str, Any], lines: AsyncIterator[dict[str, Any]], ending: Ending) -> AsyncIterator[str]:
    _note(first, ending)
    if "response" in first:
        yield str(first["response"])
    async for line in lines:
        if "error" in line:
            raise LightRAGError(f"The answer broke off: {line['error']}")
        _note(line, ending)
        text = str(line.get("response", ""))
        yield TakesBack(text) if line.get("takes_back") else text


def _note(line: dict[str, Any], ending: Ending) -> None:
    ending.finish_reason = line.get("finish_reason", ending.finish_reason)
    ending.model = line.get("model", ending.model)


@contextlib.contextmanager
def _connection_errors(url: str) -> Any:
    try:
        yield
    except httpx.TimeoutException:
        raise NoServer(f"The server at {url} did not answer in time") from None
    except httpx.TransportError as error:
        raise NoServer(
            f"The server at {url} cannot be reached ({error or type(error).__name__}). "
            "Is it running? Start it with: lightrag-server"
        ) from None


def _refusal(answer: httpx.Response) -> LightRAGError:
    try:
        body = answer.json()
        detail = body.get("detail") or body.get("message")
    except (ValueError, AttributeError):
        detail = answer.text[:200]
    if isinstance(detail, list):
        detail = "; ".join(f"{item['loc'][-1]}: {item['msg']}" for item in detail)
    if answer.status_code in {401, 403}:
        return NotLetIn(
            f"{detail}; give the server's key with --api-key or LIGHTRAG_API_KEY (HTTP {answer.status_code})"
        )
    kind = _REFUSALS.get(answer.status_code, InvalidInput if answer.status_code < 500 else LightRAGError)
    return kind(f"{detail} (HTTP {answer.status_code})")
