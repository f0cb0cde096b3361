"""A workspace in one file: everything that lies in its stores, and its input folder.

The file is a gzipped tar with `workspace.json` (format, counts), `lightrag.sqlite3` (a copy of all stores, whatever
family they are of) and `inputs/…`. Models, keys, rights and usage are not part of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import io
import json
import os
import tarfile
import tempfile
import zlib
from collections.abc import AsyncIterator
from pathlib import Path, PurePosixPath
from typing import Any, Self

from lightrag.errors import Conflict, InvalidInput, StorageError
from lightrag.finishing import to_the_end
from lightrag.storage.choice import record_family
from lightrag.storage.contracts import Storage
from lightrag.storage.migrate import migrate
from lightrag.storage.registry import StorageNames as Names
from lightrag.storage.registry import choose_family, family_named, make_storage
from lightrag.workspaces.folders import WorkspaceFolders

FORMAT = "lightrag-workspace"
VERSION = 1
_MANIFEST = "workspace.json"
_MOST_MANIFEST_BYTES = 65_536
_DATABASE = "lightrag.sqlite3"
_INPUTS = "inputs"
_MAX_MEMBERS = 1_000_000
_MAX_RATIO = 50
"""How many times its own size an archive may unpack to; beyond `_ALWAYS_ALLOWED` bytes it is no honest one."""
_ALWAYS_ALLOWED = 1 << 30
_MAX_HEADER = 64 * 1024
"""Bytes of a name or of other facts about one file; `tarfile` reads them into memory as a whole."""
_HEADERS = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)
FAMILY = "sqlite"


@dataclasses.dataclass(frozen=True, slots=True)
class ArchiveFacts:
    """What an archive says of itself."""

    rows: dict[str, int]


async def write_archive(storage: Storage, folders: WorkspaceFolders, target: Path) -> ArchiveFacts:
    """Write the archive of an open storage; whole or not at all. Raises `Conflict` where it changes meanwhile."""
    before = storage.version()
    with tempfile.TemporaryDirectory(prefix="lightrag-export-", dir=target.parent) as scratch:
        async with _copy(Path(scratch)) as copy:
            reports = await migrate(storage, copy)
        if storage.version() != before:
            raise Conflict("The workspace was changed while it was being exported; try again")
        facts = ArchiveFacts({report.name: report.rows for report in reports})
        draft = Path(scratch) / "archive"
        await asyncio.to_thread(_pack, Path(scratch) / _DATABASE, folders, facts, draft)
        await asyncio.to_thread(draft.replace, target)
    return facts


async def read_archive(source: Path, folders: WorkspaceFolders, names: Names) -> ArchiveFacts:
    """Fill the folders of a new workspace from an archive. On failure nothing of them stays.

    Raises `InvalidInput` where the file is not such an archive.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="lightrag-import-", dir=source.parent) as scratch:
            facts = await asyncio.to_thread(_unpack, source, Path(scratch), folders.inputs)
            family = choose_family(names, folders.data)
            await asyncio.to_thread(folders.data.mkdir, parents=True, exist_ok=True)
            target = make_storage(family, folders.data, folders.data.name)
            async with _opened(target):
                await _fill(target, Path(scratch), source.name)
            await asyncio.to_thread(record_family, folders.data, family.name)
    except BaseException:
        await to_the_end(asyncio.to_thread(folders.remove))
        raise
    return facts


async def _fill(target: Storage, scratch: Path, name: str) -> None:
    copy = make_storage(family_named(FAMILY), scratch, "archive")
    try:
        await copy.open()
    except StorageError as error:
        await copy.close()
        raise InvalidInput(f"{name}: its {_DATABASE} cannot be read ({error})") from error
    try:
        await migrate(copy, target)
    finally:
        await copy.close()


@contextlib.asynccontextmanager
async def _copy(folder: Path) -> AsyncIterator[Storage]:
    async with _opened(make_storage(family_named(FAMILY), folder, "archive")) as storage:
        yield storage


@contextlib.asynccontextmanager
async def _opened(storage: Storage) -> AsyncIterator[Storage]:
    await storage.open()
    try:
        yield storage
    finally:
        await storage.close()


def _pack(database: Path, folders: WorkspaceFolders, facts: ArchiveFacts, target: Path) -> None:
    manifest = json.dumps({"format": FORMAT, "version": VERSION, "rows": facts.rows}).encode()
    with tarfile.open(target, "w:gz", compresslevel=1) as tar:
        header = tarfile.TarInfo(_MANIFEST)
        header.size = len(manifest)
        tar.addfile(header, io.BytesIO(manifest))
        tar.add(database, _DATABASE)
        for path in folders.input_files():
            tar.add(path, f"{_INPUTS}/{path.relative_to(folders.inputs).as_posix()}", recursive=False)


class _Header(tarfile.TarInfo):
    """A header of an archive that somebody else has made."""

    @classmethod
    def frombuf(cls, buf: Any, encoding: str, errors: str) -> Self:
        """Return the header; refuses those for which too much would be read into memory."""
        header = super().frombuf(buf, encoding, errors)
        if header.type in _HEADERS and header.size > _MAX_HEADER:
            raise InvalidInput(f"The archive holds a name of {header.size} bytes")
        return header


def _unpack(source: Path, scratch: Path, inputs: Path) -> ArchiveFacts:
    left = max(_ALWAYS_ALLOWED, _MAX_RATIO * source.stat().st_size)
    try:
        with tarfile.open(source, "r:gz", tarinfo=_Header) as tar:
            facts = _read_manifest(tar)
            for count, member in enumerate(tar, start=1):
                place = _place(member, scratch, inputs)
                if count > _MAX_MEMBERS:
                    raise InvalidInput(f"{source.name}: the archive holds more than {_MAX_MEMBERS} files")
                left -= member.size
                if left < 0:
                    raise InvalidInput(
                        f"{source.name}: the archive unpacks to more than {_MAX_RATIO} times its size; no export does"
                    )
                if place is not None:
                    _extract(tar, member, place)
    except (tarfile.TarError, zlib.error, EOFError, OSError, ValueError, OverflowError) as error:
        raise InvalidInput(f"{source.name}: not an archive of a workspace, or damaged ({error})") from error
    if not (scratch / _DATABASE).is_file():
        raise InvalidInput(f"{source.name}: the archive holds no {_DATABASE}")
    return facts


def _read_manifest(tar: tarfile.TarFile) -> ArchiveFacts:
    first = tar.next()
    is_manifest = first is not None and first.name == _MANIFEST and first.size < _MOST_MANIFEST_BYTES
    file = tar.extractfile(first) if first is not None and is_manifest else None
    try:
        said = json.loads(file.read()) if file is not None else {}
    except (ValueError, RecursionError):
        said = {}
    if not isinstance(said, dict) or said.get("format") != FORMAT:
        raise InvalidInput("This is not an archive of a workspace; make one with: lightrag workspace export")
    if said.get("version") != VERSION:
        raise InvalidInput(f"The archive has another version than {VERSION}, which this program reads")
    rows = said.get("rows")
    if not isinstance(rows, dict) or not all(type(count) is int and 0 <= count < 2**53 for count in rows.values()):
        raise InvalidInput("The archive does not say how many rows it holds")
    return ArchiveFacts(rows)


def _place(member: tarfile.TarInfo, scratch: Path, inputs: Path) -> Path | None:
    """Return where a member goes; None for one that goes nowhere. Raises `InvalidInput` for one that would escape."""
    if member.name == _MANIFEST:
        return None
    path = PurePosixPath(member.name)
    if not member.isfile() or path.is_absolute() or ".." in path.parts or "\\" in member.name:
        raise InvalidInput(f"The archive holds '{member.name[:100]}', which is no plain file below it")
    if member.name == _DATABASE:
        return scratch / _DATABASE
    if len(path.parts) < 2 or path.parts[0] != _INPUTS:
        raise InvalidInput(f"The archive holds '{member.name[:100]}', which does not belong to a workspace")
    return inputs.joinpath(*path.parts[1:])


def _extract(tar: tarfile.TarFile, member: tarfile.TarInfo, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    file = tar.extractfile(member)
    assert file is not None
    with place.open("wb") as out:
        while piece := file.read(1 << 20):
            out.write(piece)
    os.utime(place, (member.mtime, member.mtime))
