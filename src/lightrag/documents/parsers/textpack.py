"""TextPack: a zip of a TextBundle, that is a Markdown or plain text file with its pictures.

Format: textbundle.org, specification version 2; the text is `text.md`, `text.markdown` or `text.*`.
"""

from __future__ import annotations

import posixpath
from typing import BinaryIO, cast

from lightrag.documents.archive import SafeArchive
from lightrag.documents.builder import TextBuilder
from lightrag.documents.decoding import read_text
from lightrag.documents.formats import Source
from lightrag.documents.parsers.plain import markdown_title
from lightrag.errors import UnreadableDocument


def parse(source: Source, out: TextBuilder) -> None:
    """Write the text; pictures are left out."""
    with SafeArchive(source, "TextPack") as archive:
        texts = [name for name in archive.names() if posixpath.splitext(posixpath.basename(name))[0] == "text"]
        # The bundle's own text, not that of a bundle inside of it.
        name = min(texts, key=lambda entry: (entry.count("/"), entry), default=None)
        if name is None:
            raise UnreadableDocument(f"'{source.name}' is a zip container, but not a TextPack: it has no file text.md.")
        with archive.open(name) as stream:
            for number, text in enumerate(read_text(cast(BinaryIO, stream), f"{source.name}/{name}")):
                if number == 0:
                    out.set_title(markdown_title(text))
                out.add(text)
