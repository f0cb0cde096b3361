"""LightRAG's functions for Azure OpenAI."""

from __future__ import annotations

from lightrag.llm.openai import azure_openai_complete, azure_openai_complete_if_cache, azure_openai_embed

__all__ = ["azure_openai_complete", "azure_openai_complete_if_cache", "azure_openai_embed"]
