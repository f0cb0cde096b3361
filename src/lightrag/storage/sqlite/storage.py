"""All stores of a workspace in one SQLite file."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
from collections.abc import AsyncIterator, Callable, Collection
from pathlib import Path

from lightrag.errors import ConfigurationError, StorageMismatch, StorageUnavailable
from lightrag.storage.contracts import (
    Disagreements,
    DocumentStore,
    GraphStore,
    KVStore,
    LexicalIndex,
    Namespace,
    Storage,
    VectorKind,
    VectorStore,
)
from lightrag.storage.sqlite import consistency
from lightrag.storage.sqlite.documents import SQLiteDocuments
from lightrag.storage.sqlite.graph import SQLiteGraph
from lightrag.storage.sqlite.kv import SQLiteKV
from lightrag.storage.sqlite.lexical import SQLiteLexical
from lightrag.storage.sqlite.pulse import Pulse
from lightrag.storage.sqlite.readers import ReaderPool
from lightrag.storage.sqlite.schema import clear, clear_vectors
from lightrag.storage.sqlite.session import PooledSession, Session, TransactionSession
from lightrag.storage.sqlite.vectors import FullScan, MatrixScan, Scan, SQLiteVectors
from lightrag.storage.sqlite.writer import Writer, commit, rollback

FILE_NAME = "lightrag.sqlite3"
_MAX_READERS = 4


class _Stores:
    """The stores of a workspace over one session."""

    family = "sqlite"

    def __init__(self, workspace: str, session: Session, scan: Callable[[VectorKind], Scan]) -> None:
        self.workspace = workspace
        self._session = session
        self._kv: dict[Namespace, KVStore] = {namespace: SQLiteKV(session, namespace) for namespace in Namespace}
        self._vectors: dict[VectorKind, VectorStore] = {
            kind: SQLiteVectors(session, kind, scan(kind)) for kind in VectorKind
        }
        self._graph = SQLiteGraph(session)
        self._documents = SQLiteDocuments(session)
        self._lexical = SQLiteLexical(session)

    @property
    def graph(self) -> GraphStore:
        """Mentions, entities and relations."""
        return self._graph

    @property
    def documents(self) -> DocumentStore:
        """Status rows and leases."""
        return self._documents

    @property
    def lexical(self) -> LexicalIndex:
        """Full-text index over chunks."""
        return self._lexical

    def kv(self, namespace: Namespace) -> KVStore:
        """Return the key-value store of a namespace."""
        return self._kv[namespace]

    def vectors(self, kind: VectorKind) -> VectorStore:
        """Return the vector store of a kind."""
        return self._vectors[kind]

    async def drop(self, *, keep: Collection[Namespace] = ()) -> None:
        """Delete all data of the workspace but these key-value namespaces."""
        await self._session.write(lambda conn: clear(conn, keep))

    async def check(self) -> Disagreements:
        """Look for contradictions between tables; takes about a second for 100,000 mentions."""
        return await self._session.write(consistency.check)

    async def mend_indexes(self) -> None:
        """Make the text index and the codes of vectors anew."""
        await self._session.write(consistency.mend_indexes)

    async def drop_vectors(self) -> None:
        """Delete all vectors and forget their dimension."""
        await self._session.write(clear_vectors)

    async def set_dimension(self, dimension: int) -> None:
        """Fix the length of vectors, once per workspace; raises `StorageMismatch` where it differs."""
        await self._session.write(lambda conn: _set_dimension(conn, dimension))


class _InTransaction(_Stores):
    """The stores inside one transaction. Opening and closing it does nothing; a transaction within joins it."""

    async def open(self) -> None:
        """Do nothing: the storage that began the transaction is open."""

    async def close(self) -> None:
        """Do nothing: the transaction ends with its block."""

    def version(self) -> int | None:
        """Return None: what is written here changes nothing that others could see."""
        return None

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Storage]:
        """Yield this storage itself."""
        yield self


class SQLiteStorage(_Stores):
    """One workspace in the file `lightrag.sqlite3` of a folder. Several processes may have it open.

    Args:
        path: The folder; made when the storage is opened.
        workspace: The workspace's name, for messages; data are told apart by folder.
    """

    def __init__(self, path: Path, workspace: str) -> None:
        self._file = path / FILE_NAME
        self._readers = ReaderPool(self._file, _readers())
        self._writer = Writer(self._file)
        self._pulse = Pulse(self._file)
        self._is_open = False
        super().__init__(
            workspace, PooledSession(self._readers, self._writer), lambda kind: MatrixScan(kind, self._pulse)
        )

    def version(self) -> int | None:
        """Return a number that stays the same as long as nothing in the file changes."""
        return self._pulse.version()

    async def open(self) -> None:
        """Connect, create what is missing, migrate.

        Raises `StorageDamaged`, `StorageUnavailable`, or `StorageMismatch` for a file of a newer version.
        """
        if self._is_open:
            return
        try:
            await asyncio.to_thread(self._file.parent.mkdir, parents=True, exist_ok=True)
        except OSError as error:
            raise StorageUnavailable(f"{self._file.parent}: the folder cannot be made ({error})") from error
        await self._writer.open()
        self._readers.open()
        await asyncio.to_thread(self._pulse.open)
        self._is_open = True

    async def close(self) -> None:
        """Finish pending writes, move the log into the file and end the threads. May be called more than once."""
        self._is_open = False
        await self._readers.close()
        await asyncio.to_thread(self._pulse.close)
        await self._writer.close()

    async def drop(self, *, keep: Collection[Namespace] = ()) -> None:
        """Delete all data but these namespaces and give the space back as far as no other process uses the file."""
        await super().drop(keep=keep)
        await self._writer.run_alone(_shrink)

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Storage]:
        """Begin a unit of work that nobody else's writes interleave with; durable when the block ends."""
        transaction = self._writer.begin()
        try:
            await transaction.begun.future
        except BaseException:
            transaction.abandon()
            raise
        try:
            yield _InTransaction(self.workspace, TransactionSession(transaction), FullScan)
        except BaseException:
            # A storage that was closed meanwhile has rolled back by itself.
            with contextlib.suppress(StorageUnavailable):
                await transaction.finish(rollback)
            raise
        await transaction.finish(commit)


def _readers() -> int:
    return max(2, min(_MAX_READERS, os.cpu_count() or 1))


def _set_dimension(conn: sqlite3.Connection, dimension: int) -> None:
    if dimension <= 0:
        raise ConfigurationError(f"vectors cannot have {dimension} numbers")
    conn.execute("INSERT OR IGNORE INTO setting(name, value) VALUES ('dimension', ?)", (dimension,))
    fixed = conn.execute("SELECT value FROM setting WHERE name = 'dimension'").fetchone()[0]
    if fixed != dimension:
        raise StorageMismatch(
            f"this workspace was made with vectors of {fixed} numbers, the embedding model gives {dimension}; use the"
            " model that it was made with, or embed it anew: lightrag repair --re-embed"
        )


def _shrink(conn: sqlite3.Connection) -> None:
    with contextlib.suppress(sqlite3.OperationalError):
        conn.execute("VACUUM")
