"""Both programs together: lightrag-server on the models of llmservice, found by its port file."""

from __future__ import annotations

from pathlib import Path

import pytest

from lightrag.errors import ConfigurationError
from lightrag.settings import load_settings
from llmservice.convert import convert_directory
from llmservice.testing.tiny_encoders import make_tiny_bge_m3
from tests.system.server import ServerProcess, run_command

from .front import Front, running


async def test_documents_and_questions_go_through_the_service(front: Front, tmp_path: Path) -> None:
    where = f"llmservice:{front.folder}"
    environ = {
        "LLM_BINDING": "openai",
        "LLM_BINDING_HOST": where,
        "LLM_BINDING_API_KEY": "not-needed",
        "LLM_MODEL": "light",
        "LIGHTRAG_EXTRACTOR": "nlp",
        "EMBEDDING_BINDING": "openai",
        "EMBEDDING_BINDING_HOST": where,
        "EMBEDDING_BINDING_API_KEY": "not-needed",
        "EMBEDDING_MODEL": "embedding",
        "RERANK_BINDING": "cohere",
        "RERANK_BINDING_HOST": where,
        "RERANK_BINDING_API_KEY": "not-needed",
        "RERANK_MODEL": "reranker",
    }
    async with ServerProcess(tmp_path / "server", environ) as server:
        await server.add("Alan Stevenson built the Skerryvore lighthouse.", "lights.txt")
        await server.settle()
        assert [row["status"] for row in (await server.rows()).values()] == ["processed"]
        found = await server.post("/query", {"query": "Skerryvore lighthouse", "mode": "naive", "enable_rerank": True})
        assert found["references"][0]["file_path"] == "lights.txt"
        said = await server.post("/query", {"query": "tell me back", "mode": "bypass"})
        assert said["response"] == "tell me back"
    figures = front.client.get("/metrics").text
    for path in ("/v1/chat/completions", "/v1/embeddings", "/v1/rerank"):
        assert f'llmservice_requests_total{{path="{path}",status="200"}}' in figures


async def test_bge_m3s_sparse_weights_are_a_list_of_their_own_in_mode_mix(tmp_path: Path) -> None:
    make_tiny_bge_m3(tmp_path / "bge-m3")
    convert_directory(tmp_path / "bge-m3", tmp_path / "onnx")
    (tmp_path / "service").mkdir()
    environ = {
        "LLM_BINDING": "embedded",
        "EMBEDDING_BINDING": "openai",
        "EMBEDDING_BINDING_HOST": f"llmservice:{tmp_path / 'service'}",
        "EMBEDDING_BINDING_API_KEY": "not-needed",
        "EMBEDDING_MODEL": "embedding",
    }
    question = {"query": "Skerryvore lighthouse", "mode": "mix"}
    with running(tmp_path / "service", {"EMBEDDING_MODEL_PATH": str(tmp_path / "onnx")}, fake=False):
        async with ServerProcess(tmp_path / "server", environ) as server:
            await server.add("Alan Stevenson built the Skerryvore lighthouse.", "lights.txt")
            await server.settle()
            assert "sparse" not in await _lists(server, question, "lights.txt")
            server.environ["EMBEDDING_SPARSE"] = "true"
            await server.restart()
            # What was indexed before has no weights; what comes now has.
            await server.add("The Skerryvore lighthouse stands on a reef.", "reef.txt")
            await server.settle()
            assert [row["status"] for row in (await server.rows()).values()] == ["processed"] * 2
            assert "sparse" not in await _lists(server, question, "lights.txt")
            assert "sparse" in await _lists(server, question, "reef.txt")
            await server.stop()
            status, _, said = await run_command(
                "lightrag", "repair", "--re-embed", folder=server.folder, environ=server.environ
            )
            assert status == 0, said
            await server.start()
            await server.settle()
            assert "sparse" in await _lists(server, question, "lights.txt")


async def _lists(server: ServerProcess, question: dict[str, str], file_path: str) -> set[str]:
    """Return the lists that found a document's passages."""
    chunks = (await server.post("/query/data", question))["data"]["chunks"]
    found = [item["list"] for chunk in chunks if chunk["file_path"] == file_path for item in chunk["found_by"]]
    assert found
    return set(found)


def test_a_service_that_does_not_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"LLM_BINDING_HOST.*start `llmservice` first"):
        load_settings([], {"LLM_BINDING": "openai", "LLM_BINDING_HOST": f"llmservice:{tmp_path}"}, tmp_path)
