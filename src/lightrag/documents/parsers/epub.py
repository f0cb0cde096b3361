"""EPUB 2 and 3: the chapters of the spine in reading order, each a page.

Format: EPUB 3.3 (W3C), sections 4 and 5.
"""

from __future__ import annotations

import html
import posixpath
import re
from collections.abc import Iterable, Iterator
from typing import BinaryIO, cast
from urllib.parse import unquote

from lxml import etree

from lightrag.documents.archive import SafeArchive
from lightrag.documents.builder import TextBuilder
from lightrag.documents.decoding import read_markup
from lightrag.documents.formats import Source
from lightrag.documents.parsers.html import feed_html
from lightrag.documents.parsers.markup import Fetch, MarkupRenderer, MarkupTarget, TableKinds
from lightrag.documents.parsers.ooxml import SAFE_XML, Element, children, local, parse_xml
from lightrag.errors import UnreadableDocument

_FONT_OBFUSCATION = ("http://www.idpf.org/2008/embedding", "http://ns.adobe.com/pdf/enc#RC")
_NAMED_ENTITY = re.compile(r"&(?!amp;|lt;|gt;|quot;|apos;)[A-Za-z][A-Za-z0-9]{1,31};")
_DECLARATION = re.compile(r"\A\s*<\?xml[^>]*\?>")
_LONGEST_ENTITY = 40
_CHAPTER_TYPES = ("application/xhtml+xml", "text/html", "application/xml", "text/xml")


def parse(source: Source, out: TextBuilder) -> None:
    """Write the chapters."""
    with SafeArchive(source, "EPUB") as archive:
        _refuse_protected(archive, source)
        package = _package_path(archive, source)
        root = parse_xml(archive.read(package))
        out.set_title(next((element.text for element in root.iter() if local(element) == "title"), None))
        for number, part in enumerate(_spine(root, posixpath.dirname(package)), start=1):
            out.start_page(number)
            if part not in archive:
                out.warn(f"Chapter {number} ({part}) is missing from the file.")
                continue
            with archive.open(part) as stream:
                _write_chapter(cast(BinaryIO, stream), f"{source.name}/{part}", out, _Files(archive, part).get)
    if out.is_empty:
        raise UnreadableDocument(f"'{source.name}' holds no text in any chapter.")


class _Files:
    """The files that a chapter refers to."""

    def __init__(self, archive: SafeArchive, chapter: str) -> None:
        self._archive = archive
        self._folder = posixpath.dirname(chapter)

    def get(self, reference: str) -> bytes | None:
        """Return the file's content; None where the book does not have it."""
        name = posixpath.normpath(posixpath.join(self._folder, unquote(reference)))
        return self._archive.read_small(name) if name in self._archive else None


def _refuse_protected(archive: SafeArchive, source: Source) -> None:
    if "META-INF/encryption.xml" not in archive:
        return
    for element in parse_xml(archive.read("META-INF/encryption.xml")).iter():
        if local(element) == "EncryptionMethod" and element.get("Algorithm") not in _FONT_OBFUSCATION:
            raise UnreadableDocument(
                f"'{source.name}' is protected (DRM or encryption). Use a copy without protection."
            )


def _package_path(archive: SafeArchive, source: Source) -> str:
    container = "META-INF/container.xml"
    if container in archive:
        for element in parse_xml(archive.read(container)).iter():
            path = element.get("full-path", "") if local(element) == "rootfile" else ""
            if path in archive:
                return str(path)
    raise UnreadableDocument(f"'{source.name}' is a zip container, but not an EPUB book.")


def _spine(root: Element, folder: str) -> list[str]:
    """Return the paths of the chapters in reading order."""
    items: dict[str, Element] = {}
    for manifest in children(root, "manifest"):
        items |= {item.get("id", ""): item for item in children(manifest, "item")}
    references = [entry.get("idref", "") for spine in children(root, "spine") for entry in children(spine, "itemref")]
    chapters = [items[reference] for reference in references if reference in items]
    return [
        posixpath.normpath(posixpath.join(folder, unquote(item.get("href", ""))))
        for item in chapters
        if item.get("media-type", _CHAPTER_TYPES[0]) in _CHAPTER_TYPES
    ]


def _write_chapter(stream: BinaryIO, name: str, out: TextBuilder, fetch: Fetch) -> None:
    """Write a chapter. It is XML, which keeps `<title/>` and its like apart from what follows; or else HTML."""
    kinds = TableKinds()
    try:
        feed_xml(_readable(read_markup(stream, name)), kinds)
    except etree.XMLSyntaxError:
        kinds = TableKinds()
        stream.seek(0)
        feed_html(_without_declaration(read_markup(stream, name)), kinds, name)
        stream.seek(0)
        chapter = MarkupRenderer(out, fetch, kinds.are_layout)
        feed_html(_without_declaration(read_markup(stream, name)), chapter, name)
    else:
        stream.seek(0)
        feed_xml(_readable(read_markup(stream, name)), MarkupRenderer(out, fetch, kinds.are_layout))


def feed_xml(pieces: Iterable[str], target: MarkupTarget) -> None:
    """Parse XML without building a tree. Raises XMLSyntaxError."""
    parser = etree.XMLParser(
        target=target,
        encoding="utf-8",
        **SAFE_XML,
    )
    for piece in pieces:
        parser.feed(piece.encode("utf-8"))
    parser.close()


def _without_declaration(pieces: Iterator[str]) -> Iterator[str]:
    """Leave out the declaration, whose encoding does not hold for characters."""
    yield _DECLARATION.sub("", next(pieces, ""))
    yield from pieces


def _readable(pieces: Iterator[str]) -> Iterator[str]:
    """Leave out the declaration, and replace entities that XML does not know."""
    held = ""
    for piece in _without_declaration(pieces):
        text = held + piece
        # An entity may go on in the next piece.
        last = text.rfind("&", max(0, len(text) - _LONGEST_ENTITY))
        text, held = (text[:last], text[last:]) if last >= 0 else (text, "")
        yield _named_entities_replaced(text)
    yield _named_entities_replaced(held)


def _named_entities_replaced(text: str) -> str:
    return _NAMED_ENTITY.sub(lambda found: html.escape(html.unescape(found[0]), quote=False), text)
