"""What is measured, each against one server at a time. Results are plain dictionaries of numbers."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import statistics
import tempfile
import time
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness import procfs
from harness.corpus import Corpus, Document, Question
from harness.rest import ContextAnswer, Interviewer, ModelClient, RagClient
from harness.servers import Product, Running, model_server, rag_server

MODES = ("naive", "local", "global", "hybrid", "mix")
DOCUMENT_TOKENS = 3000
SLOTS = 4
LATENCY_MS = 300
CLIENTS = 16
TURN = 10
"""Questions that a server answers in a row before the next one has its turn."""
BURSTS = 3
EACH = 4
"""Questions of every client in a burst, at least: where each asked one, most of it would be its beginning and end."""
MOST_EMPTY = 0.2
UPLOAD_MB = 100
# Just below the 104,857,600 bytes that LightRAG accepts at most.
UPLOAD_BYTES = UPLOAD_MB * 1024 * 1024 - 4096

Result = dict[str, Any]


async def warm_up(rag: RagClient) -> None:
    """Index one short document."""
    await rag.insert(Corpus().series("warm", [200]))
    await rag.wait_for(1, limit_s=60)


async def index(server: Running, model_url: str, corpus: Corpus, documents: int, slices: int) -> Result:
    """Index `documents` in equal slices, each finished before the next, with a model that answers at once.

    One document goes before them: a server that has just started loads its tokenizer and parsers with it. A slice
    ends when the pipeline rests; `growth_until_processed` leaves out what it does after the last document.
    """
    per_slice = documents // slices
    lengths = [DOCUMENT_TOKENS] * per_slice
    async with RagClient(server.url) as rag, ModelClient(model_url) as model:
        await warm_up(rag)
        before_chunks = await rag.chunks()
        await model.reset()
        walls, cpus, early = [], [], []
        counted = [await model.stats()]
        async with procfs.watch_memory(server.pid, interval=0.2) as peak:
            for number in range(slices):
                part = corpus.series(f"slice{number}", lengths)
                started, before = time.perf_counter(), procfs.cpu_seconds(server.pid)
                await rag.insert(part)
                await rag.wait_for(1 + per_slice * (number + 1), limit_s=3600)
                early.append(procfs.cpu_seconds(server.pid) - before)
                await rag.rest(limit_s=3600)
                walls.append(time.perf_counter() - started)
                cpus.append(procfs.cpu_seconds(server.pid) - before)
                counted.append(await model.stats())
        chunks, stats = await rag.chunks() - before_chunks, await model.stats()
    return {
        "documents": per_slice * slices,
        "chunks": chunks,
        "wall_s": sum(walls),
        "cpu_s": sum(cpus),
        "cpu_s_per_chunk": sum(cpus) / chunks,
        "slice_wall_s": walls,
        "slice_cpu_s": cpus,
        "growth": cpus[-1] / cpus[0],
        "growth_until_processed": early[-1] / early[0],
        **_growth_of_calls(counted),
        "prompt_chars_per_chunk": stats["prompt_chars"] / chunks,
        "chat_calls": stats["chat"],
        "embed_calls": stats["embed_calls"],
        "embed_texts": stats["embed_texts"],
        "peak_rss_mb": peak.mb,
    }


def _growth_of_calls(counted: Sequence[Mapping[str, float]]) -> Result:
    """Return what each slice asked of the model, and the last slice ÷ the first, from counters before and after."""
    names = {"chat": "slice_chat_calls", "prompt_chars": "slice_prompt_chars", "embed_texts": "slice_embed_texts"}
    figures: Result = {
        name: [after.get(key, 0) - before.get(key, 0) for before, after in itertools.pairwise(counted)]
        for key, name in names.items()
    }
    for name in names.values():
        figures[name.replace("slice", "growth")] = figures[name][-1] / max(figures[name][0], 1)
    return figures


async def queries(servers: Mapping[str, Running], corpus: Corpus, count: int, label: str) -> dict[str, Result]:
    """Ask `count` context-only questions in every mode: one after the other, then from 16 clients at once.

    Where there are several servers they take turns, some questions each and burst by burst, so that other load on
    the machine meets all of them alike. A server that waits costs nothing.
    """
    results: dict[str, Result] = {name: {} for name in servers}
    async with contextlib.AsyncExitStack() as stack:
        clients = {name: await stack.enter_async_context(RagClient(server.url)) for name, server in servers.items()}
        for mode in MODES:
            for name, figures in _alone(servers, corpus, mode, count, label).items():
                results[name][mode] = figures
            for name, per_s in (await _together(clients, corpus, mode, count, label)).items():
                results[name][mode]["per_s_16_clients"] = per_s
    return results


def _alone(servers: Mapping[str, Running], corpus: Corpus, mode: str, count: int, label: str) -> dict[str, Result]:
    answers: dict[str, list[ContextAnswer]] = {name: [] for name in servers}
    cpu = dict.fromkeys(servers, 0.0)
    with contextlib.ExitStack() as stack:
        asking = {name: stack.enter_context(Interviewer(server.url)) for name, server in servers.items()}
        for interviewer in asking.values():
            for question in corpus.questions(5, f"{label}-warm-{mode}"):
                interviewer.context(question, mode)
        questions = list(corpus.questions(count, f"{label}-{mode}"))
        for start in range(0, count, TURN):
            turn = questions[start : start + TURN]
            for name, interviewer in asking.items():
                before = procfs.cpu_seconds(servers[name].pid)
                answers[name] += [interviewer.context(question, mode) for question in turn]
                cpu[name] += procfs.cpu_seconds(servers[name].pid) - before
    results: dict[str, Result] = {}
    for name, given in answers.items():
        empty = sum(answer.is_empty for answer in given)
        if empty > MOST_EMPTY * count:
            raise RuntimeError(f"{name}: mode {mode} found nothing for {empty} of {count} questions; times say nothing")
        seconds = [answer.seconds for answer in given]
        results[name] = {
            "p50_ms": 1000 * statistics.median(seconds),
            "p95_ms": 1000 * statistics.quantiles(seconds, n=20)[-1],
            "cpu_ms": 1000 * cpu[name] / count,
            "empty": empty,
            "characters": statistics.median(answer.characters for answer in given),
        }
    return results


async def _together(
    clients: Mapping[str, RagClient], corpus: Corpus, mode: str, count: int, label: str
) -> dict[str, float]:
    spent = dict.fromkeys(clients, 0.0)
    per_burst = max(count // BURSTS, EACH * CLIENTS)
    for burst in range(BURSTS):
        for name, rag in clients.items():
            waiting = corpus.questions(per_burst, f"{label}-many-{mode}-{burst}")
            started = time.perf_counter()
            await asyncio.gather(*(_client(rag, waiting, mode) for _ in range(CLIENTS)))
            spent[name] += time.perf_counter() - started
    return {name: per_burst * BURSTS / seconds for name, seconds in spent.items()}


async def _client(rag: RagClient, waiting: Iterator[Question], mode: str) -> None:
    """Ask what no other client has taken yet."""
    for question in waiting:
        await rag.context(question, mode)


def document_mixes(corpus: Corpus, chunks: int) -> dict[str, list[Document]]:
    """Return sets of documents with about as many chunks each, from many short to few long documents."""
    long = DOCUMENT_TOKENS * 4
    half = chunks // 2
    tails = [long] * (half // 11)
    return {
        "short": corpus.series("short", [600] * chunks),
        "long": corpus.series("long", [long * 2] * max(2, chunks // 22)),
        "mixed": corpus.series("mixed", [600] * half + tails),
        "mixed, long first": corpus.series("first", tails + [600] * half),
    }


async def slots(product: Product, command: tuple[str, ...], documents: Sequence[Document]) -> Result:
    """Index with a model of fixed latency; reports which share of the slots' time was in use.

    `busy` counts from sending the first document to the last status; `busy_while_calling` from the first call to
    the last one.
    """
    async with (
        model_server(command, latency_ms=LATENCY_MS) as model_url,
        rag_server(product, model_url, slots=SLOTS) as server,
        RagClient(server.url) as rag,
        ModelClient(model_url) as model,
    ):
        await warm_up(rag)
        await model.reset()
        started = time.perf_counter()
        await rag.insert(documents)
        await rag.wait_for(1 + len(documents), limit_s=1800)
        wall = time.perf_counter() - started
        stats, chunks = await model.stats(), await rag.chunks() - 1
    busy_s = stats["chat_busy_ms"] / 1000
    return {
        "documents": len(documents),
        "chunks": chunks,
        "calls": stats["chat"],
        "most_at_once": stats["chat_peak"],
        "wall_s": wall,
        "busy": busy_s / (SLOTS * wall),
        "busy_while_calling": busy_s / (SLOTS * stats["chat_span_ms"] / 1000),
    }


async def startup(product: Product, model_url: str | None, repeats: int) -> Result:
    """Start on an empty directory; reports seconds to the first `/health` and memory two seconds later."""
    seconds, resident = [], []
    for _ in range(repeats):
        async with rag_server(product, model_url) as server:
            seconds.append(server.start_s)
            await asyncio.sleep(2)
            resident.append(procfs.resident_mb(server.pid))
    return {
        "first_health_s": statistics.median(seconds),
        "idle_rss_mb": statistics.median(resident),
        "repeats": repeats,
    }


async def upload(product: Product, model_url: str | None) -> Result:
    """Upload 100 MB: a Word file that is nearly all picture, and plain text; reports the growth of memory.

    The Word file is watched until it is processed; the text, which is some 20,000 chunks, until ten seconds after
    it was accepted.
    """
    with tempfile.TemporaryDirectory(prefix="bench-upload-") as folder:
        word, text = Path(folder) / "pictures.docx", Path(folder) / "plain.txt"
        _write_word_file(word)
        _write_text_file(text)
        result: Result = {}
        async with rag_server(product, model_url) as server, RagClient(server.url) as rag:
            async with procfs.watch_memory(server.pid) as peak:
                started = time.perf_counter()
                await rag.upload(word)
                result["word_accepted_s"] = time.perf_counter() - started
                await rag.wait_for(1, limit_s=300)
            result["word_growth_mb"] = peak.growth_mb
        async with rag_server(product, model_url) as server, RagClient(server.url) as rag:
            async with procfs.watch_memory(server.pid) as peak:
                started = time.perf_counter()
                await rag.upload(text)
                result["text_accepted_s"] = time.perf_counter() - started
                result["text_accept_growth_mb"] = max(peak.growth_mb, procfs.resident_mb(server.pid) - peak.start_mb)
                await asyncio.sleep(10)
            result["text_growth_mb"] = peak.growth_mb
    return result


WORD_PARTS = {
    "[Content_Types].xml": (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        '<Default Extension="png" ContentType="image/png"/>'
        '<Override PartName="/word/document.xml" ContentType='
        '"application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"/></Types>'
    ),
    "_rels/.rels": (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
        '<Relationship Id="r1" Target="word/document.xml" Type='
        '"http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument"/></Relationships>'
    ),
    "word/document.xml": (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"><w:body>'
        "<w:p><w:r><w:t>Ada Lovelace wrote notes on Charles Babbage's Analytical Engine.</w:t></w:r></w:p>"
        "</w:body></w:document>"
    ),
}


def _write_word_file(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in WORD_PARTS.items():
            archive.writestr(name, content)
        # Stored, as pictures are: their bytes do not compress.
        picture = zipfile.ZipInfo("word/media/image1.png")
        with archive.open(picture, "w") as target:
            block = bytes(range(256)) * 4096
            for _ in range((UPLOAD_BYTES - 8192) // len(block)):
                target.write(block)


def _write_text_file(path: Path) -> None:
    paragraph = Corpus().document("upload", 0, DOCUMENT_TOKENS).text + "\n\n"
    with path.open("w", encoding="utf-8") as target:
        size = 0
        number = 0
        while size + len(paragraph) + 16 < UPLOAD_BYTES:
            size += target.write(f"{number} {paragraph}")
            number += 1
