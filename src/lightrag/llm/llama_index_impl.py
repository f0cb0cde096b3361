"""LightRAG's function names for LlamaIndex: models inside this process, which this distribution does not run."""

from __future__ import annotations

from typing import Any, NoReturn

from lightrag.llm.extras import not_in_process

__all__ = ["llama_index_complete", "llama_index_complete_if_cache", "llama_index_embed"]


async def llama_index_complete(*arguments: Any, **options: Any) -> NoReturn:
    """Raise `ConfigurationError`, which names the way to use such a model."""
    raise not_in_process("llama_index_complete")


async def llama_index_complete_if_cache(*arguments: Any, **options: Any) -> NoReturn:
    """Raise `ConfigurationError`, which names the way to use such a model."""
    raise not_in_process("llama_index_complete_if_cache")


async def llama_index_embed(*arguments: Any, **options: Any) -> NoReturn:
    """Raise `ConfigurationError`, which names the way to use such a model."""
    raise not_in_process("llama_index_embed")
