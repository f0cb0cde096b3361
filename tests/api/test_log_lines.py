"""Every log line names the workspace and the request that it is about, whichever library writes it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
import structlog

from lightrag.api.logs import configure_logging
from lightrag.callers import Caller, calling_as, working_for
from lightrag.settings import Settings
from lightrag.testing.model_server import ModelServer, Reaction

from .conftest import Real


@contextmanager
def logged(settings: Settings) -> Iterator[None]:
    """Log as a server does, for the length of the block."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    structlog.reset_defaults()
    configure_logging(settings)
    try:
        yield
    finally:
        for handler in root.handlers:
            handler.close()
        root.handlers[:] = handlers
        root.setLevel(level)
        structlog.reset_defaults()


def lines_of(folder: Path) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in (folder / "lightrag.log").read_text().splitlines()]


async def test_lines_of_requests_and_of_work_in_the_background_name_their_workspace(real: Real, tmp_path: Path) -> None:
    environ = {"LOG_DIR": str(tmp_path / "logs"), "LOG_FORMAT": "json", "LOG_LEVEL": "INFO"}
    async with ModelServer(dimension=32) as models, real(COSINE_THRESHOLD="-1", **environ) as server:
        tenants = server.client._transport.app.state.server.tenants  # type: ignore[attr-defined]
        with logged(server.settings):
            for name in ("tenant-a", "tenant-b"):
                headers = {"LIGHTRAG-WORKSPACE": name, "X-Request-ID": f"adding-{name}"}
                wish = {"llm_factory": "OpenAI-API-Compatible", "llm_name": "chatty", "model_type": "chat"}
                wish |= {"api_base": models.openai_url, "api_key": "k"}
                await server.client.post("/llm/add_llm", json=wish, headers=headers)
                # The first call of the work in the background fails: a library tells of it.
                models.script(Reaction.status_code(429, retry_after="0"))
                body = {"text": f"Ada of {name} wrote a program.", "file_source": "a.txt"}
                answer = await server.client.post("/documents/text", json=body, headers=headers)
                async with asyncio.timeout(60):
                    await tenants.pool.peek(name).wait_until_idle()
                models.script(Reaction.status_code(429, retry_after="0"))
                body = {"query": "Who wrote?", "mode": "naive"}
                await server.client.post("/query", json=body, headers={**headers, "X-Request-ID": f"asking-{name}"})
                track = answer.json()["track_id"]
                own = [line for line in lines_of(tmp_path / "logs") if line.get("workspace") == name]
                assert {line["request_id"] for line in own if line["logger"] == "lightrag.llm.retry"} == {
                    track,
                    f"asking-{name}",
                }
                paths = {line["request_id"]: line["path"] for line in own if line["event"] == "request"}
                assert paths == {f"adding-{name}": "/documents/text", f"asking-{name}": "/query"}
            await server.client.get("/livez")
        lines = lines_of(tmp_path / "logs")
    assert {line.get("workspace") for line in lines} <= {"tenant-a", "tenant-b", None}
    nameless = [line for line in lines if line.get("workspace") is None]
    assert all("tenant-" not in str(line) for line in nameless), nameless


def test_the_workspace_without_a_name_has_one_in_lines(make_settings: Any, capsys: pytest.CaptureFixture[str]) -> None:
    with logged(make_settings()):
        log = logging.getLogger("some.library")
        with working_for(""), calling_as(Caller(request_id="r-1")):
            log.warning("about the default workspace")
        with working_for("tenant-a"):
            log.warning("about a tenant")
        log.warning("about nobody")
    default, tenant, nobody = capsys.readouterr().err.splitlines()
    assert default.endswith("[some.library] request_id=r-1 workspace=(default)")
    assert tenant.endswith("[some.library] workspace=tenant-a")
    assert nobody.endswith("[some.library]")


def test_secrets_are_masked_in_json_as_well(make_settings: Any, capsys: pytest.CaptureFixture[str]) -> None:
    secret = 'quoted "secret" key'
    with logged(make_settings(LOG_FORMAT="json", LLM_BINDING_API_KEY=secret)):
        logging.getLogger("some.library").warning("the key is %s", secret)
    line = orjson.loads(capsys.readouterr().err)
    assert line["event"] == "the key is ********"
