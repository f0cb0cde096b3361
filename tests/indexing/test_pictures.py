"""Descriptions of pictures in a document's text."""

from __future__ import annotations

import pytest

from lightrag.indexing.pictures import place
from lightrag.types import FoundPicture, PageSpan, ParsedDocument


def found(offset: int, page: int | None = None) -> FoundPicture:
    return FoundPicture(b"", "image/png", offset, page)


@pytest.mark.parametrize(
    ("text", "offset", "expected"),
    [
        ("", 0, "[Picture: A]"),
        ("One\n\nTwo", 3, "One\n\n[Picture: A]\n\nTwo"),
        ("One\n- item", 3, "One\n\n[Picture: A]\n\n- item"),
        ("One", 0, "[Picture: A]\n\nOne"),
        ("One", 3, "One\n\n[Picture: A]"),
        ("One", 99, "One\n\n[Picture: A]"),
    ],
)
def test_a_description_is_a_paragraph_of_its_own(text: str, offset: int, expected: str) -> None:
    assert place(ParsedDocument(text), [(found(offset), "A")]) == (expected, ())


def test_a_description_stays_one_paragraph_whatever_the_model_writes() -> None:
    text, _ = place(ParsedDocument(""), [(found(0), "A chart.\r\n\r\n  Axis: years \0\n\n\n")])
    assert text == "[Picture: A chart.\nAxis: years]"


def test_a_reference_to_a_page_finds_the_descriptions_of_its_pictures() -> None:
    document = ParsedDocument("One\n\nThree", (PageSpan(1, 0, 3), PageSpan(3, 5, 10)))
    said = [(found(3, 1), "A"), (found(3, 2), "B"), (found(3, 3), "C"), (found(10, 4), "D")]
    text, pages = place(document, said)
    assert {page.page: text[page.start : page.end] for page in pages} == {
        1: "One\n\n[Picture: A]",
        2: "[Picture: B]",
        3: "[Picture: C]\n\nThree",
        4: "[Picture: D]",
    }
    assert text == "One\n\n[Picture: A]\n\n[Picture: B]\n\n[Picture: C]\n\nThree\n\n[Picture: D]"


def test_pages_of_a_document_without_text_are_those_of_its_pictures() -> None:
    text, pages = place(ParsedDocument(""), [(found(0, 1), "A"), (found(0, 2), "B")])
    assert [text[page.start : page.end] for page in pages] == ["[Picture: A]", "[Picture: B]"]
