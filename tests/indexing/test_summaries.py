"""Long descriptions are summarised when nothing waits, once for the same fragments."""

from __future__ import annotations

import pytest

from lightrag.errors import ModelUnreachable
from lightrag.indexing.contributions import ExtractedChunk, Folder, add_chunks, add_extractions
from lightrag.indexing.extraction import RawEntity, RawRelation, assemble
from lightrag.indexing.fold import FoldRules
from lightrag.indexing.summarizer import Summarizer
from lightrag.llm.contracts import ChatReply
from lightrag.storage.contracts import Namespace, Storage
from lightrag.storage.memory import MemoryStorage
from lightrag.testing.fake_models import FakeChat
from lightrag.types import Chunk

FOLD = Folder(FoldRules(max_fragments=4), summarises=lambda: True)


@pytest.fixture
async def storage() -> Storage:
    store = MemoryStorage("s")
    await store.open()
    return store


def summarizer(storage: Storage, chat: FakeChat) -> Summarizer:
    return Summarizer(storage, chat, FOLD, language="English", context_tokens=2000, words=100, parallel=2)


async def tell(storage: Storage, *numbers: int) -> None:
    """Store chunks that each say something else of Ada and of her relation to Bob."""
    async with storage.transaction() as tx:
        for number in numbers:
            chunk = Chunk(f"chunk-{number}", "doc-1", number, f"text {number}", 2, 0, 6)
            found = assemble(
                [RawEntity("Ada", "person", f"Ada did thing {number}."), RawEntity("Bob", "person", "Bob is Bob.")],
                [RawRelation("Ada", "Bob", "knows", f"They met {number} times.")],
            )
            await add_chunks(tx, [chunk])
            await add_extractions(tx, [ExtractedChunk(chunk, found, 0, "test")], FOLD)


async def test_a_long_description_becomes_a_summary_and_its_vector_stale(storage: Storage) -> None:
    await tell(storage, *range(4))
    chat = FakeChat(lambda request: "Ada did four things.")
    listed, stale, failure = await summarizer(storage, chat).run_round()
    assert (listed, failure) == (2, None)
    ada = (await storage.graph.get_entities(["Ada"]))["Ada"]
    assert ada.description == "Ada did four things."
    assert {item.key.key for item in stale} == {"Ada", "Ada<SEP>Bob"}
    prompt = chat.requests[0].messages[-1].content
    assert all(f"Ada did thing {number}." in prompt for number in range(4))
    assert (await storage.graph.get_entities(["Bob"]))["Bob"].description == "Bob is Bob."


@pytest.mark.parametrize(
    ("answer", "kept"),
    [
        ("Ada did four things. The last of them was to", "Ada did four things."),
        ("Ada did four things. She knew it.", "Ada did four things. She knew it."),
        ("Ada did four", "Ada did four"),
    ],
)
async def test_a_summary_that_was_cut_off_ends_with_a_sentence(storage: Storage, answer: str, kept: str) -> None:
    await tell(storage, *range(4))
    await summarizer(storage, FakeChat(lambda request: ChatReply(answer, finish_reason="length"))).run_round()
    assert (await storage.graph.get_entities(["Ada"]))["Ada"].description == kept


async def test_a_little_more_stands_behind_the_summary_and_much_more_is_summarised_with_the_rest(
    storage: Storage,
) -> None:
    chat = FakeChat(lambda request: "A summary.")
    await tell(storage, *range(4))
    await summarizer(storage, chat).run_round()
    await tell(storage, 4, 5)
    assert (await summarizer(storage, chat).run_round())[0] == 0
    ada = (await storage.graph.get_entities(["Ada"]))["Ada"]
    assert ada.description == "A summary.<SEP>Ada did thing 4.<SEP>Ada did thing 5."
    await tell(storage, *range(6, 12))
    assert (await summarizer(storage, chat).run_round())[0] == 2
    assert (await storage.graph.get_entities(["Ada"]))["Ada"].description == "A summary."


async def test_the_same_fragments_are_not_summarised_twice(storage: Storage) -> None:
    await tell(storage, *range(6))
    chat = FakeChat(lambda request: "A summary.")
    await summarizer(storage, chat).run_round()
    calls = len(chat.requests)
    await tell(storage, *range(6))
    assert await storage.kv(Namespace.STALE).scan(prefix="se:") == []
    assert (await summarizer(storage, chat).run_round())[0] == 0
    assert len(chat.requests) == calls


async def test_a_failing_model_leaves_the_work_listed(storage: Storage) -> None:
    await tell(storage, *range(6))
    down = FakeChat([ModelUnreachable("down")])
    _, _, failure = await summarizer(storage, down).run_round()
    assert isinstance(failure, ModelUnreachable)
    assert "<SEP>" in (await storage.graph.get_entities(["Ada"]))["Ada"].description
    assert await summarizer(storage, down).waiting() == 2
    listed, _, failure = await summarizer(storage, FakeChat(lambda request: "Well.")).run_round()
    assert (listed, failure) == (2, None)
    assert (await storage.graph.get_entities(["Ada"]))["Ada"].description.startswith("Well.<SEP>")
