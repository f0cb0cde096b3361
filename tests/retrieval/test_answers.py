"""Answers: written by a model, streamed, quoted, canned, or the context itself."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator

import pytest

from lightrag.errors import ConfigurationError, ModelUnreachable
from lightrag.llm.contracts import ChatReply, Role, Usage
from lightrag.retrieval.explain import explain
from lightrag.storage.contracts import Storage
from lightrag.storage.memory import MemoryStorage
from lightrag.testing.fake_models import FakeChat
from lightrag.types import Generation, Outcome, QueryParam, Thinking
from tests.retrieval.library import DIMENSION, Passage, reader, shelve

QUESTION = "Who made Stellar Drift?"


async def test_the_model_gets_instructions_context_conversation_and_question(films: Storage) -> None:
    chat = FakeChat(["Mara Quill made it [1]."])
    param = QueryParam(
        mode="mix",
        response_type="One Sentence",
        user_prompt="Answer like a pirate.",
        conversation_history=[
            {"role": "user", "content": "first"},
            {"role": "assistant", "content": "second"},
            {"role": "tool", "content": "left out"},
        ],
    )
    result = await reader(films, chat={Role.ANSWER: chat}).answer(QUESTION, param)
    assert result.text == "Mara Quill made it [1]."
    assert result.llm_generated
    [request] = chat.requests
    system, *said, asked = request.messages
    assert system.role == "system"
    assert "One Sentence" in system.content
    assert "Answer like a pirate." in system.content
    assert "Stellar Drift is a science fiction film" in system.content
    assert [(message.role, message.content) for message in said] == [("user", "first"), ("assistant", "second")]
    assert (asked.role, asked.content) == ("user", QUESTION)
    assert request.role is Role.ANSWER


async def test_only_the_last_turns_of_a_conversation_are_sent_where_a_number_is_given(films: Storage) -> None:
    chat = FakeChat(["yes"])
    turns = [{"role": role, "content": f"{role} {turn}"} for turn in range(3) for role in ("user", "assistant")]
    param = QueryParam(conversation_history=turns, history_turns=1)
    await reader(films, chat={Role.ANSWER: chat}).answer(QUESTION, param)
    assert [message.content for message in chat.requests[0].messages[1:-1]] == ["user 2", "assistant 2"]


async def test_an_answer_is_streamed_as_it_is_written(films: Storage) -> None:
    result = await reader(films, chat={Role.ANSWER: FakeChat(["one two three"])}).answer(
        QUESTION, QueryParam(stream=True)
    )
    assert result.text is None
    assert isinstance(result.stream, AsyncGenerator)
    assert [piece async for piece in result.stream] == ["one", " two", " three"]
    assert result.retrieved.references


async def test_how_an_answer_ended_is_told_at_its_end(films: Storage) -> None:
    reply = ChatReply("one two", finish_reason="length", usage=Usage(42, 2), thinking="Hmm.")
    asker = reader(films, chat={Role.ANSWER: FakeChat([reply])})
    whole = await asker.answer(QUESTION, QueryParam())
    streamed = await asker.answer(QUESTION, QueryParam(stream=True))
    assert streamed.stream is not None
    assert [piece async for piece in streamed.stream] == ["one", " two"]
    assert whole.outcome == Outcome("length", 42, 2, "Hmm.", model="fake-chat@fake")
    assert streamed.outcome == Outcome("length", 42, 2, model="fake-chat@fake")


async def test_a_stream_carries_what_the_model_thinks_where_that_is_wanted(films: Storage) -> None:
    asker = reader(films, chat={Role.ANSWER: FakeChat([ChatReply("one", thinking="Hmm.")])})
    result = await asker.answer(QUESTION, QueryParam(stream=True, generation=Generation(with_thinking=True)))
    assert result.stream is not None
    assert [(piece, isinstance(piece, Thinking)) async for piece in result.stream] == [("Hmm.", True), ("one", False)]


async def test_parameters_of_one_answer_reach_the_model(films: Storage) -> None:
    chat = FakeChat(["yes"])
    param = QueryParam(generation=Generation(temperature=0.1, max_tokens=9, json_object=True))
    await reader(films, chat={Role.ANSWER: chat}).answer(QUESTION, param)
    [request] = chat.requests
    assert (request.temperature, request.max_tokens, request.json_object) == (0.1, 9, True)
    assert not request.fresh


async def test_without_a_model_passages_are_quoted(films: Storage) -> None:
    result = await reader(films).answer(QUESTION, QueryParam(stream=True))
    assert result.text == "> Stellar Drift is a science fiction film by Mara Quill. [1]"
    assert result.stream is None
    assert not result.llm_generated


async def test_nothing_found_is_said_in_the_words_that_clients_know() -> None:
    storage = MemoryStorage("")
    await storage.set_dimension(DIMENSION)
    chat = FakeChat(["made up"])
    result = await reader(storage, chat={Role.ANSWER: chat}).answer(QUESTION, QueryParam(mode="naive"))
    assert result.text == "Sorry, I'm not able to provide an answer to that question.[no-context]"
    assert not chat.requests


async def test_the_context_can_be_had_without_an_answer(films: Storage) -> None:
    asker = reader(films, chat={Role.ANSWER: FakeChat([])})
    result = await asker.answer(QUESTION, QueryParam(mode="mix", only_need_context=True))
    assert result.text is not None
    rows = [json.loads(line) for line in result.text.splitlines() if line.startswith("{")]
    assert any(row.keys() == {"entity", "type", "description"} for row in rows)
    assert any(row.keys() == {"entity1", "entity2", "description"} for row in rows)
    assert any(row.keys() == {"reference_id", "content"} for row in rows)
    assert "[1] film.txt" in result.text.splitlines()
    assert result.text == await asker.context(QUESTION, QueryParam(mode="mix"))


async def test_the_prompt_can_be_had_without_an_answer_and_wins_over_the_context(films: Storage) -> None:
    param = QueryParam(mode="mix", only_need_context=True, only_need_prompt=True)
    result = await reader(films).answer(QUESTION, param)
    assert result.text is not None
    assert result.text.endswith(f"---User Query---\n{QUESTION}")
    assert "Stellar Drift is a science fiction film" in result.text


async def test_braces_in_texts_are_left_alone() -> None:
    storage = MemoryStorage("")
    await shelve(storage, [Passage("code", "Use {context} and {response_type} in templates.")])
    result = await reader(storage).answer("templates", QueryParam(mode="naive", only_need_prompt=True))
    assert result.text is not None
    assert "Use {context} and {response_type} in templates." in result.text


async def test_bypass_passes_the_conversation_to_the_model_without_retrieval(films: Storage) -> None:
    chat = FakeChat(["hello"])
    param = QueryParam(mode="bypass", conversation_history=[{"role": "user", "content": "hi"}])
    result = await reader(films, chat={Role.ANSWER: chat}).answer("and now?", param)
    assert result.text == "hello"
    assert result.retrieved.is_empty
    assert [message.content for message in chat.requests[0].messages] == ["hi", "and now?"]
    assert chat.requests[0].fresh


async def test_bypass_without_a_model_says_what_to_set(films: Storage) -> None:
    with pytest.raises(ConfigurationError, match="LLM_BINDING"):
        await reader(films).answer("hello", QueryParam(mode="bypass"))


async def test_a_failing_model_fails_the_answer_with_its_reason(films: Storage) -> None:
    chat = FakeChat([ModelUnreachable("timed out")])
    with pytest.raises(ModelUnreachable, match="timed out"):
        await reader(films, chat={Role.ANSWER: chat}).answer(QUESTION, QueryParam())


async def test_references_lead_to_document_passage_page_and_characters() -> None:
    storage = MemoryStorage("")
    text = "The valve opens at nine bar."
    await shelve(storage, [Passage("manual", text, page=7)])
    found = await reader(storage).retrieve("when does the valve open", QueryParam(mode="naive"))
    [reference] = found.references
    assert (reference.reference_id, reference.doc_id, reference.file_path) == ("1", "manual", "manual.txt")
    [chunk] = reference.chunks
    assert (chunk.id, chunk.page_start, chunk.start, chunk.end) == ("chunk-manual", 7, 0, len(text))
    [line] = explain(found)
    assert "manual.txt p. 7 [0:28]" in line
    assert "dense #1" in line


async def test_documents_without_a_path_are_used_but_not_cited() -> None:
    storage = MemoryStorage("")
    await shelve(storage, [Passage("note", "The valve opens at nine bar.", file_path="")])
    found = await reader(storage).retrieve("when does the valve open", QueryParam(mode="naive"))
    assert [ranked.reference_id for ranked in found.chunks] == [""]
    assert not found.references
