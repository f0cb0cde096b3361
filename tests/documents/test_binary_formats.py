"""What is read from the binary formats."""

from __future__ import annotations

from pathlib import Path

import pytest

from lightrag.documents.service import DocumentParser
from lightrag.types import ParsedDocument
from tests.documents import office_files

pytestmark = pytest.mark.asyncio(loop_scope="module")


def page_texts(document: ParsedDocument) -> dict[int, str]:
    return {span.page: document.text[span.start : span.end] for span in document.pages}


async def test_pdf_pages_keep_their_spans_and_the_title(parser: DocumentParser, tmp_path: Path) -> None:
    path = office_files.write_pdf(
        tmp_path / "a.pdf", ["Rivers rise in hills.\nThey run down.", "Caf\u00e9 on page two"], title="On rivers"
    )
    document = await parser.parse(path, "a.pdf")
    assert page_texts(document) == {1: "Rivers rise in hills.\nThey run down.", 2: "Café on page two"}
    assert document.title == "On rivers"
    assert document.warnings == ()


async def test_pdf_words_divided_at_line_ends_are_whole_again(parser: DocumentParser, tmp_path: Path) -> None:
    path = office_files.write_pdf(tmp_path / "a.pdf", ["Knowledge is hyphen-\nated here"])
    assert "hyphenated" in (await parser.parse(path, "a.pdf")).text


async def test_pdf_pages_without_text_are_reported(parser: DocumentParser, tmp_path: Path) -> None:
    path = office_files.write_pdf(tmp_path / "a.pdf", ["Text", None, "", "More"])
    document = await parser.parse(path, "a.pdf")
    assert page_texts(document) == {1: "Text", 4: "More"}
    assert "2-3" in document.warnings[0]


async def test_encrypted_pdf_opens_with_the_password(tmp_path: Path) -> None:
    path = office_files.write_pdf(tmp_path / "a.pdf", ["Secret otters"], password="sesame")
    async with DocumentParser(password="sesame") as parser:
        assert (await parser.parse(path, "a.pdf")).text == "Secret otters"


async def test_docx_keeps_the_order_of_headings_lists_and_tables(parser: DocumentParser, tmp_path: Path) -> None:
    document = await parser.parse(office_files.write_docx(tmp_path / "a.docx"), "A.DOCX")
    assert document.text == (
        "From a content control.\n\n# Otters\n\nOtters live in rivers and eat fish.\n\n## Diet\n\n- Trout\n- Crayfish"
        "\n\nRiver\tCount\nTay\t17\n\nThe count is from spring.\n\nThe survey succeeded."
    )
    assert document.title == "Field notes"


async def test_docx_footnotes_stand_at_the_end(parser: DocumentParser, tmp_path: Path) -> None:
    path = office_files.add_footnote(office_files.write_docx(tmp_path / "a.docx"), "Counted twice.")
    assert (await parser.parse(path, "a.docx")).text.endswith("See the note[^1]\n[^1]: Counted twice.")


async def test_pptx_slides_are_pages_with_tables_groups_and_notes(parser: DocumentParser, tmp_path: Path) -> None:
    document = await parser.parse(office_files.write_pptx(tmp_path / "a.pptx"), "a.pptx")
    assert page_texts(document) == {
        1: "# Quarterly review\n\nPrepared by Ada",
        2: "# Numbers\n\nRegion\tSales\nNorth\t42\n\nInside a group\n\nNotes: Mention the north.",
    }
    assert document.title == "Review deck"


async def test_xlsx_sheets_are_pages_of_tab_joined_values(parser: DocumentParser, tmp_path: Path) -> None:
    document = await parser.parse(office_files.write_xlsx(tmp_path / "a.xlsx"), "a.xlsx")
    assert page_texts(document) == {
        1: "Sheet: Prices\nItem\tPrice\tSince\nTea\t3\t2024-05-17\nSum\t3.5",
        3: "Sheet: Flags\nready\tTRUE\ttwo lines",
    }
    assert document.warnings == ("Sheet(s) without values: Empty.",)


async def test_odt_keeps_headings_lists_tables_and_notes(parser: DocumentParser, tmp_path: Path) -> None:
    document = await parser.parse(office_files.write_odt(tmp_path / "a.odt"), "a.odt")
    assert document.text == (
        "# Herons\n\nHerons wait[^1].\n\n- patience\n- long legs\n\nPond\tHerons\nEast\t4\n[^1]: For hours."
    )
    assert document.title == "Open notes"


async def test_epub_chapters_follow_the_spine(parser: DocumentParser, tmp_path: Path) -> None:
    document = await parser.parse(office_files.write_epub(tmp_path / "a.epub"), "a.epub")
    assert page_texts(document) == {1: "# The first\n\nIt was dark.", 2: "# The second\n\nIt was light."}
    assert document.title == "Two chapters"


async def test_rtf_text_code_pages_and_tables(parser: DocumentParser, tmp_path: Path) -> None:
    path = tmp_path / "a.rtf"
    path.write_bytes(
        rb"{\rtf1\ansi\ansicpg1252{\info{\title The tale}}{\fonttbl\f0 Arial;}\f0 Caf\'e9 \u20013?\u8364?{\b bold}\par"
        rb"{\*\generator Word;}Next \par\trowd One\cell Two\cell\row}"
    )
    document = await parser.parse(path, "a.rtf")
    assert document.text.startswith("Café 中€bold\nNext")
    assert "One\tTwo" in document.text
    assert document.title == "The tale"
