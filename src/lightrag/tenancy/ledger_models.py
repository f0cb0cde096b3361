"""Models whose calls are held against limits before they are made, and entered in the ledger when they are over.

They sit directly around a binding: every attempt that reaches a server is reserved, settled and entered by itself, one
that fails or is given up included.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import AsyncIterator, Callable, Sequence
from types import TracebackType
from typing import Literal, Self

from lightrag.callers import Caller, current_caller, payers_of
from lightrag.errors import LimitReached, UnusableAnswer
from lightrag.finishing import to_the_end
from lightrag.llm.contracts import (
    ChatDelta,
    ChatModel,
    ChatReply,
    ChatRequest,
    EmbeddingModel,
    FloatArray,
    RerankHit,
    RerankModel,
    Role,
    Usage,
)
from lightrag.llm.limiter import closing
from lightrag.llm.usage import estimate_rerank, estimate_texts, estimate_usage, noted_usage
from lightrag.llm.wrapper import Wrapper
from lightrag.tenancy.contracts import ModelType, Price
from lightrag.tenancy.database import Changes, ControlDatabase
from lightrag.tenancy.ledger import ABORTED, CACHED, ERROR, OK, Ledger, UsageEntry, priced
from lightrag.tenancy.limits import Demand, Limit, LimitBook, Reservation, Subject

FORESEEN_OUTPUT = 1024
"""Tokens of an answer that a call is taken to need at most where nothing is said of it."""
REMEMBERED = 2.0
"""Seconds for which limits of a token are remembered; changes made on this machine hold at once."""
_MOST_TOKENS = 10_000
UNPRICED = Price()


class TokenLimits:
    """The limits of tokens, remembered for a moment."""

    def __init__(self, database: ControlDatabase, book: LimitBook) -> None:
        self._database = database
        self._book = book
        self._known: dict[str, tuple[float, Changes, tuple[Limit, ...]]] = {}

    async def of(self, token_id: str | None) -> tuple[Limit, ...]:
        """Return the limits of a token; none for work on nobody's behalf."""
        if token_id is None:
            return ()
        now, changes = time.monotonic(), self._database.changes
        known = self._known.get(token_id)
        if known is not None and now - known[0] < REMEMBERED and known[1] == changes:
            return known[2]
        limits = await self._book.limits_of(Subject("token", token_id))
        if len(self._known) >= _MOST_TOKENS:
            self._known.clear()
        self._known[token_id] = (now, changes, limits)
        return limits


@dataclasses.dataclass(frozen=True, slots=True)
class PaidModel:
    """A model as the ledger names it, with what it costs."""

    provider: str
    name: str
    type: ModelType
    price: Price = UNPRICED
    max_output_tokens: int | None = None
    host: str = ""
    """Of the server's own models, whose price follows from where they are called."""


@dataclasses.dataclass(frozen=True, slots=True)
class Share:
    """What a call may come to use on one caller's behalf."""

    caller: Caller
    foreseen: Usage


class Account:
    """Whom calls are charged to: a workspace, and the tokens on whose behalf it works."""

    def __init__(
        self,
        workspace_id: str,
        ledger: Ledger,
        book: LimitBook,
        tokens: TokenLimits,
        *,
        prices: Callable[[PaidModel], Price] = lambda model: model.price,
    ) -> None:
        self.workspace_id = workspace_id
        self.prices = prices
        self.limits: tuple[Limit, ...] = ()
        """Those of the workspace; whoever keeps the account keeps them current."""
        self.ledger = ledger
        self.book = book
        self.tokens = tokens

    def call(self, model: PaidModel, role: Role, foreseen: Usage) -> Call:
        """Return a call that is about to be made on behalf of the present caller."""
        return Call(self, model, role, [Share(current_caller(), foreseen)])

    def shared_call(self, model: PaidModel, role: Role, texts: Sequence[str]) -> Call:
        """Return a call that is about to be made with texts that may be on behalf of several callers."""
        by_token: dict[str | None, tuple[Caller, list[str]]] = {}
        for caller, text in zip(payers_of(texts), texts, strict=True):
            known, given = by_token.setdefault(caller.token_id, (caller, []))
            if known.request_id != caller.request_id:
                # One row for each token, not for each of its requests.
                by_token[caller.token_id] = (dataclasses.replace(known, request_id=""), given)
            given.append(text)
        return Call(self, model, role, [Share(caller, estimate_texts(given)) for caller, given in by_token.values()])

    def note_kept(self, model: PaidModel, role: Role) -> None:
        """Enter an answer that was not asked for because it was kept."""
        caller = current_caller()
        self.ledger.record(
            UsageEntry(
                self.workspace_id,
                model.provider,
                model.name,
                model.type,
                role.value,
                cost=0,
                outcome=CACHED,
                token_id=caller.token_id,
                request_id=caller.request_id,
            )
        )


class Call:
    """One call under way. Entering the block reserves, and raises `LimitReached`; leaving it settles and enters.

    What it uses is split among its shares by what was foreseen for each.
    """

    def __init__(self, account: Account, model: PaidModel, role: Role, shares: Sequence[Share]) -> None:
        self._account = account
        self._model = model
        self._operation = role.value
        # The largest share is the one under which the call is counted.
        self._shares = sorted(shares, key=lambda share: -share.foreseen.prompt_tokens)
        self._held: list[tuple[Reservation, tuple[int, ...]]] = []
        """Reservations with the numbers of the shares that they are for."""
        self._began = 0.0
        self.usage: Usage | None = None
        """What was used, as soon as that is known."""

    async def __aenter__(self) -> Self:
        own = [await self._account.tokens.of(share.caller.token_id) for share in self._shares]
        together = (self._account.limits, own[0]) if len(own) == 1 else (self._account.limits,)
        try:
            await self._reserve([limit for limits in together for limit in limits], range(len(own)))
            if len(own) > 1:
                for number, limits in enumerate(own):
                    await self._reserve(limits, [number])
        except BaseException:
            await to_the_end(self._give_back())
            raise
        self._began = time.perf_counter()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        entries = self._entries(kind)
        for entry in entries:
            self._account.ledger.record(entry)
        if self._held:
            await to_the_end(self._settle(entries))

    async def _reserve(self, limits: Sequence[Limit], numbers: Sequence[int]) -> None:
        if not limits:
            return
        foreseen = [self._shares[number].foreseen for number in numbers]
        prompt, output = sum(one.prompt_tokens for one in foreseen), sum(one.completion_tokens for one in foreseen)
        demand = Demand(prompt + output, self._account.prices(self._model).cost(prompt, 0, output))
        try:
            held = await self._account.book.reserve(limits, demand, f"{self._model.name}@{self._model.provider}")
        except LimitReached as error:
            if error.subject == "token":
                error.token_id = self._shares[numbers[0]].caller.token_id
            raise
        self._held.append((held, tuple(numbers)))

    async def _give_back(self) -> None:
        for held, _ in self._held:
            await self._account.book.settle(held, Demand(0, 0, 0))

    async def _settle(self, entries: Sequence[UsageEntry]) -> None:
        for held, numbers in self._held:
            costs = [entries[number].cost for number in numbers]
            cost = None if None in costs else sum(cost or 0 for cost in costs)
            await self._account.book.settle(held, Demand(sum(entries[number].tokens for number in numbers), cost))

    def _entries(self, kind: type[BaseException] | None) -> list[UsageEntry]:
        """Return a row for each share; the first one is the call, the others are parts of it."""
        outcome = OK if kind is None else ERROR if issubclass(kind, Exception) else ABORTED
        usage = self.usage
        foreseen = [share.foreseen.prompt_tokens for share in self._shares]
        if usage is None:
            # The prompt of a call that was given up, or answered with nothing usable, is paid all the same.
            is_paid = kind is None or outcome == ABORTED or issubclass(kind, UnusableAnswer)
            usage = Usage(sum(foreseen), estimated=True) if is_paid else Usage()
        cached = min(usage.cached_tokens, usage.prompt_tokens)
        parts = zip(
            *(apportioned(whole, foreseen) for whole in (usage.prompt_tokens, cached, usage.completion_tokens)),
            strict=True,
        )
        entries: list[UsageEntry] = []
        for share, (prompt, cached, completion) in zip(self._shares, parts, strict=True):
            entry = UsageEntry(
                workspace_id=self._account.workspace_id,
                provider=self._model.provider,
                model=self._model.name,
                type=self._model.type,
                operation=self._operation,
                prompt_tokens=prompt,
                cached_tokens=min(cached, prompt),
                completion_tokens=completion,
                is_estimated=usage.estimated,
                milliseconds=int((time.perf_counter() - self._began) * 1000),
                outcome=outcome,
                token_id=share.caller.token_id,
                request_id=share.caller.request_id,
                part_of=entries[0].id if entries else None,
            )
            entries.append(priced(entry, self._account.prices(self._model)))
        return entries


def apportioned(whole: int, weights: Sequence[int]) -> list[int]:
    """Return whole numbers that add up to `whole`, as nearly as possible in the proportion of the weights.

    What rounding down leaves goes to the largest remainders (Hamilton's method).
    """
    total = sum(weights)
    if not total:
        return [whole, *[0] * (len(weights) - 1)]
    parts = [whole * weight // total for weight in weights]
    order = sorted(range(len(weights)), key=lambda number: -(whole * weights[number] % total))
    for number in order[: whole - sum(parts)]:
        parts[number] += 1
    return parts


AccountOf = Callable[[], Account | None]
"""Returns whom a call is charged to at this moment; None where nobody keeps accounts."""


class AccountedChat(Wrapper[ChatModel]):
    """A chat model on an account."""

    def __init__(self, model: ChatModel, account: AccountOf, paid: PaidModel) -> None:
        super().__init__(model)
        self._account = account
        self._paid = paid

    async def complete(self, request: ChatRequest) -> ChatReply:
        """Return the whole answer. Raises `LimitReached`."""
        account = self._account()
        if account is None:
            return await self._model.complete(request)
        async with account.call(self._paid, request.role, self._foreseen(request)) as call:
            reply = await self._model.complete(request)
            call.usage = _known(reply.usage) or estimate_usage(request, reply.thinking + reply.text)
            return reply

    async def stream(self, request: ChatRequest) -> AsyncIterator[ChatDelta]:
        """Yield the answer as it is written. Raises `LimitReached` before anything is yielded."""
        account = self._account()
        if account is None:
            async with closing(self._model.stream(request)) as deltas:
                async for delta in deltas:
                    yield delta
            return
        said: list[str] = []
        usage: Usage | None = None
        async with account.call(self._paid, request.role, self._foreseen(request)) as call:
            try:
                async with closing(self._model.stream(request)) as deltas:
                    async for delta in deltas:
                        said += (delta.thinking, delta.text)
                        usage = delta.usage or usage
                        yield delta
            finally:
                # What was written until a stream broke off or was closed is paid for, too.
                if usage is not None or any(said):
                    call.usage = _known(usage) or estimate_usage(request, "".join(said))

    def _foreseen(self, request: ChatRequest) -> Usage:
        output = request.max_tokens or min(FORESEEN_OUTPUT, self._paid.max_output_tokens or FORESEEN_OUTPUT)
        return dataclasses.replace(estimate_usage(request, ""), completion_tokens=output)


class AccountedEmbedding(Wrapper[EmbeddingModel]):
    """An embedding model on an account; tokens are estimated where its server tells none."""

    def __init__(self, model: EmbeddingModel, account: AccountOf, paid: PaidModel) -> None:
        super().__init__(model)
        self._account = account
        self._paid = paid

    async def embed(self, texts: Sequence[str], *, purpose: Literal["document", "query"]) -> FloatArray:
        """Return L2-normalised vectors, shape (len(texts), dimension). Raises `LimitReached`."""
        account = self._account()
        if account is None:
            return await self._model.embed(texts, purpose=purpose)
        async with account.shared_call(self._paid, Role.EMBED, texts) as call:
            with noted_usage() as noted:
                try:
                    return await self._model.embed(texts, purpose=purpose)
                finally:
                    # What a call had used that failed later on is paid for, too.
                    call.usage = noted.usage


class AccountedRerank(Wrapper[RerankModel]):
    """A reranking model on an account; tokens are estimated where its server tells none."""

    def __init__(self, model: RerankModel, account: AccountOf, paid: PaidModel) -> None:
        super().__init__(model)
        self._account = account
        self._paid = paid

    async def rerank(self, query: str, documents: Sequence[str], top_n: int) -> list[RerankHit]:
        """Return the `top_n` most relevant documents, best first. Raises `LimitReached`."""
        account = self._account()
        if account is None:
            return await self._model.rerank(query, documents, top_n)
        async with account.call(self._paid, Role.RERANK, estimate_rerank(query, documents)) as call:
            with noted_usage() as noted:
                try:
                    return await self._model.rerank(query, documents, top_n)
                finally:
                    call.usage = noted.usage


def _known(usage: Usage | None) -> Usage | None:
    return usage if usage is not None and (usage.prompt_tokens or usage.completion_tokens) else None
