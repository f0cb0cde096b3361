"""Takes in a file that arrives in pieces: all of it or nothing, durable, in constant memory."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import time
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from lightrag.documents.folder import PART_SUFFIX
from lightrag.documents.limits import MIB
from lightrag.documents.threads import in_thread
from lightrag.errors import Conflict, StorageUnavailable, TooLarge

_WRITE_BLOCK = MIB
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
_NOT_WRITABLE = (errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO)


class StoredUpload(NamedTuple):
    """What was stored."""

    size: int
    """Bytes."""
    md5: str


async def store_upload(
    stream: AsyncIterator[bytes], target: Path, max_bytes: int, *, overwrite: bool = False
) -> StoredUpload:
    """Write the stream to `target`, whose folder is made if need be.

    When it returns, the bytes and the file's name are durable. Until then they are in a hidden `.part` file, which is
    removed on any failure and on cancellation. Raises TooLarge beyond `max_bytes`, Conflict where `target` exists and
    `overwrite` is not set, StorageUnavailable where the folder cannot be written to, NotADirectoryError or
    FileExistsError where its name is a file's, and what the stream raises.
    """
    try:
        return await _store(stream, target, max_bytes, overwrite)
    except OSError as error:
        if error.errno not in (*_NO_SPACE, *_NOT_WRITABLE):
            raise
        advice = "free some space" if error.errno in _NO_SPACE else "make the folder writable for the server"
        reason = f"'{target.name}' cannot be stored in {target.parent}: {error.strerror}; {advice}"
        raise StorageUnavailable(reason) from error


async def _store(stream: AsyncIterator[bytes], target: Path, max_bytes: int, overwrite: bool) -> StoredUpload:
    await in_thread(_make_folder, target.parent)
    part = target.parent / f".{uuid.uuid4().hex}{PART_SUFFIX}"
    writer = _PartWriter(part)
    try:
        # Inside: who is cancelled meanwhile has made the file all the same.
        await in_thread(writer.open)
        pending: list[bytes] = []
        held = 0
        async for piece in stream:
            pending.append(piece)
            held += len(piece)
            if writer.size + held > max_bytes:
                raise TooLarge(
                    f"File too large. Maximum size: {max_bytes / MIB:.1f}MB, "
                    f"uploaded: {(writer.size + held) / MIB:.1f}MB"
                )
            if held >= _WRITE_BLOCK:
                await in_thread(writer.write, pending)
                pending, held = [], 0
        await in_thread(writer.write, pending)
        await in_thread(writer.finish)
        await in_thread(_publish, part, target, overwrite)
    except BaseException:
        # Not through a thread pool that may be shutting down, and quick: nothing is left to write.
        writer.discard()
        raise
    return StoredUpload(writer.size, writer.md5)


async def remove_abandoned_parts(root: Path, older_than_seconds: float = 86_400.0) -> int:
    """Remove `.part` files that a killed server left below `root`; return how many.

    Younger ones may belong to an upload that another process is receiving.
    """
    return await in_thread(_remove_parts, root, time.time() - older_than_seconds)


class _PartWriter:
    """A part file being written; its methods block."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None
        self._digest = hashlib.md5(usedforsecurity=False)
        self.size = 0

    @property
    def md5(self) -> str:
        return self._digest.hexdigest()

    def open(self) -> None:
        self._file = self._path.open("xb", buffering=0)

    def write(self, pieces: list[bytes]) -> None:
        assert self._file is not None
        for piece in pieces:
            view = memoryview(piece)
            while view:
                view = view[self._file.write(view) :]
            self._digest.update(piece)
            self.size += len(piece)

    def finish(self) -> None:
        assert self._file is not None
        os.fsync(self._file.fileno())
        self._file.close()

    def discard(self) -> None:
        if self._file is None:
            return
        self._file.close()
        with contextlib.suppress(OSError):
            self._path.unlink()


def _make_folder(folder: Path) -> None:
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for path in missing:
        _sync_folder(path.parent)


def _publish(part: Path, target: Path, overwrite: bool) -> None:
    if overwrite:
        part.replace(target)
    else:
        _move_without_overwriting(part, target)
    _sync_folder(target.parent)


def _move_without_overwriting(part: Path, target: Path) -> None:
    exists = Conflict(f"File '{target.name}' already exists in the input directory.")
    try:
        # A link fails where the name is taken, which a rename does not.
        os.link(part, target)
    except FileExistsError:
        raise exists from None
    except OSError:
        # No hard links on this file system: take the name first, then rename over it.
        try:
            os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
        except FileExistsError:
            raise exists from None
        part.replace(target)
    else:
        part.unlink()


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove_parts(root: Path, before: float) -> int:
    removed = 0
    for path in root.rglob(f".*{PART_SUFFIX}"):
        with contextlib.suppress(OSError):
            if path.is_file() and path.stat().st_mtime < before:
                path.unlink()
                removed += 1
    return removed
