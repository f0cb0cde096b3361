"""The one thread of a process that writes to a workspace file.

Single writes that wait at the same time share one transaction and so one disk flush. A unit of work (`Transaction`)
has the connection to itself from its beginning to its end. All wait in one line.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import queue
import sqlite3
import threading
from collections import deque
from pathlib import Path
from typing import Any, TypeVar

from lightrag.errors import StorageUnavailable
from lightrag.storage.sqlite.connection import connect_writer
from lightrag.storage.sqlite.errors import translate
from lightrag.storage.sqlite.jobs import Job, Work
from lightrag.storage.sqlite.schema import migrate

T = TypeVar("T")
_GROUP = 256


class Transaction:
    """A unit of work, waiting for the connection or holding it. Made by `Writer.begin`."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self.begun: Job[None] = Job(_begin)
        self.is_over = False
        """No step may follow; set by whoever ends it."""

    async def run(self, work: Work[T]) -> T:
        """Run one step; when it fails after it changed something, the whole transaction is rolled back."""
        job = Job(work)
        if self.is_over:
            raise StorageUnavailable("the transaction is over; its storage cannot be used any more")
        self._writer.enqueue(_Step(self, job))
        return await job.future

    async def finish(self, work: Work[None]) -> None:
        """End with `work` (commit or roll back) and wait for it even when cancelled meanwhile."""
        job = Job(work)
        self._end(job)
        try:
            await asyncio.shield(job.future)
        except asyncio.CancelledError:
            await asyncio.wait({job.future})
            if not job.future.cancelled():
                job.future.exception()
            raise

    def abandon(self) -> None:
        """Give up, without waiting."""
        job = Job(rollback)
        # Nobody waits for it; a cancelled future never complains.
        job.future.cancel()
        with contextlib.suppress(StorageUnavailable):
            self._end(job)

    def _end(self, job: Job[None]) -> None:
        self.is_over = True
        self._writer.enqueue(_End(self, job))


@dataclasses.dataclass(frozen=True, slots=True)
class _Step:
    transaction: Transaction
    job: Job[Any]


@dataclasses.dataclass(frozen=True, slots=True)
class _End:
    transaction: Transaction
    job: Job[None]


@dataclasses.dataclass(frozen=True, slots=True)
class _Alone:
    """A job that brings its own transaction, or wants none."""

    job: Job[Any]


@dataclasses.dataclass(frozen=True, slots=True)
class _Close:
    """The last item."""


_Item = Job[Any] | Transaction | _Step | _End | _Alone | _Close


class Writer:
    """Owns the writing connection and its thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._inbox: queue.SimpleQueue[_Item] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    async def open(self) -> None:
        """Start the thread, connect and migrate."""
        opened: Job[None] = Job(lambda conn: migrate(conn, self._path))
        self._inbox = queue.SimpleQueue()
        line = _Line(self._path, self._inbox)
        self._thread = threading.Thread(target=line.main, args=(opened,), name="lightrag-write", daemon=True)
        self._thread.start()
        try:
            await opened.future
        except BaseException:
            await self.close()
            raise

    async def run(self, work: Work[T]) -> T:
        """Run `work` in a transaction, shared with other waiting writes; returns when it is durable.

        It may be run twice, the first time undone, when a write that it shared the transaction with fails.
        """
        job = Job(work)
        self.enqueue(job)
        return await job.future

    async def run_alone(self, work: Work[T]) -> T:
        """Run `work` outside of any transaction."""
        job = Job(work)
        self.enqueue(_Alone(job))
        return await job.future

    def begin(self) -> Transaction:
        """Queue a unit of work; await its `begun` future."""
        transaction = Transaction(self)
        self.enqueue(transaction)
        return transaction

    async def close(self) -> None:
        """Do what is queued, roll back a unit of work that is still open, move the log into the file, end."""
        with self._lock:
            thread, self._thread = self._thread, None
            if thread is not None:
                self._inbox.put(_Close())
        if thread is not None:
            await asyncio.to_thread(thread.join)

    def enqueue(self, item: _Item) -> None:
        """Put an item into the line; raises `StorageUnavailable` when it is closed."""
        with self._lock:
            if self._thread is None:
                raise StorageUnavailable(f"{self._path}: the storage is closed")
            self._inbox.put(item)


class _Line:
    """What the writer's thread does; nothing here runs elsewhere."""

    def __init__(self, path: Path, inbox: queue.SimpleQueue[_Item]) -> None:
        self._path = path
        self._inbox = inbox
        self._waiting: deque[_Item] = deque()
        """What arrived while a unit of work had the connection, or was read ahead."""

    def main(self, opened: Job[None]) -> None:
        """Serve until closed."""
        try:
            conn = connect_writer(self._path)
        except Exception as error:
            opened.fail(translate(error, self._path))
            Job.deliver((opened,))
            return
        ready = opened.run(conn, self._path)
        Job.deliver((opened,))
        if ready:
            self._serve(conn)
        with contextlib.suppress(sqlite3.Error):
            conn.execute("PRAGMA busy_timeout = 0")
            conn.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        conn.close()

    def _serve(self, conn: sqlite3.Connection) -> None:
        while True:
            item = self._waiting.popleft() if self._waiting else self._inbox.get()
            match item:
                case Job():
                    self._write(conn, self._group(item))
                case Transaction():
                    self._serve_transaction(conn, item)
                case _Alone(job):
                    job.run(conn, self._path)
                    Job.deliver((job,))
                case _Step(_, job) | _End(_, job):
                    self._refuse(job)
                case _Close():
                    return

    def _group(self, first: Job[Any]) -> list[Job[Any]]:
        """Return the writes that wait one behind the other."""
        group = [first]
        while len(group) < _GROUP:
            if not self._waiting:
                try:
                    self._waiting.append(self._inbox.get_nowait())
                except queue.Empty:
                    break
            if not isinstance(self._waiting[0], Job):
                break
            group.append(self._waiting.popleft())  # type: ignore[arg-type]
        return [job for job in group if not job.abandoned]

    def _write(self, conn: sqlite3.Connection, jobs: list[Job[Any]]) -> None:
        if not jobs:
            return
        try:
            conn.execute("BEGIN IMMEDIATE")
            all_done = all(job.run(conn, self._path) for job in jobs)
            if all_done:
                conn.execute("COMMIT")
        except Exception as error:
            failure = translate(error, self._path)
            for job in jobs:
                job.fail(failure)
            all_done = True
        _undo(conn)
        if all_done or len(jobs) == 1:
            Job.deliver(jobs)
            return
        # One of them failed and undid all: each for itself.
        for job in jobs:
            job.reset()
            self._write(conn, [job])

    def _serve_transaction(self, conn: sqlite3.Connection, transaction: Transaction) -> None:
        if transaction.begun.abandoned:
            return
        begun = transaction.begun.run(conn, self._path)
        Job.deliver((transaction.begun,))
        while begun:
            item = self._inbox.get()
            match item:
                case _Step(owner, job) if owner is transaction:
                    self._step(conn, job)
                    Job.deliver((job,))
                case _End(owner, job) if owner is transaction:
                    job.run(conn, self._path)
                    _undo(conn)
                    Job.deliver((job,))
                    return
                case _Close():
                    _undo(conn)
                    self._waiting.append(item)
                    return
                case _:
                    self._waiting.append(item)

    def _step(self, conn: sqlite3.Connection, job: Job[Any]) -> None:
        if not conn.in_transaction:
            self._refuse(job)
            return
        before = conn.total_changes
        if not job.run(conn, self._path) and conn.total_changes != before:
            _undo(conn)

    def _refuse(self, job: Job[Any]) -> None:
        job.fail(StorageUnavailable(f"{self._path}: the transaction was rolled back; do the work again"))
        Job.deliver((job,))


def _undo(conn: sqlite3.Connection) -> None:
    if conn.in_transaction:
        with contextlib.suppress(sqlite3.Error):
            conn.execute("ROLLBACK")


def _begin(conn: sqlite3.Connection) -> None:
    conn.execute("BEGIN IMMEDIATE")


def commit(conn: sqlite3.Connection) -> None:
    """End a unit of work durably."""
    if not conn.in_transaction:
        raise StorageUnavailable("the transaction was rolled back when a part of it failed; do the work again")
    conn.execute("COMMIT")


def rollback(conn: sqlite3.Connection) -> None:
    """Undo a unit of work."""
    if conn.in_transaction:
        conn.execute("ROLLBACK")
