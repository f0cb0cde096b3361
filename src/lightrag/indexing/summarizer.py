"""Writes summaries of entities and relations of which much has been said."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence

from lightrag.callers import NOBODY, Caller, calling_as
from lightrag.errors import LightRAGError, LimitReached
from lightrag.indexing.contributions import Folder
from lightrag.indexing.fold import SummaryNeed, estimate_tokens
from lightrag.indexing.payers import Pauses
from lightrag.indexing.stale import StaleKey, StaleKind, StaleText, payer_of
from lightrag.llm.contracts import ChatModel, ChatRequest, Message, Role
from lightrag.prompts import fill
from lightrag.storage.contracts import Namespace, Storage, Touched
from lightrag.storage.rows import pair_of_key
from lightrag.text.sentences import sentences
from lightrag.types import CUT

COUNTED = 1000
ROUND = 64
"""Summaries that are looked up, written and folded together."""
_ENDS = (".", "!", "?", "…", "。", "！", "？")


class Summarizer:
    """Summarises what the fold listed as too long.

    It works when no document waits, so that a name which many documents of a batch mention is summarised once. A
    summary is kept under the hash of its fragments: the same fragments are never summarised twice. It is paid for by
    whoever made it due; those whose payer has to wait stay listed. `can_write` tells whether there is a model at this
    moment.
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
        pauses: Pauses | None = None,
    ) -> None:
        self._storage = storage
        self._chat = chat
        self._fold = fold
        self._language = language
        self._context_tokens = context_tokens
        self._words = words
        self._slots = asyncio.Semaphore(parallel)
        self._can_write = can_write
        self._pauses = pauses or Pauses()

    async def run_round(self) -> tuple[int, list[StaleText], LightRAGError | None]:
        """Do up to `ROUND` summaries.

        Returns how many were listed, the vectors that became stale, and the first failure; what failed stays listed.
        """
        payers = await self._listed() if self._can_write() else {}
        if not payers:
            return 0, [], None
        keys = list(payers)
        needs = await self._needs(keys)
        by_need = {need.key: payers[key] for key, need in needs.items()}
        rows = await self._storage.kv(Namespace.SUMMARIES).get([need.key for need in needs.values()])
        missing = {need.key: need for need in needs.values() if need.key not in rows}
        outcomes = await asyncio.gather(*(self._summarise(need, by_need[need.key]) for need in missing.values()))
        written = {key: {"text": text} for key, text in zip(missing, outcomes, strict=True) if isinstance(text, str)}
        failed = missing.keys() - written.keys()
        done = [key for key in keys if key not in needs or needs[key].key not in failed]
        async with self._storage.transaction() as tx:
            await tx.kv(Namespace.SUMMARIES).put(written)
            await tx.kv(Namespace.STALE).delete([str(key) for key in done])
            stale: list[StaleText] = []
            for payer in sorted({payers[key] for key in done}):
                with calling_as(_caller(payer)):
                    stale += await self._fold.refold(tx, _touched(key for key in done if payers[key] == payer))
        return len(keys), stale, await self._first_failure(outcomes)

    async def _first_failure(self, outcomes: Sequence[str | LightRAGError]) -> LightRAGError | None:
        """Return the first failure that is not a token's limit, for which only its own summaries wait."""
        first: LightRAGError | None = None
        for outcome in outcomes:
            if isinstance(outcome, LimitReached) and outcome.holds_back is not None:
                await self._pauses.note(outcome)
            elif isinstance(outcome, LightRAGError):
                first = first or outcome
        return first

    async def waiting(self) -> int:
        """Return how many summaries are listed; of entities and of relations, at most `COUNTED` each are counted.

        0 as long as there is no model to write them.
        """
        if not self._can_write():
            return 0
        stale = self._storage.kv(Namespace.STALE)
        kinds = (StaleKind.ENTITY_SUMMARY, StaleKind.RELATION_SUMMARY)
        return sum([len(await stale.scan(prefix=f"{kind}:", limit=COUNTED)) for kind in kinds])

    async def _listed(self) -> dict[StaleKey, str]:
        """Return what to do now, with the token that pays."""
        found: dict[StaleKey, str] = {}
        stale, waiting = self._storage.kv(Namespace.STALE), self._pauses.waiting()
        for kind in (StaleKind.ENTITY_SUMMARY, StaleKind.RELATION_SUMMARY):
            after = ""
            while len(found) < ROUND:
                rows = await stale.scan(prefix=f"{kind}:", after=after, limit=ROUND - len(found))
                if not rows:
                    break
                after = rows[-1][0]
                found |= {StaleKey.parse(key): payer_of(row) for key, row in rows if payer_of(row) not in waiting}
        return found

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

    async def _summarise(self, need: SummaryNeed, payer: str) -> str | LightRAGError:
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
            if (limit := self._pauses.error(payer)) is not None:
                return limit
            try:
                with calling_as(_caller(payer)):
                    reply = await self._chat.complete(request)
            except LimitReached as error:
                await self._pauses.note(error)
                return error
            except LightRAGError as error:
                return error
        text = reply.text.strip()
        return _whole_sentences(text) if reply.finish_reason == CUT else text


def _caller(payer: str) -> Caller:
    return Caller(payer) if payer else NOBODY


def _touched(keys: Iterable[StaleKey]) -> Touched:
    names, pairs = [], []
    for key in keys:
        if key.kind == StaleKind.ENTITY_SUMMARY:
            names.append(key.key)
        else:
            pairs.append(pair_of_key(key.key))
    return Touched(frozenset(names), frozenset(pairs))


def _whole_sentences(text: str) -> str:
    """Return a text that was cut off at a length limit without its last, broken sentence, unless it is the only one."""
    spans = sentences(text)
    return text if len(spans) < 2 or text.endswith(_ENDS) else text[: spans[-2][1]]


def _cut(fragment: str, tokens: int) -> str:
    estimated = estimate_tokens(fragment)
    return fragment if estimated <= tokens else fragment[: len(fragment) * tokens // estimated]
