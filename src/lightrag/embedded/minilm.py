"""The embedding model that needs no server: all-MiniLM-L6-v2 on ONNX Runtime, out of the package."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import platform
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import as_file
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

import minilm_int8
from lightrag.errors import ConfigurationError
from lightrag.footprint import give_back
from lightrag.llm.contracts import FloatArray, ModelFacts
from lightrag.text.scripts import encodable

if TYPE_CHECKING:
    import onnxruntime  # type: ignore[import-untyped]
    import tokenizers

MODEL_NAME = "all-MiniLM-L6-v2-int8"
BINDING = "embedded"
TEXTS_PER_JOB = 8
"""How many texts a thread takes at a time; a cancelled call ends after so many."""
MARKERS = 2
"""Pieces that open and close every input."""


class MiniLMEmbedder:
    """Embeds on the processor, with 384 dimensions, in threads of its own.

    `threads` is how many texts are worked on at once (default: the processors available, at most 4); questions have
    one more thread to themselves, so that they do not wait for documents. The model is loaded on first use and
    released by `aclose`; a later call loads it again.

    Each text runs alone. Activations are quantised over a whole input, so that in a batch a text's vector would
    depend on its neighbours, and padding would cost more than batching saves: run alone, equal texts have equal
    vectors on a machine. Texts of more than 256 pieces are cut into windows of even length, whose vectors are
    averaged by their number of pieces.
    """

    def __init__(self, threads: int | None = None) -> None:
        if threads is not None and threads < 1:
            raise ConfigurationError(f"the embedder was given {threads} threads; it needs at least 1")
        self._threads = threads or min(_processors(), 4)
        self._lock = threading.Lock()
        self._runtime: _Runtime | None = None

    @property
    def facts(self) -> ModelFacts:
        """What is known of the model."""
        return ModelFacts(BINDING, MODEL_NAME, context_tokens=minilm_int8.MAX_PIECES, dimension=minilm_int8.DIMENSION)

    async def embed(self, texts: Sequence[str], *, purpose: Literal["document", "query"]) -> FloatArray:
        """Return L2-normalised vectors, shape (len(texts), 384), in the order of the texts."""
        if not texts:
            return np.zeros((0, minilm_int8.DIMENSION), np.float32)
        runtime = self._started()
        pool = runtime.questions if purpose == "query" else runtime.documents
        loop = asyncio.get_running_loop()
        jobs = [
            loop.run_in_executor(pool, runtime.embed, texts[start : start + TEXTS_PER_JOB])
            for start in range(0, len(texts), TEXTS_PER_JOB)
        ]
        try:
            return np.concatenate(await asyncio.gather(*jobs))
        finally:
            for job in jobs:
                job.cancel()

    async def aclose(self) -> None:
        """Wait for running work and release the model's memory."""
        with self._lock:
            runtime, self._runtime = self._runtime, None
        if runtime is not None:
            await asyncio.to_thread(runtime.close)

    def _started(self) -> _Runtime:
        with self._lock:
            if self._runtime is None:
                self._runtime = _Runtime(self._threads)
            return self._runtime


class _Runtime:
    """The threads, and the model once one of them has loaded it."""

    def __init__(self, threads: int) -> None:
        self.documents = ThreadPoolExecutor(threads, thread_name_prefix="embed")
        self.questions = ThreadPoolExecutor(1, thread_name_prefix="embed-question")
        self._lock = threading.Lock()
        self._model: tuple[tokenizers.Tokenizer, onnxruntime.InferenceSession] | None = None

    def embed(self, texts: Sequence[str]) -> FloatArray:
        """Return the vectors of some texts; runs in a thread."""
        tokenizer, session = self._loaded()
        vectors = np.empty((len(texts), minilm_int8.DIMENSION), np.float32)
        for row, text in enumerate(texts):
            encoded = tokenizer.encode(encodable(text))
            vectors[row] = _embed_pieces(session, np.asarray(encoded.ids, np.int64))
        return vectors

    def close(self) -> None:
        """Finish what runs, drop what waits, forget the model."""
        self.documents.shutdown(cancel_futures=True)
        self.questions.shutdown(cancel_futures=True)
        self._model = None

    def _loaded(self) -> tuple[tokenizers.Tokenizer, onnxruntime.InferenceSession]:
        with self._lock:
            if self._model is None:
                self._model = _load_model()
            return self._model


def _load_model() -> tuple[tokenizers.Tokenizer, onnxruntime.InferenceSession]:
    # Imported on first use: together they take 0.2 s and 40 MB, which a server with another embedder never needs.
    import onnxruntime
    import tokenizers

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    # Texts have many lengths, and the arena keeps the most that any of them took.
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False
    if _products_overflow():
        options.add_session_config_entry("session.x64quantprecision", "1")
    files = minilm_int8.files()
    with contextlib.ExitStack() as stack:
        model = stack.enter_context(as_file(files.model))
        session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    tokenizer = tokenizers.Tokenizer.from_str(files.tokenizer.read_text("utf-8"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    # Both were read from forms that are let go by now.
    give_back()
    return tokenizer, session


def _embed_pieces(session: onnxruntime.InferenceSession, pieces: npt.NDArray[np.int64]) -> FloatArray:
    """Return the vector of an encoded text, [CLS] pieces [SEP], of any length."""
    room = minilm_int8.MAX_PIECES - MARKERS
    inner = pieces[1:-1]
    count = max(1, -(-len(inner) // room))
    if count == 1:
        return _run(session, pieces)
    borders = np.linspace(0, len(inner), count + 1).astype(np.int64)
    total = np.zeros(minilm_int8.DIMENSION, np.float32)
    for start, end in itertools.pairwise(borders):
        window = np.concatenate((pieces[:1], inner[start:end], pieces[-1:]))
        total += (end - start) * _run(session, window)
    length = float(np.linalg.norm(total))
    return total / np.float32(length or 1.0)


def _run(session: onnxruntime.InferenceSession, pieces: npt.NDArray[np.int64]) -> FloatArray:
    inputs = {"input_ids": pieces[None, :], "attention_mask": np.ones((1, len(pieces)), np.int64)}
    (vectors,) = session.run(["embedding"], inputs)
    vector: FloatArray = vectors[0]
    return vector


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _products_overflow() -> bool:
    """Whether sums of int8 products may overflow here, so that the runtime must take its slower, exact way.

    That is so on x86-64 without VNNI. Where the processor's features cannot be read, exactness is the safe side.
    """
    if platform.machine().lower() not in {"x86_64", "amd64"}:
        return False
    try:
        return "vnni" not in Path("/proc/cpuinfo").read_text("ascii", "replace")
    except OSError:
        return True
