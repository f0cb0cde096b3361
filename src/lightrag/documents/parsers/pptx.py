"""PPTX: every slide is a page: its shapes and tables in their order, then the speaker's notes.

Format: ECMA-376 part 1, section 19.
"""

from __future__ import annotations

from collections.abc import Iterator

from lightrag.documents.archive import SafeArchive
from lightrag.documents.builder import TextBuilder
from lightrag.documents.formats import Source
from lightrag.documents.parsers.ooxml import (
    Element,
    PartPictures,
    attribute,
    children,
    local,
    main_part,
    parse_xml,
    picture_id,
    related,
    relationship_id,
    relationships,
    set_core_title,
)
from lightrag.errors import UnreadableDocument

_FURNITURE = frozenset({"sldNum", "dt", "ftr", "hdr", "sldImg"})
"""Placeholders that repeat on every slide."""


def parse(source: Source, out: TextBuilder) -> None:
    """Write the slides in the order in which they are shown."""
    with SafeArchive(source, "PPTX") as archive:
        presentation = main_part(archive, "ppt/presentation.xml")
        if presentation not in archive:
            raise UnreadableDocument(f"'{source.name}' is a zip container, but not a PowerPoint presentation.")
        set_core_title(archive, out)
        for number, part in enumerate(_slides(archive, presentation), start=1):
            out.start_page(number)
            if part not in archive:
                out.warn(f"Slide {number} is missing from the file.")
                continue
            _write_slide(archive, part, out)
    if out.is_empty:
        raise UnreadableDocument(f"'{source.name}' holds no text on any slide.")


def _slides(archive: SafeArchive, presentation: str) -> list[str]:
    targets = relationships(archive, presentation)
    root = parse_xml(archive.read(presentation))
    ids = (relationship_id(slide) for group in children(root, "sldIdLst") for slide in group)
    return [targets[identity][1] for identity in ids if identity in targets]


def _write_slide(archive: SafeArchive, part: str, out: TextBuilder) -> None:
    slide = parse_xml(archive.read(part))
    for text in _shapes(slide, archive, part):
        out.block(text)
    if out.takes_pictures:
        pictures = PartPictures(archive, part, out)
        for element in slide.iter():
            if (identity := picture_id(element)) is not None:
                pictures.write(identity)
    notes = related(archive, part, "notesSlide")
    if notes is not None:
        text = "\n".join(_shapes(parse_xml(archive.read(notes)), archive, notes))
        if text:
            out.block(f"Notes: {text}")


def _shapes(element: Element, archive: SafeArchive, part: str) -> Iterator[str]:
    """Yield the text of every shape below an element, in document order."""
    for child in element:
        name = local(child)
        if name == "sp":
            text = _shape_text(child)
        elif name == "tbl":
            text = "\n".join(_table_rows(child))
        elif name == "relIds":
            text = _diagram_text(archive, part, attribute(child, "dm"))
        elif name == "Fallback":
            continue
        else:
            yield from _shapes(child, archive, part)
            continue
        if text.strip():
            yield text


def _shape_text(shape: Element) -> str:
    kind = next((element.get("type", "") for element in shape.iter() if local(element) == "ph"), "")
    if kind in _FURNITURE:
        return ""
    text = "\n".join(filter(None, (_text_body(body) for body in children(shape, "txBody"))))
    return f"# {' '.join(text.split())}" if kind in ("title", "ctrTitle") and text.strip() else text


def _text_body(body: Element) -> str:
    lines = ("".join(_runs(paragraph)).strip() for paragraph in children(body, "p"))
    return "\n".join(line for line in lines if line)


def _runs(paragraph: Element) -> Iterator[str]:
    for element in paragraph.iter():
        name = local(element)
        if name == "t":
            yield element.text or ""
        elif name == "br":
            yield "\n"
        elif name == "tab":
            yield "\t"


def _table_rows(table: Element) -> Iterator[str]:
    for row in children(table, "tr"):
        cells = [
            " ".join(" ".join(_text_body(body) for body in children(cell, "txBody")).split())
            for cell in children(row, "tc")
        ]
        yield "\t".join(cells).rstrip("\t")


def _diagram_text(archive: SafeArchive, part: str, identity: str | None) -> str:
    """Return the labels of a SmartArt diagram."""
    _, target = relationships(archive, part).get(identity or "", ("", ""))
    if target not in archive:
        return ""
    paragraphs = (element for element in parse_xml(archive.read(target)).iter() if local(element) == "p")
    return "\n".join(filter(None, ("".join(_runs(paragraph)).strip() for paragraph in paragraphs)))
