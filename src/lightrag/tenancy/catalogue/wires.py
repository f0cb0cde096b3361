"""Which of our bindings serves a provider's model of some type, and why none does.

Keys are the catalogue's names for what providers speak; values are those of the bindings (`lightrag.llm.bindings`,
`lightrag.tenancy.connections`).
"""

from __future__ import annotations

from collections.abc import Mapping

from lightrag.tenancy.contracts import ModelType

_OPENAI_LIKE = ("openai", "mistral", "zhipu", "baidu_qianfan", "tencent_sdk")

_CHAT = dict.fromkeys(_OPENAI_LIKE, "openai") | {
    "anthropic": "anthropic",
    "google_genai": "gemini",
    "ollama": "ollama",
    "azure_openai": "azure_openai",
    "bedrock": "bedrock",
    "cohere": "cohere",
    "vertex": "vertex",
}

WIRES: Mapping[ModelType, Mapping[str, str]] = {
    ModelType.CHAT: _CHAT,
    ModelType.EMBEDDING: dict.fromkeys((*_OPENAI_LIKE, "dashscope"), "openai")
    | {
        "nvidia_embed": "nvidia",
        "tei": "tei",
        "google_genai": "gemini",
        "ollama": "ollama",
        "azure_openai": "azure_openai",
        "bedrock": "bedrock",
        "cohere": "cohere",
        "jina": "jina",
        "voyage": "voyageai",
    },
    ModelType.RERANK: {
        "cohere_rerank": "generic",
        "baidu_qianfan": "generic",
        "jina": "jina",
        "voyage": "voyageai",
        "tei": "tei",
        "cohere": "cohere",
        "dashscope": "aliyun",
        "nvidia_rerank": "nvidia",
    },
    ModelType.IMAGE2TEXT: dict.fromkeys((*_OPENAI_LIKE, "nvidia_vlm"), "openai")
    | {
        "anthropic": "anthropic",
        "google_genai": "gemini",
        "ollama": "ollama",
        "azure_openai": "azure_openai",
        "vertex": "vertex",
    },
    ModelType.SPEECH2TEXT: {
        "openai": "openai",
        "zhipu": "openai",
        "azure_openai": "azure_openai",
        "dashscope": "dashscope",
    },
    ModelType.TTS: {"openai": "openai", "fish_audio": "fish_audio", "dashscope": "dashscope"},
}

PROVIDER_WIRES: Mapping[tuple[str, ModelType], str] = {("TogetherAI", ModelType.RERANK): "generic"}
"""Where a provider differs from what its dialect has."""

_NO_SUCH = "{provider} has no interface for it"
REASONS: Mapping[str, str] = {
    "in_process": "it runs inside another program",
    "replicate": "Replicate's predictions are jobs, which no binding waits for",
    "xunfei_ws": "it is spoken over WebSockets",
    "tencent_sdk": "it takes recordings through a signed interface that no binding speaks",
    "openai": _NO_SUCH,
}

UNSERVED_NAMES: Mapping[tuple[str, ModelType], tuple[str, ...]] = {
    ("dashscope", ModelType.TTS): ("sambert-", "cosyvoice-"),
}
"""Beginnings of the names of models that their provider offers over WebSockets only."""

OPERATORS_OWN = frozenset({"Builtin", "FastEmbed", "Youdao"})
"""Providers that are parts of the program from which the catalogue's facts come."""


def wire(provider: str, dialect: str, type: ModelType) -> str | None:
    """Return the binding for a provider's models of a type; None where none can serve them."""
    if provider in OPERATORS_OWN:
        return None
    return PROVIDER_WIRES.get((provider, type)) or WIRES[type].get(dialect)


def reason(provider: str, dialect: str) -> str:
    """Return why there is none."""
    if provider in OPERATORS_OWN:
        return "it runs inside another program"
    return REASONS.get(dialect, _NO_SUCH).format(provider=provider)
