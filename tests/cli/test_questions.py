from __future__ import annotations

import json

import pytest

from lightrag.cli.questions import place, reference_lines
from lightrag.cli.targets import Cited
from lightrag.testing.model_server import ModelServer, Reaction

from .conftest import Run


@pytest.mark.usefixtures("indexed")
def test_an_answer_ends_with_references(run: Run) -> None:
    result = run("ask", "Where was the first Fresnel lens lit?")
    assert result.exit_code == 0
    assert "Cordouan" in result.stdout
    assert "notes/2024/cordouan.txt (characters 0-51)" in result.stdout


@pytest.mark.usefixtures("indexed")
@pytest.mark.parametrize("mode", ["local", "global", "hybrid", "naive", "mix"])
def test_every_mode_answers(run: Run, mode: str) -> None:
    assert "[1]" in run("ask", "What did Ada Lovelace write?", "--mode", mode).stdout


@pytest.mark.usefixtures("indexed")
def test_an_answer_can_be_read_by_programs(run: Run) -> None:
    answer = json.loads(run("ask", "Where was the first Fresnel lens lit?", "--json").stdout)
    assert "Cordouan" in answer["answer"]
    assert {"notes/2024/cordouan.txt"} <= {item["file_path"] for item in answer["references"]}


def test_an_answer_that_was_cut_off_is_told_beside_it(run: Run, model_server: ModelServer) -> None:
    model_server.script(None, *[Reaction.says("Half an ans", finish_reason="length")] * 2)
    whole, cut = (run("ask", "Hello?", "--mode", "bypass") for _ in range(2))
    assert "cut off" not in whole.stderr
    assert cut.exit_code == 0
    assert cut.stdout == "Half an ans\n\n"
    assert "cut off at the model's length limit" in cut.stderr
    told = json.loads(run("ask", "Hello?", "--mode", "bypass", "--json").stdout)
    assert (told["answer"], told["finish_reason"], told["model"]) == ("Half an ans", "length", "stand-in@openai")


def test_what_a_model_thinks_is_no_part_of_an_answer_for_programs(run: Run, model_server: ModelServer) -> None:
    model_server.script(Reaction.says("Hmm.\n</think>\n\nYes."))
    assert json.loads(run("ask", "Hello?", "--mode", "bypass", "--json").stdout)["answer"] == "Yes."


@pytest.mark.usefixtures("model_server")
def test_explaining_an_answer_tells_which_model_wrote_it(run: Run) -> None:
    plain, explained = (run("ask", "Hello?", "--mode", "bypass", *more) for more in ((), ("--explain",)))
    assert plain.stderr == ""
    assert explained.stdout == plain.stdout
    assert explained.stderr == "Written by stand-in@openai.\n"
    assert "No language model" in run("ask", "Hello?", "--explain").stderr


@pytest.mark.usefixtures("indexed")
def test_a_question_can_be_restricted_to_documents(run: Run) -> None:
    result = run("ask", "Who wrote notes?", "--path", "notes/2024/*")
    assert "ada.md" not in result.stdout


@pytest.mark.usefixtures("indexed")
def test_explaining_tells_which_lists_found_a_passage(run: Run) -> None:
    plain, explained = run("search", "Charles Babbage"), run("search", "Charles Babbage", "--explain")
    assert "notes/ada.md" in plain.stdout
    assert "lexical" not in plain.stdout
    assert "lexical" in explained.stdout
    assert "1 (" in explained.stdout
    assert "entities: " in explained.stdout
    found = json.loads(run("search", "Charles Babbage", "--json").stdout)
    best = found["data"]["chunks"][0]
    assert best["file_path"] == "notes/ada.md"
    assert {"list", "rank", "score"} == set(best["found_by"][0])


@pytest.mark.usefixtures("indexed")
def test_nothing_found_is_told_by_the_exit_status(run: Run) -> None:
    result = run("search", "Charles Babbage", "--doc", "doc-that-does-not-exist")
    assert result.exit_code == 1
    assert "no passage was found" in result.stdout


def test_a_question_to_an_empty_workspace_is_answered(run: Run) -> None:
    result = run("ask", "What is there?")
    assert result.exit_code == 0
    assert "not able to provide an answer" in result.stdout


def test_an_unknown_mode_is_refused_with_the_known_ones(run: Run) -> None:
    result = run("ask", "What?", "--mode", "deep")
    assert result.exit_code == 2
    assert "local, global, hybrid, naive, mix, bypass" in result.stderr


def test_bypass_without_a_model_says_what_to_set(run: Run) -> None:
    result = run("ask", "Hello?", "--mode", "bypass")
    assert result.exit_code == 2
    assert "LLM_BINDING" in result.stderr


@pytest.mark.parametrize(
    ("pages", "text"),
    [((None, None), ""), ((3, 3), "p. 3, "), ((3, None), "p. 3, "), ((3, 5), "pp. 3-5, ")],
)
def test_a_place_names_pages_where_there_are_any(pages: tuple[int | None, int | None], text: str) -> None:
    passage = {"page_start": pages[0], "page_end": pages[1], "start": 10, "end": 20}
    assert place(passage) == f"{text}characters 10-20"


def test_many_passages_of_one_document_are_counted() -> None:
    passages = [{"start": start, "end": start + 9} for start in range(0, 100, 10)]
    (line,) = reference_lines([Cited("2", "long.txt", passages)])
    assert line.startswith("[2] long.txt (characters 0-9; characters 10-19;")
    assert line.endswith("and 4 more)")


@pytest.mark.usefixtures("indexed")
@pytest.mark.parametrize("option", ["--model", "--rerank-model"])
@pytest.mark.parametrize("command", ["ask", "search"])
def test_a_model_that_is_not_configured_is_told(run: Run, command: str, option: str) -> None:
    result = run(command, "What did Ada Lovelace write?", option, "gpt-4o")
    assert result.exit_code == 1
    assert "'gpt-4o' to ask" in result.stderr
    assert not result.stdout
