"""What a workspace was made with, recorded in it, so that a start with something else is refused."""

from __future__ import annotations

import dataclasses

from lightrag.errors import StorageMismatch
from lightrag.indexing.progress import now_iso
from lightrag.storage.contracts import Namespace, Storage, VectorKind

KEY = "manifest"
UNNAMED = "function"
"""Binding of embedding models that are functions of a script: nobody can tell which model is behind one, and only the
dimension of their vectors is compared, by the stores."""


@dataclasses.dataclass(frozen=True, slots=True)
class Manifest:
    """What vectors were made by, and which family keeps them."""

    embedding: str
    """Binding and model name."""
    family: str


async def read_manifest(storage: Storage) -> Manifest | None:
    """Return what the workspace was made with; None where it is new or empty of vectors."""
    row = (await storage.kv(Namespace.META).get([KEY])).get(KEY)
    if row is None or not await _has_vectors(storage):
        return None
    return Manifest(str(row.get("embedding", "")), str(row.get("family", "")))


async def manifest_of_data(storage: Storage) -> Manifest | None:
    """Return what the workspace's vectors are made with; None where it holds no documents whose vectors could be."""
    row = (await storage.kv(Namespace.META).get([KEY])).get(KEY)
    if row is None or not (await _has_vectors(storage) or any((await storage.documents.counts()).values())):
        return None
    return Manifest(str(row.get("embedding", "")), str(row.get("family", "")))


async def note_manifest(storage: Storage, mine: Manifest) -> None:
    """Record what an empty workspace will be made with, where that is not recorded yet."""
    row = (await storage.kv(Namespace.META).get([KEY])).get(KEY, {})
    if row.get("embedding") != mine.embedding:
        await write_manifest(storage, mine)


async def check_manifest(storage: Storage, mine: Manifest) -> None:
    """Record the manifest of a new workspace, or compare it with the recorded one.

    Raises `StorageMismatch` where vectors of another model are stored; the message tells the way out.
    """
    recorded = await read_manifest(storage)
    if recorded is not None and _is_unnamed(recorded) and recorded != mine:
        await write_manifest(storage, mine)
        return
    if recorded is not None and recorded.embedding != mine.embedding and not _is_unnamed(mine):
        raise StorageMismatch(
            f"Workspace '{storage.workspace or 'default'}' was indexed with the embedding model "
            f"'{recorded.embedding}', but '{mine.embedding}' is configured. Configure the former one again "
            "(EMBEDDING_BINDING, EMBEDDING_MODEL), add it to the workspace (POST /llm/add_llm), or make all vectors "
            "anew with: lightrag repair --re-embed"
        )
    if recorded is None:
        await write_manifest(storage, mine)


def _is_unnamed(manifest: Manifest) -> bool:
    return manifest.embedding.partition("/")[0] == UNNAMED


async def write_manifest(storage: Storage, mine: Manifest) -> None:
    """Record what the workspace is made with."""
    await storage.kv(Namespace.META).put(
        {KEY: {"embedding": mine.embedding, "family": mine.family, "written_at": now_iso()}}
    )


async def _has_vectors(storage: Storage) -> bool:
    for kind in VectorKind:
        # Not counted: this is asked with every batch of vectors.
        if await storage.vectors(kind).scan(limit=1):
            return True
    return False
