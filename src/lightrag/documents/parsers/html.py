"""HTML: what a reader sees, without scripts, styles, navigation and hidden parts."""

from __future__ import annotations

from lxml import etree

from lightrag.documents.builder import TextBuilder
from lightrag.documents.decoding import decode_markup, describe_signature
from lightrag.documents.formats import Source
from lightrag.documents.parsers.markup import write_markup
from lightrag.documents.parsers.ooxml import Element
from lightrag.errors import UnreadableDocument


def parse(source: Source, out: TextBuilder) -> None:
    """Write the readable text and note the title."""
    data = source.path.read_bytes()
    if not data.strip():
        raise UnreadableDocument(f"'{source.name}' is empty.")
    kind = describe_signature(data[:64])
    if kind:
        raise UnreadableDocument(f"'{source.name}' is not an HTML file: it begins like {kind}.")
    text = decode_markup(data, source.name)
    del data
    root = parse_html(text)
    del text
    if root is not None:
        title = next(root.iter("title"), None)
        out.set_title("".join(title.itertext()) if title is not None else None)
        write_markup(root, out)
    if out.is_empty:
        raise UnreadableDocument(
            f"'{source.name}' holds no readable text. If a script builds the page, save it from a browser instead."
        )


def parse_html(text: str) -> Element | None:
    """Parse HTML as leniently as browsers do; None where nothing is left of it."""
    parser = etree.HTMLParser(
        encoding="utf-8", recover=True, no_network=True, huge_tree=False, remove_comments=True, remove_pis=True
    )
    try:
        return etree.fromstring(text.encode("utf-8", "surrogatepass"), parser)
    except etree.XMLSyntaxError as error:
        if error.code == etree.ErrorTypes.ERR_NO_MEMORY:
            raise MemoryError from error
        return None
