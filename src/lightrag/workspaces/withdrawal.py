"""Takes whole workspaces out of use while they are moved, removed or imported, and ends what was cut short.

A workspace that is not active names in the control plane who is at it. Its engines are closed in every process: each
has a lock on the folder as long as it uses it, and whoever moves the folder holds that lock alone. Where a process
died in the middle, the next one that comes along looks at the folders and completes the work, or takes it back.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from lightrag.errors import Conflict, LightRAGError, StorageUnavailable
from lightrag.indexing.owner import is_dead, owner_name
from lightrag.workspaces.folder_lock import FolderLock
from lightrag.workspaces.folders import WorkspaceFolders
from lightrag.workspaces.pool import WorkspacePool

if TYPE_CHECKING:
    from lightrag.tenancy.contracts import Actor
    from lightrag.tenancy.control_plane import ControlPlane
    from lightrag.tenancy.directory import Task, Workspace

T = TypeVar("T")
_log = logging.getLogger(__name__)

TASK_SECONDS = 60.0
"""For which a task counts as going on without a sign of life, where its process may live on another machine."""
LET_GO = 10.0
"""Seconds in which other processes close what nobody uses any more."""
TRY_AGAIN = 30.0
"""Seconds between two attempts to end what was cut short."""

IMPORTING, RENAMING, DELETING, RESERVED = "importing", "renaming", "deleting", "reserved"
_DOING = {
    IMPORTING: "being imported",
    RENAMING: "being renamed",
    DELETING: "being removed",
    RESERVED: "being made from another one",
}


class Control(Protocol):
    """The control plane, as far as there is one."""

    async def plane(self) -> ControlPlane:
        """Return it, made where there is none."""
        ...

    async def existing(self) -> ControlPlane | None:
        """Return it where somebody has made one."""
        ...


class Step:
    """What is done with a workspace that is out of use."""

    def __init__(self) -> None:
        self.is_begun = False
        """Set before the folders are touched: from here on, only looking at them tells what there is."""


def out_of_use(workspace: Workspace) -> Conflict:
    """Return the error for a workspace that is not active."""
    doing = _DOING.get(workspace.state, workspace.state)
    return Conflict(f"Workspace '{workspace.name}' is {doing}; try again later")


class Withdrawals:
    """The workspaces that this process takes out of use.

    Args:
        control: The control plane.
        pool: The engines of this process.
        folders_of: Finds the folders of a workspace.
    """

    def __init__(
        self, control: Control, pool: WorkspacePool[Any], folders_of: Callable[[str], WorkspaceFolders]
    ) -> None:
        self._control = control
        self._pool = pool
        self._folders_of = folders_of
        self._owner = owner_name()

    @contextlib.asynccontextmanager
    async def withdrawn(
        self, name: str, state: str, actor: Actor, *, to: str | None = None, is_new: bool = False
    ) -> AsyncIterator[Step]:
        """Take a workspace out of use in all processes for the length of the block.

        The block ends the state itself. Where it fails before it has begun, everything is as before; later, the work
        is completed or taken back by what lies in the folders. Raises `NotFound`, and `Conflict` where the workspace
        stays in use or somebody else is at it.
        """
        plane, task, step = await self._control.plane(), self._task(to), Step()
        if is_new:
            await plane.directory.create(name, actor, state=state, task=task)
        else:
            await plane.directory.withdraw(name, state, task, actor, may_follow=self.is_over)
        try:
            async with (
                self._pool.withdrawn(name),
                self._alone(self._folders_of(name).data),
                self._renewed(plane, name, task),
            ):
                yield step
        except BaseException as error:
            await asyncio.shield(self._give_up(plane, name, task, actor, step, is_new=is_new))
            if isinstance(error, OSError):
                raise StorageUnavailable(f"The folders of workspace '{name}' could not be changed: {error}") from error
            raise

    def is_over(self, task: Task) -> bool:
        """Tell whether nobody is at a task any more."""
        return float(task.get("until", 0)) < time.time() or is_dead(str(task.get("owner", "")))

    async def finish(self, workspace: Workspace, actor: Actor) -> None:
        """End what was cut short in a workspace that is not active. Raises `LightRAGError` where that fails."""
        plane = await self._control.plane()
        if workspace.state == RESERVED:
            await self._free(plane, workspace)
            return
        _log.warning("workspace '%s': %s was cut short; it is ended", workspace.name, workspace.state)
        target = (workspace.task or {}).get("to")
        task = self._task(target)
        await plane.directory.withdraw(workspace.name, workspace.state, task, actor, may_follow=self.is_over)
        old = self._folders_of(workspace.name)
        new = self._folders_of(target) if target else None
        try:
            folder = await asyncio.to_thread(_folder_of_data, old, new)
            async with self._pool.withdrawn(workspace.name), self._alone(folder):
                await self._end(plane, workspace, old, new, actor)
        except (OSError, LightRAGError) as error:
            with contextlib.suppress(LightRAGError):
                await plane.directory.renew(workspace.name, {**task, "owner": "", "until": time.time() + TRY_AGAIN})
            if isinstance(error, OSError):
                raise StorageUnavailable(f"Workspace '{workspace.name}' cannot be tidied up: {error}") from error
            raise

    async def finish_all(self, actor: Actor) -> None:
        """End everything that was cut short."""
        plane = await self._control.existing()
        if plane is None:
            return
        for workspace in await plane.directory.unfinished():
            if self.is_over(workspace.task or {}):
                try:
                    await self.finish(workspace, actor)
                except LightRAGError as error:
                    _log.warning("workspace '%s' stays out of use: %s", workspace.name, error)

    async def _end(
        self,
        plane: ControlPlane,
        workspace: Workspace,
        old: WorkspaceFolders,
        new: WorkspaceFolders | None,
        actor: Actor,
    ) -> None:
        if workspace.state != RENAMING:
            await asyncio.to_thread(old.remove)
            await plane.directory.forget(workspace.name, actor)
        elif new is not None and await asyncio.to_thread(old.is_moved, new):
            await asyncio.to_thread(old.move, new)
            await plane.directory.rename(workspace.name, str((workspace.task or {})["to"]), actor)
        else:
            await plane.directory.restore(workspace.name, actor)

    async def _free(self, plane: ControlPlane, workspace: Workspace) -> None:
        others = await plane.directory.unfinished()
        if not any((other.task or {}).get("to") == workspace.name for other in others if other.state == RENAMING):
            await plane.directory.free(workspace.name)

    async def _give_up(
        self, plane: ControlPlane, name: str, task: Task, actor: Actor, step: Step, *, is_new: bool
    ) -> None:
        try:
            if not step.is_begun and not is_new:
                await plane.directory.restore(name, actor)
                return
            await plane.directory.renew(name, {**task, "until": 0})
            workspace = await plane.directory.get(name)
            if workspace is not None and workspace.state != "active":
                await self.finish(workspace, actor)
        except LightRAGError as error:
            _log.warning("workspace '%s' stays out of use: %s", name, error)

    def _task(self, to: str | None) -> dict[str, Any]:
        task: dict[str, Any] = {"owner": self._owner, "until": time.time() + TASK_SECONDS}
        return task if to is None else {**task, "to": to}

    @contextlib.asynccontextmanager
    async def _alone(self, folder: Path) -> AsyncIterator[None]:
        until = time.monotonic() + LET_GO
        while (lock := await asyncio.to_thread(lambda: FolderLock.take(folder, alone=True))) is None:
            if time.monotonic() > until:
                raise Conflict(
                    f"Workspace '{folder.name}' is in use by another process; try again when its requests and jobs are "
                    "done"
                )
            await asyncio.sleep(0.1)
        try:
            yield
        finally:
            lock.release()

    @contextlib.asynccontextmanager
    async def _renewed(self, plane: ControlPlane, name: str, task: dict[str, Any]) -> AsyncIterator[None]:
        async def renew() -> None:
            while True:
                await asyncio.sleep(TASK_SECONDS / 3)
                with contextlib.suppress(LightRAGError):
                    await plane.directory.renew(name, {**task, "until": time.time() + TASK_SECONDS})

        renewing = asyncio.create_task(renew(), name=f"renew-{name}")
        try:
            yield
        finally:
            renewing.cancel()
            await asyncio.gather(renewing, return_exceptions=True)


def _folder_of_data(old: WorkspaceFolders, new: WorkspaceFolders | None) -> Path:
    """Return where the data of a workspace lie, which may have been moved already. Blocking."""
    if new is not None and not old.data.exists() and new.data.exists():
        return new.data
    return old.data


class Jobs:
    """Work that goes on to its end, whoever waits for it."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Return what the work returns; who is cancelled meanwhile leaves it running."""
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return await asyncio.shield(task)

    async def close(self) -> None:
        """Wait for everything that runs."""
        await asyncio.gather(*self._running, return_exceptions=True)
