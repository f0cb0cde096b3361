"""LightRAG's functions for servers that speak OpenAI's dialect: answers, streams, embeddings.

Each call makes a client and closes it, so that the functions work on whatever event loop they are called on. Failures
that may pass are tried again. What is raised at last is the SDK's exception, so that scripts can tell kinds apart by
the classes that they know, with a message that says what to do; `ContextLengthExceededError`, `QuotaExceededError`,
`InvalidResponseError` and `EmptyResponseError` name what the SDK has no class for.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import openai
from openai import (
    APIConnectionError,
    APIError,
    APIStatusError,
    APITimeoutError,
    AsyncAzureOpenAI,
    AsyncOpenAI,
    BadRequestError,
    RateLimitError,
)

from lightrag.errors import AccessRefused, ContextTooLong, ModelError, UnusableAnswer
from lightrag.llm.embedding_func import wrap_embedding_func_with_attrs
from lightrag.llm.endpoint import Endpoint, public_url
from lightrag.llm.retry import Retrial, RetryPolicy

__all__ = [
    "APIConnectionError",
    "APITimeoutError",
    "AsyncOpenAI",
    "ContextLengthExceededError",
    "EmptyResponseError",
    "InvalidResponseError",
    "QuotaExceededError",
    "RateLimitError",
    "azure_openai_complete",
    "azure_openai_complete_if_cache",
    "azure_openai_embed",
    "create_openai_async_client",
    "gpt_4o_complete",
    "gpt_4o_mini_complete",
    "nvidia_openai_complete",
    "openai_complete",
    "openai_complete_if_cache",
    "openai_embed",
]

T = TypeVar("T")
Answer = str | AsyncIterator[str]
History = list[dict[str, Any]]

DEFAULT_BASE_URL = "https://api.openai.com/v1"
NVIDIA_BASE_URL = "https://integrate.api.nvidia.com/v1"
_POLICY = RetryPolicy(attempts=3, unusable_attempts=3, base=1.0, most=10.0, deadline=30.0)
_NOT_SENT = frozenset({"hashing_kv", "keyword_extraction", "entity_extraction", "llm_instance", "token_tracker"})
"""What LightRAG hands to model functions and no server knows."""


class InvalidResponseError(Exception):
    """The server answered with something else than a completion."""


class EmptyResponseError(InvalidResponseError):
    """The server answered without text."""


class ContextLengthExceededError(BadRequestError):
    """The prompt does not fit the model's context."""


class QuotaExceededError(RateLimitError):
    """The account's quota is used up; trying again does not help."""


def create_openai_async_client(
    api_key: str | None = None,
    base_url: str | None = None,
    use_azure: bool = False,
    azure_deployment: str | None = None,
    api_version: str | None = None,
    timeout: float | None = None,
    client_configs: Mapping[str, Any] | None = None,
) -> AsyncOpenAI:
    """Return a client of the SDK; the caller closes it.

    Arguments beat `client_configs` (parameters of the SDK's client), which beat the defaults. `api_key`: by default
    OPENAI_API_KEY; raises `KeyError` where neither is given. `base_url`: by default OPENAI_API_BASE or OPENAI_BASE_URL,
    then OpenAI's. `timeout`: seconds. With `use_azure` the variables begin with AZURE_OPENAI_.
    """
    configs: dict[str, Any] = {"max_retries": 0, **(client_configs or {})}
    configs["default_headers"] = {"User-Agent": "LightRAG-server", **(configs.get("default_headers") or {})}
    if timeout is not None:
        configs["timeout"] = timeout
    if use_azure:
        return _azure_client(configs, api_key, base_url, azure_deployment, api_version)
    if api_key is not None or "api_key" not in configs:
        configs["api_key"] = api_key if api_key is not None else _variable("OPENAI_API_KEY")
    if base_url is not None or "base_url" not in configs:
        configs["base_url"] = base_url or _base_url()
    if not configs["api_key"]:
        # Servers at home have no keys and do not look; the SDK insists on one.
        configs["api_key"] = "none"
    return AsyncOpenAI(**configs)


async def openai_complete_if_cache(
    model: str,
    prompt: str,
    system_prompt: str | None = None,
    history_messages: History | None = None,
    enable_cot: bool = False,
    base_url: str | None = None,
    api_key: str | None = None,
    token_tracker: Any = None,
    stream: bool | None = None,
    timeout: float | None = None,  # noqa: ASYNC109 - LightRAG's signature
    keyword_extraction: bool = False,
    use_azure: bool = False,
    azure_deployment: str | None = None,
    api_version: str | None = None,
    image_inputs: Any = None,
    **kwargs: Any,
) -> Answer:
    """Answer a prompt; with `stream` as an asynchronous generator of pieces.

    `enable_cot`: an answer that begins with thinking has it between `<think>` and `</think>`; otherwise thinking is
    left out. `keyword_extraction`: ask for a JSON object. `token_tracker`: its `add_usage` is told the tokens.
    Further arguments go to the server, but for `messages` (in place of the built ones), `openai_client_configs` (see
    `create_openai_async_client`) and what only LightRAG knows. `response_format` may be a pydantic class.

    Keeping answers is the engine's matter, whose `hashing_kv` may be passed and is not used here.

    Raises the SDK's errors (`APIConnectionError`, `RateLimitError`, ...), `ContextLengthExceededError`,
    `QuotaExceededError`, `InvalidResponseError`, `EmptyResponseError`.
    """
    configs = kwargs.pop("openai_client_configs", None)
    messages = kwargs.pop("messages", None) or _messages(prompt, system_prompt, history_messages, image_inputs)
    body = {name: value for name, value in kwargs.items() if name not in _NOT_SENT and value is not None}
    if keyword_extraction:
        body.setdefault("response_format", {"type": "json_object"})
    client = create_openai_async_client(
        api_key, base_url, use_azure, azure_deployment or model, api_version, timeout, configs
    )
    call = _Call(client, _endpoint(model, client), {"model": model, "messages": messages, **body}, token_tracker)
    if stream:
        return await call.stream(enable_cot)
    try:
        return await call.complete(enable_cot)
    finally:
        await client.close()


async def openai_complete(
    prompt: str,
    system_prompt: str | None = None,
    history_messages: History | None = None,
    keyword_extraction: bool = False,
    entity_extraction: bool = False,
    **kwargs: Any,
) -> Answer:
    """Answer with the model that `hashing_kv.global_config["llm_model_name"]` names."""
    model = kwargs["hashing_kv"].global_config["llm_model_name"]
    return await openai_complete_if_cache(
        model, prompt, system_prompt, history_messages, keyword_extraction=keyword_extraction, **kwargs
    )


async def gpt_4o_complete(
    prompt: str,
    system_prompt: str | None = None,
    history_messages: History | None = None,
    enable_cot: bool = False,
    keyword_extraction: bool = False,
    entity_extraction: bool = False,
    **kwargs: Any,
) -> Answer:
    """Answer with gpt-4o."""
    return await openai_complete_if_cache(
        "gpt-4o",
        prompt,
        system_prompt,
        history_messages,
        enable_cot=enable_cot,
        keyword_extraction=keyword_extraction,
        **kwargs,
    )


async def gpt_4o_mini_complete(
    prompt: str,
    system_prompt: str | None = None,
    history_messages: History | None = None,
    enable_cot: bool = False,
    keyword_extraction: bool = False,
    entity_extraction: bool = False,
    **kwargs: Any,
) -> Answer:
    """Answer with gpt-4o-mini."""
    return await openai_complete_if_cache(
        "gpt-4o-mini",
        prompt,
        system_prompt,
        history_messages,
        enable_cot=enable_cot,
        keyword_extraction=keyword_extraction,
        **kwargs,
    )


async def nvidia_openai_complete(
    prompt: str,
    system_prompt: str | None = None,
    history_messages: History | None = None,
    enable_cot: bool = False,
    keyword_extraction: bool = False,
    entity_extraction: bool = False,
    **kwargs: Any,
) -> Answer:
    """Answer with a model of NVIDIA's."""
    kwargs.setdefault("base_url", NVIDIA_BASE_URL)
    return await openai_complete_if_cache(
        "nvidia/llama-3.1-nemotron-70b-instruct",
        prompt,
        system_prompt,
        history_messages,
        enable_cot=enable_cot,
        keyword_extraction=keyword_extraction,
        **kwargs,
    )


@wrap_embedding_func_with_attrs(
    embedding_dim=1536,
    max_token_size=8192,
    model_name="text-embedding-3-small",
    supports_asymmetric=True,
)
async def openai_embed(
    texts: list[str],
    model: str = "text-embedding-3-small",
    base_url: str | None = None,
    api_key: str | None = None,
    embedding_dim: int | None = None,
    max_token_size: int | None = None,
    client_configs: Mapping[str, Any] | None = None,
    token_tracker: Any = None,
    use_azure: bool = False,
    azure_deployment: str | None = None,
    api_version: str | None = None,
    context: str = "document",
    query_prefix: str | None = None,
    document_prefix: str | None = None,
) -> npt.NDArray[np.float32]:
    """Embed texts; shape (len(texts), dimension).

    `embedding_dim` is asked of the server, for models that can shorten their vectors. `query_prefix` or
    `document_prefix` goes before each text, as `context` says. Raises as `openai_complete_if_cache`.
    """
    prefix = (query_prefix if context == "query" else document_prefix) or ""
    client = create_openai_async_client(
        api_key, base_url, use_azure, azure_deployment or model, api_version, None, client_configs
    )
    body: dict[str, Any] = {"model": model, "input": [prefix + text or " " for text in texts]}
    if embedding_dim is not None:
        body["dimensions"] = embedding_dim
    call = _Call(client, _endpoint(model, client), body, token_tracker)
    try:
        return await call.embed()
    finally:
        await client.close()


async def azure_openai_complete_if_cache(
    model: str,
    prompt: str,
    system_prompt: str | None = None,
    history_messages: History | None = None,
    enable_cot: bool = False,
    base_url: str | None = None,
    api_key: str | None = None,
    token_tracker: Any = None,
    stream: bool | None = None,
    timeout: float | None = None,  # noqa: ASYNC109 - LightRAG's signature
    api_version: str | None = None,
    keyword_extraction: bool = False,
    **kwargs: Any,
) -> Answer:
    """Answer with a deployment on Azure; `model` is its name, by default AZURE_OPENAI_DEPLOYMENT."""
    return await openai_complete_if_cache(
        model or _variable("AZURE_OPENAI_DEPLOYMENT", "LLM_MODEL"),
        prompt,
        system_prompt,
        history_messages,
        enable_cot=enable_cot,
        base_url=base_url,
        api_key=api_key,
        token_tracker=token_tracker,
        stream=stream,
        timeout=timeout,
        keyword_extraction=keyword_extraction,
        use_azure=True,
        api_version=api_version,
        **kwargs,
    )


async def azure_openai_complete(
    prompt: str,
    system_prompt: str | None = None,
    history_messages: History | None = None,
    keyword_extraction: bool = False,
    entity_extraction: bool = False,
    **kwargs: Any,
) -> Answer:
    """Answer with the deployment that AZURE_OPENAI_DEPLOYMENT or LLM_MODEL names."""
    return await azure_openai_complete_if_cache(
        _variable("AZURE_OPENAI_DEPLOYMENT", "LLM_MODEL"),
        prompt,
        system_prompt,
        history_messages,
        keyword_extraction=keyword_extraction,
        **kwargs,
    )


@wrap_embedding_func_with_attrs(
    embedding_dim=1536, max_token_size=8192, model_name="my-text-embedding-3-large-deployment"
)
async def azure_openai_embed(
    texts: list[str],
    model: str | None = None,
    base_url: str | None = None,
    api_key: str | None = None,
    embedding_dim: int | None = None,
    token_tracker: Any = None,
    client_configs: Mapping[str, Any] | None = None,
    api_version: str | None = None,
    context: str = "document",
    query_prefix: str | None = None,
    document_prefix: str | None = None,
) -> npt.NDArray[np.float32]:
    """Embed texts with a deployment on Azure, by default AZURE_EMBEDDING_DEPLOYMENT; see `openai_embed`."""
    vectors: npt.NDArray[np.float32] = await openai_embed.func(
        texts,
        model=model or _variable("AZURE_EMBEDDING_DEPLOYMENT", "EMBEDDING_MODEL"),
        base_url=base_url or os.getenv("AZURE_EMBEDDING_ENDPOINT"),
        api_key=api_key or os.getenv("AZURE_EMBEDDING_API_KEY"),
        embedding_dim=embedding_dim,
        token_tracker=token_tracker,
        client_configs=client_configs,
        use_azure=True,
        api_version=api_version or os.getenv("AZURE_EMBEDDING_API_VERSION"),
        context=context,
        query_prefix=query_prefix,
        document_prefix=document_prefix,
    )
    return vectors


class _Call:
    """One request: sent, tried again, read."""

    def __init__(self, client: AsyncOpenAI, endpoint: Endpoint, body: dict[str, Any], tracker: Any) -> None:
        self._client = client
        self._endpoint = endpoint
        self._body = body
        self._tracker = tracker

    async def complete(self, enable_cot: bool) -> str:
        """Return the whole answer."""
        return await self._persist(lambda: self._answered(enable_cot))

    async def stream(self, enable_cot: bool) -> AsyncGenerator[str]:
        """Return the pieces of the answer; the request has been accepted then."""
        try:
            events = await self._persist(
                lambda: self._send(self._body | {"stream": True, "stream_options": {"include_usage": True}})
            )
        except BaseException:
            await self._client.close()
            raise
        return self._pieces(events, enable_cot)

    async def embed(self) -> npt.NDArray[np.float32]:
        """Return the vectors."""
        return await self._persist(self._embedded)

    async def _answered(self, enable_cot: bool) -> str:
        response = await self._send(self._body)
        choices = getattr(response, "choices", None)
        if not choices or choices[0].message is None:
            raise InvalidResponseError("the answer is not a chat completion")
        message = choices[0].message
        self._track(getattr(response, "usage", None))
        text = message.content or ""
        thinking = getattr(message, "reasoning_content", None) or ""
        if not text.strip() and enable_cot and thinking.strip():
            return f"<think>{thinking}</think>"
        if not text.strip():
            raise EmptyResponseError(f"the answer is empty (finish reason '{choices[0].finish_reason}')")
        return str(text)

    async def _embedded(self) -> npt.NDArray[np.float32]:
        response = await self._client.embeddings.create(**self._body)
        rows = sorted(response.data or [], key=lambda row: row.index)
        if len(rows) != len(self._body["input"]):
            raise InvalidResponseError(f"{len(rows)} vectors came back for {len(self._body['input'])} texts")
        self._track(response.usage)
        return np.array([row.embedding for row in rows], dtype=np.float32)

    async def _send(self, body: dict[str, Any]) -> Any:
        completions = self._client.chat.completions
        if inspect.isclass(body.get("response_format")):
            return await completions.parse(**{key: value for key, value in body.items() if "stream" not in key})
        try:
            return await completions.create(**body)
        except BadRequestError as error:
            refused = next((name for name in ("response_format", "stream_options") if name in str(error)), "")
            if refused not in body:
                raise
            return await completions.create(**{key: value for key, value in body.items() if key != refused})

    async def _pieces(self, events: Any, enable_cot: bool) -> AsyncGenerator[str]:
        is_thinking = has_text = False
        try:
            async for event in events:
                self._track(getattr(event, "usage", None))
                delta = event.choices[0].delta if event.choices else None
                text = (delta.content or "") if delta is not None else ""
                thinking = (getattr(delta, "reasoning_content", None) or "") if enable_cot and not has_text else ""
                if thinking and not text:
                    yield thinking if is_thinking else f"<think>{thinking}"
                    is_thinking = True
                if text:
                    yield f"</think>{text}" if is_thinking else text
                    is_thinking, has_text = False, True
            if is_thinking:
                yield "</think>"
                has_text = True
            if not has_text:
                raise EmptyResponseError("the streamed answer is empty")
        except (openai.OpenAIError, InvalidResponseError) as error:
            raise self._named(error, self._meaning(error)) from error
        finally:
            await events.close()
            await self._client.close()

    async def _persist(self, send: Callable[[], Awaitable[T]]) -> T:
        retrial = Retrial(_POLICY, None)
        while True:
            try:
                return await send()
            except (openai.OpenAIError, InvalidResponseError) as error:
                meaning = self._meaning(error)
                try:
                    await retrial.after(meaning)
                except ModelError:
                    raise self._named(error, meaning) from error

    def _meaning(self, error: Exception) -> ModelError:
        """Return the kind of an error, with a message that says what to do."""
        if isinstance(error, APIStatusError):
            return self._endpoint.from_status(error.status_code, error.response.text, error.response.headers)
        if isinstance(error, APITimeoutError):
            timeout = self._client.timeout
            return self._endpoint.late(timeout if isinstance(timeout, (int, float)) else None)
        if isinstance(error, APIConnectionError):
            return self._endpoint.unreachable(f"the connection failed ({error.__cause__ or error})")
        if isinstance(error, APIError):
            return self._endpoint.from_status(500, str(error.body or error.message))
        return self._endpoint.unusable(str(error))

    def _named(self, error: Exception, meaning: ModelError) -> Exception:
        """Return the exception to raise: of the SDK's class, with the message of ours."""
        text = str(meaning)
        if isinstance(error, APIStatusError):
            kind = type(error)
            if isinstance(meaning, ContextTooLong):
                kind = ContextLengthExceededError
            elif isinstance(meaning, AccessRefused) and error.status_code in {402, 429}:
                kind = QuotaExceededError
            return kind(text, response=error.response, body=error.body)
        if isinstance(meaning, UnusableAnswer):
            return type(error)(text) if isinstance(error, InvalidResponseError) else InvalidResponseError(text)
        error.args = (text,)
        if isinstance(error, APIError):
            error.message = text
        return error

    def _track(self, usage: Any) -> None:
        if self._tracker is None or usage is None:
            return
        counts = {name: getattr(usage, name, 0) or 0 for name in ("prompt_tokens", "completion_tokens", "total_tokens")}
        self._tracker.add_usage(counts)


def _messages(prompt: str, system_prompt: str | None, history: History | None, images: Any) -> list[dict[str, Any]]:
    system = [{"role": "system", "content": system_prompt}] if system_prompt else []
    content: Any = prompt
    if images:
        parts = [
            image if isinstance(image, dict) else {"type": "image_url", "image_url": {"url": image}} for image in images
        ]
        content = [{"type": "text", "text": prompt}, *parts]
    return [*system, *(history or []), {"role": "user", "content": content}]


def _azure_client(
    configs: dict[str, Any], api_key: str | None, base_url: str | None, deployment: str | None, version: str | None
) -> AsyncAzureOpenAI:
    configs["azure_endpoint"] = base_url or configs.get("azure_endpoint") or _variable("AZURE_OPENAI_ENDPOINT")
    configs["api_key"] = api_key or configs.get("api_key") or _variable("AZURE_OPENAI_API_KEY", "LLM_BINDING_API_KEY")
    configs["api_version"] = (
        version or configs.get("api_version") or os.getenv("AZURE_OPENAI_API_VERSION") or "2024-08-01-preview"
    )
    if deployment:
        configs["azure_deployment"] = deployment
    return AsyncAzureOpenAI(**configs)


def _endpoint(model: str, client: AsyncOpenAI) -> Endpoint:
    return Endpoint(model, public_url(str(client.base_url)), "the model's name", str(client.api_key or ""))


def _base_url() -> str:
    return os.getenv("OPENAI_API_BASE") or os.getenv("OPENAI_BASE_URL") or DEFAULT_BASE_URL


def _variable(*names: str) -> str:
    for name in names:
        value = os.getenv(name)
        if value:
            return value
    raise KeyError(f"{' or '.join(names)} is not set; set it, or pass the value")
