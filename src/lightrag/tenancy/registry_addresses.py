"""Base URLs: what users paste, brought into one form, and the address that a binding is given for it.

A base URL is kept as it was entered, without what is not part of it: a trailing slash, the path of an interface below
it. What differs between a provider's interfaces (version paths, hosts of their own) is added when a model is opened.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import SplitResult, parse_qsl, urlsplit, urlunsplit

from lightrag.errors import InvalidInput
from lightrag.tenancy.catalogue import Provider
from lightrag.tenancy.contracts import ModelType

LONGEST = 2000

_ENDINGS = re.compile(
    r"/(chat/completions|completions|embeddings|embed|rerank|reranks|responses|messages|audio/(speech|transcriptions)"
    r"|openai/deployments/.*|api/(chat|embed|embeddings|generate|tags))/*$"
)
_VERSION = re.compile(r"/v\d+[a-z]*\d*(?=/|$)")
_LAST_VERSION = re.compile(r"/v\d+[a-z]*\d*$")
_WITHOUT_ENDINGS = frozenset({"Fish Audio"})
"""Providers whose base URL is the address of the interface itself."""


def normalised(text: str, *, keeps_path: bool = False) -> str:
    """Return a base URL in its one form; the empty string for none. Raises `InvalidInput`.

    The path of an interface (`/chat/completions`, …) is taken off unless `keeps_path`.
    """
    text = text.strip()
    if not text:
        return ""
    if len(text) > LONGEST or not text.isprintable() or " " in text:
        raise InvalidInput(f"The base URL is not usable: it must be printable, without spaces, at most {LONGEST} long")
    parts = _split(text)
    if parts.scheme not in ("http", "https"):
        raise InvalidInput("The base URL must begin with http:// or https://")
    if not parts.hostname:
        raise InvalidInput("The base URL names no host")
    if parts.username is not None or parts.password is not None:
        raise InvalidInput("The base URL must not hold a user or password; enter keys as api_key")
    if parts.fragment or any(name != "api-version" for name, _ in parse_qsl(parts.query, keep_blank_values=True)):
        raise InvalidInput("The base URL must not hold a query or fragment; enter keys as api_key")
    path = parts.path.rstrip("/")
    if not keeps_path:
        path = _ENDINGS.sub("", path).rstrip("/")
    return _usable(urlunsplit((parts.scheme, _host(parts), path, "", "")))


def _split(text: str) -> SplitResult:
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        raise InvalidInput("The base URL is malformed") from None
    return parts


def _usable(url: str) -> str:
    """Return a URL that the clients can read, too. Raises `InvalidInput`."""
    import httpx2

    try:
        httpx2.URL(url)
    except httpx2.InvalidURL:
        raise InvalidInput("The base URL is malformed; look at the host's name") from None
    return url


def _host(parts: SplitResult) -> str:
    host = (parts.hostname or "").lower()
    if ":" in host:
        host = f"[{host}]"
    return host if parts.port is None else f"{host}:{parts.port}"


def host_of(url: str) -> str:
    """Return the host of a base URL. Raises `InvalidInput`."""
    return _split(normalised(url)).hostname or ""


def entered(provider: Provider, text: str) -> str:
    """Return what is kept of a base URL that was entered for a provider; empty where it is the provider's own."""
    base = normalised(text, keeps_path=provider.name in _WITHOUT_ENDINGS)
    return "" if base and base == own(provider) else base


def own(provider: Provider) -> str:
    """Return the provider's own base URL; empty where it has none, or one that depends on the account."""
    if not provider.base_url or "{" in provider.base_url:
        return ""
    return normalised(provider.base_url, keeps_path=provider.name in _WITHOUT_ENDINGS)


def shown(provider: Provider | None, base_url: str, extra: Mapping[str, str]) -> str:
    """Return the base URL as listings show it."""
    if base_url or provider is None:
        return base_url
    return _filled(provider, extra)


def is_needed(provider: Provider) -> bool:
    """Whether a provider has no address of its own."""
    return not provider.base_url


def opened(provider: Provider, type: ModelType, base_url: str, extra: Mapping[str, str], model: str) -> str:
    """Return the address that the binding is given for a model of a type."""
    wire = provider.wires[type]
    base = base_url or _filled(provider, extra)
    if wire == "nvidia":
        return _nvidia(provider, type, base_url, base, model)
    if wire == "vertex":
        return _vertex(base, extra)
    if wire == "cohere":
        root = _LAST_VERSION.sub("", base)
        return root if type is ModelType.RERANK else f"{root}/v2"
    if wire in ("aliyun", "dashscope"):
        root = re.sub(r"/(compatible-mode|compatible-api|api)(/v\d+)?$", "", base)
        return root if wire == "aliyun" else f"{root}/api/v1"
    if wire in ("ollama", "anthropic", "tei", "gemini"):
        return re.sub(r"(/api|/v\d+[a-z]*\d*(/openai)?)$", "", base)
    if wire == "generic" or type is ModelType.RERANK:
        return f"{_versioned(base, base_url)}/rerank"
    if wire in ("openai", "jina", "voyageai"):
        return _versioned(base, base_url)
    return base


def _filled(provider: Provider, extra: Mapping[str, str]) -> str:
    base = provider.base_url
    if "{region}" not in base:
        return own(provider)
    region = extra.get("bedrock_region") or extra.get("google_region") or ""
    if region == "global":
        return base.replace("{region}-", "")
    return base.replace("{region}", region)


def _versioned(base: str, base_url: str) -> str:
    """Return a base with a version path; one that is the provider's own is right as it is."""
    if not base_url or _VERSION.search(urlsplit(base).path) or base.endswith("/openai"):
        return base
    return f"{base}/v1"


def _nvidia(provider: Provider, type: ModelType, base_url: str, base: str, model: str) -> str:
    if type is not ModelType.RERANK:
        return _versioned(base, base_url)
    if base_url or "rerank_base" not in provider.bases:
        return f"{_versioned(base, base_url)}/ranking"
    # NVIDIA's own cloud has one address for each model, in which dots are underscores.
    name = model.rpartition("/")[2].replace(".", "_")
    return f"{provider.bases['rerank_base'].rstrip('/')}/{name}/reranking"


def _vertex(base: str, extra: Mapping[str, str]) -> str:
    project, region = extra.get("google_project_id", ""), extra.get("google_region", "")
    return f"{base}/v1/projects/{project}/locations/{region}/endpoints/openapi"
