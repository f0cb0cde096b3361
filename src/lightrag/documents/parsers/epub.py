"""EPUB 2 and 3: the chapters of the spine in reading order, each a page.

Format: EPUB 3.3 (W3C), sections 4 and 5.
"""

from __future__ import annotations

import html
import posixpath
import re
from urllib.parse import unquote

from lxml import etree

from lightrag.documents.archive import SafeArchive
from lightrag.documents.builder import TextBuilder
from lightrag.documents.decoding import decode_markup
from lightrag.documents.formats import Source
from lightrag.documents.parsers.html import parse_html
from lightrag.documents.parsers.markup import write_markup
from lightrag.documents.parsers.ooxml import Element, children, local, parse_xml
from lightrag.errors import UnreadableDocument

_FONT_OBFUSCATION = ("http://www.idpf.org/2008/embedding", "http://ns.adobe.com/pdf/enc#RC")
_NAMED_ENTITY = re.compile(r"&(?!amp;|lt;|gt;|quot;|apos;)[A-Za-z][A-Za-z0-9]{1,31};")
_DECLARATION = re.compile(r"\A\s*<\?xml[^>]*\?>")
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
            chapter = _parse_chapter(decode_markup(archive.read(part), f"{source.name}/{part}"))
            if chapter is not None:
                write_markup(chapter, out, _Files(archive, posixpath.dirname(part)).get)
    if out.is_empty:
        raise UnreadableDocument(f"'{source.name}' holds no text in any chapter.")


class _Files:
    """The files that a chapter refers to."""

    def __init__(self, archive: SafeArchive, folder: str) -> None:
        self._archive = archive
        self._folder = folder

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


def _parse_chapter(text: str) -> Element | None:
    """Parse XHTML as XML, which keeps `<title/>` and its like apart from what follows; else as HTML."""
    text = _DECLARATION.sub("", text)
    readable = _NAMED_ENTITY.sub(lambda found: html.escape(html.unescape(found[0]), quote=False), text)
    try:
        return parse_xml(readable.encode("utf-8"))
    except etree.XMLSyntaxError:
        return parse_html([text])
