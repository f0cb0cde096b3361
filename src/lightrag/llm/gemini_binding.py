"""Chat and embedding models of Google's Gemini API, through Google's SDK (the extra `gemini`).

The SDK is imported at first use, in a thread. It is given our own HTTP client, whose hooks take away credentials that
were not set here and raise our errors where Retry-After can still be read. Its retries are off.

Format: https://ai.google.dev/api/generate-content, https://ai.google.dev/api/embeddings
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, cast

import orjson

from lightrag.errors import ModelError
from lightrag.llm.answer import GrowingAnswer, finish_reason, turns, whole_reply
from lightrag.llm.contracts import ChatDelta, ChatReply, ChatRequest, FloatArray, ModelFacts, Usage
from lightrag.llm.endpoint import Endpoint, fingerprint, public_url
from lightrag.llm.extras import imported
from lightrag.llm.http_client import CONNECT_SECONDS
from lightrag.llm.late_client import LateClient
from lightrag.llm.network import client_options, current_gatekeeper
from lightrag.llm.thinking import ThinkingHabit
from lightrag.llm.usage import note_tokens
from lightrag.llm.vectors import batches, decode_vectors, joined

if TYPE_CHECKING:
    import httpx2
    from google.genai import Client
    from google.genai.client import AsyncClient
    from google.genai.types import EmbedContentResponse, GenerateContentResponse

DEFAULT_HOST = "https://generativelanguage.googleapis.com"
API_VERSION = "v1beta"
MOST_TEXTS = 100

_NO_KEY = "none"
_RETRY_DELAY = "retryDelay"


class GeminiChat:
    """A Gemini chat model.

    `host`: base URL without a version. Without `api_key` no credentials are sent, whatever the environment holds.
    `timeout`: seconds for a whole answer, and between two pieces of a streamed one; None for no limit. `options`:
    parameters of the SDK's `GenerateContentConfig` that go with every request (`temperature`, `thinking_config`, …).
    """

    def __init__(
        self,
        model: str,
        host: str | None = None,
        api_key: str | None = None,
        timeout: float | None = 180.0,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        url = host or DEFAULT_HOST
        self._options = dict(options or {})
        self._timeout = timeout
        self._facts = ModelFacts("gemini", model, public_url(url), variant=fingerprint(self._options))
        self._endpoint = Endpoint(model, self._facts.host, "the model's name", api_key or "")
        self._habit = ThinkingHabit()
        self._client = _GeminiClient(url, api_key, timeout, self._endpoint)

    @property
    def facts(self) -> ModelFacts:
        """What is known of the model."""
        return self._facts

    async def complete(self, request: ChatRequest) -> ChatReply:
        """Return the whole answer; raises `UnusableAnswer` where it is empty."""
        try:
            async with asyncio.timeout(self._timeout):
                sdk = await self._client.sdk()
                arguments = self._arguments(request)
                with self._client.translated():
                    response = await sdk.models.generate_content(**arguments)
        except TimeoutError:
            raise self._endpoint.late(self._timeout) from None
        content, thinking = _pieces(response)
        reason = _reason(response)
        if reason is None:
            raise self._endpoint.unusable("the answer holds no candidate")
        return whole_reply(request, self._endpoint, content, thinking, reason, _usage(response), self._habit)

    async def stream(self, request: ChatRequest) -> AsyncIterator[ChatDelta]:
        """Yield the answer as it is written. Closing the iterator ends the call.

        Raises `ModelUnreachable` where the stream breaks off before the answer is finished.
        """
        answer = GrowingAnswer(request, self._endpoint, self._habit)
        sdk = await self._client.sdk()
        arguments = self._arguments(request)
        with self._client.translated():
            opened = await sdk.models.generate_content_stream(**arguments)
        parts = cast("AsyncGenerator[GenerateContentResponse]", opened)
        try:
            with self._client.translated():
                async for part in parts:
                    for delta in answer.add(*_pieces(part)):
                        yield delta
                    answer.usage = _usage(part) or answer.usage
                    answer.finish_reason = _reason(part) or answer.finish_reason
        finally:
            await parts.aclose()
        for delta in answer.close():
            yield delta

    async def aclose(self) -> None:
        """Release connections."""
        await self._client.aclose()

    def _arguments(self, request: ChatRequest) -> dict[str, Any]:
        system, spoken = turns(request.messages)
        # What the SDK would do by itself after an answer (call functions, ask for more) is not its to decide.
        config: dict[str, Any] = {"automatic_continuation": False} | self._options
        if system:
            config["system_instruction"] = system
        if request.max_tokens is not None:
            config["max_output_tokens"] = request.max_tokens
        if request.temperature is not None:
            config["temperature"] = request.temperature
        if request.json_object:
            config["response_mime_type"] = "application/json"
        names = {"user": "user", "assistant": "model"}
        contents = [{"role": names[role], "parts": [{"text": text}]} for role, text in spoken]
        return {"model": self._facts.name, "contents": contents, "config": self._checked(config | dict(request.extra))}

    def _checked(self, config: dict[str, Any]) -> Any:
        import pydantic
        from google.genai.types import GenerateContentConfig

        try:
            return GenerateContentConfig.model_validate(config)
        except pydantic.ValidationError as error:
            found = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_url=False))
            raise self._endpoint.refused(f"Gemini has no such parameters ({found})", "correct GEMINI_LLM_*") from None


class GeminiEmbedding:
    """A Gemini embedding model.

    `dimension`: what vectors must have; with `send_dimensions` it is asked for. `max_batch`: most texts in one call, up
    to 100. `timeout`: seconds for one call; None for no limit.
    """

    def __init__(
        self,
        model: str,
        host: str | None = None,
        api_key: str | None = None,
        dimension: int | None = None,
        max_batch: int = MOST_TEXTS,
        timeout: float | None = 30.0,
        *,
        send_dimensions: bool = False,
    ) -> None:
        url = host or DEFAULT_HOST
        self._timeout = timeout
        self._config: dict[str, Any] = {}
        if send_dimensions and dimension:
            self._config["output_dimensionality"] = dimension
        self._facts = ModelFacts(
            "gemini", model, public_url(url), dimension=dimension, max_batch=min(max_batch, MOST_TEXTS)
        )
        self._endpoint = Endpoint(model, self._facts.host, "the model's name", api_key or "")
        self._client = _GeminiClient(url, api_key, timeout, self._endpoint)

    @property
    def facts(self) -> ModelFacts:
        """What is known of the model; `dimension` is set once `embed` was called, at the latest."""
        return self._facts

    async def embed(self, texts: Sequence[str], *, purpose: Literal["document", "query"]) -> FloatArray:
        """Return L2-normalised vectors, shape (len(texts), dimension)."""
        parts = [await self._call(batch, purpose) for batch in batches(texts, self._facts.max_batch)]
        return joined(parts, self._facts.dimension)

    async def aclose(self) -> None:
        """Release connections."""
        await self._client.aclose()

    async def _call(self, texts: Sequence[str], purpose: Literal["document", "query"]) -> FloatArray:
        # One content per text: a list of plain texts is one text of many parts to the newer models.
        contents: Any = [{"parts": [{"text": text}]} for text in texts]
        task = "RETRIEVAL_QUERY" if purpose == "query" else "RETRIEVAL_DOCUMENT"
        config: Any = self._config | {"task_type": task}
        try:
            async with asyncio.timeout(self._timeout):
                sdk = await self._client.sdk()
                with self._client.translated():
                    response = await sdk.models.embed_content(model=self._facts.name, contents=contents, config=config)
        except TimeoutError:
            raise self._endpoint.late(self._timeout) from None
        if not response.embeddings:
            raise self._endpoint.unusable("the answer holds no embeddings")
        encoded = [embedding.values or [] for embedding in response.embeddings]
        note_tokens(_embedded_tokens(response))
        vectors = decode_vectors(encoded, len(texts), self._facts.dimension, self._endpoint)
        if self._facts.dimension is None:
            self._facts = dataclasses.replace(self._facts, dimension=vectors.shape[1])
        return vectors


class _GeminiClient:
    """The SDK's client, made at first use."""

    def __init__(self, url: str, api_key: str | None, timeout: float | None, endpoint: Endpoint) -> None:
        self._url = url.rstrip("/").removesuffix(f"/{API_VERSION}")
        self._api_key = api_key or ""
        self._timeout = timeout
        self._endpoint = endpoint
        self._gatekeeper = current_gatekeeper()
        self._http: httpx2.AsyncClient | None = None
        self._sdk = LateClient(self._make, _close)

    async def sdk(self) -> AsyncClient:
        """Return the SDK's asynchronous client."""
        return (await self._sdk.get()).aio

    @contextlib.contextmanager
    def translated(self) -> Iterator[None]:
        """Turn the SDK's and its transport's errors into ours."""
        import httpx2
        import pydantic
        from google.genai import errors

        try:
            yield
        except ModelError:
            raise
        except httpx2.TimeoutException:
            raise self._endpoint.late(self._timeout) from None
        except httpx2.TransportError as error:
            raise self._endpoint.unreachable(f"the connection failed ({type(error).__name__}: {error})") from None
        except errors.APIError as error:  # an error inside a stream that began well
            status = error.code if isinstance(error.code, int) and error.code >= 400 else 500
            raise self._endpoint.from_status(status, orjson.dumps(error.details, default=str).decode()) from None
        except errors.UnknownApiResponseError as error:
            raise self._endpoint.unusable("the server sent what is not JSON") from error
        except (pydantic.ValidationError, ValueError, TypeError, AttributeError, LookupError) as error:
            raise self._endpoint.unusable("the request or the answer is not of Gemini's form") from error

    async def aclose(self) -> None:
        """Release connections."""
        await self._sdk.aclose()
        if self._http is not None:
            http, self._http = self._http, None
            await http.aclose()

    def _make(self) -> Client:
        genai = imported("google.genai", "gemini", "a binding named gemini")
        import httpx2

        connect = min(CONNECT_SECONDS, self._timeout or CONNECT_SECONDS)
        self._http = httpx2.AsyncClient(
            timeout=httpx2.Timeout(self._timeout, connect=connect),
            event_hooks={"request": [self._prepare], "response": [self._raise_for_status]},
            **client_options(httpx2, self._gatekeeper),
        )
        options = genai.types.HttpOptions(
            base_url=self._url,
            api_version=API_VERSION,
            httpx_async_client=self._http,
            timeout=None if self._timeout is None else max(1, int(1000 * self._timeout)),
        )
        # A key of some kind has to be given, or the SDK takes one from the environment.
        client: Client = genai.Client(vertexai=False, api_key=self._api_key or _NO_KEY, http_options=options)
        return client

    async def _prepare(self, request: httpx2.Request) -> None:
        if not self._api_key:
            request.headers.pop("x-goog-api-key", None)

    async def _raise_for_status(self, response: httpx2.Response) -> None:
        if response.status_code >= 400:
            await response.aread()
            raise self._endpoint.from_status(response.status_code, response.text, _headers(response))


async def _close(sdk: Client) -> None:
    await sdk.aio.aclose()
    await asyncio.to_thread(sdk.close)


def _embedded_tokens(response: EmbedContentResponse) -> int | None:
    """Return the tokens of an embedding call: of the whole call, or of each text, as far as they are told."""
    whole = response.usage_metadata
    if whole is not None and whole.prompt_token_count:
        return whole.prompt_token_count
    counts = [one.statistics and one.statistics.token_count for one in response.embeddings or []]
    told = [int(count) for count in counts if count]
    return sum(told) if told and len(told) == len(counts) else None


def _headers(response: httpx2.Response) -> Mapping[str, str]:
    """Return the headers with the wait that Google writes into the body of an error (`google.rpc.RetryInfo`)."""
    if "retry-after" in response.headers:
        return response.headers
    with contextlib.suppress(ValueError, LookupError, TypeError, AttributeError):
        for detail in orjson.loads(response.content)["error"]["details"]:
            if str(detail.get(_RETRY_DELAY, "")).endswith("s"):
                return {"retry-after": detail[_RETRY_DELAY].removesuffix("s")}
    return response.headers


def _pieces(response: GenerateContentResponse) -> tuple[str, str]:
    """Return the (text, thinking) of an answer or a piece of one."""
    text, thinking = "", ""
    for candidate in (response.candidates or [])[:1]:
        for part in (candidate.content and candidate.content.parts) or []:
            if part.thought:
                thinking += part.text or ""
            else:
                text += part.text or ""
    return text, thinking


def _reason(response: GenerateContentResponse) -> str | None:
    """Return why an answer ended; None where it has not."""
    feedback = response.prompt_feedback
    if feedback is not None and feedback.block_reason is not None:
        return f"blocked: {feedback.block_reason.value}"
    for candidate in response.candidates or []:
        if candidate.finish_reason is not None:
            return finish_reason(candidate.finish_reason.value)
    return None


def _usage(response: GenerateContentResponse) -> Usage | None:
    usage = response.usage_metadata
    if usage is None or usage.prompt_token_count is None:
        return None
    written = (usage.candidates_token_count or 0) + (usage.thoughts_token_count or 0)
    return Usage(usage.prompt_token_count, written, usage.cached_content_token_count or 0)
