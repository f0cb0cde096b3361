"""Documents, entities, relations and passages in the form of LightRAG's rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lightrag.base import DocProcessingStatus
from lightrag.base import DocStatus as PublicStatus
from lightrag.retrieval.graph_info import truncation
from lightrag.storage.properties import entity_properties, relation_properties
from lightrag.types import (
    DocumentRecord,
    Entity,
    GraphView,
    KnowledgeGraph,
    KnowledgeGraphEdge,
    KnowledgeGraphNode,
    RankedChunk,
    Relation,
    Retrieved,
)

Row = dict[str, Any]
_NAIVE_COUNTS = frozenset({"total_chunks_found", "final_chunks_count"})


def status_of(record: DocumentRecord) -> DocProcessingStatus:
    """Return a document's status row."""
    return DocProcessingStatus(
        content_summary=record.content_summary,
        content_length=record.content_length,
        file_path=record.file_path,
        status=PublicStatus(record.status.value),
        created_at=record.created_at,
        updated_at=record.updated_at,
        track_id=record.track_id or None,
        chunks_count=len(record.chunks_list),
        chunks_list=list(record.chunks_list),
        error_msg=record.error_msg,
        metadata=dict(record.metadata),
        content_hash=record.content_hash or None,
    )


def node_of(entity: Entity) -> Row:
    """Return a node's properties."""
    return {"entity_id": entity.name, **entity_properties(entity), "truncate": truncation(entity)}


def edge_of(relation: Relation) -> Row:
    """Return an edge's properties."""
    return {**relation_properties(relation), "truncate": truncation(relation)}


def knowledge_graph(view: GraphView) -> KnowledgeGraph:
    """Return a part of the graph."""
    return KnowledgeGraph(
        nodes=[
            KnowledgeGraphNode(id=item.name, labels=[item.name], properties=node_of(item)) for item in view.entities
        ],
        edges=[
            KnowledgeGraphEdge(
                id=f"{item.source}-{item.target}",
                type="DIRECTED",
                source=item.source,
                target=item.target,
                properties=edge_of(item),
            )
            for item in view.relations
        ],
        is_truncated=view.is_truncated,
    )


def query_data(retrieved: Retrieved, mode: str) -> Row:
    """Return what was found for a question, as `aquery_data` does."""
    if retrieved.is_empty and mode != "bypass":
        return {
            "status": "failure",
            "message": "No relevant document chunks found." if mode == "naive" else "Query returned no results",
            "data": {},
            "metadata": {"failure_reason": "no_results", "mode": mode},
        }
    counts: Mapping[str, int] = retrieved.counts
    if mode == "naive":
        counts = {name: count for name, count in counts.items() if name in _NAIVE_COUNTS}
    keywords = retrieved.keywords
    return {
        "status": "success",
        "message": "Query processed successfully",
        "data": {
            "entities": [_found(node_of(item), entity_name=item.name) for item in retrieved.entities],
            "relationships": [
                _found(edge_of(item), src_id=item.source, tgt_id=item.target) for item in retrieved.relations
            ],
            "chunks": [_chunk(item) for item in retrieved.chunks],
            "references": [
                {"reference_id": item.reference_id, "file_path": item.file_path} for item in retrieved.references
            ],
        },
        "metadata": {
            "query_mode": mode,
            "keywords": {"high_level": list(keywords.high_level), "low_level": list(keywords.low_level)},
            "processing_info": dict(counts),
        },
    }


def _found(properties: Row, **names: str) -> Row:
    return {**names, **{key: value for key, value in properties.items() if key not in {"entity_id", "truncate"}}}


def _chunk(ranked: RankedChunk) -> Row:
    chunk = ranked.chunk
    return {
        "reference_id": ranked.reference_id,
        "content": chunk.content,
        "file_path": chunk.file_path,
        "chunk_id": chunk.id,
        "full_doc_id": chunk.doc_id,
        "chunk_order_index": chunk.order,
        "tokens": chunk.tokens,
    }
