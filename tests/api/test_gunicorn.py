"""Several worker processes are one consistent service."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from lightrag.testing.model_server import ModelServer

from ..system.corpus import answer_with_mark, chronicle, digest_of
from ..system.server import PATIENCE, openai_models, until
from .gunicorn_process import GunicornProcess, Worker, running

pytestmark = pytest.mark.asyncio(loop_scope="module")

SLOTS = 2
Site = tuple[GunicornProcess, ModelServer]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    folder: Path = tmp_path_factory.mktemp("gunicorn")
    (folder / "inputs").mkdir()
    (folder / "inputs" / "found.txt").write_text(chronicle(90))
    async with ModelServer(answer=answer_with_mark, latency=0.05) as models:
        environ = openai_models(
            models.openai_url,
            MAX_ASYNC_LLM=str(SLOTS),
            CHUNK_SIZE="120",
            CHUNK_OVERLAP_SIZE="10",
            FORCE_LLM_SUMMARY_ON_MERGE="1000",
            LOG_DIR="logs",
            LOG_LEVEL="DEBUG",
        )
        async with running(folder, environ, "--workers", "2", "--auto-scan-at-startup") as server:
            yield server, models


def questions(models: ModelServer) -> list[str]:
    """Return the marks of all chat calls."""
    return [digest_of(body["messages"]) for body in models.bodies("/chat/completions") if body.get("messages")]


async def rows(worker: Worker) -> dict[str, dict[str, Any]]:
    page = await worker.post("/documents/paginated", {"page_size": 200})
    return {row["file_path"]: row for row in page["documents"]}


async def settle(worker: Worker) -> dict[str, dict[str, Any]]:
    async def is_idle() -> bool:
        return not (await worker.get("/documents/pipeline_status"))["busy"]

    await until(is_idle)
    return await rows(worker)


async def test_the_input_folder_is_scanned_once_at_the_start(site: Site) -> None:
    server, _ = site
    one, other = await server.workers()
    assert (await settle(one))["found.txt"]["status"] == "processed"
    assert await rows(one) == await rows(other)
    history = (await other.get("/documents/pipeline_status"))["history_messages"]
    assert [message for message in history if message.startswith("Scanned")] == ["Scanned 1 files: 1 new, 0 changed"]


async def test_each_document_is_processed_once_with_the_slots_of_one_process(site: Site) -> None:
    server, models = site
    one, other = await server.workers()
    models.reset()
    with models.holding():
        for worker, first in ((one, 0), (other, 1)):
            numbers = range(first, 12, 2)
            body = {"texts": [chronicle(n) for n in numbers], "file_sources": [f"{n}.txt" for n in numbers]}
            await worker.post("/documents/texts", body)
        async with asyncio.timeout(PATIENCE):
            await models.has_calls(1)
        seen = [await worker.get("/documents/pipeline_status") for worker in (one, other)]
    assert [status["busy"] for status in seen] == [True, True]
    assert seen[0]["job_name"] == seen[1]["job_name"] != "-"
    table = await settle(one)
    assert {row["status"] for row in table.values()} == {"processed"}
    assert len(table) == 13
    asked = questions(models)
    assert (
        len(asked) == len(set(asked)) == sum(row["chunks_count"] for name, row in table.items() if name != "found.txt")
    )
    assert models.stats()["chat_peak"] <= SLOTS


async def test_all_workers_answer_alike(site: Site) -> None:
    server, _ = site
    one, other = await server.workers()
    asked = {"query": "Who wrote to Ada of Aalen about salt?", "mode": "mix", "hl_keywords": ["price of salt"]}
    asked |= {"ll_keywords": ["Ada of Aalen"]}
    assert await one.post("/query/data", asked) == await other.post("/query/data", asked)
    for path in ("/graph/label/list", "/documents/status_counts", "/documents/pipeline_status"):
        assert await one.get(path) == await other.get(path)
    healths = [await worker.get("/health") for worker in (one, other)]
    assert healths[0]["configuration"] == healths[1]["configuration"]
    assert {(health["server_mode"], health["workers"]) for health in healths} == {("gunicorn", 2)}


async def test_any_worker_can_cancel_what_another_one_does(site: Site) -> None:
    server, models = site
    one, other = await server.workers()
    texts = [chronicle(n, paragraphs=12) for n in range(30, 40)]
    await one.post("/documents/texts", {"texts": texts, "file_sources": [f"{n}.txt" for n in range(30, 40)]})
    models.reset()

    async def works() -> bool:
        return len(models.requests) > 3

    async def is_given_up() -> bool:
        return {row["status"] for row in (await rows(one)).values()} <= {"processed", "failed"}

    await until(works)
    with models.holding():
        assert (await other.post("/documents/cancel_pipeline"))["status"] == "cancellation_requested"
        await until(is_given_up)
    await settle(one)
    called = len(models.requests)
    table = await settle(other)
    stopped = [row for row in table.values() if row["status"] == "failed"]
    assert {row["error_msg"] for row in stopped} == {"User cancelled"}
    assert stopped
    assert len(models.requests) == called
    assert (await one.post("/documents/cancel_pipeline"))["status"] == "not_busy"
    await one.post("/documents/reprocess_failed")
    assert {row["status"] for row in (await settle(other)).values()} == {"processed"}


async def test_only_one_worker_scans_at_a_time(site: Site) -> None:
    server, _ = site
    one, other = await server.workers()
    for number in range(200, 206):
        (server.folder / "inputs" / f"{number}.txt").write_text(chronicle(number, paragraphs=1))
    await asyncio.gather(*(worker.post("/documents/scan") for worker in (one, other, one, other)))

    async def is_known() -> bool:
        return (await rows(one)).keys() >= {f"{number}.txt" for number in range(200, 206)}

    await until(is_known)
    table = await settle(one)
    assert {row["status"] for row in table.values()} == {"processed"}
    assert not any("duplicate" in str(row["metadata"]) for row in table.values())


async def test_a_killed_worker_is_replaced_and_nothing_is_lost(site: Site) -> None:
    server, models = site
    before = await server.workers()
    names = set(await rows(before[0]))
    models.reset()
    texts = [chronicle(n, paragraphs=8) for n in range(50, 56)]
    await before[0].post("/documents/texts", {"texts": texts, "file_sources": [f"{n}.txt" for n in range(50, 56)]})

    async def works() -> bool:
        return len(questions(models)) > 6

    await until(works)
    with models.holding():
        indexers = [worker for worker in before if (await worker.get("/health"))["pipeline_in_this_process"]]
        assert len(indexers) == 1
        os.kill(indexers[0].pid, signal.SIGKILL)
    (left,) = [worker for worker in before if worker not in indexers]
    table = await settle(left)
    assert set(table) == names | {f"{number}.txt" for number in range(50, 56)}
    assert {row["status"] for row in table.values()} == {"processed"}
    asked = questions(models)
    assert len(asked) - len(set(asked)) <= SLOTS
    after = await server.workers()
    assert {worker.pid for worker in after} - {worker.pid for worker in before}
    assert await rows(after[0]) == await rows(after[1])


async def test_a_termination_signal_lets_answers_end_and_then_ends_all(site: Site) -> None:
    server, _ = site
    asked = {"query": "Who wrote about salt?", "mode": "naive"}
    async with (
        httpx.AsyncClient(base_url=server.url, timeout=60, trust_env=False) as client,
        client.stream("POST", "/query/stream", json=asked) as answer,
    ):
        lines = answer.aiter_lines()
        first = await anext(lines)
        server.process.send_signal(signal.SIGTERM)
        rest = [line async for line in lines]
    assert first
    assert rest
    assert not any('"error"' in line for line in rest)
    assert await server.stop() == 0
    assert "Traceback" not in server.log
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(*server.address)
