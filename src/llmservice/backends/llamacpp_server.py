"""One llama.cpp engine inside this process: parameters, threads, cancellation."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import threading
import urllib.error
import urllib.request
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from llmservice.backends.contracts import ModelSource
from llmservice.backends.files import default_context
from llmservice.errors import ContextOverflow, InvalidRequest, ModelLoadError, ServiceError

if TYPE_CHECKING:
    from llmservice.backends.gguf_header import GgufHeader

Chunk = Mapping[str, Any]
Handler = Callable[..., Any]
_LOCAL_TIMEOUT_S = 30


class LlamaServer:
    """Runs llama.cpp's slots with continuous batching.

    A call takes one slot from start to end; calls beyond the slots wait, in order, without a thread. The thread of a
    slot only hands pieces over: what computes is llama.cpp's own loop, which serves all slots in one batch.
    """

    def __init__(self, source: ModelSource, header: GgufHeader, **settings: Any) -> None:
        """Load a model; blocks. `settings` are fields of llama.cpp's parameters. Raises `ModelLoadError`."""
        try:
            import xllamacpp  # type: ignore[import-untyped]
        except ImportError as error:
            raise ModelLoadError(
                "The backend llamacpp needs the package xllamacpp; install lightrag-server[llmservice]"
            ) from error
        # Without the environment's proxies, which must not see requests to the loopback.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        self._key = secrets.token_urlsafe(24)
        wanted = source.context_length or default_context(source, header.number("context_length"))
        parameters = _parameters(xllamacpp, source, wanted, self._key, settings)
        try:
            self._server: Any = xllamacpp.Server(parameters)
        except (RuntimeError, ValueError) as error:
            raise ModelLoadError(
                f"llama.cpp could not load {source.path} (architecture {header.architecture}): {error}. Its own reason "
                "is in the log above; common ones are too little memory for the context length, or an architecture "
                "that this version does not know"
            ) from error
        self._address = str(self._server.listening_address)
        self._slots = asyncio.Semaphore(source.slots)
        self._threads = ThreadPoolExecutor(source.slots, thread_name_prefix="llama-slot")
        self._running: set[_Call] = set()
        self._closed = False
        self.context_length = self._slot_context(wanted)

    def local(self, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Ask llama.cpp's private listener, for what the binding offers no call; blocks."""
        request = urllib.request.Request(  # noqa: S310 - the address is the engine's own, on the loopback
            self._address + path,
            None if body is None else json.dumps(body).encode(),
            {"Content-Type": "application/json", "Authorization": f"Bearer {self._key}"},
        )
        try:
            with self._opener.open(request, timeout=_LOCAL_TIMEOUT_S) as response:
                answer: dict[str, Any] = json.load(response)
        except urllib.error.HTTPError as error:
            # Of what is asked here, only a template may refuse: the messages do not fit to it.
            raise InvalidRequest(_reason(_message(error.read()))) from error
        except (urllib.error.URLError, TimeoutError, ValueError) as error:
            raise ServiceError(f"llama.cpp did not answer {path}: {error}") from error
        return answer

    async def tokens(self, text: str, *, special: bool) -> list[int]:
        """Return a text's token ids; with `special`, those that the model adds around it as well."""
        body = {"content": text, "add_special": special, "parse_special": False}
        answer = await asyncio.to_thread(self.local, "/tokenize", body)
        return [int(token) for token in answer["tokens"]]

    async def stream(self, handler: str, body: Mapping[str, Any]) -> AsyncGenerator[Chunk, None]:
        """Yield the chunks of a streamed request. Closing the iterator frees the slot at the next token.

        Raises `ContextOverflow` or `InvalidRequest` before the first chunk.
        """
        async with self._slots:
            call = _Call(asyncio.get_running_loop())
            handle = getattr(self._live(), handler)
            request = {**body, "stream": True, "stream_options": {"include_usage": True}}
            self._running.add(call)
            done = asyncio.wrap_future(self._threads.submit(call.run, handle, request))
            try:
                async for chunk in call.chunks():
                    _raise_for(chunk)
                    yield chunk
                await done
                if call.cancelled:
                    raise ServiceError("The model was unloaded before the answer ended")
            finally:
                call.cancel()
                # The slot is given on only when llama.cpp has let go of it.
                await _settled(done)
                self._running.discard(call)

    async def call(self, handler: str, body: Mapping[str, Any]) -> Chunk:
        """Return the answer to a request that is not streamed. Raises as `stream` does."""
        async with self._slots:
            handle = getattr(self._live(), handler)
            done = asyncio.wrap_future(self._threads.submit(_answer, handle, dict(body)))
            try:
                answer = await asyncio.shield(done)
            finally:
                await _settled(done)
        _raise_for(answer)
        return answer

    async def aclose(self) -> None:
        """Cancel what runs and release the model's memory."""
        self._closed = True
        for call in list(self._running):
            call.cancel()
        await asyncio.to_thread(self._release)

    def _release(self) -> None:
        self._threads.shutdown(cancel_futures=True)
        self._server = None

    def _live(self) -> Any:
        if self._closed:
            raise ServiceError("The model was unloaded")
        return self._server

    def _slot_context(self, wanted: int) -> int:
        with contextlib.suppress(ServiceError, KeyError, TypeError):
            return int(self.local("/props")["default_generation_settings"]["n_ctx"])
        return wanted


class _Call:
    """Brings chunks from the thread of a slot to the event loop, with one wake-up for all that have gathered."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._gone = threading.Event()
        self._lock = threading.Lock()
        self._waiting: deque[Chunk | BaseException | None] = deque()
        self._woken = False
        self._ready = asyncio.Event()

    def run(self, handle: Handler, request: Mapping[str, Any]) -> None:
        """Run a request to its end; in a thread."""
        try:
            if not self._gone.is_set():
                handle(dict(request), self._receive)
        except (ValueError, RuntimeError, TypeError) as error:
            self._put(InvalidRequest(_reason(error)))
        except Exception as error:  # whoever waits must hear of it, whatever it is
            self._put(ServiceError(f"llama.cpp failed: {error}"))
        finally:
            self._put(None)

    async def chunks(self) -> AsyncGenerator[Chunk, None]:
        """Yield chunks as they come; raise what the request raised."""
        while True:
            await self._ready.wait()
            with self._lock:
                self._ready.clear()
                self._woken = False
                found = list(self._waiting)
                self._waiting.clear()
            for item in found:
                if item is None:
                    return
                if isinstance(item, BaseException):
                    raise item
                yield item

    @property
    def cancelled(self) -> bool:
        """Whether the request has been told to stop."""
        return self._gone.is_set()

    def cancel(self) -> None:
        """Have llama.cpp stop at the next token."""
        self._gone.set()

    def _receive(self, chunk: Chunk) -> bool:
        """Take a chunk; the answer says whether to stop."""
        self._put(chunk)
        return self._gone.is_set()

    def _put(self, item: Chunk | BaseException | None) -> None:
        with self._lock:
            self._waiting.append(item)
            if self._woken:
                return
            self._woken = True
        with contextlib.suppress(RuntimeError):  # the loop has ended, and with it whoever waited
            self._loop.call_soon_threadsafe(self._ready.set)


def _answer(handle: Handler, body: dict[str, Any]) -> Chunk:
    try:
        answer: Chunk = handle(body)
    except (ValueError, RuntimeError, TypeError) as error:
        raise InvalidRequest(_reason(error)) from error
    return answer


async def _settled(done: asyncio.Future[Any]) -> None:
    """Wait until a thread has ended, whatever came of it; a cancellation meanwhile is raised after that."""
    cancelled: asyncio.CancelledError | None = None
    while not done.done():
        try:
            await asyncio.wait([done])
        except asyncio.CancelledError as error:
            cancelled = error
    if not done.cancelled():
        done.exception()
    if cancelled is not None:
        raise cancelled


def _raise_for(chunk: Chunk) -> None:
    error = chunk.get("error")
    if not error:
        return
    if isinstance(error, Mapping):
        if error.get("type") == "exceed_context_size_error":
            raise ContextOverflow(int(error.get("n_prompt_tokens", 0)), int(error.get("n_ctx", 0)))
        if int(error.get("code", 500)) < 500:
            raise InvalidRequest(_reason(error.get("message")))
        raise ServiceError(f"llama.cpp failed: {error.get('message')}")
    raise ServiceError(f"llama.cpp failed: {error}")


def _message(answer: bytes) -> object:
    try:
        return json.loads(answer)["error"]["message"]
    except (ValueError, KeyError, TypeError):
        return answer.decode("utf-8", "replace")


def _reason(error: object) -> str:
    return f"The model cannot use this request: {str(error).strip()}"


def _parameters(xllamacpp: Any, source: ModelSource, context: int, key: str, settings: Mapping[str, Any]) -> Any:
    """Return llama.cpp's parameters. `n_ctx` is the sum over the slots."""
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(source.path)
    parameters.n_parallel = source.slots
    parameters.n_ctx = context * source.slots
    parameters.n_gpu_layers = source.gpu_layers
    parameters.cpuparams.n_threads = source.threads
    parameters.cpuparams_batch.n_threads = source.threads
    parameters.verbosity = 0
    parameters.cache_ram_mib = 0
    parameters.fit_params = False
    # The engine opens a listener on the loopback with CORS for all: nobody without the key may use it.
    parameters.api_keys = [key]
    parameters.endpoint_slots = False
    parameters.ui = False
    for name, value in {**settings, **_allowed(xllamacpp, source.options)}.items():
        setattr(parameters, name, value)
    return parameters


def _allowed(xllamacpp: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    """Translate what a tier may set beyond the common fields."""
    found: dict[str, Any] = {"load_mode": _load_mode(xllamacpp, options)}
    if options.get("n_batch") is not None:
        found["n_batch"] = int(options["n_batch"])
    if options.get("kv_cache"):
        kind = getattr(xllamacpp.ggml_type, f"GGML_TYPE_{str(options['kv_cache']).upper()}", None)
        if kind is None:
            raise ModelLoadError(f"llama.cpp has no type {options['kv_cache']!r} of cache; use f16, f32 or q8_0")
        found |= {"cache_type_k": kind, "cache_type_v": kind}
    if options.get("chat_template"):
        found["chat_template"] = str(options["chat_template"])
    return found


def _load_mode(xllamacpp: Any, options: Mapping[str, Any]) -> Any:
    """Return how the file is brought into memory: mapped or read, and locked there or not."""
    parts = [name for name in ("mmap", "mlock") if options.get(f"use_{name}", name == "mmap")]
    return getattr(xllamacpp.llama_load_mode, "LLAMA_LOAD_MODE_" + ("_".join(parts) or "none").upper())
