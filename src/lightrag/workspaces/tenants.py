"""All workspaces of a process: which there are, their engines, and what can be done with a whole one."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightrag.errors import Conflict, InvalidInput, LightRAGError, NotFound
from lightrag.indexing.row_requests import OPEN
from lightrag.settings import Settings
from lightrag.storage.contracts import Namespace
from lightrag.storage.registry import StorageNames, open_storage
from lightrag.tenancy.names import check_name
from lightrag.workspaces.description import Description, dealings_of
from lightrag.workspaces.engine_source import EngineSource, OpenEngine
from lightrag.workspaces.folder_lock import FolderLock
from lightrag.workspaces.folders import WorkspaceFolders, names_on_disk, remove_remains
from lightrag.workspaces.pool import PoolEntry, WorkspaceFailed, WorkspacePool
from lightrag.workspaces.scratch import remove_lost
from lightrag.workspaces.withdrawal import (
    DELETING,
    IMPORTING,
    RENAMING,
    RESERVED,
    Control,
    Jobs,
    Withdrawals,
    out_of_use,
)

if TYPE_CHECKING:
    from lightrag.engine import Engine
    from lightrag.tenancy.contracts import Actor
    from lightrag.tenancy.control_plane import ControlPlane
    from lightrag.tenancy.database import Changes
    from lightrag.tenancy.directory import Workspace
    from lightrag.workspaces.archive import ArchiveFacts

_log = logging.getLogger(__name__)


REMEMBERED = 2.0
"""Seconds for which it is remembered that a workspace exists, where nothing was changed on this machine."""
_MOST_REMEMBERED = 100_000
"""Workspaces; with more, all are forgotten and looked for anew."""
LOOK_EVERY = 1.0
"""Seconds between two looks for what other processes have done to the workspaces that are open here."""
_LOOK_SECONDS = 5.0
"""For which an engine may look for work after it was opened."""
_RESUMED_AT_ONCE = 2
_RESUME_SECONDS = 60.0
"""After which the next workspace is gone on with, though documents of one before are still worked on."""


class Tenants:
    """The workspaces of one process.

    Args:
        settings: Of the server; workspaces differ by their folders and by what the control plane says of them.
        control: The control plane.
        open_engine: Makes an engine, not started; by default one whose models follow the control plane.
        starts_engines: Whether engines work off what waits; a command that only looks leaves it to the server.
    """

    def __init__(
        self,
        settings: Settings,
        control: Control,
        open_engine: OpenEngine | None = None,
        *,
        starts_engines: bool = True,
    ) -> None:
        self._settings = settings
        self._control = control
        self._engines = EngineSource(settings, control, open_engine, starts_engines=starts_engines)
        self.models = self._engines.models
        """What the engines share of the control plane's models."""
        self._known: dict[str, tuple[float, Changes | None]] = {}
        self._tending: list[asyncio.Task[None]] = []
        self._jobs = Jobs()
        self.pool: WorkspacePool[Engine] = WorkspacePool(
            self._engines.open, settings.tenancy.max_workspaces_in_pool, closed=self._engines.note_closed
        )
        self._withdrawals = Withdrawals(control, self.pool, self._folders)

    @property
    def default(self) -> str:
        """Name of the default workspace."""
        return self._settings.paths.workspace

    async def start(self) -> Engine | None:
        """Open the default workspace, where requests may go without naming one, and go on with what was begun."""
        engine = None
        if self._settings.tenancy.allow_default_workspace:
            try:
                engine = await self.pool.pin(self.default)
            except WorkspaceFailed as failure:
                # Who starts a server has named no workspace: the cause says it all.
                raise failure.__cause__ or failure from None
        self._tending = [
            asyncio.create_task(self._resume(), name="resume-workspaces"),
            asyncio.create_task(self._watch(), name="watch-workspaces"),
        ]
        return engine

    async def close(self) -> None:
        """Close all engines."""
        for task in self._tending:
            task.cancel()
        await asyncio.gather(*self._tending, return_exceptions=True)
        await self._jobs.close()
        await self.pool.close()
        await self._engines.close()

    @contextlib.asynccontextmanager
    async def lease(self, name: str, *, creates: bool) -> AsyncIterator[Engine]:
        """Hold the engine of a workspace.

        One that does not exist is created with `creates`; else an engine stands in for it that holds nothing. Raises
        `NotFound` where workspaces are created by administrators only, `Conflict` for one that is being removed,
        `StorageUnavailable` where it cannot be opened.
        """
        if not await self._is_remembered(name) and not await self.exists(name):
            if not self._settings.tenancy.create_on_use:
                raise NotFound(f"There is no workspace '{name}'; create it first: lightrag workspace create {name}")
            if not creates:
                yield await self._engines.nothing()
                return
            await self._register(name)
        async with self.pool.lease(name) as engine:
            yield engine

    async def exists(self, name: str) -> bool:
        """Tell whether there is such a workspace.

        Raises `Conflict` for one that is being removed, renamed or imported, `InvalidInput` for a name that is none.
        """
        folders = self._folders(name)
        plane, changes = await self._control.existing(), await self._changes()
        entry = await self._entry(plane, name) if plane is not None else None
        found = entry is not None or name == self.default or await asyncio.to_thread(folders.hold_data)
        if not found and plane is None:
            # It is being created, which nobody but the control plane could take back.
            found = self.pool.is_known(name)
        if found:
            self._remember(name, changes)
            return True
        self._known.pop(name, None)
        if self.pool.is_known(name):
            # Removed by another process.
            await self.pool.evict(name, patience=0)
        return False

    async def _entry(self, plane: ControlPlane, name: str) -> Workspace | None:
        """Return a workspace's entry, after what was cut short in it has been ended. Raises `Conflict`."""
        entry = await plane.directory.get(name)
        if entry is not None and entry.state != "active":
            self._known.pop(name, None)
            if not self._withdrawals.is_over(entry.task or {}):
                raise out_of_use(entry)
            await self._jobs.run(self._withdrawals.finish(entry, _server()))
            entry = await plane.directory.get(name)
            if entry is not None and entry.state != "active":
                raise out_of_use(entry)
        return entry

    async def create(
        self, name: str, actor: Actor, *, description: str = "", labels: Mapping[str, Any] | None = None
    ) -> Workspace:
        """Create a workspace. Raises `InvalidInput`, `Conflict` where there is one of this name."""
        check_name(name)
        folders, plane = self._folders(name), await self._control.plane()
        if await self._entry(plane, name) is not None or name == self.default:
            raise Conflict(f"Workspace '{name}' exists already")
        if await asyncio.to_thread(folders.hold_data):
            _log.info("workspace '%s' lies in the working directory and is entered in the control plane", name)
        made = await plane.directory.create(name, actor, description=description, labels=labels)
        # From here on, the root workspace takes no files from the folder of this name, nor puts some there.
        await asyncio.to_thread(folders.data.mkdir, parents=True, exist_ok=True)
        return made

    async def names(self) -> list[str]:
        """Return the names of all workspaces, the root one first."""
        plane = await self._control.existing()
        entries = await plane.directory.list() if plane is not None else []
        listed = [entry.name for entry in entries if entry.state != RESERVED]
        on_disk = await asyncio.to_thread(names_on_disk, self._settings)
        return sorted({self.default, *listed, *on_disk})

    async def describe(self, name: str) -> Description:
        """Return what there is in a workspace. Raises `NotFound`."""
        if not await self.exists(name):
            raise NotFound(f"There is no workspace '{name}'")
        plane = await self._control.existing()
        entry = await plane.directory.get(name) if plane is not None else None
        database, inputs = await asyncio.to_thread(self._folders(name).size)
        was_open = self.pool.peek(name) is not None
        async with self.pool.lease(name) as engine:
            counts = await engine.status_counts()
            entities, relations = await engine.graph_size()
        dealings = await dealings_of(self._settings, plane, entry.id if entry else None)
        return Description(
            name=name,
            is_default=name == self.default,
            description=entry.description if entry else "",
            labels=entry.labels if entry else {},
            state=entry.state if entry else "active",
            created_at=entry.created_at if entry else None,
            documents={status.value: count for status, count in counts.items()},
            entities=entities,
            relations=relations,
            database_bytes=database,
            input_bytes=inputs,
            is_open=was_open,
            models=dealings.models,
            usage=dealings.usage,
        )

    async def rename(self, name: str, new_name: str, actor: Actor) -> None:
        """Give a workspace another name; it is closed meanwhile. Raises `NotFound`, `Conflict`, `InvalidInput`."""
        check_name(new_name)
        self._check_removable(name)
        plane = await self._control.plane()
        await self._existing(name)
        if await self.exists(new_name):
            raise Conflict(f"Workspace '{new_name}' exists already")
        old, new = self._folders(name), self._folders(new_name)
        await asyncio.to_thread(new.check_vacant)
        await plane.directory.ensure(name, actor)

        async def work() -> None:
            async with self._withdrawals.withdrawn(name, RENAMING, actor, to=new_name) as step:
                step.is_begun = True
                await asyncio.to_thread(old.move, new)
                await plane.directory.rename(name, new_name, actor)

        self._known.pop(name, None)
        await self._jobs.run(work())

    async def delete(self, name: str, actor: Actor) -> None:
        """Remove a workspace with its documents, graph, files, keys, models, usage and rights, for good."""
        self._check_removable(name)
        plane = await self._control.plane()
        entry = await plane.directory.get(check_name(name))
        if not await self.exists(name):
            if entry is not None and entry.state == DELETING:
                # A removal that was cut short has just been ended.
                return
            raise NotFound(f"There is no workspace '{name}'")
        await plane.directory.ensure(name, actor)

        async def work() -> None:
            async with self._withdrawals.withdrawn(name, DELETING, actor) as step:
                step.is_begun = True
                await asyncio.to_thread(self._folders(name).remove)
                await plane.directory.forget(name, actor)

        self._known.pop(name, None)
        await self._jobs.run(work())

    async def export(self, name: str, target: Path) -> ArchiveFacts:
        """Write a workspace into one file. Raises `Conflict` while documents are worked on."""
        from lightrag.workspaces.archive import write_archive

        await self._existing(name)
        async with self.pool.lease(name) as engine:
            if await _stays_busy(engine):
                raise Conflict("Documents are being worked on; export the workspace when that is done")
            return await engine.copy_out(lambda storage: write_archive(storage, self._folders(name), target))

    async def import_archive(self, name: str, source: Path, actor: Actor) -> ArchiveFacts:
        """Make a new workspace from such a file. Raises `Conflict` where the name is taken, `InvalidInput`."""
        from lightrag.workspaces.archive import read_archive

        check_name(name)
        if await self.exists(name):
            raise Conflict(f"Workspace '{name}' exists already; import under another name")
        folders, plane = self._folders(name), await self._control.plane()
        await asyncio.to_thread(folders.check_vacant)
        names = StorageNames.of(self._settings.storage)

        async def work() -> ArchiveFacts:
            async with self._withdrawals.withdrawn(name, IMPORTING, actor, is_new=True) as step:
                step.is_begun = True
                facts = await read_archive(source, folders, names)
                await plane.directory.restore(name, actor)
            return facts

        return await self._jobs.run(work())

    def open_engines(self) -> list[Engine]:
        """Return the engines that are open in this process, by name."""
        found = (self.pool.peek(entry.workspace) for entry in self.pool.snapshot())
        return sorted((engine for engine in found if engine is not None), key=lambda engine: engine.workspace)

    def snapshot(self) -> list[PoolEntry]:
        """Return the engines that are open in this process."""
        return self.pool.snapshot()

    async def _register(self, name: str) -> None:
        """Enter a workspace that is created by its first use, where a control plane is kept at all."""
        plane, changes = await self._control.existing(), await self._changes()
        if plane is not None:
            await plane.directory.ensure(name, _server())
        self._remember(name, changes)

    async def _existing(self, name: str) -> None:
        if not await self.exists(name):
            raise NotFound(f"There is no workspace '{name}'")

    def _check_removable(self, name: str) -> None:
        if not name or name == self.default:
            raise InvalidInput(
                "The default workspace cannot be removed or renamed; clear it with DELETE /documents, or start the "
                "server with another WORKSPACE"
            )

    async def _watch(self) -> None:
        """Close the workspaces that another process takes out of use, and note that the others are still there."""
        while True:
            await asyncio.sleep(LOOK_EVERY)
            names = [name for name in self.pool.names() if name and name != self.default]
            try:
                plane, changes = await self._control.existing() if names else None, await self._changes()
                if plane is not None:
                    await self._compare(names, await plane.directory.states(names), changes)
            except LightRAGError as error:
                _log.debug("the control plane was not asked for the workspaces: %s", error)
            except Exception:
                _log.exception("the watch over the workspaces met an unforeseen error; it goes on")

    async def _compare(self, names: list[str], states: Mapping[str, str], changes: Changes | None) -> None:
        for name in names:
            state = states.get(name)
            if state == "active":
                self._remember(name, changes)
            elif state is not None or not await asyncio.to_thread(self._folders(name).hold_data):
                self._known.pop(name, None)
                await self.pool.evict(name, patience=0)

    async def _resume(self) -> None:
        """End what was cut short, and go on with documents that wait, so that nothing lies until somebody asks."""
        try:
            await asyncio.to_thread(remove_remains, self._settings)
            await asyncio.to_thread(remove_lost)
            await self._withdrawals.finish_all(_server())
            names = [name for name in await self.names() if name != self.default]
        except LightRAGError as error:
            _log.warning("workspaces in which documents wait were not looked for: %s", error)
            return
        gate = asyncio.Semaphore(_RESUMED_AT_ONCE)

        async def resume(name: str) -> None:
            async with gate:
                try:
                    if await self._is_work_left(name):
                        await self._work_on(name)
                except LightRAGError as error:
                    _log.warning("workspace '%s' was not opened to go on with its documents: %s", name, error)

        await asyncio.gather(*(resume(name) for name in names))

    async def _is_work_left(self, name: str) -> bool:
        """Tell whether documents wait in a workspace that nobody has opened here. Opens its stores and no models."""
        if self.pool.is_known(name) or not await self.exists(name):
            return False
        folders = self._folders(name)
        if not await asyncio.to_thread(folders.hold_data):
            return False
        lock = await asyncio.to_thread(lambda: FolderLock.take(folders.data, alone=False))
        if lock is None:
            return False
        try:
            return await _has_due_documents(self._settings, name)
        finally:
            lock.release()

    async def _work_on(self, name: str) -> None:
        async with self.pool.lease(name) as engine:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_RESUME_SECONDS):
                    await engine.wait_until_idle()

    def _folders(self, name: str) -> WorkspaceFolders:
        return WorkspaceFolders.of(self._settings, name)

    async def _changes(self) -> Changes | None:
        plane = await self._control.existing()
        return None if plane is None else plane.database.changes

    async def _is_remembered(self, name: str) -> bool:
        at, changes = self._known.get(name, (-REMEMBERED, None))
        return time.monotonic() - at < REMEMBERED and changes == await self._changes()

    def _remember(self, name: str, changes: Changes | None) -> None:
        """Note that there is a workspace; `changes` is from before it was looked for."""
        if len(self._known) > _MOST_REMEMBERED:
            self._known.clear()
        self._known[name] = (time.monotonic(), changes)


def _server() -> Actor:
    from lightrag.tenancy.contracts import Actor as MadeActor

    return MadeActor("server")


async def _stays_busy(engine: Engine) -> bool:
    """Tell whether documents are being worked on; an engine that was just opened first looks whether there are some."""
    until = time.monotonic() + _LOOK_SECONDS
    while (await engine.pipeline_status()).busy:
        if time.monotonic() > until:
            return True
        await asyncio.sleep(0.02)
    return False


async def _has_due_documents(settings: Settings, name: str) -> bool:
    storage = open_storage(StorageNames.of(settings.storage), settings.paths.working_dir, name)
    await storage.open()
    try:
        return await storage.documents.count_due(OPEN) > 0 or bool(await storage.kv(Namespace.STALE).scan(limit=1))
    finally:
        await storage.close()
