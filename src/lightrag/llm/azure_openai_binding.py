"""Chat and embedding models on Azure OpenAI: OpenAI's dialect, addressed by deployment, with the key in its own header.

An endpoint that ends with `/openai/v1` is taken as it is: there deployments are named in the request, and there are no
API versions. Any other one is the address of the resource.

Format: https://learn.microsoft.com/azure/ai-services/openai/reference
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from lightrag.llm.openai_binding import OpenAIChat, OpenAIEmbedding
from lightrag.llm.openai_client import Gateway

API_VERSION = "2024-08-01-preview"
_KEY_HEADER = "api-key"
_VERSIONLESS = "/openai/v1"


def azure_openai_chat(
    deployment: str,
    endpoint: str,
    api_key: str | None = None,
    timeout: float | None = 180.0,
    extra: Mapping[str, Any] | None = None,
    *,
    api_version: str | None = None,
) -> OpenAIChat:
    """Return the chat model of a deployment. `endpoint`: `https://….openai.azure.com`; `extra` as for `OpenAIChat`."""
    url, gateway = _address(deployment, endpoint, api_version)
    return OpenAIChat(deployment, url, api_key, timeout, extra, gateway=gateway)


def azure_openai_embedding(
    deployment: str,
    endpoint: str,
    api_key: str | None = None,
    dimension: int | None = None,
    send_dimensions: bool = False,
    max_batch: int = 64,
    timeout: float | None = 30.0,
    *,
    api_version: str | None = None,
) -> OpenAIEmbedding:
    """Return the embedding model of a deployment; the parameters are those of `OpenAIEmbedding`."""
    url, gateway = _address(deployment, endpoint, api_version)
    return OpenAIEmbedding(deployment, url, api_key, dimension, send_dimensions, max_batch, timeout, gateway=gateway)


def _address(deployment: str, endpoint: str, api_version: str | None) -> tuple[str, Gateway]:
    base = endpoint.rstrip("/")
    if base.endswith(_VERSIONLESS):
        query = (("api-version", api_version),) if api_version else ()
        return base, Gateway("azure_openai", _KEY_HEADER, query)
    url = f"{base.removesuffix('/openai')}/openai/deployments/{quote(deployment, safe='')}"
    return url, Gateway("azure_openai", _KEY_HEADER, (("api-version", api_version or API_VERSION),))
