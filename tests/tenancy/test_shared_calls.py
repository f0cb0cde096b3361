"""Calls that serve several tokens at once: each pays for its own texts, and each is held to its own limits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import pytest

from lightrag.callers import Caller, calling_as, charging
from lightrag.errors import BudgetExceeded, ModelUnreachable
from lightrag.llm.contracts import FloatArray, Role
from lightrag.llm.usage import note_tokens
from lightrag.tenancy.audit import Actor
from lightrag.tenancy.contracts import ModelType, Price
from lightrag.tenancy.database import ControlDatabase
from lightrag.tenancy.directory import Directory
from lightrag.tenancy.ledger import Ledger
from lightrag.tenancy.ledger_models import Account, AccountedEmbedding, PaidModel, TokenLimits, apportioned
from lightrag.tenancy.limits import LimitBook, Subject
from lightrag.tenancy.tables import LimitRow, UsageRow
from lightrag.tenancy.usage import UsageReport
from lightrag.testing.fake_models import FakeEmbedding

ANN, BEN = Caller("a" * 32, "track-ann"), Caller("b" * 32, "track-ben")
MODEL = PaidModel("OpenAI", "vectors", ModelType.EMBEDDING, Price(1_000_000, None, None))


class TellingEmbedding(FakeEmbedding):
    """Says how many tokens it read, or fails."""

    def __init__(self, tokens: int | None) -> None:
        super().__init__(16)
        self.tokens = tokens
        self.fails = False

    async def embed(self, texts: Sequence[str], *, purpose: Literal["document", "query"]) -> FloatArray:
        if self.fails:
            raise ModelUnreachable("gone")
        note_tokens(self.tokens)
        return await super().embed(texts, purpose=purpose)


@pytest.fixture
async def account(database: ControlDatabase, directory: Directory, actor: Actor) -> Account:
    entry = await directory.create("one", actor)
    book = LimitBook(database)
    return Account(entry.id, Ledger(database), book, TokenLimits(database, book))


async def _rows(database: ControlDatabase, account: Account) -> list[UsageRow]:
    await account.ledger.close()
    return sorted(await UsageReport(database).entries(account.workspace_id), key=lambda row: row.token_id or "")


async def test_a_call_for_two_tokens_is_one_call_and_split_by_tokens(
    database: ControlDatabase, account: Account
) -> None:
    model = AccountedEmbedding(TellingEmbedding(101), lambda: account, MODEL)
    short, long = "a text of ben", "a text of ann that is three times as long"
    with charging({short: BEN, long: ANN}):
        await model.embed([short, long], purpose="document")
    ann, ben = await _rows(database, account)
    assert ann.prompt_tokens + ben.prompt_tokens == 101
    assert ann.prompt_tokens > 2 * ben.prompt_tokens > 0
    assert (ann.part_of, ben.part_of) == (None, ann.id)
    assert (ann.request_id, ben.request_id) == ("track-ann", "track-ben")
    assert not ann.is_estimated
    report = UsageReport(database)
    assert (await report.total(account.workspace_id)).calls == 1
    by_token = {row.token: row for row in await report.sums(account.workspace_id, by=("token",))}
    assert {token: row.prompt_tokens for token, row in by_token.items()} == {
        ANN.token_id: ann.prompt_tokens,
        BEN.token_id: ben.prompt_tokens,
    }


async def test_texts_without_a_payer_are_the_present_callers_and_parts_of_texts_their_owners(
    database: ControlDatabase, account: Account
) -> None:
    model = AccountedEmbedding(TellingEmbedding(None), lambda: account, MODEL)
    with calling_as(BEN), charging({"a long text of ann": ANN}):
        await model.embed(["long text", "another one"], purpose="document")
    ann, ben = await _rows(database, account)
    assert (ann.token_id, ben.token_id) == (ANN.token_id, BEN.token_id)
    assert ann.is_estimated
    assert ben.is_estimated


async def test_a_tokens_limit_stops_a_shared_call_and_gives_back_what_was_reserved(
    database: ControlDatabase, account: Account
) -> None:
    async with database.begin() as session:
        for kind, name, amount in (("workspace", account.workspace_id, 1000), ("token", ANN.token_id, 0)):
            session.add(LimitRow(subject_kind=kind, subject_id=name, kind="tokens_per_day", amount=amount))
    account.limits = await account.book.limits_of(Subject("workspace", account.workspace_id))
    model = AccountedEmbedding(TellingEmbedding(10), lambda: account, MODEL)
    with charging({"of ann": ANN, "of ben": BEN}), pytest.raises(BudgetExceeded) as refused:
        await model.embed(["of ann", "of ben"], purpose="document")
    assert refused.value.holds_back == ANN.token_id
    [state] = await account.book.states(account.limits)
    assert (state.used, state.reserved) == (0, 0)
    with charging({"of ben": BEN}):
        await model.embed(["of ben"], purpose="document")
    [state] = await account.book.states(account.limits)
    assert (state.used, state.reserved) == (10, 0)


async def test_a_shared_call_that_fails_costs_nobody_anything(database: ControlDatabase, account: Account) -> None:
    binding = TellingEmbedding(10)
    binding.fails = True
    model = AccountedEmbedding(binding, lambda: account, MODEL)
    with charging({"of ann": ANN, "of ben": BEN}), pytest.raises(ModelUnreachable):
        await model.embed(["of ann", "of ben"], purpose="document")
    rows = await _rows(database, account)
    assert [(row.outcome, row.prompt_tokens) for row in rows] == [("error", 0), ("error", 0)]
    total = await UsageReport(database).total(account.workspace_id)
    assert (total.calls, total.errors) == (1, 1)


async def test_a_kept_answer_is_entered_and_is_no_call(database: ControlDatabase, account: Account) -> None:
    with calling_as(ANN):
        account.note_kept(PaidModel("OpenAI", "gpt-x", ModelType.CHAT), Role.KEYWORDS)
    [row] = await _rows(database, account)
    assert (row.outcome, row.operation, row.token_id, row.request_id, row.cost) == (
        "cached",
        "keywords",
        ANN.token_id,
        "track-ann",
        0,
    )
    total = await UsageReport(database).total(account.workspace_id)
    assert (total.calls, total.cached_answers, total.unpriced_tokens) == (0, 1, 0)


@pytest.mark.parametrize(
    ("whole", "weights", "parts"),
    [
        (10, [1], [10]),
        (10, [1, 1, 1], [4, 3, 3]),
        (0, [3, 2], [0, 0]),
        (7, [0, 0], [7, 0]),
        (1, [5, 5], [1, 0]),
        (100, [1, 99], [1, 99]),
    ],
)
def test_parts_add_up(whole: int, weights: list[int], parts: list[int]) -> None:
    assert apportioned(whole, weights) == parts
