"""The lock by which one process owns a folder."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from lightrag.errors import ConfigurationError, StorageUnavailable

LOCK_FILE = "lock"


class FolderLock:
    """Held from `acquire` to `release`, at most until the process ends."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / LOCK_FILE
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock; raises `StorageUnavailable` where another process or storage holds it."""
        try:
            import fcntl
        except ModuleNotFoundError as error:
            raise ConfigurationError(
                "the storages in LightRAG's files need a POSIX system; use the SQLite storages here"
            ) from error
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            owner = os.read(descriptor, 32).decode(errors="replace").strip()
            os.close(descriptor)
            raise StorageUnavailable(
                f"{self._path.parent.parent}: in use by another process{f' ({owner})' if owner else ''}. Only one may"
                " have a workspace in LightRAG's files open: ask the running server (--url), stop it, or move the"
                " workspace to SQLite with: lightrag migrate --from files --to sqlite"
            ) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"pid {os.getpid()}".encode(), 0)
        self._descriptor = descriptor

    def release(self) -> None:
        """Give the lock back. May be called more than once."""
        if self._descriptor is not None:
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = None
