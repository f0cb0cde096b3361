from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from lightrag.testing.model_server import ModelServer

from .conftest import Run


def test_doctor_finds_nothing_broken_in_an_empty_folder(run: Run, folder: Path) -> None:
    result = run("doctor")
    assert result.exit_code == 0
    assert "nothing is broken" in result.stdout
    assert "384 dimensions" in result.stdout
    assert "For written answers set LLM_BINDING" in result.stdout


def test_doctor_says_where_a_setting_comes_from_and_hides_secrets(run: Run, folder: Path) -> None:
    (folder / ".env").write_text("LLM_BINDING_API_KEY=sk-secret\nCHUNK_SIZE=800\n")
    output = run("doctor").stdout
    assert "indexing.chunk_size = 800 (.env CHUNK_SIZE)" in output
    assert "sk-secret" not in output


def test_doctor_tells_what_does_not_answer(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLM_BINDING", "openai")
    monkeypatch.setenv("LLM_BINDING_HOST", "http://127.0.0.1:9/v1")
    monkeypatch.setenv("LLM_MODEL", "any")
    result = run("doctor", "--json")
    assert result.exit_code == 1
    broken = [item for item in json.loads(result.stdout) if item["level"] == "broken"]
    assert [item["subject"] for item in broken] == ["language model"]
    assert "127.0.0.1:9" in broken[0]["detail"]
    assert broken[0]["mend"]


def test_doctor_asks_the_models(folder: Path) -> None:
    import asyncio

    async def work() -> str:
        async with ModelServer(dimension=24) as server:
            environment = {
                "LLM_BINDING": "openai",
                "LLM_BINDING_HOST": server.openai_url,
                "LLM_MODEL": "any",
                "EMBEDDING_BINDING": "openai",
                "EMBEDDING_BINDING_HOST": server.openai_url,
                "EMBEDDING_MODEL": "any",
            }
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "lightrag.cli.main", "doctor"),
                cwd=folder,
                env={"PATH": "/usr/bin:/bin", "HOME": str(folder), "COLUMNS": "200", **environment},
                stdout=subprocess.PIPE,
            )
            output, _ = await process.communicate()
            assert process.returncode == 0, output.decode()
            return output.decode()

    output = asyncio.run(work())
    assert "24 dimensions" in output
    assert "openai/any" in output
    assert "answered" in output


def test_doctor_tells_of_a_folder_that_cannot_be_used(run: Run, folder: Path) -> None:
    (folder / "file").touch()
    result = run("doctor", "--working-dir", "file/rag_storage")
    assert result.exit_code == 1
    assert "BROKEN" in result.stdout
    assert "working folder" in result.stdout


@pytest.mark.usefixtures("indexed")
def test_repair_mends_what_verify_finds(run: Run, folder: Path) -> None:
    assert run("verify").stdout.endswith("everything agrees\n")
    _forget_all_entities(folder / "rag_storage" / "lightrag.sqlite3")
    broken = run("verify")
    assert broken.exit_code == 1
    assert "lightrag repair" in broken.stdout
    repaired = run("repair")
    assert repaired.exit_code == 0, repaired.output
    assert run("verify", "--json").exit_code == 0


@pytest.mark.usefixtures("indexed")
def test_repair_mends_what_shows_only_once_something_else_is_mended(run: Run, folder: Path) -> None:
    connection = sqlite3.connect(folder / "rag_storage" / "lightrag.sqlite3")
    # Mentions need their chunks.
    tables = ("kv_text_chunks", "entity_mention", "relation_mention", "chunk")
    connection.executescript("; ".join(f"DELETE FROM {table}" for table in tables))
    connection.close()
    repaired = run("repair")
    assert repaired.exit_code == 0, repaired.output
    assert "everything agrees" in repaired.output


def _forget_all_entities(database: Path) -> None:
    with sqlite3.connect(database) as connection:
        connection.execute("UPDATE entity SET body = NULL, degree = NULL, folded = NULL")
    connection.close()


@pytest.mark.usefixtures("indexed")
def test_vectors_can_be_made_anew(run: Run) -> None:
    result = run("repair", "--re-embed")
    assert result.exit_code == 0, result.output
    assert "everything agrees" in result.stdout
    assert "notes/ada.md" in run("search", "Who worked with Babbage?").stdout


def test_retry_tells_what_fails_again(run: Run, notes: Path) -> None:
    (notes / "broken.pdf").write_text("not a PDF file")
    run("ingest", "notes/broken.pdf", "notes/ada.md")
    result = run("retry")
    assert result.exit_code == 1
    assert "1 processed, 1 failed" in result.stdout
    assert "broken.pdf" in result.stdout


def test_settings_are_shown_with_their_origin(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOP_K", "7")
    monkeypatch.setenv("LIGHTRAG_API_KEY", "very-secret")
    lines = json.loads(run("config", "show", "--json", "--changed").stdout)
    shown = {f"{line['group']}.{line['name']}": line for line in lines}
    assert shown["query.top_k"]["value"] == "7"
    assert shown["query.top_k"]["origin"] == "environment TOP_K"
    assert "very-secret" not in json.dumps(lines)
    assert len(json.loads(run("config", "show", "--json").stdout)) > 60


def test_a_wrong_setting_is_told_in_one_line(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOP_K", "many")
    result = run("config", "show")
    assert result.exit_code == 2
    assert "TOP_K is 'many'" in result.stderr
    assert "Traceback" not in result.output


def test_the_version_is_printed_without_loading_the_engine() -> None:
    code = (
        "import sys; sys.argv[1:] = ['version']; from lightrag.cli.main import app; app(standalone_mode=False);"
        "print(sorted({'numpy', 'onnxruntime', 'fastapi', 'openai', 'lightrag.engine'} & set(sys.modules)))"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.splitlines()[0].startswith("lightrag-server ")
    assert output.splitlines()[1] == "[]"
