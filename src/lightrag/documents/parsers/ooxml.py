"""What Office Open XML files share: relationships, safe XML, core properties.

Elements are matched by local name, so both the transitional and the strict form (ISO/IEC 29500) are read.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from typing import Any

from lxml import etree

from lightrag.documents.archive import SafeArchive
from lightrag.documents.builder import TextBuilder

Element = Any
"""An lxml element; lxml has no type information of its own."""

_RELATIONSHIP_ID = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"
_STRICT_RELATIONSHIP_ID = "{http://purl.oclc.org/ooxml/officeDocument/relationships}id"

SAFE_XML: Mapping[str, bool] = {
    "resolve_entities": False,
    "no_network": True,
    "load_dtd": False,
    "huge_tree": False,
    "remove_comments": True,
    "remove_pis": True,
}
"""Options of lxml's parsers for files of strangers."""


def parse_xml(data: bytes) -> Element:
    """Parse a part. Entities are not resolved, DTDs not loaded, and very deep or very long nodes refused."""
    parser = etree.XMLParser(
        **SAFE_XML,
    )
    return etree.fromstring(data, parser)


def local(element: Element) -> str:
    """Return an element's name without its namespace; empty for what is not an element."""
    tag = element.tag
    return local_name(tag) if isinstance(tag, str) else ""


def local_name(tag: str) -> str:
    """Return a name without its namespace."""
    return tag.rpartition("}")[2]


def attribute(element: Element, name: str) -> str | None:
    """Return an attribute by its local name."""
    return next((value for key, value in element.attrib.items() if key.rpartition("}")[2] == name), None)


def relationship_id(element: Element) -> str | None:
    """Return the relationship that an element points to."""
    value: str | None = element.get(_RELATIONSHIP_ID) or element.get(_STRICT_RELATIONSHIP_ID)
    return value


def picture_id(element: Element) -> str | None:
    """Return the relationship to the picture that an element shows; None where it shows none."""
    name = local(element)
    if name == "blip":
        return attribute(element, "embed")
    return relationship_id(element) if name == "imagedata" else None


class PartPictures:
    """The pictures that one part of a file refers to."""

    def __init__(self, archive: SafeArchive, part: str, out: TextBuilder) -> None:
        self._archive = archive
        self._out = out
        self._targets = relationships(archive, part) if out.takes_pictures else {}

    def write(self, identity: str) -> None:
        """Note a picture, where it is in the file."""
        _, target = self._targets.get(identity, ("", ""))
        if target in self._archive:
            self._out.picture(lambda: self._archive.read_small(target))


def children(element: Element, name: str) -> Iterator[Element]:
    """Yield the direct children of that local name."""
    return (child for child in element if local(child) == name)


def relationships(archive: SafeArchive, part: str) -> dict[str, tuple[str, str]]:
    """Return id -> (last word of the type, target part) of a part's internal relationships; "" is the package."""
    folder, file = posixpath.split(part)
    path = posixpath.join(folder, "_rels", f"{file}.rels")
    if path not in archive:
        return {}
    found = {}
    for relation in children(parse_xml(archive.read(path)), "Relationship"):
        if relation.get("TargetMode") == "External":
            continue
        target = relation.get("Target", "")
        target = target.lstrip("/") if target.startswith("/") else posixpath.normpath(posixpath.join(folder, target))
        found[relation.get("Id", "")] = (relation.get("Type", "").rpartition("/")[2], target)
    return found


def main_part(archive: SafeArchive, default: str) -> str:
    """Return the package's office document."""
    return next((target for kind, target in relationships(archive, "").values() if kind == "officeDocument"), default)


def related(archive: SafeArchive, part: str, kind: str) -> str | None:
    """Return the first existing part that `part` is related to as `kind`."""
    targets = (target for found, target in relationships(archive, part).values() if found == kind)
    return next((target for target in targets if target in archive), None)


def set_core_title(archive: SafeArchive, out: TextBuilder) -> None:
    """Note the title of the core properties, where there is one."""
    part = related(archive, "", "core-properties")
    if part is None:
        return
    try:
        title = next(children(parse_xml(archive.read(part)), "title"), None)
    except etree.XMLSyntaxError:
        return
    out.set_title(title.text if title is not None else None)
