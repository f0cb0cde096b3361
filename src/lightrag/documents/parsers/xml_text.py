"""XML: the text of its elements, one line for each that holds text of its own.

Streams, so memory does not grow with the file. External entities are never opened and internal ones never expanded
beyond what libxml2 holds to be harmless (its limit on amplification).
"""

from __future__ import annotations

from lxml import etree

from lightrag.documents.builder import TextBuilder
from lightrag.documents.decoding import describe_signature
from lightrag.documents.formats import Source
from lightrag.errors import UnreadableDocument

_BLOCK = 256 * 1024
_LONG = 1 << 20
"""Characters of a line from which on it is written in pieces."""


def parse(source: Source, out: TextBuilder) -> None:
    """Write the text content; elements without any text are written with their attributes."""
    target = _Target(out)
    parser = etree.XMLParser(
        target=target, resolve_entities="internal", no_network=True, load_dtd=False, huge_tree=False
    )
    with source.path.open("rb") as stream:
        head = stream.read(_BLOCK)
        if not head.strip():
            raise UnreadableDocument(f"'{source.name}' is empty.")
        kind = describe_signature(head)
        if kind:
            raise UnreadableDocument(f"'{source.name}' is not an XML file: it begins like {kind}.")
        try:
            parser.feed(head)
            while block := stream.read(_BLOCK):
                parser.feed(block)
            parser.close()
        except etree.XMLSyntaxError as error:
            raise UnreadableDocument(
                f"'{source.name}' is not well-formed XML ({error.msg}). Mend the file, or save it as plain text."
            ) from error


class _Target:
    """Receives the parser's events (lxml's target interface)."""

    def __init__(self, out: TextBuilder) -> None:
        self._out = out
        self._parts: list[str] = []
        self._length = 0
        self._is_begun = False
        self._is_mixed = [False]
        self._attributes: str | None = None

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        """Begin an element. Text before it in the same element means that both are one sentence."""
        if self._parts or self._is_begun:
            self._is_mixed[-1] = True
        self._is_mixed.append(self._is_mixed[-1])
        self._attributes = _attributes(tag, attributes) if attributes else None

    def data(self, text: str) -> None:
        """Take characters; blanks count only inside a sentence."""
        if self._parts or self._is_begun or not text.isspace():
            self._parts.append(text)
            self._length += len(text)
            if self._length > _LONG:
                self._write_beginning()

    def end(self, tag: str) -> None:
        """Finish an element: write its line unless it stands inside a sentence."""
        self._is_mixed.pop()
        if self._parts or self._is_begun:
            if not self._is_mixed[-1]:
                self._write("".join(self._parts))
                self._parts.clear()
                self._length = 0
                self._is_begun = False
        elif self._attributes:
            self._out.line(self._attributes)
        self._attributes = None

    def close(self) -> None:
        """Finish the document."""

    def _write_beginning(self) -> None:
        """Write what is there of a line so long that it is not to be held as a whole."""
        text = "".join(self._parts)
        words = text[: max(text.rfind(" "), text.rfind("\n"), 0)] or text
        self._write(words)
        self._is_begun = True
        self._parts = [text[len(words) :]]
        self._length = len(text) - len(words)

    def _write(self, text: str) -> None:
        words = " ".join(text.split())
        if not self._is_begun:
            self._out.line(words)
        elif words:
            self._out.add(f" {words}" if text[0].isspace() else words)


def _attributes(tag: str, attributes: dict[str, str]) -> str | None:
    pairs = [f"{local(name)}={value}" for name, value in attributes.items() if value.strip()]
    return " ".join([local(tag), *pairs]) if pairs else None


def local(tag: str) -> str:
    """Return a name without its namespace."""
    return tag.rpartition("}")[2]
