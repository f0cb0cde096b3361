"""ODT: paragraphs, headings, lists and tables in the order of the document; notes at their place's end.

Format: OpenDocument 1.3 part 3 (OASIS), sections 5, 6 and 9.
"""

from __future__ import annotations

from collections.abc import Iterator

from lxml import etree

from lightrag.documents.archive import SafeArchive
from lightrag.documents.builder import TextBuilder
from lightrag.documents.formats import Source
from lightrag.documents.parsers.ooxml import SAFE_XML, Element, attribute, local, parse_xml
from lightrag.errors import UnreadableDocument

_BODY_DEPTH = 2
_SKIPPED = frozenset(
    {
        "tracked-changes",
        "annotation",
        "annotation-end",
        "sequence-decls",
        "forms",
        "note-citation",
        "desc",
        "binary-data",
    }
)


def parse(source: Source, out: TextBuilder) -> None:
    """Write the body, then the notes."""
    with SafeArchive(source, "ODT") as archive:
        if "content.xml" not in archive:
            raise UnreadableDocument(f"'{source.name}' is a zip container, but not an OpenDocument text.")
        if "META-INF/manifest.xml" in archive and b"encryption-data" in archive.read("META-INF/manifest.xml"):
            raise UnreadableDocument(f"'{source.name}' is encrypted. Save it without a password and upload it again.")
        if "meta.xml" in archive:
            titles = (
                element.text for element in parse_xml(archive.read("meta.xml")).iter() if local(element) == "title"
            )
            out.set_title(next(titles, None))
        writer = _Writer(out)
        with archive.open("content.xml") as stream:
            for element in _blocks(stream):
                writer.write_block(element, 0)
    writer.write_notes()
    if out.length == 0:
        raise UnreadableDocument(f"'{source.name}' holds no text.")


def _blocks(stream: object) -> Iterator[Element]:
    """Yield what stands in the text itself, each freed once the next is asked for."""
    events = etree.iterparse(
        stream,
        events=("start", "end"),
        **SAFE_XML,
    )
    depth, is_body = 0, False
    for event, element in events:
        if event == "start":
            depth += 1
            is_body = is_body or (depth == _BODY_DEPTH and local(element) == "body")
            continue
        depth -= 1
        if is_body and depth == _BODY_DEPTH + 1:
            yield element
        if depth >= _BODY_DEPTH - 1 and depth <= _BODY_DEPTH + 1:
            is_body = is_body and depth >= _BODY_DEPTH
            element.clear()
            while element.getprevious() is not None:
                del element.getparent()[0]


class _Writer:
    def __init__(self, out: TextBuilder) -> None:
        self._out = out
        self._notes: list[str] = []
        self._was_item = False

    def write(self, element: Element, list_depth: int) -> None:
        """Write the blocks below an element."""
        for child in element:
            self.write_block(child, list_depth)

    def write_block(self, block: Element, list_depth: int) -> None:
        """Write a heading, paragraph, list, table, or what holds such."""
        name = local(block)
        if name == "h":
            level = attribute(block, "outline-level") or "1"
            self._block("#" * min(int(level) if level.isdigit() else 1, 6) + " ", block)
        elif name == "p":
            self._paragraph(block, list_depth)
        elif name == "list":
            self.write(block, list_depth + 1)
        elif name == "table":
            self._table(block)
        elif name not in _SKIPPED:
            self.write(block, list_depth)

    def write_notes(self) -> None:
        """Write the footnotes and endnotes in the order of their references."""
        for number, text in enumerate(self._notes, start=1):
            self._out.line(f"[^{number}]: {text}")

    def _paragraph(self, paragraph: Element, list_depth: int) -> None:
        if not list_depth:
            self._block("", paragraph)
            return
        text = self._text(paragraph).strip()
        if not text:
            return
        item = f"{'  ' * (list_depth - 1)}- {text}"
        if self._was_item:
            self._out.line(item)
        else:
            self._out.block(item)
        self._was_item = True

    def _block(self, prefix: str, element: Element) -> None:
        text = self._text(element).strip()
        if text:
            self._out.block(prefix + text)
            self._was_item = False

    def _table(self, table: Element) -> None:
        self._was_item = False
        self._out.table(
            [self._text(cell) for cell in row if local(cell) in ("table-cell", "covered-table-cell")]
            for row in table.iter()
            if local(row) == "table-row"
        )

    def _text(self, element: Element) -> str:
        parts: list[str] = []
        self._collect(element, parts)
        return "".join(parts)

    def _collect(self, element: Element, parts: list[str]) -> None:
        # White space collapses as in HTML; what is meant to stay is marked up.
        parts.append(_collapsed(element.text))
        for child in element:
            name = local(child)
            if name == "s":
                count = attribute(child, "c") or "1"
                parts.append(" " * min(int(count) if count.isdigit() else 1, 1000))
            elif name == "tab":
                parts.append("\t")
            elif name == "line-break":
                parts.append("\n")
            elif name == "note":
                self._notes.append("")
                number = len(self._notes)
                parts.append(f"[^{number}]")
                self._notes[number - 1] = " ".join(self._text(child).split())
            elif name not in _SKIPPED:
                self._collect(child, parts)
                if name in ("p", "h", "list-item", "table-cell"):
                    parts.append("\n")
            parts.append(_collapsed(child.tail))


def _collapsed(text: str | None) -> str:
    if not text:
        return ""
    words = " ".join(text.split())
    lead = " " if text[0].isspace() else ""
    trail = " " if words and text[-1].isspace() else ""
    return lead + words + trail
