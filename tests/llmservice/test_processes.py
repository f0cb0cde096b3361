"""How the front process and its workers live: crashes, overload, departures, idleness, the end."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from .front import Front, running


@pytest.fixture(scope="module")
def sturdy(fake_models: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """A service whose workers may be killed."""
    broken = tmp_path_factory.mktemp("broken") / "m.gguf"
    broken.write_text("GGUF broken")
    variables = {**fake_models, "HEAVY_MODEL_PATH": str(broken)}
    with running(tmp_path_factory.mktemp("sturdy"), variables) as one:
        yield one


def in_threads(count: int, work: object) -> list[threading.Thread]:
    threads = [threading.Thread(target=work) for _ in range(count)]  # type: ignore[arg-type]
    for thread in threads:
        thread.start()
    return threads


def test_a_request_whose_worker_dies_is_started_again(sturdy: Front, tmp_path: Path) -> None:
    answer = sturdy.chat(f"die-once {tmp_path / 'a'} all is well")
    assert answer.json()["choices"][0]["message"]["content"] == "all is well"
    answer = sturdy.chat(f"die-once {tmp_path / 'b'} all is well", stream=True)
    assert "well" in answer.text


def test_a_request_that_kills_every_worker_ends_with_503(sturdy: Front) -> None:
    answer = sturdy.chat("die")
    assert answer.status_code == 503
    assert "ended while it worked" in answer.json()["error"]["message"]
    assert sturdy.chat("and then").status_code == 200


def test_an_answer_that_breaks_off_says_so_and_is_not_repeated(sturdy: Front) -> None:
    text = sturdy.chat("die-after 3", stream=True).text
    assert "[DONE]" not in text
    assert '"error"' in text.splitlines()[-2]
    assert text.count('"w0"') == 1


def test_a_model_that_cannot_be_loaded_says_why(sturdy: Front) -> None:
    answer = sturdy.chat("x", model="heavy")
    assert answer.status_code == 503
    assert "m.gguf is broken; copy it again" in answer.json()["error"]["message"]
    assert int(answer.headers["retry-after"]) >= 1
    assert sturdy.tier("heavy")["state"] == "failed"
    assert sturdy.client.get("/readyz").status_code == 200


async def test_more_than_the_queue_holds_is_refused_and_the_rest_served(sturdy: Front) -> None:
    sturdy.chat("warm up")
    body = {"model": "light", "messages": [{"role": "user", "content": "say 10 0.04"}]}
    async with httpx.AsyncClient(base_url=sturdy.url, timeout=30) as client:
        answers = await asyncio.gather(*(client.post("/v1/chat/completions", json=body) for _ in range(12)))
    assert sorted(answer.status_code for answer in answers) == [200] * 5 + [429] * 7
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in answers if answer.status_code == 429)
    sturdy.wait_for("light", active=0, waiting=0)


def test_a_client_that_leaves_frees_its_slot(sturdy: Front) -> None:
    body = {"model": "light", "messages": [{"role": "user", "content": "say 900 0.05"}]}
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{sturdy.url}/v1/chat/completions", json=body, timeout=httpx.Timeout(5, read=0.3))
    sturdy.wait_for("light", active=0)
    with httpx.stream("POST", f"{sturdy.url}/v1/chat/completions", json={**body, "stream": True}) as answer:
        lines = answer.iter_lines()  # kept: the connection is closed with it
        next(lines)
        assert sturdy.tier("light")["active"] == 1
    sturdy.wait_for("light", active=0, waiting=0)


def test_a_worker_killed_from_outside_is_replaced(sturdy: Front) -> None:
    sturdy.chat("x")
    for child in Path(f"/proc/{sturdy.process.pid}/task/{sturdy.process.pid}/children").read_text().split():
        os.kill(int(child), signal.SIGKILL)
    assert sturdy.chat("still here").json()["choices"][0]["message"]["content"] == "still here"


def test_loading_and_unloading_by_hand(sturdy: Front) -> None:
    assert sturdy.post("/admin/load", model="medium").json()["state"] == "ready"
    slow = threading.Thread(target=sturdy.chat, args=("say 5 0.1",), kwargs={"model": "medium"})
    slow.start()
    sturdy.wait_for("medium", active=1)
    assert sturdy.post("/admin/unload", model="medium").status_code == 409
    slow.join()
    sturdy.wait_for("medium", active=0)
    assert sturdy.post("/admin/unload", model="medium").json()["state"] == "unloaded"


def test_key_idleness_deadline_and_stop(fake_models: dict[str, str], tmp_path: Path) -> None:
    variables = {
        **fake_models,
        "API_KEY": "s3cret",
        "IDLE_TIMEOUT": "0.3",
        "REQUEST_TIMEOUT": "1",
        "CACHE_PERSIST_TO_DISK": "true",
        "CORS_ORIGINS": "https://chat.example",
        "MAX_BODY_MB": "0.01",
    }
    with running(tmp_path, variables) as front:
        assert front.chat("x").json()["error"]["type"] == "authentication_error"
        assert front.client.get("/health").status_code == 200
        front.client.headers["authorization"] = "Bearer s3cret"
        assert front.chat("kept on disk", temperature=0).headers["x-cache"] == "MISS"
        front.wait_for("light", state="unloaded")
        assert front.chat("say 100 0.1").json()["error"]["code"] == "deadline_exceeded"
        assert front.chat("x" * 20_000).status_code == 413
        origins = [
            front.client.get("/health", headers={"origin": origin}).headers.get("access-control-allow-origin")
            for origin in ("https://chat.example", "https://other.example")
        ]
        assert origins == ["https://chat.example", None]
        lines: list[str] = []

        def read() -> None:
            lines.append(front.chat("say 4 0.1", stream=True).text)

        (thread,) = in_threads(1, read)
        front.wait_for("light", active=1)
        front.process.send_signal(signal.SIGTERM)
        thread.join()
        assert lines[0].endswith("[DONE]\n\n")
        assert front.process.wait(10) == 0
        assert not (tmp_path / ".port").exists()
    with running(tmp_path, variables) as front:
        front.client.headers["authorization"] = "Bearer s3cret"
        assert front.chat("kept on disk", temperature=0).headers["x-cache"] == "HIT"
        assert front.tier("light")["state"] == "unloaded"


def test_the_service_ends_when_nobody_asks_and_takes_the_next_port(fake_models: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with running(tmp_path / "a", fake_models) as first:
        port = first.url.rpartition(":")[2]
        variables = {**fake_models, "PORT": port, "SHUTDOWN_TIMEOUT": "1.2"}
        (tmp_path / "b" / ".port").write_text(port)  # left by a crash
        with running(tmp_path / "b", variables) as second:
            end = time.monotonic() + 10
            while "taken" not in second.log and time.monotonic() < end:
                time.sleep(0.02)
            written = int((tmp_path / "b" / ".port").read_text())
            assert int(port) < written <= int(port) + 100
            assert second.process.wait(10) == 0
            assert not (tmp_path / "b" / ".port").exists()
            assert "SHUTDOWN_TIMEOUT" in second.log
