"""One workspace's engine: wires the parts and holds no logic of its own."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

from lightrag.callers import NOBODY, calling_as, current_caller, working_for
from lightrag.documents.folder import file_md5
from lightrag.documents.formats import format_of
from lightrag.documents.names import resolve_inside
from lightrag.engine_parts import EngineInfo, EngineParts
from lightrag.errors import Conflict, NotFound
from lightrag.indexing.custom_graph import read_custom_graph
from lightrag.indexing.edits import Edit
from lightrag.indexing.estimate import Estimator, WorkEstimate
from lightrag.indexing.full_text import read_text
from lightrag.indexing.given import GivenDocument, accept_given, given_chunks
from lightrag.indexing.graph_editor import Edited
from lightrag.indexing.intake import (
    FileItem,
    OnConflict,
    TextItem,
    accept_file,
    accept_texts,
    file_stamp,
    new_track_id,
)
from lightrag.indexing.manifest import check_manifest, manifest_of_data, write_manifest
from lightrag.indexing.progress import PipelineStatus
from lightrag.indexing.re_embedding import ReEmbedding
from lightrag.indexing.row_requests import OPEN, is_duplicate, request_deletion, retry_failed
from lightrag.indexing.scan_log import ScanReport
from lightrag.indexing.verify import VerifyReport
from lightrag.llm.cache_clearing import forget_modes
from lightrag.llm.contracts import FloatArray, ModelFacts
from lightrag.llm.meter import UsageMeter
from lightrag.llm.routing import BackendReport
from lightrag.retrieval import graph_info, graph_views
from lightrag.storage.contracts import Namespace, SortField, Storage
from lightrag.types import (
    UNKNOWN_SOURCE,
    Accepted,
    ChunkingChoice,
    DocStatus,
    DocumentRecord,
    Entity,
    GraphView,
    JsonObject,
    QueryParam,
    QueryResult,
    Relation,
    Retrieved,
    TagValue,
)

ESTIMATED_AT_MOST = 10_000
"""Documents whose indexing is foreseen at once."""

T = TypeVar("T")


class Engine:
    """Documents in, a graph, answers out, for one workspace.

    Use as an asynchronous context manager, or call `start` and `close`.
    """

    def __init__(self, parts: EngineParts) -> None:
        self._parts = parts
        self._storage = parts.storage
        self._pipeline = parts.pipeline
        self._scans: set[asyncio.Task[None]] = set()
        self._closed = False
        self._estimator = Estimator(parts.storage, parts.chunkers, parts.files)
        if parts.re_embedding is not None:
            parts.re_embedding.make_the_rest = self._pipeline.load_stale

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def workspace(self) -> str:
        """Name of the workspace; empty for the default one."""
        return self._parts.info.workspace

    @property
    def meter(self) -> UsageMeter:
        """Counts model calls and tokens by role."""
        return self._parts.meter

    def backends(self) -> Sequence[BackendReport]:
        """Tell how the backends are of models that have several; empty where each model has one server."""
        return self._parts.backends()

    def describe(self) -> EngineInfo:
        """Return what the engine was made with."""
        return self._parts.info

    async def start(self) -> None:
        """Open the stores and begin working off what waits. Raises `StorageError`."""
        try:
            # What is begun here is not done for whoever happened to ask first, but for the workspace.
            with calling_as(NOBODY), working_for(self.workspace):
                await self.open()
                await self._pipeline.start()
                if self._parts.re_embedding is not None:
                    await self._parts.re_embedding.resume()
        except BaseException:
            await self.close()
            raise

    async def open(self) -> None:
        """Open the stores without working off anything, for questions and maintenance."""
        await self._storage.open()
        await check_manifest(self._storage, self._parts.manifest())

    async def close(self) -> None:
        """Stop working and release everything. What was begun goes on at the next start."""
        if self._closed:
            return
        self._closed = True
        for task in self._scans:
            task.cancel()
        await asyncio.gather(*self._scans, return_exceptions=True)
        if self._parts.re_embedding is not None:
            await self._parts.re_embedding.close()
        await self._pipeline.stop()
        await self._parts.release()
        await self._storage.close()

    def is_working(self) -> bool:
        """Tell whether this process has begun something in the workspace that is not finished."""
        re_embedding = self._parts.re_embedding
        is_changing = re_embedding is not None and re_embedding.is_running
        return bool(self._scans) or self._pipeline.is_working or is_changing

    async def graph_size(self) -> tuple[int, int]:
        """Return the numbers of entities and relations."""
        return await self._storage.graph.counts()

    async def copy_out(self, copy: Callable[[Storage], Awaitable[T]]) -> T:
        """Let a function read the open stores."""
        return await copy(self._storage)

    async def ready(self) -> None:
        """Raise `StorageError` where the stores do not answer."""
        await self._storage.documents.counts()

    # Documents

    async def add_texts(
        self,
        items: Sequence[TextItem],
        *,
        track_id: str | None = None,
        on_conflict: OnConflict = "skip",
        chunking: ChunkingChoice | None = None,
    ) -> list[Accepted]:
        """Accept texts durably and begin indexing. Raises `InvalidInput`; then none is accepted.

        `chunking` is for all texts that do not bring their own; without either, the settings decide.
        """
        bringer = current_caller().token_id
        items = [
            dataclasses.replace(item, chunking=self._resolved(item.chunking or chunking), brought_by=bringer)
            for item in items
        ]
        accepted = await accept_texts(self._storage, items, track_id or new_track_id("insert"), on_conflict)
        self._pipeline.interrupt(item.record.id for item in accepted if item.outcome == "updated")
        return accepted

    async def add_file(
        self,
        relative_path: str,
        *,
        track_id: str | None = None,
        tags: Mapping[str, TagValue] | None = None,
        on_conflict: OnConflict = "skip",
        chunking: ChunkingChoice | None = None,
    ) -> Accepted:
        """Accept a file that lies in the input folder and begin indexing it."""
        choice = self._resolved(chunking)
        path = await asyncio.to_thread(resolve_inside, self._parts.info.input_dir, relative_path)
        if not await asyncio.to_thread(path.is_file):
            raise NotFound(f"There is no file '{relative_path}' in the input folder")
        try:
            md5 = await file_md5(path)
            stat = await asyncio.to_thread(path.stat)
        except FileNotFoundError:
            raise Conflict(
                f"The file '{relative_path}' was removed while it was being taken in; send it again"
            ) from None
        stamp = file_stamp(stat.st_size, stat.st_mtime_ns)
        item = FileItem(relative_path, stat.st_size, md5, tags or {}, stamp, choice, current_caller().token_id)
        accepted = await accept_file(self._storage, item, track_id or new_track_id("upload"), on_conflict)
        self._pipeline.interrupt([accepted.record.id] if accepted.outcome == "updated" else [])
        return accepted

    def _resolved(self, choice: ChunkingChoice | None) -> ChunkingChoice | None:
        return None if choice is None else self._parts.chunkers.resolve(choice)

    def check_chunking(self, choice: ChunkingChoice) -> None:
        """Raise `InvalidInput` where documents cannot be cut like this."""
        self._parts.chunkers.resolve(choice)

    async def file_types(self) -> list[str]:
        """Return the suffixes of files that can be indexed; pictures are among them where a model describes them."""
        return list(await self._parts.formats())

    async def check_file_type(self, name: str) -> None:
        """Raise `UnsupportedFormat` where files of this name's suffix cannot be indexed."""
        format_of(name, await self._parts.formats())

    async def check_folder(self, folder: str) -> None:
        """Raise `InvalidInput` where a folder below the input folder is not this workspace's to write to."""
        await self._parts.scan.check_folder(folder)

    async def scan(self) -> str:
        """Look for new and changed files in the input folder, in the background; return the track id."""
        track_id = new_track_id("scan")
        report = ScanReport(track_id)
        is_first = await self._pipeline.begin_scan()
        if not is_first:
            report.status, report.message = "completed", "Skipped: the folder is being scanned already"
        await self._parts.scan.log.save(report)
        if is_first:
            task = asyncio.create_task(self._scan(track_id), name="folder-scan")
            self._scans.add(task)
            task.add_done_callback(self._scans.discard)
        return track_id

    async def _scan(self, track_id: str) -> None:
        try:
            updated = await self._parts.scan.run(track_id)
            self._pipeline.interrupt(updated)
        finally:
            await self._pipeline.end_scan()

    async def scan_report(self, track_id: str) -> ScanReport:
        """Return how a scan goes, or went. Raises `NotFound`."""
        report = await self._parts.scan.log.find(track_id)
        if report is None:
            raise NotFound(f"No scan job found for track_id {track_id}")
        return report

    async def get_document(self, doc_id: str) -> DocumentRecord:
        """Return a document's row. Raises `NotFound`."""
        record = (await self._storage.documents.get([doc_id])).get(doc_id)
        if record is None:
            raise NotFound(f"Document {doc_id} not found")
        return record

    async def get_content(self, doc_id: str) -> str | None:
        """Return a document's text, or None where it has not been parsed or does not exist."""
        return await read_text(self._storage.kv(Namespace.FULL_DOCS), doc_id)

    async def list_documents(
        self,
        *,
        statuses: Collection[DocStatus] | None = None,
        offset: int = 0,
        limit: int = 50,
        sort: SortField = "updated_at",
        descending: bool = True,
    ) -> tuple[list[DocumentRecord], int]:
        """Return one page of rows and the number of all that match."""
        return await self._storage.documents.page(
            statuses=statuses, offset=offset, limit=limit, sort=sort, descending=descending
        )

    async def status_counts(self) -> dict[DocStatus, int]:
        """Return the number of documents per status, all statuses present."""
        counts = await self._storage.documents.counts()
        return {status: counts.get(status, 0) for status in DocStatus}

    async def find_by_path(self, file_path: str) -> DocumentRecord | None:
        """Return the document of this path, if any."""
        return await self._storage.documents.by_file_path(file_path)

    async def track(self, track_id: str) -> list[DocumentRecord]:
        """Return the documents of one request."""
        return await self._storage.documents.by_track_id(track_id)

    async def delete_documents(
        self, doc_ids: Sequence[str], *, delete_file: bool = False, delete_llm_cache: bool = False
    ) -> list[str]:
        """Mark documents for deletion, durably; return the ids that exist. Deleting goes on in the background."""
        found = await request_deletion(
            self._storage, doc_ids, delete_file=delete_file, delete_llm_cache=delete_llm_cache
        )
        self._pipeline.interrupt(found)
        return found

    async def clear(self, *, delete_files: bool = True, delete_llm_cache: bool = False) -> int:
        """Remove all documents and everything made of them; return how many input files were deleted.

        Raises `Conflict` while documents are being worked on.
        """
        if (await self._pipeline.status()).busy:
            raise Conflict("Cannot clear documents while pipeline is busy")
        kept = () if delete_llm_cache else (Namespace.LLM_CACHE, Namespace.SUMMARIES)
        await self._storage.drop(keep=kept)
        await write_manifest(self._storage, self._parts.manifest())
        return await self._parts.scan.delete_files() if delete_files else 0

    async def clear_cache(self, modes: Collection[str] = ()) -> None:
        """Forget cached model answers: all, or those of LightRAG's modes; documents and graph stay."""
        store = self._storage.kv(Namespace.LLM_CACHE)
        if modes:
            await forget_modes(store, modes)
        else:
            await store.clear()

    async def retry_failed(self) -> str:
        """Begin failed documents again; what succeeded is not done again. Returns the track id."""
        await retry_failed(self._storage)
        self._pipeline.wake()
        return new_track_id("retry")

    async def cancel(self) -> bool:
        """Stop everything that is open; False where nothing is."""
        return await self._pipeline.cancel()

    async def pipeline_status(self) -> PipelineStatus:
        """Return what is being done."""
        return await self._pipeline.status()

    async def wait_until_idle(self) -> None:
        """Return when nothing is left to do in the workspace, in whichever process."""
        await self._pipeline.wait_until_idle()

    # Questions

    async def query(self, question: str, param: QueryParam) -> QueryResult:
        """Answer a question. Raises `ModelError` where a model fails."""
        await self._look_up_edits(param)
        return await self._parts.asker.answer(question, param)

    async def retrieve(self, question: str, param: QueryParam) -> Retrieved:
        """Return what is found for a question, without an answer."""
        await self._look_up_edits(param)
        return await self._parts.asker.retrieve(question, param)

    async def _look_up_edits(self, param: QueryParam) -> None:
        # Behind a filter, entities are folded for the question; otherwise the stored ones have the edits in them.
        if not param.filter.is_empty:
            await self._parts.editor.look_up_edits()

    async def embed(self, texts: Sequence[str]) -> FloatArray:
        """Return the L2-normalised vectors of texts, shape (len(texts), dimension), as documents are embedded."""
        return await self._parts.embed(texts)

    # Graphs and chunks of one's own

    async def add_custom_graph(self, custom_kg: Mapping[str, Any], doc_id: str | None = None) -> Accepted:
        """Accept a graph in LightRAG's form (lists `chunks`, `entities`, `relationships`) as a document.

        It is indexed in the background and deleted like any other; the same one given again changes nothing, another
        one under the same id takes its place. Raises `InvalidInput`; then nothing is accepted.
        """
        given = await asyncio.to_thread(read_custom_graph, custom_kg, doc_id)
        return await self._accept_given(given)

    async def add_custom_chunks(
        self, full_text: str, text_chunks: Sequence[str], doc_id: str | None = None, *, file_path: str = UNKNOWN_SOURCE
    ) -> Accepted:
        """Accept a text that is cut already; its chunks are read as others are. See `add_custom_graph`."""
        return await self._accept_given(given_chunks(full_text, text_chunks, doc_id, file_path))

    async def _accept_given(self, given: GivenDocument) -> Accepted:
        given = dataclasses.replace(given, brought_by=current_caller().token_id)
        accepted = await accept_given(self._storage, given, new_track_id("insert"), self._parts.chunkers.count)
        self._pipeline.interrupt([accepted.record.id] if accepted.outcome == "updated" else [])
        return accepted

    # The graph

    async def labels(self) -> list[str]:
        """Return all entity names, sorted."""
        return await graph_views.all_labels(self._storage.graph)

    async def popular_labels(self, limit: int) -> list[str]:
        """Return entity names by degree."""
        return await self._storage.graph.popular_labels(limit)

    async def search_labels(self, text: str, limit: int) -> list[str]:
        """Return entity names that contain `text`, best first."""
        return await graph_views.search_labels(self._storage.graph, text, limit)

    async def subgraph(self, label: str, *, max_depth: int, max_nodes: int) -> GraphView:
        """Return the neighbourhood of an entity; `*` for the whole graph by degree."""
        return await graph_views.subgraph(self._storage.graph, label, max_depth=max_depth, max_nodes=max_nodes)

    async def subgraph_of_matches(self, text: str, *, max_depth: int, max_nodes: int) -> GraphView:
        """Return the neighbourhood of all entities whose name holds a text."""
        return await graph_views.subgraph_of_matches(
            self._storage.graph, text, max_depth=max_depth, max_nodes=max_nodes
        )

    async def degrees(self, names: Sequence[str]) -> dict[str, int]:
        """Return the number of relations of each entity."""
        return await self._storage.graph.degrees(names)

    async def entity_exists(self, name: str) -> bool:
        """Tell whether the graph has an entity of this name."""
        return bool(await self._storage.graph.get_entities([name]))

    async def get_entity(self, name: str) -> Entity | None:
        """Return an entity, if there is one of this name."""
        return (await self._storage.graph.get_entities([name])).get(name)

    async def get_entities(self, names: Sequence[str]) -> dict[str, Entity]:
        """Return those entities that there are, by name."""
        return await self._storage.graph.get_entities(names)

    async def get_relation(self, source: str, target: str) -> Relation | None:
        """Return the relation between two entities, in whatever order they are given."""
        pair = (min(source, target), max(source, target))
        return (await self._storage.graph.get_relations([pair])).get(pair)

    async def get_entity_info(self, name: str, *, include_vector_data: bool = False) -> JsonObject | None:
        """Return an entity in LightRAG's form (`entity_name`, `source_id`, `graph_data`); None where there is none."""
        entity = await self.get_entity(name)
        return graph_info.entity_info(entity, vector=include_vector_data) if entity is not None else None

    async def get_relation_info(
        self, source: str, target: str, *, include_vector_data: bool = False
    ) -> JsonObject | None:
        """Return a relation in LightRAG's form (`src_entity`, `tgt_entity`, `graph_data`); None where there is none."""
        relation = await self.get_relation(source, target)
        if relation is None:
            return None
        return graph_info.relation_info(relation, source, target, vector=include_vector_data)

    # Edits of the graph by hand. They are kept in a log, hold for whatever is indexed later, and can be undone.

    async def create_entity(self, name: str, data: Mapping[str, Any], *, author: str = "") -> Edited:
        """Make an entity of the fields description, entity_type, source_id, file_path. Raises `InvalidInput`."""
        return self._edited(await self._parts.editor.create_entity(name, data, author=author))

    async def edit_entity(
        self,
        name: str,
        updates: Mapping[str, Any],
        *,
        allow_rename: bool = True,
        allow_merge: bool = False,
        author: str = "",
    ) -> Edited:
        """Change fields of an entity; a field `entity_name` renames or (with `allow_merge`) merges it.

        Raises `InvalidInput` where it does not exist, a field is wrong, or the other name may not be taken.
        """
        return self._edited(
            await self._parts.editor.edit_entity(
                name, updates, allow_rename=allow_rename, allow_merge=allow_merge, author=author
            )
        )

    async def delete_entity(self, name: str, *, author: str = "") -> Edited:
        """Take an entity and its relations out of the graph, for good. Raises `NotFound`."""
        return self._edited(await self._parts.editor.delete_entity(name, author=author))

    async def create_relation(self, source: str, target: str, data: Mapping[str, Any], *, author: str = "") -> Edited:
        """Make a relation of the fields description, keywords, weight, source_id, file_path. Raises `InvalidInput`."""
        return self._edited(await self._parts.editor.create_relation(source, target, data, author=author))

    async def edit_relation(self, source: str, target: str, updates: Mapping[str, Any], *, author: str = "") -> Edited:
        """Change fields of a relation. Raises `InvalidInput` where it does not exist or a field is wrong."""
        return self._edited(await self._parts.editor.edit_relation(source, target, updates, author=author))

    async def delete_relation(self, source: str, target: str, *, author: str = "") -> Edited:
        """Take a relation out of the graph, for good. Raises `NotFound`."""
        return self._edited(await self._parts.editor.delete_relation(source, target, author=author))

    async def merge_entities(
        self,
        sources: Sequence[str],
        target: str,
        *,
        merge_strategy: Mapping[str, str] | None = None,
        target_entity_data: Mapping[str, Any] | None = None,
        author: str = "",
    ) -> Edited:
        """Make several entities one, whose name need not be taken yet. Raises `InvalidInput`."""
        return self._edited(
            await self._parts.editor.merge_entities(
                sources, target, strategy=merge_strategy, target_data=target_entity_data, author=author
            )
        )

    async def list_edits(self, *, limit: int = 100, before: int | None = None) -> list[Edit]:
        """Return edits, the newest first, undone ones included; `before`: only those with a smaller number."""
        return await self._parts.editor.list_edits(limit=limit, before=before)

    async def undo_edit(self, edit_id: str) -> Edited:
        """Take an edit back. Raises `NotFound`, or `Conflict` where it was undone before."""
        return self._edited(await self._parts.editor.undo(edit_id))

    def _edited(self, edited: Edited) -> Edited:
        self._pipeline.offer(edited.stale)
        return edited

    # Maintenance

    async def verify(self) -> VerifyReport:
        """Compare derived data with its sources; changes nothing."""
        return await self._parts.verifier.verify()

    async def repair(self) -> VerifyReport:
        """Mend what `verify` finds; missing vectors are made in the background."""
        report = await self._parts.verifier.repair()
        await self._pipeline.load_stale()
        return report

    async def refresh_models(self) -> None:
        """Take up what was changed of the models, before something is told of them."""
        await self._parts.refresh_models()

    async def estimate_texts(self, texts: Sequence[str]) -> WorkEstimate:
        """Foresee what indexing these texts takes; nothing is called and nothing stored."""
        await self.refresh_models()
        return await self._estimator.texts(texts, self._parts.asks_a_model())

    async def estimate_pending(self, doc_id: str | None = None) -> WorkEstimate:
        """Foresee what is left to do: of one document, else of those that wait or failed. Raises `NotFound`."""
        if doc_id is not None:
            records = [await self.get_document(doc_id)]
        else:
            open_ones = [*OPEN, DocStatus.FAILED]
            records, _ = await self._storage.documents.page(
                statuses=open_ones, limit=ESTIMATED_AT_MOST, sort="created_at", descending=False
            )
            records = [record for record in records if not is_duplicate(record)]
        await self.refresh_models()
        return await self._estimator.documents(records, self._parts.asks_a_model())

    async def embedding_of_data(self) -> str | None:
        """Return binding and name of the model that the vectors are of; None for an empty workspace."""
        recorded = await manifest_of_data(self._storage)
        return None if recorded is None else recorded.embedding

    def embedding_facts(self) -> ModelFacts:
        """Return what is known of the embedding model of this moment."""
        return self._parts.embedding_facts()

    def wanted_embedding(self) -> str:
        """Return binding and name of the embedding model that is asked for; the data may be of another one."""
        return self._parts.wanted_embedding()

    @property
    def re_embedding(self) -> ReEmbedding:
        """The change of the embedding model in the background. Raises `Conflict` where models cannot be changed."""
        if self._parts.re_embedding is None:
            raise Conflict(
                "The embedding model of this engine is set by EMBEDDING_BINDING and EMBEDDING_MODEL; change these and "
                "make all vectors anew with: lightrag repair --re-embed"
            )
        return self._parts.re_embedding

    async def re_embed(self) -> int:
        """Make all vectors anew with the configured embedding model; return how many are due.

        The one way to open a workspace that was indexed with another embedding model. Texts stay findable by their
        words meanwhile.
        """
        await self._storage.open()
        await self._storage.drop_vectors()
        await self._storage.kv(Namespace.SPARSE).clear()
        due = await self._parts.verifier.list_all_vectors()
        await write_manifest(self._storage, self._parts.manifest())
        return due
