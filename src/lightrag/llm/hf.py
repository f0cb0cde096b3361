"""LightRAG's function names for Hugging Face: models inside this process, which this distribution does not run."""

from __future__ import annotations

from typing import Any, NoReturn

from lightrag.llm.extras import not_in_process

__all__ = ["hf_embed", "hf_model_complete", "hf_model_if_cache"]


async def hf_model_complete(*arguments: Any, **options: Any) -> NoReturn:
    """Raise `ConfigurationError`, which names the way to use such a model."""
    raise not_in_process("hf_model_complete")


async def hf_model_if_cache(*arguments: Any, **options: Any) -> NoReturn:
    """Raise `ConfigurationError`, which names the way to use such a model."""
    raise not_in_process("hf_model_if_cache")


async def hf_embed(*arguments: Any, **options: Any) -> NoReturn:
    """Raise `ConfigurationError`, which names the way to use such a model."""
    raise not_in_process("hf_embed")
