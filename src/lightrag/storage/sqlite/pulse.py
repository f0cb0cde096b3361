"""Tells whether a workspace file has changed, without reading it."""

from __future__ import annotations

import contextlib
import itertools
import sqlite3
import threading
from pathlib import Path

from lightrag.storage.sqlite.connection import connect_reader


class Pulse:
    """Watches a file through a connection that does nothing else.

    SQLite's `data_version` changes with every commit of any other connection, in this process or another. Asking for
    it takes some microseconds and waits for nobody, so that an event loop may ask.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._conn: sqlite3.Connection | None = None
        self._unknown = itertools.count(-1, -1)

    def open(self) -> None:
        """Begin to watch. Blocking."""
        with self._lock:
            if self._conn is None:
                self._conn = connect_reader(self._path, any_thread=True)

    def close(self) -> None:
        """Stop watching."""
        with self._lock:
            conn, self._conn = self._conn, None
        if conn is not None:
            conn.close()

    def version(self) -> int:
        """Return a number that stays the same as long as the file does; one never seen before where it is unclear."""
        with self._lock:
            if self._conn is not None:
                with contextlib.suppress(sqlite3.Error):
                    return int(self._conn.execute("PRAGMA data_version").fetchone()[0])
            return next(self._unknown)
