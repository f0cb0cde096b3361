"""Answers kept by exact request: in memory, and on disk where that is asked for."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import dataclasses
import hashlib
import logging
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import orjson

from llmservice.config import CacheSettings

logger = logging.getLogger(__name__)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS answers (key BLOB PRIMARY KEY, value BLOB NOT NULL, stored REAL NOT NULL) WITHOUT ROWID
"""


@dataclasses.dataclass(slots=True)
class CacheFigures:
    """What the cache did since the start."""

    hits: int = 0
    misses: int = 0
    stored: int = 0
    evicted: int = 0


def cache_key(operation: str, fingerprint: str, parameters: Any) -> bytes:
    """Return the key of a request in normalised form: what changes the answer, and nothing else."""
    text = orjson.dumps([operation, fingerprint, parameters], option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(text, digest_size=24).digest()


class ResponseCache:
    """Keeps at most `max_size` answers and `max_mb` of memory for `ttl` seconds; the least used go first.

    With `persist`, every answer is also written to SQLite, in a thread of its own, and read back by `open`. A file
    that cannot be read or written costs the answers on disk and nothing else.
    """

    def __init__(self, settings: CacheSettings, clock: Callable[[], float] = time.time) -> None:
        self.figures = CacheFigures()
        self._settings = settings
        self._clock = clock
        self._entries: collections.OrderedDict[bytes, tuple[bytes, float]] = collections.OrderedDict()
        self._bytes = 0
        self._disk = _Disk(settings.path) if settings.enabled and settings.persist else None

    @property
    def enabled(self) -> bool:
        """Whether answers are kept at all."""
        return self._settings.enabled

    @property
    def bytes_held(self) -> int:
        """Memory that the answers take."""
        return self._bytes

    def __len__(self) -> int:
        return len(self._entries)

    async def open(self) -> None:
        """Read what an earlier run left on disk."""
        if self._disk is None:
            return
        oldest = self._clock() - self._settings.ttl
        for key, value, stored in await self._disk.read(oldest, self._settings.max_size):
            self._keep(key, value, stored)

    def get(self, key: bytes) -> bytes | None:
        """Return a kept answer, or None."""
        entry = self._entries.get(key)
        if entry is not None and entry[1] + self._settings.ttl > self._clock():
            self._entries.move_to_end(key)
            self.figures.hits += 1
            return entry[0]
        if entry is not None:
            self._drop(key)
        self.figures.misses += 1
        return None

    def put(self, key: bytes, value: bytes) -> None:
        """Keep an answer; one that alone is larger than the bound is not kept."""
        if len(value) > self._limit:
            return
        stored = self._clock()
        self._keep(key, value, stored)
        self.figures.stored += 1
        if self._disk is not None:
            self._disk.write(key, value, stored)

    async def aclose(self) -> None:
        """Write what is still to be written."""
        if self._disk is not None:
            await self._disk.aclose()

    @property
    def _limit(self) -> int:
        return int(self._settings.max_mb * 1024 * 1024)

    def _keep(self, key: bytes, value: bytes, stored: float) -> None:
        old = self._entries.pop(key, None)
        self._bytes += len(value) - (len(old[0]) if old else 0)
        self._entries[key] = (value, stored)
        while len(self._entries) > self._settings.max_size or self._bytes > self._limit:
            self._drop(next(iter(self._entries)))
            self.figures.evicted += 1

    def _drop(self, key: bytes) -> None:
        value, _ = self._entries.pop(key)
        self._bytes -= len(value)
        if self._disk is not None:
            self._disk.delete(key)


class _Disk:
    """The answers in SQLite. One thread does all the work, in the order in which it was asked for."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="cache")
        self._connection: sqlite3.Connection | None = None

    async def read(self, oldest: float, most: int) -> list[tuple[bytes, bytes, float]]:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._read, oldest, most)

    def write(self, key: bytes, value: bytes, stored: float) -> None:
        self._thread.submit(self._change, "INSERT OR REPLACE INTO answers VALUES (?, ?, ?)", (key, value, stored))

    def delete(self, key: bytes) -> None:
        self._thread.submit(self._change, "DELETE FROM answers WHERE key = ?", (key,))

    async def aclose(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        self._thread.shutdown()

    def _read(self, oldest: float, most: int) -> list[tuple[bytes, bytes, float]]:
        try:
            self._connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=NORMAL")
            self._connection.execute(_SCHEMA)
            self._connection.execute("DELETE FROM answers WHERE stored < ?", (oldest,))
            newest = "SELECT key, value, stored FROM answers ORDER BY stored DESC LIMIT ?"
            rows = self._connection.execute(newest, (most,)).fetchall()
            if len(rows) == most:
                self._connection.execute("DELETE FROM answers WHERE stored < ?", (rows[-1][2],))
            return rows[::-1]
        except (sqlite3.Error, OSError) as error:
            logger.warning(
                "The cache on disk (%s) is not used: %s; remove the file or set CACHE_PATH", self._path, error
            )
            self._close()
            return []

    def _change(self, statement: str, values: tuple[Any, ...]) -> None:
        if self._connection is None:
            return
        try:
            self._connection.execute(statement, values)
        except sqlite3.Error as error:
            logger.warning("The cache cannot be written to %s: %s", self._path, error)
            self._close()

    def _close(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None
