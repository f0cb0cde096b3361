"""Files of any size are read piece by piece: text is handed on while the file is still being read."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from lightrag.documents.builder import TextBuilder
from lightrag.documents.limits import ParseLimits
from lightrag.documents.parsers.epub import feed_xml
from lightrag.documents.parsers.html import feed_html
from lightrag.documents.parsers.markup import MarkupRenderer, MarkupTarget
from lightrag.errors import TooLarge
from tests.documents.conftest import Parse

pytestmark = pytest.mark.asyncio(loop_scope="module")

WORDS = "the quick brown fox jumps over the lazy dog "


def as_html(pieces: Iterator[str], target: MarkupTarget) -> None:
    feed_html(pieces, target, "page.html")


@pytest.mark.parametrize("feed", [as_html, feed_xml])
async def test_a_page_is_written_while_it_is_read(feed: Callable[[Iterator[str], MarkupTarget], None]) -> None:
    written: list[str] = []
    lengths: list[int] = []

    def pieces() -> Iterator[str]:
        yield "<html><body>"
        for number in range(100):
            lengths.append(sum(map(len, written)))
            yield f"<p>{number} {WORDS * 100}</p>"
        yield "</body></html>"

    feed(pieces(), MarkupRenderer(TextBuilder(ParseLimits(), written.append)))

    text = "".join(written)
    assert text.startswith("0 the quick")
    assert "\n\n99 the quick" in text
    # Of what was read, only the last pieces are not written yet.
    assert lengths[-1] > 0.8 * len(text)


@pytest.mark.parametrize("tag", ["p", "div"])
async def test_a_paragraph_of_any_length_is_kept_whole(parse: Parse, tag: str) -> None:
    document = await parse("long.html", f"<{tag}>  {WORDS * 80_000}<br>end </{tag}><p>after</p>")
    assert document.whole() == f"{(WORDS * 80_000).strip()}\nend\n\nafter"


async def test_preformatted_text_of_any_length_is_kept_whole(parse: Parse) -> None:
    lines = "".join(f"{number}  {WORDS}\n\n" for number in range(240_000))
    document = await parse("log.html", f"<pre>\n{lines}</pre><p>after</p>")
    assert document.whole() == f"{lines.rstrip()} \n\nafter"


async def test_a_picture_inside_a_page_is_not_touched() -> None:
    sources: list[str] = []

    class Target(MarkupRenderer):
        def start(self, tag: str, attributes: object) -> None:
            sources.append(dict(attributes).get("src", ""))  # type: ignore[call-overload]

    address = "data:image/png;base64," + "QUJD" * 100_000
    as_html(iter([f'<p>{WORDS * 5000}</p><img src="{address}"> {WORDS * 5000}']), Target(_builder()))
    assert address in sources


async def test_what_is_too_long_for_the_parser_is_refused_instead_of_ending_the_text(parse: Parse) -> None:
    with pytest.raises(TooLarge, match="comment"):
        await parse("comment.html", f"<p>before</p><!--{WORDS * 300_000}--><p>after</p>")


async def test_an_xml_element_of_any_length_is_one_line(parse: Parse) -> None:
    document = await parse("long.xml", f"<r><a>{WORDS * 80_000}<b>in</b> the end</a><a>after</a></r>")
    assert document.whole() == f"{(WORDS * 80_000).strip()} in the end\nafter"


@pytest.mark.parametrize(
    ("table", "text"),
    [
        ("<table><tr><td>a</td><td>b</td></tr></table>", "a\tb"),
        ("<table><tr><td><h2>a</h2></td><td>b</td></tr></table>", "## a\n\nb"),
        ("<table><tr><td><table><tr><td>a</td><td>b</td></tr></table></td><td>c</td></tr></table>", "a\tb\n\nc"),
    ],
)
async def test_a_table_that_arranges_the_page_is_known_before_its_end(parse: Parse, table: str, text: str) -> None:
    data = "<table><tr><td>1</td><td>2</td></tr></table>"
    document = await parse("tables.html", f"<p>x</p>{data}{table}{data}")
    assert document.whole() == f"x\n\n1\t2\n\n{text}\n\n1\t2"


def _builder() -> TextBuilder:
    return TextBuilder(ParseLimits(), lambda piece: None)
