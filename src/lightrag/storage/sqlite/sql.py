"""Helpers around single SQL statements: lists of parameters, and aggregates that are read in one step."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any

import orjson

# Lists are padded to one of these lengths, so that few distinct statements exist and the driver's cache holds them.
_SIZES = (1, 4, 16, 64, 256, 1024)
_MARKS = {size: ",".join("?" * size) for size in _SIZES}

Value = str | int | float | bytes | None


def in_lists(values: Sequence[Any]) -> Iterator[tuple[str, list[Any]]]:
    """Cut values into lists for `IN ({marks})`: yields the marks and the parameters, padded by repeating the last."""
    for start in range(0, len(values), _SIZES[-1]):
        part = list(values[start : start + _SIZES[-1]])
        size = next(size for size in _SIZES if size >= len(part))
        part.extend([part[-1]] * (size - len(part)))
        yield _MARKS[size], part


def joined(conn: sqlite3.Connection, sql: str, parameters: Sequence[Value]) -> list[Any]:
    """Run a query for one `group_concat` of JSON fragments, cast to a blob; return them as a list."""
    body = conn.execute(sql, parameters).fetchone()[0]
    return list(orjson.loads(b"[" + body + b"]")) if body else []


def joined_in(conn: sqlite3.Connection, sql: str, values: Sequence[Any], rest: Sequence[Value] = ()) -> list[Any]:
    """Do as `joined` for a query with `IN ({})`, in parts; parameters after the list come from `rest`."""
    found: list[Any] = []
    for marks, part in in_lists(values):
        found += joined(conn, sql.format(marks), [*part, *rest])
    return found


def fragment(*values: Any) -> str:
    """Return values as JSON without the enclosing brackets."""
    return orjson.dumps(values)[1:-1].decode()


def prefix_end(prefix: str) -> str | None:
    """Return the smallest string greater than all that start with `prefix`; None where there is no such bound."""
    for position in range(len(prefix) - 1, -1, -1):
        code = ord(prefix[position]) + 1
        if 0xD800 <= code <= 0xDFFF:
            code = 0xE000
        if code <= 0x10FFFF:
            return prefix[:position] + chr(code)
    return None


@contextlib.contextmanager
def snapshot(conn: sqlite3.Connection) -> Iterator[None]:
    """Let several reads see one state of the database; joins a transaction that is already open."""
    if conn.in_transaction:
        yield
        return
    conn.execute("BEGIN")
    try:
        yield
    finally:
        if conn.in_transaction:
            conn.execute("COMMIT")


_LOG_LENGTH = 1_000_000


def append_log(conn: sqlite3.Connection, table: str, columns: tuple[str, ...], rows: Sequence[tuple[int, ...]]) -> None:
    """Append to a log of changes and cut as much from its far end once it is long.

    Readers that lie behind the far end read everything anew.
    """
    if not rows:
        return
    marks = ",".join("?" * len(columns))
    conn.executemany(f"INSERT INTO {table}({','.join(columns)}) VALUES ({marks})", rows)
    first, last = conn.execute(f"SELECT (SELECT min(seq) FROM {table}), (SELECT max(seq) FROM {table})").fetchone()
    if last - first > _LOG_LENGTH:
        conn.execute(f"DELETE FROM {table} WHERE seq < ?", (first + 2 * len(rows),))
