"""Language models on both engines: answers, limits, slots."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest

from llmservice.backends.contracts import ChatBackend, ChatRequest, CompletionRequest, Piece, Sampling
from llmservice.backends.factory import load_backend
from llmservice.errors import ContextOverflow, InvalidRequest, ServiceError
from llmservice.testing.tiny_llama import TinyLlama

from .conftest import chat_source

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 12},
        "age": {"type": "integer", "minimum": 0, "maximum": 150},
        "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "maxItems": 3},
    },
    "required": ["name", "age", "tags"],
    "additionalProperties": False,
}
QUESTIONS = ("Hello, what is the capital of France?", "Tell me a story", "42", "Graphs and rivers", "Übung")


def asking(text: str, max_tokens: int = 16, *, schema: dict[str, Any] | None = None, **sampling: Any) -> ChatRequest:
    chosen = Sampling(max_tokens, **{"temperature": 0, **sampling})
    return ChatRequest([{"role": "user", "content": text}], chosen, json_schema=schema)


async def read(pieces: AsyncIterator[Piece]) -> tuple[str, Piece]:
    """Return an answer's text and its last piece."""
    found = [piece async for piece in pieces]
    return "".join(piece.text for piece in found), found[-1]


async def test_both_engines_write_the_same_text_with_the_same_weights(llama: TinyLlama) -> None:
    llamacpp = load_backend("chat", chat_source(llama, "llamacpp"), "llamacpp")
    mlx = load_backend("chat", chat_source(llama, "mlx"), "mlx")
    try:
        for question in QUESTIONS:
            ours, end = await read(mlx.chat(asking(question, 32)))
            theirs, their_end = await read(llamacpp.chat(asking(question, 32)))
            assert ours == theirs
            assert end == their_end
        prompt = CompletionRequest("Once upon a time", Sampling(24, temperature=0))
        assert await read(mlx.complete(prompt)) == await read(llamacpp.complete(prompt))
        assert await mlx.tokenize("a lighthouse") == await llamacpp.tokenize("a lighthouse")
    finally:
        await llamacpp.aclose()
        await mlx.aclose()


async def test_an_answer_ends_at_its_limit_and_counts_its_tokens(model: ChatBackend) -> None:
    text, end = await read(model.chat(asking(QUESTIONS[0], 7)))
    assert text
    assert (end.finish_reason, end.prompt_tokens, end.completion_tokens) == ("length", 28, 7)


async def test_an_answer_ends_before_a_stop_sequence(model: ChatBackend) -> None:
    whole, _ = await read(model.chat(asking(QUESTIONS[1], 24)))
    stop = next(word for word in re.findall(r"[a-z]{4,}", whole)[1:])
    text, end = await read(model.chat(asking(QUESTIONS[1], 24, stop=(stop,))))
    assert text == whole[: whole.index(stop)]
    assert end.finish_reason == "stop"


async def test_a_seed_gives_the_same_answer_again_and_another_seed_another(model: ChatBackend) -> None:
    first, again, other = [
        (await read(model.chat(asking(QUESTIONS[0], 24, temperature=1.0, seed=seed))))[0] for seed in (1, 1, 2)
    ]
    assert first == again != other


async def test_log_probabilities_come_with_alternatives_best_first(model: ChatBackend) -> None:
    pieces = [piece async for piece in model.chat(asking(QUESTIONS[0], 3, logprobs=3))]
    tokens = [item for piece in pieces for item in piece.logprobs]
    assert 1 <= len(tokens) <= 3  # llama.cpp reports tokens that make up one character as one
    for item in tokens:
        values = [value for _, value in item.top]
        assert len(values) == 3
        assert values == sorted(values, reverse=True)
        assert item.logprob == values[0] <= 0


async def test_a_bias_forbids_a_token(model: ChatBackend) -> None:
    text, _ = await read(model.chat(asking(QUESTIONS[0], 1)))
    (token,) = await model.tokenize(text)
    other, _ = await read(model.chat(asking(QUESTIONS[0], 1, logit_bias={token: -100.0})))
    assert other != text


async def test_answers_bound_to_a_schema_are_valid_beside_free_ones(model: ChatBackend) -> None:
    schemas = [PERSON, None, PERSON, {}]
    requests = [
        asking("hi", 300 if schema else 60, temperature=1.0, seed=seed, schema=schema)
        for seed, schema in enumerate(schemas)
    ]
    answers = await asyncio.gather(*(read(model.chat(request)) for request in requests))
    for index in (0, 2):
        person = json.loads(answers[index][0])
        assert set(person) == {"name", "age", "tags"}
        assert 0 <= person["age"] <= 150
        assert answers[index][1].finish_reason == "stop"
    assert answers[3][0].lstrip().startswith("{")
    completion = CompletionRequest("person:", Sampling(300, temperature=1.0, seed=5), json_schema=PERSON)
    assert set(json.loads((await read(model.complete(completion)))[0])) == {"name", "age", "tags"}


@pytest.mark.parametrize("schema", [{"type": "nope"}, {"$ref": "#/x"}, {"type": "array", "uniqueItems": True}])
async def test_a_schema_that_cannot_be_enforced_is_refused(model: ChatBackend, schema: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest, match="schema cannot be enforced"):
        await read(model.chat(asking("hi", schema=schema)))


async def test_a_prompt_beyond_the_context_is_refused_with_both_numbers(model: ChatBackend) -> None:
    with pytest.raises(ContextOverflow) as caught:
        await read(model.chat(asking("a b c " * 400)))
    assert caught.value.tokens > 1000
    assert caught.value.limit == model.facts.context_length == 512


async def test_an_answer_ends_where_the_context_does(model: ChatBackend) -> None:
    _, end = await read(model.chat(asking("hi", 10_000)))
    assert end.finish_reason == "length"
    assert end.prompt_tokens + end.completion_tokens in (511, 512, 513)


async def test_more_answers_than_slots_are_all_written_as_if_alone(model: ChatBackend) -> None:
    alone = [(await read(model.chat(asking(question, 12))))[0] for question in QUESTIONS]
    together = await asyncio.gather(*(read(model.chat(asking(question, 12))) for question in QUESTIONS * 3))
    assert [text for text, _ in together] == alone * 3


async def test_leaving_an_answer_frees_its_slot(model: ChatBackend) -> None:
    for _ in range(12):
        async with contextlib.aclosing(model.chat(asking("hi", 400))) as pieces:  # type: ignore[type-var]
            await anext(pieces)
    running = [asyncio.create_task(read(model.chat(asking("hi", 400)))) for _ in range(8)]
    await asyncio.sleep(0.01)
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    text, _ = await asyncio.wait_for(read(model.chat(asking(QUESTIONS[0], 4))), 60)
    assert text


async def test_unloading_ends_what_runs(llama: TinyLlama) -> None:
    for engine in ("llamacpp", "mlx"):
        loaded = load_backend("chat", chat_source(llama, engine, context=4096), engine)
        endless = asking("hi", 4000, logit_bias={0: -100.0, 1: -100.0, 2: -100.0})
        answer = loaded.chat(endless)
        assert await anext(answer)
        await asyncio.wait_for(loaded.aclose(), 60)
        with pytest.raises(ServiceError, match="unloaded"):
            await asyncio.wait_for(read(answer), 60)
        with pytest.raises(ServiceError, match="unloaded"):
            await asyncio.wait_for(read(loaded.chat(asking("hi"))), 60)
