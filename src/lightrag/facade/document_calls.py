"""Methods of an instance that bring, list and delete documents."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from lightrag.base import DeletionResult, DocProcessingStatus
from lightrag.base import DocStatus as PublicStatus
from lightrag.errors import LightRAGError
from lightrag.exceptions import ArgumentError
from lightrag.facade.instance import Instance
from lightrag.facade.rows import status_of
from lightrag.indexing.intake import TextItem, new_track_id
from lightrag.types import ChunkingChoice, DocStatus, DocumentRecord

_PAGE = 500
_log = logging.getLogger("lightrag")

Texts = str | list[str]


class DocumentCalls(Instance):
    """Documents in and out."""

    def insert(
        self,
        input: Texts,
        split_by_character: str | None = None,
        split_by_character_only: bool = False,
        ids: Texts | None = None,
        file_paths: Texts | None = None,
        track_id: str | None = None,
    ) -> str:
        """Index texts and wait until that is done; see `ainsert`."""
        arguments = (input, split_by_character, split_by_character_only, ids, file_paths, track_id)
        return self._sync("insert", lambda: self._insert(*arguments))

    async def ainsert(
        self,
        input: Texts,
        split_by_character: str | None = None,
        split_by_character_only: bool = False,
        ids: Texts | None = None,
        file_paths: Texts | None = None,
        track_id: str | None = None,
    ) -> str:
        """Index texts and wait until that is done; return the track id, under which their status is found.

        `ids`, `file_paths`: one for each text. `split_by_character`: cut there first; with `split_by_character_only`
        nowhere else. A text that is known already is left as it is. Raises `ArgumentError`, a `ValueError`, for
        arguments that do not fit; then nothing is indexed. Texts that fail do not raise: see `get_docs_by_status`.
        """
        return await self._call(
            self._insert(input, split_by_character, split_by_character_only, ids, file_paths, track_id)
        )

    async def apipeline_enqueue_documents(
        self,
        input: Texts,
        ids: list[str] | None = None,
        file_paths: Texts | None = None,
        track_id: str | None = None,
        **unused: Any,
    ) -> str:
        """Accept texts durably and return the track id; indexing begins at once, in the background."""
        return await self._call(self._enqueue(_items(input, ids, file_paths), track_id, None))

    async def apipeline_process_enqueue_documents(
        self, split_by_character: str | None = None, split_by_character_only: bool = False, **unused: Any
    ) -> None:
        """Wait until no document is left to do. How texts are cut is settled when they are accepted."""
        await self._call(self._work_off())

    async def apipeline_enqueue_error_documents(
        self, error_files: list[dict[str, Any]], track_id: str | None = None
    ) -> None:
        """Log files that could not be read; `error_files` have `file_path` and `error_description`."""
        for item in error_files:
            _log.error("%s: %s", item.get("file_path", "?"), item.get("error_description", "could not be read"))

    async def adelete_by_doc_id(self, doc_id: str, delete_llm_cache: bool = False) -> DeletionResult:
        """Delete a document with everything that was made of it, and wait until that is done."""
        return await self._call(self._delete(doc_id, delete_llm_cache))

    def delete_by_doc_id(self, doc_id: str, delete_llm_cache: bool = False) -> DeletionResult:
        """Delete a document; see `adelete_by_doc_id`."""
        return self._sync("delete_by_doc_id", lambda: self._delete(doc_id, delete_llm_cache))

    async def get_processing_status(self) -> dict[str, int]:
        """Return the number of documents per status."""
        return await self._call(self._counts())

    async def get_docs_by_status(self, status: PublicStatus | str) -> dict[str, DocProcessingStatus]:
        """Return the documents of a status."""
        return await self._call(self._by_status(PublicStatus(status)))

    async def aget_docs_by_ids(self, ids: Texts) -> dict[str, DocProcessingStatus]:
        """Return documents by id; those that do not exist are left out."""
        return await self._call(self._by_ids([ids] if isinstance(ids, str) else list(ids)))

    async def aget_docs_by_track_id(self, track_id: str) -> dict[str, DocProcessingStatus]:
        """Return the documents of one request."""
        return await self._call(self._by_track_id(track_id))

    def clear_cache(self, modes: list[str] | None = None) -> None:
        """Forget cached answers of models; see `aclear_cache`."""
        self._sync("clear_cache", lambda: self._forget(modes))

    async def aclear_cache(self, modes: list[str] | None = None) -> None:
        """Forget cached answers of models: all, or those of `modes` (`default` for extraction, and the query modes)."""
        await self._call(self._forget(modes))

    async def _insert(
        self,
        input: Texts,
        split_by_character: str | None,
        split_by_character_only: bool,
        ids: Texts | None,
        file_paths: Texts | None,
        track_id: str | None,
    ) -> str:
        choice = None
        if split_by_character is not None:
            choice = ChunkingChoice(
                "custom" if self.chunking_func is not None else "fixed_token",
                split_by_character=split_by_character,
                split_by_character_only=split_by_character_only,
            )
        track_id = await self._enqueue(_items(input, ids, file_paths), track_id, choice)
        await self._work_off()
        await self._report_failures(track_id)
        return track_id

    async def _enqueue(self, items: list[TextItem], track_id: str | None, choice: ChunkingChoice | None) -> str:
        opened = await self._use()
        track_id = track_id or new_track_id("insert")
        if items:
            accepted = await opened.engine.add_texts(items, track_id=track_id, chunking=choice)
            if all(item.outcome == "duplicate" for item in accepted):
                _log.warning("No new unique documents were found.")
        return track_id

    async def _work_off(self) -> None:
        await (await self._use()).engine.wait_until_idle()

    async def _report_failures(self, track_id: str) -> None:
        for record in await (await self._use()).engine.track(track_id):
            if record.status is DocStatus.FAILED:
                _log.error("document %s (%s) failed: %s", record.id, record.file_path, record.error_msg)

    async def _delete(self, doc_id: str, delete_llm_cache: bool) -> DeletionResult:
        engine = (await self._use()).engine
        found = (await self._records([doc_id])).get(doc_id)
        if found is None:
            return DeletionResult("not_found", doc_id, f"Document {doc_id} not found.", 404)
        try:
            await engine.delete_documents([doc_id], delete_llm_cache=delete_llm_cache)
            await engine.wait_until_idle()
        except LightRAGError as error:
            return DeletionResult("fail", doc_id, str(error), 500, found.file_path)
        if doc_id in await self._records([doc_id]):
            message = f"Document {doc_id} is marked for deletion, which another process or the next start goes on with."
            return DeletionResult("fail", doc_id, message, 500, found.file_path)
        return DeletionResult("success", doc_id, f"Document {doc_id} was deleted.", 200, found.file_path)

    async def _records(self, ids: Sequence[str]) -> dict[str, DocumentRecord]:
        return await (await self._use()).storage.documents.get(ids)

    async def _counts(self) -> dict[str, int]:
        counts = await (await self._use()).engine.status_counts()
        return {status.value: counts.get(DocStatus(status.value), 0) for status in _KNOWN} | {
            status.value: 0 for status in PublicStatus if status not in _KNOWN
        }

    async def _by_status(self, status: PublicStatus) -> dict[str, DocProcessingStatus]:
        if status not in _KNOWN:
            return {}
        engine = (await self._use()).engine
        found: dict[str, DocProcessingStatus] = {}
        while True:
            rows, total = await engine.list_documents(
                statuses=[DocStatus(status.value)], offset=len(found), limit=_PAGE, sort="id", descending=False
            )
            found |= {row.id: status_of(row) for row in rows}
            if not rows or len(found) >= total:
                return found

    async def _by_ids(self, ids: list[str]) -> dict[str, DocProcessingStatus]:
        found = await self._records(ids)
        return {doc_id: status_of(found[doc_id]) for doc_id in ids if doc_id in found}

    async def _by_track_id(self, track_id: str) -> dict[str, DocProcessingStatus]:
        return {row.id: status_of(row) for row in await (await self._use()).engine.track(track_id)}

    async def _forget(self, modes: list[str] | None) -> None:
        await (await self._use()).engine.clear_cache(modes or ())


_KNOWN = frozenset(PublicStatus(status.value) for status in DocStatus)


def _items(input: Texts, ids: Texts | None, file_paths: Texts | None) -> list[TextItem]:
    texts = [input] if isinstance(input, str) else list(input)
    names = [ids] if isinstance(ids, str) else ids
    paths = [file_paths] if isinstance(file_paths, str) else file_paths
    if any(not isinstance(text, str) for text in texts):
        raise ArgumentError("input: a text or a list of texts is expected")
    if names is not None and len(names) != len(texts):
        raise ArgumentError(f"ids: {len(names)} ids were given for {len(texts)} texts; give one for each")
    if names is not None and len(set(names)) != len(names):
        raise ArgumentError("ids: an id is given twice; each must be unique")
    if paths is not None and len(paths) != len(texts):
        raise ArgumentError(f"file_paths: {len(paths)} paths were given for {len(texts)} texts; give one for each")
    return [
        TextItem(text, paths[index] if paths else None, names[index] if names else None)
        for index, text in enumerate(texts)
    ]
