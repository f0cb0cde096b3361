"""JSON: kept as written, except that escaped letters become readable, or nobody could find them."""

from __future__ import annotations

import json
import re

from lightrag.documents.builder import TextBuilder
from lightrag.documents.decoding import read_text
from lightrag.documents.formats import Source
from lightrag.documents.limits import MIB

_CHECKED_BYTES = 16 * MIB
# An even number of backslashes before it means that the backslash itself is escaped.
_ESCAPES = re.compile(r"(?<!\\)((?:\\\\)*)((?:\\u[0-9a-fA-F]{4})+)")


def parse(source: Source, out: TextBuilder) -> None:
    """Write the file; one that is not valid JSON is still text, and is indexed with a warning."""
    with source.path.open("rb") as stream:
        if source.path.stat().st_size > _CHECKED_BYTES:
            for text in read_text(stream, source.name):
                out.add(text)
            return
        text = "".join(read_text(stream, source.name))
    try:
        json.loads(text)
    except RecursionError:
        out.warn("The JSON is nested too deeply to be checked; it was indexed as plain text.")
    except ValueError as error:
        out.warn(f"This is not valid JSON ({error}); it was indexed as plain text.")
    else:
        text = _ESCAPES.sub(lambda found: found[1] + _readable(found[2]), text)
    out.add(text)


def _readable(escapes: str) -> str:
    """Turn escapes into letters, unless one stands for a control character, a quote, or half a character."""
    letters: str = json.loads(f'"{escapes}"')
    if any(letter in '"\\' or letter < " " or "\ud800" <= letter <= "\udfff" for letter in letters):
        return escapes
    return letters
