"""A stand-in model server that speaks real HTTP: the OpenAI dialect under /v1 and the Ollama dialect under /api.

For tests it runs inside the process on a free port, can be scripted to misbehave and records what it was asked::

    async with ModelServer() as server:
        server.script(Reaction.status_code(429, retry_after="1"), None)
        chat = OpenAIChat("any-model", base_url=server.openai_url)

For measurements it runs by itself (`python -m lightrag.testing.model_server --help`), answers after a fixed latency
and at a fixed speed, and counts calls under /stats.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import re
import socket
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import orjson
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from lightrag.testing.fake_models import hash_vectors
from lightrag.testing.model_answers import Answerer
from lightrag.testing.model_dialects import (
    CREATED,
    JSON_TYPE,
    Answer,
    Dialect,
    OllamaDialect,
    OpenAIDialect,
    TellsInHeaders,
)

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
JsonBody = dict[str, Any]

_OPENAI, _OLLAMA = OpenAIDialect(), OllamaDialect()
_PIECES = re.compile(r"\s*\S+|\s+$")
_TICK = 0.02


@dataclasses.dataclass(frozen=True, slots=True)
class Reaction:
    """How the server reacts to one model call instead of answering normally."""

    status: int = 200
    message: str = "scripted failure"
    code: str | None = None
    retry_after: str | None = None
    body: bytes | None = None
    """Sent as it is, instead of an answer."""
    delay: float = 0.0
    """Seconds before the first byte."""
    answer: Answer | None = None
    pieces: tuple[str, ...] | None = None
    """The pieces of a streamed answer, where they matter."""
    cut_after: int | None = None
    """The connection is cut after so many events of a stream, or in the middle of a plain answer."""
    end_after: int | None = None
    """A stream ends in an orderly way after so many events, without its closing event."""

    @classmethod
    def status_code(
        cls, status: int, *, message: str = "scripted failure", code: str | None = None, retry_after: str | None = None
    ) -> Self:
        """Answer with an error status."""
        return cls(status=status, message=message, code=code, retry_after=retry_after)

    @classmethod
    def raw(cls, body: bytes) -> Self:
        """Answer 200 with this body, whatever it is."""
        return cls(body=body)

    @classmethod
    def says(cls, text: str, *, pieces: Sequence[str] | None = None, **fields: Any) -> Self:
        """Answer this text; `fields` are those of `Answer`."""
        return cls(answer=Answer(text, **fields), pieces=tuple(pieces) if pieces is not None else None)

    @classmethod
    def late(cls, seconds: float) -> Self:
        """Answer normally, but only after some seconds."""
        return cls(delay=seconds)

    @classmethod
    def cut(cls, after: int = 1) -> Self:
        """Cut the connection in the middle of the answer."""
        return cls(cut_after=after)

    @classmethod
    def half_stream(cls, after: int = 1) -> Self:
        """End a stream early, in an orderly way."""
        return cls(end_after=after)


@dataclasses.dataclass(frozen=True, slots=True)
class RecordedRequest:
    """What a client sent."""

    path: str
    headers: dict[str, str]
    body: JsonBody


class ModelServer:
    """The server; see the module's text. Usable as an asynchronous context manager.

    `answer`: a function of the request body, by default `Answerer`. `latency`: seconds before the first byte
    (`embed_latency`: of embeddings, where it differs);
    `tps`: tokens (of four characters) per second afterwards, 0 for all at once. `dimension`: length of embeddings.
    `context_tokens`: longer prompts and texts are refused (400). `api_key`: other keys are refused (401).
    `rejects`: request fields that are refused by name (400). `models`: when given, other models are refused (404).
    `react`: told path and body of every model call, returns how to react to it, or None to answer normally.
    `fail_every`: every n-th chat call answers 429 or 500 in turn. `record`: keep requests for inspection.
    `thoughts`: what answers begin with, closed by a tag that they do not open, as where a chat template opens it.
    `finish_reason`: why answers end; empty where the server does not say.
    """

    def __init__(
        self,
        *,
        answer: Callable[[JsonBody], str] | None = None,
        openie: Path | None = None,
        latency: float = 0.0,
        embed_latency: float | None = None,
        tps: float = 0.0,
        dimension: int = 64,
        context_tokens: int = 131072,
        api_key: str | None = None,
        rejects: Iterable[str] = (),
        models: Sequence[str] = (),
        react: Callable[[str, JsonBody], Reaction | None] | None = None,
        fail_every: int = 0,
        record: bool = True,
        thoughts: str = "",
        finish_reason: str = "stop",
    ) -> None:
        self.requests: list[RecordedRequest] = []
        self.url = ""
        self.rejects = set(rejects)
        self._answerer = Answerer(openie)
        self._answer = answer or (lambda body: self._answerer.answer(body.get("messages") or []))
        self._latency, self._tps, self._dimension = latency, tps, dimension
        self._embed_latency = latency if embed_latency is None else embed_latency
        self._context_tokens, self._api_key, self._models = context_tokens, api_key, tuple(models)
        self._react, self._fail_every, self._record = react, fail_every, record
        self._before = f"{thoughts}\n</think>\n\n" if thoughts else ""
        self._finish_reason = finish_reason
        self._script: deque[Reaction | None] = deque()
        self._counts: Counter[str] = Counter()
        self._busy = 0.0
        self._chat_busy = 0.0
        self._chat_span: tuple[float, float] | None = None
        self._active = 0
        self._chat_active = 0
        self._may_answer = asyncio.Event()
        self._may_answer.set()
        self._arrived = asyncio.Event()
        self._state = ServerState()
        self._listening: asyncio.Server | None = None

    @property
    def openai_url(self) -> str:
        """Base URL of the OpenAI dialect."""
        return f"{self.url}/v1"

    @property
    def connections(self) -> int:
        """How many connections are open; a call that was given up has closed its own."""
        return len(self._state.connections)

    def script(self, *reactions: Reaction | None) -> None:
        """Queue reactions to the coming chat and embedding calls, one each; None answers normally."""
        self._script.extend(reactions)

    @contextlib.contextmanager
    def holding(self) -> Iterator[None]:
        """Answer no model call until the end of the block; those that come meanwhile are taken and wait."""
        self._may_answer.clear()
        try:
            yield
        finally:
            self._may_answer.set()

    async def has_calls(self, count: int) -> None:
        """Return when so many model calls are under way at once."""
        while self._active < count:
            self._arrived.clear()
            await self._arrived.wait()

    def bodies(self, path_end: str) -> list[JsonBody]:
        """Return the recorded bodies of requests whose path ends so."""
        return [request.body for request in self.requests if request.path.endswith(path_end)]

    def stats(self) -> dict[str, float]:
        """Return counts of calls, texts and characters, `busy_ms` (sum of call times) and `peak` (most at once).

        `chat_busy_ms` and `chat_peak` are of chat calls only, `chat_span_ms` goes from the first one's start to the
        last one's end.
        """
        first, last = self._chat_span or (0.0, 0.0)
        return {
            **self._counts,
            **self._answerer.counts,
            "busy_ms": round(self._busy * 1000, 3),
            "chat_busy_ms": round(self._chat_busy * 1000, 3),
            "chat_span_ms": round((last - first) * 1000, 3),
        }

    def reset(self) -> None:
        """Forget counts and recorded requests."""
        self._counts.clear()
        self._answerer.counts.clear()
        self._busy = self._chat_busy = 0.0
        self._chat_span = None
        self.requests.clear()

    async def start(self, port: int = 0) -> None:
        """Listen on 127.0.0.1; port 0 takes a free one. Returns when requests are accepted."""
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        config = uvicorn.Config(
            self._app,
            interface="asgi3",
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="critical",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            timeout_keep_alive=60,
        )
        config.load()
        # uvicorn's protocol without its supervisor, which handles signals and takes a tenth of a second to stop.
        self._listening = await asyncio.get_running_loop().create_server(
            lambda: HttpToolsProtocol(config=config, server_state=self._state, app_state={}),
            sock=listener,
            backlog=512,
        )

    async def stop(self) -> None:
        """Drop all connections and free the port."""
        if self._listening is None:
            return
        self._listening.close()
        for connection in list(self._state.connections):
            connection.transport.abort()
        tasks = list(self._state.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._listening = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.stop()

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await read_json(receive)
        path: str = scope["path"].rstrip("/")
        if self._record and not path.endswith(("/stats", "/reset")):
            headers = {key.decode(): value.decode("latin-1") for key, value in scope["headers"]}
            self.requests.append(RecordedRequest(path, headers, body))
        dialect: Dialect = _OLLAMA if path.startswith("/api/") else _OPENAI
        if path.endswith(("/chat/completions", "/api/chat", "/api/generate", "/embeddings", "/api/embed")):
            await self._model_call(path, dialect, scope, body, send)
        elif (known := self._information(path, body)) is not None:
            await respond(send, 200, orjson.dumps(known))
        else:
            await respond(send, 404, dialect.error(f"no such path: {path}", "not_found"))

    def _information(self, path: str, body: JsonBody) -> JsonBody | None:
        names = self._models or ("stand-in",)
        match path:
            case "/v1/models" | "/models":
                return {"object": "list", "data": [{"id": name, "object": "model"} for name in names]}
            case "/api/version":
                return {"version": "0.13.0"}
            case "/api/tags":
                return {"models": [{"name": name, "model": name, "modified_at": CREATED, "size": 1} for name in names]}
            case "/api/show" if not self._models or body.get("model") in self._models:
                info = {"general.architecture": "stand", "stand.context_length": self._context_tokens}
                return {"modelfile": "", "details": {}, "model_info": info, "capabilities": ["completion", "embedding"]}
            case "/stats":
                return self.stats()
            case "/reset":
                self.reset()
                return {}
        return None

    async def _model_call(self, path: str, dialect: Dialect, scope: Scope, body: JsonBody, send: Send) -> None:
        embedding = path.endswith(("/embeddings", "/api/embed"))
        self._counts["embed_calls" if embedding else "chat"] += 1
        started = time.perf_counter()
        self._active += 1
        self._arrived.set()
        self._counts["peak"] = max(self._counts["peak"], self._active)
        if not embedding:
            self._chat_active += 1
            self._counts["chat_peak"] = max(self._counts["chat_peak"], self._chat_active)
        try:
            reaction = self._script.popleft() if self._script else None
            if reaction is None and self._react is not None:
                reaction = self._react(path, body)
            reaction = reaction or self._refusal(scope, body, embedding)
            latency = self._embed_latency if embedding else self._latency
            if delay := reaction.delay if reaction is not None and reaction.delay else latency:
                await asyncio.sleep(delay)
            await self._may_answer.wait()
            if reaction is not None and (reaction.status != 200 or reaction.body is not None):
                self._counts["failed"] += 1
                error = reaction.body if reaction.body is not None else dialect.error(reaction.message, reaction.code)
                await respond(send, reaction.status, error, retry_after=reaction.retry_after)
            elif embedding:
                await self._embed(dialect, body, reaction, send)
            else:
                await self._chat(path, dialect, body, reaction or Reaction(), send)
        finally:
            ended = time.perf_counter()
            self._active -= 1
            self._busy += ended - started
            if not embedding:
                self._chat_active -= 1
                self._chat_busy += ended - started
                self._chat_span = (self._chat_span[0] if self._chat_span else started, ended)

    def _refusal(self, scope: Scope, body: JsonBody, embedding: bool) -> Reaction | None:
        if self._api_key is not None:
            sent = dict(scope["headers"]).get(b"authorization", b"").decode("latin-1").removeprefix("Bearer ")
            if sent != self._api_key:
                return Reaction.status_code(401, message=f"Incorrect API key provided: {sent}", code="invalid_api_key")
        if self._models and body.get("model") not in self._models:
            return Reaction.status_code(404, message=f"model '{body.get('model')}' not found", code="model_not_found")
        for name in sorted(self.rejects & body.keys()):
            return Reaction.status_code(400, message=f"Unsupported parameter: '{name}'", code="unsupported_parameter")
        if max((_tokens(text) for text in _texts(body)), default=0) > self._context_tokens:
            message = f"This model's maximum context length is {self._context_tokens} tokens."
            return Reaction.status_code(400, message=message, code="context_length_exceeded")
        number = self._counts["chat"]
        if self._fail_every and not embedding and number % self._fail_every == 0:
            if number // self._fail_every % 2:
                return Reaction.status_code(429, message="rate limited", retry_after="1")
            return Reaction.status_code(500, message="internal error")
        return None

    async def _embed(self, dialect: Dialect, body: JsonBody, reaction: Reaction | None, send: Send) -> None:
        texts = _texts(body)
        self._counts["embed_texts"] += len(texts)
        vectors = hash_vectors(texts, int(body.get("dimensions") or self._dimension))
        tokens = sum(map(_tokens, texts))
        out = dialect.embeddings(body, vectors, tokens)
        headers = dialect.headers(tokens) if isinstance(dialect, TellsInHeaders) else ()
        await respond(send, 200, out, cut=reaction is not None and reaction.cut_after is not None, headers=headers)

    async def _chat(self, path: str, dialect: Dialect, body: JsonBody, reaction: Reaction, send: Send) -> None:
        prompt = sum(map(len, _texts(body)))
        answer = reaction.answer
        if answer is None:
            text = self._before + self._answer(body)
            answer = Answer(text, finish_reason=self._finish_reason, usage=(prompt // 4, max(1, len(text) // 4)))
        self._counts["prompt_chars"] += prompt
        self._counts["completion_chars"] += len(answer.text)
        if not dialect.wants_stream(body):
            if self._tps:
                await asyncio.sleep(len(answer.text) / 4 / self._tps)
            out = dialect.chat(str(body.get("model")), answer)
            if path.endswith("/generate"):
                out = orjson.dumps({**orjson.loads(out), "response": answer.text})
            await respond(send, 200, out, cut=reaction.cut_after is not None)
            return
        pieces = reaction.pieces if reaction.pieces is not None else _PIECES.findall(answer.text)
        events = list(dialect.events(body, answer, pieces))
        for limit in (reaction.cut_after, reaction.end_after):
            if limit is not None:
                events = events[:limit]
        await self._stream(send, dialect.stream_type, events, len(answer.text))
        if reaction.cut_after is None:
            await send({"type": "http.response.body", "body": b""})

    async def _stream(self, send: Send, content_type: bytes, events: list[bytes], length: int) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", content_type)]})
        # Several events a write: a timer per token would cost more CPU than what is being measured.
        duration = length / 4 / self._tps if self._tps else 0.0
        steps = max(1, min(len(events), int(duration / _TICK)))
        for step in range(steps):
            part = b"".join(events[step * len(events) // steps : (step + 1) * len(events) // steps])
            await send({"type": "http.response.body", "body": part, "more_body": True})
            if duration:
                await asyncio.sleep(duration / steps)


async def read_json(receive: Receive) -> JsonBody:
    """Return the body of a request; an empty one where it is no JSON object."""
    parts = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            break
    raw = b"".join(parts)
    with contextlib.suppress(orjson.JSONDecodeError):
        parsed = orjson.loads(raw)
        if isinstance(parsed, dict):
            return parsed
    return {}


async def respond(
    send: Send,
    status: int,
    body: bytes,
    *,
    retry_after: str | None = None,
    cut: bool = False,
    headers: Sequence[tuple[bytes, bytes]] = (),
) -> None:
    """Send a whole JSON response, or with `cut` half of it."""
    all_headers = [(b"content-type", JSON_TYPE), (b"content-length", str(len(body)).encode()), *headers]
    if retry_after is not None:
        all_headers.append((b"retry-after", retry_after.encode()))
    await send({"type": "http.response.start", "status": status, "headers": all_headers})
    # Fewer bytes than announced make uvicorn drop the connection, as a crashed server would.
    sent = body[: len(body) // 2] if cut else body
    await send({"type": "http.response.body", "body": sent, "more_body": cut})


def _texts(body: JsonBody) -> list[str]:
    if "input" in body:
        given = body["input"]
        return [given] if isinstance(given, str) else [str(text) for text in given]
    if "prompt" in body:
        return [str(body["prompt"])]
    return ["\n".join(str(message.get("content") or "") for message in body.get("messages") or [])]


def _tokens(text: str) -> int:
    return len(text) // 4 + 1


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="model_server", description="Stand-in model server for measurements.")
    parser.add_argument("--port", type=int, default=9999)
    parser.add_argument("--latency", type=float, default=0.0, help="milliseconds before the first byte")
    parser.add_argument("--embed-latency", type=float, help="the same for embeddings, where it differs")
    parser.add_argument("--tps", type=float, default=0.0, help="tokens per second after it, 0 for all at once")
    parser.add_argument("--dim", type=int, default=1024, help="length of embeddings")
    parser.add_argument("--openie", type=Path, help="JSON file of recorded extractions to replay")
    parser.add_argument("--fail-every", type=int, default=0, help="every n-th chat call answers 429 or 500 in turn")
    parser.add_argument("--thoughts", default="", help="begin answers with these, closed by a tag that was not opened")
    parser.add_argument("--finish-reason", default="stop", help="why answers end; empty to leave it out")
    return parser


async def _serve(arguments: argparse.Namespace) -> None:
    server = ModelServer(
        latency=arguments.latency / 1000,
        embed_latency=None if arguments.embed_latency is None else arguments.embed_latency / 1000,
        tps=arguments.tps,
        dimension=arguments.dim,
        openie=arguments.openie,
        fail_every=arguments.fail_every,
        record=False,
        thoughts=arguments.thoughts,
        finish_reason=arguments.finish_reason,
    )
    await server.start(arguments.port)
    try:
        await asyncio.Event().wait()
    finally:
        await server.stop()


def main() -> None:
    """Serve until interrupted."""
    arguments = _arguments().parse_args()
    loop_factory = uvicorn.Config("", loop="auto").get_loop_factory()  # uvloop where there is one
    with contextlib.suppress(KeyboardInterrupt), asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(_serve(arguments))


if __name__ == "__main__":
    main()
