"""Opening the workspace file."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from urllib.parse import quote

from lightrag.errors import StorageUnavailable

BUSY_SECONDS = 20.0
"""How long a writer waits for another process's transaction."""

_LOG_PAGES = 8192
"""The log goes into the file when it has so many pages (32 MiB): pages that change often are then written once."""


def connect_writer(path: Path) -> sqlite3.Connection:
    """Open the file for reading and writing, creating it where it is missing; every commit is durable."""
    conn = _connect(path, "rwc")
    try:
        mode = _switch_to_log(conn)
        if mode != "wal":
            raise StorageUnavailable(
                f"{path}: write-ahead logging cannot be had here; use a folder on a local disk, not a network share"
            )
        conn.execute("PRAGMA synchronous = FULL")
        conn.execute("PRAGMA cache_size = -16384")
        conn.execute(f"PRAGMA wal_autocheckpoint = {_LOG_PAGES}")
        conn.execute("PRAGMA journal_size_limit = 67108864")
    except BaseException:
        conn.close()
        raise
    return conn


def _switch_to_log(conn: sqlite3.Connection) -> str:
    """Switch the file to write-ahead logging and return the mode that it is in.

    SQLite does not wait for the lock that this takes where another process opens a new file at the same moment; the
    other one's switch is over in an instant.
    """
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            return str(conn.execute("PRAGMA journal_mode = WAL").fetchone()[0])
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def connect_reader(path: Path, *, any_thread: bool = False) -> sqlite3.Connection:
    """Open an existing file for reading; with `any_thread` the caller sees to it that one thread uses it at a time."""
    conn = _connect(path, "rw", any_thread=any_thread)
    conn.execute("PRAGMA query_only = ON")
    conn.execute("PRAGMA cache_size = -8192")
    return conn


def _connect(path: Path, mode: str, *, any_thread: bool = False) -> sqlite3.Connection:
    conn = sqlite3.connect(
        f"file:{quote(str(path))}?mode={mode}",
        uri=True,
        timeout=BUSY_SECONDS,
        isolation_level=None,
        cached_statements=512,
        check_same_thread=not any_thread,
    )
    conn.execute("PRAGMA temp_store = MEMORY")
    return conn
