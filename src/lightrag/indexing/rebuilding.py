"""Builds the whole graph anew from what was found in chunks, where its tables contradict each other."""

from __future__ import annotations

from collections.abc import Collection
from typing import TypeVar

from lightrag.indexing.contributions import Folder, kept_extractions, store_derived
from lightrag.indexing.derivation import derive
from lightrag.indexing.rederivation import ALL, keep_adopted
from lightrag.indexing.stale import VECTOR_KINDS, StaleKey
from lightrag.storage.contracts import Namespace, Storage, Touched
from lightrag.types import Pair

K = TypeVar("K", str, Pair)

_GROUP = 64
_PAGE = 500


async def rebuild_graph(storage: Storage, fold: Folder) -> None:
    """Throw mentions, nodes and edges away and derive them from the kept extractions and the manual edits.

    One transaction: after a crash the graph is as it was. Nothing is asked of a model; vectors that stand for the same
    text as before stay.
    """
    async with storage.transaction() as tx:
        await _keep_what_has_no_extraction(tx)
        await tx.graph.clear()
        touched = await _derive_all(tx, fold)
        overlay = await fold.overlays.current(tx)
        names = touched.names | {name for name, record in overlay.entities.items() if record.created}
        by_hand = {pair for pair, record in overlay.relations.items() if record.created}
        names |= {end for pair in by_hand for end in pair}
        for part in _groups(names):
            await fold.refold_under(tx, Touched(frozenset(part), frozenset()), overlay)
        for pairs in _groups(touched.pairs | by_hand):
            await fold.refold_under(tx, Touched(frozenset(), frozenset(pairs)), overlay)
        await _forget_made(tx)


async def _keep_what_has_no_extraction(tx: Storage) -> None:
    """Keep the mentions of chunks without an extraction as one: LightRAG's files know no extractions."""
    chunks: set[str] = set()
    after = ""
    while names := await tx.graph.scan_mention_keys(after=after, limit=_PAGE):
        after = names[-1]
        for found in (await tx.graph.entity_evidence(names, ALL)).values():
            chunks.update(mention.source.chunk_id for mention in found.mentions)
    last: Pair | None = None
    while pairs := await tx.graph.scan_mention_pairs(after=last, limit=_PAGE):
        last = pairs[-1]
        for told in (await tx.graph.relation_evidence(pairs, ALL)).values():
            chunks.update(mention.source.chunk_id for mention in told.mentions)
    for part in _groups(chunks):
        known = await tx.kv(Namespace.EXTRACTIONS).get(part)
        await keep_adopted(tx, [key for key in part if key not in known])


async def _derive_all(tx: Storage, fold: Folder) -> Touched:
    overlay = await fold.overlays.current(tx)
    names: set[str] = set()
    pairs: set[Pair] = set()
    after = ""
    while rows := await tx.kv(Namespace.EXTRACTIONS).scan(after=after, limit=_GROUP):
        after = rows[-1][0]
        extracted = await kept_extractions(tx, [key for key, _ in rows])
        touched = await store_derived(tx, [derive(item, overlay) for item in extracted], overlay)
        names |= touched.names
        pairs |= touched.pairs
    return Touched(frozenset(names), frozenset(pairs))


async def _forget_made(tx: Storage) -> None:
    """Take from the list of stale vectors those that stand for what their keys are again."""
    for kind, collection in VECTOR_KINDS.items():
        after = ""
        while rows := await tx.vectors(collection).scan(after=after, limit=_PAGE):
            after = rows[-1][0]
            made = {str(StaleKey(kind, key)): digest for key, digest in rows}
            stale = await tx.kv(Namespace.STALE).get(list(made))
            await tx.kv(Namespace.STALE).delete([key for key, row in stale.items() if row.get("hash") == made[key]])


def _groups(keys: Collection[K]) -> list[list[K]]:
    ordered = sorted(keys)
    return [ordered[start : start + _GROUP] for start in range(0, len(ordered), _GROUP)]
