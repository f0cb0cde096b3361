"""Large texts: indexing keeps them in parts, LightRAG reads a document's text from one row.

A head row with `parts` belongs with rows `{document}/{number}` (six digits). In the file there is one row with the
whole text and, in `part_lengths`, where it was cut.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import orjson

from lightrag.types import JsonObject

_LENGTHS = "part_lengths"
_PART = re.compile(r"(.+)/\d{6}")
GetRow = Callable[[str], bytes | None]


def is_part(key: str, get: GetRow) -> bool:
    """Tell whether a row is a part of a text whose head is there."""
    match = _PART.fullmatch(key)
    head = get(match[1]) if match else None
    return head is not None and bool(orjson.loads(head).get("parts"))


def whole_text(key: str, get: GetRow) -> str:
    """Return the text of a document, "" where there is none."""
    head = get(key)
    if head is None:
        return ""
    row = orjson.loads(head)
    return "".join(_parts(key, row, get)) if row.get("parts") else str(row.get("content") or "")


def joined(key: str, row: JsonObject, get: GetRow) -> JsonObject:
    """Return a document's row with its whole text."""
    if not row.get("parts"):
        return row
    parts = list(_parts(key, row, get))
    return row | {"content": "".join(parts), _LENGTHS: [len(part) for part in parts]}


def split(key: str, row: JsonObject) -> Iterator[tuple[str, JsonObject]]:
    """Yield the rows that a row of the file stands for; one that LightRAG has changed stays whole."""
    lengths, text = row.get(_LENGTHS), row.get("content")
    kept = {name: value for name, value in row.items() if name != _LENGTHS}
    if not isinstance(lengths, list) or not isinstance(text, str) or sum(lengths) != len(text):
        yield key, {name: value for name, value in kept.items() if name != "parts"} if lengths else kept
        return
    yield key, kept | {"content": ""}
    start = 0
    for number, length in enumerate(lengths):
        yield f"{key}/{number:06d}", {"content": text[start : start + length]}
        start += length


def _parts(key: str, row: JsonObject, get: GetRow) -> Iterator[str]:
    for number in range(int(row["parts"])):
        part = get(f"{key}/{number:06d}")
        yield str(orjson.loads(part)["content"]) if part is not None else ""
