"""Brings the input folder and the workspace together: new files are accepted, changed ones updated."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from pathlib import Path

from lightrag.documents.folder import FoundFile, file_md5, scan_folder
from lightrag.documents.names import resolve_inside
from lightrag.documents.uploads import remove_abandoned_parts
from lightrag.indexing.intake import STAMP, FileItem, accept_file, file_stamp
from lightrag.indexing.progress import Progress
from lightrag.storage.contracts import Storage
from lightrag.types import Accepted, DocumentRecord


class FolderScan:
    """The input folder of one workspace."""

    def __init__(self, storage: Storage, root: Path, suffixes: Collection[str], progress: Progress) -> None:
        self._storage = storage
        self._root = root
        self._suffixes = suffixes
        self._progress = progress

    async def run(self, track_id: str) -> list[str]:
        """Accept every new and every changed file; return the ids of documents that were updated."""
        await remove_abandoned_parts(self._root)
        found = await scan_folder(self._root, self._suffixes)
        updated: list[str] = []
        accepted = 0
        for file in found:
            outcome = await self._offer(file, track_id)
            accepted += outcome is not None
            if outcome is not None and outcome.outcome == "updated":
                updated.append(outcome.record.id)
        self._progress.say(f"Scanned {len(found)} files: {accepted - len(updated)} new, {len(updated)} changed")
        return updated

    async def _offer(self, file: FoundFile, track_id: str) -> Accepted | None:
        """Accept a file unless it is known and has the size and time that it had then."""
        known = await self._storage.documents.by_file_path(file.relative_path)
        stamp = file_stamp(file.size, file.mtime_ns)
        if known is not None and known.metadata.get(STAMP) == stamp:
            return None
        md5 = await file_md5(resolve_inside(self._root, file.relative_path))
        item = FileItem(file.relative_path, file.size, md5, stamp=stamp)
        outcome = await accept_file(self._storage, item, track_id, "update")
        return None if outcome.outcome == "duplicate" else outcome

    async def remove(self, record: DocumentRecord) -> None:
        """Delete the file of a document, if it has one."""
        if record.source_file:
            path = resolve_inside(self._root, record.source_file)
            await asyncio.to_thread(path.unlink, missing_ok=True)

    async def delete_files(self) -> int:
        """Delete all readable files of the folder; return how many."""
        found = await scan_folder(self._root, self._suffixes)
        for file in found:
            path = resolve_inside(self._root, file.relative_path)
            await asyncio.to_thread(path.unlink, missing_ok=True)
        return len(found)
