"""The ledger beside what the model server saw, over indexing, questions, streams that are given up, and failures."""

from __future__ import annotations

import asyncio
import dataclasses
from collections import Counter
from pathlib import Path
from typing import Any

import httpx

from lightrag.testing.model_server import ModelServer, Reaction
from tests.api.live_server import live_server

PEOPLE = ("ann", "ben", "cleo")
TOPICS = ("steam", "wool", "salt", "glass", "paper", "silk")
GIVEN_UP = "never mind"


class Witness:
    """Notes what reaches the model server, and makes some of it fail."""

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()
        self.told: Counter[str] = Counter()

    def react(self, path: str, body: dict[str, Any]) -> Reaction | None:
        """Let calls fail now and then."""
        kind = "embedding" if path.endswith("/embeddings") else "chat"
        self.seen[kind] += 1
        if self.seen[kind] % 6 == 0 and GIVEN_UP not in str(body):
            self.seen[f"{kind} failed"] += 1
            return Reaction.status_code(500)
        if kind == "embedding":
            self.told["embedding prompt"] += sum(len(text) // 4 + 1 for text in body["input"])
        return None

    def answer(self, body: dict[str, Any]) -> str:
        """Answer a chat call."""
        text = str(body["messages"][-1]["content"])
        names = " ".join(topic for topic in TOPICS if topic in text)
        answer = f"The trade in {names or 'goods'} grew. " * 8
        if GIVEN_UP in str(body) and body.get("stream"):
            self.seen["given up"] += 1
            # Nobody reads so fast that it could be over before they leave.
            return answer * 1000
        else:
            prompt = len("\n".join(str(message.get("content") or "") for message in body["messages"])) // 4
            self.told["chat prompt"] += prompt
            self.told["chat completion"] += len(answer) // 4
        return answer


@dataclasses.dataclass(frozen=True, slots=True)
class Client:
    """Somebody with a token of a workspace."""

    http: httpx.AsyncClient
    headers: dict[str, str]

    async def send(self, method: str, path: str, body: dict[str, Any] | None = None, **query: Any) -> Any:
        """Return an answer."""
        answer = await self.http.request(method, path, json=body, params=query, headers=self.headers)
        assert answer.status_code < 400 or path == "/query", f"{path}: {answer.text}"
        return answer.json()

    async def give_up(self, question: str) -> None:
        """Ask, and go away after the beginning of the answer."""
        body = {"query": question, "mode": "naive"}
        async with self.http.stream("POST", "/query/stream", json=body, headers=self.headers) as answer:
            assert answer.status_code == 200
            pieces = 0
            async for _ in answer.aiter_lines():
                pieces += 1
                if pieces == 2:
                    return


async def _admit(http: httpx.AsyncClient, models: ModelServer) -> tuple[Client, dict[str, Client], dict[str, str]]:
    workspace = {"LIGHTRAG-WORKSPACE": "busy"}
    made = (await http.post("/access/tokens", json={"is_admin": True})).json()
    boss = Client(http, workspace | {"Authorization": f"Bearer {made['token']}"})
    await boss.send("POST", "/workspaces", {"name": "busy"})
    people, ids = {}, {}
    for name in PEOPLE:
        made = await boss.send("POST", "/access/tokens", {"roles": {"busy": "editor"}})
        people[name] = Client(http, workspace | {"Authorization": f"Bearer {made['token']}"})
        ids[name] = made["id"]
    # Chat by a model of the workspace, embeddings by the server's.
    wish = {"llm_factory": "OpenAI-API-Compatible", "llm_name": "chatty", "model_type": "chat", "unverified": True}
    await boss.send(
        "POST", "/llm/add_llm", wish | {"api_base": models.openai_url, "api_key": "k", "price_in": 1, "price_out": 2}
    )
    return boss, people, ids


async def _work(name: str, client: Client) -> int:
    """Bring documents, ask, and give answers up; return how many."""
    for number, topic in enumerate(TOPICS):
        text = f"{name.title()} traded in {topic} with merchants of town {number}. " * 3
        await client.send("POST", "/documents/text", {"text": text, "file_source": f"{name}-{topic}.txt"})
        await client.send("POST", "/query", {"query": f"Who traded in {topic}?", "mode": "mix"})
        # The keywords of the same question are kept.
        await client.send("POST", "/query", {"query": f"Who traded in {topic}?", "mode": "mix"})
        if number % 2:
            await client.give_up(f"Who sold {topic} to {name}, {GIVEN_UP}?")
    return len(TOPICS) // 2


async def _entries(boss: Client, witness: Witness) -> list[dict[str, Any]]:
    """Return the rows, once there is one for every call: they are written some time after it."""
    async with asyncio.timeout(60):
        while True:
            rows: list[dict[str, Any]] = (await boss.send("GET", "/llm/usage/entries", limit=1000))["data"]
            kinds = Counter(row["type"] for row in rows if row["part_of"] is None and row["outcome"] != "cached")
            if all(kinds[kind] >= witness.seen[kind] for kind in ("chat", "embedding")):
                return rows
            await asyncio.sleep(0.1)


async def test_the_ledger_holds_what_the_model_server_saw(tmp_path: Path) -> None:
    witness = Witness()
    async with ModelServer(answer=witness.answer, react=witness.react, tps=500) as models:
        environ = {"LIGHTRAG_EXTRACTOR": "auto", "ENABLE_LLM_CACHE": "true"}
        async with live_server(tmp_path, models, **environ) as url, httpx.AsyncClient(base_url=url, timeout=60) as http:
            boss, people, ids = await _admit(http, models)
            witness.seen.clear()
            witness.told.clear()
            given_up = sum(await asyncio.gather(*(_work(name, client) for name, client in people.items())))
            async with asyncio.timeout(60):
                while (await boss.send("GET", "/documents/pipeline_status"))["busy"]:
                    await asyncio.sleep(0.1)
            rows = await _entries(boss, witness)
            sums = (await boss.send("GET", "/llm/usage", by="token"))["data"]
    calls = [row for row in rows if row["part_of"] is None and row["outcome"] != "cached"]
    for kind in ("chat", "embedding"):
        made = [row for row in calls if row["type"] == kind]
        assert len(made) == witness.seen[kind], kind
        assert sum(row["outcome"] == "error" for row in made) == witness.seen[f"{kind} failed"], kind
    assert sum(row["outcome"] == "aborted" for row in calls) == witness.seen["given up"] == given_up
    whole = [row for row in rows if row["outcome"] == "ok"]
    assert not any(row["is_estimated"] for row in whole)
    for field in ("prompt", "completion"):
        total = sum(row[f"{field}_tokens"] for row in whole if row["type"] == "chat")
        assert total == witness.told[f"chat {field}"]
    assert sum(row["prompt_tokens"] for row in whole if row["type"] == "embedding") == witness.told["embedding prompt"]
    broken = [row for row in rows if row["outcome"] == "aborted"]
    assert all(row["is_estimated"] and row["prompt_tokens"] and row["completion_tokens"] for row in broken)
    # Every row says who, what for, how long and at what price; kept answers cost nothing.
    assert {row["token_id"] for row in rows} == set(ids.values())
    assert all(row["request_id"] for row in rows if row["operation"] != "embed")
    kept = [row for row in rows if row["outcome"] == "cached"]
    assert {row["operation"] for row in kept} == {"keywords", "answer"}
    assert all(row["cost_usd"] == row["prompt_tokens"] == 0 for row in kept)
    assert all(row["cost_usd"] is not None for row in rows if row["type"] == "chat")
    total = sums["total"]
    assert (total["calls"], total["cached_answers"]) == (len(calls), len(kept))
    assert total["prompt_tokens"] == sum(row["prompt_tokens"] for row in rows)
    assert {row["token"] for row in sums["usage"]} == set(ids.values())
