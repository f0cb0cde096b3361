"""Whole workspaces are moved and removed by one process at a time, and what a killed one began is ended by the next."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from lightrag.cli.local_models import PresentControl
from lightrag.errors import Conflict, LightRAGError, NotFound, StorageUnavailable
from lightrag.settings import Settings, load_settings
from lightrag.tenancy.audit import Actor
from lightrag.tenancy.control_plane import ControlPlane, open_control_plane
from lightrag.tenancy.database import ControlDatabase
from lightrag.workspaces.folder_lock import FolderLock
from lightrag.workspaces.folders import WorkspaceFolders
from lightrag.workspaces.tenants import Tenants

ACTOR = Actor("test")
DEAD = {"owner": "", "until": 0}
Site = Callable[..., AbstractAsyncContextManager[Tenants]]


class Engine:
    """An engine whose data are one file."""

    def __init__(self, settings: Settings, workspace: str) -> None:
        self.workspace = workspace
        folders = WorkspaceFolders.of(settings, workspace)
        for folder in (folders.data, folders.inputs):
            folder.mkdir(parents=True, exist_ok=True)
        with (folders.data / "lightrag.sqlite3").open("a") as file:
            file.write("opened\n")
        (folders.inputs / "a.txt").write_text("of " + workspace)
        self.closed = False

    async def start(self) -> None:
        """Begin nothing."""

    def is_working(self) -> bool:
        """Do nothing."""
        return False

    async def close(self) -> None:
        """Note it."""
        self.closed = True


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Those of a server without a default workspace."""
    return load_settings(None, {"LIGHTRAG_ALLOW_DEFAULT_WORKSPACE": "false"}, tmp_path)


@pytest.fixture
async def plane(settings: Settings) -> AsyncIterator[ControlPlane]:
    """The control plane, which the processes share."""
    plane = await open_control_plane(settings)
    yield plane
    await plane.close()


@pytest.fixture
def process(settings: Settings, plane: ControlPlane) -> Site:
    """Make what one server process has of the workspaces."""

    @contextlib.asynccontextmanager
    async def made(**patched: float) -> AsyncIterator[Tenants]:
        async def opened(settings: Settings, name: str) -> Any:
            return Engine(settings, name)

        tenants = Tenants(settings, PresentControl(plane), opened)
        try:
            yield tenants
        finally:
            await tenants.close()

    return made


async def use(tenants: Tenants, name: str) -> Any:
    """Hold an engine for a moment."""
    async with tenants.lease(name, creates=True) as engine:
        return engine


def places(settings: Settings, name: str) -> WorkspaceFolders:
    """Return the folders of a workspace."""
    return WorkspaceFolders.of(settings, name)


async def cut_short(plane: ControlPlane, name: str, state: str, to: str | None = None) -> None:
    """Leave a workspace as a process does that is killed in the middle."""
    task = DEAD if to is None else DEAD | {"to": to}
    await plane.directory.withdraw(name, state, task, ACTOR, may_follow=lambda _task: False)


async def test_a_workspace_that_is_open_in_another_process_is_let_go_there_and_removed(
    process: Site, settings: Settings
) -> None:
    async with process() as one, process() as other:
        await other.start()
        held = await use(other, "a")
        await one.delete("a", ACTOR)
        assert held.closed
        assert not places(settings, "a").data.exists()
        assert not places(settings, "a").inputs.exists()


async def test_what_somebody_uses_in_another_process_is_not_removed(
    process: Site, settings: Settings, plane: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lightrag.workspaces.withdrawal.LET_GO", 0.3)
    async with process() as one, process() as other:
        await other.start()
        async with other.lease("a", creates=True):
            with pytest.raises(Conflict, match="in use by another process"):
                await one.delete("a", ACTOR)
            assert (places(settings, "a").inputs / "a.txt").exists()
        assert await use(other, "a")
        entry = await plane.directory.get("a")
        assert entry is not None
        assert entry.state == "active"


async def test_a_workspace_that_is_being_renamed_is_closed_to_all(
    process: Site, settings: Settings, plane: ControlPlane
) -> None:
    async with process() as one, process() as other:
        await use(one, "a")
        await one.create("b", ACTOR)
        task = {"owner": "elsewhere:1:x", "until": time.time() + 60, "to": "c"}
        await plane.directory.withdraw("a", "renaming", task, ACTOR, may_follow=lambda _task: False)
        for name in ("a", "c"):
            with pytest.raises(Conflict, match="try again later"):
                await use(other, name)
        with pytest.raises(Conflict):
            await other.delete("a", ACTOR)
        with pytest.raises(Conflict):
            await other.create("c", ACTOR)
        with pytest.raises(Conflict):
            await other.rename("b", "c", ACTOR)
        assert (places(settings, "a").inputs / "a.txt").exists()


async def test_two_removals_at_once_remove_once(process: Site, settings: Settings) -> None:
    async with process() as one, process() as other:
        await use(one, "a")
        results = await asyncio.gather(
            one.delete("a", ACTOR), other.delete("a", ACTOR), one.delete("a", ACTOR), return_exceptions=True
        )
        assert [result for result in results if result is None]
        assert all(isinstance(result, Conflict | NotFound) for result in results if result is not None)
        assert not places(settings, "a").data.exists()


@pytest.mark.parametrize("gone", ["nothing", "data", "all"])
async def test_a_removal_that_was_cut_short_is_completed_by_the_next_start(
    process: Site, settings: Settings, plane: ControlPlane, gone: str
) -> None:
    async with process() as one:
        await use(one, "a")
    await cut_short(plane, "a", "deleting")
    folders = places(settings, "a")
    if gone == "data":
        folders.data.rename(folders.data.with_name(".a.removed-00"))
    elif gone == "all":
        folders.remove()
    async with process() as other:
        await other.start()
        async with asyncio.timeout(60):
            while await plane.directory.get("a") is not None:
                await asyncio.sleep(0.01)
        assert not folders.data.exists()
        assert not folders.inputs.exists()
        assert not list(settings.paths.working_dir.glob(".*.removed-*"))


@pytest.mark.parametrize("moved", ["nothing", "data", "all"])
async def test_a_renaming_that_was_cut_short_is_completed_or_taken_back(
    process: Site, settings: Settings, plane: ControlPlane, moved: str
) -> None:
    async with process() as one:
        await use(one, "a")
    await cut_short(plane, "a", "renaming", "b")
    old, new = places(settings, "a"), places(settings, "b")
    if moved in ("data", "all"):
        old.data.rename(new.data)
    if moved == "all":
        old.inputs.rename(new.inputs)
    async with process() as other:
        name, gone = ("a", "b") if moved == "nothing" else ("b", "a")
        assert await other.exists("a") is (name == "a")
        assert await other.exists("b") is (name == "b")
        assert (places(settings, name).inputs / "a.txt").read_text() == "of a"
        assert (places(settings, name).data / "lightrag.sqlite3").read_text() == "opened\n"
        assert not places(settings, gone).data.exists()
        entry = await plane.directory.get(name)
        assert entry is not None
        assert entry.state == "active"
        assert entry.task is None
        assert await plane.directory.get(gone) is None


async def test_an_import_that_was_cut_short_leaves_nothing(
    process: Site, settings: Settings, plane: ControlPlane
) -> None:
    await plane.directory.create("a", ACTOR, state="importing", task=DEAD)
    Engine(settings, "a")
    async with process() as one:
        assert not await one.exists("a")
        assert not places(settings, "a").data.exists()
        assert await plane.directory.get("a") is None
        await one.create("a", ACTOR)


async def test_a_name_that_was_reserved_for_nobody_is_given_up(process: Site, plane: ControlPlane) -> None:
    await plane.directory.create("b", ACTOR, state="reserved", task=DEAD | {"to": "b"})
    async with process() as one:
        assert not await one.exists("b")
        await one.create("b", ACTOR)


async def test_what_a_living_process_is_at_is_left_to_it(process: Site, plane: ControlPlane) -> None:
    async with process() as one:
        await one.create("a", ACTOR)
        task = {"owner": "elsewhere:1:x", "until": time.time() + 60}
        await plane.directory.withdraw("a", "deleting", task, ACTOR, may_follow=lambda _task: False)
        with pytest.raises(Conflict, match="being removed"):
            await one.exists("a")


async def test_a_renaming_that_fails_leaves_the_workspace_as_it_was(
    process: Site, settings: Settings, plane: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with process() as one:
        await use(one, "a")

        def broken(self: WorkspaceFolders, to: WorkspaceFolders) -> None:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patched:
            patched.setattr(WorkspaceFolders, "move", broken)
            with pytest.raises(StorageUnavailable, match="No space left"):
                await one.rename("a", "b", ACTOR)
        assert await one.exists("a")
        assert not await one.exists("b")
        await one.rename("a", "b", ACTOR)
        assert (places(settings, "b").inputs / "a.txt").exists()


async def test_a_removal_that_fails_stays_out_of_use_and_is_tried_again(
    process: Site, settings: Settings, plane: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lightrag.workspaces.withdrawal.TRY_AGAIN", 0.0)
    async with process() as one:
        await use(one, "a")

        def broken(self: WorkspaceFolders) -> None:
            raise PermissionError(13, "Permission denied")

        with monkeypatch.context() as patched:
            patched.setattr(WorkspaceFolders, "remove", broken)
            with pytest.raises(StorageUnavailable, match="Permission denied"):
                await one.delete("a", ACTOR)
            with pytest.raises(LightRAGError):
                await use(one, "a")
        assert not await one.exists("a")
        assert not places(settings, "a").data.exists()


async def test_other_files_in_the_way_of_a_new_name_are_left_alone(process: Site, settings: Settings) -> None:
    async with process() as one:
        await use(one, "a")
        stray = settings.paths.input_dir / "b" / "somebody's.txt"
        stray.parent.mkdir(parents=True)
        stray.write_text("mine")
        with pytest.raises(Conflict, match="not empty"):
            await one.rename("a", "b", ACTOR)
        archive = settings.paths.working_dir / "x.tar.gz"
        archive.write_bytes(b"no archive")
        with pytest.raises(Conflict, match="not empty"):
            await one.import_archive("b", archive, ACTOR)
        assert stray.read_text() == "mine"
        assert await use(one, "a")


async def test_a_workspace_that_another_process_removed_and_made_anew_is_opened_anew(
    process: Site, settings: Settings
) -> None:
    async with process() as one, process() as other:
        await other.start()
        first = await use(other, "a")
        await one.delete("a", ACTOR)
        await one.create("a", ACTOR)
        again = await use(other, "a")
        assert first.closed
        assert again is not first
        assert (places(settings, "a").data / "lightrag.sqlite3").read_text() == "opened\n"


async def test_who_has_not_heard_of_the_removal_of_a_workspace_does_not_bring_it_back(
    process: Site, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ControlDatabase, "changes", (0, b""))
    async with process() as one, process() as other:
        await other.create("a", ACTOR)
        assert await other.exists("a")
        await one.delete("a", ACTOR)
        with pytest.raises(NotFound):
            await use(other, "a")
        assert not places(settings, "a").data.exists()


def test_a_folder_is_used_by_many_or_by_one_alone(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    one, two = FolderLock.take(folder, alone=False), FolderLock.take(folder, alone=False)
    assert one is not None
    assert two is not None
    assert FolderLock.take(folder, alone=True) is None
    one.release()
    two.release()
    alone = FolderLock.take(folder, alone=True)
    assert alone is not None
    assert FolderLock.take(folder, alone=False) is None
    alone.release()
    alone.release()
    assert FolderLock.take(folder, alone=False) is not None
