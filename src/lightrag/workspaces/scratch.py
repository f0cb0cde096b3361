"""Folders for archives while they are sent or read, among the machine's temporary files.

What a killed process leaves there is a tenant's whole data, which nobody asks for any more: the next start removes it.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Literal

from lightrag.workspaces.folder_lock import FolderLock

_PREFIX = "lightrag-{kind}-"
_KINDS: tuple[Literal["export", "import"], ...] = ("export", "import")
_NEW_SECONDS = 60.0
"""For which a folder that nobody has locked may be one that is being made."""


class Scratch:
    """A folder that is there until `remove`, or until its process is dead and another one starts. Blocking."""

    def __init__(self, kind: Literal["export", "import"]) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix=_PREFIX.format(kind=kind)))
        self._lock = FolderLock.take(self.folder, alone=True)

    def remove(self) -> None:
        """Remove the folder with what lies in it."""
        shutil.rmtree(self.folder, ignore_errors=True)
        if self._lock is not None:
            self._lock.release()


def remove_lost() -> int:
    """Remove the folders of processes that are dead; return how many. Blocking."""
    removed = 0
    for kind in _KINDS:
        for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX.format(kind=kind)}*"):
            if not _is_ours(folder):
                continue
            lock = FolderLock.take(folder, alone=True)
            if lock is not None:
                shutil.rmtree(folder, ignore_errors=True)
                lock.release()
                removed += 1
    return removed


def _is_ours(folder: Path) -> bool:
    """Tell whether a folder is this user's, and no longer being made: anybody may put names among temporary files."""
    try:
        facts = folder.lstat()
    except OSError:
        return False
    is_mine = not hasattr(os, "getuid") or facts.st_uid == os.getuid()
    is_folder = folder.is_dir() and not folder.is_symlink()
    return is_mine and is_folder and time.time() - facts.st_mtime > _NEW_SECONDS
