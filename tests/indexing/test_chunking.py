"""Chunks cover the text, keep to their budget, and survive edits elsewhere."""

from __future__ import annotations

import itertools
import random

import pytest

from lightrag.errors import ConfigurationError
from lightrag.indexing import chunking
from lightrag.indexing.chunking import Chunker
from lightrag.types import PageSpan

from .workbench import WordCounter, lines


def chunker(size: int = 40, overlap: int = 8) -> Chunker:
    return Chunker(WordCounter(), lines, size=size, overlap=overlap)


def prose(lines_: int, seed: int = 1) -> str:
    draw = random.Random(seed)
    return "\n".join(
        " ".join(f"w{draw.randrange(500)}" for _ in range(draw.randint(2, 9))) + ("\n" if draw.random() < 0.1 else "")
        for _ in range(lines_)
    )


def test_spans_name_the_content_and_cover_every_word() -> None:
    text = prose(200)
    chunks = chunker().cut("doc", text, file_path="a.txt")
    assert all(text[chunk.start : chunk.end] == chunk.content for chunk in chunks)
    assert all(chunk.tokens <= 40 for chunk in chunks)
    assert [chunk.order for chunk in chunks] == list(range(len(chunks)))
    covered = 0
    for chunk in chunks:
        assert not text[covered : chunk.start].strip()
        covered = chunk.end
    assert not text[covered:].strip()


def test_neighbours_share_whole_sentences_up_to_the_overlap() -> None:
    chunks = chunker().cut("doc", prose(100), file_path="a.txt")
    shared = [first.end - second.start for first, second in itertools.pairwise(chunks)]
    assert any(length > 0 for length in shared)
    alone = chunker(overlap=0).cut("doc", prose(100), file_path="a.txt")
    assert all(first.end <= second.start for first, second in itertools.pairwise(alone))


def test_an_edit_changes_only_chunks_near_it() -> None:
    text = prose(400)
    edited = "A new first line that shifts everything.\n" + text
    before = {chunk.id for chunk in chunker().cut("doc", text, file_path="a.txt")}
    after = {chunk.id for chunk in chunker().cut("doc", edited, file_path="a.txt")}
    assert len(after - before) <= 12
    assert len(before) > 40


def test_a_line_without_end_is_cut_by_tokens() -> None:
    text = " ".join(f"word{n}" for n in range(300))
    chunks = chunker(overlap=0).cut("doc", text, file_path="a.txt")
    assert all(chunk.tokens <= 40 for chunk in chunks)
    assert " ".join(chunk.content.strip() for chunk in chunks) == text


def test_repeated_text_gives_different_ids() -> None:
    text = "\n".join(["the very same words here again and again and again"] * 40)
    ids = [chunk.id for chunk in chunker(overlap=0).cut("doc", text, file_path="a.txt")]
    assert len(set(ids)) == len(ids)
    assert not set(ids) & {chunk.id for chunk in chunker(overlap=0).cut("other", text, file_path="a.txt")}


def test_chunks_know_their_pages() -> None:
    text = prose(60)
    pages = [PageSpan(1, 0, 300), PageSpan(2, 300, 700), PageSpan(3, 700, len(text))]
    for chunk in chunker().cut("doc", text, file_path="a.pdf", pages=pages):
        assert chunk.page_start == next(page.page for page in pages if page.start <= chunk.start < page.end)
        assert chunk.page_end == next(page.page for page in pages if page.start <= chunk.end - 1 < page.end)


@pytest.mark.parametrize("seed", range(6))
def test_a_text_that_comes_in_pieces_is_cut_as_a_whole_one(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunking, "BLOCK_CHARS", 200)
    text, draw = prose(300, seed), random.Random(seed)
    cutting = chunker().begin("doc", file_path="a.txt")
    chunks, at = [], 0
    while at < len(text):
        step = draw.randint(1, 900)
        chunks += cutting.feed(text[at : at + step])
        at += step
    chunks += cutting.feed("", is_last=True)
    assert chunks == chunker().cut("doc", text, file_path="a.txt")


@pytest.mark.parametrize(("size", "overlap", "name"), [(8, 0, "CHUNK_SIZE"), (100, 60, "CHUNK_OVERLAP_SIZE")])
def test_impossible_sizes_are_refused_by_name(size: int, overlap: int, name: str) -> None:
    with pytest.raises(ConfigurationError, match=name):
        chunker(size, overlap)
