"""Tables of a workspace file, and the steps from each version of them to the next.

Rows that are read in numbers hold JSON fragments made by the program, so that one SQL aggregate joins them and one
parse reads them: stepping through many rows one by one is what costs time in a threaded Python program.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection
from pathlib import Path

from lightrag.errors import StorageMismatch
from lightrag.storage.contracts import Namespace, VectorKind
from lightrag.storage.sqlite.errors import damaged

APPLICATION_ID = 0x4C524147
"""`LRAG`: marks the file as ours, see `PRAGMA application_id`."""

_KV = """
CREATE TABLE kv_{0}(id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, body TEXT NOT NULL);
"""

# Rows of vectors are never changed: a new vector is a new id, and the old id goes to the log of removals. So readers
# catch up by id and need no index for it. Codes lie apart from the vectors so that loading them reads little.
_VECTORS = """
CREATE TABLE vector_{0}(id INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE, hash TEXT NOT NULL,
  embedding BLOB NOT NULL);
CREATE TABLE code_{0}(id INTEGER PRIMARY KEY, code BLOB NOT NULL);
CREATE TABLE gone_{0}(seq INTEGER PRIMARY KEY AUTOINCREMENT, id INTEGER NOT NULL);
"""

# An entity row lives while it is mentioned, is a node, or is the end of a relation row; it is a node where `degree` is
# not null. A relation row lives while it is mentioned or is an edge; it is an edge where `weight` is not null.
_GRAPH = """
CREATE TABLE entity(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, mentions INTEGER NOT NULL DEFAULT 0,
  degree INTEGER, folded TEXT, body TEXT);
CREATE INDEX entity_degree ON entity(degree DESC, name) WHERE degree IS NOT NULL;
CREATE INDEX entity_folded ON entity(folded) WHERE folded IS NOT NULL;
CREATE TABLE chunk(id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, doc TEXT NOT NULL, body TEXT NOT NULL);
CREATE INDEX chunk_doc ON chunk(doc);
CREATE TABLE entity_mention(entity INTEGER NOT NULL, rank INTEGER NOT NULL, chunk INTEGER NOT NULL,
  body TEXT NOT NULL, PRIMARY KEY(entity, rank, chunk)) WITHOUT ROWID;
CREATE INDEX entity_mention_chunk ON entity_mention(chunk, entity);
CREATE TABLE relation(id INTEGER PRIMARY KEY, source INTEGER NOT NULL, target INTEGER NOT NULL,
  mentions INTEGER NOT NULL DEFAULT 0, total INTEGER NOT NULL DEFAULT 0, weight REAL, body TEXT,
  UNIQUE(source, target));
CREATE INDEX relation_source ON relation(source, weight DESC, target);
CREATE INDEX relation_target ON relation(target, weight DESC, source);
CREATE TABLE relation_mention(relation INTEGER NOT NULL, rank INTEGER NOT NULL, chunk INTEGER NOT NULL,
  micro INTEGER NOT NULL, body TEXT NOT NULL, PRIMARY KEY(relation, rank, chunk)) WITHOUT ROWID;
CREATE INDEX relation_mention_chunk ON relation_mention(chunk, relation);
CREATE TABLE change(seq INTEGER PRIMARY KEY AUTOINCREMENT, kind INTEGER NOT NULL, a INTEGER NOT NULL,
  b INTEGER NOT NULL DEFAULT 0);
"""

# The tokenizer takes every character but the space for a part of a word; the program escapes the rest.
_LEXICAL = """
CREATE TABLE passage(id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, terms TEXT NOT NULL);
CREATE VIRTUAL TABLE passage_index USING fts5(terms, content='passage', content_rowid='id',
  tokenize="ascii tokenchars '!#$%&()*+,-./:;<=>?@[\\]^_`{|}~""'''");
"""

_DOCUMENTS = """
CREATE TABLE document(id TEXT PRIMARY KEY, status TEXT NOT NULL, file_path TEXT NOT NULL, content_hash TEXT NOT NULL,
  source_hash TEXT NOT NULL, track_id TEXT NOT NULL, created_at TEXT NOT NULL, updated_at TEXT NOT NULL,
  delete_requested INTEGER NOT NULL, tags TEXT NOT NULL, body TEXT NOT NULL);
CREATE INDEX document_status ON document(status, created_at, id);
CREATE INDEX document_deleting ON document(created_at, id) WHERE delete_requested;
CREATE INDEX document_path ON document(file_path, created_at);
CREATE INDEX document_content ON document(content_hash) WHERE content_hash <> '';
CREATE INDEX document_source ON document(source_hash) WHERE source_hash <> '';
CREATE INDEX document_track ON document(track_id);
CREATE INDEX document_updated ON document(updated_at, id);
CREATE INDEX document_created ON document(created_at, id);
CREATE TABLE lease(doc TEXT PRIMARY KEY, owner TEXT NOT NULL, until REAL NOT NULL) WITHOUT ROWID;
CREATE INDEX lease_owner ON lease(owner);
CREATE TABLE setting(name TEXT PRIMARY KEY, value) WITHOUT ROWID;
"""


def _create(conn: sqlite3.Connection) -> None:
    scripts = [_KV.format(namespace.value) for namespace in Namespace]
    scripts += [_VECTORS.format(kind.value) for kind in VectorKind]
    for script in (*scripts, _GRAPH, _LEXICAL, _DOCUMENTS):
        for statement in script.split(";\n"):
            if statement.strip():
                conn.execute(statement)


def _add_edits(conn: sqlite3.Connection) -> None:
    _add_namespace(conn, Namespace.EDITS)


def _add_sparse(conn: sqlite3.Connection) -> None:
    _add_namespace(conn, Namespace.SPARSE)


def _add_namespace(conn: sqlite3.Connection, namespace: Namespace) -> None:
    # A file that `_create` has just made has every namespace already.
    conn.execute(_KV.format(namespace.value).strip().replace("CREATE TABLE", "CREATE TABLE IF NOT EXISTS"))


MIGRATIONS: tuple[Callable[[sqlite3.Connection], None], ...] = (_create, _add_edits, _add_sparse)
"""Step i takes a file of version i to version i + 1, inside a transaction."""


def migrate(conn: sqlite3.Connection, path: Path) -> None:
    """Bring the file to the newest version; raises `StorageMismatch` for one made by a newer program."""
    version = _version(conn, path)
    if version == len(MIGRATIONS):
        return
    conn.execute("BEGIN IMMEDIATE")
    try:
        # Another process may have done it while this one waited.
        for step in MIGRATIONS[_version(conn, path) :]:
            step(conn)
        conn.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        conn.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
        conn.execute("COMMIT")
    except BaseException:
        if conn.in_transaction:
            conn.execute("ROLLBACK")
        raise


def clear(conn: sqlite3.Connection, keep: Collection[Namespace]) -> None:
    """Delete every row but these namespaces, inside a transaction; readers learn that what they hold is void."""
    for namespace in Namespace:
        if namespace not in keep:
            conn.execute(f"DELETE FROM kv_{namespace.value}")
    clear_graph(conn)
    for table in ("passage", "document", "lease"):
        conn.execute(f"DELETE FROM {table}")
    conn.execute("INSERT INTO passage_index(passage_index) VALUES ('delete-all')")
    clear_vectors(conn)


def clear_graph(conn: sqlite3.Connection) -> None:
    """Delete mentions, nodes and edges, inside a transaction; readers learn that what they hold is void."""
    for table in ("entity_mention", "relation_mention", "relation", "entity", "chunk", "change"):
        conn.execute(f"DELETE FROM {table}")
    conn.execute("INSERT INTO change(kind, a) VALUES (0, 0)")


def clear_vectors(conn: sqlite3.Connection) -> None:
    """Delete all vectors and their dimension, inside a transaction; readers learn that what they hold is void."""
    for kind in VectorKind:
        for table in ("vector", "code", "gone"):
            conn.execute(f"DELETE FROM {table}_{kind.value}")
        conn.execute(f"INSERT INTO gone_{kind.value}(id) VALUES (0)")
    conn.execute("DELETE FROM setting WHERE name = 'dimension'")


def _version(conn: sqlite3.Connection, path: Path) -> int:
    application = int(conn.execute("PRAGMA application_id").fetchone()[0])
    version = int(conn.execute("PRAGMA user_version").fetchone()[0])
    tables = int(conn.execute("SELECT count(*) FROM sqlite_master").fetchone()[0])
    if application != APPLICATION_ID and (application or version or tables):
        raise damaged(path, "this is a database of another program")
    if version > len(MIGRATIONS):
        raise StorageMismatch(
            f"{path}: written by a newer version of this program (format {version}, this one knows"
            f" {len(MIGRATIONS)}); install that version or use another working directory"
        )
    return version
