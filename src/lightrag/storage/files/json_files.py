"""JSON objects in files, one member after the other, as LightRAG lays them out."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import orjson

from lightrag.errors import StorageDamaged
from lightrag.types import JsonObject

_MEND = (
    "It is left as it is. Restore it from a backup; or, where it can be done without, move it away and start again:"
    " what can be made anew from the other files is made anew"
)


def members(rows: Iterable[tuple[str, Any]]) -> Iterator[bytes]:
    """Yield a JSON object in pieces: UTF-8, indented by two blanks."""
    yield b"{"
    separator = b"\n"
    for key, row in rows:
        yield separator
        yield orjson.dumps({key: row}, option=orjson.OPT_INDENT_2)[2:-2]
        separator = b",\n"
    yield b"\n}" if separator != b"\n" else b"}"


def compact_members(rows: Iterable[tuple[str, Any]]) -> Iterator[bytes]:
    """Yield a JSON object in pieces, one member to a line."""
    separator = b"{\n"
    for key, row in rows:
        yield separator
        yield orjson.dumps({key: row})[1:-1]
        separator = b",\n"
    yield b"{}" if separator == b"{\n" else b"\n}"


def parsed_object(path: Path, data: bytes) -> JsonObject:
    """Return the object that a file holds; raises `StorageDamaged` where it does not hold one."""
    value = parsed(path, data)
    if not isinstance(value, dict):
        raise StorageDamaged(f"{path}: not a JSON object. {_MEND}")
    return value


def parsed(path: Path, data: bytes) -> Any:
    """Return what a file holds.

    Python's own reader takes over where the strict one refuses: LightRAG may have written NaN or halves of surrogate
    pairs. The former becomes null, the latter a question mark.
    """
    try:
        return orjson.loads(data)
    except ValueError:
        pass
    try:
        return _cleaned(json.loads(data.decode("utf-8", "surrogatepass"), parse_constant=_nothing))
    except ValueError as error:
        whole = "is empty" if not data.strip() else f"is damaged or was cut off ({error})"
        raise StorageDamaged(f"{path}: {whole}. {_MEND}") from error


def objects(path: Path, rows: JsonObject) -> dict[str, JsonObject]:
    """Return the members of a file; raises `StorageDamaged` where one of them is not an object."""
    for key, row in rows.items():
        if not isinstance(row, dict):
            raise StorageDamaged(f"{path}: the entry {key!r} is not an object. {_MEND}")
    return rows


def damaged(path: Path, what: str) -> StorageDamaged:
    """Return the error for a file whose content does not make sense."""
    return StorageDamaged(f"{path}: {what}. {_MEND}")


def _nothing(name: str) -> None:
    return None


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, list):
        return [_cleaned(item) for item in value]
    if isinstance(value, dict):
        return {_cleaned(key): _cleaned(item) for key, item in value.items()}
    return value
