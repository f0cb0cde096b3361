"""Answers as Ollama writes them: JSON lines while they grow, or one object.

Format: https://docs.ollama.com/api. Where LightRAG differs from it, its form is kept: counts are estimates of the
question and the answer, and a failure on the way is a line with its text before the closing one.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from typing import Any, Literal

import orjson
import structlog

from lightrag.api.faces.stops import StopCutter
from lightrag.api.streaming import close_stream, encode
from lightrag.errors import LightRAGError
from lightrag.llm.usage import estimate_tokens
from lightrag.types import Outcome, QueryResult, Thinking

log = structlog.get_logger(__name__)

Kind = Literal["chat", "generate"]
CREATED_AT = "2024-01-15T00:00:00Z"
NO_ANSWER = "No response generated"


class OllamaWire:
    """Writes one answer. The clock runs from its making. `question` is what prompt tokens are counted of."""

    def __init__(self, kind: Kind, model: str, question: str, *, with_thinking: bool) -> None:
        self._kind = kind
        self._head: Mapping[str, Any] = {"model": model, "created_at": CREATED_AT}
        self._question = question
        self._with_thinking = with_thinking
        self._begun = time.perf_counter_ns()
        self._answering = 0
        self._said = 0
        """Bytes of the answer so far."""
        # A piece is put between these, since encoding a whole line costs several times as much.
        start = orjson.dumps(self._head)[:-1]
        if kind == "chat":
            self._before = start + b',"message":{"role":"assistant","content":'
            self._after = b',"images":null},"done":false}\n'
        else:
            self._before, self._after = start + b',"response":', b',"done":false}\n'

    def piece(self, text: str) -> bytes:
        """Return the line of a piece of the answer."""
        self._count(text)
        try:
            return self._before + orjson.dumps(text) + self._after
        except orjson.JSONEncodeError:
            return self._before + orjson.dumps(text.encode("utf-8", "replace").decode()) + self._after

    def thought(self, text: str) -> bytes:
        """Return the line of a piece of what the model thinks; empty where that was not asked for."""
        if not self._with_thinking:
            return b""
        return encode({**self._head, **self._content("", thinking=text), "done": False}) + b"\n"

    def failure(self, message: str) -> bytes:
        """Return the lines that end an answer which broke off."""
        text = f"\n\nError: Provider error: {message}"
        line = {**self._head, **self._content(text), "error": f"Provider error: {message}", "done": False}
        return encode(line) + b"\n" + encode({**self._head, "done": True}) + b"\n"

    def closing(self, outcome: Outcome) -> bytes:
        """Return the last line."""
        return encode({**self._head, **self._content(""), **self._ending(outcome)}) + b"\n"

    def whole(self, text: str, outcome: Outcome) -> bytes:
        """Return a finished answer."""
        self._count(text)
        thinking = outcome.thinking if self._with_thinking else ""
        return encode({**self._head, **self._content(text or NO_ANSWER, thinking=thinking), **self._ending(outcome)})

    def _count(self, text: str) -> None:
        self._answering = self._answering or time.perf_counter_ns()
        self._said += len(text) if text.isascii() else len(text.encode("utf-8", "replace"))

    def _content(self, text: str, *, thinking: str = "") -> dict[str, Any]:
        thought = {"thinking": thinking} if thinking else {}
        if self._kind == "chat":
            return {"message": {"role": "assistant", "content": text, "images": None, **thought}}
        return {"response": text, **thought}

    def _ending(self, outcome: Outcome) -> dict[str, Any]:
        now = time.perf_counter_ns()
        answering = self._answering or now
        return {
            "done_reason": "length" if outcome.finish_reason == "length" else "stop",
            "done": True,
            **({"context": []} if self._kind == "generate" else {}),
            "total_duration": now - self._begun,
            "load_duration": 0,
            "prompt_eval_count": estimate_tokens(self._question),
            "prompt_eval_duration": answering - self._begun,
            "eval_count": -(-self._said // 4),
            "eval_duration": now - answering,
            **({"answer_model": outcome.model} if outcome.model is not None else {}),
        }


async def ollama_lines(result: QueryResult, wire: OllamaWire, cutter: StopCutter) -> AsyncIterator[bytes]:
    """Yield an answer line by line, the last one with its durations; a failure on the way becomes a line."""
    if result.stream is None:
        yield wire.piece(cutter.cut(result.text or NO_ANSWER))
        yield wire.closing(result.outcome)
        return
    try:
        async for piece in result.stream:
            if piece.__class__ is Thinking:
                yield wire.thought(piece)
            elif text := cutter.feed(piece):
                yield wire.piece(text)
            if cutter.ended:
                break
        if text := cutter.finish():
            yield wire.piece(text)
    except LightRAGError as error:
        yield wire.failure(str(error))
        return
    except Exception:
        log.exception("a streamed answer broke off")
        yield wire.failure("The answer broke off because of an internal error")
        return
    finally:
        await close_stream(result.stream)  # ends the model call where the client left, or where a stop text was met
    yield wire.closing(result.outcome)
