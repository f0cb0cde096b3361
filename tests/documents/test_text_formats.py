"""What is read from text, markup and data files."""

from __future__ import annotations

import codecs
import io
import json
import zipfile

import pytest

from lightrag.documents.formats import FORMATS, SUPPORTED_SUFFIXES
from lightrag.documents.service import DocumentParser
from lightrag.errors import UnreadableDocument
from tests.documents.conftest import Parse

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_every_promised_suffix_has_a_parser() -> None:
    promised = (
        "txt md pdf docx pptx xlsx rtf odt tex epub html htm csv json xml yaml yml log conf ini properties sql bat sh "
        "c cpp py java js ts swift go rb php css scss less h hpp mdx textpack"
    )
    assert [f".{suffix}" for suffix in promised.split()] == list(SUPPORTED_SUFFIXES) == list(FORMATS)


@pytest.mark.parametrize(
    ("encoding", "mark"),
    [
        ("utf-8", b""),
        ("utf-8", codecs.BOM_UTF8),
        ("utf-16-le", codecs.BOM_UTF16_LE),
        ("utf-16-be", codecs.BOM_UTF16_BE),
        ("utf-32-le", codecs.BOM_UTF32_LE),
        ("utf-32-be", codecs.BOM_UTF32_BE),
    ],
)
async def test_unicode_encodings_are_read_without_their_mark(parse: Parse, encoding: str, mark: bytes) -> None:
    text = "Grüße, 世界 🦦"
    assert (await parse("a.txt", mark + text.encode(encoding))).text == text


async def test_line_ends_and_control_characters_are_cleaned(parse: Parse) -> None:
    document = await parse("a.TXT", "one\r\ntwo\rthree\x07\x0cfour\ttab\u200b\x85end\r")
    assert document.text == "one\ntwo\nthree\nfour\ttab\u200b\nend\n"


async def test_a_line_end_across_two_blocks_is_one_line_end(parse: Parse) -> None:
    content = "x" * (1024 * 1024 - 1) + "\r\ny" + "é" * 1024 * 1024
    assert (await parse("a.log", content)).text == content.replace("\r\n", "\n")


async def test_a_huge_single_line_is_read(parse: Parse) -> None:
    line = "abcdefgh " * 600_000
    assert (await parse("a.md", line)).whole() == line


async def test_a_textpack_is_its_text(parse: Parse) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("Otters.textbundle/info.json", "{}")
        archive.writestr("Otters.textbundle/text.md", "# Otters\n\nThey hold hands.")
        archive.writestr("Otters.textbundle/assets/text.md", "not this one")
    document = await parse("a.textpack", packed.getvalue())
    assert (document.title, document.text) == ("Otters", "# Otters\n\nThey hold hands.")
    with pytest.raises(UnreadableDocument, match="not a TextPack"):
        await parse("b.textpack", b"no zip")


async def test_markdown_title_is_its_first_heading(parse: Parse) -> None:
    assert (await parse("a.md", "\n# The title #\n\nText")).title == "The title"


async def test_source_code_is_kept_as_it_is(parse: Parse) -> None:
    code = "def f():\n    return '<b>'  # tab:\t\n"
    assert (await parse("a.py", code)).text == code


async def test_html_gives_readable_text(parse: Parse) -> None:
    document = await parse(
        "a.html",
        "<!doctype html><html><head><title>A  page</title><style>p{}</style><script>var hidden=1</script></head>"
        "<body><nav>Home | About</nav><h2>Head&shy;ing</h2><p>One <b>bold</b>\n word.<br>Next<!-- no --> line.</p>"
        "<ul><li>first<ul><li>nested</li></ul></li><li><p>second</p></li></ul>"
        "<table><tr><th>A<th>B</tr><tr><td>1<td><p>2</p><p>3</p></tr></table>"
        "<pre>  keep\n   this</pre><p hidden>secret</p><div>last</body></html>",
    )
    assert document.title == "A page"
    assert document.text == (
        "## Head\u00ading\n\nOne bold word.\nNext line.\n\n- first\n  - nested\n- second\n\nA\tB\n1\t2 3\n\n"
        "  keep\n   this\n\nlast"
    )


async def test_html_that_a_style_hides_is_left_out_but_a_page_that_waits_for_a_script_is_read(parse: Parse) -> None:
    document = await parse(
        "a.html",
        '<body style="display:none"><p>seen</p><div style="color: red; Display : none"><p>one</p><img src="x"></div>'
        '<p style="visibility:hidden">two</p><p style="display: block">also seen</p></body>',
    )
    assert document.text == "seen\n\nalso seen"


async def test_html_tables_that_only_arrange_a_page_are_not_rows(parse: Parse) -> None:
    document = await parse("a.htm", "<table><tr><td><h1>Menu</h1><td><p>One</p><p>Two</p></table>")
    assert document.text == "# Menu\n\nOne\n\nTwo"


async def test_html_in_a_declared_encoding(parse: Parse) -> None:
    page = '<html><head><meta charset="{}"></head><body>{}</body></html>'
    assert (await parse("a.html", page.format("gb2312", "知识图谱").encode("gb18030"))).text == "知识图谱"
    assert (await parse("b.html", page.format("iso-8859-1", "“naïve”").encode("cp1252"))).text == "“naïve”"


async def test_deeply_nested_html_is_no_danger(parse: Parse) -> None:
    assert "deep" in (await parse("a.html", "<div>" * 200 + "deep" + "</div>" * 200)).text
    with pytest.raises(UnreadableDocument):
        await parse("b.html", "<div>" * 100_000)


async def test_csv_rows_are_kept_whatever_the_delimiter(parse: Parse) -> None:
    expected = "name\tnote\nAda\tfirst, best\nBob\ttwo lines\n"
    assert (await parse("a.csv", 'name,note\r\nAda,"first, best"\r\nBob,"two\r\nlines"\r\n')).text == expected
    assert (await parse("b.csv", 'name;note\nAda;first, best\n\nBob;"two\nlines"')).text == expected


async def test_csv_without_columns_is_kept_as_text(parse: Parse) -> None:
    assert (await parse("a.csv", "just a line\nand another\n")).text == "just a line\nand another\n"


async def test_json_is_kept_with_readable_letters(parse: Parse) -> None:
    content = json.dumps({"城市": "北京 🦦", "quote": 'a "b"\n', "path": "c:\\u0041"}, indent=2)
    text = (await parse("a.json", content)).text
    assert "北京 🦦" in text
    assert json.loads(text) == json.loads(content)


async def test_damaged_json_is_indexed_with_a_warning(parse: Parse) -> None:
    document = await parse("a.json", '{"a": 1')
    assert document.text == '{"a": 1'
    assert "not valid JSON" in document.warnings[0]


async def test_xml_text_keeps_sentences_together(parse: Parse) -> None:
    document = await parse(
        "a.xml",
        '<?xml version="1.0" encoding="ISO-8859-1"?><doc><title>Caf\xe9</title><p>See <b>this</b> word &amp; that.</p>'
        '<!-- no --><item name="tea" price="3"/></doc>'.encode("latin-1"),
    )
    assert document.text == "Café\nSee this word & that.\nitem name=tea price=3"


async def test_the_same_bytes_give_the_same_text(parser: DocumentParser, parse: Parse) -> None:
    assert await parse("a.html", "<p>x</p>") == await parse("b.html", "<p>x</p>")
