"""Makes stale vectors, in batches across documents."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

from lightrag.callers import NOBODY, Caller, charging
from lightrag.errors import ContextTooLong, LightRAGError, LimitReached
from lightrag.indexing.fold import entity_vector_text, relation_vector_text, text_hash
from lightrag.indexing.group_commit import GroupCommit
from lightrag.indexing.payers import Pauses
from lightrag.indexing.stale import VECTOR_KINDS, StaleKey, StaleKind, StaleText, payer_of
from lightrag.llm.contracts import EmbeddingModel, ModelFacts, SparseModel
from lightrag.storage.contracts import Namespace, Storage, VectorRow
from lightrag.storage.rows import chunk_of_row, key_of_pair, pair_of_key
from lightrag.types import JsonObject

MOST_WAITING = 4096
"""Texts beyond which long documents are placed no faster than they are embedded."""
MOST_WAITING_CHARS = 4 << 20
"""Characters beyond which the same holds."""
GATHER_SECONDS = 0.03
"""How long a batch that is not full waits for more."""

LOADED_AT_ONCE = 20_000
"""Texts that are queued together when stale vectors are looked up."""

CHANGED_SECONDS = 0.2
"""How long vectors wait that were made by a model which the workspace has no more, until another one is known."""

IsCurrent = Callable[[Storage, ModelFacts], Awaitable[bool]]
"""Tells, inside a transaction, whether a model is the one that the workspace's vectors are of."""

_log = logging.getLogger("lightrag.vectors")


class Ticket:
    """Waits until a set of vectors is made. `caller`: on whose behalf, None where nobody needs them by themselves."""

    def __init__(self, keys: Iterable[StaleKey], caller: Caller | None = None) -> None:
        self.caller = caller
        self._open = set(keys)
        self._done = asyncio.Event()
        self._failure: LightRAGError | None = None
        if not self._open:
            self._done.set()

    def settle(self, key: StaleKey, failure: LightRAGError | None) -> None:
        """Note that one vector is made, or why it is not."""
        self._open.discard(key)
        self._failure = self._failure or failure
        if not self._open:
            self._done.set()

    async def wait(self) -> None:
        """Return when all vectors are made; raises the first failure."""
        await self._done.wait()
        if self._failure is not None:
            raise self._failure


@dataclasses.dataclass(slots=True)
class _Waiting:
    text: str
    tickets: list[Ticket]


@dataclasses.dataclass(frozen=True, slots=True)
class _Due:
    """A vector that is to be made, and who pays for it."""

    key: StaleKey
    text: str
    caller: Caller


class Vectorizer:
    """Embeds what is offered to it and stores the vectors.

    What is embedded is what the stale row asks for when its turn comes, in whatever order texts were offered; a vector
    is stored only if the row still asks for it then. What several documents offer at the same time is embedded once.
    A vector is paid for by whoever made it stale; by another one who waits for it where a limit holds that one back.
    With `sparse`, the weights of chunks are made and stored together with their vectors.
    """

    def __init__(
        self,
        storage: Storage,
        commits: GroupCommit,
        embedding: EmbeddingModel,
        *,
        batch: int,
        parallel: int,
        is_current: IsCurrent | None = None,
        sparse: SparseModel | None = None,
        pauses: Pauses | None = None,
    ) -> None:
        self._storage = storage
        self._commits = commits
        self._embedding = embedding
        self._batch = batch
        self._is_current = is_current
        self._sparse = sparse
        self._pauses = pauses or Pauses()
        self._waiting: dict[StaleKey, _Waiting] = {}
        self._making: dict[StaleKey, _Waiting] = {}
        self._chars = 0
        """Of all waiting texts."""
        self._wake = asyncio.Event()
        self._slots = asyncio.Semaphore(parallel)
        self._running: set[asyncio.Task[None]] = set()
        self._loaded_to = ""
        self._fewer = asyncio.Event()

    @property
    def waiting(self) -> int:
        """How many vectors wait or are being made."""
        return len(self._waiting) + self._batch * len(self._running)

    def offer(self, texts: Sequence[StaleText], caller: Caller | None = None) -> Ticket:
        """Queue vectors; the ticket tells when they are made. `caller`: who needs them, and pays if need be."""
        ticket = Ticket((item.key for item in texts), caller)
        for item in texts:
            making = self._making.get(item.key)
            if making is not None and making.text == item.text:
                making.tickets.append(ticket)
                continue
            known = self._waiting.get(item.key)
            tickets = [*(known.tickets if known else ()), ticket]
            self._waiting[item.key] = _Waiting(item.text, tickets)
            self._chars += len(item.text) - (len(known.text) if known else 0)
        self._wake.set()
        return ticket

    @property
    def has_more(self) -> bool:
        """Whether the last `load` stopped before the end of the list."""
        return bool(self._loaded_to)

    async def room(self) -> None:
        """Wait while more texts are held than can be embedded soon."""
        while len(self._waiting) > MOST_WAITING or self._chars > MOST_WAITING_CHARS:
            self._fewer.clear()
            await self._fewer.wait()

    async def load(self) -> None:
        """Queue what is listed as stale and not queued yet: a part of it, after what the last call came to."""
        keys: list[StaleKey] = []
        while len(keys) < LOADED_AT_ONCE:
            rows = await self._storage.kv(Namespace.STALE).scan(after=self._loaded_to, limit=min(1000, LOADED_AT_ONCE))
            self._loaded_to = rows[-1][0] if rows else ""
            if not rows:
                break
            waiting = self._pauses.waiting()
            listed = [StaleKey.parse(stored) for stored, row in rows if payer_of(row) not in waiting]
            keys += [
                key
                for key in listed
                if key.kind in VECTOR_KINDS and key not in self._waiting and key not in self._making
            ]
        self.offer(await texts_of(self._storage, keys))

    async def due(self) -> frozenset[tuple[str, str]]:
        """Return key and text hash of some vectors that are listed as stale, the same ones as long as they are."""
        rows = await self._storage.kv(Namespace.STALE).scan(limit=1000)
        waiting = self._pauses.waiting()
        return frozenset(
            (key, str(row.get("hash")))
            for key, row in rows
            if StaleKey.parse(key).kind in VECTOR_KINDS and payer_of(row) not in waiting
        )

    async def run(self) -> None:
        """Make vectors until cancelled."""
        try:
            while True:
                await self._wake.wait()
                if len(self._waiting) < self._batch:
                    await asyncio.sleep(GATHER_SECONDS)
                await self._slots.acquire()
                batch = [(key, self._waiting.pop(key)) for key in list(itertools.islice(self._waiting, self._batch))]
                self._chars -= sum(len(item.text) for _, item in batch)
                self._fewer.set()
                if not self._waiting:
                    self._wake.clear()
                if not batch:
                    self._slots.release()
                    continue
                self._making.update(batch)
                task = asyncio.create_task(self._make(batch))
                self._running.add(task)
                task.add_done_callback(self._running.discard)
        finally:
            for task in self._running:
                task.cancel()
            await asyncio.gather(*self._running, return_exceptions=True)

    async def _make(self, batch: Sequence[tuple[StaleKey, _Waiting]]) -> None:
        failures: Mapping[StaleKey, LightRAGError] = {}
        try:
            failures = await self._embed(await self._commits.run(lambda tx: self._due(tx, batch)))
        except LightRAGError as error:
            failures = dict.fromkeys((key for key, _ in batch), error)
        except Exception as error:
            # Whoever waits for the vectors has to hear of it.
            _log.exception("Vectors could not be made for an unforeseen reason")
            reason = (
                f"Vectors could not be made: internal error ({type(error).__name__}: {error}); see the server's log"
            )
            failures = dict.fromkeys((key for key, _ in batch), LightRAGError(reason))
        finally:
            self._slots.release()
            for key, item in batch:
                if self._making.get(key) is item:
                    del self._making[key]
        for key, item in batch:
            for ticket in item.tickets:
                ticket.settle(key, failures.get(key))

    async def _due(self, tx: Storage, batch: Sequence[tuple[StaleKey, _Waiting]]) -> list[_Due]:
        """Return what is still to be made of a batch: meanwhile vectors may have been made, sources have changed.

        It runs in turn with the writes of documents, so that what they offered is stored by then.
        """
        stale = await tx.kv(Namespace.STALE).get([str(key) for key, _ in batch])
        wanted = {key: str(stale[str(key)].get("hash")) for key, _ in batch if str(key) in stale}
        outdated = {
            key: item
            for key, item in batch
            if key in wanted and wanted[key] != text_hash(item.text) and key not in self._waiting
        }
        for current in await texts_of(tx, list(outdated)) if outdated else ():
            outdated[current.key].text = current.text
        return [
            _Due(key, item.text, self._payer(payer_of(stale[str(key)]), item.tickets))
            for key, item in batch
            if wanted.get(key) == text_hash(item.text)
        ]

    def _payer(self, by: str, tickets: Sequence[Ticket]) -> Caller:
        """Return who pays for a vector that `by` made stale and these wait for."""
        waiting = self._pauses.waiting()
        callers = [ticket.caller for ticket in tickets if ticket.caller is not None]
        of_it = next((caller for caller in callers if (caller.token_id or "") == by), None)
        if by not in waiting:
            return of_it or (Caller(by) if by else NOBODY)
        # Who is not held back shall not wait for who is.
        others = [caller for caller in callers if (caller.token_id or "") not in waiting]
        return others[0] if others else of_it or Caller(by)

    async def _embed(self, due: Sequence[_Due]) -> dict[StaleKey, LightRAGError]:
        """Make and store vectors; return what failed for a reason of its own. Raises what concerns them all."""
        held = {item.key: error for item in due if (error := self._pauses.error(item.caller.token_id or ""))}
        due = [item for item in due if item.key not in held]
        if not due:
            return {**held}
        try:
            made = False
            while not made:
                made = await self._embed_and_store(due)
        except LimitReached as error:
            if error.holds_back not in {item.caller.token_id for item in due} or error.holds_back is None:
                raise
            # The others of the batch are not to wait for one token's limit.
            await self._pauses.note(error)
            return held | await self._embed(due)
        except ContextTooLong as error:
            if len(due) == 1:
                return {**held, due[0].key: error}
            # One text that does not fit must not fail the documents whose texts came along with it.
            half = len(due) // 2
            return held | await self._embed(due[:half]) | await self._embed(due[half:])
        return {**held}

    async def _embed_and_store(self, due: Sequence[_Due]) -> bool:
        """Make and store vectors; False where the workspace was given another model meanwhile."""
        model = self._embedding.facts
        with charging({item.text: item.caller for item in due}):
            vectors = await self._embedding.embed([item.text for item in due], purpose="document")
        rows = [
            (item.key, VectorRow(item.key.key, text_hash(item.text), vector))
            for item, vector in zip(due, vectors, strict=True)
        ]
        if await self._store(rows, model, await self._weights(due)):
            return True
        await asyncio.sleep(CHANGED_SECONDS)
        return False

    async def _weights(self, due: Sequence[_Due]) -> dict[str, JsonObject]:
        """Return rows of `Namespace.SPARSE` for those of the texts that are chunks."""
        chunks = [item for item in due if item.key.kind == StaleKind.CHUNK]
        if self._sparse is None or not chunks:
            return {}
        made = await self._sparse.weights([item.text for item in chunks], purpose="document")
        return {item.key.key: {"weights": weights} for item, weights in zip(chunks, made, strict=True) if weights}

    async def _store(
        self, rows: Sequence[tuple[StaleKey, VectorRow]], model: ModelFacts, weights: Mapping[str, JsonObject]
    ) -> bool:
        async def store(tx: Storage) -> bool:
            if self._is_current is not None and not await self._is_current(tx, model):
                return False
            stale = await tx.kv(Namespace.STALE).get([str(key) for key, _ in rows])
            current = [(key, row) for key, row in rows if stale.get(str(key), {}).get("hash") == row.content_hash]
            if current:
                # Every time: the workspace may have been emptied since, here or by another process.
                await tx.set_dimension(len(current[0][1].vector))
            for kind, collection in VECTOR_KINDS.items():
                fresh = [row for key, row in current if key.kind == kind]
                if fresh:
                    await tx.vectors(collection).put(fresh)
            chunks = {key.key for key, _ in current if key.kind == StaleKind.CHUNK}
            if weights and chunks:
                await tx.kv(Namespace.SPARSE).put({key: row for key, row in weights.items() if key in chunks})
            await tx.kv(Namespace.STALE).delete([str(key) for key, _ in current])
            return True

        return await self._commits.run(store)


async def texts_of(storage: Storage, keys: Sequence[StaleKey]) -> list[StaleText]:
    """Return the texts that vectors of these keys stand for; keys whose source is gone are left out."""
    by_kind: Mapping[StaleKind, list[str]] = {
        kind: [key.key for key in keys if key.kind == kind] for kind in VECTOR_KINDS
    }
    found: list[StaleText] = []
    chunks = await storage.kv(Namespace.TEXT_CHUNKS).get(by_kind[StaleKind.CHUNK])
    found += [StaleText(StaleKey(StaleKind.CHUNK, key), chunk_of_row(key, row).content) for key, row in chunks.items()]
    entities = await storage.graph.get_entities(by_kind[StaleKind.ENTITY])
    found += [
        StaleText(StaleKey(StaleKind.ENTITY, name), entity_vector_text(entity)) for name, entity in entities.items()
    ]
    relations = await storage.graph.get_relations([pair_of_key(key) for key in by_kind[StaleKind.RELATION]])
    found += [
        StaleText(StaleKey(StaleKind.RELATION, key_of_pair(pair)), relation_vector_text(relation))
        for pair, relation in relations.items()
    ]
    return found
