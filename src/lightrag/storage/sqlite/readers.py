"""A few threads that read, each with a connection of its own."""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
from pathlib import Path
from typing import Any, TypeVar

from lightrag.errors import StorageUnavailable
from lightrag.storage.sqlite.connection import connect_reader
from lightrag.storage.sqlite.errors import translate
from lightrag.storage.sqlite.jobs import Job, Work

T = TypeVar("T")


class ReaderPool:
    """Runs reads on up to `size` threads, which are started when there is work for them."""

    def __init__(self, path: Path, size: int) -> None:
        self._path = path
        self._size = size
        self._jobs: queue.SimpleQueue[Job[Any] | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._idle = 0
        self._closed = True

    def open(self) -> None:
        """Accept work."""
        with self._lock:
            self._closed = False

    async def run(self, work: Work[T]) -> T:
        """Run `work` with a reading connection."""
        job = Job(work)
        with self._lock:
            if self._closed:
                raise StorageUnavailable(f"{self._path}: the storage is closed")
            if self._idle <= self._jobs.qsize() and len(self._threads) < self._size:
                thread = threading.Thread(target=self._serve, name="lightrag-read", daemon=True)
                self._threads.append(thread)
                thread.start()
            self._jobs.put(job)
        return await job.future

    async def close(self) -> None:
        """Finish what is queued and end the threads."""
        with self._lock:
            self._closed = True
            threads, self._threads = self._threads, []
            for _ in threads:
                self._jobs.put(None)
        for thread in threads:
            await asyncio.to_thread(thread.join)

    def _serve(self) -> None:
        conn: sqlite3.Connection | None = None
        while True:
            with self._lock:
                self._idle += 1
            job = self._jobs.get()
            with self._lock:
                self._idle -= 1
            if job is None:
                break
            if job.abandoned:
                continue
            if conn is None:
                try:
                    conn = connect_reader(self._path)
                except Exception as error:
                    job.fail(translate(error, self._path))
                    Job.deliver((job,))
                    continue
            job.run(conn, self._path)
            Job.deliver((job,))
        if conn is not None:
            conn.close()
