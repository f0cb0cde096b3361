"""The committed state of a workspace with the indexes that only it has."""

from __future__ import annotations

from lightrag.storage.contracts import VectorKind
from lightrag.storage.files.documents import DocumentIndex
from lightrag.storage.files.graph_log import GraphLog
from lightrag.storage.files.lexical import Postings
from lightrag.storage.files.matrix import Matrix
from lightrag.storage.files.rows import VectorItem
from lightrag.storage.files.state import State


class Workspace(State):
    """The bottom of all layers. Changes come in whole layers, on the event loop."""

    def __init__(self) -> None:
        super().__init__()
        self.matrices = {kind: Matrix() for kind in VectorKind}
        self.postings = Postings()
        self.document_index = DocumentIndex()
        self.log = GraphLog()
        self.touched: set[str] = set()
        """Names of the tables that changed since somebody took note of it."""

    def absorb(self, layer: State) -> None:
        """Take in the changes of a layer, and bring the indexes up to date."""
        self.touched.update(layer.changed_tables())
        self.log.change(layer)
        self.document_index.change(self.documents, layer.documents)
        self.postings.change(self.terms, layer.terms)
        for kind, matrix in self.matrices.items():
            self._move_vectors(kind, matrix, layer)
        super().absorb(layer)

    def _move_vectors(self, kind: VectorKind, matrix: Matrix, layer: State) -> None:
        """Put the numbers of changed vectors into the matrix; their rows go on without."""
        table = layer.vectors[kind]
        if not table.has_changes:
            return
        fresh = {key: item.vector for key, item in table.changed.items() if item.vector is not None}
        length = {len(vector) for vector in fresh.values()}
        if len(length) == 1 and matrix.dimension not in (None, *length):
            # All rows of the former length are gone: the vectors were dropped before these were put.
            matrix.change([*matrix.snapshot().keys], {})
        matrix.change(table.gone, fresh)
        for key, item in list(table.changed.items()):
            table.put(key, VectorItem(item.content_hash, item.created_at, None))
