"""The nouns of the engine: frozen, typed, without behaviour beyond what they are.

Words: a *document* is cut into *chunks*; an *extraction* is what was found in one chunk; a *mention* is one entity or
relation of one extraction; an *entity* or *relation* is what the graph holds, folded from its mentions.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

if TYPE_CHECKING:
    from lightrag.knowledge_graph import GPTKeywordExtractionFormat as GPTKeywordExtractionFormat
    from lightrag.knowledge_graph import KnowledgeGraph as KnowledgeGraph
    from lightrag.knowledge_graph import KnowledgeGraphEdge as KnowledgeGraphEdge
    from lightrag.knowledge_graph import KnowledgeGraphNode as KnowledgeGraphNode

JsonObject = dict[str, Any]
TagValue = str | int | float | bool | list[str]
Mode = Literal["local", "global", "hybrid", "naive", "mix", "bypass"]
MODES: tuple[Mode, ...] = ("local", "global", "hybrid", "naive", "mix", "bypass")

ChunkingStrategy = Literal[
    "content_defined", "fixed_token", "recursive_character", "semantic_vector", "paragraph_semantic", "custom"
]
BreakpointType = Literal["percentile", "standard_deviation", "interquartile", "gradient"]

UNKNOWN_SOURCE = "unknown_source"
"""`file_path` of a document that was inserted without one."""

CUT = "length"
"""`finish_reason` of an answer that was cut off."""

FIELD_SEPARATOR = "<SEP>"
"""Joins several values in one string field (descriptions, file paths, chunk ids), as LightRAG writes them."""


BROUGHT_BY = "brought_by"
"""Key in a document's metadata: the token or account that brought it and pays for its indexing, where one did."""

_SEEN = re.compile(r"[^\s\xad\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]")


class DocStatus(StrEnum):
    """Life cycle of a document: pending, processing, then processed or failed."""

    PENDING = "pending"
    PROCESSING = "processing"
    PROCESSED = "processed"
    FAILED = "failed"


@dataclasses.dataclass(frozen=True, slots=True)
class PageSpan:
    """Characters [start, end) of a document's text that came from one page (1-based)."""

    page: int
    start: int
    end: int


@dataclasses.dataclass(frozen=True, slots=True)
class FoundPicture:
    """A picture of a document and its place in the text."""

    content: bytes = dataclasses.field(repr=False)
    media_type: str
    offset: int
    """Characters of the text before it."""
    page: int | None = None
    """The page that it is on, where the format has pages."""


def is_blank(text: str) -> bool:
    """Return whether a text shows nothing: it holds at most white space, zero-width characters and byte order marks."""
    return _SEEN.search(text) is None


class LongText(Protocol):
    """A text that is not held in memory."""

    @property
    def length(self) -> int:
        """Characters."""
        ...

    @property
    def is_blank(self) -> bool:
        """Whether the text shows nothing."""
        ...

    def pieces(self, size: int) -> Iterator[str]:
        """Yield the text in pieces of `size` characters; only the last one may be shorter. Blocking."""
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class ParsedDocument:
    """The text of a file with what the format knows of it."""

    text: str
    """Empty where `long` has it."""
    pages: tuple[PageSpan, ...] = ()
    title: str | None = None
    warnings: tuple[str, ...] = ()
    """What was left out or could not be read, in words for the document's report."""
    pictures: tuple[FoundPicture, ...] = ()
    """In their order, each once; empty unless pictures were asked for."""
    long: LongText | None = None

    @property
    def length(self) -> int:
        """Characters of the text."""
        return len(self.text) if self.long is None else self.long.length

    @property
    def is_blank(self) -> bool:
        """Whether the text shows nothing."""
        return is_blank(self.text) if self.long is None else self.long.is_blank

    def pieces(self, size: int) -> Iterator[str]:
        """Yield the text in pieces of `size` characters; only the last one may be shorter. Blocking."""
        if self.long is not None:
            yield from self.long.pieces(size)
            return
        for start in range(0, len(self.text), size):
            yield self.text[start : start + size]

    def whole(self) -> str:
        """Return the text as one string. Blocking."""
        return self.text if self.long is None else "".join(self.long.pieces(1 << 20))


@dataclasses.dataclass(frozen=True, slots=True)
class ChunkingChoice:
    """How a document is to be cut. Names are LightRAG's; what is None follows the settings of the strategy."""

    strategy: ChunkingStrategy
    chunk_token_size: int | None = None
    chunk_overlap_token_size: int | None = None
    """Not of `semantic_vector`, whose chunks share nothing."""
    split_by_character: str | None = None
    """`fixed_token` and `custom`: cut at this string first."""
    split_by_character_only: bool | None = None
    """Cut nowhere else; a piece that is too long is an error."""
    separators: tuple[str, ...] | None = None
    """`recursive_character`: where to cut, best first; the empty string cuts anywhere."""
    breakpoint_threshold_type: BreakpointType | None = None
    """`semantic_vector`: how the distance between sentences is chosen from which on a chunk ends."""
    breakpoint_threshold_amount: float | None = None
    buffer_size: int | None = None
    """`semantic_vector`: neighbours on either side that are embedded with a sentence."""
    drop_references: bool | None = None
    """`paragraph_semantic`: leave out the list of references."""


@dataclasses.dataclass(frozen=True, slots=True)
class DocumentRecord:
    """A document's status row. Times are ISO 8601 in UTC."""

    id: str
    status: DocStatus
    file_path: str = UNKNOWN_SOURCE
    content_summary: str = ""
    content_length: int = 0
    content_hash: str = ""
    """MD5 of the text; empty until the file has been parsed."""
    track_id: str = ""
    created_at: str = ""
    updated_at: str = ""
    chunks_list: tuple[str, ...] = ()
    failed_chunks: tuple[str, ...] = ()
    """Chunks whose extraction failed; the rest of the document is in the graph."""
    error_msg: str | None = None
    tags: Mapping[str, TagValue] = dataclasses.field(default_factory=dict)
    """User metadata, usable in filters."""
    metadata: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """What the pipeline reports of the document: times, counts, warnings."""
    source_file: str = ""
    """Path below the input folder of a document that is still to be parsed; empty where the text was given."""
    source_hash: str = ""
    """MD5 of the file's bytes."""
    delete_requested: bool = False
    """The document is to be deleted; set durably before deletion starts."""

    def replace(self, **changes: Any) -> DocumentRecord:
        """Return a copy with the given fields changed."""
        return dataclasses.replace(self, **changes)


@dataclasses.dataclass(frozen=True, slots=True)
class Chunk:
    """A passage of a document: characters [start, end) of its text."""

    id: str
    doc_id: str
    order: int
    content: str
    tokens: int
    start: int
    end: int
    file_path: str = UNKNOWN_SOURCE
    page_start: int | None = None
    page_end: int | None = None


# What is found in chunks comes in such numbers that it is made of tuples, which take a fifth of the time to make.


class ExtractedEntity(NamedTuple):
    """An entity as found in one chunk; the name is normalised."""

    name: str
    type: str
    description: str


class ExtractedRelation(NamedTuple):
    """An undirected relation as found in one chunk; `source` < `target`."""

    source: str
    target: str
    keywords: str
    description: str
    weight: float = 1.0


@dataclasses.dataclass(frozen=True, slots=True)
class Extraction:
    """What was found in one chunk: each name and each pair at most once."""

    entities: tuple[ExtractedEntity, ...] = ()
    relations: tuple[ExtractedRelation, ...] = ()
    notes: tuple[str, ...] = ()
    """What the reader of the report should know, such as an answer that was cut off."""


class MentionSource(NamedTuple):
    """Where a mention stands."""

    chunk_id: str
    doc_id: str
    order: int
    """Position of the chunk in its document."""
    file_path: str
    created_at: int
    """Unix seconds at which the document was accepted."""


class EntityMention(NamedTuple):
    """One chunk's word on an entity."""

    entity: ExtractedEntity
    source: MentionSource


class RelationMention(NamedTuple):
    """One chunk's word on a relation."""

    relation: ExtractedRelation
    source: MentionSource


Pair = tuple[str, str]
"""The two ends of a relation in sorted order."""


@dataclasses.dataclass(frozen=True, slots=True)
class Entity:
    """A node of the graph, folded from its mentions."""

    name: str
    type: str
    description: str
    mentions: int
    """How many chunks mention it."""
    chunk_ids: tuple[str, ...] = ()
    """The chunks that the fold chose as evidence: all of them up to the evidence limit, a stable sample beyond."""
    file_paths: tuple[str, ...] = ()
    created_at: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Relation:
    """An edge of the graph, folded from its mentions; undirected, `source` < `target`."""

    source: str
    target: str
    keywords: str
    description: str
    weight: float
    mentions: int
    chunk_ids: tuple[str, ...] = ()
    file_paths: tuple[str, ...] = ()
    created_at: int = 0

    @property
    def pair(self) -> Pair:
        """The key of the edge."""
        return (self.source, self.target)


@dataclasses.dataclass(frozen=True, slots=True)
class DocumentFilter:
    """Restricts a query to some documents. Empty fields do not restrict; filled ones must all hold."""

    doc_ids: tuple[str, ...] = ()
    file_paths: tuple[str, ...] = ()
    """Exact paths or shell patterns (`*`, `?`, `[...]`)."""
    tags: Mapping[str, TagValue] = dataclasses.field(default_factory=dict)
    """Each named tag must equal the value, or, where either side is a list, share an element with it."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing is restricted."""
        return not (self.doc_ids or self.file_paths or self.tags)


@dataclasses.dataclass(frozen=True, slots=True)
class Generation:
    """How the model is to write one answer; what is left open is the model's own."""

    temperature: float | None = None
    max_tokens: int | None = None
    """Most tokens of the answer."""
    json_object: bool = False
    """Ask for a JSON object where the model's server can promise one."""
    with_thinking: bool = False
    """Let a streamed answer carry what the model thinks, as pieces of type `Thinking`."""


class Thinking(str):
    """A piece of a streamed answer that is what the model thinks and not its answer."""

    __slots__ = ()


class TakesBack(str):
    """A piece of a streamed answer, a break, that says: what came before it was thinking, the answer begins here."""

    __slots__ = ()


@dataclasses.dataclass(slots=True)
class Outcome:
    """What is known of an answer beside its text. A streamed answer fills it in at its end."""

    finish_reason: str = "stop"
    """`stop`, `length` where the answer was cut off, or the server's own word."""
    prompt_tokens: int | None = None
    """As the model's server counted or the binding estimated them; None where no model was asked."""
    completion_tokens: int | None = None
    thinking: str = ""
    """What the model thought, where an answer that is not streamed has it."""
    model: str | None = None
    """The model that wrote the answer, as questions name it (`name@provider`), also where it stood in for another one
    or its answer was kept; None where no model was asked."""

    @property
    def is_cut(self) -> bool:
        """Whether the answer was cut off at a length limit."""
        return self.finish_reason == CUT


@dataclasses.dataclass(slots=True)
class QueryParam:
    """How a query is to be answered. Field names and defaults are LightRAG's."""

    mode: Mode = "mix"
    only_need_context: bool = False
    only_need_prompt: bool = False
    response_type: str = "Multiple Paragraphs"
    stream: bool = False
    top_k: int = 40
    """Entities (local) or relations (global) to retrieve."""
    chunk_top_k: int = 20
    max_entity_tokens: int = 6000
    max_relation_tokens: int = 8000
    max_total_tokens: int = 30000
    hl_keywords: list[str] = dataclasses.field(default_factory=list)
    ll_keywords: list[str] = dataclasses.field(default_factory=list)
    conversation_history: list[dict[str, str]] = dataclasses.field(default_factory=list)
    history_turns: int = 0
    user_prompt: str | None = None
    enable_rerank: bool = True
    include_references: bool = True
    filter: DocumentFilter = dataclasses.field(default_factory=DocumentFilter)
    generation: Generation = Generation()
    model: str | None = None
    """Chat model that names the keywords and writes the answer, as `name@provider` or by its name alone."""
    rerank_model: str | None = None
    """Model that reorders the passages, named likewise."""


@dataclasses.dataclass(frozen=True, slots=True)
class Reference:
    """A cited document with the passages that were given to the model from it."""

    reference_id: str
    file_path: str
    doc_id: str
    chunks: tuple[Chunk, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class ListRank:
    """That one candidate list found an item, at which rank (1-based) and with which score."""

    list_name: str
    rank: int
    score: float


@dataclasses.dataclass(frozen=True, slots=True)
class RankedChunk:
    """A chunk in the context, with the reason why it is there."""

    chunk: Chunk
    score: float
    reference_id: str
    found_by: tuple[ListRank, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Keywords:
    """High-level (themes) and low-level (names) keywords of a question."""

    high_level: tuple[str, ...] = ()
    low_level: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Retrieved:
    """Everything that was found for a question, cut to the token budget, best first."""

    entities: tuple[Entity, ...] = ()
    relations: tuple[Relation, ...] = ()
    chunks: tuple[RankedChunk, ...] = ()
    references: tuple[Reference, ...] = ()
    keywords: Keywords = Keywords()
    counts: Mapping[str, int] = dataclasses.field(default_factory=dict)
    """LightRAG's processing_info: total_entities_found, entities_after_truncation, merged_chunks_count, …"""
    keywords_model: str | None = None
    """The model that named the keywords, as questions name it; None where none did."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing was found."""
        return not (self.entities or self.relations or self.chunks)


@dataclasses.dataclass(frozen=True, slots=True)
class QueryResult:
    """The answer to a question: `text` when it is complete, `stream` when it is being written."""

    retrieved: Retrieved
    text: str | None = None
    stream: AsyncIterator[str] | None = None
    llm_generated: bool = False
    """False where the text was quoted from the documents, canned, or is the context itself."""
    outcome: Outcome = dataclasses.field(default_factory=Outcome)
    """How the answer ended; complete when `text` is there or `stream` is at its end."""


@dataclasses.dataclass(frozen=True, slots=True)
class Accepted:
    """Outcome of offering a document."""

    outcome: Literal["accepted", "updated", "duplicate"]
    record: DocumentRecord
    """The new row, or the existing one where it is a duplicate."""
    track_id: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class GraphView:
    """A part of the graph for display."""

    entities: Sequence[Entity]
    relations: Sequence[Relation]
    is_truncated: bool = False


def __getattr__(name: str) -> Any:
    """Return a name of LightRAG's that stands here, from a module whose imports take longer than all of this."""
    if name not in {"GPTKeywordExtractionFormat", "KnowledgeGraph", "KnowledgeGraphEdge", "KnowledgeGraphNode"}:
        raise AttributeError(f"module 'lightrag.types' has no attribute {name!r}")
    from lightrag import knowledge_graph

    return getattr(knowledge_graph, name)
