"""All workspaces of a process: which there are, their engines, and what can be done with a whole one."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from lightrag.errors import Conflict, InvalidInput, LightRAGError, NotFound
from lightrag.settings import Settings
from lightrag.storage.registry import StorageNames
from lightrag.tenancy.contracts import Caller, calling_as
from lightrag.tenancy.names import check_name
from lightrag.workspaces.folders import WorkspaceFolders, names_on_disk
from lightrag.workspaces.model_services import ServiceDoor
from lightrag.workspaces.pool import PoolEntry, WorkspacePool

if TYPE_CHECKING:
    from lightrag.engine import Engine
    from lightrag.indexing.manifest import Manifest
    from lightrag.model_assembly import Models
    from lightrag.storage.contracts import Storage
    from lightrag.tenancy.audit import Actor
    from lightrag.tenancy.control_plane import ControlPlane
    from lightrag.tenancy.directory import Workspace
    from lightrag.workspaces.archive import ArchiveFacts

_log = logging.getLogger(__name__)

OpenEngine = Callable[[Settings, str], "Awaitable[Engine]"]
"""Makes the engine of a workspace, not started."""

REMEMBERED = 2.0
"""Seconds for which it is remembered that a workspace exists; so long others may go on with one that is removed."""
_RESUMED_AT_ONCE = 2


class Control(Protocol):
    """The control plane, as far as there is one."""

    async def plane(self) -> ControlPlane:
        """Return it, made where there is none."""
        ...

    async def existing(self) -> ControlPlane | None:
        """Return it where somebody has made one."""
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class Description:
    """A workspace as a whole."""

    name: str
    is_default: bool
    description: str
    labels: Mapping[str, Any]
    state: str
    created_at: int | None
    documents: Mapping[str, int]
    entities: int
    relations: int
    database_bytes: int
    input_bytes: int
    is_open: bool


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
        self._make_engine = open_engine or self._assemble
        self.models = ServiceDoor(settings, control)
        """What the engines share of the control plane's models."""
        self._starts_engines = starts_engines
        self._known: dict[str, float] = {}
        self._empty: asyncio.Task[Engine] | None = None
        self._resuming: asyncio.Task[None] | None = None
        self.pool: WorkspacePool[Engine] = WorkspacePool(self._open, settings.tenancy.max_workspaces_in_pool)

    @property
    def default(self) -> str:
        """Name of the default workspace."""
        return self._settings.paths.workspace

    async def start(self) -> Engine | None:
        """Open the default workspace, where requests may go without naming one, and go on with what was begun."""
        engine = None
        if self._settings.tenancy.allow_default_workspace:
            engine = await self.pool.pin(self.default)
        self._resuming = asyncio.create_task(self._resume(), name="resume-workspaces")
        return engine

    async def close(self) -> None:
        """Close all engines."""
        if self._resuming is not None:
            self._resuming.cancel()
            await asyncio.gather(self._resuming, return_exceptions=True)
        await self.pool.close()
        if self._empty is not None:
            self._empty.cancel()
            [engine] = await asyncio.gather(self._empty, return_exceptions=True)
            if not isinstance(engine, BaseException):
                await engine.close()
        await self.models.close()

    @contextlib.asynccontextmanager
    async def lease(self, name: str, *, creates: bool) -> AsyncIterator[Engine]:
        """Hold the engine of a workspace.

        One that does not exist is created with `creates`; else an engine stands in for it that holds nothing. Raises
        `NotFound` where workspaces are created by administrators only, `Conflict` for one that is being removed,
        `StorageUnavailable` where it cannot be opened.
        """
        if not self._is_remembered(name) and not await self.exists(name):
            if not self._settings.tenancy.create_on_use:
                raise NotFound(f"There is no workspace '{name}'; create it first: lightrag workspace create {name}")
            if not creates:
                yield await self._nothing()
                return
            await self._register(name)
        async with self.pool.lease(name) as engine:
            yield engine

    async def exists(self, name: str) -> bool:
        """Tell whether there is such a workspace. Raises `Conflict` for one that is being removed or renamed."""
        plane = await self._control.existing()
        entry = await plane.directory.get(name) if plane is not None else None
        if entry is not None and entry.state != "active":
            self._known.pop(name, None)
            raise Conflict(f"Workspace '{name}' is being removed or renamed; try again later")
        found = entry is not None or name == self.default
        found = found or await asyncio.to_thread(WorkspaceFolders.of(self._settings, name).hold_data)
        if not found and plane is None:
            # It is being created, which nobody but the control plane could take back.
            found = self.pool.is_known(name)
        if found:
            self._remember(name)
            return True
        self._known.pop(name, None)
        if self.pool.peek(name) is not None:
            # Removed by another process.
            await self.pool.evict(name, patience=0)
        return False

    async def create(
        self, name: str, actor: Actor, *, description: str = "", labels: Mapping[str, Any] | None = None
    ) -> Workspace:
        """Create a workspace. Raises `InvalidInput`, `Conflict` where there is one of this name."""
        check_name(name)
        plane = await self._control.plane()
        if await asyncio.to_thread(WorkspaceFolders.of(self._settings, name).hold_data):
            if await plane.directory.get(name) is not None:
                raise Conflict(f"Workspace '{name}' exists already")
            _log.info("workspace '%s' lies in the working directory and is entered in the control plane", name)
        return await plane.directory.create(name, actor, description=description, labels=labels)

    async def names(self) -> list[str]:
        """Return the names of all workspaces, the root one first."""
        plane = await self._control.existing()
        listed = [entry.name for entry in await plane.directory.list()] if plane is not None else []
        on_disk = await asyncio.to_thread(names_on_disk, self._settings)
        return sorted({self.default, *listed, *on_disk})

    async def describe(self, name: str) -> Description:
        """Return what there is in a workspace. Raises `NotFound`."""
        if not await self.exists(name):
            raise NotFound(f"There is no workspace '{name}'")
        plane = await self._control.existing()
        entry = await plane.directory.get(name) if plane is not None else None
        database, inputs = await asyncio.to_thread(WorkspaceFolders.of(self._settings, name).size)
        was_open = self.pool.peek(name) is not None
        async with self.pool.lease(name) as engine:
            counts = await engine.status_counts()
            entities, relations = await engine.graph_size()
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
        )

    async def rename(self, name: str, new_name: str, actor: Actor) -> None:
        """Give a workspace another name; it is closed meanwhile. Raises `NotFound`, `Conflict`, `InvalidInput`."""
        check_name(new_name)
        self._check_removable(name)
        plane = await self._control.plane()
        await self._existing(name)
        if await self.exists(new_name):
            raise Conflict(f"Workspace '{new_name}' exists already")
        await plane.directory.ensure(name, actor)
        async with self._withdrawn(name, "renaming", actor):
            old, new = (WorkspaceFolders.of(self._settings, each) for each in (name, new_name))
            await asyncio.to_thread(old.move, new)
            await plane.directory.rename(name, new_name, actor)
        await plane.directory.set_state(new_name, "active", actor)

    async def delete(self, name: str, actor: Actor) -> None:
        """Remove a workspace with its documents, graph, files, keys, models, usage and rights, for good."""
        self._check_removable(name)
        plane = await self._control.plane()
        try:
            await self._existing(name)
        except Conflict:
            # A removal that was cut short is taken up again.
            _log.info("removing workspace '%s', which was begun before", name)
        await plane.directory.ensure(name, actor)
        async with self._withdrawn(name, "deleting", actor):
            await asyncio.to_thread(WorkspaceFolders.of(self._settings, name).remove)
            await plane.directory.forget(name, actor)

    async def export(self, name: str, target: Path) -> ArchiveFacts:
        """Write a workspace into one file. Raises `Conflict` while documents are worked on."""
        from lightrag.workspaces.archive import write_archive

        await self._existing(name)
        async with self.pool.lease(name) as engine:
            if (await engine.pipeline_status()).busy:
                raise Conflict("Documents are being worked on; export the workspace when that is done")
            return await engine.copy_out(
                lambda storage: write_archive(storage, WorkspaceFolders.of(self._settings, name), target)
            )

    async def import_archive(self, name: str, source: Path, actor: Actor) -> ArchiveFacts:
        """Make a new workspace from such a file. Raises `Conflict` where the name is taken, `InvalidInput`."""
        from lightrag.workspaces.archive import read_archive

        check_name(name)
        if await self.exists(name):
            raise Conflict(f"Workspace '{name}' exists already; import under another name")
        plane = await self._control.plane()
        await plane.directory.create(name, actor)
        wanted = self._settings.storage
        names = StorageNames(wanted.kv, wanted.vector, wanted.graph, wanted.doc_status)
        try:
            async with self._withdrawn(name, "importing", actor):
                facts = await read_archive(source, WorkspaceFolders.of(self._settings, name), names)
        except BaseException:
            await asyncio.shield(plane.directory.forget(name, actor))
            raise
        await plane.directory.set_state(name, "active", actor)
        return facts

    def open_engines(self) -> list[Engine]:
        """Return the engines that are open in this process, by name."""
        found = (self.pool.peek(entry.workspace) for entry in self.pool.snapshot())
        return sorted((engine for engine in found if engine is not None), key=lambda engine: engine.workspace)

    def snapshot(self) -> list[PoolEntry]:
        """Return the engines that are open in this process."""
        return self.pool.snapshot()

    async def _open(self, name: str) -> Engine:
        engine = await self._make_engine(self._settings, name)
        if self._starts_engines:
            # What is done in the background is not done for whoever happened to ask first.
            with calling_as(Caller()):
                await engine.start()
        return engine

    async def _assemble(self, settings: Settings, name: str) -> Engine:
        from lightrag.assembly import open_engine
        from lightrag.workspaces.live_models import open_live_models

        async def models(settings: Settings, storage: Storage, recorded: Manifest | None) -> Models:
            return await open_live_models(settings, storage, recorded, self.models)

        return await open_engine(settings, name, models=models)

    async def _nothing(self) -> Engine:
        """Return the engine that stands in for workspaces that do not exist; it cannot be written to."""
        if self._empty is None or (self._empty.done() and self._empty.exception() is not None):
            self._empty = asyncio.create_task(self._open_empty(), name="open-nothing")
        return await asyncio.shield(self._empty)

    async def _open_empty(self) -> Engine:
        from lightrag.assembly import open_empty_engine

        return await open_empty_engine(self._settings)

    async def _register(self, name: str) -> None:
        """Enter a workspace that is created by its first use, where a control plane is kept at all."""
        from lightrag.tenancy.audit import Actor as MadeActor

        plane = await self._control.existing()
        if plane is not None:
            await plane.directory.ensure(name, MadeActor("server"))
        self._remember(name)

    async def _existing(self, name: str) -> None:
        if not await self.exists(name):
            raise NotFound(f"There is no workspace '{name}'")

    def _check_removable(self, name: str) -> None:
        if not name or name == self.default:
            raise InvalidInput(
                "The default workspace cannot be removed or renamed; clear it with DELETE /documents, or start the "
                "server with another WORKSPACE"
            )

    @contextlib.asynccontextmanager
    async def _withdrawn(self, name: str, state: str, actor: Actor) -> AsyncIterator[None]:
        """Take a workspace out of use in all processes for the length of the block; on failure it comes back."""
        plane = await self._control.plane()
        await plane.directory.set_state(name, state, actor)
        self._known.pop(name, None)
        try:
            if not await self.pool.evict(name):
                raise Conflict(f"Workspace '{name}' is in use; try again when its requests and jobs are done")
            # Other processes notice within the time for which they remember that it exists.
            await asyncio.sleep(REMEMBERED if self._settings.server.workers > 1 else 0)
            yield
        except BaseException:
            with contextlib.suppress(LightRAGError):
                await asyncio.shield(plane.directory.set_state(name, "active", actor))
            raise

    async def _resume(self) -> None:
        """Open the workspaces in which documents wait, so that nothing that was accepted lies until somebody asks."""
        gate = asyncio.Semaphore(_RESUMED_AT_ONCE)

        async def resume(name: str) -> None:
            async with gate:
                try:
                    if await self.exists(name):
                        async with self.pool.lease(name) as engine:
                            await engine.wait_until_idle()
                except LightRAGError as error:
                    _log.warning("workspace '%s' was not opened to go on with its documents: %s", name, error)

        names = [name for name in await self.names() if name != self.default]
        await asyncio.gather(*(resume(name) for name in names))

    def _is_remembered(self, name: str) -> bool:
        return time.monotonic() - self._known.get(name, -REMEMBERED) < REMEMBERED

    def _remember(self, name: str) -> None:
        if len(self._known) > 100_000:
            self._known.clear()
        self._known[name] = time.monotonic()
