"""Who pays for indexing: the token that brought a document, beside its workspace."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from lightrag.testing.model_server import ModelServer

from .conftest import Real, RealServer

TEXTS = {
    "ada": "Ada Lovelace wrote the first program, for the Analytical Engine of Charles Babbage.",
    "boyle": "Robert Boyle described the pressure of gases in Oxford with Robert Hooke.",
    "curie": "Marie Curie discovered polonium and radium in Paris with Pierre Curie.",
    "noether": "Emmy Noether proved her theorem in Göttingen, where David Hilbert had invited her.",
}
VECTORS = "vectors"
PRICES = {"price_in": 1, "price_out": 2}


@pytest.fixture
async def upstream() -> AsyncIterator[ModelServer]:
    """The model server of the workspace."""
    async with ModelServer(dimension=32) as server:
        yield server


class Office:
    """A workspace with an administrator and some who bring documents."""

    def __init__(self, server: RealServer, name: str = "tenant-a") -> None:
        self.server = server
        self.name = name
        self.ids: dict[str, str] = {}
        self._headers: dict[str, dict[str, str]] = {}

    @property
    def tenants(self) -> Any:
        return self.server.client._transport.app.state.server.tenants  # type: ignore[attr-defined]

    @property
    def engine(self) -> Any:
        return self.tenants.pool.peek(self.name)

    async def open(self, upstream: ModelServer, *people: str, **chat: Any) -> None:
        self._headers["boss"] = {}
        made = await self.call("boss", "POST", "/access/tokens", {"is_admin": True})
        self._headers["boss"] = {"Authorization": f"Bearer {made['token']}"}
        await self.call("boss", "POST", "/workspaces", {"name": self.name})
        for person in people:
            made = await self.call("boss", "POST", "/access/tokens", {"roles": {self.name: "editor"}})
            self.ids[person] = made["id"]
            self._headers[person] = {"Authorization": f"Bearer {made['token']}"}
        for name, kind in (("chatty", "chat"), (VECTORS, "embedding")):
            await self.call(
                "boss",
                "POST",
                "/llm/add_llm",
                {
                    "llm_factory": "OpenAI-API-Compatible",
                    "llm_name": name,
                    "model_type": kind,
                    "api_base": upstream.openai_url,
                    "api_key": "k",
                    **PRICES,
                    **chat,
                },
            )

    async def call(self, who: str, method: str, path: str, body: dict[str, Any] | None = None, **query: Any) -> Any:
        headers = {"LIGHTRAG-WORKSPACE": self.name, **self._headers[who]}
        answer = await self.server.client.request(method, path, json=body, params=query, headers=headers)
        assert answer.status_code < 400, f"{path}: {answer.text}"
        told = answer.json()
        return told["data"] if path.startswith("/llm") else told

    async def bring(self, who: str, *names: str) -> list[str]:
        body = {"texts": [TEXTS[name] for name in names], "file_sources": [f"{name}.txt" for name in names]}
        made = await self.call(who, "POST", "/documents/texts", body)
        return [str(one["doc_id"]) for one in made["documents"]]

    async def limit(self, who: str, **limits: Any) -> None:
        await self.call("boss", "PUT", f"/access/tokens/{self.ids[who]}/limits", limits)

    async def idle(self) -> None:
        async with asyncio.timeout(60):
            await self.engine.wait_until_idle()

    async def until(self, status: str, count: int) -> None:
        async with asyncio.timeout(60):
            while (await self.engine.status_counts())[status] < count:
                await asyncio.sleep(0.05)

    async def entries(self) -> list[dict[str, Any]]:
        await (await self.tenants.models.existing()).ledger.flush()
        rows: list[dict[str, Any]] = await self.call("boss", "GET", "/llm/usage/entries", limit=1000)
        return [row for row in rows if row["operation"] != "probe"]

    async def paid(self, who: str | None, *operations: str) -> list[dict[str, Any]]:
        token = None if who is None else self.ids[who]
        return [row for row in await self.entries() if row["token_id"] == token and row["operation"] in operations]


async def test_indexing_is_charged_to_the_token_that_brought_the_document(real: Real, upstream: ModelServer) -> None:
    async with real() as server:
        office = Office(server)
        await office.open(upstream, "ann", "ben")
        [ada] = await office.bring("ann", "ada")
        await office.bring("ben", "boyle", "curie")
        await office.idle()
        assert [len(await office.paid(who, "extract")) for who in ("ann", "ben", None)] == [1, 2, 0]
        rows = await office.entries()
        assert {row["token_id"] for row in rows if row["operation"] == "embed"} <= {
            office.ids["ann"],
            office.ids["ben"],
        }
        track = (await office.call("boss", "GET", f"/documents/{ada}"))["track_id"]
        [extracted] = await office.paid("ann", "extract")
        assert extracted["request_id"] == track
        # Tokens are those of the server.
        assert not any(row["is_estimated"] for row in rows)
        assert (await office.call("boss", "GET", f"/documents/{ada}"))["metadata"].keys().isdisjoint({"brought_by"})


async def test_who_brought_a_document_is_known_after_a_restart_and_a_retry(real: Real, upstream: ModelServer) -> None:
    async with real() as server:
        office = Office(server)
        await office.open(upstream, "ann")
        upstream.rejects = {"messages"}
        await office.bring("ann", "ada")
        await office.until("failed", 1)
        upstream.rejects = set()
        await office.limit("ann", tokens_per_day=0, force=True)
        await office.bring("ann", "curie")
    async with real() as server:
        office.server = server
        await office.limit("ann", tokens_per_day=None)
        await office.call("boss", "POST", "/documents/reprocess_failed")
        await office.idle()
        assert (await office.engine.status_counts())["processed"] == 2
        read = [row for row in await office.paid("ann", "extract") if row["outcome"] == "ok"]
        assert len(read) == 2
        assert await office.paid(None, "extract", "embed") == []


async def test_what_a_scan_finds_is_charged_to_the_workspace(real: Real, upstream: ModelServer) -> None:
    async with real() as server:
        office = Office(server)
        await office.open(upstream, "ann")
        await office.bring("ann", "boyle")
        await office.idle()
        inputs = office.engine.describe().input_dir
        inputs.mkdir(parents=True, exist_ok=True)
        (inputs / "ada.txt").write_text(TEXTS["ada"])
        await office.call("ann", "POST", "/documents/scan")
        await office.until("processed", 2)
        await office.idle()
        assert len(await office.paid(None, "extract")) == 1
        assert len(await office.paid("ann", "extract")) == 1


async def test_a_token_at_its_limit_waits_while_others_go_on(real: Real, upstream: ModelServer) -> None:
    async with real() as server:
        office = Office(server)
        await office.open(upstream, "ann", "ben")
        await office.limit("ann", tokens_per_day=0)
        await office.bring("ann", "ada", "noether")
        await office.bring("ben", "boyle")
        await office.until("processed", 1)
        await office.bring("boss", "curie")
        await office.until("processed", 2)
        counts = await office.engine.status_counts()
        assert counts["failed"] == 0
        assert await office.paid("ann", "extract", "embed") == []
        assert (await office.call("boss", "GET", "/documents/pipeline_status"))["busy"]
        async with asyncio.timeout(60):
            while (status := await office.call("boss", "GET", "/documents/pipeline_status"))["paused_until"] is None:
                await asyncio.sleep(0.05)
        assert any("token" in line and "wait" in line for line in status["history_messages"])
        await office.limit("ann", tokens_per_day=None)
        await office.idle()
        assert (await office.engine.status_counts())["processed"] == 4
        assert len(await office.paid("ann", "extract")) == 2


async def test_trial_calls_are_in_the_ledger_from_the_first_one_on(real: Real, upstream: ModelServer) -> None:
    async with real() as server:
        office = Office(server, "fresh")
        await office.open(upstream, "ann")
        rows = await office.call("boss", "GET", "/llm/usage/entries", limit=1000)
        assert {(row["operation"], row["type"], row["outcome"]) for row in rows} == {
            ("probe", "chat", "ok"),
            ("probe", "embedding", "ok"),
        }
        [embedded] = [row for row in rows if row["type"] == "embedding"]
        assert (embedded["is_estimated"], embedded["prompt_tokens"] > 0) == (False, True)
        assert all(row["token_id"] and row["request_id"] and row["cost_usd"] is not None for row in rows)
        # So are those that fail, and those that store nothing.
        wish = {"llm_factory": "OpenAI-API-Compatible", "llm_name": "chatty", "model_type": "chat", "api_key": "k"}
        upstream.rejects = {"messages"}
        await office.call("boss", "POST", "/llm/verify", wish | {"api_base": upstream.openai_url})
        [failed, *_] = await office.call("boss", "GET", "/llm/usage/entries", limit=1000)
        assert (failed["operation"], failed["outcome"]) == ("probe", "error")


async def test_the_trial_calls_of_a_workspace_that_only_comes_into_being(real: Real, upstream: ModelServer) -> None:
    async with real() as server:
        headers = {"LIGHTRAG-WORKSPACE": "fresh", "X-Request-ID": "the-first"}
        wish = {"llm_factory": "OpenAI-API-Compatible", "llm_name": "chatty", "model_type": "chat", "api_key": "k"}
        wish |= {"api_base": upstream.openai_url}
        answer = await server.client.post("/llm/add_llm", json=wish, headers=headers)
        assert answer.json()["retcode"] == 0
        [row] = (await server.client.get("/llm/usage/entries", headers=headers)).json()["data"]
        assert (row["operation"], row["outcome"], row["request_id"]) == ("probe", "ok", "the-first")
