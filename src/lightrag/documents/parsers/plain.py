"""Plain text of every kind: prose, markup that is indexed as written, source code, logs."""

from __future__ import annotations

import re

from lightrag.documents.builder import TextBuilder
from lightrag.documents.decoding import read_text
from lightrag.documents.formats import Source, suffix_of

_MARKDOWN_TITLE = re.compile(r"\A\s*#[ \t]+(\S[^\n]*)")


def parse(source: Source, out: TextBuilder) -> None:
    """Write the file as it is."""
    with source.path.open("rb") as stream:
        for number, text in enumerate(read_text(stream, source.name)):
            if number == 0 and suffix_of(source.name) in (".md", ".mdx"):
                out.set_title(markdown_title(text))
            out.add(text)


def markdown_title(text: str) -> str | None:
    """Return the heading with which a Markdown text begins, if it does."""
    heading = _MARKDOWN_TITLE.match(text[:4096])
    return heading[1].rstrip("# \r") if heading else None
