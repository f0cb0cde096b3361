"""The functions that scripts hand in, as models: chat, embeddings, reranking.

A function runs on its caller's event loop (see `lightrag.facade.runner`). It gets only the arguments that it can take,
so that the short signatures of examples and the long ones of old versions both work.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from lightrag.errors import (
    ModelError,
    ModelRateLimited,
    ModelRefused,
    ModelUnreachable,
    UnusableAnswer,
)
from lightrag.facade.runner import Runner
from lightrag.indexing.manifest import UNNAMED
from lightrag.llm.contracts import (
    ChatDelta,
    ChatReply,
    ChatRequest,
    FloatArray,
    ModelFacts,
    RerankHit,
    Role,
)
from lightrag.llm.embedding_func import EmbeddingFunc
from lightrag.llm.endpoint import Endpoint, fingerprint
from lightrag.llm.thinking import split_thinking
from lightrag.llm.usage import estimate_usage

BINDING = UNNAMED
"""Binding of models that are functions."""


class FunctionChat:
    """A chat model behind a function `(prompt, system_prompt=, history_messages=, stream=, **kwargs)`.

    The function returns the answer, or an asynchronous iterator of its pieces. `defaults` are `llm_model_kwargs`;
    `hashing_kv` is handed to it as LightRAG does, for the name of the model. `timeout`: seconds for one answer that is
    not streamed. Text between `<think>` tags stays in
    answers, for those who show it, and never reaches extraction, summaries or keywords.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        name: str,
        runner: Runner,
        defaults: Mapping[str, Any] | None = None,
        hashing_kv: Any = None,
        timeout: float | None = None,
    ) -> None:
        self._defaults = dict(defaults or {})
        self._call = _Callable(function, "llm_model_func", name, runner, timeout)
        self._runner = runner
        self._hashing_kv = hashing_kv
        self._facts = ModelFacts(BINDING, name, variant=fingerprint({k: repr(v) for k, v in self._defaults.items()}))

    @property
    def facts(self) -> ModelFacts:
        """What is known of the model."""
        return self._facts

    async def complete(self, request: ChatRequest) -> ChatReply:
        """Return the whole answer; raises `UnusableAnswer` where it is empty."""
        prompt, arguments = self._arguments(request)

        async def ask() -> str:
            return await _joined(await self._call.here(prompt, **arguments))

        text = await self._call.outside(ask)
        if request.role is not Role.ANSWER:
            text, _ = split_thinking(text)
        if not text.strip():
            raise UnusableAnswer(f"Model '{self._facts.name}': the llm_model_func returned an empty answer")
        return ChatReply(text, usage=estimate_usage(request, text))

    async def stream(self, request: ChatRequest) -> AsyncIterator[ChatDelta]:
        """Yield the answer as it is written, in one piece where the function does not stream."""
        prompt, arguments = self._arguments(request)

        async def pieces() -> AsyncIterator[str]:
            answer = await self._call.here(prompt, **arguments, stream=True)
            if isinstance(answer, str):
                yield answer
                return
            async for piece in answer:
                if piece:
                    yield str(piece)

        text = ""
        try:
            async for piece in self._runner.stream_outside(pieces):
                text += piece
                yield ChatDelta(text=piece)
        except (ModelError, asyncio.CancelledError, GeneratorExit):
            raise
        except Exception as error:
            raise model_error(error, "llm_model_func", self._facts.name) from error
        if not text.strip():
            raise UnusableAnswer(f"Model '{self._facts.name}': the llm_model_func streamed an empty answer")
        yield ChatDelta(finish_reason="stop", usage=estimate_usage(request, text))

    async def aclose(self) -> None:
        """Nothing is held."""

    def _arguments(self, request: ChatRequest) -> tuple[str, dict[str, Any]]:
        *before, last = request.messages
        system = "\n\n".join(message.content for message in before if message.role == "system")
        history = [{"role": m.role, "content": m.content} for m in before if m.role != "system"]
        prompt = last.content
        if system and not self._call.takes("system_prompt"):
            prompt = f"{system}\n\n{prompt}"
        arguments: dict[str, Any] = dict(self._defaults)
        if system:
            arguments["system_prompt"] = system
        if history:
            arguments["history_messages"] = history
        if self._hashing_kv is not None:
            arguments["hashing_kv"] = self._hashing_kv
        if request.role is Role.KEYWORDS:
            arguments["keyword_extraction"] = True
        if request.role is Role.ANSWER:
            arguments["enable_cot"] = True
        if request.max_tokens is not None:
            arguments["max_tokens"] = request.max_tokens
        return prompt, arguments


class FunctionEmbedding:
    """An embedding model behind an `EmbeddingFunc` or a bare function of texts.

    `facts` say under which name the vectors are recorded in the workspace.
    """

    def __init__(
        self, function: Callable[..., Any], facts: ModelFacts, runner: Runner, timeout: float | None = None
    ) -> None:
        self._function = function
        self._facts = facts
        self._call = _Callable(function, "embedding_func", facts.name, runner, timeout)
        self._endpoint = Endpoint(facts.name, "embedding_func", "the embedding function")

    @property
    def facts(self) -> ModelFacts:
        """What is known of the model."""
        return self._facts

    async def embed(self, texts: Sequence[str], *, purpose: Literal["document", "query"]) -> FloatArray:
        """Return L2-normalised vectors, shape (len(texts), dimension)."""
        if not texts:
            return np.empty((0, self._facts.dimension or 0), np.float32)
        arguments: dict[str, Any] = {}
        if isinstance(self._function, EmbeddingFunc) and self._function.supports_asymmetric:
            arguments["context"] = purpose

        async def ask() -> Any:
            return await self._call.here(list(texts), **arguments)

        vectors = np.asarray(await self._call.outside(ask), dtype=np.float32)
        if vectors.ndim == 1 and len(texts) == 1:
            vectors = vectors[None, :]
        if vectors.ndim != 2 or len(vectors) != len(texts):
            raise self._endpoint.unusable(f"an array of shape {vectors.shape} came back for {len(texts)} texts")
        if self._facts.dimension is not None and vectors.shape[1] != self._facts.dimension:
            raise self._endpoint.refused(
                f"vectors of dimension {vectors.shape[1]} came back where {self._facts.dimension} was expected",
                "set embedding_dim to what the model gives",
            )
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        if not np.isfinite(norms).all():
            raise self._endpoint.unusable("a vector holds values that are not finite numbers")
        normalised: FloatArray = vectors / np.maximum(norms, np.finfo(np.float32).tiny)
        return normalised

    async def aclose(self) -> None:
        """Nothing is held."""


class FunctionRerank:
    """A reranking model behind a function `(query=, documents=, top_n=)`.

    The function returns `[{"index": int, "relevance_score": float}, …]`, or one score for each document.
    """

    def __init__(self, function: Callable[..., Any], runner: Runner, timeout: float | None = None) -> None:
        self._call = _Callable(function, "rerank_model_func", "rerank", runner, timeout)
        self._facts = ModelFacts(BINDING, getattr(function, "__name__", "rerank"))

    @property
    def facts(self) -> ModelFacts:
        """What is known of the model."""
        return self._facts

    async def rerank(self, query: str, documents: Sequence[str], top_n: int) -> list[RerankHit]:
        """Return the `top_n` most relevant documents, best first."""

        async def ask() -> Any:
            return await self._call.here(query=query, documents=list(documents), top_n=top_n)

        hits = _hits(await self._call.outside(ask), len(documents))
        return sorted(hits, key=lambda hit: (-hit.score, hit.index))[:top_n]

    async def aclose(self) -> None:
        """Nothing is held."""


class _Callable:
    """A function of a script: which arguments it takes, and how it is called."""

    def __init__(
        self, function: Callable[..., Any], argument: str, name: str, runner: Runner, timeout: float | None
    ) -> None:
        self._timeout = timeout
        self._function = function
        self._argument = argument
        self._name = name
        self._runner = runner
        self._blocks = False
        try:
            parameters = inspect.signature(function).parameters
        except (TypeError, ValueError):
            parameters = None
        open_ended = parameters is None or any(p.kind is p.VAR_KEYWORD for p in parameters.values())
        self._known = None if open_ended or parameters is None else frozenset(parameters)

    def takes(self, argument: str) -> bool:
        """Whether the function takes a keyword argument."""
        return self._known is None or argument in self._known

    async def here(self, *positional: Any, **keywords: Any) -> Any:
        """Call the function on the present loop, and await what it returns.

        A function that turns out to block goes to a thread from the next call on.
        """
        arguments = {name: value for name, value in keywords.items() if self.takes(name)}
        if self._blocks:
            result = await asyncio.to_thread(self._function, *positional, **arguments)
        else:
            result = self._function(*positional, **arguments)
        if inspect.isawaitable(result):
            return await result
        self._blocks = not hasattr(result, "__aiter__")
        return result

    async def outside(self, ask: Callable[[], Any]) -> Any:
        """Run `ask` on the caller's loop; its errors become those of models."""
        try:
            async with asyncio.timeout(self._timeout):
                return await self._runner.outside(ask)
        except ModelError:
            raise
        except TimeoutError as error:
            late = Endpoint(self._name, self._argument, "").late(self._timeout)
            raise late from error
        except Exception as error:
            raise model_error(error, self._argument, self._name) from error


def model_error(error: Exception, argument: str, name: str) -> ModelError:
    """Return what an exception of a function stands for; its own message is kept."""
    said = f"Model '{name}': {argument} raised {type(error).__name__}: {error}"
    kinds = {kind.__name__ for kind in type(error).__mro__}
    status = getattr(error, "status_code", None)
    if isinstance(status, int) and 400 <= status < 600:
        headers = getattr(getattr(error, "response", None), "headers", None)
        return Endpoint(name, argument, "the model's name").from_status(status, str(error), headers)
    if "RateLimitError" in kinds:
        return ModelRateLimited(said)
    if isinstance(error, OSError) or kinds & {"APIConnectionError", "TransportError", "TimeoutError", "ConnectError"}:
        return ModelUnreachable(said)
    if isinstance(error, (TypeError, AttributeError, NameError, ImportError, KeyError)):
        return ModelRefused(said)  # a mistake in the script: no retry will mend it
    return UnusableAnswer(said)


async def _joined(answer: Any) -> str:
    """Return an answer as one text, whether it came whole or in pieces."""
    if hasattr(answer, "__aiter__"):
        return "".join([str(piece) async for piece in answer if piece])
    if answer is None:
        return ""
    dump = getattr(answer, "model_dump_json", None)
    return str(dump()) if dump is not None else str(answer)


def _hits(answer: Any, count: int) -> list[RerankHit]:
    try:
        if all(isinstance(item, (int, float)) for item in answer):
            return [RerankHit(index, float(score)) for index, score in enumerate(answer)]
        hits = [RerankHit(int(item["index"]), float(item.get("relevance_score", item.get("score")))) for item in answer]
    except (TypeError, ValueError, LookupError, AttributeError) as error:
        raise UnusableAnswer(
            "rerank_model_func must return a list of {'index', 'relevance_score'}, or one score for each document"
        ) from error
    if any(not 0 <= hit.index < count for hit in hits):
        raise UnusableAnswer("rerank_model_func returned an index that is not among the documents")
    return hits
