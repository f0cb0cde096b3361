"""The worker's side: loads one backend and answers the front process until told to stop.

A step of an engine gives every running answer a token, each in a thread of its own. They travel in one frame: as soon
as there are as many as requests run, or a millisecond after the first. So many streams cost the front process, and
those who read them, one wake-up a step; a single stream waits for nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any, cast

import numpy as np

from llmservice.backends.contracts import (
    Backend,
    ChatBackend,
    ChatRequest,
    CompletionRequest,
    Embedded,
    EmbeddingBackend,
    ModelSource,
    Piece,
    RerankBackend,
    Sampling,
    VectorKind,
)
from llmservice.errors import ContextOverflow, InvalidRequest, ModelLoadError, ServiceError
from llmservice.tiers import ModelKind
from llmservice.workers.frames import FrameProtocol, encode

logger = logging.getLogger(__name__)

GATHER_SECONDS = 0.001
"""How long an event waits for those of other requests."""

LoadBackend = Callable[[ModelKind, ModelSource, str], Backend]


class WorkerServer:
    """Answers requests on one backend; `run` returns when the front process is gone or says so."""

    def __init__(self, load_backend: LoadBackend) -> None:
        self._load_backend = load_backend
        self._protocol = FrameProtocol(self._on_frame, self._on_end)
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._events: list[list[Any]] = []
        self._flushing: asyncio.Handle | None = None
        self._stopped = asyncio.Event()
        self._backend: Backend | None = None
        self._loading: asyncio.Task[None] | None = None

    @property
    def protocol(self) -> FrameProtocol:
        """What the connection is made with."""
        return self._protocol

    async def run(self) -> None:
        """Serve until the connection ends or a stop arrives, then release the model."""
        await self._stopped.wait()
        tasks = [*self._tasks.values(), *([self._loading] if self._loading else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._backend is not None:
            await self._backend.aclose()
        self._protocol.close()

    def _on_end(self) -> None:
        self._stopped.set()

    def _on_frame(self, header: dict[str, Any], payload: bytes) -> None:
        kind = header["t"]
        if kind == "request":
            number = header["id"]
            task = asyncio.create_task(self._answer(number, header["op"], header["p"]))
            self._tasks[number] = task
            task.add_done_callback(functools.partial(self._on_answered, number))
        elif kind == "cancel":
            given_up = self._tasks.get(header["id"])
            if given_up is not None:
                given_up.cancel()
        elif kind == "load":
            self._loading = asyncio.create_task(self._load(header))
        elif kind == "stop":
            self._stopped.set()

    async def _load(self, header: dict[str, Any]) -> None:
        source = ModelSource(**{**header["source"], "path": Path(header["source"]["path"])})
        try:
            backend = await asyncio.to_thread(self._load_backend, header["kind"], source, header["engine"])
        except ServiceError as error:
            self._protocol.send(encode({"t": "failed", "message": str(error)}))
        except Exception as error:
            logger.exception("The model could not be loaded")
            self._protocol.send(encode({"t": "failed", "message": f"{type(error).__name__}: {error}"}))
        else:
            self._backend = backend
            facts = backend.facts
            self._protocol.send(
                encode(
                    {
                        "t": "ready",
                        "backend": facts.backend,
                        "context_length": facts.context_length,
                        "fingerprint": facts.fingerprint,
                        "dimension": facts.dimension,
                        "vectors": facts.vectors,
                    }
                )
            )

    async def _answer(self, number: int, operation: str, parameters: dict[str, Any]) -> None:
        try:
            if operation in ("chat", "complete"):
                await self._stream(number, operation, parameters)
            elif operation == "embed":
                await self._embed(number, parameters)
            elif operation == "score":
                backend = cast(RerankBackend, self._backend)
                most = parameters.get("document_tokens")
                scores = await backend.score(parameters["query"], parameters["documents"], document_tokens=most)
                self._emit([number, "result", [[score.logit for score in scores], sum(s.tokens for s in scores)]])
            else:
                tokens = await cast(Backend, self._backend).tokenize(parameters["text"])
                self._emit([number, "result", tokens])
            self._emit([number, "end"])
        except Exception as error:
            self._emit([number, "error", *_described(error)])

    def _on_answered(self, number: int, task: asyncio.Task[None]) -> None:
        # Not in `_answer` itself, of which nothing runs where a request and its cancellation arrive together.
        del self._tasks[number]
        if task.cancelled():
            self._emit([number, "end"])

    async def _stream(self, number: int, operation: str, parameters: dict[str, Any]) -> None:
        backend = cast(ChatBackend, self._backend)
        pieces: AsyncGenerator[Piece, None]
        sampling = _sampling(parameters["sampling"])
        schema = parameters.get("schema")
        if operation == "chat":
            pieces = backend.chat(ChatRequest(parameters["messages"], sampling, parameters.get("tools", ()), schema))
        else:
            pieces = backend.complete(CompletionRequest(parameters["prompt"], sampling, schema))
        async with contextlib.aclosing(pieces) as opened:
            async for piece in opened:
                self._emit([number, "piece", _packed(piece)])

    async def _embed(self, number: int, parameters: dict[str, Any]) -> None:
        kinds: frozenset[VectorKind] = frozenset(parameters["kinds"])
        texts: list[str] = parameters["texts"]
        embedded = await cast(EmbeddingBackend, self._backend).embed(texts, kinds, truncate=parameters["truncate"])
        rows, payload = await asyncio.to_thread(_vectors, embedded, parameters.get("dimensions"))
        # Out of the batch of events: the payload belongs to this request alone.
        self._flush()
        self._protocol.send(encode({"t": "vectors", "id": number, "rows": rows}, payload))

    def _emit(self, event: list[Any]) -> None:
        self._events.append(event)
        if self._flushing is None:
            self._flushing = asyncio.get_running_loop().call_later(GATHER_SECONDS, self._flush)
        if len(self._events) >= len(self._tasks):
            self._flush()

    def _flush(self) -> None:
        if self._flushing is not None:
            self._flushing.cancel()
            self._flushing = None
        if self._events:
            events, self._events = self._events, []
            self._protocol.send(encode({"t": "events", "e": events}))


def _sampling(values: dict[str, Any]) -> Sampling:
    bias = {int(token): value for token, value in values.pop("logit_bias", {}).items()}
    return Sampling(**{**values, "stop": tuple(values.get("stop", ()))}, logit_bias=bias)


def _packed(piece: Piece) -> list[Any]:
    logprobs = [[token.token, token.logprob, token.top] for token in piece.logprobs]
    if piece.finish_reason is None and not (logprobs or piece.reasoning or piece.tool_calls):
        return [piece.text]
    packed = [piece.text, piece.finish_reason, piece.prompt_tokens, piece.completion_tokens, logprobs]
    return [*packed, piece.reasoning, piece.tool_calls] if piece.reasoning or piece.tool_calls else packed


def _vectors(embedded: list[Embedded], dimensions: int | None) -> tuple[list[dict[str, Any]], bytes]:
    """Return each text's description and all vectors as bytes: dense, then ColBERT's rows, text by text."""
    rows: list[dict[str, Any]] = []
    parts: list[bytes] = []
    for one in embedded:
        row: dict[str, Any] = {"tokens": one.tokens}
        if one.dense is not None:
            dense = one.dense if dimensions is None else _shortened(one.dense, dimensions)
            row["dense"] = len(dense)
            parts.append(np.ascontiguousarray(dense, dtype="<f4").tobytes())
        if one.colbert is not None:
            row["colbert"] = list(one.colbert.shape)
            parts.append(np.ascontiguousarray(one.colbert, dtype="<f4").tobytes())
        if one.sparse is not None:
            row["sparse"] = {token: float(weight) for token, weight in one.sparse.items()}
        rows.append(row)
    return rows, b"".join(parts)


def _shortened(dense: Any, dimensions: int) -> Any:
    if dimensions > len(dense):
        raise InvalidRequest(
            f"dimensions must be between 1 and {len(dense)}, the length of the model's vectors", "dimensions"
        )
    head = dense[:dimensions]
    norm = float(np.linalg.norm(head))
    return head / norm if norm > 0 else head


def _described(error: Exception) -> list[Any]:
    if isinstance(error, ContextOverflow):
        return ["context", error.tokens, error.limit]
    if isinstance(error, InvalidRequest):
        return ["invalid", str(error), error.param]
    if isinstance(error, ModelLoadError):
        return ["lost", str(error)]
    logger.error("A request failed", exc_info=error)
    return ["failed", f"{type(error).__name__}: {error}"]
