"""Texts that are longer than the embedding model takes."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Literal

import numpy as np
import pytest

from lightrag.errors import ContextTooLong, ModelRefused
from lightrag.llm.contracts import FloatArray, ModelFacts
from lightrag.llm.embedding_batcher import BatchedEmbedding
from lightrag.llm.embedding_limit import LimitedTexts
from lightrag.testing.fake_models import hash_vectors
from lightrag.text.tokens import load_tokenizer

TOKENIZER = load_tokenizer()


@dataclasses.dataclass
class SmallModel:
    """Refuses calls with a text of more characters than it takes."""

    most: int
    seen: list[list[str]] = dataclasses.field(default_factory=list)
    refusals: int = 0

    @property
    def facts(self) -> ModelFacts:
        return ModelFacts("test", "small", dimension=8)

    async def embed(self, texts: Sequence[str], *, purpose: Literal["document", "query"]) -> FloatArray:
        if any(len(text) > self.most for text in texts):
            self.refusals += 1
            raise ContextTooLong("too long")
        self.seen.append(list(texts))
        return hash_vectors(texts, 8)

    async def aclose(self) -> None:
        return None


async def test_a_long_text_is_cut_at_a_token_and_a_short_one_goes_as_it_is() -> None:
    model = SmallModel(10_000)
    limited = LimitedTexts(model, 50, TOKENIZER)
    long = "Ünïcode wörds und mehr, " * 200
    vectors = await limited.embed([long, "short"], purpose="document")
    ((cut, short),) = model.seen
    assert vectors.shape == (2, 8)
    assert long.startswith(cut)
    assert TOKENIZER.count(cut) <= 50 < TOKENIZER.count(cut + long[len(cut) : len(cut) + 12])
    assert short == "short"


async def test_a_text_longer_than_the_model_takes_is_embedded_as_the_mean_of_its_windows() -> None:
    model = SmallModel(500)
    embedding = BatchedEmbedding(model, 8)
    long = "".join(f"word{number} " for number in range(200))
    vectors = await embedding.embed(["short", long, "other"], purpose="document")
    model.seen.clear()
    np.testing.assert_allclose(vectors, await embedding.embed(["short", long, "other"], purpose="document"), atol=1e-6)
    windows = [text for call in model.seen for text in call if text not in {"short", "other"}]
    assert "".join(windows) == long
    assert all(window.endswith(" ") and 250 < len(window) <= 500 for window in windows)
    mean = np.average(hash_vectors(windows, 8), axis=0, weights=[len(window) for window in windows])
    np.testing.assert_allclose(vectors[1], mean / np.linalg.norm(mean), atol=1e-6)
    np.testing.assert_array_equal(vectors[[0, 2]], hash_vectors(["short", "other"], 8))


async def test_what_the_model_takes_is_learned_once() -> None:
    model = SmallModel(500)
    embedding = BatchedEmbedding(model, 8)
    texts = [f"{number} " * 600 for number in range(20)]
    first = await embedding.embed(texts, purpose="document")
    refusals = model.refusals
    again = await embedding.embed(texts, purpose="document")
    assert refusals > 0
    assert model.refusals == refusals
    np.testing.assert_allclose(first, again, atol=1e-6)


async def test_long_texts_at_the_same_time_do_not_make_calls_smaller() -> None:
    model = SmallModel(500)
    embedding = BatchedEmbedding(model, 8)
    await embedding.embed([f"{number} " * (600 if number % 4 else 1) for number in range(64)], purpose="document")
    model.seen.clear()
    await embedding.embed(["short"] * 16, purpose="document")
    assert [len(call) for call in model.seen] == [8, 8]


async def test_windows_end_between_characters() -> None:
    model = SmallModel(40)
    text = "여러백엔드를사용할때는" * 20
    await BatchedEmbedding(model).embed([text], purpose="query")
    assert "".join(window for call in model.seen for window in call) == text


async def test_a_text_that_is_refused_however_short_is_an_error() -> None:
    with pytest.raises(ContextTooLong):
        await BatchedEmbedding(SmallModel(1)).embed(["word " * 300], purpose="query")


@dataclasses.dataclass
class StrictModel:
    """Refuses calls of more texts than it takes, and texts with a certain word, in words that nobody knows."""

    most: int = 8
    unwanted: str = "unwanted"
    calls: list[int] = dataclasses.field(default_factory=list)
    refusals: int = 0

    @property
    def facts(self) -> ModelFacts:
        return ModelFacts("test", "strict", dimension=8)

    async def embed(self, texts: Sequence[str], *, purpose: Literal["document", "query"]) -> FloatArray:
        if len(texts) > self.most or any(self.unwanted in text for text in texts):
            self.refusals += 1
            error = ModelRefused("no")
            error.status = 400
            raise error
        self.calls.append(len(texts))
        return hash_vectors(texts, 8)

    async def aclose(self) -> None:
        return None


async def test_a_call_of_more_texts_than_the_server_takes_is_split_whatever_it_says_and_that_is_remembered() -> None:
    model = StrictModel(most=8)
    embedding = BatchedEmbedding(model, 32)
    texts = [f"text {number}" for number in range(64)]
    vectors = await embedding.embed(texts, purpose="document")
    np.testing.assert_array_equal(vectors, hash_vectors(texts, 8))
    refusals = model.refusals
    assert refusals > 0
    model.calls.clear()
    await embedding.embed(texts, purpose="document")
    assert model.refusals == refusals
    assert model.calls == [8] * 8


async def test_a_call_of_more_text_than_the_server_takes_makes_later_calls_smaller_in_characters_only() -> None:
    model = SmallCalls()
    embedding = BatchedEmbedding(model, 16)
    await embedding.embed(["word " * 1000] * 16, purpose="document")
    refusals = model.refusals
    assert refusals > 0
    await embedding.embed(["word " * 1000] * 16, purpose="document")
    await embedding.embed(["word"] * 16, purpose="document")
    assert model.refusals == refusals
    assert model.calls[-1] == 16


@dataclasses.dataclass
class SmallCalls(StrictModel):
    """Refuses calls of more than 40,000 characters in all."""

    async def embed(self, texts: Sequence[str], *, purpose: Literal["document", "query"]) -> FloatArray:
        if sum(map(len, texts)) > 40_000:
            self.refusals += 1
            raise ContextTooLong("too long")
        self.calls.append(len(texts))
        return hash_vectors(texts, 8)


async def test_a_request_that_is_refused_as_it_is_costs_a_few_calls_and_not_one_for_each_text() -> None:
    model = StrictModel(unwanted="")
    with pytest.raises(ModelRefused):
        await BatchedEmbedding(model, 32).embed([f"text {number}" for number in range(32)], purpose="document")
    assert model.refusals <= 6
