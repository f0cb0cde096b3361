"""Bodies of the graph routes."""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict, Field

from lightrag.api.schemas.common import Body
from lightrag.retrieval.graph_info import truncation
from lightrag.storage.properties import entity_properties, relation_properties
from lightrag.types import Entity, GraphView, Relation


class GraphNode(Body):
    """An entity."""

    id: str
    labels: list[str]
    properties: dict[str, Any]


class GraphEdge(Body):
    """A relation; it has no direction, whatever `type` says to old clients."""

    id: str
    type: str
    source: str
    target: str
    properties: dict[str, Any]


class Graph(Body):
    """A part of the graph."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "nodes": [
                        {
                            "id": "Alice",
                            "labels": ["Alice"],
                            "properties": {
                                "entity_id": "Alice",
                                "entity_type": "person",
                                "description": "Leads Acme.",
                                "source_id": "chunk-1",
                                "file_path": "acme.txt",
                                "created_at": 1767322800,
                                "truncate": "",
                            },
                        }
                    ],
                    "edges": [],
                    "is_truncated": False,
                }
            ]
        }
    )

    nodes: list[GraphNode]
    edges: list[GraphEdge]
    is_truncated: bool = Field(description="Whether there is more than was asked for.")

    @staticmethod
    def of(view: GraphView) -> Graph:
        """Return the graph in LightRAG's form."""
        return Graph(
            nodes=[_node(entity) for entity in view.entities],
            edges=[_edge(relation) for relation in view.relations],
            is_truncated=view.is_truncated,
        )


def _node(entity: Entity) -> GraphNode:
    properties = {"entity_id": entity.name, **entity_properties(entity), "truncate": truncation(entity)}
    return GraphNode(id=entity.name, labels=[entity.name], properties=properties)


def _edge(relation: Relation) -> GraphEdge:
    return GraphEdge(
        id=f"{relation.source}-{relation.target}",
        type="DIRECTED",
        source=relation.source,
        target=relation.target,
        properties=relation_properties(relation) | {"truncate": truncation(relation)},
    )
