"""Makes all vectors of a workspace anew with another embedding model, beside the present ones, and then switches.

Until the switch everything goes on with the present vectors. The vectors that are made are kept in the workspace
(`Namespace.META`), so that a start that was cut short goes on where it stopped. The switch is one transaction: what
changed since its vector was made is listed as stale, and made by the pipeline like any other.
"""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Literal

import numpy as np

from lightrag.errors import Conflict, LightRAGError, NotFound
from lightrag.indexing.fold import entity_vector_text, relation_vector_text, text_hash
from lightrag.indexing.manifest import Manifest, manifest_of_data, write_manifest
from lightrag.indexing.owner import is_dead
from lightrag.indexing.stale import VECTOR_KINDS, StaleKey, StaleKind, StaleText
from lightrag.llm.contracts import EmbeddingModel, FloatArray
from lightrag.storage.contracts import Namespace, Storage, VectorRow
from lightrag.storage.rows import chunk_of_row, key_of_pair
from lightrag.types import JsonObject, Pair

State = Literal["none", "running", "failed", "cancelled", "completed"]
KEY = "re_embedding"
_PREFIX = "re_embedded:"
_PAGE = 256
_FEW = 256
"""A pass that found no more than so many texts without a vector is the last one before the switch."""
SILENT_SECONDS = 60.0
"""After how long without a sign of life a run is taken for dead."""

_log = logging.getLogger("lightrag.vectors")


@dataclasses.dataclass(frozen=True, slots=True)
class ReEmbeddingStatus:
    """How far it is."""

    state: State = "none"
    model: str = ""
    """Binding and name of the model that is changed to."""
    before: str = ""
    """What the caller asked to be noted, for a return."""
    total: int = 0
    done: int = 0
    started_at: float = 0.0
    error: str = ""


class ReEmbedding:
    """The change of one workspace's embedding model; at most one runs at a time, in whichever process.

    Args:
        storage: The workspace.
        owner: Names this process.
        find: Returns the model of a name (binding and name), None where there is none.
        switched: Told the new model inside the switching transaction; has everything use it from then on.
        after: Called when the switch is committed.
    """

    def __init__(
        self,
        storage: Storage,
        owner: str,
        find: Callable[[str], Awaitable[EmbeddingModel | None]],
        switched: Callable[[EmbeddingModel], None],
        after: Callable[[], Awaitable[None]],
    ) -> None:
        self._storage = storage
        self._owner = owner
        self._find = find
        self._switched = switched
        self._after = after
        self._task: asyncio.Task[None] | None = None
        self.make_the_rest: Callable[[], Awaitable[None]] | None = None
        """Makes, after the switch, the vectors of what changed meanwhile."""

    @property
    def is_running(self) -> bool:
        """Whether this process makes the vectors."""
        return self._task is not None and not self._task.done()

    async def status(self) -> ReEmbeddingStatus:
        """Return how far it is, in whichever process."""
        return _status(await self._row(self._storage))

    async def start(self, name: str, before: str = "") -> ReEmbeddingStatus:
        """Begin, or go on with what was cut short or failed.

        Raises `NotFound` for a model that is not there, `Conflict` where one runs already, or the vectors are of this
        model.
        """
        model = await self._find(name)
        if model is None:
            raise NotFound(f"There is no embedding model '{name}' in this workspace; add it first")
        recorded = await manifest_of_data(self._storage)
        if recorded is None or recorded.embedding == name:
            raise Conflict(f"The vectors of this workspace are of '{name}' already, or there are none")
        async with self._storage.transaction() as tx:
            row = await self._row(tx)
            if _is_alive(row):
                raise Conflict(f"The vectors are being made anew with '{row.get('model')}'; cancel that first")
            same = row.get("model") == name and row.get("state") in ("running", "failed")
            await tx.kv(Namespace.META).put(
                {
                    KEY: {
                        "state": "running",
                        "model": name,
                        "before": row.get("before", before) if same else before,
                        "total": await _count(tx),
                        "done": 0,
                        "started_at": time.time(),
                        "owner": self._owner,
                        "beat": time.time(),
                    }
                }
            )
        if not same:
            await self._forget()
        self._begin(name, model)
        return await self.status()

    async def resume(self) -> None:
        """Go on with what another process left behind."""
        row = await self._row(self._storage)
        if row.get("state") != "running" or _is_alive(row):
            return
        try:
            await self.start(str(row["model"]))
        except LightRAGError as error:
            _log.warning("vectors are not made anew any further: %s", error)

    async def cancel(self) -> ReEmbeddingStatus:
        """Stop and forget what was made; the present vectors stay. Raises `Conflict` where nothing runs."""
        async with self._storage.transaction() as tx:
            row = await self._row(tx)
            if row.get("state") not in ("running", "failed"):
                raise Conflict("No vectors are being made anew")
            await tx.kv(Namespace.META).put({KEY: {**row, "state": "cancelled"}})
        await self.close()
        await self._forget()
        return await self.status()

    async def close(self) -> None:
        """Stop; the next start goes on."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _begin(self, name: str, model: EmbeddingModel) -> None:
        self._task = asyncio.create_task(self._run(name, model), name="re-embedding")

    async def _run(self, name: str, model: EmbeddingModel) -> None:
        try:
            while await self._pass(model) > _FEW:
                _log.info("texts have changed meanwhile; making their vectors")
            await self._switch(name, model)
        except _Stopped:
            await self._forget()
        except LightRAGError as error:
            _log.warning("vectors are not made anew any further: %s", error)
            await self._note(state="failed", error=str(error))
        except Exception as error:
            _log.exception("vectors could not be made anew for an unforeseen reason")
            await self._note(state="failed", error=f"Internal error ({type(error).__name__}); see the server's log")

    async def _pass(self, model: EmbeddingModel) -> int:
        """Make the vectors that are missing or no longer fit; return how many."""
        made, seen = 0, 0
        async for texts in _texts(self._storage):
            staged = await self._storage.kv(Namespace.META).get([_PREFIX + str(item.key) for item in texts])
            missing = [
                item for item in texts if staged.get(_PREFIX + str(item.key), {}).get("hash") != text_hash(item.text)
            ]
            if missing:
                vectors = await model.embed([item.text for item in missing], purpose="document")
                rows = {
                    _PREFIX + str(item.key): {"hash": text_hash(item.text), "vector": _packed(vector)}
                    for item, vector in zip(missing, vectors, strict=True)
                }
                await self._storage.kv(Namespace.META).put(rows)
            made, seen = made + len(missing), seen + len(texts)
            await self._note(done=seen)
        return made

    async def _switch(self, name: str, model: EmbeddingModel) -> None:
        dimension = model.facts.dimension
        async with self._storage.transaction() as tx:
            if (await self._row(tx)).get("state") != "running":
                raise _Stopped
            await tx.drop_vectors()
            await tx.kv(Namespace.SPARSE).clear()
            if dimension:
                await tx.set_dimension(dimension)
            async for texts in _texts(tx):
                await _adopt(tx, texts)
            await write_manifest(tx, Manifest(name, tx.family))
            row = await self._row(tx)
            await tx.kv(Namespace.META).put({KEY: {**row, "state": "completed", "done": row.get("total", 0)}})
            self._switched(model)
        await self._forget()
        await self._after()
        if self.make_the_rest is not None:
            await self.make_the_rest()

    async def _note(self, **changes: str | int) -> None:
        async with self._storage.transaction() as tx:
            row = await self._row(tx)
            if row.get("state") != "running" or row.get("owner") != self._owner:
                raise _Stopped
            await tx.kv(Namespace.META).put({KEY: {**row, **changes, "beat": time.time()}})

    async def _forget(self) -> None:
        meta = self._storage.kv(Namespace.META)
        while rows := await meta.scan(prefix=_PREFIX, limit=1000):
            await meta.delete([key for key, _ in rows])

    @staticmethod
    async def _row(storage: Storage) -> JsonObject:
        return (await storage.kv(Namespace.META).get([KEY])).get(KEY, {})


class _Stopped(Exception):
    """Somebody cancelled it, or another process took it over."""


async def _texts(storage: Storage) -> AsyncIterator[list[StaleText]]:
    """Yield all texts that have a vector, some at a time."""
    after = ""
    while rows := await storage.kv(Namespace.TEXT_CHUNKS).scan(after=after, limit=_PAGE):
        after = rows[-1][0]
        yield [StaleText(StaleKey(StaleKind.CHUNK, key), chunk_of_row(key, row).content) for key, row in rows]
    after = ""
    while entities := await storage.graph.scan_entities(after=after, limit=_PAGE):
        after = entities[-1].name
        yield [StaleText(StaleKey(StaleKind.ENTITY, one.name), entity_vector_text(one)) for one in entities]
    last: Pair | None = None
    while relations := await storage.graph.scan_relations(after=last, limit=_PAGE):
        last = relations[-1].pair
        yield [
            StaleText(StaleKey(StaleKind.RELATION, key_of_pair(one.pair)), relation_vector_text(one))
            for one in relations
        ]


async def _adopt(tx: Storage, texts: Sequence[StaleText]) -> None:
    """Store the vectors that were made of these texts; list the others as stale."""
    staged = await tx.kv(Namespace.META).get([_PREFIX + str(item.key) for item in texts])
    fitting: list[tuple[StaleKey, VectorRow]] = []
    stale: dict[str, JsonObject] = {}
    for item in texts:
        row, digest = staged.get(_PREFIX + str(item.key), {}), text_hash(item.text)
        if row.get("hash") == digest:
            fitting.append((item.key, VectorRow(item.key.key, digest, _unpacked(str(row["vector"])))))
        else:
            stale[str(item.key)] = {"hash": digest}
    for kind, collection in VECTOR_KINDS.items():
        rows = [row for key, row in fitting if key.kind == kind]
        if rows:
            await tx.vectors(collection).put(rows)
    await tx.kv(Namespace.STALE).delete([str(key) for key, _ in fitting])
    await tx.kv(Namespace.STALE).put(stale)


async def _count(storage: Storage) -> int:
    return await storage.kv(Namespace.TEXT_CHUNKS).count() + sum(await storage.graph.counts())


def _is_alive(row: JsonObject) -> bool:
    if row.get("state") != "running":
        return False
    return not is_dead(str(row.get("owner", ""))) and time.time() - float(row.get("beat", 0)) < SILENT_SECONDS


def _status(row: JsonObject) -> ReEmbeddingStatus:
    names = [field.name for field in dataclasses.fields(ReEmbeddingStatus)]
    return ReEmbeddingStatus(**{name: row[name] for name in names if name in row})


def _packed(vector: FloatArray) -> str:
    return base64.b64encode(np.asarray(vector, "<f4").tobytes()).decode()


def _unpacked(text: str) -> FloatArray:
    return np.frombuffer(base64.b64decode(text), "<f4").astype(np.float32)
