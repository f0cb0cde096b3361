"""LightRAG's names for query parameters, rows and storage interfaces."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from enum import Enum, StrEnum
from typing import Any, Literal, Self, TypedDict

from lightrag.llm.embedding_func import EmbeddingFunc
from lightrag.types import DocumentFilter, KnowledgeGraph
from lightrag.types import Mode as Mode
from lightrag.utils import get_env_value

Row = dict[str, Any]


class TextChunkSchema(TypedDict):
    """A row of the chunk store."""

    tokens: int
    content: str
    full_doc_id: str
    chunk_order_index: int


@dataclasses.dataclass
class QueryParam:
    """How a query is to be answered.

    The union of the fields of all versions; the order of the first sixteen is that of LightRAG's, for positional use.
    """

    mode: Mode = "mix"
    only_need_context: bool = False
    only_need_prompt: bool = False
    response_type: str = "Multiple Paragraphs"
    stream: bool = False
    top_k: int = get_env_value("TOP_K", 40, int)
    chunk_top_k: int = get_env_value("CHUNK_TOP_K", 20, int)
    max_entity_tokens: int = get_env_value("MAX_ENTITY_TOKENS", 6000, int)
    max_relation_tokens: int = get_env_value("MAX_RELATION_TOKENS", 8000, int)
    max_total_tokens: int = get_env_value("MAX_TOTAL_TOKENS", 30000, int)
    hl_keywords: list[str] = dataclasses.field(default_factory=list)
    ll_keywords: list[str] = dataclasses.field(default_factory=list)
    conversation_history: list[dict[str, str]] = dataclasses.field(default_factory=list)
    user_prompt: str | None = None
    enable_rerank: bool = get_env_value("RERANK_BY_DEFAULT", True, bool)
    include_references: bool = False
    disable_user_prompt_prefix: bool = False
    """Leave the standing instructions (USER_PROMPT_PREFIX) out."""
    history_turns: int = get_env_value("HISTORY_TURNS", 0, int)
    """Turns of `conversation_history` that are used; 0 for all."""
    ids: list[str] | None = None
    """Documents to search in; None for all."""
    model_func: Callable[..., Any] | None = None
    """Answers this query in place of `llm_model_func`."""
    max_token_for_text_unit: int | None = None
    """Of 2025's first versions; see `max_total_tokens`."""
    max_token_for_global_context: int | None = None
    """As `max_relation_tokens`, where that was not set."""
    max_token_for_local_context: int | None = None
    """As `max_entity_tokens`, where that was not set."""
    filter: DocumentFilter | None = None
    """Restricts the query to documents by id, path or tag; not in LightRAG."""
    model: str | None = None
    """Name of the configured chat model that answers, in place of the one that is set for it; not in LightRAG."""
    rerank_model: str | None = None
    """Name of the configured reranking model; not in LightRAG."""


class DocStatus(str, Enum):  # noqa: UP042 - scripts compare str() of it with "DocStatus.PROCESSED"
    """Status of a document."""

    PENDING = "pending"
    PARSING = "parsing"
    ANALYZING = "analyzing"
    PROCESSING = "processing"
    PREPROCESSED = "preprocessed"
    PROCESSED = "processed"
    FAILED = "failed"


class StoragesStatus(StrEnum):
    """Whether an instance's storages are open."""

    NOT_CREATED = "not_created"
    CREATED = "created"
    INITIALIZED = "initialized"
    FINALIZED = "finalized"


@dataclasses.dataclass
class DocProcessingStatus:
    """A document's status row. Times are ISO 8601."""

    content_summary: str
    content_length: int
    file_path: str
    status: DocStatus
    created_at: str
    updated_at: str
    track_id: str | None = None
    chunks_count: int | None = None
    chunks_list: list[str] | None = dataclasses.field(default_factory=list)
    error_msg: str | None = None
    metadata: dict[str, Any] = dataclasses.field(default_factory=dict)
    multimodal_processed: bool | None = dataclasses.field(default=None, repr=False)
    content_hash: str | None = None

    def __post_init__(self) -> None:
        if self.multimodal_processed is False and self.status == DocStatus.PROCESSED:
            self.status = DocStatus.PREPROCESSED

    @classmethod
    def from_stored(cls, row: Mapping[str, Any]) -> Self:
        """Return a stored row; keys that are not fields are left out. Raises `TypeError` for missing ones."""
        known = {field.name for field in dataclasses.fields(cls)}
        return cls(**{key: value for key, value in row.items() if key in known})


@dataclasses.dataclass
class DeletionResult:
    """What became of a deletion."""

    status: Literal["success", "not_found", "not_allowed", "fail"]
    doc_id: str
    message: str
    status_code: int = 200
    file_path: str | None = None


@dataclasses.dataclass
class QueryResult:
    """An answer with what it was made from; `content` or `response_iterator` is set."""

    content: str | None = None
    response_iterator: Any = None
    raw_data: dict[str, Any] | None = None
    is_streaming: bool = False


@dataclasses.dataclass
class StorageNameSpace(ABC):
    """A store of a workspace."""

    namespace: str
    workspace: str
    global_config: dict[str, Any]

    async def initialize(self) -> None:  # noqa: B027 - a store may have nothing to open
        """Open the store."""

    async def finalize(self) -> None:  # noqa: B027 - a store may have nothing to close
        """Close the store."""

    @abstractmethod
    async def index_done_callback(self) -> None:
        """Make durable what was written."""

    @abstractmethod
    async def drop(self) -> dict[str, str]:
        """Delete everything; return `{"status": "success" | "error", "message": …}`."""


@dataclasses.dataclass
class BaseVectorStorage(StorageNameSpace, ABC):
    """Vectors with fields beside them."""

    embedding_func: EmbeddingFunc
    cosine_better_than_threshold: float = dataclasses.field(default=0.2)
    meta_fields: set[str] = dataclasses.field(default_factory=set)

    @abstractmethod
    async def query(self, query: str, top_k: int, query_embedding: list[float] | None = None) -> list[Row]:
        """Return the nearest rows: their fields, `id`, `distance` (the cosine) and `created_at`."""

    @abstractmethod
    async def upsert(self, data: dict[str, Row]) -> None:
        """Embed and store rows; each has `content`."""

    @abstractmethod
    async def delete_entity(self, entity_name: str) -> None:
        """Remove an entity's row."""

    @abstractmethod
    async def delete_entity_relation(self, entity_name: str) -> None:
        """Remove the rows of an entity's relations."""

    @abstractmethod
    async def get_by_id(self, id: str) -> Row | None:
        """Return a row."""

    @abstractmethod
    async def get_by_ids(self, ids: list[str]) -> list[Row | None]:
        """Return rows in the order of `ids`."""

    @abstractmethod
    async def delete(self, ids: list[str]) -> None:
        """Remove rows."""

    @abstractmethod
    async def get_vectors_by_ids(self, ids: list[str]) -> dict[str, list[float]]:
        """Return vectors by id."""


@dataclasses.dataclass
class BaseKVStorage(StorageNameSpace, ABC):
    """Rows by id."""

    embedding_func: EmbeddingFunc | None

    @abstractmethod
    async def get_by_id(self, id: str) -> Row | None:
        """Return a row."""

    @abstractmethod
    async def get_by_ids(self, ids: list[str]) -> list[Row | None]:
        """Return rows in the order of `ids`."""

    @abstractmethod
    async def filter_keys(self, keys: set[str]) -> set[str]:
        """Return the keys that are not present."""

    @abstractmethod
    async def upsert(self, data: dict[str, Row]) -> None:
        """Insert or replace rows."""

    @abstractmethod
    async def delete(self, ids: list[str]) -> None:
        """Remove rows."""

    @abstractmethod
    async def is_empty(self) -> bool:
        """Whether there is no row."""


@dataclasses.dataclass
class BaseGraphStorage(StorageNameSpace, ABC):
    """An undirected graph. Batch methods here call the single ones; a store may do better."""

    embedding_func: EmbeddingFunc | None

    @abstractmethod
    async def has_node(self, node_id: str) -> bool:
        """Whether a node exists."""

    @abstractmethod
    async def has_edge(self, source_node_id: str, target_node_id: str) -> bool:
        """Whether an edge exists, in either direction."""

    @abstractmethod
    async def node_degree(self, node_id: str) -> int:
        """Return the number of edges on a node."""

    @abstractmethod
    async def edge_degree(self, src_id: str, tgt_id: str) -> int:
        """Return the sum of the degrees of both ends."""

    @abstractmethod
    async def get_node(self, node_id: str) -> dict[str, Any] | None:
        """Return a node's properties."""

    @abstractmethod
    async def get_edge(self, source_node_id: str, target_node_id: str) -> dict[str, Any] | None:
        """Return an edge's properties."""

    @abstractmethod
    async def get_node_edges(self, source_node_id: str) -> list[tuple[str, str]] | None:
        """Return the edges on a node, as (node, neighbour); None where it does not exist."""

    @abstractmethod
    async def upsert_node(self, node_id: str, node_data: dict[str, Any]) -> None:
        """Insert or update a node."""

    @abstractmethod
    async def upsert_edge(self, source_node_id: str, target_node_id: str, edge_data: dict[str, Any]) -> None:
        """Insert or update an edge."""

    @abstractmethod
    async def delete_node(self, node_id: str) -> None:
        """Remove a node with its edges."""

    @abstractmethod
    async def remove_nodes(self, nodes: list[str]) -> None:
        """Remove nodes with their edges."""

    @abstractmethod
    async def remove_edges(self, edges: list[tuple[str, str]]) -> None:
        """Remove edges."""

    @abstractmethod
    async def get_all_labels(self) -> list[str]:
        """Return all node ids, sorted."""

    @abstractmethod
    async def get_knowledge_graph(self, node_label: str, max_depth: int = 3, max_nodes: int = 1000) -> KnowledgeGraph:
        """Return the neighbourhood of a node; `*` for the whole graph by degree."""

    @abstractmethod
    async def get_all_nodes(self) -> list[Row]:
        """Return all nodes: their properties and `id`."""

    @abstractmethod
    async def get_all_edges(self) -> list[Row]:
        """Return all edges: their properties, `source` and `target`."""

    @abstractmethod
    async def get_popular_labels(self, limit: int = 300) -> list[str]:
        """Return node ids by degree."""

    @abstractmethod
    async def search_labels(self, query: str, limit: int = 50) -> list[str]:
        """Return node ids that contain a text, best first."""

    async def get_nodes_batch(self, node_ids: list[str]) -> dict[str, dict[str, Any]]:
        """Return the properties of the nodes that exist."""
        found = {node_id: await self.get_node(node_id) for node_id in node_ids}
        return {node_id: node for node_id, node in found.items() if node is not None}

    async def node_degrees_batch(self, node_ids: list[str]) -> dict[str, int]:
        """Return the degree of each node."""
        return {node_id: await self.node_degree(node_id) for node_id in node_ids}

    async def edge_degrees_batch(self, edge_pairs: list[tuple[str, str]]) -> dict[tuple[str, str], int]:
        """Return `edge_degree` of each pair."""
        return {(src, tgt): await self.edge_degree(src, tgt) for src, tgt in edge_pairs}

    async def get_edges_batch(self, pairs: list[dict[str, str]]) -> dict[tuple[str, str], dict[str, Any]]:
        """Return the properties of the edges that exist; pairs are `{"src": …, "tgt": …}`."""
        keys = [(pair["src"], pair["tgt"]) for pair in pairs]
        found = {key: await self.get_edge(*key) for key in keys}
        return {key: edge for key, edge in found.items() if edge is not None}

    async def get_nodes_edges_batch(self, node_ids: list[str]) -> dict[str, list[tuple[str, str]]]:
        """Return the edges on each node."""
        return {node_id: await self.get_node_edges(node_id) or [] for node_id in node_ids}

    async def has_nodes_batch(self, node_ids: list[str]) -> set[str]:
        """Return the nodes that exist."""
        return {node_id for node_id in node_ids if await self.has_node(node_id)}

    async def upsert_nodes_batch(self, nodes: list[tuple[str, dict[str, Any]]]) -> None:
        """Insert or update nodes."""
        for node_id, data in nodes:
            await self.upsert_node(node_id, data)

    async def upsert_edges_batch(self, edges: list[tuple[str, str, dict[str, Any]]]) -> None:
        """Insert or update edges."""
        for source, target, data in edges:
            await self.upsert_edge(source, target, data)


@dataclasses.dataclass
class DocStatusStorage(BaseKVStorage, ABC):
    """Status rows of documents."""

    @abstractmethod
    async def get_status_counts(self) -> dict[str, int]:
        """Return the number of documents per status."""

    @abstractmethod
    async def get_docs_by_statuses(self, statuses: Sequence[DocStatus]) -> dict[str, DocProcessingStatus]:
        """Return the documents of any of these statuses."""

    @abstractmethod
    async def get_docs_by_track_id(self, track_id: str) -> dict[str, DocProcessingStatus]:
        """Return the documents of one request."""

    async def get_docs_by_status(self, status: DocStatus) -> dict[str, DocProcessingStatus]:
        """Return the documents of one status."""
        return await self.get_docs_by_statuses([status])

    async def get_all_status_counts(self) -> dict[str, int]:
        """Return the number of documents per status, and of all under `all`."""
        counts = await self.get_status_counts()
        return {**counts, "all": sum(counts.values())}
