"""LightRAG's function names for LMDeploy: models inside this process, which this distribution does not run."""

from __future__ import annotations

from typing import Any, NoReturn

from lightrag.llm.extras import not_in_process

__all__ = ["lmdeploy_model_if_cache"]


async def lmdeploy_model_if_cache(*arguments: Any, **options: Any) -> NoReturn:
    """Raise `ConfigurationError`, which names the way to use such a model."""
    raise not_in_process("lmdeploy_model_if_cache")
