"""Writes summaries of entities and relations of which much has been said."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from lightrag.errors import LightRAGError
from lightrag.indexing.contributions import Folder
from lightrag.indexing.fold import SummaryNeed, estimate_tokens
from lightrag.indexing.stale import StaleKey, StaleKind, StaleText
from lightrag.llm.contracts import ChatModel, ChatRequest, Message, Role
from lightrag.prompts import fill
from lightrag.storage.contracts import Namespace, Storage, Touched
from lightrag.storage.rows import pair_of_key

COUNTED = 1000
ROUND = 64
"""Summaries that are looked up, written and folded together."""


class Summarizer:
    """Summarises what the fold listed as too long.

    It works when no document waits, so that a name which many documents of a batch mention is summarised once. A
    summary is kept under the hash of its fragments: the same fragments are never summarised twice. `can_write` tells
    whether there is a model at this moment.
    """

    def __init__(
        self,
        storage: Storage,
        chat: ChatModel,
        fold: Folder,
        *,
        language: str,
        context_tokens: int,
        words: int,
        parallel: int,
        can_write: Callable[[], bool] = lambda: True,
    ) -> None:
        self._storage = storage
        self._chat = chat
        self._fold = fold
        self._language = language
        self._context_tokens = context_tokens
        self._words = words
        self._slots = asyncio.Semaphore(parallel)
        self._can_write = can_write

    async def run_round(self) -> tuple[int, list[StaleText], LightRAGError | None]:
        """Do up to `ROUND` summaries.

        Returns how many were listed, the vectors that became stale, and the first failure; what failed stays listed.
        """
        keys = await self._listed() if self._can_write() else []
        if not keys:
            return 0, [], None
        needs = await self._needs(keys)
        rows = await self._storage.kv(Namespace.SUMMARIES).get([need.key for need in needs.values()])
        missing = {need.key: need for need in needs.values() if need.key not in rows}
        outcomes = await asyncio.gather(*(self._summarise(need) for need in missing.values()))
        written = {key: {"text": text} for key, text in zip(missing, outcomes, strict=True) if isinstance(text, str)}
        failed = missing.keys() - written.keys()
        done = [key for key in keys if key not in needs or needs[key].key not in failed]
        async with self._storage.transaction() as tx:
            await tx.kv(Namespace.SUMMARIES).put(written)
            await tx.kv(Namespace.STALE).delete([str(key) for key in done])
            stale = await self._fold.refold(
                tx,
                Touched(
                    frozenset(key.key for key in done if key.kind == StaleKind.ENTITY_SUMMARY),
                    frozenset(pair_of_key(key.key) for key in done if key.kind == StaleKind.RELATION_SUMMARY),
                ),
            )
        return len(keys), stale, next((outcome for outcome in outcomes if not isinstance(outcome, str)), None)

    async def waiting(self) -> int:
        """Return how many summaries are listed; of entities and of relations, at most `COUNTED` each are counted.

        0 as long as there is no model to write them.
        """
        if not self._can_write():
            return 0
        stale = self._storage.kv(Namespace.STALE)
        kinds = (StaleKind.ENTITY_SUMMARY, StaleKind.RELATION_SUMMARY)
        return sum([len(await stale.scan(prefix=f"{kind}:", limit=COUNTED)) for kind in kinds])

    async def _listed(self) -> list[StaleKey]:
        keys: list[StaleKey] = []
        for kind in (StaleKind.ENTITY_SUMMARY, StaleKind.RELATION_SUMMARY):
            rows = await self._storage.kv(Namespace.STALE).scan(prefix=f"{kind}:", limit=ROUND - len(keys))
            keys += [StaleKey.parse(stored) for stored, _ in rows]
            if len(keys) >= ROUND:
                break
        return keys

    async def _needs(self, keys: Sequence[StaleKey]) -> dict[StaleKey, SummaryNeed]:
        overlay = await self._fold.overlays.current(self._storage)
        names = [key.key for key in keys if key.kind == StaleKind.ENTITY_SUMMARY]
        pairs = [pair_of_key(key.key) for key in keys if key.kind == StaleKind.RELATION_SUMMARY]
        entities = await self._fold.entity_drafts(self._storage, names, overlay)
        relations = await self._fold.relation_drafts(self._storage, pairs, overlay)
        needs: dict[StaleKey, SummaryNeed] = {}
        for key in keys:
            need = None
            if key.kind == StaleKind.ENTITY_SUMMARY and key.key in entities:
                need = entities[key.key].need
            elif key.kind == StaleKind.RELATION_SUMMARY and pair_of_key(key.key) in relations:
                need = relations[pair_of_key(key.key)].need
            if need is not None:
                needs[key] = need
        return needs

    async def _summarise(self, need: SummaryNeed) -> str | LightRAGError:
        share = max(self._context_tokens // len(need.fragments), 50)
        notes = "\n".join(f"- {_cut(fragment, share)}" for fragment in need.fragments)
        request = ChatRequest(
            (
                Message("system", fill("summary_system", language=self._language, words=str(self._words))),
                Message("user", fill("summary_user", subject=need.label, notes=notes)),
            ),
            Role.SUMMARY,
        )
        async with self._slots:
            try:
                reply = await self._chat.complete(request)
            except LightRAGError as error:
                return error
        return reply.text.strip()


def _cut(fragment: str, tokens: int) -> str:
    estimated = estimate_tokens(fragment)
    return fragment if estimated <= tokens else fragment[: len(fragment) * tokens // estimated]
