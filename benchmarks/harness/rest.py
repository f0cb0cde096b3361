"""The REST calls that both products answer alike."""

from __future__ import annotations

import asyncio
import dataclasses
import http.client
import json
import time
import urllib.parse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx

from harness.corpus import Document, Question

TEXTS_PER_REQUEST = 50
BUSY = {409, 423, 429, 503}
POLL_S = 0.05


@dataclasses.dataclass(frozen=True)
class ContextAnswer:
    """How long a context took, and how long it is in characters."""

    seconds: float
    characters: int

    @property
    def is_empty(self) -> bool:
        """Whether there is no more than a canned answer."""
        return self.characters < 200


class RagClient:
    """Drives one server."""

    def __init__(self, url: str) -> None:
        limits = httpx.Limits(max_connections=64, max_keepalive_connections=64)
        self._http = httpx.AsyncClient(base_url=url, timeout=900, limits=limits)

    async def __aenter__(self) -> RagClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def insert(self, documents: Sequence[Document]) -> None:
        """Send texts, some at a time; waits and repeats where the server is busy."""
        for start in range(0, len(documents), TEXTS_PER_REQUEST):
            part = documents[start : start + TEXTS_PER_REQUEST]
            body = {"texts": [item.text for item in part], "file_sources": [item.name for item in part]}
            while True:
                answer = await self._http.post("/documents/texts", json=body)
                if answer.status_code not in BUSY:
                    break
                await asyncio.sleep(0.2)
            _expect_success(answer)

    async def upload(self, path: Path) -> None:
        """Send a file, read from disk as it goes out."""
        with path.open("rb") as content:
            _expect_success(await self._http.post("/documents/upload", files={"file": (path.name, content)}))

    async def counts(self) -> dict[str, int]:
        """Return how many documents are in each status."""
        answer = await self._http.get("/documents/status_counts")
        _expect_success(answer)
        return {status.lower(): int(count) for status, count in answer.json()["status_counts"].items()}

    async def wait_for(self, documents: int, *, limit_s: float) -> dict[str, int]:
        """Wait until as many documents are processed; raises TimeoutError, RuntimeError where one failed."""
        deadline = time.monotonic() + limit_s
        while True:
            counts = await self.counts()
            if counts.get("failed"):
                raise RuntimeError(f"{counts['failed']} documents failed: {await self._failures()}")
            if counts.get("processed", 0) >= documents:
                return counts
            if time.monotonic() > deadline:
                raise TimeoutError(f"{documents} documents were expected within {limit_s:.0f} s: {counts}")
            await asyncio.sleep(POLL_S)

    async def rest(self, *, limit_s: float) -> None:
        """Wait until the pipeline has nothing left to do, summaries and vectors included."""
        deadline = time.monotonic() + limit_s
        while True:
            answer = await self._http.get("/documents/pipeline_status")
            _expect_success(answer)
            if not answer.json()["busy"]:
                return
            if time.monotonic() > deadline:
                raise TimeoutError(f"the pipeline is still busy after {limit_s:.0f} s: {answer.text[:500]}")
            await asyncio.sleep(POLL_S)

    async def chunks(self) -> int:
        """Return the number of chunks of all documents."""
        total, page = 0, 1
        while True:
            answer = await self._http.post("/documents/paginated", json={"page": page, "page_size": 200})
            _expect_success(answer)
            body = answer.json()
            total += sum(row.get("chunks_count") or 0 for row in body["documents"])
            if not body["pagination"]["has_next"]:
                return total
            page += 1

    async def context(self, question: Question, mode: str) -> ContextAnswer:
        """Ask for the context only, with keywords given."""
        started = time.perf_counter()
        answer = await self._http.post("/query", json=_context_query(question, mode))
        seconds = time.perf_counter() - started
        _expect_success(answer)
        return ContextAnswer(seconds, len(answer.json()["response"]))

    async def _failures(self) -> list[Any]:
        answer = await self._http.post(
            "/documents/paginated", json={"status_filter": "failed", "page": 1, "page_size": 10}
        )
        return [row.get("error_msg") for row in answer.json()["documents"]]


class Interviewer:
    """Asks one question after the other on one connection, and blocks: what it adds to their times is next to nothing.

    (A client of httpx adds a millisecond to each, more than some answers take.)
    """

    def __init__(self, url: str) -> None:
        address = urllib.parse.urlsplit(url)
        self._http = http.client.HTTPConnection(address.hostname or "", address.port, timeout=900)

    def __enter__(self) -> Interviewer:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def context(self, question: Question, mode: str) -> ContextAnswer:
        """Ask for the context only, with keywords given."""
        body = json.dumps(_context_query(question, mode))
        try:
            status, content, seconds = self._asked(body)
        except (ConnectionError, http.client.BadStatusLine):
            # Servers close connections on which nothing comes for some seconds, while another one has its turn.
            self._http.close()
            status, content, seconds = self._asked(body)
        if status >= 300:
            raise RuntimeError(f"POST /query answered {status}: {content[:500]!r}")
        return ContextAnswer(seconds, len(json.loads(content)["response"]))

    def _asked(self, body: str) -> tuple[int, bytes, float]:
        started = time.perf_counter()
        self._http.request("POST", "/query", body, {"Content-Type": "application/json"})
        answer = self._http.getresponse()
        content = answer.read()
        return answer.status, content, time.perf_counter() - started


class ModelClient:
    """Reads what the stand-in model server counted."""

    def __init__(self, url: str) -> None:
        self._http = httpx.AsyncClient(base_url=url, timeout=30)

    async def __aenter__(self) -> ModelClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def reset(self) -> None:
        """Set all counters to zero."""
        _expect_success(await self._http.post("/reset"))

    async def stats(self) -> dict[str, Any]:
        """Return the counters."""
        answer = await self._http.get("/stats")
        _expect_success(answer)
        return dict(answer.json())


def _expect_success(answer: httpx.Response) -> None:
    if answer.status_code >= 300:
        request = f"{answer.request.method} {answer.request.url.path}"
        raise RuntimeError(f"{request} answered {answer.status_code}: {answer.text[:500]}")


def _context_query(question: Question, mode: str) -> dict[str, Any]:
    return {
        "query": question.text,
        "mode": mode,
        "only_need_context": True,
        "ll_keywords": list(question.low_level),
        "hl_keywords": list(question.high_level),
        "enable_rerank": False,
    }
