"""Text is cleaned on its way, and spans count what is left."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightrag.documents.builder import HELD_CHARS, Summary, TextBuilder, TextCollector, clean
from lightrag.documents.limits import ParseLimits

PIECES = st.lists(st.text(st.sampled_from("ab é世🦦 \t\n\r\x00\x07\x0c\x85\ud83e\udda6\ufeff")), max_size=8)


def built(pages: list[list[str]]) -> tuple[str, dict[int, str]]:
    collector = TextCollector(ParseLimits())
    out = TextBuilder(ParseLimits(), collector.add)
    for number, blocks in enumerate(pages, start=1):
        out.start_page(number)
        for block in blocks:
            out.block(block)
    document = collector.document(out.finish())
    return document.text, {span.page: document.text[span.start : span.end] for span in document.pages}


@given(st.lists(PIECES, max_size=5))
def test_spans_hold_exactly_their_pages(pages: list[list[str]]) -> None:
    text, spans = built(pages)
    expected = {}
    for number, blocks in enumerate(pages, start=1):
        kept = [clean(block).strip("\n") for block in blocks if clean(block).strip()]
        if kept:
            expected[number] = "\n\n".join(kept)
    assert spans == expected
    assert text == "\n\n".join(expected.values())


@given(PIECES)
def test_streamed_text_is_clean(pieces: list[str]) -> None:
    collector = TextCollector(ParseLimits())
    out = TextBuilder(ParseLimits(), collector.add)
    for piece in pieces:
        out.add(piece)
    text = collector.document(out.finish()).text
    assert not set(text) & set("\r\x00\x07\x0c\x85\ufeff")
    text.encode("utf-8")


@given(PIECES)
def test_line_ends_do_not_depend_on_how_the_text_was_cut(pieces: list[str]) -> None:
    whole = "".join(pieces).replace("\ud83e", "").replace("\udda6", "")
    collector = TextCollector(ParseLimits())
    out = TextBuilder(ParseLimits(), collector.add)
    for letter in whole:
        out.add(letter)
    assert collector.document(out.finish()).text == clean(whole)


def test_halves_of_one_character_are_joined_and_lone_ones_dropped() -> None:
    assert clean("a\ud83e\udda6b\ud83ec\udda6") == "a🦦bc"


@given(st.lists(st.text(st.sampled_from("ab é世🦦 \n"), max_size=9), max_size=9), st.integers(1, 7))
def test_a_long_text_comes_back_from_its_file_in_pieces(parts: list[str], size: int) -> None:
    collector = TextCollector(ParseLimits())
    out = TextBuilder(ParseLimits(), collector.add)
    for part in parts:
        out.add(part)
        collector.write()
    document, text = collector.document(out.finish()), "".join(parts)
    assert (document.text, document.length, document.is_blank) == (
        "",
        len(text),
        not text or text.isspace(),
    ) or not parts
    pieces = list(document.pieces(size))
    assert pieces == [text[start : start + size] for start in range(0, len(text), size)]
    assert document.whole() == text


def test_without_a_place_for_files_a_long_text_stays_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    collector = TextCollector(ParseLimits())
    collector.add("x" * (HELD_CHARS + 1))
    assert collector.is_full
    collector.write()
    assert collector.document(Summary((), None, ())).text == "x" * (HELD_CHARS + 1)


def refuse(**_options: object) -> None:
    raise FileNotFoundError("No usable temporary directory found")
