from __future__ import annotations

import json
from pathlib import Path

from .conftest import Run

KEY = ("--api-key", "secret")


def test_a_folder_is_brought_to_a_server_and_asked_about(run: Run, notes: Path, server_url: str) -> None:
    result = run("ingest", "notes", "--url", server_url, *KEY, "--tag", "topic=history")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("2 new; 2 chunks")
    assert run("ingest", "notes", "--url", server_url, *KEY).stdout.startswith("2 unchanged")

    answer = run("ask", "Where was the first Fresnel lens lit?", "--url", server_url, *KEY)
    assert "Cordouan" in answer.stdout
    assert "notes__2024__cordouan.txt (characters 0-51)" in answer.stdout

    found = json.loads(run("search", "Charles Babbage", "--json", "--url", server_url, *KEY).stdout)
    assert found["data"]["chunks"][0]["file_path"] == "notes__ada.md"
    other = ("--filter-tag", "topic=physics")
    assert run("search", "Charles Babbage", *other, "--url", server_url, *KEY).exit_code == 1

    (notes / "ada.md").write_text("Grace Hopper wrote the first compiler.\n")
    assert run("ingest", "notes", "--url", server_url, *KEY).stdout.startswith("1 changed, 1 unchanged")


def test_a_question_to_a_server_names_its_model(run: Run, server_url: str) -> None:
    result = run("ask", "Who wrote it?", "--model", "gpt-4o@OpenAI", "--url", server_url, *KEY)
    assert result.exit_code == 1
    assert "There is no chat model 'gpt-4o@OpenAI' to ask" in result.stderr
    result = run("search", "Who wrote it?", "--rerank-model", "best", "--url", server_url, *KEY)
    assert "There is no reranking model 'best' to ask" in result.stderr


def test_the_key_is_taken_from_the_settings(run: Run, folder: Path, server_url: str) -> None:
    (folder / ".env").write_text("LIGHTRAG_API_KEY=secret\n")
    assert run("doctor", "--url", server_url).exit_code == 0


def test_a_missing_key_is_told(run: Run, server_url: str) -> None:
    result = run("ask", "What is there?", "--url", server_url)
    assert result.exit_code == 2
    assert "--api-key" in result.stderr


def test_a_file_that_the_server_refuses_is_listed(run: Run, notes: Path, server_url: str) -> None:
    (notes / "empty.txt").touch()
    result = run("ingest", "notes/empty.txt", "--url", server_url, *KEY)
    assert result.exit_code == 1
    assert "empty.txt" in result.stdout


def test_a_server_that_is_not_there_is_told(run: Run) -> None:
    result = run("doctor", "--url", "http://127.0.0.1:9")
    assert result.exit_code == 1
    assert "cannot be reached" in result.stdout
    assert run("search", "any", "--url", "http://127.0.0.1:9").exit_code == 1


def test_a_folder_is_given_up_at_once_where_no_server_lets_its_files_in(run: Run, notes: Path, server_url: str) -> None:
    absent = run("ingest", "notes", "--url", "http://127.0.0.1:9")
    assert absent.exit_code == 1
    assert absent.output.count("cannot be reached") == 1
    refused = run("ingest", "notes", "--url", server_url, "--api-key", "wrong")
    assert refused.exit_code == 2
    assert refused.output.count("--api-key") == 1


def test_an_address_may_leave_out_its_scheme(run: Run, server_url: str) -> None:
    assert run("doctor", "--url", server_url.removeprefix("http://"), *KEY).exit_code == 0


def test_unchanged_files_get_the_tags_that_are_given(run: Run, notes: Path, server_url: str) -> None:
    where = ("--url", server_url, *KEY)
    (notes / "ada.md").rename(notes / "lovelace.md")
    (notes / "lovelace.md").write_text("Augusta Ada King was the Countess of Lovelace.\n")
    run("ingest", "notes/lovelace.md", *where)
    assert run("ingest", "notes/lovelace.md", *where, "--tag", "era=victorian").stdout.startswith("1 changed")
    assert run("ingest", "notes/lovelace.md", *where, "--tag", "era=victorian").stdout.startswith("1 unchanged")
    assert run("search", "Countess of Lovelace", "--filter-tag", "era=victorian", *where).exit_code == 0
