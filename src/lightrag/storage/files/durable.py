"""Files that are either as they were or as they should be, whatever happens meanwhile."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterable
from pathlib import Path


def checksum(data: bytes) -> str:
    """Return the checksum of a file's bytes: BLAKE2b with 16 bytes, in hexadecimal."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def write_durably(path: Path, pieces: Iterable[bytes]) -> str:
    """Write a file and return its checksum when it is on the disk."""
    digest = hashlib.blake2b(digest_size=16)
    with path.open("wb", buffering=1 << 20) as stream:
        for piece in pieces:
            digest.update(piece)
            stream.write(piece)
        stream.flush()
        os.fsync(stream.fileno())
    return digest.hexdigest()


def replace_durably(path: Path, data: bytes) -> None:
    """Put a small file in the place of another, so that a crash leaves one of them whole."""
    temporary = path.with_name(f"{path.name}.new")
    write_durably(temporary, [data])
    temporary.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable, as far as the file system does that."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
