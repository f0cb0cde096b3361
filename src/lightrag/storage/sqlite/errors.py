"""Drivers' errors become ours, once."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import orjson

from lightrag.errors import InvalidInput, LightRAGError, StorageDamaged, StorageError, StorageUnavailable

_PRIMARY = 0xFF
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT}
_LOCKED = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL}
_ACCESS = {
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_AUTH,
}


def translate(error: BaseException, path: Path) -> BaseException:
    """Return the error to raise in place of `error`: a `StorageError` naming the file, or `error` itself."""
    if isinstance(error, LightRAGError):
        return error
    if isinstance(error, UnicodeEncodeError):
        return _caused(InvalidInput(f"text cannot be stored: {error.reason}; send valid Unicode"), error)
    if isinstance(error, orjson.JSONDecodeError):
        return _caused(damaged(path, f"a row does not hold JSON ({error})"), error)
    if isinstance(error, sqlite3.Error):
        return _caused(_from_sqlite(error, path), error)
    return error


def damaged(path: Path, reason: str) -> StorageDamaged:
    """Return the error for a file that cannot be read as what it should be."""
    return StorageDamaged(
        f"{path}: {reason}. Stop all processes that use it, then restore it with its -wal file from a backup, or save"
        f" what is readable (`sqlite3 {path.name} .recover | sqlite3 mended.sqlite3`), or move it away and index the"
        " documents again."
    )


def _from_sqlite(error: sqlite3.Error, path: Path) -> StorageError:
    code = (getattr(error, "sqlite_errorcode", None) or 0) & _PRIMARY
    if code in _DAMAGED:
        return damaged(path, f"the database is damaged or not a database ({error})")
    if code in _LOCKED:
        return StorageUnavailable(f"{path}: locked by another process for too long ({error}); try again")
    if code == sqlite3.SQLITE_FULL:
        return StorageUnavailable(f"{path}: the disk is full; free some space and try again")
    if code in _ACCESS:
        return StorageUnavailable(
            f"{path}: cannot be read or written ({error}); check that the folder exists, its permissions and the disk"
        )
    return StorageError(f"{path}: {error}")


def _caused(new: LightRAGError, error: BaseException) -> LightRAGError:
    new.__cause__ = error
    return new
