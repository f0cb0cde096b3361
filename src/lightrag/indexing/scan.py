"""Brings the input folder and the workspace together: new files are accepted, changed ones updated."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import time
from collections.abc import Awaitable, Callable, Collection
from pathlib import Path

from lightrag.documents.folder import FoundFile, file_md5, scan_folder
from lightrag.documents.names import resolve_inside
from lightrag.documents.processed import free_name, move_file
from lightrag.documents.uploads import remove_abandoned_parts
from lightrag.errors import InvalidInput, LightRAGError
from lightrag.finishing import to_the_end
from lightrag.indexing.intake import STAMP, FileItem, accept_file, file_stamp
from lightrag.indexing.progress import Progress, now_iso
from lightrag.indexing.scan_log import ScanLog, ScanReport
from lightrag.storage.contracts import Storage
from lightrag.types import Accepted, DocStatus, DocumentRecord

_log = logging.getLogger("lightrag.scan")

_REPORTED_EVERY = 5.0


@dataclasses.dataclass(frozen=True, slots=True)
class ScanRules:
    """How an input folder is treated."""

    suffixes: Collection[str]
    """Of files that are taken, lower case, with their dot."""
    is_recursive: bool = True
    move_to: str = ""
    """Folder below the input folder to which processed files are moved; empty where they stay."""
    others: Callable[[], Collection[str]] = tuple
    """Names the folders directly below that belong to other workspaces."""
    more_suffixes: Callable[[], Awaitable[Collection[str]]] | None = None
    """Returns those that are taken besides at the moment."""


class FolderScan:
    """The input folder of one workspace."""

    def __init__(self, storage: Storage, root: Path, rules: ScanRules, progress: Progress) -> None:
        self._storage = storage
        self._root = root
        self._rules = rules
        self._progress = progress
        self.log = ScanLog(storage)

    async def run(self, track_id: str) -> list[str]:
        """Accept every new and every changed file; return the ids of documents that were updated.

        A file that cannot be read is noted and passed over. How it went is kept under the track id.
        """
        report = ScanReport(track_id, counts={"files": 0, "claimed_new": 0, "changed": 0, "known": 0, "error": 0})
        await self.log.save(report)
        try:
            updated = await self._run(report)
        except asyncio.CancelledError:
            report.status, report.message = "cancelled", "The server was stopped; the next scan goes on"
            await to_the_end(self._save_quietly(report))
            raise
        except Exception as error:
            report.status, report.message = "failed", str(error)
            await self._save_quietly(report)
            raise
        report.status = "completed"
        report.message = (
            f"Scanned {report.counts['files']} files: {report.counts['claimed_new']} new, "
            f"{report.counts['changed']} changed"
        )
        if report.counts["error"]:
            report.message += f", {report.counts['error']} that could not be read"
        self._progress.say(report.message)
        await self.log.save(report)
        return updated

    async def _run(self, report: ScanReport) -> list[str]:
        await remove_abandoned_parts(self._root)
        found = await scan_folder(
            self._root,
            await self._suffixes(),
            await self._skipped(),
            is_recursive=self._rules.is_recursive,
        )
        report.counts["files"] = len(found)
        updated: list[str] = []
        for file in found:
            try:
                outcome = await self._offer(file, report)
            except OSError as error:
                report.note("error", f"{file.relative_path}: {error.strerror or error}")
                continue
            if outcome is not None and outcome.outcome == "updated":
                updated.append(outcome.record.id)
            if time.time() - report.updated_at > _REPORTED_EVERY:
                await self.log.save(report)
        return updated

    async def _offer(self, file: FoundFile, report: ScanReport) -> Accepted | None:
        """Accept a file unless it is known and has the size and time that it had then."""
        known = await self._storage.documents.by_file_path(file.relative_path)
        stamp = file_stamp(file.size, file.mtime_ns)
        if known is not None and known.metadata.get(STAMP) == stamp:
            report.note("known")
            await self.settle(known)
            return None
        md5 = await file_md5(resolve_inside(self._root, file.relative_path))
        item = FileItem(file.relative_path, file.size, md5, stamp=stamp)
        outcome = await accept_file(self._storage, item, report.track_id, "update")
        if outcome.outcome == "duplicate":
            report.note("duplicate", f"{file.relative_path} is {outcome.record.file_path}")
            return None
        report.note("changed" if outcome.outcome == "updated" else "claimed_new", file.relative_path)
        return outcome

    async def settle(self, record: DocumentRecord) -> None:
        """Move the file of a processed document to where processed files go, where that is wished.

        The row names the new place before the file is there, so that a crash between the two leaves a file that the
        next scan knows, and moves.
        """
        if not self._rules.move_to or not record.source_file or record.status is not DocStatus.PROCESSED:
            return
        source = resolve_inside(self._root, record.file_path)
        if not await asyncio.to_thread(_has_stamp, source, record.metadata.get(STAMP)):
            return
        wanted = Path(self._rules.move_to) / record.file_path
        target = await asyncio.to_thread(free_name, self._root / wanted)
        relative = target.relative_to(self._root).as_posix()
        async with self._storage.transaction() as tx:
            current = (await tx.documents.get([record.id])).get(record.id)
            if current is None or current.delete_requested or current.updated_at != record.updated_at:
                return
            await tx.documents.put([current.replace(source_file=relative, updated_at=now_iso())])
        try:
            await asyncio.to_thread(move_file, source, target)
        except OSError as error:
            self._progress.say(f"{record.file_path} could not be moved to {relative}: {error.strerror or error}")

    async def remove(self, record: DocumentRecord) -> None:
        """Delete the file of a document, if it has one, wherever it lies; where it has to stay, a message says so."""
        if not record.source_file:
            return
        await self._unlink(record.source_file)
        first = resolve_inside(self._root, record.file_path)
        if record.source_file != record.file_path and await asyncio.to_thread(
            _has_stamp, first, record.metadata.get(STAMP)
        ):
            await self._unlink(record.file_path)

    async def delete_files(self) -> int:
        """Delete all readable files of the folder, but not those that were moved away; return how many went."""
        found = await scan_folder(self._root, await self._suffixes(), await self._skipped())
        return sum([await self._unlink(file.relative_path) for file in found])

    async def _unlink(self, name: str) -> bool:
        """Delete a file; return False where it has to stay, in a folder that nobody may write to for example."""
        try:
            await asyncio.to_thread(resolve_inside(self._root, name).unlink, missing_ok=True)
        except OSError as error:
            reason = f"The file {name} could not be deleted, and the next scan takes it in again: {error.strerror}"
            _log.warning(reason)
            self._progress.say(reason)
            return False
        return True

    async def check_folder(self, folder: str) -> None:
        """Raise `InvalidInput` where a folder below the input folder is not this workspace's to write to."""
        first = folder.split("/", 1)[0]
        if first and first in await self._skipped():
            raise InvalidInput(f"The folder '{first}' is used otherwise; choose another one")

    async def _suffixes(self) -> list[str]:
        more = self._rules.more_suffixes
        return [*self._rules.suffixes, *(await more() if more is not None else ())]

    async def _skipped(self) -> list[str]:
        moved = [self._rules.move_to] if self._rules.move_to else []
        return [*moved, *await asyncio.to_thread(self._rules.others)]

    async def _save_quietly(self, report: ScanReport) -> None:
        try:
            await self.log.save(report)
        except LightRAGError as error:
            self._progress.say(f"The scan's report could not be kept: {error}")


def _has_stamp(path: Path, stamp: object) -> bool:
    try:
        facts = path.stat()
    except OSError:
        return False
    return file_stamp(facts.st_size, facts.st_mtime_ns) == stamp
