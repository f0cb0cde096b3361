"""Which models serve a workspace, and the clients that are made of them."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Sequence

import pytest

from lightrag.errors import (
    AccessRefused,
    AmbiguousModel,
    BudgetExceeded,
    ConfigurationError,
    ModelError,
    ModelUnreachable,
    UnknownModel,
)
from lightrag.llm.contracts import (
    ChatModel,
    ChatRequest,
    EmbeddingModel,
    Message,
    ModelFacts,
    RerankHit,
    RerankModel,
    Role,
)
from lightrag.llm.meter import UsageMeter
from lightrag.llm.network import AddressRefused, AnswerTooLong
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
from lightrag.tenancy.resolution import Offer, Origin, choose
from lightrag.tenancy.usage import UsageReport
from lightrag.tenancy.workspace_clients import WorkspaceClients
from lightrag.tenancy.workspace_models import Plan, read_plan
from lightrag.tenancy.workspace_routes import StackOptions
from lightrag.testing.fake_models import FakeChat, FakeEmbedding

A, B, C = (ModelRef("P", name) for name in "abc")
OTHER_A = ModelRef("Q", "a")
SERVERS = (ModelRef("openai", "big"), ModelRef("ollama", "small"))


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


class FirstIsBest:
    """A reranking model that keeps the order."""

    def __init__(self, name: str) -> None:
        self.facts = ModelFacts("fake", name)

    async def rerank(self, query: str, documents: Sequence[str], top_n: int) -> list[RerankHit]:
        return [RerankHit(index, 1.0 - index / 10) for index in range(len(documents))][:top_n]

    async def aclose(self) -> None:
        pass


class Openers:
    """Makes fakes; notes which are closed."""

    def __init__(self, **answers: str | ModelError) -> None:
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
        if candidate.ref.name not in self._answers:
            raise ConfigurationError("package is missing")
        return FirstIsBest(candidate.ref.name)


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
        ({"answer": [A], "chat": [B]}, [A, B, C], "c@P", Origin.REQUEST, (C,)),
        ({"answer": [A], "chat": [B]}, [A, B, C], "c", Origin.REQUEST, (C,)),
        ({"answer": [A, B], "chat": [B]}, [A, B, C], None, Origin.WORKSPACE_ROLE, (A, B)),
        ({"answer": [A], "chat": [B]}, [B, C], None, Origin.WORKSPACE_TYPE, (B,)),
        ({}, [C, B], None, Origin.WORKSPACE_MODELS, (C,)),
        ({"chat": [A]}, [], None, Origin.SERVER, ()),
    ],
)
def test_the_most_particular_choice_that_can_be_used_wins(
    defaults: dict[str, list[ModelRef]],
    own: list[ModelRef],
    requested: str | None,
    origin: Origin,
    refs: tuple[ModelRef, ...],
) -> None:
    choice = choose(Role.ANSWER, defaults, Offer(own, SERVERS), requested)
    assert (choice.origin, choice.refs) == (origin, refs)


@pytest.mark.parametrize(
    ("own", "requested", "origin"),
    [
        ([A, OTHER_A, B], "a@Q", OTHER_A),
        ([A, OTHER_A, B], "b", B),
        ([ModelRef("P", "a@Q"), OTHER_A], "a@Q", OTHER_A),
        ([], "big", SERVERS[0]),
        ([], "small@ollama", SERVERS[1]),
    ],
)
def test_a_request_names_one_model_in_full_or_by_a_name_that_only_one_has(
    own: list[ModelRef], requested: str, origin: ModelRef
) -> None:
    choice = choose(Role.KEYWORDS, {}, Offer(own, SERVERS), requested)
    assert (choice.refs, choice.is_servers) == ((origin,), not own)


def test_a_model_is_also_named_as_its_provider_knows_it() -> None:
    stored = ModelRef("VLLM", "qwen___VLLM")
    offer = Offer([stored, A], other_names={stored: "qwen", A: "a"})
    for text in ("qwen", "qwen@VLLM", "qwen___VLLM", "qwen___VLLM@VLLM"):
        assert choose(Role.ANSWER, {}, offer, text).refs == (stored,)


@pytest.mark.parametrize(
    ("own", "requested", "message"),
    [
        ([A, B], "c@P", r"The workspace has no chat model 'c@P' to ask; there is a@P, b@P$"),
        ([A, B], "A@P", r"no chat model 'A@P'"),
        ([A], "a@", r"no chat model 'a@'"),
        ([A], "big", r"there is a@P\. The server's own models serve workspaces without chat models only"),
        ([], "a@P", r"The server has no chat model 'a@P' to ask; there is big@openai, small@ollama"),
    ],
)
def test_a_model_that_is_not_there_is_refused_with_those_that_are(
    own: list[ModelRef], requested: str, message: str
) -> None:
    with pytest.raises(UnknownModel, match=message):
        choose(Role.ANSWER, {"chat": own}, Offer(own, SERVERS), requested)


def test_a_name_that_several_models_have_is_refused_with_their_full_names() -> None:
    with pytest.raises(AmbiguousModel, match="several chat models 'a': name one of a@P, a@Q"):
        choose(Role.ANSWER, {}, Offer([A, OTHER_A, B]), "a")


def test_where_there_is_no_model_at_all_the_refusal_says_how_to_get_one() -> None:
    with pytest.raises(UnknownModel, match=r"no reranking model 'x' to ask.*POST /llm/add_llm"):
        choose(Role.RERANK, {}, Offer(), "x")


async def test_a_named_model_answers_by_itself_and_is_reserved_and_entered_as_such(
    account: Account, database: ControlDatabase
) -> None:
    plan = await read_plan(Source(_candidate(A), _candidate(B), _candidate(C), chat=(A, B)), "w")
    openers = Openers(a="from a", b="from b", c="from c")
    clients = await _clients(plan, openers, account)
    named = [clients.chat_for(ref) for ref in (A, B, C)]
    assert clients.chat_for(ModelRef("P", "gone")) is None
    assert len(openers.opened) == 3
    replies = await asyncio.gather(*(model.complete(_question()) for model in named if model is not None))
    assert [reply.text for reply in replies] == ["from a", "from b", "from c"]
    assert {(r.state.name, tuple(role.value for role in r.roles)) for r in clients.backends()} == {
        ("a@P", ("extract", "summary", "keywords", "answer")),
        ("b@P", ("extract", "summary", "keywords", "answer")),
        ("c@P", ("keywords", "answer")),
    }
    await clients.aclose()
    assert sorted(openers.closed) == ["a", "b", "c"]
    await account.ledger.close()
    rows = await UsageReport(database).entries(account.workspace_id)
    assert sorted(row.model for row in rows) == ["a", "b", "c"]


async def test_nothing_stands_in_for_a_named_model_that_fails(account: Account) -> None:
    plan = await read_plan(Source(_candidate(A), _candidate(B), chat=(A, B)), "w")
    clients = await _clients(plan, Openers(b="from b"), account)
    named = clients.chat_for(A)
    assert named is not None
    with pytest.raises(AccessRefused, match="package is missing"):
        await named.complete(_question())
    # Its failure is known to the chain that it stands in.
    assert [report.state.state.value for report in clients.backends()] == ["refused", "closed"]
    assert (await clients.chat[Role.ANSWER].complete(_question())).text == "from b"
    await clients.aclose()
    await account.ledger.close()


async def test_reranking_goes_along_the_defaults_with_circuits_of_its_own(
    account: Account, database: ControlDatabase
) -> None:
    ways = [_candidate(ref, ModelType.RERANK, credential=f"k{ref.name}") for ref in (C, A, B)]
    plan = await read_plan(Source(*ways, rerank=(A, B)), "w")
    openers = Openers(b="works", c="works")
    clients, others = await _clients(plan, openers, account), await _clients(plan, openers, account)
    assert clients.reranker is not None
    for _ in range(2):
        hits = await clients.reranker.rerank("q", ["one", "two"], 1)
        assert [(hit.index, hit.score) for hit in hits] == [(0, 1.0)]
    states = {report.state.name: (report.roles, report.state.state.value) for report in clients.backends()}
    assert states == {"a@P": ((Role.RERANK,), "refused"), "b@P": ((Role.RERANK,), "closed")}
    assert {report.state.state.value for report in others.backends()} == {"closed"}
    alone = clients.reranker_for(A)
    assert alone is not None
    with pytest.raises(ModelUnreachable, match="'a@P' is left alone"):
        await alone.rerank("q", ["one"], 1)
    named = clients.reranker_for(C)
    assert named is not None
    await named.rerank("q", ["one"], 1)
    for one in (clients, others):
        await one.aclose()
    await account.ledger.close()
    rows = await UsageReport(database).entries(account.workspace_id)
    assert sorted((row.model, row.operation, row.outcome) for row in rows) == [
        ("a", "rerank", "error"),
        ("b", "rerank", "ok"),
        ("b", "rerank", "ok"),
        ("c", "rerank", "ok"),
    ]


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


@pytest.mark.parametrize("error", [AddressRefused("it leads astray"), AnswerTooLong("it never ends")])
async def test_a_chain_goes_on_where_an_address_is_refused_or_an_answer_never_ends(
    account: Account, error: ModelError
) -> None:
    plan = await read_plan(Source(_candidate(A), _candidate(B), chat=(A, B)), "w")
    openers = Openers(a=error, b="from b")
    clients = await _clients(plan, openers, account)
    assert (await clients.chat[Role.ANSWER].complete(_question())).text == "from b"
    assert [len(model.requests) for model in openers.opened] == [1, 1]
    await clients.aclose()
    await account.ledger.close()


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
