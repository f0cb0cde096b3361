"""Rerankers: the scores of a plain computation, for both families."""

from __future__ import annotations

import pytest

from llmservice.backends.factory import load_backend
from llmservice.errors import ContextOverflow, ModelLoadError

from .conftest import Encoder, source
from .reference import ReferenceEncoder

QUERY = "What is bread made of?"
DOCUMENTS = (
    "Bread is made of flour, water, salt and yeast; it is baked in a hot oven.",
    "x",
    "The weather today is sunny, with a light wind from the west.",
    "",
)


@pytest.mark.parametrize("name", ["xlmr-reranker", "bert-reranker"])
async def test_scores_are_those_of_the_definition(encoders: dict[str, Encoder], name: str) -> None:
    reference = ReferenceEncoder(encoders[name].directory)
    model = load_backend("rerank", source(encoders[name].onnx))
    found = await model.score(QUERY, DOCUMENTS)
    for document, score in zip(DOCUMENTS, found, strict=True):
        assert score.logit == pytest.approx(reference.logit(QUERY, document), abs=1e-4)
        assert score.tokens == len(reference.tokenizer.encode(QUERY, document).ids)
    assert await model.score(QUERY, []) == []
    await model.aclose()


async def test_llama_cpp_scores_as_onnx_where_there_is_one_segment(encoders: dict[str, Encoder]) -> None:
    encoder = encoders["xlmr-reranker"]
    gguf, onnx = load_backend("rerank", source(encoder.gguf, slots=2)), load_backend("rerank", source(encoder.onnx))
    ours, theirs = await gguf.score(QUERY, DOCUMENTS[:3]), await onnx.score(QUERY, DOCUMENTS[:3])
    await gguf.aclose()
    await onnx.aclose()
    assert [score.logit for score in ours] == pytest.approx([score.logit for score in theirs], abs=0.05)
    assert [score.tokens for score in ours] == [score.tokens for score in theirs]


def test_llama_cpp_is_not_given_a_reranker_with_two_segments(encoders: dict[str, Encoder]) -> None:
    with pytest.raises(ModelLoadError, match=r"2 segment ids.*would be wrong.*onnx"):
        load_backend("rerank", source(encoders["bert-reranker"].gguf))


@pytest.mark.parametrize("form", ["onnx", "gguf"])
async def test_of_each_document_as_many_tokens_are_read_as_asked_for(encoders: dict[str, Encoder], form: str) -> None:
    model = load_backend("rerank", source(getattr(encoders["xlmr-reranker"], form)))
    (empty,) = await model.score(QUERY, [""])
    long, short = await model.score(QUERY, ["flour and water " * 10, "x"], document_tokens=5)
    assert empty.tokens < short.tokens <= long.tokens <= empty.tokens + 5
    await model.aclose()


@pytest.mark.parametrize("form", ["onnx", "gguf"])
async def test_a_long_document_is_cut_and_a_long_query_refused(encoders: dict[str, Encoder], form: str) -> None:
    model = load_backend("rerank", source(getattr(encoders["xlmr-reranker"], form)))
    (score,) = await model.score(QUERY, ["flour and water " * 200])
    assert 120 <= score.tokens <= model.facts.context_length == 128
    with pytest.raises(ContextOverflow):
        await model.score("what is bread " * 200, DOCUMENTS)
    await model.aclose()
