"""How the front process and its workers live: crashes, overload, departures, idleness, the end."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from .front import WAIT, Front, running, start


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


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


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


async def test_more_than_the_queue_holds_is_refused_and_the_rest_served(sturdy: Front, tmp_path: Path) -> None:
    may_end = tmp_path / "may-end"
    body = {"model": "light", "messages": [{"role": "user", "content": f"until {may_end}"}]}
    async with httpx.AsyncClient(base_url=sturdy.url, timeout=WAIT) as client:
        calls = [asyncio.create_task(client.post("/v1/chat/completions", json=body)) for _ in range(12)]
        refused = [await first for first in itertools.islice(asyncio.as_completed(calls), 7)]
        may_end.touch()
        answers = await asyncio.gather(*calls)
    assert [answer.status_code for answer in refused] == [429] * 7
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)
    assert sorted(answer.status_code for answer in answers) == [200] * 5 + [429] * 7
    sturdy.wait_for("light", active=0, waiting=0)


def test_a_client_that_leaves_frees_its_slot(sturdy: Front) -> None:
    body = {"model": "light", "messages": [{"role": "user", "content": "say 900 0.05"}]}
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{sturdy.url}/v1/chat/completions", json=body, timeout=httpx.Timeout(WAIT, read=0.3))
    sturdy.wait_for("light", active=0)
    streamed = {**body, "stream": True}
    with httpx.stream("POST", f"{sturdy.url}/v1/chat/completions", json=streamed, timeout=WAIT) as answer:
        lines = answer.iter_lines()  # kept: the connection is closed with it
        next(lines)
        assert sturdy.tier("light")["active"] == 1
    sturdy.wait_for("light", active=0, waiting=0)


def test_a_worker_killed_from_outside_is_replaced(sturdy: Front) -> None:
    sturdy.chat("x")
    for child in Path(f"/proc/{sturdy.process.pid}/task/{sturdy.process.pid}/children").read_text().split():
        os.kill(int(child), signal.SIGKILL)
    assert sturdy.chat("still here").json()["choices"][0]["message"]["content"] == "still here"


def test_loading_and_unloading_by_hand(sturdy: Front, tmp_path: Path) -> None:
    assert sturdy.post("/admin/load", model="medium").json()["state"] == "ready"
    may_end = tmp_path / "may-end"
    (slow,) = in_threads(1, lambda: sturdy.chat(f"until {may_end}", model="medium"))
    sturdy.wait_for("medium", active=1)
    assert sturdy.post("/admin/unload", model="medium").status_code == 409
    may_end.touch()
    slow.join()
    sturdy.wait_for("medium", active=0)
    assert sturdy.post("/admin/unload", model="medium").json()["state"] == "unloaded"


def test_key_idleness_deadline_and_stop(fake_models: dict[str, str], tmp_path: Path) -> None:
    variables = {
        **fake_models,
        "API_KEY": "s3cret",
        "IDLE_TIMEOUT": "0.3",
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
        assert front.chat("x" * 20_000).status_code == 413
        origins = [
            front.client.get("/health", headers={"origin": origin}).headers.get("access-control-allow-origin")
            for origin in ("https://chat.example", "https://other.example")
        ]
        assert origins == ["https://chat.example", None]
        may_end, lines = tmp_path / "may-end", list[str]()
        (thread,) = in_threads(1, lambda: lines.append(front.chat(f"until {may_end}", stream=True).text))
        front.wait_for("light", active=1)
        front.process.send_signal(signal.SIGTERM)
        wait_until(lambda: not (tmp_path / ".port").exists())
        may_end.touch()
        thread.join()
        assert lines[0].endswith("[DONE]\n\n")
        assert front.process.wait(WAIT) == 0
    with running(tmp_path, {**variables, "REQUEST_TIMEOUT": "1"}) as front:
        front.client.headers["authorization"] = "Bearer s3cret"
        assert front.chat("kept on disk", temperature=0).headers["x-cache"] == "HIT"
        assert front.tier("light")["state"] == "unloaded"
        assert front.chat("say 900 0.1").json()["error"]["code"] == "deadline_exceeded"


def test_the_next_port_is_taken_where_one_is_in_use(fake_models: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with running(tmp_path / "a", fake_models) as first:
        port = first.url.rpartition(":")[2]
        told = tmp_path / "b" / ".port"
        told.write_text(port)  # left by a crash
        with running(tmp_path / "b", {**fake_models, "PORT": port}) as second:
            wait_until(lambda: told.read_text() != port)
            assert int(port) < int(told.read_text()) <= int(port) + 100
            wait_until(lambda: "taken" in second.log)


def test_the_service_ends_when_nobody_asks(fake_models: dict[str, str], tmp_path: Path) -> None:
    process = start(tmp_path, {**fake_models, "SHUTDOWN_TIMEOUT": "0.5"})
    assert process.wait(WAIT) == 0
    assert not (tmp_path / ".port").exists()
    assert "SHUTDOWN_TIMEOUT" in (tmp_path / "log").read_text()


def test_a_signal_that_comes_while_the_service_starts_ends_it(fake_models: dict[str, str], tmp_path: Path) -> None:
    told = tmp_path / ".port"
    for number in (signal.SIGTERM, signal.SIGINT):
        process = start(tmp_path, fake_models)
        wait_until(told.exists)
        process.send_signal(number)
        assert process.wait(WAIT) == 0, (tmp_path / "log").read_text()
        assert not told.exists()
