"""Where a store's reads and writes go: to the pool, or into one transaction."""

from __future__ import annotations

from typing import Protocol, TypeVar

from lightrag.storage.sqlite.jobs import Work
from lightrag.storage.sqlite.readers import ReaderPool
from lightrag.storage.sqlite.writer import Transaction, Writer

T = TypeVar("T")


class Session(Protocol):
    """Runs functions of a connection on the right thread."""

    async def read(self, work: Work[T]) -> T:
        """Run a function that only reads."""
        ...

    async def write(self, work: Work[T]) -> T:
        """Run a function that reads and writes as one change; returns when it is as durable as the session is."""
        ...


class PooledSession:
    """Reads on any reader, writes through the line of the writer."""

    def __init__(self, readers: ReaderPool, writer: Writer) -> None:
        self._readers = readers
        self._writer = writer

    async def read(self, work: Work[T]) -> T:
        """Run a function that only reads."""
        return await self._readers.run(work)

    async def write(self, work: Work[T]) -> T:
        """Run a function that reads and writes; returns when it is durable."""
        return await self._writer.run(work)


class TransactionSession:
    """Reads and writes inside one transaction."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    async def read(self, work: Work[T]) -> T:
        """Run a function that only reads; it sees what the transaction wrote."""
        return await self._transaction.run(work)

    async def write(self, work: Work[T]) -> T:
        """Run a function that reads and writes; durable when the transaction commits."""
        return await self._transaction.run(work)
