"""Answers as OpenAI's chat completions are written: one object, or server-sent events while they grow.

Format: https://platform.openai.com/docs/api-reference/chat/object and `…/chat/streaming`.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import AsyncIterator
from typing import Any

import orjson
import structlog

from lightrag.api.errors import status_of
from lightrag.api.faces.conversation import Turn
from lightrag.api.faces.errors import openai_error
from lightrag.api.faces.stops import StopCutter
from lightrag.api.streaming import close_stream, encode
from lightrag.errors import LightRAGError
from lightrag.llm.usage import estimate_tokens
from lightrag.types import QueryResult, Reference, Thinking

log = structlog.get_logger(__name__)

DONE = b"data: [DONE]\n\n"
KEEP_ALIVE = b": keep-alive\n\n"
_REASONS = frozenset({"stop", "length", "content_filter"})


class CompletionWire:
    """Writes one answer. `base_url` ends with a slash; cited documents are linked below it."""

    def __init__(self, model: str, turn: Turn, result: QueryResult, *, base_url: str, with_usage: bool) -> None:
        self._turn = turn
        self._outcome = result.outcome
        self._references = result.retrieved.references if not turn.param.only_need_context else ()
        self._base_url = base_url
        self._with_usage = with_usage
        self._said: list[str] = []
        self._identity: dict[str, Any] = {"id": f"chatcmpl-{secrets.token_hex(12)}"}
        self._rest: dict[str, Any] = {"created": int(time.time()), "model": model, "system_fingerprint": None}
        # A piece is put between these, since encoding a whole event costs several times as much.
        start = orjson.dumps({**self._identity, "object": "chat.completion.chunk", **self._rest})[:-1]
        self._before = b"data: " + start + b',"choices":[{"index":0,"delta":{"content":'
        self._after = b'},"logprobs":null,"finish_reason":null}]' + (b',"usage":null}\n\n' if with_usage else b"}\n\n")

    def opening(self) -> bytes:
        """Return the event that says who speaks."""
        return self._event({"role": "assistant", "content": ""})

    def piece(self, text: str) -> bytes:
        """Return the event of a piece of the answer."""
        self._said.append(text)
        try:
            return self._before + orjson.dumps(text) + self._after
        except orjson.JSONEncodeError:
            return self._before + orjson.dumps(text.encode("utf-8", "replace").decode()) + self._after

    def thought(self, text: str) -> bytes:
        """Return the event of a piece of what the model thinks."""
        return self._event({"reasoning_content": text})

    def failure(self, status: int, message: str) -> bytes:
        """Return the event that ends an answer which broke off."""
        return b"data: " + encode(openai_error(status, message)) + b"\n\n"

    def closing(self) -> bytes:
        """Return the last events: the citations, the usage where it was asked for, the end mark."""
        annotations = self._annotations("".join(self._said))
        last = self._event({"annotations": annotations} if annotations else {}, reason=self._reason(), **self._by())
        if not self._with_usage:
            return last + DONE
        usage = {"object": "chat.completion.chunk", **self._rest, "choices": [], "usage": self._usage()}
        return last + b"data: " + encode({**self._identity, **usage}) + b"\n\n" + DONE

    def whole(self, text: str) -> bytes:
        """Return a finished answer."""
        self._said.append(text)
        message: dict[str, Any] = {
            "role": "assistant",
            "content": text,
            "refusal": None,
            "annotations": self._annotations(text),
        }
        if self._turn.param.generation.with_thinking and self._outcome.thinking:
            message["reasoning_content"] = self._outcome.thinking
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": self._reason()}
        body = {"object": "chat.completion", **self._rest, "choices": [choice], "usage": self._usage()}
        return encode({**self._identity, **body, **self._by()})

    def _by(self) -> dict[str, Any]:
        """Return which model wrote the answer; `model` is the one that was asked for, which is the simulated one."""
        return {} if self._outcome.model is None else {"answer_model": self._outcome.model}

    def _event(self, delta: dict[str, Any], reason: str | None = None, **more: str) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        event = {**self._identity, "object": "chat.completion.chunk", **self._rest, "choices": [choice], **more}
        return b"data: " + encode(event | ({"usage": None} if self._with_usage else {})) + b"\n\n"

    def _reason(self) -> str:
        return self._outcome.finish_reason if self._outcome.finish_reason in _REASONS else "stop"

    def _usage(self) -> dict[str, int]:
        prompt, completion = self._outcome.prompt_tokens, self._outcome.completion_tokens
        if prompt is None or completion is None:
            param = self._turn.param
            told = [self._turn.question, param.user_prompt or "", *(m["content"] for m in param.conversation_history)]
            prompt, completion = sum(map(estimate_tokens, told)), estimate_tokens("".join(self._said))
        return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}

    def _annotations(self, text: str) -> list[dict[str, Any]]:
        return [note for reference in self._references for note in _citations(reference, text, self._base_url)]


def _citations(reference: Reference, text: str, base_url: str) -> list[dict[str, Any]]:
    """Return one annotation for each passage that the model was given from a document.

    `start_index` and `end_index` are where the answer first cites the document by its number, or the end of the
    answer where it does not.
    """
    cited = re.search(rf"\[{re.escape(reference.reference_id)}\]", text) if reference.reference_id else None
    start, end = cited.span() if cited else (len(text), len(text))
    is_url = reference.file_path.startswith(("http://", "https://"))
    citation = {
        "start_index": start,
        "end_index": end,
        "title": reference.file_path,
        "url": reference.file_path if is_url else f"{base_url}documents/{reference.doc_id}",
    }
    return [
        {
            "type": "url_citation",
            "url_citation": citation,
            "reference_id": reference.reference_id,
            "file_path": reference.file_path,
            "doc_id": reference.doc_id,
            "chunk_id": chunk.id,
            "start": chunk.start,
            "end": chunk.end,
            "page_start": chunk.page_start,
            "page_end": chunk.page_end,
        }
        for chunk in reference.chunks
    ]


async def completion_events(result: QueryResult, wire: CompletionWire, cutter: StopCutter) -> AsyncIterator[bytes]:
    """Yield an answer event by event; a failure on the way becomes an event with OpenAI's error object."""
    yield wire.opening()
    if result.stream is None:
        if text := cutter.cut(result.text or ""):
            yield wire.piece(text)
        yield wire.closing()
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
        yield wire.failure(status_of(error), str(error))
        return
    except Exception:
        log.exception("a streamed answer broke off")
        yield wire.failure(500, "The answer broke off because of an internal error")
        return
    finally:
        await close_stream(result.stream)  # ends the model call where the client left, or where a stop text was met
    yield wire.closing()
