"""Documents in, followed, and out."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from lightrag.client.decoding import plain
from lightrag.client.errors import Conflict, Invalid, NotDone, NotFound
from lightrag.client.multipart import Multipart, Progress, UploadSource, upload_file
from lightrag.client.operations import AsyncPart, Part, SyncPart, endpoint, operation
from lightrag.client.records import (
    Deleted,
    Document,
    DocumentPage,
    DocumentsByStatus,
    Done,
    Estimate,
    FolderUpload,
    Inserted,
    PipelineStatus,
    ScanStatus,
    Started,
    Tracked,
)
from lightrag.client.requests import Wish, given
from lightrag.client.steps import Pause, Plan, Work

OnConflict = Literal["skip", "update"]
Status = Literal["pending", "parsing", "analyzing", "processing", "preprocessed", "processed", "failed"]
Tags = Mapping[str, Any]
Chunking = Mapping[str, Any]
"""How to cut: `{"strategy": …, "params": {…}}`."""
Awaited = str | Inserted | Started | FolderUpload | Iterable[str | Inserted | Started]
"""A track id, or what has one; or several of them."""

_FIRST_LOOK, _LATEST_LOOK = 0.1, 2.0
"""Seconds between two looks at documents that are waited for, at first and after a while."""


class DocumentCalls(Part):
    """Calls on the documents of a workspace."""

    @endpoint("POST", "/documents/text", Inserted.read)
    def insert_text(
        self,
        text: str,
        file_source: str | None = None,
        *,
        tags: Tags | None = None,
        on_conflict: OnConflict = "skip",
        chunking: Chunking | None = None,
    ) -> Wish:
        """Take in a text. It is durable when this returns, and indexed in the background; see `wait`."""
        fields = given(file_source=file_source, tags=tags, chunking=chunking)
        return Wish(json={"text": text, "on_conflict": on_conflict, **fields})

    @endpoint("POST", "/documents/texts", Inserted.read)
    def insert_texts(
        self,
        texts: Sequence[str],
        file_sources: Sequence[str | None] | None = None,
        *,
        tags: Tags | None = None,
        on_conflict: OnConflict = "skip",
        chunking: Chunking | None = None,
    ) -> Wish:
        """Take in several texts: all of them or, where one cannot be taken, none."""
        if isinstance(texts, str):
            raise Invalid("insert_texts takes a list of texts; for one text there is insert_text")
        sources = None if file_sources is None else list(file_sources)
        fields = given(file_sources=sources, tags=tags, chunking=chunking)
        return Wish(json={"texts": list(texts), "on_conflict": on_conflict, **fields})

    @endpoint("PUT", "/documents/{doc_id}", Inserted.read, is_repeatable=True)
    def update(self, doc_id: str, text: str, *, tags: Tags | None = None, chunking: Chunking | None = None) -> Wish:
        """Replace a document's text; only what changed is extracted again."""
        return Wish(path={"doc_id": doc_id}, json={"text": text, **given(tags=tags, chunking=chunking)})

    @endpoint("POST", "/documents/upload", Inserted.read)
    def upload(
        self,
        source: UploadSource,
        name: str | None = None,
        *,
        folder: str | None = None,
        tags: Tags | None = None,
        on_conflict: OnConflict = "skip",
        chunking: Chunking | None = None,
        progress: Progress | None = None,
    ) -> Wish:
        """Take in a file: a path, bytes, or a file that is open for reading bytes.

        `name`: needed for bytes. `folder`: below the server's input folder. `progress(sent, total)`: in bytes.
        """
        fields = _form(folder, tags, on_conflict, chunking)
        return Wish(upload=Multipart([upload_file(source, name)], fields, progress=progress))

    @endpoint("POST", "/documents/batch", Inserted.read)
    def upload_many(
        self,
        sources: Iterable[UploadSource | tuple[str, UploadSource]],
        *,
        folder: str | None = None,
        tags: Tags | None = None,
        on_conflict: OnConflict = "skip",
        chunking: Chunking | None = None,
        progress: Progress | None = None,
    ) -> Wish:
        """Take in several files in one request; `(name, source)` gives a name. The message names those not taken."""
        files = [
            upload_file(source[1], source[0]) if isinstance(source, tuple) else upload_file(source)
            for source in sources
        ]
        if not files:
            raise Invalid("There are no files to upload")
        fields = _form(folder, tags, on_conflict, chunking)
        return Wish(upload=Multipart(files, fields, field="files", progress=progress))

    @endpoint("POST", "/documents/estimate", Estimate.read, is_repeatable=True)
    def estimate(self, texts: str | Sequence[str]) -> Wish:
        """Tell what indexing texts will take in calls, tokens and money. Nothing is called and nothing stored."""
        return Wish(json={"texts": [texts] if isinstance(texts, str) else [*texts]})

    @endpoint("GET", "/documents/estimate", Estimate.read)
    def estimate_pending(self, doc_id: str | None = None) -> Wish:
        """Tell what is left to do of a document, or of all that wait, are in work or failed."""
        return Wish(params=given(doc_id=doc_id))

    @operation
    def upload_folder(
        self,
        folder: str | Path,
        *,
        pattern: str = "**/*",
        tags: Tags | None = None,
        on_conflict: OnConflict = "skip",
        chunking: Chunking | None = None,
        progress: Progress | None = None,
    ) -> Plan[FolderUpload]:
        """Take in the files of a folder and those below it, one after the other, under their paths in it.

        Hidden files are left out. A file that is refused does not keep the others out; other errors end the upload,
        and it can be begun again: what the server has is not taken twice. `progress` counts the bytes of one file.
        """
        known = yield from DocumentCalls.file_types.plan(self)
        suffixes = frozenset(known.get("supported_extensions", ()))
        root = Path(folder)
        paths: list[Path] = yield Work(lambda: _files_in(root, pattern))
        uploaded: dict[str, Inserted] = {}
        refused: dict[str, Exception] = {}
        unsupported: list[str] = []
        for path in paths:
            name = path.relative_to(root)
            if suffixes and path.suffix.lower() not in suffixes:
                unsupported.append(name.as_posix())
                continue
            parent = name.parent.as_posix()
            try:
                uploaded[name.as_posix()] = yield from DocumentCalls.upload.plan(
                    self,
                    path,
                    folder=None if parent == "." else parent,
                    tags=tags,
                    on_conflict=on_conflict,
                    chunking=chunking,
                    progress=progress,
                )
            except (Invalid, Conflict) as error:
                refused[name.as_posix()] = error
        return FolderUpload(uploaded, refused, unsupported)

    @operation
    def wait(self, what: Awaited, *, timeout: float | None = None) -> Plan[Tracked]:
        """Wait until documents are done: of a track id, of what an insertion, scan or retry returned, or of several.

        `timeout`: seconds; None waits as long as it takes. Failed documents do not raise, see `failed` of the result.
        Raises `NotDone` when the time is over, `NotFound` for an unknown track id.
        """
        ends_at = None if timeout is None else time.monotonic() + timeout
        pause = _FIRST_LOOK
        waiting = _track_ids(what)
        found: dict[str, Sequence[Document]] = {}
        while waiting:
            still: list[str] = []
            for track_id in waiting:
                tracked, is_done = yield from self._look(track_id)
                found[track_id] = tracked.documents
                still += [] if is_done else [track_id]
            waiting = still
            if waiting:
                left = None if ends_at is None else ends_at - time.monotonic()
                if left is not None and left <= 0:
                    raise _not_done(timeout, found)
                yield Pause(pause if left is None else min(pause, left))
                pause = min(_LATEST_LOOK, pause * 1.5)
        documents = tuple(itertools.chain.from_iterable(found.values()))
        summary = {status: sum(item.status == status for item in documents) for status in ("processed", "failed")}
        return Tracked(
            track_id=", ".join(found), documents=documents, total_count=len(documents), status_summary=summary
        )

    def _look(self, track_id: str) -> Plan[tuple[Tracked, bool]]:
        """Return the documents of a track id, and whether nothing more will become of them."""
        tracked = yield from DocumentCalls.track.plan(self, track_id)
        is_done = all(document.is_done for document in tracked.documents)
        if track_id.startswith("scan_"):
            scan = yield from DocumentCalls.scan_status.plan(self, track_id)
            if scan.status != "running":
                # Documents that it found at its end are only in a list that was made after it.
                tracked = yield from DocumentCalls.track.plan(self, track_id)
                is_done = all(document.is_done for document in tracked.documents)
            else:
                is_done = False
        elif track_id.startswith("retry_"):
            # Documents keep the track id of their insertion, so that this one has none of its own.
            counts = yield from DocumentCalls.count.plan(self)
            is_done = counts.get("all") == counts.get("processed", 0) + counts.get("failed", 0)
        elif not tracked.documents:
            raise NotFound(f"There are no documents with the track id '{track_id}' in this workspace")
        return tracked, is_done

    @endpoint("GET", "/documents/track_status/{track_id}", Tracked.read)
    def track(self, track_id: str) -> Wish:
        """Return the documents of one request; an unknown track id has none."""
        return Wish(path={"track_id": track_id})

    @endpoint("GET", "/documents", DocumentsByStatus.read)
    def list(self) -> Wish:
        """Return documents by status, at most 1000; `page` returns all of them, in parts."""
        return Wish()

    @endpoint("POST", "/documents/paginated", DocumentPage.read, is_repeatable=True)
    def page(
        self,
        page: int = 1,
        page_size: int = 50,
        *,
        statuses: Sequence[Status] | None = None,
        sort_field: Literal["created_at", "updated_at", "id", "file_path"] = "updated_at",
        sort_direction: Literal["asc", "desc"] = "desc",
    ) -> Wish:
        """Return one page of the document list; pages are counted from 1 and hold 10 to 200 documents."""
        wanted = None if statuses is None else [*statuses]
        sorting = {"sort_field": sort_field, "sort_direction": sort_direction}
        return Wish(json={"page": page, "page_size": page_size, **sorting, **given(status_filters=wanted)})

    @endpoint("GET", "/documents/status_counts", lambda data: dict(plain(data).get("status_counts", {})))
    def count(self) -> Wish:
        """Return the number of documents by status, and of all under `all`."""
        return Wish()

    @endpoint("GET", "/documents/{doc_id}", Document.read)
    def get(self, doc_id: str) -> Wish:
        """Return a document's status and chunks."""
        return Wish(path={"doc_id": doc_id})

    @endpoint("DELETE", "/documents/delete_document", Deleted.read)
    def delete(self, *doc_ids: str, delete_file: bool = False, delete_llm_cache: bool = False) -> Wish:
        """Delete documents and what only they have contributed to the graph, in the background."""
        ids = [*doc_ids]
        return Wish(json={"doc_ids": ids, "delete_file": delete_file, "delete_llm_cache": delete_llm_cache})

    @endpoint("DELETE", "/documents", Done.read)
    def clear(self) -> Wish:
        """Delete all documents with their files and the whole graph; `status` is `busy` where that is refused."""
        return Wish()

    @endpoint("POST", "/documents/scan", Started.read)
    def scan(self) -> Wish:
        """Look for new and changed files in the server's input folder and index them."""
        return Wish()

    @endpoint("GET", "/documents/scan/status/{track_id}", ScanStatus.read)
    def scan_status(self, track_id: str) -> Wish:
        """Return how a scan goes, or went."""
        return Wish(path={"track_id": track_id})

    @endpoint("POST", "/documents/reprocess_failed", Started.read)
    def retry_failed(self) -> Wish:
        """Try failed documents again; what has succeeded is not done again."""
        return Wish()

    @endpoint("GET", "/documents/pipeline_status", PipelineStatus.read)
    def pipeline_status(self) -> Wish:
        """Return what the pipeline is doing."""
        return Wish()

    @endpoint("POST", "/documents/cancel_pipeline", Done.read)
    def cancel(self) -> Wish:
        """Stop the pipeline; unfinished documents fail with that reason and can be retried."""
        return Wish()

    @endpoint("POST", "/documents/clear_cache", Done.read)
    def clear_cache(self, modes: Sequence[str] | None = None) -> Wish:
        """Forget the stored answers of models: those of some modes, or all."""
        return Wish(json=given(modes=None if modes is None else [*modes]))

    @endpoint("GET", "/documents/supported_file_types", plain)
    def file_types(self) -> Wish:
        """Return the suffixes of files that can be indexed, under `supported_extensions`."""
        return Wish()


class Documents(DocumentCalls, SyncPart):
    """The documents of a workspace."""


class AsyncDocuments(DocumentCalls, AsyncPart):
    """The documents of a workspace."""


def _form(folder: str | None, tags: Tags | None, on_conflict: OnConflict, chunking: Chunking | None) -> dict[str, str]:
    try:
        written = {name: json.dumps(dict(value)) for name, value in given(tags=tags, chunking=chunking).items()}
    except (TypeError, ValueError) as error:
        raise Invalid(f"tags and chunking must be JSON objects: {error}") from None
    return {"on_conflict": on_conflict} | written | given(path=folder)


def _files_in(root: Path, pattern: str) -> list[Path]:
    if not root.is_dir():
        raise Invalid(f"There is no folder '{root}'")
    paths = (path for path in root.glob(pattern) if path.is_file())
    return sorted(path for path in paths if not any(part.startswith(".") for part in path.relative_to(root).parts))


def _track_ids(what: Awaited) -> list[str]:
    if isinstance(what, FolderUpload):
        return [*what.track_ids]
    items = [what] if isinstance(what, Inserted | Started | str) else what
    track_ids = (item if isinstance(item, str) else item.track_id for item in items)
    # Where nothing was new there is no track id, and nothing to wait for.
    return [track_id for track_id in dict.fromkeys(track_ids) if track_id]


def _not_done(timeout: float | None, found: Mapping[str, Sequence[Document]]) -> NotDone:
    documents = [document for group in found.values() for document in group]
    open_ones = [document for document in documents if not document.is_done]
    first = f", first '{open_ones[0].file_path}' ({open_ones[0].status})" if open_ones else ""
    return NotDone(f"{len(open_ones)} documents are not done after {timeout} s{first}", documents)
