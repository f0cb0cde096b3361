"""DOCX: paragraphs, headings, lists and tables in the order of the document, then its notes.

Read from the XML itself: text in content controls, text boxes and tracked insertions counts, deleted text does not.
Format: ECMA-376 part 1, section 17.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from lxml import etree

from lightrag.documents.archive import SafeArchive
from lightrag.documents.builder import TextBuilder
from lightrag.documents.formats import Source
from lightrag.documents.parsers.ooxml import (
    SAFE_XML,
    Element,
    PartPictures,
    attribute,
    children,
    local,
    main_part,
    parse_xml,
    picture_id,
    related,
    set_core_title,
)
from lightrag.errors import UnreadableDocument

_SKIPPED = frozenset(
    {"pPr", "rPr", "del", "moveFrom", "delText", "instrText", "delInstrText", "Fallback", "sdtPr", "tblPr"}
)
_BEFORE_ROWS = ("tblPr", "tblGrid", "bookmarkStart", "bookmarkEnd", "tblPrEx")
_NOTES = {"footnoteReference": "footnotes", "endnoteReference": "endnotes"}
_HEADING = re.compile(r"heading (\d)", re.IGNORECASE)


def parse(source: Source, out: TextBuilder) -> None:
    """Write the body, then footnotes and endnotes."""
    with SafeArchive(source, "DOCX") as archive:
        part = main_part(archive, "word/document.xml")
        if part not in archive:
            raise UnreadableDocument(f"'{source.name}' is a zip container, but not a Word document.")
        set_core_title(archive, out)
        body = _Body(archive, part, out)
        with archive.open(part) as stream:
            for element in _body_elements(stream):
                body.write(element)
        body.write_notes()
    if out.is_empty:
        raise UnreadableDocument(f"'{source.name}' holds no text.")


def _body_elements(stream: object) -> Iterator[Element]:
    """Yield the direct children of the body, and before a table its rows; each freed once the next is asked for."""
    events = etree.iterparse(stream, events=("end",), **SAFE_XML)
    for _, element in events:
        parent = element.getparent()
        if parent is None:
            continue
        if local(parent) == "body":
            yield element
            element.clear()
            while element.getprevious() is not None:
                del parent[0]
        elif local(element) == "tr" and _is_next_row(element, parent):
            yield element
            parent.remove(element)


def _is_next_row(row: Element, table: Element) -> bool:
    """Tell whether a row is one of a table in the body, and none that comes before it is still to be written."""
    above = table.getparent()
    if local(table) != "tbl" or above is None or local(above) != "body":
        return False
    return all(local(element) in _BEFORE_ROWS for element in row.itersiblings(preceding=True))


class _Body:
    """Writes blocks; remembers which notes were referred to."""

    def __init__(self, archive: SafeArchive, part: str, out: TextBuilder) -> None:
        self._archive = archive
        self._part = part
        self._out = out
        self._headings, self._list_styles = _styles(archive, part)
        self._notes: list[tuple[str, str]] = []
        self._part_pictures = PartPictures(archive, part, out)
        self._pictures: list[str] = []
        self._in_list = False
        self._has_rows = False

    def write(self, element: Element) -> None:
        """Write one paragraph, row, table with the rest of its rows, or container of them."""
        name = local(element)
        if name == "p":
            self._paragraph(element)
            self._write_pictures()
        elif name == "tr":
            self._row(element)
        elif name == "tbl":
            for row in _rows(element):
                self._row(row)
            self._in_list = self._has_rows = False
            self._write_pictures()
        elif name not in _SKIPPED:
            for child in element:
                self.write(child)

    def write_notes(self) -> None:
        """Write the notes that were referred to, in the order of their references."""
        texts: dict[tuple[str, str], str] = {}
        for kind in sorted({kind for kind, _ in self._notes}):
            part = related(self._archive, self._part, kind)
            if part is None:
                continue
            for note in parse_xml(self._archive.read(part)):
                texts[kind, attribute(note, "id") or ""] = " ".join(self._text(note).split())
        for number, key in enumerate(self._notes, start=1):
            if texts.get(key):
                self._out.line(f"[^{number}]: {texts[key]}")

    def _write_pictures(self) -> None:
        """Note the pictures of what was written last."""
        for identity in self._pictures:
            self._part_pictures.write(identity)
        self._pictures.clear()

    def _paragraph(self, paragraph: Element) -> None:
        text = self._text(paragraph).strip()
        if not text:
            return
        level, depth = self._properties(paragraph)
        if depth is not None:
            item = f"{'  ' * depth}- {text}"
            if self._in_list:
                self._out.line(item)
            else:
                self._out.block(item)
        else:
            self._out.block(f"{'#' * level} {text}" if level else text)
        self._in_list = depth is not None

    def _properties(self, paragraph: Element) -> tuple[int, int | None]:
        """Return the heading level (0 for none) and the depth in a list (None for none)."""
        properties = next(children(paragraph, "pPr"), None)
        if properties is None:
            return 0, None
        style = outline = depth = None
        for element in properties:
            name = local(element)
            if name == "pStyle":
                style = attribute(element, "val")
            elif name == "outlineLvl":
                outline = attribute(element, "val")
            elif name == "numPr":
                depth = _list_depth(element)
        level = self._headings.get(style or "", 0)
        if not level and outline is not None and outline.isdigit() and int(outline) < 9:
            level = int(outline) + 1
        if level:
            return min(level, 6), None
        return 0, depth if depth is not None else self._list_styles.get(style or "")

    def _row(self, row: Element) -> None:
        line = "\t".join(" ".join(self._text(cell).split()) for cell in _cells(row)).rstrip("\t")
        if not line.strip():
            return
        if self._has_rows:
            self._out.line(line)
        else:
            self._out.block(line)
        self._has_rows = True

    def _text(self, element: Element) -> str:
        parts: list[str] = []
        self._collect(element, parts)
        return "".join(parts)

    def _collect(self, element: Element, parts: list[str]) -> None:
        for child in element:
            name = local(child)
            if name == "t":
                parts.append(child.text or "")
            elif name in ("tab", "ptab"):
                parts.append("\t")
            elif name in ("br", "cr"):
                parts.append("\n")
            elif name == "noBreakHyphen":
                parts.append("-")
            elif name in _NOTES:
                self._notes.append((_NOTES[name], attribute(child, "id") or ""))
                parts.append(f"[^{len(self._notes)}]")
            elif self._out.takes_pictures and (identity := picture_id(child)) is not None:
                self._pictures.append(identity)
            elif name not in _SKIPPED:
                self._collect(child, parts)
                if name in ("p", "tc", "txbxContent"):
                    parts.append("\n")


def _rows(table: Element) -> Iterator[Element]:
    """Yield the rows of a table, not those of tables in its cells."""
    for child in table:
        name = local(child)
        if name == "tr":
            yield child
        elif name in ("sdt", "sdtContent", "ins", "customXml"):
            yield from _rows(child)


def _cells(row: Element) -> Iterator[Element]:
    for child in row:
        name = local(child)
        if name == "tc":
            yield child
        elif name in ("sdt", "sdtContent", "customXml"):
            yield from _cells(child)


def _list_depth(numbering: Element) -> int | None:
    level, is_list = 0, True
    for element in numbering:
        value = attribute(element, "val") or "0"
        if local(element) == "ilvl" and value.isdigit():
            level = min(int(value), 8)
        elif local(element) == "numId" and value == "0":
            is_list = False
    return level if is_list else None


def _styles(archive: SafeArchive, part: str) -> tuple[dict[str, int], dict[str, int]]:
    """Return style id -> heading level, and style id -> depth in a list."""
    headings: dict[str, int] = {}
    lists: dict[str, int] = {}
    styles = related(archive, part, "styles")
    if styles is None:
        return headings, lists
    for style in children(parse_xml(archive.read(styles)), "style"):
        identity = attribute(style, "styleId") or ""
        name = next((attribute(element, "val") or "" for element in children(style, "name")), "")
        if found := _HEADING.fullmatch(name):
            headings[identity] = int(found[1])
        elif name.lower() == "title":
            headings[identity] = 1
        for properties in children(style, "pPr"):
            for numbering in children(properties, "numPr"):
                if (depth := _list_depth(numbering)) is not None:
                    lists[identity] = depth
    return headings, lists
