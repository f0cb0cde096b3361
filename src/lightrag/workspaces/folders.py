"""Where the data of workspaces lie on this machine."""

from __future__ import annotations

import dataclasses
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from lightrag.errors import Conflict, InvalidInput, StorageDamaged
from lightrag.settings import Settings
from lightrag.storage.registry import family_of_folder, workspace_folder
from lightrag.tenancy.names import check_name
from lightrag.workspaces.folder_lock import FILE_NAME as LOCK_FILE

_REMOVED = ".removed-"


@dataclasses.dataclass(frozen=True, slots=True)
class WorkspaceFolders:
    """The two folders of a workspace."""

    data: Path
    inputs: Path
    is_root: bool = False
    """Whether the folders of other workspaces lie in these."""

    @staticmethod
    def of(settings: Settings, name: str) -> WorkspaceFolders:
        """Return the folders of a workspace, which need not exist. Raises `InvalidInput` for a name that is none."""
        paths = settings.paths
        if not name:
            return WorkspaceFolders(paths.working_dir, paths.input_dir, is_root=True)
        check_name(name)
        if name == settings.indexing.scan_move_to.split("/", 1)[0]:
            raise InvalidInput(f"'{name}' cannot be a workspace: processed files of the root workspace lie there")
        return WorkspaceFolders(workspace_folder(paths.working_dir, name), paths.input_dir / name)

    def hold_data(self) -> bool:
        """Tell whether there is a workspace in the folder. Blocking."""
        return self.data.is_dir() and family_of_folder(self.data) is not None

    def size(self) -> tuple[int, int]:
        """Return the bytes of the databases and of the documents' files. Blocking."""
        databases = [Path(entry.path) for entry in os.scandir(self.data)] if self.data.is_dir() else []
        return _size(iter(databases)), _size(self.input_files())

    def input_files(self) -> Iterator[Path]:
        """Yield the files of the input folder: no links, nothing of other workspaces. Blocking."""
        foreign = {entry.name for entry in os.scandir(self.data) if entry.is_dir()} if self._holds_others else set()
        for folder, below, files in os.walk(self.inputs):
            if foreign and Path(folder) == self.inputs:
                below[:] = [name for name in below if name not in foreign]
            below.sort()
            yield from (Path(folder, name) for name in sorted(files) if _is_plain(Path(folder, name)))

    @property
    def _holds_others(self) -> bool:
        return self.is_root and self.data.is_dir()

    def check_vacant(self) -> None:
        """Raise `Conflict` where something lies in the folders. Blocking."""
        for folder in (self.data, self.inputs):
            if folder.exists() and not _is_vacant(folder):
                raise Conflict(f"'{folder}' is not empty; move what lies there away, or choose another name")

    def vacate(self) -> None:
        """Remove folders in which there is nothing. Blocking."""
        for folder in (self.data, self.inputs):
            if _is_vacant(folder):
                (folder / LOCK_FILE).unlink(missing_ok=True)
                folder.rmdir()

    def remove(self) -> None:
        """Remove both folders. Blocking."""
        for folder in (self.data, self.inputs):
            if folder.exists():
                # First out of the way: a removal that is cut short must not leave half a workspace.
                doomed = folder.with_name(f".{folder.name}{_REMOVED}{secrets.token_hex(4)}")
                folder.rename(doomed)
                shutil.rmtree(doomed, ignore_errors=True)

    def is_moved(self, to: WorkspaceFolders) -> bool:
        """Tell whether one of the folders was moved to its other name. Blocking."""
        pairs = ((self.data, to.data), (self.inputs, to.inputs))
        return any(not old.exists() and new.exists() and not _is_vacant(new) for old, new in pairs)

    def move(self, to: WorkspaceFolders) -> None:
        """Give both folders other names, those that have not got them yet. Raises `Conflict`. Blocking."""
        for old, new in ((self.data, to.data), (self.inputs, to.inputs)):
            if not old.exists():
                continue
            if new.exists():
                if not _is_vacant(new):
                    raise Conflict(f"'{new}' is not empty")
                (new / LOCK_FILE).unlink(missing_ok=True)
                new.rmdir()
            new.parent.mkdir(parents=True, exist_ok=True)
            old.rename(new)


def names_on_disk(settings: Settings) -> list[str]:
    """Return the workspaces that lie in folders of the working directory, without the root one. Blocking."""
    working_dir = settings.paths.working_dir
    if not working_dir.is_dir():
        return []
    names = [entry.name for entry in os.scandir(working_dir) if entry.is_dir() and not entry.name.startswith(".")]
    return sorted(name for name in names if _is_workspace(settings, name))


def remove_remains(settings: Settings) -> None:
    """Remove what removals that were cut short have left. Blocking."""
    for parent in (settings.paths.working_dir, settings.paths.input_dir):
        for folder in parent.glob(f".*{_REMOVED}*"):
            shutil.rmtree(folder, ignore_errors=True)


def _is_workspace(settings: Settings, name: str) -> bool:
    try:
        return WorkspaceFolders.of(settings, name).hold_data()
    except InvalidInput:
        return False
    except StorageDamaged:
        return True


def _is_vacant(folder: Path) -> bool:
    return folder.is_dir() and all(entry.name == LOCK_FILE for entry in os.scandir(folder))


def _is_plain(file: Path) -> bool:
    return file.is_file() and not file.is_symlink()


def _size(files: Iterator[Path]) -> int:
    return sum(file.stat().st_size for file in files if _is_plain(file))
