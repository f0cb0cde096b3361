"""LightRAG's functions for servers that speak OpenAI's dialect: answers, streams, embeddings.

Each call makes a client and closes it, so that the functions work on whatever event loop they are called on. Failures
that may pass are tried again. What is raised at last is the SDK's exception, so that scripts can tell kinds apart by
the classes that they know, with a message that says what to do; `ContextLengthExceededError`, `QuotaExceededError`,
`InvalidResponseError` and `EmptyResponseError` name what the SDK has no class for.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from openai import APIConnectionError, APITimeoutError, AsyncAzureOpenAI, AsyncOpenAI, RateLimitError

from lightrag.llm.embedding_func import wrap_embedding_func_with_attrs
from lightrag.llm.openai_call import (
    ContextLengthExceededError,
    EmptyResponseError,
    InvalidResponseError,
    OpenAICall,
    QuotaExceededError,
)

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

Answer = str | AsyncIterator[str]
History = list[dict[str, Any]]

DEFAULT_BASE_URL = "https://api.openai.com/v1"
NVIDIA_BASE_URL = "https://integrate.api.nvidia.com/v1"
_NOT_SENT = frozenset({"hashing_kv", "keyword_extraction", "entity_extraction", "llm_instance", "token_tracker"})
"""What LightRAG hands to model functions and no server knows."""


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
    call = OpenAICall(client, model, {"model": model, "messages": messages, **body}, token_tracker)
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
    call = OpenAICall(client, model, body, token_tracker)
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


def _base_url() -> str:
    return os.getenv("OPENAI_API_BASE") or os.getenv("OPENAI_BASE_URL") or DEFAULT_BASE_URL


def _variable(*names: str) -> str:
    for name in names:
        value = os.getenv(name)
        if value:
            return value
    raise KeyError(f"{' or '.join(names)} is not set; set it, or pass the value")
