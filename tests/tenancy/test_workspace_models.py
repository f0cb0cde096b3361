"""Which models serve a workspace, and the clients that are made of them."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest

from lightrag.errors import AccessRefused, BudgetExceeded, ConfigurationError
from lightrag.llm.contracts import ChatModel, ChatRequest, EmbeddingModel, Message, RerankModel, Role
from lightrag.llm.meter import UsageMeter
from lightrag.storage.contracts import Namespace
from lightrag.storage.memory import MemoryStorage
from lightrag.tenancy.audit import Actor
from lightrag.tenancy.contracts import Caller, Candidate, ModelRef, ModelType, Price, calling_as
from lightrag.tenancy.database import ControlDatabase
from lightrag.tenancy.directory import Directory
from lightrag.tenancy.ledger import Ledger
from lightrag.tenancy.ledger_models import Account, TokenLimits
from lightrag.tenancy.limits import Limit, LimitBook, LimitKind, Subject
from lightrag.tenancy.registry_records import Holdings
from lightrag.tenancy.resolution import Origin, choose
from lightrag.tenancy.usage import UsageReport
from lightrag.tenancy.workspace_models import Plan, StackOptions, WorkspaceClients, read_plan
from lightrag.testing.fake_models import FakeChat, FakeEmbedding

A, B, C = (ModelRef("P", name) for name in "abc")


def _candidate(ref: ModelRef, type: ModelType = ModelType.CHAT, credential: str = "k1") -> Candidate:
    return Candidate(
        "w", "m", credential, ref, ref.name, type, "openai", "", "", price=Price(1_000_000, None, 1_000_000)
    )


class Source:
    """A registry in memory."""

    def __init__(self, *candidates: Candidate, **defaults: tuple[ModelRef, ...]) -> None:
        self._candidates = candidates
        self._defaults = defaults

    async def holdings(self, workspace_id: str) -> Holdings:
        return Holdings(
            {type: [one for one in self._candidates if one.type is type] for type in ModelType}, self._defaults
        )


class Openers:
    """Makes fakes; notes which are closed."""

    def __init__(self, **answers: str) -> None:
        self._answers = answers
        self.opened: list[FakeChat] = []
        self.closed: list[str] = []

    def open_chat(self, candidate: Candidate) -> ChatModel:
        if candidate.ref.name not in self._answers:
            raise ConfigurationError("package is missing")
        chat = FakeChat((self._answers[candidate.ref.name],), delay=0.05)
        self.opened.append(chat)

        async def close() -> None:
            self.closed.append(candidate.ref.name)

        chat.aclose = close  # type: ignore[method-assign]
        return chat

    def open_embedding(self, candidate: Candidate) -> EmbeddingModel:
        return FakeEmbedding(8)

    def open_rerank(self, candidate: Candidate) -> RerankModel:
        raise ConfigurationError("there is none")


@pytest.fixture
async def account(database: ControlDatabase, directory: Directory, actor: Actor) -> Account:
    """A workspace's account."""
    entry = await directory.create("one", actor)
    book = LimitBook(database)
    return Account(entry.id, Ledger(database), book, TokenLimits(database, book))


async def _clients(plan: Plan, openers: Openers, account: Account) -> WorkspaceClients:
    storage = MemoryStorage("")
    await storage.open()
    return WorkspaceClients(plan, openers, account, storage.kv(Namespace.LLM_CACHE), UsageMeter(), StackOptions())


def _question(text: str = "Who?") -> ChatRequest:
    return ChatRequest((Message("user", text),), Role.ANSWER)


@pytest.mark.parametrize(
    ("defaults", "own", "requested", "origin", "refs"),
    [
        ({"answer": [A], "chat": [B]}, [A, B, C], C, Origin.REQUEST, (C,)),
        ({"answer": [A, B], "chat": [B]}, [A, B, C], None, Origin.WORKSPACE_ROLE, (A, B)),
        ({"answer": [A], "chat": [B]}, [B, C], None, Origin.WORKSPACE_TYPE, (B,)),
        ({}, [C, B], None, Origin.WORKSPACE_MODELS, (C,)),
        ({"chat": [A]}, [], A, Origin.SERVER, ()),
    ],
)
def test_the_most_particular_choice_that_can_be_used_wins(
    defaults: dict[str, list[ModelRef]],
    own: list[ModelRef],
    requested: ModelRef | None,
    origin: Origin,
    refs: tuple[ModelRef, ...],
) -> None:
    choice = choose(Role.ANSWER, defaults, own, requested)
    assert (choice.origin, choice.refs) == (origin, refs)


async def test_a_chain_goes_on_to_the_next_model_where_one_fails(account: Account, database: ControlDatabase) -> None:
    plan = await read_plan(Source(_candidate(A), _candidate(B), chat=(A, B)), "w")
    clients = await _clients(plan, Openers(b="from b"), account)
    with calling_as(Caller("t" * 32, "r-1")):
        assert (await clients.chat[Role.ANSWER].complete(_question())).text == "from b"
    states = {report.state.name: report.state.state.value for report in clients.backends()}
    assert states == {"a@P": "refused", "b@P": "closed"}
    await clients.aclose()
    await account.ledger.close()
    rows = await UsageReport(database).entries(account.workspace_id)
    assert {(row.model, row.outcome, row.token_id, row.request_id) for row in rows} == {
        ("a", "error", "t" * 32, "r-1"),
        ("b", "ok", "t" * 32, "r-1"),
    }
    assert next(row for row in rows if row.model == "b").cost


async def test_clients_are_closed_when_the_last_call_through_them_has_ended(account: Account) -> None:
    plan = await read_plan(Source(_candidate(A)), "w")
    openers = Openers(a="done")
    clients = await _clients(plan, openers, account)

    async def ask() -> str:
        async with clients.used():
            return (await clients.chat[Role.ANSWER].complete(_question())).text

    task = asyncio.create_task(ask())
    await asyncio.sleep(0)
    await clients.retire()
    assert openers.closed == []
    assert await task == "done"
    assert openers.closed == ["a"]
    await account.ledger.close()


async def test_a_model_that_cannot_be_opened_says_so_when_it_is_called(account: Account) -> None:
    plan = await read_plan(Source(_candidate(A), _candidate(B, ModelType.EMBEDDING)), "w")
    clients = await _clients(plan, Openers(), account)
    assert clients.embedding is not None
    with pytest.raises(AccessRefused, match="package is missing"):
        await clients.chat[Role.ANSWER].complete(_question())
    await clients.aclose()
    await account.ledger.close()


async def test_a_refused_call_reaches_no_server_and_a_failed_one_gives_back_what_it_held(
    account: Account, database: ControlDatabase
) -> None:
    plan = await read_plan(Source(_candidate(A)), "w")
    openers = Openers(a="done")
    clients = await _clients(plan, openers, account)
    subject = Subject("workspace", account.workspace_id)
    account.limits = (Limit(subject, LimitKind.TOKENS_PER_DAY, 0),)
    with pytest.raises(BudgetExceeded):
        await clients.chat[Role.ANSWER].complete(_question())
    assert not openers.opened[0].requests
    account.limits = (Limit(subject, LimitKind.CONCURRENCY, 1),)
    task = asyncio.create_task(clients.chat[Role.ANSWER].complete(_question("And then?")))
    await asyncio.sleep(0.02)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert [state.reserved for state in await account.book.states(account.limits)] == [0]
    await clients.aclose()
    await account.ledger.close()


async def test_a_weight_of_nothing_takes_a_credential_out_of_use() -> None:
    idle = dataclasses.replace(_candidate(A), weight=0.0)
    assert Role.ANSWER not in (await read_plan(Source(idle), "w")).roles
