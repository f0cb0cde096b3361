"""Texts that are longer than the embedding model takes."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Literal

import pytest

from lightrag.errors import ContextTooLong
from lightrag.llm.contracts import FloatArray, ModelFacts
from lightrag.llm.embedding_limit import LimitedTexts
from lightrag.testing.fake_models import hash_vectors
from lightrag.text.tokens import load_tokenizer

TOKENIZER = load_tokenizer()


@dataclasses.dataclass
class SmallModel:
    """Refuses calls with a text of more characters than it takes."""

    most: int
    seen: list[list[str]] = dataclasses.field(default_factory=list)

    @property
    def facts(self) -> ModelFacts:
        return ModelFacts("test", "small", dimension=8)

    async def embed(self, texts: Sequence[str], *, purpose: Literal["document", "query"]) -> FloatArray:
        if any(len(text) > self.most for text in texts):
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


async def test_a_model_that_counts_more_tokens_gets_less_of_the_text_and_all_of_the_others() -> None:
    model = SmallModel(120)
    vectors = await LimitedTexts(model, 50, TOKENIZER).embed(["word " * 300, "short"], purpose="document")
    (refused,), (other,) = model.seen
    assert (vectors.shape, other) == ((2, 8), "short")
    assert 60 < len(refused) <= 120


async def test_a_text_that_is_refused_however_short_is_an_error() -> None:
    with pytest.raises(ContextTooLong):
        await LimitedTexts(SmallModel(1), 50, TOKENIZER).embed(["word " * 300], purpose="query")
