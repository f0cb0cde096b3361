"""Status rows of documents of its own in a JSON file, in LightRAG's form; usable without an engine."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Sequence

from lightrag.base import DocProcessingStatus, DocStatus, DocStatusStorage, Row
from lightrag.kg.json_kv_impl import JsonKVStorage

_SORTED_BY = ("updated_at", "created_at", "id", "file_path")


@dataclasses.dataclass
class JsonDocStatusStorage(JsonKVStorage, DocStatusStorage):
    """Status rows by document id, held in memory and written by `index_done_callback`; copies are handed out."""

    async def get_by_id(self, id: str) -> Row | None:
        """Return a row."""
        return copy.deepcopy(self._rows.get(id))

    async def upsert(self, data: dict[str, Row]) -> None:
        """Insert or replace rows."""
        for id, row in data.items():
            self._rows[id] = {**copy.deepcopy(row), "chunks_list": list(row.get("chunks_list") or [])}

    async def get_status_counts(self) -> dict[str, int]:
        """Return the number of documents per status."""
        counts = {status.value: 0 for status in DocStatus}
        for row in self._rows.values():
            counts[row["status"]] = counts.get(row["status"], 0) + 1
        return counts

    async def get_docs_by_statuses(self, statuses: Sequence[DocStatus]) -> dict[str, DocProcessingStatus]:
        """Return the documents of any of these statuses."""
        wanted = {DocStatus(status).value for status in statuses}
        return {id: _record(row) for id, row in self._rows.items() if row["status"] in wanted}

    async def get_docs_by_track_id(self, track_id: str) -> dict[str, DocProcessingStatus]:
        """Return the documents of one request."""
        return {id: _record(row) for id, row in self._rows.items() if row.get("track_id") == track_id}

    async def get_doc_by_file_path(self, file_path: str) -> Row | None:
        """Return the row of the document that has this path."""
        return next((copy.deepcopy(row) for row in self._rows.values() if row.get("file_path") == file_path), None)

    async def get_docs_paginated(
        self,
        status_filter: DocStatus | None = None,
        page: int = 1,
        page_size: int = 50,
        sort_field: str = "updated_at",
        sort_direction: str = "desc",
    ) -> tuple[list[tuple[str, DocProcessingStatus]], int]:
        """Return one page of documents with their ids, and the number of all; pages have 10 to 200 documents."""
        if sort_field not in _SORTED_BY:
            raise ValueError(f"sort_field is {sort_field!r}; it can be {', '.join(_SORTED_BY)}")
        wanted = None if status_filter is None else DocStatus(status_filter).value
        found = [(id, row) for id, row in self._rows.items() if wanted in (None, row["status"])]
        found.sort(
            key=lambda item: item[0] if sort_field == "id" else str(item[1].get(sort_field) or ""),
            reverse=sort_direction.lower() == "desc",
        )
        size = min(max(page_size, 10), 200)
        start = (max(page, 1) - 1) * size
        return [(id, _record(row)) for id, row in found[start : start + size]], len(found)


def _record(row: Row) -> DocProcessingStatus:
    """Return a row as an object; what older versions did not write is filled in."""
    filled = {"file_path": "no-file-path", "content_summary": "", "content_length": 0} | copy.deepcopy(row)
    filled.setdefault("error_msg", filled.pop("error", None))
    filled["status"] = DocStatus(row["status"])
    filled["metadata"] = filled.get("metadata") or {}
    return DocProcessingStatus.from_stored(filled)
