"""HTML: what a reader sees, without scripts, styles, navigation and hidden parts."""

from __future__ import annotations

from collections.abc import Iterable

from lxml import etree

from lightrag.documents.builder import TextBuilder
from lightrag.documents.decoding import describe_signature, read_markup
from lightrag.documents.formats import Source
from lightrag.documents.parsers.markup import write_markup
from lightrag.documents.parsers.ooxml import Element
from lightrag.errors import UnreadableDocument


def parse(source: Source, out: TextBuilder) -> None:
    """Write the readable text and note the title."""
    with source.path.open("rb") as stream:
        kind = describe_signature(stream.read(64))
        if kind:
            raise UnreadableDocument(f"'{source.name}' is not an HTML file: it begins like {kind}.")
        stream.seek(0)
        # Never as a whole: the tree takes as much memory as the file once more.
        root = parse_html(read_markup(stream, source.name))
    if root is not None:
        title = next(root.iter("title"), None)
        out.set_title("".join(title.itertext()) if title is not None else None)
        write_markup(root, out)
    if out.is_empty:
        raise UnreadableDocument(
            f"'{source.name}' holds no readable text. If a script builds the page, save it from a browser instead."
        )


def parse_html(pieces: Iterable[str]) -> Element | None:
    """Parse HTML as leniently as browsers do; None where nothing is left of it."""
    parser = etree.HTMLParser(
        encoding="utf-8", recover=True, no_network=True, huge_tree=False, remove_comments=True, remove_pis=True
    )
    try:
        for piece in pieces:
            parser.feed(piece.encode("utf-8", "surrogatepass"))
        return parser.close()
    except etree.XMLSyntaxError as error:
        if error.code == etree.ErrorTypes.ERR_NO_MEMORY:
            raise MemoryError from error
        return None
