"""Every way of cutting names exact places, keeps to its size, refuses what makes no sense, and is remembered."""

from __future__ import annotations

import dataclasses
import itertools
import random
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import numpy as np
import pytest

from lightrag.errors import ChunkTokenLimitExceededError, ConfigurationError, InvalidInput, ModelUnreachable
from lightrag.indexing import chunking_fixed
from lightrag.indexing.chunkers import Chunkers, ChunkingRules, standard_choices
from lightrag.indexing.chunking_record import KEY, choice_of
from lightrag.indexing.intake import TextItem, accept_texts
from lightrag.storage.memory import MemoryStorage
from lightrag.text.sentences import sentences
from lightrag.text.tokens import Tokenizer, load_tokenizer
from lightrag.types import Chunk, ChunkingChoice, ChunkingStrategy, DocStatus, PageSpan

from .workbench import WordEmbedding, Workbench, make_workbench

STRATEGIES: tuple[ChunkingStrategy, ...] = (
    "content_defined",
    "fixed_token",
    "recursive_character",
    "semantic_vector",
    "paragraph_semantic",
)


@pytest.fixture(scope="module")
def tokens() -> Tokenizer:
    return load_tokenizer()


def chunkers(tokens: Tokenizer, function: Callable[..., Any] | None = None, **sizes: int) -> Chunkers:
    rules = ChunkingRules(choices=standard_choices(**sizes))
    return Chunkers(tokens, sentences, WordEmbedding(), rules, function)


async def cut(
    made: Chunkers, choice: ChunkingChoice, text: str, pages: Sequence[PageSpan] = (), piece: int = 1000
) -> list[Chunk]:
    async def pieces() -> AsyncIterator[str]:
        for at in range(0, len(text), piece):
            yield text[at : at + piece]

    found = made.cut(made.resolve(choice), pieces(), doc_id="doc", file_path="a.txt", pages=pages)
    return [chunk async for some in found for chunk in some]


def prose(paragraphs: int, seed: int = 3) -> str:
    draw = random.Random(seed)
    words = [
        "Ada",
        "wrote",
        "the",
        "first",
        "program",
        "in",
        "London",
        "with",
        "Zürich",
        "0.95",
        "größer",
        "机器",
        "🙂",
    ]
    lines = []
    for number in range(paragraphs):
        if number % 9 == 0:
            lines.append(f"## Part {number}")
        said = [" ".join(draw.choices(words, k=draw.randint(4, 14))) + "." for _ in range(draw.randint(1, 6))]
        lines.append(" ".join(said))
    return "\n\n".join(lines)


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_spans_name_the_content_cover_every_word_and_keep_to_the_size(
    strategy: ChunkingStrategy, tokens: Tokenizer
) -> None:
    text = prose(60)
    pages = [PageSpan(n + 1, at, min(at + 700, len(text))) for n, at in enumerate(range(0, len(text), 700))]
    made = chunkers(tokens)
    sizes = {} if strategy == "semantic_vector" else {"chunk_overlap_token_size": 12}
    chunks = await cut(made, ChunkingChoice(strategy, chunk_token_size=80, **sizes), text, pages)
    assert len(chunks) > 5
    assert [chunk.order for chunk in chunks] == list(range(len(chunks)))
    assert len({chunk.id for chunk in chunks}) == len(chunks)
    covered = 0
    for chunk in chunks:
        assert text[chunk.start : chunk.end] == chunk.content == chunk.content.strip()
        assert not text[covered : chunk.start].strip()
        # Blanks between sentences are not counted, and tokens at borders may be cut in two.
        assert tokens.count(chunk.content) <= 88
        assert chunk.page_start == chunk.start // 700 + 1
        assert chunk.page_end == (chunk.end - 1) // 700 + 1
        covered = max(covered, chunk.end)
    assert not text[covered:].strip()


async def test_fixed_windows_are_lightrags(tokens: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "\n".join(f"Line {n} says that Ada met {n * 7} people in Paris, didn't she?" for n in range(120))
    ids = tokens.encode(text)
    expected = [tokens.decode(ids[at : at + 50]).strip() for at in range(0, len(ids), 40)]
    choice = ChunkingChoice("fixed_token", chunk_token_size=50, chunk_overlap_token_size=10)
    assert [chunk.content for chunk in await cut(chunkers(tokens), choice, text)] == expected
    # A large text is encoded block by block, with the same windows.
    monkeypatch.setattr(chunking_fixed, "BLOCK_CHARS", 300)
    assert [chunk.content for chunk in await cut(chunkers(tokens), choice, text)] == expected


async def test_a_text_is_split_at_a_character_first(tokens: Tokenizer) -> None:
    text = "one two||three||  ||" + "four " * 30
    choice = ChunkingChoice("fixed_token", chunk_token_size=10, chunk_overlap_token_size=0, split_by_character="||")
    chunks = await cut(chunkers(tokens), choice, text)
    assert [chunk.content for chunk in chunks[:2]] == ["one two", "three"]
    assert all(chunk.content == text[chunk.start : chunk.end] for chunk in chunks)
    assert len(chunks) > 4


async def test_pieces_that_must_not_be_cut_are_an_error_when_too_long(tokens: Tokenizer) -> None:
    choice = ChunkingChoice("fixed_token", chunk_token_size=10, split_by_character="\n", split_by_character_only=True)
    assert [c.content for c in await cut(chunkers(tokens), choice, "short\nalso short")] == ["short", "also short"]
    with pytest.raises(ChunkTokenLimitExceededError, match="exceeds chunk_token_size 10") as error:
        await cut(chunkers(tokens), choice, "short\n" + "long " * 40)
    assert error.value.chunk_token_limit == 10
    assert error.value.chunk_tokens > 10
    assert error.value.chunk_preview is not None
    assert error.value.chunk_preview.startswith("long long")


async def test_recursive_cutting_prefers_the_best_separator(tokens: Tokenizer) -> None:
    text = "\n\n".join(f"Paragraph {n}. " + "It has some words. " * 3 for n in range(10))
    choice = ChunkingChoice("recursive_character", chunk_token_size=50, chunk_overlap_token_size=0)
    chunks = await cut(chunkers(tokens), choice, text)
    assert all(chunk.content.startswith("Paragraph") for chunk in chunks)
    own = dataclasses.replace(choice, chunk_token_size=6, separators=("|",))
    assert [c.content for c in await cut(chunkers(tokens), own, "a b c|d e f|g h i")] == ["a b c", "|d e f", "|g h i"]


async def test_neighbours_share_up_to_the_overlap(tokens: Tokenizer) -> None:
    text = " ".join(f"w{n}" for n in range(300))
    choice = ChunkingChoice("recursive_character", chunk_token_size=40, chunk_overlap_token_size=10)
    chunks = await cut(chunkers(tokens), choice, text)
    shared = [text[second.start : first.end] for first, second in itertools.pairwise(chunks)]
    assert all(0 < tokens.count(part) <= 12 for part in shared)


class TopicEmbedding:
    """Knows two topics."""

    async def embed(self, texts: Sequence[str], *, purpose: str) -> Any:
        return np.array([[1.0, 0.0] if "cat" in text else [0.0, 1.0] for text in texts], np.float32)


async def test_semantic_cutting_ends_a_chunk_where_the_topic_turns(tokens: Tokenizer) -> None:
    cats, cars = "A cat sleeps all day. " * 6, "Engines need some oil. " * 6
    text = (cats + cars + cats).strip()
    made = Chunkers(tokens, sentences, TopicEmbedding())
    for kind, amount in (("percentile", 80.0), ("standard_deviation", 1.0), ("interquartile", None)):
        choice = ChunkingChoice(
            "semantic_vector",
            breakpoint_threshold_type=kind,
            breakpoint_threshold_amount=amount,  # type: ignore[arg-type]
        )
        chunks = await cut(made, choice, text)
        assert [chunk.content.count("cat") for chunk in chunks] in ([6, 0, 6], [6, 1, 6]), kind
    small = await cut(made, ChunkingChoice("semantic_vector", chunk_token_size=20), text)
    assert all(chunk.tokens <= 20 for chunk in small)


async def test_semantic_cutting_says_when_the_model_fails(tokens: Tokenizer) -> None:
    made = Chunkers(tokens, sentences, WordEmbedding(fail_with=ModelUnreachable("nobody answers")))
    with pytest.raises(ModelUnreachable):
        await cut(made, ChunkingChoice("semantic_vector"), "One sentence. Another sentence.")


REPORT = """# Report

## Findings

The first finding is short.

| name | value |
| a | 1 |
| b | 2 |

### Details

More words on the first finding.

## References

[1] A book that nobody has read.
"""


async def test_paragraphs_keep_sections_together_and_can_drop_references(tokens: Tokenizer) -> None:
    choice = ChunkingChoice("paragraph_semantic", chunk_token_size=44, chunk_overlap_token_size=0)
    chunks = await cut(chunkers(tokens), choice, REPORT)
    assert chunks[0].content.startswith("# Report\n\n## Findings\n\nThe first finding")
    assert "| a | 1 |\n| b | 2 |" in chunks[0].content
    assert any(chunk.content.startswith("## References") or "## References" in chunk.content for chunk in chunks)
    kept = await cut(chunkers(tokens), dataclasses.replace(choice, drop_references=True), REPORT)
    assert not any("nobody has read" in chunk.content for chunk in kept)


async def test_a_long_table_is_cut_between_rows(tokens: Tokenizer) -> None:
    table = "\n".join(f"name {n}\tvalue {n}\tnote {n}" for n in range(60))
    choice = ChunkingChoice("paragraph_semantic", chunk_token_size=60, chunk_overlap_token_size=0)
    chunks = await cut(chunkers(tokens), choice, table)
    assert len(chunks) > 3
    assert all(chunk.content.startswith("name") and "note" in chunk.content.splitlines()[-1] for chunk in chunks)


def halves(tokenizer: Any, content: str, split: Any, only: bool, overlap: int, size: int) -> list[dict[str, Any]]:
    middle = content.index(". ") + 1
    return [
        {"tokens": 3, "content": part, "chunk_order_index": n}
        for n, part in enumerate((content[:middle], content[middle:]))
    ]


async def test_a_function_of_the_caller_cuts_and_its_passages_are_found(tokens: Tokenizer) -> None:
    text = "Ada wrote it. Grace read it."
    chunks = await cut(chunkers(tokens, halves), ChunkingChoice("custom"), text)
    assert [chunk.content for chunk in chunks] == ["Ada wrote it.", "Grace read it."]
    assert [text[chunk.start : chunk.end] for chunk in chunks] == ["Ada wrote it.", "Grace read it."]

    def old(content: str, split: Any, only: bool, overlap: int, size: int, model: str) -> list[dict[str, Any]]:
        return [{"tokens": 1, "content": f"{model}: made up", "chunk_order_index": 0}]

    async def later(tokenizer: Any, content: str, *rest: Any) -> list[dict[str, Any]]:
        return [{"content": content.replace(" ", "\n")}]

    (invented,) = await cut(chunkers(tokens, old), ChunkingChoice("custom"), text)
    assert (invented.content, invented.start, invented.end) == ("gpt-4o-mini: made up", 0, 0)
    (rewritten,) = await cut(chunkers(tokens, later), ChunkingChoice("custom"), text)
    assert (rewritten.start, rewritten.end) == (0, len(text))


@pytest.mark.parametrize("made", [None, "text", [1], [{"tokens": 1}], [{"content": 3}]])
async def test_a_function_that_returns_something_else_is_named(made: Any, tokens: Tokenizer) -> None:
    with pytest.raises(InvalidInput, match=r"chunking function|Chunk 1"):
        await cut(chunkers(tokens, lambda *arguments: made), ChunkingChoice("custom"), "text")


async def test_a_function_that_fails_is_named(tokens: Tokenizer) -> None:
    def broken(tokenizer: Any, *rest: Any) -> Any:
        raise KeyError("no such model")

    with pytest.raises(InvalidInput, match="KeyError"):
        await cut(chunkers(tokens, broken), ChunkingChoice("custom"), "text")


SENSELESS = [
    (ChunkingChoice("custom"), "chunking_func"),
    (ChunkingChoice("fixed_token", separators=("x",)), "'separators' is not a parameter of 'fixed_token'"),
    (ChunkingChoice("semantic_vector", chunk_overlap_token_size=1), "'chunk_overlap_token_size' is not a parameter"),
    (ChunkingChoice("fixed_token", chunk_token_size=50), r"chunk_overlap_token_size \(100\) must be less than"),
    (ChunkingChoice("fixed_token", chunk_token_size=0), "between 1 and"),
    (ChunkingChoice("content_defined", chunk_token_size=8, chunk_overlap_token_size=0), "at least 16"),
    (ChunkingChoice("recursive_character", separators=("x",) * 65), "at most 64"),
    (ChunkingChoice("recursive_character", separators=("x" * 257,)), "longer than 256"),
    (ChunkingChoice("semantic_vector", breakpoint_threshold_amount=101.0), "at most 100"),
    (ChunkingChoice("semantic_vector", buffer_size=0), "buffer_size"),
]


@pytest.mark.parametrize(("choice", "message"), SENSELESS)
def test_senseless_choices_are_refused_with_the_parameter(
    choice: ChunkingChoice, message: str, tokens: Tokenizer
) -> None:
    with pytest.raises(InvalidInput, match=message):
        chunkers(tokens).resolve(choice)


def test_settings_that_contradict_each_other_are_refused_at_the_start(tokens: Tokenizer) -> None:
    choices = standard_choices() | {"recursive_character": ChunkingChoice("recursive_character", 50, 100)}
    with pytest.raises(ConfigurationError, match="recursive_character"):
        Chunkers(tokens, sentences, WordEmbedding(), ChunkingRules(choices=choices))


@pytest.fixture
async def bench() -> AsyncIterator[Workbench]:
    storage = MemoryStorage("")
    await storage.open()
    made = make_workbench(storage)
    await made.pipeline.start()
    yield made
    await made.pipeline.stop()
    await storage.close()


async def indexed(bench: Workbench, text: str, choice: ChunkingChoice | None, on_conflict: Any = "skip") -> Any:
    item = TextItem(text, file_path="a.txt", chunking=choice)
    (accepted,) = await accept_texts(bench.storage, [item], "track", on_conflict)
    bench.pipeline.interrupt([accepted.record.id])
    await bench.pipeline.wait_until_idle()
    return (await bench.storage.documents.get([accepted.record.id]))[accepted.record.id]


LINES = "\n".join(f"@ A{n} > B{n}: knows" for n in range(6))
BY_LINE = ChunkingChoice("fixed_token", 16, 0, split_by_character="\n", split_by_character_only=True)


async def test_what_was_asked_for_is_repeated_when_the_text_changes(bench: Workbench) -> None:
    first = await indexed(bench, LINES, BY_LINE)
    again = await indexed(bench, LINES + "\n@ A9 > B9: knows", None, "update")
    other = await indexed(bench, LINES, ChunkingChoice("fixed_token", 1000, 0), "update")
    assert (len(first.chunks_list), len(again.chunks_list), len(other.chunks_list)) == (6, 7, 1)
    assert set(first.chunks_list) <= set(again.chunks_list)
    assert choice_of(again) == BY_LINE


async def test_where_nothing_is_asked_the_settings_are_noted(bench: Workbench) -> None:
    record = await indexed(bench, LINES, None)
    assert record.metadata[KEY]["strategy"] == "content_defined"
    assert "asked" not in record.metadata[KEY]


async def test_a_document_that_cannot_be_cut_as_asked_fails_with_the_reason(bench: Workbench) -> None:
    record = await indexed(bench, "word " * 40, BY_LINE)
    assert record.status is DocStatus.FAILED
    assert "exceeds chunk_token_size 16" in record.error_msg
    assert record.chunks_list == ()
