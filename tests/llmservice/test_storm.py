"""A thousand requests with clients that leave, workers that are killed, and more load than the queue holds."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from pathlib import Path

import httpx

from .front import Front, running

REQUESTS = 1000
WORDS = 12


async def test_nobody_gets_a_wrong_answer_and_no_slot_is_lost(fake_models: dict[str, str], tmp_path: Path) -> None:
    chance = random.Random(7)
    outcomes: dict[str, int] = {}
    with running(tmp_path, {**fake_models, "LIGHT_QUEUE_SIZE": "16", "LOG_LEVEL": "ERROR"}) as front:
        before = memory(front)
        async with httpx.AsyncClient(base_url=front.url, timeout=30) as client:
            front.chat("warm up")
            gate = asyncio.Semaphore(24)

            async def one(number: int) -> None:
                async with gate:
                    outcome = await ask(client, number, leaves=chance.random() < 0.2)
                    outcomes[outcome] = outcomes.get(outcome, 0) + 1
                    if number % 300 == 50:
                        kill_worker(front)

            await asyncio.gather(*(one(number) for number in range(REQUESTS)))
        front.wait_for("light", active=0, waiting=0)
        # A worker that was killed while it loaded counts as a failed load, after which there is a pause.
        assert front.post("/admin/load", model="light").json()["state"] == "ready"
        assert front.chat("at the end").json()["choices"][0]["message"]["content"] == "at the end"
        assert memory(front) < before + 20
    assert sum(outcomes.values()) == REQUESTS
    assert set(outcomes) <= {"right", "left", "429", "503", "broken off"}
    assert outcomes["right"] > REQUESTS / 5, outcomes


async def ask(client: httpx.AsyncClient, number: int, *, leaves: bool) -> str:
    """Ask for a text of one's own; return how it went."""
    text = " ".join(f"n{number}-{word}" for word in range(WORDS))
    body = {"model": "light", "messages": [{"role": "user", "content": text}], "stream": bool(number % 2)}
    try:
        answer = await client.post("/v1/chat/completions", json=body, timeout=0.02 if leaves else 30)
    except httpx.TimeoutException:
        return "left"
    if answer.status_code != 200:
        await asyncio.sleep(0.2)  # so that most still wait when a worker that was killed is back
        return str(answer.status_code)
    said = answer.text
    others = [
        word for word in said.split("n") if "-" in word and word[:1].isdigit() and not word.startswith(f"{number}-")
    ]
    assert not others
    if f"n{number}-{WORDS - 1}" in said:
        return "right"
    assert '"error"' in said
    return "broken off"


def kill_worker(front: Front) -> None:
    """End a worker at once, if there is one."""
    for child in Path(f"/proc/{front.process.pid}/task/{front.process.pid}/children").read_text().split():
        os.kill(int(child), signal.SIGKILL)


def memory(front: Front) -> float:
    """Return the front process's resident memory in MB."""
    lines = Path(f"/proc/{front.process.pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1000
