"""The bundled embedder gives meaningful, reproducible vectors for texts of any length and language."""

from __future__ import annotations

import asyncio
import hashlib
import re
from importlib import resources

import numpy as np
import pytest

import minilm_int8
from lightrag.embedded.minilm import MiniLMEmbedder
from lightrag.errors import ConfigurationError

LONG = " ".join(f"Sentence number {i} tells of the river and its bridges." for i in range(120))


def test_the_files_are_the_ones_that_their_provenance_names() -> None:
    notes = (resources.files("minilm_int8") / "PROVENANCE.md").read_text("utf-8")
    files = minilm_int8.files()
    for name, file in (("model.onnx", files.model), ("tokenizer.json", files.tokenizer)):
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        assert re.search(rf"`{re.escape(name)}`.*`{digest}`", notes)
    assert "Apache License" in (resources.files("minilm_int8") / "LICENSE").read_text("utf-8")


async def test_near_meanings_are_near_and_far_ones_far(embedder: MiniLMEmbedder) -> None:
    meal, eating, stock = await embedder.embed(
        ["They shared a meal.", "People are eating dinner.", "The stock market fell."], purpose="document"
    )
    assert meal @ eating > 0.5
    assert stock @ eating < 0.2


async def test_a_question_is_nearest_to_the_passage_that_answers_it(embedder: MiniLMEmbedder) -> None:
    passages = [
        "Photosynthesis turns light into chemical energy in the leaves of plants.",
        "The treaty was signed in 1648 and ended thirty years of war.",
        "A compiler translates source code into machine instructions.",
    ]
    read = await embedder.embed(passages, purpose="document")
    asked = await embedder.embed(
        ["How do plants use sunlight?", "When did the war end?", "What makes programs executable?"], purpose="query"
    )
    assert (asked @ read.T).argmax(axis=1).tolist() == [0, 1, 2]


async def test_vectors_have_unit_length_and_the_announced_dimension(embedder: MiniLMEmbedder) -> None:
    vectors = await embedder.embed(["", "a", "知识图谱", "emoji 🙂", LONG, "lone \ud83d half"], purpose="document")
    assert vectors.shape == (6, embedder.facts.dimension)
    assert vectors.dtype == np.float32
    assert np.isfinite(vectors).all()
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


async def test_a_vector_does_not_depend_on_its_neighbours(embedder: MiniLMEmbedder) -> None:
    texts = [LONG, "short", "a sentence of medium length about rivers", *(f"text {i}" for i in range(20))]
    together = await embedder.embed(texts, purpose="document")
    backwards = await embedder.embed(texts[::-1], purpose="document")
    alone = np.concatenate([await embedder.embed([text], purpose="query") for text in texts])
    np.testing.assert_array_equal(together, backwards[::-1])
    np.testing.assert_array_equal(together, alone)


async def test_the_end_of_a_long_text_counts(embedder: MiniLMEmbedder) -> None:
    other_end = LONG[: -len(LONG) // 3] + " Volcanoes erupt with lava and ash." * 60
    plain, changed, volcano = await embedder.embed([LONG, other_end, "volcanic eruption"], purpose="document")
    assert changed @ volcano > plain @ volcano + 0.1


async def test_no_texts_give_no_vectors(embedder: MiniLMEmbedder) -> None:
    assert (await embedder.embed([], purpose="document")).shape == (0, 384)


async def test_many_calls_at_once_are_answered_each_with_its_own(embedder: MiniLMEmbedder) -> None:
    texts = [f"topic number {i}" for i in range(6)]
    single = await asyncio.gather(*(embedder.embed([text], purpose="query") for text in texts))
    np.testing.assert_array_equal(np.concatenate(single), await embedder.embed(texts, purpose="document"))


async def test_a_closed_embedder_can_be_used_again() -> None:
    model = MiniLMEmbedder(threads=1)
    first = await model.embed(["text"], purpose="query")
    await model.aclose()
    await model.aclose()
    np.testing.assert_array_equal(await model.embed(["text"], purpose="query"), first)
    await model.aclose()


async def test_a_cancelled_call_leaves_the_embedder_usable(embedder: MiniLMEmbedder) -> None:
    call = asyncio.create_task(embedder.embed([LONG] * 64, purpose="document"))
    await asyncio.sleep(0.01)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert (await embedder.embed(["still there"], purpose="query")).shape == (1, 384)


def test_facts_are_known_before_the_model_is_loaded() -> None:
    facts = MiniLMEmbedder().facts
    assert facts.dimension == 384
    assert facts.identity == "embedded/all-MiniLM-L6-v2-int8@"


def test_no_threads_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="at least 1"):
        MiniLMEmbedder(threads=0)
