"""Find out what embedding and reranking models can do."""

from __future__ import annotations

import time

import numpy as np

from lightrag.errors import ConfigurationError, ContextTooLong, ModelError
from lightrag.llm import bindings
from lightrag.llm.contracts import EmbeddingModel
from lightrag.llm.endpoint_probe import EndpointReport, Target, check_server, outcome
from lightrag.llm.rerank_binding import HttpRerank
from lightrag.llm.rerank_dialects import DIALECTS
from lightrag.settings import EmbeddingSettings, RerankSettings, VendorSettings

_MOST_TEXTS = 256
_MOST_TOKENS = 8192
_SAME = 0.999999
_EQUAL = 1e-6
_QUESTION = "Which animal is the largest?"
_PASSAGES = ("Bread is baked from flour.", "The blue whale is the largest animal of all.", "Rivers flow to the sea.")


async def probe_embedding_endpoint(
    wanted: EmbeddingSettings, vendors: VendorSettings, *, seconds: float
) -> EndpointReport:
    """Ask an embedding model for its dimension, how many texts it takes and how long they may be."""
    target = Target(str(wanted.binding), wanted.host, wanted.model, wanted.api_key, seconds)
    report = EndpointReport("embedding", target.name())
    await check_server(report, target)
    if not report.is_usable:
        return report
    asked = wanted.model_copy(update={"timeout": seconds, "batch_num": 2048})
    model = bindings.EMBEDDING[target.binding](asked, vendors)
    try:
        dimension = await _dimension(report, model)
        if dimension:
            texts = await _most_texts(report, model)
            tokens = await _longest_text(report, model)
            report.settings |= _embedding_settings(wanted, dimension, texts, tokens)
    except ConfigurationError as error:
        report.broken("binding", str(error))
    finally:
        await model.aclose()
    return report


async def probe_rerank_endpoint(wanted: RerankSettings, *, seconds: float) -> EndpointReport:
    """Ask a reranking model in which dialect it wants to be asked, and whether it judges rightly."""
    model = HttpRerank(
        wanted.model or "",
        wanted.host,
        wanted.api_key.get_secret_value() if wanted.api_key else None,
        seconds,
        dialect=wanted.binding or "auto",
    )
    report = EndpointReport("rerank", f"{model.facts.label} at {model.facts.host}")
    started = time.perf_counter()
    try:
        hits = await model.rerank(_QUESTION, _PASSAGES, len(_PASSAGES))
    except ModelError as error:
        report.broken("reranking", str(error))
        return report
    finally:
        await model.aclose()
    report.ok("reranking", f"{len(hits)} passages in {time.perf_counter() - started:.2f} s")
    report.ok("dialect", f"{model.dialect}, at {model.address}")
    if hits[0].index == 1:
        report.ok("judgement", f"the right passage comes first, with {hits[0].score:.3f}")
    else:
        report.note("judgement", "the right passage does not come first: is it a reranking model?")
    report.settings = {
        "RERANK_BINDING": _binding(model.dialect),
        "RERANK_BINDING_HOST": model.address,
        "RERANK_MODEL": model.facts.name,
        "RERANK_BINDING_API_KEY": "<the key>" if wanted.api_key else "",
    }
    report.settings = {name: value for name, value in report.settings.items() if value}
    return report


def _binding(dialect: str) -> str:
    """Return what names a dialect in the settings: its variants are told by the address."""
    return dialect if dialect in DIALECTS else dialect.partition("-")[0]


async def _dimension(report: EndpointReport, model: EmbeddingModel) -> int | None:
    started = time.perf_counter()
    try:
        vectors = await model.embed(["a cat", "a cat", "corporate law"], purpose="document")
    except ModelError as error:
        report.broken("embedding", str(error))
        return None
    dimension: int = vectors.shape[1]
    report.ok("embedding", f"{dimension} dimensions, three texts in {time.perf_counter() - started:.2f} s")
    if float(vectors[0] @ vectors[1]) < _SAME:
        report.note("embedding", "the same text does not give the same vector")
    return dimension


async def _most_texts(report: EndpointReport, model: EmbeddingModel) -> int:
    most = min(_MOST_TEXTS, model.facts.max_batch or _MOST_TEXTS)
    taken, size = 1, min(2, most)
    while taken < most:
        error = await outcome(model.embed([f"text {number}" for number in range(size)], purpose="document"))
        if error is not None:
            if not isinstance(error, ContextTooLong) and error.retryable:
                report.note("texts in one call", f"{taken}; with {size} the call failed ({error})")
                return taken
            break
        taken, size = size, min(2 * size, most)
    limit = "" if taken == most else "; more are refused"
    report.ok("texts in one call", f"{taken}{limit}")
    return taken


async def _longest_text(report: EndpointReport, model: EmbeddingModel) -> int | None:
    """Return the most tokens that a text may have, as far as tried; two texts that differ at their end show a cut."""
    held, size = 0, 256
    while size <= _MOST_TOKENS:
        start = "word " * (size - 2)
        try:
            vectors = await model.embed([f"{start}river bank", f"{start}tax law"], purpose="document")
        except ContextTooLong:
            report.ok("longest text", f"between {held:,} and {size:,} tokens; longer ones are refused")
            return held
        except ModelError as error:
            report.note("longest text", f"at least {held:,} tokens; with {size:,} the call failed ({error})")
            return held
        if held and float(np.abs(vectors[0] - vectors[1]).max()) < _EQUAL:
            report.broken("longest text", f"texts longer than {held:,} tokens are cut without a word")
            return held
        held, size = size, 2 * size
    report.ok("longest text", f"at least {held:,} tokens")
    return None


def _embedding_settings(wanted: EmbeddingSettings, dimension: int, texts: int, tokens: int | None) -> dict[str, str]:
    found = {
        "EMBEDDING_BINDING": str(wanted.binding),
        "EMBEDDING_BINDING_HOST": wanted.host,
        "EMBEDDING_MODEL": wanted.model,
        "EMBEDDING_BINDING_API_KEY": "<the key>" if wanted.api_key else "",
        "EMBEDDING_DIM": str(dimension),
        "EMBEDDING_BATCH_NUM": str(min(texts, 64)),
        "CHUNK_SIZE": str(max(128, tokens * 3 // 4)) if tokens and tokens < 1600 else "",
    }
    return {name: value for name, value in found.items() if value}
