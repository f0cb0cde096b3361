"""Many conversations at the same time."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import httpx

from lightrag.testing.model_server import ModelServer

from .live_server import live_server

STREAMS = 200
ANSWER = "The answer of the stand-in comes in a dozen pieces, and each of them is a line."


async def test_two_hundred_chats_are_streamed_at_once(tmp_path: Path) -> None:
    async with (
        ModelServer(latency=0.2, tps=40, answer=lambda _: ANSWER, record=False) as models,
        live_server(tmp_path, models, MAX_ASYNC=str(STREAMS), LOG_LEVEL="ERROR") as url,
        httpx.AsyncClient(base_url=url, limits=httpx.Limits(max_connections=None), timeout=60) as client,
    ):
        answers = await asyncio.gather(*(chat(client, number) for number in range(STREAMS)))
        peak = models.stats()["chat_peak"]
    assert answers == [ANSWER] * STREAMS
    assert peak > STREAMS / 2


async def chat(client: httpx.AsyncClient, number: int) -> str:
    mode = "bypass" if number % 2 else "naive"
    body = {"model": "lightrag", "messages": [{"role": "user", "content": f"/{mode} Question {number}?"}]}
    said, ended = "", False
    async with client.stream("POST", "/api/chat", json=body) as answer:
        assert answer.status_code == 200
        async for line in answer.aiter_lines():
            part = json.loads(line)
            assert "error" not in part
            said += part["message"]["content"]
            ended = part["done"]
    assert ended
    return said
