"""HTML: what a reader sees, without scripts, styles, navigation and hidden parts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from lxml import etree

from lightrag.documents.builder import TextBuilder
from lightrag.documents.decoding import describe_signature, read_markup
from lightrag.documents.formats import Source
from lightrag.documents.parsers.markup import MarkupRenderer, MarkupTarget, TableKinds
from lightrag.errors import TooLarge, UnreadableDocument

_WITHOUT_MARKUP = 1 << 14
"""Characters without a tag after which one is put in."""
_STRETCH = re.compile(rf".{{{_WITHOUT_MARKUP}}}\S*(?=\s)", re.DOTALL)


def parse(source: Source, out: TextBuilder) -> None:
    """Write the readable text and note the title."""
    with source.path.open("rb") as stream:
        kind = describe_signature(stream.read(64))
        if kind:
            raise UnreadableDocument(f"'{source.name}' is not an HTML file: it begins like {kind}.")
        stream.seek(0)
        kinds = TableKinds()
        if any("<table" in piece.lower() for piece in read_markup(stream, source.name)):
            stream.seek(0)
            feed_html(read_markup(stream, source.name), kinds, source.name)
        stream.seek(0)
        page = _Page(out, kinds.are_layout)
        feed_html(read_markup(stream, source.name), page, source.name)
    out.set_title(page.title)
    if out.is_empty:
        raise UnreadableDocument(
            f"'{source.name}' holds no readable text. If a script builds the page, save it from a browser instead."
        )


def feed_html(pieces: Iterable[str], target: MarkupTarget, name: str) -> None:
    """Parse HTML as leniently as browsers do; `name` is used in messages. Raises TooLarge.

    No tree is built: it would take several times the page's size.
    """
    parser = etree.HTMLParser(
        target=target,
        encoding="utf-8",
        recover=True,
        no_network=True,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        # Not with `feed`, for which libxml2 keeps all that was fed.
        etree.parse(_Bytes(pieces), parser)
        if any(entry.type == etree.ErrorTypes.ERR_RESOURCE_LIMIT for entry in parser.error_log):
            raise TooLarge(f"'{name}' holds a comment, an attribute or a word of more than 10 MB. Take it out.")
    except etree.XMLSyntaxError as error:
        if error.code == etree.ErrorTypes.ERR_NO_MEMORY:
            raise MemoryError from error


class _Bytes:
    """Characters as a file of UTF-8 for lxml.

    libxml2 forgets what it has parsed only near tags, and gives up when that comes to 10 MB. So that long stretches of
    words get tags without any meaning; not after anything but a word, so that pictures in attributes stay whole.
    """

    def __init__(self, pieces: Iterable[str]) -> None:
        self._pieces = iter(pieces)
        self._held = memoryview(b"")

    def read(self, size: int) -> bytes:
        """Return at most `size` bytes; none at the end."""
        if not self._held:
            self._held = memoryview(self._next().encode("utf-8", "surrogatepass"))
        content, self._held = self._held[:size], self._held[size:]
        return bytes(content)

    def _next(self) -> str:
        piece = next(self._pieces, "")
        stretches = piece.split("<")
        if max(map(len, stretches)) < _WITHOUT_MARKUP:
            return piece
        return "<".join(_STRETCH.sub(r"\g<0><wbr>", stretch) for stretch in stretches)


class _Page(MarkupRenderer):
    """Takes the title as well."""

    def __init__(self, out: TextBuilder, tables: Sequence[bool]) -> None:
        super().__init__(out, None, tables)
        self._title: list[str] = []
        self._is_in_title = False
        self._has_title = False

    @property
    def title(self) -> str | None:
        """The text of the first element `title`."""
        return "".join(self._title) or None

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        """Begin an element."""
        self._is_in_title = self._is_in_title or (tag == "title" and not self._has_title)
        super().start(tag, attributes)

    def data(self, text: str) -> None:
        """Take characters."""
        if self._is_in_title:
            self._title.append(text)
        super().data(text)

    def end(self, tag: str) -> None:
        """Finish an element."""
        if tag == "title" and self._is_in_title:
            self._is_in_title, self._has_title = False, True
        super().end(tag)
