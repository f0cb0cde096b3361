"""The one thread of a process that writes to a workspace file.

Single writes that wait at the same time share one transaction and so one disk flush; each is undone alone when it
fails. A unit of work (`Transaction`) has the connection to itself from its beginning to its end. All wait in one line.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
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

    def __init__(self, wakeup: threading.Condition) -> None:
        self._wakeup = wakeup
        self.begun: Job[None] = Job(_begin)
        self.steps: deque[Job[Any]] = deque()
        self.end: Job[None] | None = None
        self.closed = False

    async def run(self, work: Work[T]) -> T:
        """Run one step inside the transaction; a step that raises changes nothing."""
        job = Job(work)
        with self._wakeup:
            if self.closed or self.end is not None:
                raise StorageUnavailable("the transaction is over; its storage cannot be used any more")
            self.steps.append(job)
            self._wakeup.notify_all()
        return await job.future

    async def finish(self, work: Work[None]) -> None:
        """End with `work` (commit or roll back) and wait for it even when cancelled meanwhile."""
        job = Job(work)
        with self._wakeup:
            if self.closed:
                raise StorageUnavailable("the storage was closed before the transaction ended; it was rolled back")
            self.end = job
            self._wakeup.notify_all()
        try:
            await asyncio.shield(job.future)
        except asyncio.CancelledError:
            with contextlib.suppress(Exception):
                await asyncio.wait({job.future})
            if job.future.done() and not job.future.cancelled():
                job.future.exception()
            raise

    def abandon(self) -> None:
        """Give up, without waiting."""
        job = Job(rollback)
        # Nobody waits for it; a cancelled future never complains.
        job.future.cancel()
        with self._wakeup:
            self.end = job
            self._wakeup.notify_all()


@dataclasses.dataclass(frozen=True, slots=True)
class _Alone:
    """A job that brings its own transaction, or wants none."""

    job: Job[Any]


_Item = Job[Any] | Transaction | _Alone


class Writer:
    """Owns the writing connection and its thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._wakeup = threading.Condition()
        self._line: deque[_Item] = deque()
        self._closing = False
        self._thread: threading.Thread | None = None

    async def open(self) -> None:
        """Start the thread, connect and migrate."""
        opened: Job[None] = Job(lambda conn: migrate(conn, self._path))
        self._closing = False
        self._thread = threading.Thread(target=self._main, args=(opened,), name="lightrag-write", daemon=True)
        self._thread.start()
        try:
            await opened.future
        except BaseException:
            await self.close()
            raise

    async def run(self, work: Work[T]) -> T:
        """Run `work` in a transaction, shared with other waiting writes; returns when it is durable."""
        job = Job(work)
        self._enqueue(job)
        return await job.future

    async def run_alone(self, work: Work[T]) -> T:
        """Run `work` outside of any transaction."""
        job = Job(work)
        self._enqueue(_Alone(job))
        return await job.future

    def begin(self) -> Transaction:
        """Queue a unit of work; await its `begun` future."""
        transaction = Transaction(self._wakeup)
        self._enqueue(transaction)
        return transaction

    async def close(self) -> None:
        """Do what is queued, roll back a unit of work that is still open, move the log into the file, end."""
        with self._wakeup:
            self._closing = True
            self._wakeup.notify_all()
        thread, self._thread = self._thread, None
        if thread is not None:
            await asyncio.to_thread(thread.join)

    def _enqueue(self, item: _Item) -> None:
        with self._wakeup:
            if self._closing or self._thread is None:
                raise StorageUnavailable(f"{self._path}: the storage is closed")
            self._line.append(item)
            self._wakeup.notify_all()

    # What follows runs on the writer thread.

    def _main(self, opened: Job[None]) -> None:
        try:
            conn = connect_writer(self._path)
        except Exception as error:
            opened.fail(translate(error, self._path))
            Job.deliver((opened,))
            return
        ready = opened.run(conn, self._path)
        Job.deliver((opened,))
        while ready and (item := self._next()):
            if isinstance(item, Transaction):
                self._serve(conn, item)
            elif isinstance(item, _Alone):
                item.job.run(conn, self._path)
                Job.deliver((item.job,))
            else:
                self._write(conn, item)
        with contextlib.suppress(sqlite3.Error):
            conn.execute("PRAGMA busy_timeout = 0")
            conn.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        conn.close()

    def _next(self) -> Transaction | _Alone | list[Job[Any]] | None:
        with self._wakeup:
            while not self._line and not self._closing:
                self._wakeup.wait()
            group: list[Job[Any]] = []
            while self._line and len(group) < _GROUP:
                item = self._line[0]
                if not isinstance(item, Job):
                    if group:
                        break
                    self._line.popleft()
                    return item
                group.append(item)
                self._line.popleft()
            return group or None

    def _write(self, conn: sqlite3.Connection, group: list[Job[Any]]) -> None:
        jobs = [job for job in group if not job.abandoned]
        try:
            if jobs:
                conn.execute("BEGIN IMMEDIATE")
                for job in jobs:
                    self._step(conn, job)
                conn.execute("COMMIT")
        except Exception as error:
            failure = translate(error, self._path)
            for job in jobs:
                job.fail(failure)
            self._undo(conn)
        Job.deliver(jobs)

    def _step(self, conn: sqlite3.Connection, job: Job[Any]) -> None:
        """Run one job so that it leaves nothing behind when it fails; raises when the whole transaction is lost."""
        conn.execute("SAVEPOINT step")
        if not job.run(conn, self._path):
            if not conn.in_transaction:
                raise StorageUnavailable(f"{self._path}: the transaction was rolled back; try again")
            conn.execute("ROLLBACK TO step")
        conn.execute("RELEASE step")

    def _serve(self, conn: sqlite3.Connection, transaction: Transaction) -> None:
        if transaction.end is None:
            begun = transaction.begun.run(conn, self._path)
            transaction.closed = not begun
            Job.deliver((transaction.begun,))
            if not begun:
                return
        while (job := self._next_step(transaction)) is not None:
            try:
                self._step(conn, job)
            except Exception as error:
                job.fail(translate(error, self._path))
            Job.deliver((job,))
        end = transaction.end
        if end is not None:
            end.run(conn, self._path)
        self._undo(conn)
        if end is not None:
            Job.deliver((end,))

    def _next_step(self, transaction: Transaction) -> Job[Any] | None:
        with self._wakeup:
            while True:
                if transaction.steps:
                    return transaction.steps.popleft()
                if transaction.end is not None or self._closing:
                    transaction.closed = True
                    return None
                self._wakeup.wait()

    def _undo(self, conn: sqlite3.Connection) -> None:
        if conn.in_transaction:
            with contextlib.suppress(sqlite3.Error):
                conn.execute("ROLLBACK")


def _begin(conn: sqlite3.Connection) -> None:
    conn.execute("BEGIN IMMEDIATE")


def commit(conn: sqlite3.Connection) -> None:
    """End a unit of work durably."""
    if not conn.in_transaction:
        raise StorageUnavailable("the transaction was rolled back by the database; do the work again")
    conn.execute("COMMIT")


def rollback(conn: sqlite3.Connection) -> None:
    """Undo a unit of work."""
    if conn.in_transaction:
        conn.execute("ROLLBACK")
