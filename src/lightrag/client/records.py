"""What the server answers, as frozen records."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from lightrag.client.decoding import Record

_FINAL = frozenset({"processed", "failed"})
CUT = "length"
"""How an answer ended that was cut off."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Done(Record):
    """That something was done, or why not."""

    status: str = ""
    message: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Login(Record):
    """A token of a login; the client that logged in uses it already."""

    access_token: str = dataclasses.field(repr=False)
    token_type: str = "bearer"  # noqa: S105 - a kind, no secret
    auth_mode: str = ""
    core_version: str = ""
    api_version: str = ""
    message: str | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class AuthStatus(Record):
    """Whether one has to log in."""

    auth_configured: bool
    access_token: str | None = dataclasses.field(default=None, repr=False)
    auth_mode: str = ""
    core_version: str = ""
    api_version: str = ""
    message: str | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class AcceptedDocument(Record):
    """What became of an offered document: `accepted`, `updated` or `duplicated`."""

    doc_id: str
    file_path: str = ""
    status: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Inserted(Done):
    """Whether documents were taken over. `track_id` is empty where nothing was new."""

    track_id: str = ""
    documents: tuple[AcceptedDocument, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Started(Done):
    """That work in the background has begun."""

    track_id: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Deleted(Done):
    """That something is deleted, or is going to be. `edit_id` undoes the deletion of a part of the graph."""

    doc_id: str = ""
    edit_id: str | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Document(Record):
    """A document. `chunks_list` and what follows it are filled for single documents only."""

    id: str
    status: str
    file_path: str = ""
    content_summary: str = ""
    content_length: int = 0
    created_at: str = ""
    updated_at: str = ""
    track_id: str = ""
    chunks_count: int = 0
    error_msg: str | None = None
    metadata: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    tags: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    failed_chunks: int = 0
    chunks_list: tuple[str, ...] = ()
    failed_chunk_ids: tuple[str, ...] = ()
    content_hash: str = ""
    delete_requested: bool = False

    @property
    def is_done(self) -> bool:
        """Whether nothing more will happen to it by itself."""
        return self.status in _FINAL


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tracked(Record):
    """The documents of one request."""

    track_id: str = ""
    documents: tuple[Document, ...] = ()
    total_count: int = 0
    status_summary: Mapping[str, int] = dataclasses.field(default_factory=dict)

    @property
    def failed(self) -> Sequence[Document]:
        """Documents that could not be processed; `error_msg` says why."""
        return [document for document in self.documents if document.status == "failed"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pagination(Record):
    """Where a page stands."""

    page: int
    page_size: int = 0
    total_count: int = 0
    total_pages: int = 0
    has_next: bool = False
    has_prev: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class DocumentPage(Record):
    """One page of the document list."""

    documents: tuple[Document, ...] = ()
    pagination: Pagination
    status_counts: Mapping[str, int] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class DocumentsByStatus(Record):
    """Documents by status; a status without documents is left out."""

    statuses: Mapping[str, tuple[Document, ...]] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class PipelineStatus(Record):
    """What the pipeline is doing."""

    busy: bool = False
    scanning: bool = False
    job_name: str = ""
    job_start: str | None = None
    docs: int = 0
    cur_batch: int = 0
    chunks: int = 0
    chunks_done: int = 0
    vectors_waiting: int = 0
    summaries_waiting: int = 0
    cancellation_requested: bool = False
    paused_until: str | None = None
    latest_message: str = ""
    history_messages: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class ScanStatus(Record):
    """How a scan of the input folder goes, or went."""

    track_id: str
    status: str
    counts: Mapping[str, int] = dataclasses.field(default_factory=dict)
    samples: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
    message: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class CallEstimate(Record):
    """Model calls of one kind. `cost_usd` is None where the price is not known."""

    model: str = ""
    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Estimate(Record):
    """What indexing will take, roughly. `cost_usd` is None where a price is not known."""

    documents: int
    unread: int = 0
    """Files of which nothing is foreseen: not readable, or beyond the most that is read for one estimate."""
    chunks: int = 0
    tokens: int = 0
    """Of the chunks."""
    extraction: CallEstimate = dataclasses.field(default_factory=CallEstimate)
    embedding: CallEstimate = dataclasses.field(default_factory=CallEstimate)
    pictures: CallEstimate = dataclasses.field(default_factory=CallEstimate)
    """Descriptions of the pictures in files, one call each."""
    calls: int = 0
    total_tokens: int = 0
    cost_usd: float | None = None


@dataclasses.dataclass(frozen=True)
class FolderUpload:
    """What became of a folder's files."""

    uploaded: Mapping[str, Inserted]
    """By path below the folder, with `/` between its parts."""
    refused: Mapping[str, Exception]
    """Those that the server did not take, and why."""
    unsupported: Sequence[str]
    """Those of formats that the server does not read; they were not sent."""

    @property
    def track_ids(self) -> Sequence[str]:
        """What `documents.wait` waits for."""
        return list(dict.fromkeys(item.track_id for item in self.uploaded.values() if item.track_id))


@dataclasses.dataclass(frozen=True, kw_only=True)
class CitedChunk(Record):
    """A passage that an answer rests on: characters [start, end) of the document's text."""

    chunk_id: str
    start: int = 0
    end: int = 0
    page_start: int | None = None
    page_end: int | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reference(Record):
    """A cited document. `content` has the texts of its chunks where they were asked for."""

    reference_id: str
    file_path: str = ""
    doc_id: str = ""
    content: tuple[str, ...] | None = None
    chunks: tuple[CitedChunk, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Answer(Record):
    """An answer; `str` of it is its text."""

    response: str
    references: tuple[Reference, ...] = ()
    response_time: float | None = None
    """Seconds."""
    llm_generated: bool | None = None
    """False where the answer was quoted or canned."""
    finish_reason: str | None = None
    """`stop`, `length` where the answer was cut off, or the model server's own word; None where no model wrote it."""
    model: str | None = None
    """The model that wrote the answer, as `name@provider`; it may have stood in for another one."""

    @property
    def is_cut(self) -> bool:
        """Whether the answer was cut off at the model's length limit."""
        return self.finish_reason == CUT

    def __str__(self) -> str:
        return self.response


@dataclasses.dataclass(frozen=True, kw_only=True)
class Found(Done):
    """What was found for a question. `status` is `failure`, and all lists empty, where nothing was."""

    data: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    metadata: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def entities(self) -> Sequence[Mapping[str, Any]]:
        """Entities with their properties."""
        return self._list("entities")

    @property
    def relationships(self) -> Sequence[Mapping[str, Any]]:
        """Relations with their properties."""
        return self._list("relationships")

    @property
    def chunks(self) -> Sequence[Mapping[str, Any]]:
        """Chunks, best first."""
        return self._list("chunks")

    @property
    def references(self) -> Sequence[Reference]:
        """The documents they are from."""
        return [Reference.read(item) for item in self._list("references")]

    def _list(self, name: str) -> Sequence[Mapping[str, Any]]:
        found = self.data.get(name)
        return found if isinstance(found, list) else []


@dataclasses.dataclass(frozen=True, kw_only=True)
class GraphNode(Record):
    """An entity in a part of the graph."""

    id: str
    labels: tuple[str, ...] = ()
    properties: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class GraphEdge(Record):
    """A relation in a part of the graph; it has no direction."""

    id: str = ""
    type: str = ""
    source: str
    target: str
    properties: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Graph(Record):
    """A part of the graph."""

    nodes: tuple[GraphNode, ...] = ()
    edges: tuple[GraphEdge, ...] = ()
    is_truncated: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Entity(Record):
    """An entity in a list."""

    entity_name: str
    entity_type: str = ""
    description: str = ""
    source_id: str = ""
    file_path: str = ""
    created_at: int = 0
    degree: int = 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Edited(Done):
    """What an edit made of an entity or relation. `edit_id` is None where nothing was changed."""

    data: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    edit_id: str | None = None
    operation_summary: Mapping[str, Any] | None = None
    """Whether an entity was renamed or merged; for entities that were edited only."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Edit(Record):
    """One edit of the log."""

    id: str
    number: int = 0
    kind: str = ""
    arguments: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    created_at: int = 0
    author: str = ""
    undone: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class EditPage(Record):
    """Edits, the newest first. `next_before` leads to older ones; None where there are none."""

    edits: tuple[Edit, ...] = ()
    next_before: int | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Undone(Done):
    """That an edit was taken back."""

    edit: Edit


@dataclasses.dataclass(frozen=True, kw_only=True)
class WorkspaceEntry(Record):
    """A workspace in the list; the root one has no name."""

    name: str
    is_default: bool = False
    is_open: bool = False
    role: str = ""
    """Yours: reader, editor or admin."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Workspace(Record):
    """A workspace with its sizes, models and usage."""

    name: str
    is_default: bool = False
    description: str = ""
    labels: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    state: str = ""
    created_at: int | None = None
    documents: Mapping[str, int] = dataclasses.field(default_factory=dict)
    entities: int = 0
    relations: int = 0
    database_bytes: int = 0
    input_bytes: int = 0
    is_open: bool = False
    models: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)
    """Its own models that are switched on, as `name@provider`, by type."""
    usage: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Sums over all calls of models: calls, tokens, cost in US dollars."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class WorkspaceDone(Done):
    """What was done to a workspace; `rows` by table, for an import."""

    name: str = ""
    rows: Mapping[str, int] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class AccessToken(Record):
    """A token without its secret. Times are seconds since 1970."""

    id: str
    hint: str = ""
    label: str = ""
    is_admin: bool = False
    roles: Mapping[str, str] = dataclasses.field(default_factory=dict)
    created_at: int = 0
    created_by: str = ""
    expires_at: int | None = None
    revoked_at: int | None = None
    last_used_at: int | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class NewAccessToken(AccessToken):
    """A token that was just made; `token` is shown this once."""

    token: str = dataclasses.field(repr=False)


@dataclasses.dataclass(frozen=True, kw_only=True)
class User(Record):
    """An account."""

    id: str = ""
    name: str
    is_admin: bool = False
    is_enabled: bool = True
    roles: Mapping[str, str] = dataclasses.field(default_factory=dict)
    created_at: int = 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class AuditEntry(Record):
    """An entry of the audit log."""

    id: str
    at: float = 0.0
    """Seconds since 1970."""
    actor: str = ""
    workspace: str | None = None
    action: str = ""
    object: str = ""
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None
    outcome: str = ""
    request_id: str = ""
