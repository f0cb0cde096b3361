"""`lightrag probe` against servers that speak real HTTP."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lightrag.testing.model_contract import closed_port
from lightrag.testing.model_server import ModelServer
from lightrag.testing.vendor_server_rerank import RerankServer


async def probe(folder: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own, for the server is in this one."""
    import asyncio

    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "COLUMNS": "200", **environ}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "lightrag.cli.main",
        "probe",
        *arguments,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    out, err = await process.communicate()
    return subprocess.CompletedProcess(arguments, process.returncode or 0, out.decode(), err.decode())


async def test_a_server_that_is_named_is_tried_and_its_settings_are_printed(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("LLM_BINDING_API_KEY=sk-not-for-you\nLLM_BACKENDS=[{}]\nLLM_BINDING=openai\n")
    async with ModelServer() as server:
        done = await probe(
            tmp_path,
            "chat",
            "--host",
            server.openai_url,
            "--model",
            "m",
            "--context",
            "0",
            OPENAI_API_KEY="sk-nor-this",
        )
    assert done.returncode == 0, done.stderr
    assert f"LLM_BINDING_HOST={server.openai_url}" in done.stdout
    assert "LLM_MODEL=m" in done.stdout
    assert not [request for request in server.requests if "authorization" in request.headers]


async def test_the_configured_servers_are_tried_with_all_their_backends(tmp_path: Path) -> None:
    async with ModelServer() as server, RerankServer("tei") as reranker:
        down = {"name": "down", "host": f"http://127.0.0.1:{closed_port()}/v1"}
        done = await probe(
            tmp_path,
            "--json",
            "--context",
            "0",
            LLM_BINDING="openai",
            LLM_BINDING_HOST=server.openai_url,
            LLM_MODEL="m",
            LLM_BACKENDS=json.dumps([{}, down]),
            EMBEDDING_BINDING="openai",
            EMBEDDING_BINDING_HOST=server.openai_url,
            EMBEDDING_MODEL="e",
            RERANK_BINDING="auto",
            RERANK_BINDING_HOST=reranker.url,
        )
    assert done.returncode == 1, done.stderr
    reports = json.loads(done.stdout)
    assert [report["kind"] for report in reports] == ["chat", "chat", "embedding", "rerank"]
    broken = [any(check["level"] == "broken" for check in report["checks"]) for report in reports]
    assert broken == [False, True, False, False]
    assert reports[3]["settings"]["RERANK_BINDING"] == "tei"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--host", "http://h"), "say which kind"),
        (("rerank",), "no rerank model is configured"),
        (("pictures",), "is not one of chat, embedding, rerank"),
    ],
)
async def test_wrong_use_is_told(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    done = await probe(tmp_path, *arguments, LLM_BINDING="none")
    assert done.returncode == 2
    assert message in done.stderr
