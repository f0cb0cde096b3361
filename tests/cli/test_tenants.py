"""Commands on workspaces that have models of their own."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest

from lightrag.api.app import create_app
from lightrag.cli.local import LocalTarget
from lightrag.cli.running import Where
from lightrag.cli.targets import Question
from lightrag.testing.model_server import ModelServer

from .conftest import Run

KEY = ("--api-key", "secret")


def test_a_workspace_whose_models_are_not_at_hand_is_looked_at_exported_and_removed(
    run: Run, notes: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("workspace", "create", "a").exit_code == 0
    assert run("ingest", "notes", "--workspace", "a").exit_code == 0
    monkeypatch.setenv("EMBEDDING_BINDING", "openai")
    monkeypatch.setenv("EMBEDDING_BINDING_HOST", "http://127.0.0.1:9/v1")
    monkeypatch.setenv("EMBEDDING_MODEL", "another")
    refused = run("search", "Cordouan", "--workspace", "a")
    assert refused.exit_code == 1
    assert "POST /llm/add_llm" in refused.stderr
    described = run("workspace", "describe", "a", "--json")
    assert described.exit_code == 0, described.output
    assert json.loads(described.stdout)["documents"]["processed"] == 2
    assert run("workspace", "export", "a", str(folder / "a.tar.gz")).exit_code == 0
    assert run("workspace", "import", "b", str(folder / "a.tar.gz")).exit_code == 0
    assert json.loads(run("workspace", "describe", "b", "--json").stdout)["documents"]["processed"] == 2
    for name in ("a", "b"):
        removed = run("workspace", "delete", name, "--yes")
        assert removed.exit_code == 0, removed.output


def test_a_workspace_of_a_server_is_named_on_the_command_line(run: Run, notes: Path, server_url: str) -> None:
    there = ("--url", server_url, *KEY)
    result = run("ingest", "notes", *there, "--workspace", "apart")
    assert result.exit_code == 0, result.output
    assert run("search", "Charles Babbage", *there, "--workspace", "apart").exit_code == 0
    assert run("search", "Charles Babbage", *there, "--workspace", "elsewhere").exit_code == 1


async def test_a_local_command_uses_the_models_that_the_workspace_has_on_the_server(folder: Path) -> None:
    async with ModelServer(dimension=32) as models:
        app = create_app(Where().settings())
        transport = httpx.ASGITransport(app)
        headers = {"LIGHTRAG-WORKSPACE": "a"}
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://server", headers=headers) as client,
        ):
            for name, kind in (("chatty", "chat"), ("vectors", "embedding")):
                body = {
                    "llm_factory": "OpenAI-API-Compatible",
                    "llm_name": name,
                    "model_type": kind,
                    "api_base": models.openai_url,
                }
                assert (await client.post("/llm/add_llm", json=body)).json()["retcode"] == 0
            await client.post("/documents/text", json={"text": "Ada wrote notes.", "file_source": "ada.txt"})
            await app.state.server.tenants.pool.peek("a").wait_until_idle()
        before = len(models.bodies("/v1/chat/completions"))
        async with Where(workspace="a").target(indexes=False) as target:
            assert isinstance(target, LocalTarget)
            answer = await target.ask(Question("What did Ada write?", mode="naive"))
            said = "".join([piece async for piece in answer.pieces])
        assert "stand-in" in said
        assert len(models.bodies("/v1/chat/completions")) > before
