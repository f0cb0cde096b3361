"""Whatever a model server does, documents end processed or failed with a reason, and questions end with an answer."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from lightrag.testing.model_server import ModelServer, Reaction

from .corpus import answer_with_mark, digest_of
from .server import ServerProcess, ollama_models, openai_models, serving

pytestmark = pytest.mark.asyncio(loop_scope="module")

TIMEOUT = 1
"""Seconds that impatient servers wait for a model. The others wait for any that answers at all."""
NEVER = 600.0
"""Seconds after which a model that is late would answer."""

BROKEN: Mapping[str, Reaction] = {
    "unreachable": Reaction.status_code(500, message="out of memory"),
    "cut": Reaction.cut(),
    "garbage": Reaction.raw(b"<html>Bad Gateway</html>"),
    "empty": Reaction.says(""),
    "key": Reaction.status_code(401, message="Incorrect API key provided"),
    "missing": Reaction.status_code(404, message="model 'stand-in' not found", code="model_not_found"),
}
LATE: Mapping[str, Reaction] = {"late": Reaction.late(NEVER)}
PASSING: Mapping[str, tuple[Reaction, ...]] = {
    "hiccup": (Reaction.cut(), Reaction.raw(b"{")),
    "limit": (Reaction.status_code(429, message="slow down", retry_after="1"),),
}


class Trouble:
    """Makes the stand-in misbehave where a text names a kind of trouble, as in `[extraction: late]`."""

    def __init__(self) -> None:
        self.is_on = True
        self.embedding: Callable[[str], Reaction | None] = lambda texts: None
        """What embedding calls meet."""
        self._met: Counter[str] = Counter()

    def react(self, path: str, body: dict[str, Any]) -> Reaction | None:
        if path.endswith(("/embeddings", "/embed")):
            return self.embedding(str(body.get("input")))
        return self._reaction(_call_of(body), body["messages"][-1]["content"]) if self.is_on else None

    def _reaction(self, call: str, text: str) -> Reaction | None:
        for kind, reaction in (BROKEN | LATE | OF_CALL.get(call, {})).items():
            if f"[{call}: {kind}]" in text:
                return reaction
        for kind, reactions in PASSING.items():
            mark = f"[{call}: {kind}]"
            if mark in text and self._met[mark] < len(reactions):
                self._met[mark] += 1
                return reactions[self._met[mark] - 1]
        return None


OF_CALL: Mapping[str, Mapping[str, Reaction]] = {
    "extraction": {"prose": Reaction.says("I am sorry, but I cannot help with that.")},
    "keywords": {"prose": Reaction.says("What an interesting question!")},
    "answer": {
        "long": Reaction.status_code(400, message="maximum context length", code="context_length_exceeded"),
        "quota": Reaction.status_code(429, message="come back tomorrow", retry_after="7200"),
        "half": Reaction.half_stream(3),
        "torn": Reaction.cut(3),
    },
}


def _call_of(body: dict[str, Any]) -> str:
    everything = json.dumps(body["messages"])
    if "high_level_keywords" in everything:
        return "keywords"
    return "extraction" if "<|#|>" in everything else "answer"


@dataclasses.dataclass(frozen=True)
class Station:
    """A server with its models in one dialect."""

    dialect: str
    server: ServerProcess
    models: ModelServer
    trouble: Trouble

    def questions(self) -> set[str]:
        """Return the marks of all chat calls."""
        return {digest_of(request.body["messages"]) for request in self.models.requests if "messages" in request.body}

    async def failures(self) -> dict[str, str]:
        """Wait for the end; return the reasons of failed documents, by path."""
        return {name: row["error_msg"] for name, row in (await self.server.settle()).items() if row["error_msg"]}


@asynccontextmanager
async def opened(folder: Callable[[str], Path], **limits: str) -> AsyncIterator[list[Station]]:
    troubles = {"openai": Trouble(), "ollama": Trouble()}
    async with (
        ModelServer(answer=answer_with_mark, react=troubles["openai"].react) as openai,
        ModelServer(answer=answer_with_mark, react=troubles["ollama"].react) as ollama,
    ):
        limits |= {
            "MAX_ASYNC_LLM": "12",
            "CHUNK_SIZE": "80",
            "CHUNK_OVERLAP_SIZE": "0",
            "ENABLE_LLM_CACHE": "false",
        }
        environs = {
            "openai": openai_models(openai.openai_url, **limits),
            "ollama": ollama_models(ollama.url, **limits),
        }
        servers = {name: ServerProcess(folder(name), environs[name]) for name in environs}
        async with serving(*servers.values()):
            models = {"openai": openai, "ollama": ollama}
            yield [Station(name, servers[name], models[name], troubles[name]) for name in servers]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stations(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[list[Station]]:
    async with opened(tmp_path_factory.mktemp) as both:
        yield both


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def impatient(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[list[Station]]:
    limits = {"LLM_TIMEOUT": str(TIMEOUT), "EMBEDDING_TIMEOUT": str(TIMEOUT), "TIMEOUT": "5"}
    async with opened(tmp_path_factory.mktemp, **limits) as both:
        yield both


async def in_both(stations: list[Station], work: Callable[[Station], Awaitable[None]]) -> None:
    """Do the same with both dialects, side by side."""

    async def told(station: Station) -> None:
        station.trouble.is_on, station.trouble.embedding = True, lambda texts: None
        try:
            await work(station)
        except AssertionError as error:
            error.add_note(f"with the {station.dialect} dialect; its log ends:\n{station.server.log[-3000:]}")
            raise

    await asyncio.gather(*(told(station) for station in stations))


LEAF = "Ada of Aalen wrote to Bela of Celle about the price of salt, and {} of Gotha carried the letter over the pass."


def text(name: str, mark: str) -> str:
    """Return a text of some chunks, one of which has the mark."""
    leaves = [LEAF.format(f"{name.title()}{part}") + " Nothing more is known of the answer." for part in "abc"]
    leaves[1] += f" {mark}"
    return "\n\n".join(leaf + " It was a cold winter, and the roads were bad." * 2 for leaf in leaves)


async def test_extraction(stations: list[Station]) -> None:
    broken = [*BROKEN, "prose"]

    async def work(station: Station) -> None:
        server, models = station.server, station.models
        for kind in [*broken, *PASSING]:
            await server.add(text(kind, f"[extraction: {kind}]"), f"{kind}.txt")
        failures = await station.failures()
        assert set(failures) == {f"{kind}.txt" for kind in broken}
        rows = await server.rows()
        assert {row["status"] for name, row in rows.items() if name in failures} == {"failed"}
        expected = {
            "unreachable": ("out of memory", "check that the server runs"),
            "cut": ("connection failed",),
            "garbage": ("the answer is not", "try again"),
            "empty": ("answer is empty",),
            "key": ("Incorrect API key", "check the API key"),
            "missing": ("not found", "stand-in"),
            "prose": ("no usable extraction",),
        }
        for kind, parts in expected.items():
            for part in parts:
                assert part in failures[f"{kind}.txt"], f"{kind}: {failures[f'{kind}.txt']}"
        assert rows["prose.txt"]["failed_chunks"] == 1
        assert f"1 of {rows['prose.txt']['chunks_count']} chunks" in failures["prose.txt"]
        labels = await server.get("/graph/label/list")
        assert {"Prosea of Gotha", "Prosec of Gotha"} <= set(labels)
        assert "Proseb of Gotha" not in labels

        answered = await asked_successfully(station)
        models.reset()
        station.trouble.is_on = False
        await server.post("/documents/reprocess_failed")
        assert await station.failures() == {}
        assert station.questions() & answered == set()
        labels = await server.get("/graph/label/list")
        assert {f"{kind.title()}{part} of Gotha" for kind in [*broken, *PASSING] for part in "abc"} <= set(labels)

    await in_both(stations, work)


async def asked_successfully(station: Station) -> set[str]:
    """Return the marks of the extraction calls that were answered well."""
    return {
        digest_of(request.body["messages"])
        for request in station.models.requests
        if "messages" in request.body
        and not any(f"[extraction: {kind}]" in str(request.body["messages"]) for kind in [*BROKEN, "prose"])
        and not any(word in str(request.body["messages"]) for word in ("Keya", "Keyb", "Keyc", "Missing"))
    }


async def test_embedding(stations: list[Station]) -> None:
    async def work(station: Station) -> None:
        server, trouble = station.server, station.trouble
        passing = (Reaction.status_code(500), *PASSING["hiccup"], *PASSING["limit"])
        station.models.script(*passing)
        await server.add(text("passing", ""), "passing.txt")
        assert await station.failures() == {}

        for kind, reason in {"key": "check the API key", "garbage": "try again, or choose another model"}.items():
            trouble.embedding = lambda texts, kind=kind: BROKEN[kind]
            await server.add(text(f"vector{kind}", ""), f"vector-{kind}.txt")
            failures = await station.failures()
            assert reason in failures[f"vector-{kind}.txt"]
        trouble.embedding = lambda texts: None
        station.models.reset()
        await server.post("/documents/reprocess_failed")
        assert await station.failures() == {}
        assert station.questions() == set()
        found = await server.find("Who carried the letter?", ll_keywords=["Vectorkeya of Gotha"], mode="local")
        assert "Vectorkeya of Gotha" in {entity["entity_name"] for entity in found["entities"]}

    await in_both(stations, work)


async def test_a_text_too_long_for_the_embedding_model_fails_its_own_document_only(stations: list[Station]) -> None:
    async def work(station: Station) -> None:
        refusal = Reaction.status_code(400, message="the input length exceeds the context length")
        station.trouble.embedding = lambda texts: refusal if "Longwinded" in texts else None
        body = {"texts": [text("brief", ""), text("longwinded", ""), text("terse", "")]}
        await station.server.post("/documents/texts", body | {"file_sources": ["brief.txt", "long.txt", "terse.txt"]})
        failures = await station.failures()
        station.trouble.embedding = lambda texts: None
        assert set(failures) == {"long.txt"}
        assert "context length" in failures["long.txt"]
        await station.server.post("/documents/reprocess_failed")
        assert await station.failures() == {}

    await in_both(stations, work)


async def test_answers(stations: list[Station]) -> None:
    expected = {
        "unreachable": {503},
        "cut": {503},
        "garbage": {502},
        "empty": {502},
        "key": {502},
        "missing": {502},
        "long": {400},
        "quota": {503},
        "hiccup": {200},
    }

    async def work(station: Station) -> None:
        async def ask(kind: str) -> httpx.Response:
            body = {"query": f"Who carried the letter over the pass? [answer: {kind}]", "mode": "naive"}
            return await station.server.client.post("/query", json=body)

        answers = dict(zip(expected, await asyncio.gather(*map(ask, expected)), strict=True))
        for kind, answer in answers.items():
            assert answer.status_code in expected[kind], f"{kind}: {answer.status_code} {answer.text}"
            assert "Traceback" not in answer.text
            if answer.status_code != 200:
                assert "stand-in" in answer.json()["detail"]
        assert 7200 <= int(answers["quota"].headers["retry-after"]) <= 7210
        assert (await ask("limit")).status_code == 200

    await in_both(stations, work)


async def test_models_that_answer_too_late(impatient: list[Station]) -> None:
    async def work(station: Station) -> None:
        server = station.server
        # A call that is tried again in time is no failure.
        station.models.script(Reaction.late(NEVER))
        await server.add(text("late", "[extraction: late]"), "late.txt")
        failures = await station.failures()
        assert set(failures) == {"late.txt"}
        assert f"no answer within {TIMEOUT} s" in failures["late.txt"]
        assert "raise the time-out" in failures["late.txt"]
        body = {"query": "Who carried the letter over the pass? [answer: late]", "mode": "naive"}
        answer = await server.client.post("/query", json=body)
        assert answer.status_code in {503, 504}
        assert ("--timeout" if answer.status_code == 504 else "stand-in") in answer.json()["detail"]
        station.trouble.is_on = False
        await server.post("/documents/reprocess_failed")
        assert await station.failures() == {}

    await in_both(impatient, work)


async def test_a_question_whose_keywords_the_model_cannot_give_is_answered(stations: list[Station]) -> None:
    async def work(station: Station) -> None:
        async def ask(kind: str) -> Any:
            return await station.server.ask(f"Who carried salt to Gotha? [keywords: {kind}]", mode="mix")

        kinds = ("garbage", "empty", "key", "prose")
        for answer in await asyncio.gather(*map(ask, kinds)):
            assert answer["llm_generated"]
            assert answer["references"]

    await in_both(stations, work)


async def test_a_stream_that_breaks_says_so(stations: list[Station]) -> None:
    async def work(station: Station) -> None:
        for kind in ("half", "torn", "key"):
            question = f"Who carried the letter over the pass? [answer: {kind}]"
            async with station.server.streaming(question, mode="naive") as answer:
                lines = [json.loads(line) async for line in answer.aiter_lines()]
            assert "references" in lines[0]
            assert set(lines[-1]) == {"error"}
            assert "stand-in" in lines[-1]["error"]
            assert any("response" in line for line in lines) == (kind != "key")

            async with station.server.streaming(question, "text/event-stream", mode="naive") as answer:
                events = [event.split("\n") async for event in _events(answer)]
            assert events[-1][0] == "event: error"
            assert "stand-in" in events[-1][1]

    await in_both(stations, work)


async def _events(answer: httpx.Response) -> AsyncIterator[str]:
    for event in "".join([part async for part in answer.aiter_text()]).split("\n\n"):
        if event.strip():
            yield event
