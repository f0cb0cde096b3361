"""Which processes have a workspace open: shared by those who use it, alone for who moves or removes it.

The lock is the operating system's on a file of the workspace's folder, so that a killed process holds none. Where
there are no such locks, nobody is kept apart.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Self

try:
    import fcntl
except ModuleNotFoundError:  # pragma: no cover - not a POSIX system
    fcntl = None  # type: ignore[assignment]

FILE_NAME = ".in-use"


class FolderLock:
    """A lock that is held until `release`."""

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor

    @classmethod
    def take(cls, folder: Path, *, alone: bool) -> Self | None:
        """Return the lock, or None where others hold it in a way that excludes this. Blocking, but not for others.

        The folder is made where it is missing.
        """
        if fcntl is None:
            return cls(None)
        path = folder / FILE_NAME
        while True:
            folder.mkdir(parents=True, exist_ok=True)
            try:
                descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            except FileNotFoundError:
                # The folder was removed in between.
                continue
            try:
                fcntl.flock(descriptor, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
                if _is_at(descriptor, path):
                    return cls(descriptor)
            except BlockingIOError:
                os.close(descriptor)
                return None
            except BaseException:
                os.close(descriptor)
                raise
            # Whoever held it has moved or removed the folder.
            os.close(descriptor)

    def release(self) -> None:
        """Give the lock back. May be called more than once."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
