"""Which parser reads which file suffix.

A format is one row of the table. A third party adds one by passing its own table to `DocumentParser`: the parser is
named as `module:function` and imported only when a file of its kind arrives, in the process that reads it.
"""

from __future__ import annotations

import dataclasses
import importlib
import posixpath
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Protocol, cast

from lightrag.documents.builder import TextBuilder
from lightrag.documents.limits import ParseLimits
from lightrag.documents.pictures import SUFFIXES as PICTURE_SUFFIXES
from lightrag.documents.pictures import PictureRules
from lightrag.errors import UnsupportedFormat

SUPPORTED_SUFFIXES: tuple[str, ...] = (
    *(".txt", ".md", ".pdf", ".docx", ".pptx", ".xlsx", ".rtf", ".odt", ".tex", ".epub", ".html", ".htm"),
    *(".csv", ".json", ".xml", ".yaml", ".yml", ".log", ".conf", ".ini", ".properties", ".sql", ".bat", ".sh"),
    *(".c", ".cpp", ".py", ".java", ".js", ".ts", ".swift", ".go", ".rb", ".php", ".css", ".scss", ".less"),
    *(".h", ".hpp", ".mdx", ".textpack"),
)
"""All suffixes that are read by default, lower case, in the order in which they are shown."""


@dataclasses.dataclass(frozen=True, slots=True)
class Source:
    """A file to be read."""

    path: Path
    name: str
    """The name to use in messages."""
    limits: ParseLimits = dataclasses.field(default_factory=ParseLimits)
    password: str | None = dataclasses.field(default=None, repr=False)
    pictures: PictureRules | None = None
    """Which pictures are wanted; None for none."""


class Parser(Protocol):
    """Reads one file format."""

    def __call__(self, source: Source, out: TextBuilder, /) -> None:
        """Write the text of `source` to `out`.

        Raises UnreadableDocument or TooLarge; any other exception counts as damage of the file.
        """


@dataclasses.dataclass(frozen=True, slots=True)
class Format:
    """A kind of file and the parser that reads it."""

    label: str
    parser: str
    """`module:function` of a `Parser`."""
    is_isolated: bool = True
    """Read in a process of its own. False only for formats that cannot be made to crash or to grow."""


_HERE = "lightrag.documents.parsers"
_TEXT = Format("plain text", f"{_HERE}.plain:parse", is_isolated=False)
_HTML = Format("HTML", f"{_HERE}.html:parse")
_OWN_PARSER: Mapping[str, Format] = {
    ".pdf": Format("PDF", f"{_HERE}.pdf:parse"),
    ".docx": Format("Word (DOCX)", f"{_HERE}.docx:parse"),
    ".pptx": Format("PowerPoint (PPTX)", f"{_HERE}.pptx:parse"),
    ".xlsx": Format("Excel (XLSX)", f"{_HERE}.xlsx:parse"),
    ".rtf": Format("RTF", f"{_HERE}.rtf:parse"),
    ".odt": Format("OpenDocument text (ODT)", f"{_HERE}.odt:parse"),
    ".epub": Format("EPUB", f"{_HERE}.epub:parse"),
    ".html": _HTML,
    ".htm": _HTML,
    ".csv": Format("CSV", f"{_HERE}.delimited:parse"),
    ".json": Format("JSON", f"{_HERE}.json_text:parse"),
    ".textpack": Format("TextPack", f"{_HERE}.textpack:parse"),
    ".xml": Format("XML", f"{_HERE}.xml_text:parse"),
}

FORMATS: Mapping[str, Format] = MappingProxyType(
    {suffix: _OWN_PARSER.get(suffix, _TEXT) for suffix in SUPPORTED_SUFFIXES}
)
"""Suffix (lower case, with its dot) to format."""

PICTURE_FORMATS: Mapping[str, Format] = MappingProxyType(
    dict.fromkeys(PICTURE_SUFFIXES, Format("picture", f"{_HERE}.picture:parse"))
)
"""Formats that are read only where a model describes pictures."""


async def known_formats() -> Mapping[str, Format]:
    """Return the formats that are read without any model."""
    return FORMATS


def suffix_of(name: str) -> str:
    """Return the suffix of a file name in lower case, with its dot; empty where there is none."""
    return posixpath.splitext(name.replace("\\", "/"))[1].lower()


def format_of(name: str, formats: Mapping[str, Format] = FORMATS) -> Format:
    """Return the format of a file by its name. Raises UnsupportedFormat."""
    suffix = suffix_of(name)
    found = formats.get(suffix)
    if found is None and suffix in PICTURE_FORMATS:
        raise UnsupportedFormat(
            f"Unsupported file type. Pictures ({suffix}) are read where the workspace has a model that describes "
            "them; add one with POST /llm/add_llm and model_type image2text. "
            f"Supported types: {tuple(formats)}"
        )
    if found is None:
        raise UnsupportedFormat(f"Unsupported file type. Supported types: {tuple(formats)}")
    return found


def load_parser(reference: str) -> Parser:
    """Import the parser that `module:function` names. Raises UnsupportedFormat where it is not installed."""
    module, _, function = reference.partition(":")
    try:
        return cast(Parser, getattr(importlib.import_module(module), function))
    except (ImportError, AttributeError) as error:
        raise UnsupportedFormat(f"The parser '{reference}' cannot be loaded: {error}. Install its library.") from error
