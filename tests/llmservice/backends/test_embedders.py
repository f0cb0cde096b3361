"""Embedding models: the same vectors as a plain computation gives, whatever they are computed beside."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from llmservice.backends.contracts import EmbeddingBackend, VectorKind
from llmservice.backends.factory import bundled_embedder, load_backend
from llmservice.backends.vector_outputs import detect_outputs, lexical_weights
from llmservice.convert import convert_directory
from llmservice.convert.weights import read_torch
from llmservice.errors import ContextOverflow, InvalidRequest, ModelLoadError

from .conftest import Encoder, source
from .reference import ReferenceEncoder, unit

TEXTS = (
    "A river carries sand and stones from the mountains down to the sea.",
    "Bread",
    "the the the the river",
    "What is the capital of France? The capital of France is Paris, and bread is made of flour, water and yeast.",
    "数据库保存文档",
    "",
)
ALL: frozenset[VectorKind] = frozenset({"dense", "sparse", "colbert"})
DENSE: frozenset[VectorKind] = frozenset({"dense"})


async def test_bge_m3_gives_the_three_vectors_of_its_definition(encoders: dict[str, Encoder]) -> None:
    encoder = encoders["bge-m3"]
    reference = ReferenceEncoder(encoder.directory)
    heads = {
        f"{name}.{part}": tensor()
        for name in ("sparse_linear", "colbert_linear")
        for part, tensor in read_torch(encoder.directory / f"{name}.pt").items()
    }
    model = load_backend("embedding", source(encoder.onnx))
    assert set(model.facts.vectors) == ALL
    for text, found in zip(TEXTS, await model.embed(TEXTS, ALL, truncate=False), strict=True):
        ids, hidden = reference.text_hidden(text)
        assert found.tokens == len(ids)
        np.testing.assert_allclose(found.dense, unit(hidden[0]), atol=1e-5)
        colbert = unit(hidden[1:] @ heads["colbert_linear.weight"].T + heads["colbert_linear.bias"])
        assert found.colbert is not None
        assert found.colbert.shape == colbert.shape
        np.testing.assert_allclose(found.colbert, colbert, atol=1e-5)
        weights = hidden @ heads["sparse_linear.weight"][0] + heads["sparse_linear.bias"][0]
        expected: dict[str, float] = {}
        for number, weight in zip(ids, weights, strict=True):
            if number > 3 and weight > 0:
                expected[str(number)] = max(weight, expected.get(str(number), 0))
        assert found.sparse == pytest.approx(expected, abs=1e-5)
    await model.aclose()


async def test_a_bert_embedder_takes_the_mean_of_its_tokens(encoders: dict[str, Encoder]) -> None:
    encoder = encoders["bert-embedder"]
    reference = ReferenceEncoder(encoder.directory)
    model = load_backend("embedding", source(encoder.onnx))
    for text, found in zip(TEXTS, await model.embed(TEXTS, DENSE, truncate=False), strict=True):
        np.testing.assert_allclose(found.dense, unit(reference.text_hidden(text)[1].mean(axis=0)), atol=1e-5)
    await model.aclose()


async def test_weights_kept_beside_the_model_give_the_same_vectors(
    encoders: dict[str, Encoder], tmp_path: Path
) -> None:
    encoder = encoders["bge-m3"]
    convert_directory(encoder.directory, tmp_path / "split", inline_limit=0)
    assert (tmp_path / "split" / "model.onnx_data").stat().st_size > (tmp_path / "split" / "model.onnx").stat().st_size
    found = await _dense(load_backend("embedding", source(tmp_path / "split")), TEXTS)
    np.testing.assert_array_equal(found, await _dense(load_backend("embedding", source(encoder.onnx)), TEXTS))


async def test_int8_stays_close_and_no_text_depends_on_its_neighbours(
    encoders: dict[str, Encoder], tmp_path: Path
) -> None:
    encoder = encoders["bge-m3"]
    convert_directory(encoder.directory, tmp_path / "int8", int8=True)
    exact = await _dense(load_backend("embedding", source(encoder.onnx)), TEXTS)
    rounded = await _dense(load_backend("embedding", source(tmp_path / "int8")), TEXTS)
    alone = await _dense(load_backend("embedding", source(tmp_path / "int8")), TEXTS[:1])
    assert (exact * rounded).sum(axis=1).min() > 0.99
    np.testing.assert_array_equal(alone[0], rounded[0])


async def test_texts_of_many_requests_give_the_vectors_that_each_has_alone(encoders: dict[str, Encoder]) -> None:
    model = load_backend("embedding", source(encoders["bge-m3"].onnx))
    alone = [(await model.embed([text], DENSE, truncate=False))[0].dense for text in TEXTS]
    requests = [model.embed(TEXTS[start:], DENSE, truncate=False) for start in range(len(TEXTS)) for _ in range(5)]
    for number, found in enumerate(await asyncio.gather(*requests)):
        for text, expected in zip(found, alone[number // 5 :], strict=True):
            np.testing.assert_allclose(text.dense, expected, atol=1e-6)
    await model.aclose()


async def test_a_cancelled_request_does_not_hold_others_up(encoders: dict[str, Encoder]) -> None:
    model = load_backend("embedding", source(encoders["bge-m3"].onnx))
    long = asyncio.create_task(model.embed(TEXTS * 500, DENSE, truncate=False))
    await asyncio.sleep(0.05)
    long.cancel()
    assert await model.embed(["Bread"], DENSE, truncate=False)
    assert long.cancelled() or await asyncio.gather(long, return_exceptions=True)
    await model.aclose()


@pytest.mark.parametrize("form", ["onnx", "gguf"])
async def test_a_text_beyond_the_context_is_refused_or_cut(encoders: dict[str, Encoder], form: str) -> None:
    model = load_backend("embedding", source(getattr(encoders["bge-m3"], form)))
    long = "river and sand " * 200
    with pytest.raises(ContextOverflow) as caught:
        await model.embed(["short", long], DENSE, truncate=False)
    assert caught.value.limit == model.facts.context_length == 128
    assert caught.value.tokens > 200
    (cut,) = await model.embed([long], DENSE, truncate=True)
    assert cut.tokens == 128
    await model.aclose()


async def test_llama_cpp_gives_the_dense_vectors_of_onnx(encoders: dict[str, Encoder]) -> None:
    encoder = encoders["bge-m3"]
    texts = TEXTS[:4]
    model = load_backend("embedding", source(encoder.gguf, slots=2))
    with pytest.raises(InvalidRequest, match="makes no colbert or sparse vectors"):
        await model.embed(texts, ALL, truncate=False)
    found = await _dense(model, texts)
    exact = await _dense(load_backend("embedding", source(encoder.onnx)), texts)
    assert (found * exact).sum(axis=1).min() > 0.9999


async def test_the_bundled_model_knows_what_texts_mean() -> None:
    texts = [
        "a meal was served at noon",
        "they were eating lunch",
        "the stock market fell sharply",
        "shares lost value",
    ]
    vectors = await _dense(load_backend("embedding", bundled_embedder(1)), texts)
    likeness = vectors @ vectors.T
    assert min(likeness[0, 1], likeness[2, 3]) > 0.45
    assert max(likeness[0, 2], likeness[0, 3], likeness[1, 2], likeness[1, 3]) < 0.25
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


async def test_both_programs_give_the_bundled_models_same_vectors() -> None:
    from lightrag.embedded.minilm import MiniLMEmbedder

    texts = ["The lighthouse keeper counts ships.", "Ünïcödé and 数据库", "x"]
    other = MiniLMEmbedder()
    theirs = await other.embed(texts, purpose="document")
    await other.aclose()
    ours = await _dense(load_backend("embedding", bundled_embedder(1)), texts)
    assert (ours * theirs).sum(axis=1).min() > 0.9999


@pytest.mark.parametrize(
    ("outputs", "kinds"),
    [
        ([("dense_vecs", ["b", 8]), ("sparse_vecs", ["b", "s", 1]), ("colbert_vecs", ["b", "s", 8])], ALL),
        ([("output_0", ["b", 8]), ("output_1", ["b", "s", 1]), ("output_2", ["b", "s", 8])], ALL),
        ([("sparse_weights", ["b", "s"]), ("dense", ["b", 8])], {"dense", "sparse"}),
        ([("last_hidden_state", ["b", "s", 8]), ("pooler_output", ["b", 8])], DENSE),
        ([("token_embeddings", ["b", "s", 8]), ("sentence_embedding", ["b", 8])], DENSE),
    ],
)
def test_outputs_are_told_apart_by_name_or_shape(outputs: list[tuple[str, list[str]]], kinds: set[str]) -> None:
    assert set(detect_outputs(Path("model.onnx"), outputs).kinds) == kinds  # type: ignore[arg-type]


def test_a_model_of_scores_makes_no_vectors() -> None:
    with pytest.raises(ModelLoadError, match="logits"):
        detect_outputs(Path("model.onnx"), [("logits", ["b", 1])])


def test_lexical_weights_keep_the_highest_and_drop_special_and_negative_ones() -> None:
    ids = np.asarray([0, 7, 9, 7, 2])
    output = np.asarray([[5.0], [0.5], [-1.0], [0.25], [5.0], [9.0]])
    assert lexical_weights(output, ids, frozenset({0, 2})) == {"7": 0.5}


async def _dense(model: EmbeddingBackend, texts: tuple[str, ...] | list[str]) -> np.ndarray:  # type: ignore[type-arg]
    found = np.stack([item.dense for item in await model.embed(texts, DENSE, truncate=False)])  # type: ignore[misc]
    await model.aclose()
    return found
