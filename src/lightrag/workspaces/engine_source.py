"""Opens the engines of one process: what they share, and the locks on the folders that they use."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from lightrag.errors import Conflict, NotFound
from lightrag.settings import Settings
from lightrag.workspaces.folder_lock import FolderLock
from lightrag.workspaces.folders import WorkspaceFolders
from lightrag.workspaces.model_services import ServiceDoor
from lightrag.workspaces.withdrawal import Control, out_of_use

if TYPE_CHECKING:
    from lightrag.engine import Engine
    from lightrag.engine_models import Bundled, Models
    from lightrag.indexing.manifest import Manifest
    from lightrag.storage.contracts import Storage

OpenEngine = Callable[[Settings, str], "Awaitable[Engine]"]
"""Makes the engine of a workspace, not started."""


class EngineSource:
    """Makes engines for a pool.

    Args:
        settings: Of the server.
        control: The control plane.
        open_engine: Makes an engine, not started; None for one whose models follow the control plane.
        starts_engines: Whether engines work off what waits.
    """

    def __init__(
        self, settings: Settings, control: Control, open_engine: OpenEngine | None, *, starts_engines: bool
    ) -> None:
        self._settings = settings
        self._control = control
        self._make_engine = open_engine or self._assemble
        self._starts_engines = starts_engines
        self.models = ServiceDoor(settings, control)
        """What the engines share of the control plane's models."""
        self._locks: dict[str, FolderLock] = {}
        self._empty: asyncio.Task[Engine] | None = None
        self._bundled: Bundled | None = None

    async def close(self) -> None:
        """Release what the engines shared; they are closed already."""
        if self._empty is not None:
            self._empty.cancel()
            [engine] = await asyncio.gather(self._empty, return_exceptions=True)
            if not isinstance(engine, BaseException):
                await engine.close()
        if self._bundled is not None:
            await self._bundled.aclose()
        await self.models.close()

    async def open(self, name: str) -> Engine:
        """Return the engine of a workspace, started. Raises `LightRAGError`."""
        if name:
            await self._lock(name)
        engine = await self._make_engine(self._settings, name)
        if self._starts_engines:
            await engine.start()
        return engine

    async def _lock(self, name: str) -> None:
        """Note that this process uses the workspace, so that nobody moves it away. Raises `Conflict`, `NotFound`."""
        folders = WorkspaceFolders.of(self._settings, name)
        lock = await asyncio.to_thread(lambda: FolderLock.take(folders.data, alone=False))
        if lock is None:
            raise Conflict(f"Workspace '{name}' is being removed or renamed; try again later")
        self._locks[name] = lock
        plane = await self._control.existing()
        entry = await plane.directory.get(name) if plane is not None else None
        # Only now is it certain that what the control plane says will hold.
        if entry is not None and entry.state != "active":
            raise out_of_use(entry)
        is_entered = plane is None or entry is not None or name == self._settings.paths.workspace
        if not is_entered and not await asyncio.to_thread(folders.hold_data):
            await asyncio.to_thread(folders.vacate)
            raise NotFound(f"There is no workspace '{name}' any more")

    def note_closed(self, name: str) -> None:
        """Let others move the folder of a workspace whose engine is closed."""
        lock = self._locks.pop(name, None)
        if lock is not None:
            lock.release()

    async def _assemble(self, settings: Settings, name: str) -> Engine:
        from lightrag.assembly import open_engine
        from lightrag.workspaces.live_models import open_live_models

        bundled = self._shared()

        async def models(settings: Settings, storage: Storage, recorded: Manifest | None) -> Models:
            return await open_live_models(settings, storage, recorded, self.models, bundled)

        return await open_engine(settings, name, models=models, tokenizer=bundled.tokenizer)

    def _shared(self) -> Bundled:
        """Return what the engines of this process share."""
        from lightrag.engine_models import Bundled as Shared

        if self._bundled is None:
            self._bundled = Shared()
        return self._bundled

    async def nothing(self) -> Engine:
        """Return the engine that stands in for workspaces that do not exist; it cannot be written to."""
        if self._empty is None or (self._empty.done() and self._empty.exception() is not None):
            self._empty = asyncio.create_task(self._open_empty(), name="open-nothing")
        return await asyncio.shield(self._empty)

    async def _open_empty(self) -> Engine:
        from lightrag.assembly import open_empty_engine

        return await open_empty_engine(self._settings, self._shared())
