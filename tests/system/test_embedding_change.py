"""A workspace keeps the embedding model that it was made with, and tells how to change it."""

from __future__ import annotations

from pathlib import Path

from lightrag.testing.model_server import ModelServer

from .contents import contents_of
from .corpus import answer_with_mark, chronicle
from .server import ServerProcess, openai_models, run_command

QUESTION = "Who carried the letter over the mountains?"


async def test_another_embedding_model_is_refused_until_the_vectors_are_made_anew(tmp_path: Path) -> None:
    async with (
        ModelServer(answer=answer_with_mark, dimension=64) as models,
        ModelServer(answer=answer_with_mark, dimension=96) as others,
    ):
        environ = openai_models(models.openai_url, CHUNK_SIZE="120", CHUNK_OVERLAP_SIZE="10")
        changed = environ | {"EMBEDDING_BINDING_HOST": others.openai_url, "EMBEDDING_MODEL": "other"}
        async with ServerProcess(tmp_path, environ) as server:
            for number in range(3):
                await server.add(chronicle(number), f"{number}.txt")
            await server.settle()
        before = await contents_of(server.working_dir)

        status, _, told = await run_command(
            "lightrag-server", "--host", "127.0.0.1", "--port", "0", folder=tmp_path, environ=changed
        )
        assert status == 1
        assert "'openai/stand-in'" in told
        assert "'openai/other'" in told
        assert "lightrag repair --re-embed" in told
        assert "Traceback" not in told
        assert await contents_of(server.working_dir) == before

        models.reset()
        status, out, told = await run_command("lightrag", "repair", "--re-embed", folder=tmp_path, environ=changed)
        assert status == 0, out + told
        assert "everything agrees" in out
        assert models.requests == []
        assert others.bodies("/chat/completions") == []
        assert sum(len(body["input"]) for body in others.bodies("/embeddings")) == sum(
            map(len, before.vectors.values())
        )
        assert await contents_of(server.working_dir) == before

        async with ServerProcess(tmp_path, changed) as server:
            found = await server.find(QUESTION, mode="naive")
            assert found["chunks"]
            await server.add(chronicle(3), "3.txt")
            assert (await server.settle())["3.txt"]["status"] == "processed"


async def test_vectors_of_another_length_under_the_same_name_fail_the_document_with_the_way_out(tmp_path: Path) -> None:
    async with (
        ModelServer(answer=answer_with_mark, dimension=64) as models,
        ModelServer(answer=answer_with_mark, dimension=96) as others,
    ):
        async with ServerProcess(tmp_path, openai_models(models.openai_url)) as server:
            await server.add(chronicle(0), "0.txt")
            assert (await server.settle())["0.txt"]["status"] == "processed"
        changed = openai_models(models.openai_url, EMBEDDING_BINDING_HOST=others.openai_url)
        async with ServerProcess(tmp_path, changed) as server:
            await server.add(chronicle(1), "1.txt")
            row = (await server.settle())["1.txt"]
            assert row["status"] == "failed"
            assert "64" in row["error_msg"]
            assert "96" in row["error_msg"]
            assert "lightrag repair --re-embed" in row["error_msg"]
            answer = await server.client.post("/query/data", json={"query": QUESTION, "mode": "naive"})
            assert answer.status_code == 409
