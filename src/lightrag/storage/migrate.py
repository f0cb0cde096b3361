"""Copies a workspace from one storage family to any other, through their contracts alone.

Every batch is one transaction of the target together with the place reached, so that an interrupted copy goes on where
it stopped. At the end both sides are read again and compared: counts and checksums of all rows, vectors number by
number. Not copied are leases, and the terms of the text index, which are cut anew from the chunks.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Protocol

import numpy as np
import orjson

from lightrag.errors import Conflict, StorageError, StorageMismatch
from lightrag.storage.contracts import Namespace, Storage, VectorKind, VectorRow
from lightrag.text.words import index_terms
from lightrag.types import DocumentRecord, ExtractedEntity, ExtractedRelation, MentionSource, Pair

PROGRESS_KEY = "migration"
"""Key of the place reached, in the target's namespace `meta`, until the copy is complete."""
BATCH = 500
_NAMES = 100
"""Names whose mentions are copied together; one of them may have thousands."""
_ALL = 2**31 - 1
_LARGEST_DIFFERENCE = 1e-5
"""Between the numbers of a vector on both sides: families store unit vectors, which are scaled once more."""


@dataclasses.dataclass(frozen=True, slots=True)
class PartReport:
    """One part of a workspace that is the same on both sides."""

    name: str
    rows: int
    checksum: str


class Progress(Protocol):
    """Is told how far a copy is."""

    def __call__(self, part: str, done: int, total: int) -> None:
        """`done` of `total` rows of a part are dealt with."""
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class _Page:
    """Rows of a part, ready to be put, with what they are compared by, and where the next page begins."""

    rows: Sequence[Any]
    marks: Sequence[Any]
    """JSON values, one per row."""
    after: Any


@dataclasses.dataclass(frozen=True, slots=True)
class _Part:
    """A part of a workspace: how it is read page by page, put, and counted."""

    name: str
    read: Callable[[Storage, Any], AsyncIterator[_Page]]
    put: Callable[[Storage, Sequence[Any]], Awaitable[object]]
    count: Callable[[Storage], Awaitable[int]]


async def migrate(
    source: Storage, target: Storage, *, progress: Progress | None = None, batch: int = BATCH
) -> list[PartReport]:
    """Copy a workspace between two open storages; return what was compared.

    The source must not change meanwhile. Raises `Conflict` where the target holds data of its own, `StorageMismatch`
    where the two differ at the end.
    """
    tell = progress or _silent
    parts = _parts(target.family, batch)
    reached = await _begin(source, target)
    for number, part in enumerate(parts):
        if number >= reached["part"]:
            after = reached["after"] if number == reached["part"] else None
            await _copy(source, target, part, number, after, tell)
    await _index_texts(target, batch, tell)
    reports: list[PartReport] = []
    for part in parts:
        reports.append(await _compared(source, target, part))
        tell("comparing", len(reports), len(parts))
    await target.kv(Namespace.META).delete([PROGRESS_KEY])
    return reports


async def _begin(source: Storage, target: Storage) -> dict[str, Any]:
    """Return where to go on; fixes the target's dimension."""
    row = (await target.kv(Namespace.META).get([PROGRESS_KEY])).get(PROGRESS_KEY)
    if row is None:
        if await _holds_data(target):
            raise Conflict(
                f"the target ({target.family}) holds data already; choose an empty one, or have it emptied first"
                " (--restart)"
            )
        row = {"from": source.family, "part": 0, "after": None}
        await target.kv(Namespace.META).put({PROGRESS_KEY: row})
    elif row["from"] != source.family:
        raise Conflict(
            f"the target holds an unfinished copy from {row['from']}, not from {source.family}; finish that one, or"
            " begin anew (--restart)"
        )
    dimension = await _dimension(source)
    if dimension:
        await target.set_dimension(dimension)
    return row


async def _holds_data(storage: Storage) -> bool:
    if await storage.documents.counts() or any(await storage.graph.counts()):
        return True
    return any([await storage.kv(namespace).count() for namespace in Namespace])


async def _dimension(storage: Storage) -> int:
    for kind in VectorKind:
        keys = [key for key, _ in await storage.vectors(kind).scan(limit=1)]
        for vector in (await storage.vectors(kind).get(keys)).values():
            return len(vector)
    return 0


async def _copy(source: Storage, target: Storage, part: _Part, number: int, after: Any, tell: Progress) -> None:
    total = await part.count(source)
    done = await part.count(target) if after is not None else 0
    async for page in part.read(source, after):
        async with target.transaction() as tx:
            await part.put(tx, page.rows)
            row = {"from": source.family, "part": number, "after": page.after}
            await tx.kv(Namespace.META).put({PROGRESS_KEY: row})
        done += len(page.rows)
        tell(part.name, min(done, total), total)
    await target.kv(Namespace.META).put({PROGRESS_KEY: {"from": source.family, "part": number + 1, "after": None}})


async def _index_texts(target: Storage, batch: int, tell: Progress) -> None:
    total = await target.kv(Namespace.TEXT_CHUNKS).count()
    if target.lexical is None or await target.lexical.count() == total:
        return
    after, done = "", 0
    while rows := await target.kv(Namespace.TEXT_CHUNKS).scan(after=after, limit=batch):
        after = rows[-1][0]
        await target.lexical.put({key: index_terms(str(row.get("content", ""))) for key, row in rows})
        done += len(rows)
        tell("text index", done, total)


async def _compared(source: Storage, target: Storage, part: _Part) -> PartReport:
    """Return what both sides agree on; raises `StorageMismatch` where they do not."""
    (rows, checksum), found = await _summary(source, part), await _summary(target, part)
    if found != (rows, checksum):
        raise StorageMismatch(
            f"{part.name}: {rows} rows with checksum {checksum} in {source.family}, {found[0]} with {found[1]} in"
            f" {target.family}. Was the source changed meanwhile? Stop what uses it and begin anew (--restart)"
        )
    if part.name.startswith("vectors"):
        await _compare_numbers(source, target, VectorKind(part.name.partition(" ")[2]))
    return PartReport(part.name, rows, checksum)


async def _summary(storage: Storage, part: _Part) -> tuple[int, str]:
    digest, count = hashlib.blake2b(digest_size=16), 0
    async for page in part.read(storage, None):
        for mark in page.marks:
            digest.update(orjson.dumps(mark, option=orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE))
            count += 1
    return count, digest.hexdigest()


async def _compare_numbers(source: Storage, target: Storage, kind: VectorKind) -> None:
    after = ""
    while rows := await source.vectors(kind).scan(after=after, limit=BATCH):
        after = rows[-1][0]
        keys = [key for key, _ in rows]
        mine, theirs = await source.vectors(kind).get(keys), await target.vectors(kind).get(keys)
        for key in keys:
            if not np.allclose(mine[key], theirs[key], rtol=0, atol=_LARGEST_DIFFERENCE):
                raise StorageMismatch(f"the vector of {kind} {key!r} is not the same on both sides")


def _parts(family: str, batch: int) -> list[_Part]:
    return [
        *(_kv_part(namespace, family, batch) for namespace in Namespace),
        _documents_part(batch),
        _entity_mentions_part(),
        _relation_mentions_part(),
        _entities_part(batch),
        _relations_part(batch),
        *(_vectors_part(kind, batch) for kind in VectorKind),
    ]


def _kv_part(namespace: Namespace, family: str, batch: int) -> _Part:
    def adapted(key: str, row: dict[str, Any]) -> dict[str, Any]:
        # What a workspace was made with names the family too.
        is_manifest = namespace is Namespace.META and "family" in row
        return row | {"family": family} if is_manifest else row

    async def read(storage: Storage, after: Any) -> AsyncIterator[_Page]:
        after = after or ""
        while rows := await storage.kv(namespace).scan(after=after, limit=batch):
            after = rows[-1][0]
            kept = [(key, adapted(key, row)) for key, row in rows if _is_data(namespace, key)]
            yield _Page(kept, kept, after)

    async def count(storage: Storage) -> int:
        return await storage.kv(namespace).count()

    return _Part(namespace.value, read, lambda tx, rows: tx.kv(namespace).put(dict(rows)), count)


def _is_data(namespace: Namespace, key: str) -> bool:
    return namespace is not Namespace.META or key != PROGRESS_KEY


def _documents_part(batch: int) -> _Part:
    async def read(storage: Storage, after: Any) -> AsyncIterator[_Page]:
        offset = after or 0
        while True:
            rows, _ = await storage.documents.page(offset=offset, limit=batch, sort="id", descending=False)
            if not rows:
                return
            offset += len(rows)
            yield _Page(rows, [_record_mark(row) for row in rows], offset)

    async def count(storage: Storage) -> int:
        return sum((await storage.documents.counts()).values())

    return _Part("documents", read, lambda tx, rows: tx.documents.put(rows), count)


def _record_mark(record: DocumentRecord) -> Any:
    fields = {field.name: getattr(record, field.name) for field in dataclasses.fields(record)}
    return fields | {"tags": dict(record.tags), "metadata": dict(record.metadata)}


def _entity_mentions_part() -> _Part:
    async def read(storage: Storage, after: Any) -> AsyncIterator[_Page]:
        after = after or ""
        while names := await storage.graph.scan_mention_keys(after=after, limit=_NAMES):
            after = names[-1]
            found = await storage.graph.entity_evidence(names, _ALL)
            rows = [mention for name in names for mention in found[name].mentions]
            yield _Page(rows, [_plain(row.entity, row.source) for row in rows], after)

    return _Part("entity mentions", read, lambda tx, rows: tx.graph.put_mentions(rows, []), _unknown)


def _relation_mentions_part() -> _Part:
    async def read(storage: Storage, after: Any) -> AsyncIterator[_Page]:
        place: Pair | None = tuple(after) if after else None
        while pairs := await storage.graph.scan_mention_pairs(after=place, limit=_NAMES):
            place = pairs[-1]
            found = await storage.graph.relation_evidence(pairs, _ALL)
            rows = [mention for pair in pairs for mention in found[pair].mentions]
            yield _Page(rows, [_plain(row.relation, row.source) for row in rows], list(place))

    return _Part("relation mentions", read, lambda tx, rows: tx.graph.put_mentions([], rows), _unknown)


def _plain(said: ExtractedEntity | ExtractedRelation, source: MentionSource) -> dict[str, Any]:
    return {"said": said._asdict(), "source": source._asdict()}


def _entities_part(batch: int) -> _Part:
    async def read(storage: Storage, after: Any) -> AsyncIterator[_Page]:
        after = after or ""
        while rows := await storage.graph.scan_entities(after=after, limit=batch):
            after = rows[-1].name
            yield _Page(rows, [dataclasses.asdict(row) for row in rows], after)

    async def count(storage: Storage) -> int:
        return (await storage.graph.counts())[0]

    return _Part("entities", read, lambda tx, rows: tx.graph.put_entities(rows), count)


def _relations_part(batch: int) -> _Part:
    async def read(storage: Storage, after: Any) -> AsyncIterator[_Page]:
        place: Pair | None = tuple(after) if after else None
        while rows := await storage.graph.scan_relations(after=place, limit=batch):
            place = rows[-1].pair
            yield _Page(rows, [dataclasses.asdict(row) for row in rows], list(place))

    async def count(storage: Storage) -> int:
        return (await storage.graph.counts())[1]

    return _Part("relations", read, lambda tx, rows: tx.graph.put_relations(rows), count)


def _vectors_part(kind: VectorKind, batch: int) -> _Part:
    async def read(storage: Storage, after: Any) -> AsyncIterator[_Page]:
        after = after or ""
        while hashes := await storage.vectors(kind).scan(after=after, limit=batch):
            after = hashes[-1][0]
            numbers = await storage.vectors(kind).get([key for key, _ in hashes])
            if missing := next((key for key, _ in hashes if key not in numbers), None):
                raise StorageError(f"the vector of {kind} {missing!r} vanished while it was read; stop what uses it")
            yield _Page([VectorRow(key, digest, numbers[key]) for key, digest in hashes], hashes, after)

    return _Part(
        f"vectors {kind.value}",
        read,
        lambda tx, rows: tx.vectors(kind).put(rows),
        lambda storage: storage.vectors(kind).count(),
    )


async def _unknown(storage: Storage) -> int:
    return 0


def _silent(part: str, done: int, total: int) -> None:
    return None
