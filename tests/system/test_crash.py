"""Killed at any moment, any number of times, a server comes to the same end and pays for nothing twice."""

from __future__ import annotations

import asyncio
import os
import random
import re
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx

from lightrag.testing.model_server import ModelServer

from .contents import Contents, contents_of, stored_answers
from .corpus import answer_with_mark, chronicle, digest_of
from .server import ServerProcess, openai_models, run_command, until

KILLS = int(os.environ.get("LIGHTRAG_TEST_KILLS", "8"))
SEED = int(os.environ.get("LIGHTRAG_TEST_SEED", random.randrange(10**6)))
DOCUMENTS = max(14, KILLS)
SLOTS = 4
BATCH = 4
EMBEDDING_CALLS = 8
"""Calls with documents' texts that the server has under way at most."""

_MARK = re.compile(r"\bq[0-9a-f]{16}\b")
Step = Callable[[ServerProcess], Awaitable[None]]


def model_server() -> ModelServer:
    return ModelServer(answer=answer_with_mark, latency=0.04, embed_latency=0.02)


def server_on(models: ModelServer, folder: Path) -> ServerProcess:
    return ServerProcess(
        folder,
        openai_models(
            models.openai_url,
            MAX_ASYNC_LLM=str(SLOTS),
            EMBEDDING_BATCH_NUM=str(BATCH),
            CHUNK_SIZE="120",
            CHUNK_OVERLAP_SIZE="10",
            FORCE_LLM_SUMMARY_ON_MERGE="4",
            LIGHTRAG_LEASE_SECONDS="1",
        ),
    )


def insertions(accepted: set[str]) -> list[Step]:
    """Return the steps that bring documents, half of them as files; `accepted` gathers what the server took."""

    def step(number: int) -> Step:
        async def bring(server: ServerProcess) -> None:
            name = f"chronicle-{number}.md"
            if number % 2:
                answer = await server.upload(name, chronicle(number).encode())
                assert answer.status_code == 200, answer.text
            else:
                await server.add(chronicle(number), name)
            accepted.add(name)

        return bring

    return [step(number) for number in range(DOCUMENTS)]


def changes(accepted: set[str]) -> list[Step]:
    """Return the steps that delete and change documents."""

    async def delete(server: ServerProcess, number: int) -> None:
        name = f"chronicle-{number}.md"
        row = (await server.rows()).get(name)
        if row is not None:
            await server.delete("/documents/delete_document", {"doc_ids": [row["id"]], "delete_file": True})
        accepted.discard(name)

    async def update(server: ServerProcess, number: int) -> None:
        name = f"chronicle-{number}.md"
        if number % 2:
            answer = await server.upload(name, chronicle(number, 5, 2).encode(), on_conflict="update")
            assert answer.status_code == 200, answer.text
        else:
            row = (await server.rows())[name]
            await server.put(f"/documents/{row['id']}", {"text": chronicle(number, 5, 2)})

    def step(number: int) -> Step:
        return lambda server: (delete if number % 4 < 2 else update)(server, number)

    return [step(number) for number in range(DOCUMENTS - 4)]


async def insist(server: ServerProcess, step: Step) -> None:
    """Take a step; where the server dies before it has answered, take it again when there is another."""
    while True:
        try:
            return await step(server)
        except (httpx.HTTPError, RuntimeError):
            await asyncio.sleep(0.05)


class Payments:
    """What the model server was asked for, and what of it was stored when the server was killed."""

    def __init__(self, models: ModelServer) -> None:
        self._models = models
        self._stored: set[str] = set()
        self._seen = 0
        self.paid_twice: list[str] = []
        self.lost: list[int] = []
        """How many answers were asked for but not stored, by kill."""

    @property
    def calls(self) -> int:
        return len(self._models.requests)

    def questions(self, since: int = 0) -> list[str]:
        """Return the marks of all chat calls; a request that a kill cut off is none."""
        asked = (request.body.get("messages") for request in self._models.requests[since:])
        return [digest_of(messages) for messages in asked if messages]

    def texts(self) -> Counter[str]:
        """Return how often each text was embedded."""
        return Counter(text for request in self._models.requests for text in request.body.get("input", ()))

    async def note_kill(self, working_dir: Path) -> None:
        """Compare what was asked since the last kill with what was stored then."""
        asked = self.questions(self._seen)
        self.paid_twice += [mark for mark in asked if mark in self._stored]
        self._seen = self.calls
        self._stored = set(_MARK.findall("\n".join(await stored_answers(working_dir))))
        self.lost.append(len(set(asked) - self._stored))


async def kill_while_it_works(server: ServerProcess, payments: Payments, steps: list[Step], kills: int) -> None:
    """Take all steps and let the server finish, and kill it at random moments of that."""
    chance = random.Random(SEED + kills)

    async def work() -> None:
        for step in steps:
            await insist(server, step)

    working = asyncio.create_task(work())
    for _ in range(kills):
        await _until_some_work_is_done(server, payments, chance)
        await server.kill()
        await payments.note_kill(server.working_dir)
        await server.start()
    await working
    await server.settle()


async def _until_some_work_is_done(server: ServerProcess, payments: Payments, chance: random.Random) -> None:
    """Wait for a random number of model calls, or until nothing is left to do; now and then for no call at all."""
    wanted = payments.calls + chance.choice((0, 1, 2, 4, 7, 12))

    async def is_time() -> bool:
        return payments.calls >= wanted or await server.is_idle()

    await until(is_time)
    await asyncio.sleep(chance.uniform(0, 0.06))


async def undisturbed(folder: Path) -> tuple[Contents, Contents]:
    """Return what a server that nobody kills has after the insertions, and after the changes."""
    async with model_server() as models:
        server = server_on(models, folder)
        found = []
        for steps in (insertions(set()), changes(set())):
            async with server:
                for step in steps:
                    await step(server)
                await server.settle()
            found.append(await contents_of(server.working_dir))
        return found[0], found[1]


async def test_killed_while_indexing_deleting_and_updating(tmp_path: Path) -> None:
    told = f"LIGHTRAG_TEST_SEED={SEED} LIGHTRAG_TEST_KILLS={KILLS}"
    after_insertions, after_changes = await undisturbed(tmp_path / "undisturbed")
    accepted: set[str] = set()
    async with model_server() as models:
        server = server_on(models, tmp_path / "killed")
        payments = Payments(models)
        async with server:
            await kill_while_it_works(server, payments, insertions(accepted), KILLS - KILLS // 2)
            assert set(await server.rows()) == accepted, told
        await payments.note_kill(server.working_dir)
        assert await contents_of(server.working_dir) == after_insertions, told
        repeated = sum(count - 1 for count in payments.texts().values())
        async with server:
            await kill_while_it_works(server, payments, changes(accepted), KILLS // 2)
            rows = await server.rows()
        await payments.note_kill(server.working_dir)

    assert set(rows) == accepted, told
    assert {row["status"] for row in rows.values()} == {"processed"}, told
    assert files_of(server) == {name for name in accepted if _is_file(name)}, told
    assert await contents_of(server.working_dir) == after_changes, told
    assert after_changes.due == []

    assert payments.paid_twice == [], told
    # An answer may be on its way into the store while its slot serves the next question.
    assert max(payments.lost) <= 2 * SLOTS, told
    assert payments.lost[-1] == 0, told
    assert repeated <= (KILLS - KILLS // 2) * EMBEDDING_CALLS * BATCH, told

    status, out, err = await run_command("lightrag", "verify", folder=server.folder, environ=server.environ)
    assert status == 0, f"{told}\n{out}\n{err}"


def files_of(server: ServerProcess) -> set[str]:
    """Return the files of the input folder, but for the hidden rests of uploads that a kill cut off."""
    return {path.name for path in server.inputs.iterdir() if not path.name.startswith(".")}


def _is_file(name: str) -> bool:
    return int(name.removeprefix("chronicle-").removesuffix(".md")) % 2 == 1
