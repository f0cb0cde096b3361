"""Language models: bindings, what bounds their calls, and LightRAG's functions under their old import path."""

from __future__ import annotations

from typing import Any

_FUNCTIONS = {
    "lightrag.llm.openai": (
        "azure_openai_complete",
        "azure_openai_complete_if_cache",
        "azure_openai_embed",
        "gpt_4o_complete",
        "gpt_4o_mini_complete",
        "nvidia_openai_complete",
        "openai_complete",
        "openai_complete_if_cache",
        "openai_embed",
    ),
    "lightrag.llm.nvidia_openai": ("nvidia_openai_embed",),
    "lightrag.llm.ollama": ("ollama_embed", "ollama_embedding", "ollama_model_complete", "ollama_model_if_cache"),
    "lightrag.llm.lollms": ("lollms_embed", "lollms_model_complete", "lollms_model_if_cache"),
    "lightrag.llm.siliconcloud": ("siliconcloud_embedding",),
    "lightrag.llm.zhipu": ("zhipu_complete", "zhipu_complete_if_cache", "zhipu_embedding"),
    "lightrag.llm.bedrock": ("bedrock_complete", "bedrock_complete_if_cache", "bedrock_embed"),
    "lightrag.llm.jina": ("jina_embed",),
    "lightrag.llm.hf": ("hf_embed", "hf_model_complete", "hf_model_if_cache"),
    "lightrag.llm.lmdeploy": ("lmdeploy_model_if_cache",),
}


def __getattr__(name: str) -> Any:
    """Return a function that LightRAG had in this package itself once; its module is imported then."""
    from importlib import import_module

    for module, functions in _FUNCTIONS.items():
        if name in functions:
            return getattr(import_module(module), name)
    raise AttributeError(f"module 'lightrag.llm' has no attribute {name!r}")
