"""Looks through the input folder for files to index."""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import os
from collections.abc import Collection, Iterator
from pathlib import Path

from lightrag.documents.formats import suffix_of
from lightrag.documents.threads import in_thread

PROCESSED_FOLDERS = frozenset({"__enqueued__", "__parsed__"})
"""Where LightRAG moves files that it has taken in."""
PART_SUFFIX = ".part"

_TEMPORARY = (PART_SUFFIX, ".tmp", ".crdownload", ".download", ".swp", "~")
_HASH_BLOCK = 1024 * 1024
_log = logging.getLogger("lightrag.documents")


@dataclasses.dataclass(frozen=True, slots=True)
class FoundFile:
    """A file of the input folder as it was when it was looked at."""

    path: Path
    relative_path: str
    """Path below the folder that was scanned, with `/` between its parts."""
    size: int
    mtime_ns: int

    async def md5(self) -> str:
        """Read the file and return the MD5 of its bytes. Raises OSError."""
        return await file_md5(self.path)


async def scan_folder(
    root: Path, suffixes: Collection[str], skip_folders: Collection[str] = (), *, is_recursive: bool = True
) -> list[FoundFile]:
    """Return the files below `root` with one of the suffixes (lower case, with dot), sorted by relative path.

    Where it is not `is_recursive`, only those that lie directly in `root`.

    Left out: hidden files and folders, `__enqueued__` and `__parsed__`, unfinished uploads and editors' temporary
    files, symbolic links to folders or out of `root`, anything that is not a regular file, and folders directly below
    `root` that are named in `skip_folders`. A folder that does not exist holds nothing; one that cannot be read is
    logged and passed over.
    """
    return await in_thread(_scan, root, frozenset(suffixes), frozenset(skip_folders), is_recursive)


async def file_md5(path: Path) -> str:
    """Return the MD5 of a file's bytes in hexadecimal, reading in blocks. Raises OSError."""
    return await in_thread(_md5, path)


def _md5(path: Path) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as stream:
        while block := stream.read(_HASH_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _scan(root: Path, suffixes: frozenset[str], skip_folders: frozenset[str], is_recursive: bool) -> list[FoundFile]:
    base = root.resolve()
    found = []
    waiting = [base]
    while waiting:
        folder = waiting.pop()
        for entry in _entries(folder, base):
            if entry.is_dir(follow_symlinks=False):
                if (
                    is_recursive
                    and entry.name not in PROCESSED_FOLDERS
                    and not (folder == base and entry.name in skip_folders)
                ):
                    waiting.append(Path(entry.path))
            elif suffix_of(entry.name) in suffixes and (file := _found(entry, base)) is not None:
                found.append(file)
    return sorted(found, key=lambda file: file.relative_path)


def _entries(folder: Path, base: Path) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            yield from (
                entry
                for entry in entries
                if not entry.name.startswith((".", "~$")) and not entry.name.endswith(_TEMPORARY)
            )
    except FileNotFoundError:
        return
    except OSError as error:
        _log.warning("Input folder %r cannot be read: %s", str(folder.relative_to(base)), error.strerror)


def _found(entry: os.DirEntry[str], base: Path) -> FoundFile | None:
    try:
        if entry.is_symlink() and not Path(entry.path).resolve().is_relative_to(base):
            return None
        if not entry.is_file():
            return None
        facts = entry.stat()
        relative = Path(entry.path).relative_to(base).as_posix()
        relative.encode("utf-8")
    except (OSError, RuntimeError, UnicodeEncodeError):
        # Gone meanwhile, a loop of links, or a name that is not text.
        _log.warning("Input file %r cannot be read", entry.name)
        return None
    return FoundFile(Path(entry.path), relative, facts.st_size, facts.st_mtime_ns)
