"""Manual edits of the graph: a log that is only appended to, and never loses to what documents say.

Rows of `Namespace.EDITS`:

- `e:{number}` → an edit: its id, time, author, kind, arguments, and whether it was undone,
- `t:{number}:{chunk id}` → the edit decided what a mention of this chunk became,
- `c:{chunk id}` → {"edits": [number, …]}: the same from the chunk's side,
- `version` → {"epoch", "last"}: the epoch changes when an edit is undone, `last` is the number of the newest edit.

Numbers have twelve digits, so that keys are in the order in which edits were made.
"""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

from lightrag.storage.contracts import KVStore, Namespace, Storage
from lightrag.types import JsonObject

VERSION_KEY = "version"
PAGE = 1000


class EditKind(StrEnum):
    """What an edit does; the arguments are those of the function of `GraphEditor` with this name."""

    CREATE_ENTITY = "create_entity"
    EDIT_ENTITY = "edit_entity"
    DELETE_ENTITY = "delete_entity"
    CREATE_RELATION = "create_relation"
    EDIT_RELATION = "edit_relation"
    DELETE_RELATION = "delete_relation"
    MERGE_ENTITIES = "merge_entities"


@dataclasses.dataclass(frozen=True, slots=True)
class Edit:
    """One manual change of the graph."""

    number: int
    """Place in the log, from 1."""
    id: str
    kind: EditKind
    arguments: Mapping[str, Any]
    """JSON values; names as they were when the edit was made."""
    created_at: int
    """Unix seconds."""
    author: str = ""
    undone: bool = False

    @property
    def key(self) -> str:
        """The key of the edit's row."""
        return edit_key(self.number)

    def row(self) -> JsonObject:
        """Return the edit as it is stored."""
        return {
            "id": self.id,
            "kind": self.kind.value,
            "arguments": dict(self.arguments),
            "created_at": self.created_at,
            "author": self.author,
            "undone": self.undone,
        }

    @classmethod
    def from_row(cls, key: str, row: JsonObject) -> Edit:
        """Return an edit from its stored form."""
        return cls(
            number=int(key.partition(":")[2]),
            id=row["id"],
            kind=EditKind(row["kind"]),
            arguments=row["arguments"],
            created_at=row["created_at"],
            author=row["author"],
            undone=row["undone"],
        )


@dataclasses.dataclass(frozen=True, slots=True)
class LogVersion:
    """Tells whether a log is the one that was read: equal versions mean equal logs."""

    epoch: str = ""
    """Empty where the workspace was never edited, or was cleared since."""
    last: int = 0


def edit_key(number: int) -> str:
    """Return the key of an edit's row."""
    return f"e:{number:012d}"


def edit_id(number: int) -> str:
    """Return the id by which users name an edit; it holds its number, so that it is found without a search."""
    return f"edit-{number}-{uuid.uuid4().hex[:8]}"


def number_of_id(id: str) -> int | None:
    """Return the number that an id holds; None where it is no edit's id."""
    prefix, _, rest = id.partition("-")
    digits = rest.partition("-")[0]
    return int(digits) if prefix == "edit" and digits.isdecimal() and len(digits) <= 12 else None


async def read_version(storage: Storage) -> LogVersion:
    """Return the version of the log."""
    row = (await storage.kv(Namespace.EDITS).get([VERSION_KEY])).get(VERSION_KEY)
    return LogVersion() if row is None else LogVersion(row["epoch"], row["last"])


async def write_version(storage: Storage, version: LogVersion) -> None:
    """Store the version of the log."""
    row = {"epoch": version.epoch, "last": version.last}
    await storage.kv(Namespace.EDITS).put({VERSION_KEY: row})


def new_epoch() -> str:
    """Return a name for a log that differs from every one before by more than edits at its end."""
    return uuid.uuid4().hex


async def read_edits(storage: Storage, *, after: int = 0) -> list[Edit]:
    """Return all edits with a greater number, in order, undone ones included."""
    edits: list[Edit] = []
    store, place = storage.kv(Namespace.EDITS), edit_key(after)
    while rows := await store.scan(prefix="e:", after=place, limit=PAGE):
        place = rows[-1][0]
        edits += [Edit.from_row(key, row) for key, row in rows]
    return edits


async def read_newest(storage: Storage, limit: int, *, before: int | None = None) -> list[Edit]:
    """Return up to `limit` edits with a number below `before`, the newest first."""
    last = (await read_version(storage)).last
    top = last if before is None else min(before - 1, last)
    keys = [edit_key(number) for number in range(max(top - limit, 0) + 1, top + 1)]
    rows = await storage.kv(Namespace.EDITS).get(keys)
    return [Edit.from_row(key, rows[key]) for key in reversed(keys) if key in rows]


async def find_edit(storage: Storage, id: str) -> Edit | None:
    """Return the edit of this id, if there is one."""
    number = number_of_id(id)
    if number is None:
        return None
    key = edit_key(number)
    row = (await storage.kv(Namespace.EDITS).get([key])).get(key)
    edit = Edit.from_row(key, row) if row is not None else None
    return edit if edit is not None and edit.id == id else None


# Which edits decided what of which chunk. By this an edit is undone without looking at other chunks.


def _trace_key(number: int, chunk_id: str) -> str:
    return f"t:{number:012d}:{chunk_id}"


async def put_traces(store: KVStore, applied: Mapping[str, frozenset[int]]) -> None:
    """Note for each chunk which edits decided about its mentions, in place of what was noted before."""
    await drop_traces(store, list(applied))
    rows: dict[str, JsonObject] = {}
    for chunk_id, numbers in applied.items():
        if numbers:
            rows[f"c:{chunk_id}"] = {"edits": sorted(numbers)}
            rows.update({_trace_key(number, chunk_id): {} for number in numbers})
    if rows:
        await store.put(rows)


async def drop_traces(store: KVStore, chunk_ids: Sequence[str]) -> None:
    """Forget what was noted of these chunks."""
    rows = await store.get([f"c:{chunk_id}" for chunk_id in chunk_ids])
    gone = list(rows)
    for key, row in rows.items():
        gone += [_trace_key(number, key[2:]) for number in row["edits"]]
    if gone:
        await store.delete(gone)


async def traced_chunks(store: KVStore, number: int) -> list[str]:
    """Return the chunks about whose mentions an edit decided."""
    chunks: list[str] = []
    prefix = _trace_key(number, "")
    after = prefix
    while rows := await store.scan(prefix=prefix, after=after, limit=PAGE):
        after = rows[-1][0]
        chunks += [key[len(prefix) :] for key, _ in rows]
    return chunks
