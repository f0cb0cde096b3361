"""All stores of a workspace in LightRAG's own files."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Collection
from pathlib import Path

from lightrag.errors import ConfigurationError, StorageMismatch, StorageUnavailable
from lightrag.storage.choice import record_family, recorded_family
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
from lightrag.storage.files.documents import FileDocuments
from lightrag.storage.files.graph import FileGraph
from lightrag.storage.files.journal import Journal
from lightrag.storage.files.keeper import Keeper
from lightrag.storage.files.kv import FileKV
from lightrag.storage.files.layout import OWN_FOLDER
from lightrag.storage.files.lexical import FileLexical
from lightrag.storage.files.loading import load
from lightrag.storage.files.lock import FolderLock
from lightrag.storage.files.manifest import Manifest, read_manifest
from lightrag.storage.files.session import LayerSession, Session
from lightrag.storage.files.started_anew import set_aside_if_started_anew
from lightrag.storage.files.state import DIMENSION, State
from lightrag.storage.files.vectors import FileVectors
from lightrag.storage.files.workspace import Workspace
from lightrag.storage.files.writer import Writer

FAMILY = "files"


class _Stores:
    """The stores of a workspace over one session."""

    family = FAMILY

    def __init__(self, name: str, session: Session, workspace: Workspace) -> None:
        self.workspace = name
        self._session = session
        self._kv: dict[Namespace, KVStore] = {namespace: FileKV(session, namespace) for namespace in Namespace}
        self._vectors: dict[VectorKind, VectorStore] = {
            kind: FileVectors(session, kind, workspace.matrices[kind]) for kind in VectorKind
        }
        self._graph = FileGraph(session, workspace.log)
        self._documents = FileDocuments(session, workspace.document_index)
        self._lexical = FileLexical(session, workspace.postings)

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
        kept = set(keep)

        def work(state: State) -> None:
            for namespace, rows in state.kv.items():
                if namespace not in kept:
                    rows.clear()
            state.clear_graph()
            for table in (state.documents, state.leases, state.terms):
                table.clear()
            _drop_vectors(state)

        await self._session.write(work)

    def version(self) -> int | None:
        """Return None: reading costs nothing that would be worth saving."""
        return None

    async def check(self) -> Disagreements:
        """Return no contradictions: indexes and totals are made from the files at every start."""
        return Disagreements()

    async def mend_indexes(self) -> None:
        """Do nothing, for the same reason."""

    async def drop_vectors(self) -> None:
        """Delete all vectors and forget their dimension."""
        await self._session.write(_drop_vectors)

    async def set_dimension(self, dimension: int) -> None:
        """Fix the length of vectors, once per workspace; raises `StorageMismatch` where it differs."""
        if dimension <= 0:
            raise ConfigurationError(f"vectors cannot have {dimension} numbers")

        def work(state: State) -> None:
            fixed = state.dimension
            if fixed is None:
                state.settings.put(DIMENSION, dimension)
            elif fixed != dimension:
                raise StorageMismatch(
                    f"this workspace was made with vectors of {fixed} numbers, the embedding model gives {dimension};"
                    " use the model that it was made with, or make all vectors anew with: lightrag repair --re-embed"
                )

        await self._session.write(work)


class _InTransaction(_Stores):
    """The stores inside one transaction. Opening and closing it does nothing; a transaction within joins it."""

    async def open(self) -> None:
        """Do nothing: the storage that began the transaction is open."""

    async def close(self) -> None:
        """Do nothing: the transaction ends with its block."""

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Storage]:
        """Yield this storage itself."""
        yield self


class FileStorage(_Stores):
    """One workspace in the files that LightRAG reads and writes, in a folder that one process has open at a time.

    The workspace is held in memory. What is committed goes to a journal at once and into the files when nothing has
    changed for a while; a folder that LightRAG wrote is completed in memory and its files are left as they are until
    something changes.

    Args:
        path: The folder; made when the storage is opened.
        workspace: The workspace's name, for messages; data are told apart by folder.
        quiet_seconds: How long nothing must have changed before the files are written.
    """

    def __init__(self, path: Path, workspace: str, *, quiet_seconds: float = 2.0) -> None:
        self._folder = path
        self._lock = FolderLock(path / OWN_FOLDER)
        self._journal = Journal(path / OWN_FOLDER)
        self._workspace = Workspace()
        self._writer = Writer(self._workspace, self._journal, self._note_change)
        self._keeper = Keeper(path, self._workspace, self._journal, self._writer, quiet_seconds)
        self._is_open = False
        super().__init__(workspace, self._writer, self._workspace)

    async def open(self) -> None:
        """Take the folder and read it, with what a crash left in the journal.

        Raises `StorageUnavailable` where another process has it, `StorageDamaged` for a file that cannot be read.
        """
        if self._is_open:
            return
        try:
            manifest, adopted, loaded, replayed = await asyncio.to_thread(self._read)
        except OSError as error:
            self._lock.release()
            raise StorageUnavailable(f"{self._folder}: cannot be read or written ({error})") from error
        except BaseException:
            self._lock.release()
            raise
        self._workspace.absorb(loaded)
        self._workspace.touched.clear()
        self._workspace.absorb(replayed)
        self._is_open = True
        self._writer.open()
        self._keeper.start(manifest, rewrite_all=adopted)

    def _read(self) -> tuple[Manifest, bool, State, State]:
        own = self._folder / OWN_FOLDER
        own.mkdir(parents=True, exist_ok=True)
        self._lock.acquire()
        known = set_aside_if_started_anew(self._folder, read_manifest(self._folder))
        loaded = self._workspace.layer()
        found = load(self._folder, known, loaded)
        first = known.journal if known is not None else 1
        replayed = loaded.layer()
        for change in self._journal.replay(first):
            replayed.apply_change(change)
        self._journal.begin(max(self._journal.last_number(), first))
        if recorded_family(self._folder) is None:
            record_family(self._folder, FAMILY)
        return Manifest(first, found.files), found.adopted, loaded, replayed

    async def close(self) -> None:
        """Write the files and release the folder. May be called more than once."""
        if not self._is_open:
            return
        self._is_open = False
        await self._writer.close()
        await self._keeper.stop()
        self._journal.close()
        self._lock.release()

    async def write_files(self) -> None:
        """Write now what the files do not hold yet. Raises `Conflict` where another program changed them."""
        await self._keeper.write()

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Storage]:
        """Begin a unit of work that nobody else's writes interleave with; durable when the block ends."""
        async with self._writer.transaction() as state:
            yield _InTransaction(self.workspace, LayerSession(state), self._workspace)

    def _note_change(self) -> None:
        self._keeper.note_change()


def _drop_vectors(state: State) -> None:
    for table in state.vectors.values():
        table.clear()
    state.settings.remove(DIMENSION)
