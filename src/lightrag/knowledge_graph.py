"""Parts of the graph as LightRAG's Python interface hands them out."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field


class KnowledgeGraphNode(BaseModel):
    """An entity."""

    id: str
    labels: list[str] = Field(default_factory=list)
    properties: dict[str, Any] = Field(default_factory=dict)


class KnowledgeGraphEdge(BaseModel):
    """A relation."""

    id: str
    type: str | None = None
    source: str
    target: str
    properties: dict[str, Any] = Field(default_factory=dict)


class KnowledgeGraph(BaseModel):
    """A part of the graph."""

    nodes: list[KnowledgeGraphNode] = Field(default_factory=list)
    edges: list[KnowledgeGraphEdge] = Field(default_factory=list)
    is_truncated: bool = False


class GPTKeywordExtractionFormat(BaseModel):
    """The form in which models are asked for keywords."""

    high_level_keywords: list[str]
    low_level_keywords: list[str]
