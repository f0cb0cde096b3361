"""Answers are paid for once."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Mapping, Sequence

import pytest

from lightrag.errors import ModelUnreachable, StorageUnavailable, UnusableAnswer
from lightrag.llm.cache import CACHED_ROLES, CachedChat, cache_key
from lightrag.llm.contracts import ChatDelta, ChatReply, ChatRequest, Message, ModelFacts, Role
from lightrag.testing.fake_models import FakeChat
from lightrag.testing.model_contract import ask, collect
from lightrag.types import JsonObject

FACTS = ModelFacts("openai", "m", "http://h/v1")


class Store:
    """Rows in memory; `put` takes its time, as a durable one does."""

    def __init__(self) -> None:
        self.rows: dict[str, JsonObject] = {}

    async def get(self, keys: Sequence[str]) -> dict[str, JsonObject]:
        return {key: self.rows[key] for key in keys if key in self.rows}

    async def put(self, rows: Mapping[str, JsonObject]) -> None:
        await asyncio.sleep(0.002)
        self.rows.update(rows)

    async def delete(self, keys: Sequence[str]) -> None:
        for key in keys:
            self.rows.pop(key, None)


class Held(FakeChat):
    """Answers once the test lets it."""

    def __init__(self, *answers: str) -> None:
        super().__init__(answers)
        self.begun, self.may_answer = asyncio.Event(), asyncio.Event()

    async def complete(self, request: ChatRequest) -> ChatReply:
        self.begun.set()
        await self.may_answer.wait()
        return await super().complete(request)


async def test_an_answer_is_stored_before_it_is_returned_and_not_paid_again() -> None:
    store, model = Store(), FakeChat(["first", "second"])
    cached = CachedChat(model, store)
    request = ask(role=Role.EXTRACT, chunk_id="chunk-1")
    reply = await cached.complete(request)
    ((key, row),) = store.rows.items()
    assert key == cached.key_of(request)
    assert key.startswith("default:extract:")
    assert (row["return"], row["cache_type"], row["chunk_id"]) == ("first", "extract", "chunk-1")
    assert isinstance(row["create_time"], int)
    assert "original_prompt" not in row
    again = await CachedChat(model, store).complete(request)
    assert (reply.from_cache, again.from_cache, again.text) == (False, True, "first")
    assert again.usage.prompt_tokens == 0
    assert len(model.requests) == 1


async def test_a_call_that_is_to_be_fresh_is_made_again_and_its_answer_not_kept() -> None:
    store, model = Store(), FakeChat(["first", "second", "third"])
    cached = CachedChat(model, store)
    await cached.complete(ask(role=Role.EXTRACT))
    fresh = dataclasses.replace(ask(role=Role.EXTRACT), fresh=True)
    assert (await cached.complete(fresh)).text == "second"
    assert (await collect(cached, fresh))[0].text == "third"
    assert (await cached.complete(ask(role=Role.EXTRACT))).text == "first"


@pytest.mark.parametrize("role", list(CACHED_ROLES))
async def test_work_on_documents_and_keywords_is_kept(role: Role) -> None:
    model = FakeChat()
    cached = CachedChat(model, Store())
    for _ in range(2):
        await cached.complete(ask(role=role))
    assert len(model.requests) == 1


async def test_answers_to_users_are_kept_only_when_asked() -> None:
    store = Store()
    plain, asked = FakeChat(), FakeChat()
    for _ in range(2):
        await CachedChat(plain, store).complete(ask())
        await CachedChat(asked, store, roles={Role.ANSWER}).complete(ask())
    assert (len(plain.requests), len(asked.requests)) == (2, 1)
    assert next(iter(store.rows)).startswith("default:query:")


class Full(Store):
    """A store on a full disk."""

    async def put(self, rows: Mapping[str, JsonObject]) -> None:
        raise StorageUnavailable("the disk is full")


async def test_on_a_full_disk_questions_are_answered_and_work_on_documents_stops() -> None:
    cached = CachedChat(FakeChat(["one", "two", "three"]), Full(), roles=[*CACHED_ROLES, Role.ANSWER])
    assert (await cached.complete(ask(role=Role.KEYWORDS))).text == "one"
    assert "".join(delta.text for delta in await collect(cached, ask(role=Role.ANSWER))) == "two"
    with pytest.raises(StorageUnavailable):
        await cached.complete(ask(role=Role.EXTRACT))


async def test_equal_calls_at_the_same_time_are_one() -> None:
    model = FakeChat(["only one"], delay=0.01)
    cached = CachedChat(model, Store())
    replies = await asyncio.gather(*(cached.complete(ask(role=Role.SUMMARY)) for _ in range(5)))
    assert [reply.text for reply in replies] == ["only one"] * 5
    assert sorted(reply.from_cache for reply in replies) == [False, True, True, True, True]
    assert len(model.requests) == 1


async def test_a_shared_call_goes_on_while_anybody_waits_for_it() -> None:
    model, store = Held("shared"), Store()
    cached = CachedChat(model, store)
    first, second = (asyncio.create_task(cached.complete(ask(role=Role.EXTRACT))) for _ in range(2))
    await model.begun.wait()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    model.may_answer.set()
    assert (await second).text == "shared"
    assert len(model.requests) == 1


async def test_a_call_that_nobody_waits_for_is_ended_and_can_be_made_again() -> None:
    model, store = Held("first"), Store()
    cached = CachedChat(model, store)
    call = asyncio.create_task(cached.complete(ask(role=Role.EXTRACT)))
    await model.begun.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    model.may_answer.set()
    assert not model.requests
    assert not store.rows
    assert (await cached.complete(ask(role=Role.EXTRACT))).text == "first"


@pytest.mark.parametrize("error", [ModelUnreachable("down"), UnusableAnswer("empty")])
async def test_a_failure_is_not_kept(error: ModelUnreachable | UnusableAnswer) -> None:
    store = Store()
    cached = CachedChat(FakeChat([error, "healed"]), store)
    results = await asyncio.gather(*(cached.complete(ask(role=Role.EXTRACT)) for _ in range(3)), return_exceptions=True)
    assert results == [error] * 3
    assert not store.rows
    assert (await cached.complete(ask(role=Role.EXTRACT))).text == "healed"


async def test_a_kept_answer_can_be_forgotten() -> None:
    cached = CachedChat(FakeChat(["garbage", "better"]), Store())
    request = ask(role=Role.EXTRACT)
    await cached.complete(request)
    await cached.forget([cached.key_of(request)])
    assert (await cached.complete(request)).text == "better"


@pytest.mark.parametrize("role", [Role.EXTRACT, Role.SUMMARY])
async def test_that_work_on_documents_was_cut_off_is_kept_with_it(role: Role) -> None:
    cached = CachedChat(FakeChat([ChatReply("half", finish_reason="length")]), Store())
    for _ in range(2):
        assert (await cached.complete(ask(role=role))).finish_reason == "length"


@pytest.mark.parametrize("reason", ["length", "content_filter"])
@pytest.mark.parametrize("role", [Role.ANSWER, Role.KEYWORDS])
async def test_an_answer_to_a_question_that_was_cut_off_is_asked_for_again(role: Role, reason: str) -> None:
    model = FakeChat([ChatReply("half", finish_reason=reason), ChatReply("hal", finish_reason=reason), "whole"])
    cached = CachedChat(model, Store(), roles=frozenset(Role))
    assert (await cached.complete(ask(role=role))).text == "half"
    assert (await collect(cached, ask(role=role)))[-1].finish_reason == reason
    for _ in range(2):
        assert (await cached.complete(ask(role=role))).text == "whole"


async def test_streams_are_kept_and_repeated_in_one_piece() -> None:
    model, store = FakeChat(["one two three"]), Store()
    cached = CachedChat(model, store, roles={Role.ANSWER})
    first = await collect(cached, ask())
    second = await collect(cached, ask())
    assert [delta.text for delta in first] == ["one", " two", " three", ""]
    assert [delta.text for delta in second] == ["one two three", ""]
    assert second[-1].finish_reason == "stop"
    assert len(model.requests) == 1


async def test_a_kept_answer_to_a_question_names_the_model_that_gave_it() -> None:
    store = Store()
    model = FakeChat([ChatReply("yes", given_by="m@p"), ChatReply("no", given_by="m@p")])
    cached = CachedChat(model, store, roles=frozenset(Role))
    for _ in range(2):
        assert (await cached.complete(ask("one"))).given_by == "m@p"
        assert (await collect(cached, ask("two")))[-1].given_by == "m@p"
    assert len(model.requests) == 2
    await cached.complete(ask(role=Role.EXTRACT))
    assert sum("model" in row for row in store.rows.values()) == 2


async def test_what_a_stream_took_back_is_not_kept() -> None:
    class TakesBack(FakeChat):
        async def stream(self, request: ChatRequest) -> AsyncIterator[ChatDelta]:
            yield ChatDelta(text="Hmm.")
            yield ChatDelta(text="Ye", takes_back=True)
            yield ChatDelta(text="s.")
            yield ChatDelta(finish_reason="stop")

    cached = CachedChat(TakesBack(), Store(), roles={Role.ANSWER})
    await collect(cached, ask())
    assert (await collect(cached, ask()))[0].text == "Yes."


async def test_a_stream_that_was_closed_early_is_not_kept() -> None:
    store = Store()
    stream = CachedChat(FakeChat(["one two"]), store, roles={Role.ANSWER}).stream(ask())
    await anext(stream)
    await stream.aclose()  # type: ignore[attr-defined]
    assert not store.rows


async def test_prompts_are_kept_when_asked() -> None:
    store = Store()
    await CachedChat(FakeChat(), store, store_prompts=True).complete(ask("Who?", role=Role.EXTRACT))
    (row,) = store.rows.values()
    assert row["original_prompt"] == "Be brief.\n\nWho?"


def request_of(*messages: tuple[str, str], **fields: object) -> ChatRequest:
    return ChatRequest(
        tuple(Message(role, text) for role, text in messages),  # type: ignore[arg-type]
        Role.EXTRACT,
        **fields,  # type: ignore[arg-type]
    )


def test_keys_differ_with_everything_that_changes_the_answer_and_with_nothing_else() -> None:
    base = request_of(("user", "ab"), ("user", "c"))
    others = [
        request_of(("user", "a"), ("user", "bc")),
        request_of(("user", "abc")),
        request_of(("system", "ab"), ("user", "c")),
        request_of(("user", "ab"), ("user", "c"), max_tokens=5),
        request_of(("user", "ab"), ("user", "c"), temperature=0.5),
        request_of(("user", "ab"), ("user", "c"), json_object=True),
        request_of(("user", "ab"), ("user", "c"), extra=(("seed", 1),)),
    ]
    keys = {cache_key(FACTS, request) for request in (base, *others)}
    keys.add(cache_key(ModelFacts("openai", "other", FACTS.host), base))
    keys.add(cache_key(FACTS, base, mode="mix"))
    assert len(keys) == len(others) + 3
    assert cache_key(FACTS, request_of(("user", "ab"), ("user", "c"), chunk_id="x")) == cache_key(FACTS, base)
