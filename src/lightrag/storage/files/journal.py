"""The write-ahead journal: what was committed since the files were last written, one frame per commit.

A frame is its length and the CRC-32 of its body (both 4 bytes, little-endian), then the body, a JSON object. A frame
that was being written when the process died is cut off at the next start: nobody was told that it is stored.
"""

from __future__ import annotations

import os
import re
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from lightrag.errors import StorageDamaged
from lightrag.storage.files.durable import sync_folder

_HEAD = struct.Struct("<II")
_NAME = re.compile(r"journal-(\d{8})")


class Journal:
    """The journals of a folder. A new one begins whenever the state is about to be written to the files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._number = 0
        self._descriptor: int | None = None
        self._size = 0

    @property
    def size(self) -> int:
        """Bytes in the present journal."""
        return self._size

    def replay(self, first: int) -> Iterator[dict[str, Any]]:
        """Yield what was committed in journals from number `first` on; older ones are removed.

        Raises `StorageDamaged` for a frame in the middle that cannot be read.
        """
        numbers = self._numbers()
        for number in numbers:
            if number < first:
                self._path(number).unlink()
                continue
            yield from _frames(self._path(number), is_last=number == numbers[-1])

    def begin(self, number: int) -> None:
        """Append to the journal with this number from now on."""
        self.close()
        self._number = number
        path = self._path(number)
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._size = os.fstat(self._descriptor).st_size
        sync_folder(self._folder)

    def begin_next(self) -> int:
        """Begin a new journal and return its number; former ones hold what is older."""
        self.begin(self._number + 1)
        return self._number

    def last_number(self) -> int:
        """Return the highest number of a journal in the folder; 0 where there is none."""
        return max(self._numbers(), default=0)

    def append(self, change: bytes) -> None:
        """Store a change durably. Raises `OSError`; then nothing is stored."""
        if self._descriptor is None:
            raise OSError("the journal is closed")
        frame = _HEAD.pack(len(change), zlib.crc32(change)) + change
        try:
            written = 0
            while written < len(frame):
                written += os.write(self._descriptor, frame[written:])
            os.fsync(self._descriptor)
        except OSError:
            os.ftruncate(self._descriptor, self._size)
            raise
        self._size += len(frame)

    def forget_before(self, number: int) -> None:
        """Remove journals whose changes are in the files."""
        for old in self._numbers():
            if old < number:
                self._path(old).unlink(missing_ok=True)

    def close(self) -> None:
        """Close the journal. May be called more than once."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _path(self, number: int) -> Path:
        return self._folder / f"journal-{number:08d}"

    def _numbers(self) -> list[int]:
        matches = (_NAME.fullmatch(path.name) for path in self._folder.iterdir())
        return sorted(int(match[1]) for match in matches if match)


def _frames(path: Path, *, is_last: bool) -> Iterator[dict[str, Any]]:
    data = path.read_bytes()
    at = 0
    while at < len(data):
        end = at + _HEAD.size
        length, checksum = _HEAD.unpack_from(data, at) if end <= len(data) else (len(data), 0)
        body = data[end : end + length]
        if len(body) == length and length and zlib.crc32(body) == checksum:
            yield orjson.loads(body)
            at = end + length
            continue
        # Only what was being written last can be incomplete: it reaches to the end, or is zeros that the file system
        # had set aside.
        if is_last and (end + length >= len(data) or not any(data[at:])):
            with path.open("r+b") as stream:
                stream.truncate(at)
                os.fsync(stream.fileno())
            return
        raise StorageDamaged(
            f"{path}: cannot be read from byte {at} on. It holds the last writes before the server stopped; restore it"
            " from a backup, or move it away to go on without these writes"
        )
