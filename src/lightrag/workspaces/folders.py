"""Where the data of workspaces lie on this machine."""

from __future__ import annotations

import dataclasses
import os
import shutil
from pathlib import Path

from lightrag.errors import InvalidInput, StorageDamaged
from lightrag.settings import Settings
from lightrag.storage.registry import family_of_folder, workspace_folder
from lightrag.tenancy.names import check_name


@dataclasses.dataclass(frozen=True, slots=True)
class WorkspaceFolders:
    """The two folders of a workspace."""

    data: Path
    inputs: Path

    @staticmethod
    def of(settings: Settings, name: str) -> WorkspaceFolders:
        """Return the folders of a workspace, which need not exist. Raises `InvalidInput` for a name that is none."""
        if name:
            check_name(name)
        paths = settings.paths
        return WorkspaceFolders(
            workspace_folder(paths.working_dir, name), paths.input_dir / name if name else paths.input_dir
        )

    def hold_data(self) -> bool:
        """Tell whether there is a workspace in the folder. Blocking."""
        return self.data.is_dir() and family_of_folder(self.data) is not None

    def size(self) -> tuple[int, int]:
        """Return the bytes of the databases and of the documents' files. Blocking."""
        return _size(self.data, is_deep=False), _size(self.inputs, is_deep=True)

    def remove(self) -> None:
        """Remove both folders. Blocking."""
        for folder in (self.data, self.inputs):
            if folder.exists():
                # First out of the way: a removal that is cut short must not leave half a workspace.
                doomed = folder.with_name(f".{folder.name}.removed-{os.getpid()}")
                folder.rename(doomed)
                shutil.rmtree(doomed, ignore_errors=True)

    def move(self, to: WorkspaceFolders) -> None:
        """Give both folders other names. Blocking."""
        for old, new in ((self.data, to.data), (self.inputs, to.inputs)):
            if old.exists():
                new.parent.mkdir(parents=True, exist_ok=True)
                old.rename(new)


def names_on_disk(settings: Settings) -> list[str]:
    """Return the workspaces that lie in folders of the working directory, without the root one. Blocking."""
    working_dir = settings.paths.working_dir
    if not working_dir.is_dir():
        return []
    names = [entry.name for entry in os.scandir(working_dir) if entry.is_dir() and not entry.name.startswith(".")]
    return sorted(name for name in names if _is_workspace(settings, name))


def _is_workspace(settings: Settings, name: str) -> bool:
    try:
        return WorkspaceFolders.of(settings, name).hold_data()
    except InvalidInput:
        return False
    except StorageDamaged:
        return True


def _size(folder: Path, *, is_deep: bool) -> int:
    if not folder.is_dir():
        return 0
    total = 0
    for entry in folder.rglob("*") if is_deep else folder.iterdir():
        if entry.is_file() and not entry.is_symlink():
            total += entry.stat().st_size
    return total
