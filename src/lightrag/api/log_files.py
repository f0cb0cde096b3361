"""A rotating log file that several processes write to."""

from __future__ import annotations

import contextlib
import logging
import logging.handlers
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

try:
    import fcntl
except ImportError:  # pragma: no cover - not a POSIX system, where there is one process
    fcntl = None  # type: ignore[assignment]


class SharedRotatingFile(logging.handlers.RotatingFileHandler):
    """Rotates like its base, with any number of processes on the same file: one line, one rotation at a time.

    Each line is written under a lock; a file that another process (or logrotate) has moved away is opened anew before.
    Make one in each process: a lock that was inherited by a fork excludes nobody.
    """

    def __init__(self, path: Path, *, max_bytes: int, backups: int) -> None:
        self._lock_file: IO[bytes] | None = None
        super().__init__(path, maxBytes=max_bytes, backupCount=backups, encoding="utf-8")
        if fcntl is not None:
            self._lock_file = Path(f"{self.baseFilename}.lock").open("ab")  # noqa: SIM115 - closed with the handler

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line."""
        with self._locked():
            self._follow()
            super().emit(record)

    def close(self) -> None:
        """Close the file and the lock."""
        super().close()
        if self._lock_file is not None:
            self._lock_file.close()
            self._lock_file = None

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        if self._lock_file is None:
            yield
            return
        fcntl.flock(self._lock_file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._lock_file, fcntl.LOCK_UN)

    def _follow(self) -> None:
        """Open the file anew where what was opened does not lie there any more."""
        if self.stream is None:
            return
        try:
            there, opened = os.stat(self.baseFilename), os.fstat(self.stream.fileno())
        except FileNotFoundError:
            there, opened = None, None
        if there is None or opened is None or (there.st_dev, there.st_ino) != (opened.st_dev, opened.st_ino):
            self.stream.close()
            self.stream = self._open()
