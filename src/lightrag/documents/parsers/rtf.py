"""RTF, through striprtf."""

from __future__ import annotations

import re

from striprtf.striprtf import rtf_to_text

from lightrag.documents.builder import TextBuilder
from lightrag.documents.decoding import describe_signature
from lightrag.documents.formats import Source
from lightrag.errors import UnreadableDocument

_TITLE = re.compile(r"\{\\info\b[^{}]*(?:\{[^{}]*\}[^{}]*)*?\{\\title ([^{}]*)\}")
_BLANK_LINES = re.compile(r"\n\s*\n\s*")


def parse(source: Source, out: TextBuilder) -> None:
    """Write the text; tables become rows with cells separated by a tab."""
    data = source.path.read_bytes()
    if not data:
        raise UnreadableDocument(f"'{source.name}' is empty.")
    if not data.lstrip().startswith(b"{\\rtf"):
        kind = describe_signature(data[:64])
        raise UnreadableDocument(
            f"'{source.name}' is not an RTF file"
            + (f": it begins like {kind}." if kind else ".")
            + " Give it the suffix of its real format."
        )
    # RTF is ASCII by its specification; Latin-1 lets stray bytes through as the characters they mostly are.
    markup = data.decode("latin-1")
    del data
    text = _plain(markup)
    title = _TITLE.search(markup[:100_000])
    out.set_title(_plain("{\\rtf1 " + title[1] + "}") if title else None)
    if "\ufffd" in text:
        out.warn("Some characters could not be decoded and are shown as \ufffd.")
    rows = "\n".join(
        "\t".join(cell.strip() for cell in line.split("|")).rstrip("\t") if line.endswith("|") else line
        for line in text.split("\n")
    )
    out.block(_BLANK_LINES.sub("\n\n", rows))


def _plain(markup: str) -> str:
    return str(rtf_to_text(markup, errors="replace"))  # type: ignore[no-untyped-call]
