"""Decides when the files are written: when nothing has changed for a while, and now and then when it never stops."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from pathlib import Path

from lightrag.errors import LightRAGError
from lightrag.storage.files import layout
from lightrag.storage.files.checkpoint import files_of, pieces_of, snapshot
from lightrag.storage.files.journal import Journal
from lightrag.storage.files.manifest import Manifest, publish
from lightrag.storage.files.workspace import Workspace
from lightrag.storage.files.writer import Writer

LONGEST_SECONDS = 60.0
"""How long writes go on before the files are written all the same."""
LARGEST_JOURNAL = 256 * 1024 * 1024
SHARE = 20
"""Under constant writes, the files are written for at most one part in this many of the time."""

_log = logging.getLogger("lightrag.storage")


class Keeper:
    """Writes the files of a workspace from its state, whole and in sets, and forgets the journal that they replace."""

    def __init__(self, folder: Path, workspace: Workspace, journal: Journal, writer: Writer, quiet: float) -> None:
        self._folder = folder
        self._workspace = workspace
        self._journal = journal
        self._writer = writer
        self._quiet = quiet
        self._manifest = Manifest(1, {})
        self._rewrite_all = False
        self._writing = asyncio.Lock()
        self._changed = asyncio.Event()
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._changed_at = self._written_at = 0.0
        self._took = 0.0

    def start(self, manifest: Manifest, *, rewrite_all: bool) -> None:
        """Begin to keep the files up to date.

        `rewrite_all`: LightRAG wrote some of them; as soon as one of its files is written, all are.
        """
        self._manifest, self._rewrite_all = manifest, rewrite_all
        self._written_at = time.monotonic()
        self._stopping.clear()
        self._task = asyncio.create_task(self._run(), name="storage-files")
        if self._workspace.touched:
            self.note_change()

    def note_change(self) -> None:
        """Tell that something was committed."""
        self._changed_at = time.monotonic()
        self._changed.set()

    async def stop(self) -> None:
        """Write what is not in the files yet, and end."""
        if self._task is None:
            return
        self._stopping.set()
        await self._task
        self._task = None
        await self._try_to_write()

    async def write(self) -> None:
        """Write all files that are not up to date. Raises `Conflict` or `OSError`."""
        async with self._writing:
            await self._write_changed()

    async def _write_changed(self) -> None:
        async with self._writer.between_commits():
            touched, self._workspace.touched = self._workspace.touched, set()
            names = files_of(touched)
            is_seen = not names.isdisjoint(layout.LIGHTRAG_FILES)
            if self._rewrite_all and is_seen:
                names |= files_of({name for name, _ in self._workspace.kept_tables()})
            if not names:
                return
            with contextlib.ExitStack() as stack:
                number = await asyncio.to_thread(self._journal.begin_next)
                state = stack.enter_context(snapshot(self._workspace))
                pins = stack.pop_all()
        with pins:
            try:
                began = time.monotonic()
                self._manifest = await asyncio.to_thread(
                    lambda: publish(self._folder, self._manifest, pieces_of(state, names), number)
                )
                await asyncio.to_thread(self._journal.forget_before, number)
            except BaseException:
                self._workspace.touched |= touched
                raise
        self._rewrite_all = self._rewrite_all and not is_seen
        self._written_at = time.monotonic()
        self._took = self._written_at - began

    async def _run(self) -> None:
        while not self._stopping.is_set():
            await _first_of(self._changed, self._stopping)
            await self._wait_for_quiet()
            if not self._stopping.is_set():
                self._changed.clear()
                await self._try_to_write()

    async def _try_to_write(self) -> None:
        try:
            await self.write()
        except (LightRAGError, OSError) as error:
            _log.warning(
                "The files in %s could not be written; the journal keeps what they lack: %s", self._folder, error
            )

    async def _wait_for_quiet(self) -> None:
        """Return when nothing has changed for a while, or writes have gone on for too long."""
        pause = max(self._quiet, SHARE * self._took)
        while not self._stopping.is_set():
            now = time.monotonic()
            longest = self._written_at + max(LONGEST_SECONDS, SHARE * self._took)
            if self._journal.size > LARGEST_JOURNAL and now - self._written_at > pause:
                return
            due = min(max(self._changed_at + self._quiet, self._written_at + pause), longest)
            if now >= due:
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(due - now):
                    await self._stopping.wait()


async def _first_of(*events: asyncio.Event) -> None:
    tasks = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
