"""Models whose calls are held against limits before they are made, and entered in the ledger when they are over.

They sit directly around a binding: every attempt that reaches a server is reserved, settled and entered by itself, one
that fails or is given up included.
"""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from types import TracebackType
from typing import Any, Literal, Self

from lightrag.errors import UnusableAnswer
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
from lightrag.llm.usage import estimate_tokens, estimate_usage
from lightrag.llm.wrapper import Wrapper
from lightrag.tenancy.contracts import ModelType, Price, current_caller
from lightrag.tenancy.database import ControlDatabase
from lightrag.tenancy.ledger import ABORTED, ERROR, OK, Ledger, UsageEntry, priced
from lightrag.tenancy.limits import Demand, Limit, LimitBook, Reservation, Subject

FORESEEN_OUTPUT = 1024
"""Tokens of an answer that a call is taken to need at most where nothing is said of it."""
REMEMBERED = 2.0
"""Seconds for which limits of a token are remembered; changes made in this process hold at once."""
_MOST_TOKENS = 10_000
UNPRICED = Price()


class TokenLimits:
    """The limits of tokens, remembered for a moment."""

    def __init__(self, database: ControlDatabase, book: LimitBook) -> None:
        self._database = database
        self._book = book
        self._known: dict[str, tuple[float, int, tuple[Limit, ...]]] = {}

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


class Account:
    """Whom calls are charged to: a workspace, and the token on whose behalf it works."""

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

    def call(self, model: PaidModel, operation: str, foreseen: Usage) -> Call:
        """Return a call that is about to be made."""
        return Call(self, model, operation, foreseen)


class Call:
    """One call under way. Entering the block reserves, and raises `LimitReached`; leaving it settles and enters."""

    def __init__(self, account: Account, model: PaidModel, operation: str, foreseen: Usage) -> None:
        self._account = account
        self._model = model
        self._operation = operation
        self._foreseen = foreseen
        self._held: Reservation | None = None
        self._caller = current_caller()
        self._began = 0.0
        self.usage: Usage | None = None
        """What was used, as soon as that is known."""

    async def __aenter__(self) -> Self:
        account, model = self._account, self._model
        limits = (*account.limits, *await account.tokens.of(self._caller.token_id))
        if limits:
            foreseen = self._foreseen
            tokens = foreseen.prompt_tokens + foreseen.completion_tokens
            cost = account.prices(model).cost(foreseen.prompt_tokens, 0, foreseen.completion_tokens)
            self._held = await account.book.reserve(limits, Demand(tokens, cost), f"{model.name}@{model.provider}")
        self._began = time.perf_counter()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        entry = self._entry(kind)
        self._account.ledger.record(entry)
        if self._held is not None:
            used = Demand(entry.tokens, entry.cost)
            await _to_the_end(self._account.book.settle(self._held, used))

    def _entry(self, kind: type[BaseException] | None) -> UsageEntry:
        outcome = OK if kind is None else ERROR if issubclass(kind, Exception) else ABORTED
        usage = self.usage
        if usage is None:
            # The prompt of a call that was given up, or answered with nothing usable, is paid all the same.
            is_paid = kind is None or outcome == ABORTED or issubclass(kind, UnusableAnswer)
            usage = Usage(self._foreseen.prompt_tokens, estimated=True) if is_paid else Usage()
        entry = UsageEntry(
            workspace_id=self._account.workspace_id,
            provider=self._model.provider,
            model=self._model.name,
            type=self._model.type,
            operation=self._operation,
            prompt_tokens=usage.prompt_tokens,
            cached_tokens=min(usage.cached_tokens, usage.prompt_tokens),
            completion_tokens=usage.completion_tokens,
            is_estimated=usage.estimated,
            milliseconds=int((time.perf_counter() - self._began) * 1000),
            outcome=outcome,
            token_id=self._caller.token_id,
            request_id=self._caller.request_id,
        )
        return priced(entry, self._account.prices(self._model))


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
        async with account.call(self._paid, request.role.value, self._foreseen(request)) as call:
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
        async with account.call(self._paid, request.role.value, self._foreseen(request)) as call:
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
    """An embedding model on an account; tokens are estimated."""

    def __init__(self, model: EmbeddingModel, account: AccountOf, paid: PaidModel) -> None:
        super().__init__(model)
        self._account = account
        self._paid = paid

    async def embed(self, texts: Sequence[str], *, purpose: Literal["document", "query"]) -> FloatArray:
        """Return L2-normalised vectors, shape (len(texts), dimension). Raises `LimitReached`."""
        account = self._account()
        if account is None:
            return await self._model.embed(texts, purpose=purpose)
        usage = Usage(sum(map(estimate_tokens, texts)), estimated=True)
        async with account.call(self._paid, Role.EMBED.value, usage) as call:
            vectors = await self._model.embed(texts, purpose=purpose)
            call.usage = usage
            return vectors


class AccountedRerank(Wrapper[RerankModel]):
    """A reranking model on an account; tokens are estimated."""

    def __init__(self, model: RerankModel, account: AccountOf, paid: PaidModel) -> None:
        super().__init__(model)
        self._account = account
        self._paid = paid

    async def rerank(self, query: str, documents: Sequence[str], top_n: int) -> list[RerankHit]:
        """Return the `top_n` most relevant documents, best first. Raises `LimitReached`."""
        account = self._account()
        if account is None:
            return await self._model.rerank(query, documents, top_n)
        tokens = estimate_tokens(query) * len(documents) + sum(map(estimate_tokens, documents))
        usage = Usage(tokens, estimated=True)
        async with account.call(self._paid, Role.RERANK.value, usage) as call:
            hits = await self._model.rerank(query, documents, top_n)
            call.usage = usage
            return hits


def _known(usage: Usage | None) -> Usage | None:
    return usage if usage is not None and (usage.prompt_tokens or usage.completion_tokens) else None


async def _to_the_end(work: Coroutine[Any, Any, None]) -> None:
    """Do something whole, also where the caller is cancelled meanwhile."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise
