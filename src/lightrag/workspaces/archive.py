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
from collections.abc import AsyncIterator
from pathlib import Path, PurePosixPath

from lightrag.errors import InvalidInput
from lightrag.storage.choice import record_family
from lightrag.storage.contracts import Storage
from lightrag.storage.migrate import migrate
from lightrag.storage.registry import StorageNames as Names
from lightrag.storage.registry import choose_family, family_named, make_storage
from lightrag.workspaces.folders import WorkspaceFolders

FORMAT = "lightrag-workspace"
VERSION = 1
_MANIFEST = "workspace.json"
_DATABASE = "lightrag.sqlite3"
_INPUTS = "inputs"
_MAX_MEMBERS = 1_000_000
FAMILY = "sqlite"


@dataclasses.dataclass(frozen=True, slots=True)
class ArchiveFacts:
    """What an archive says of itself."""

    rows: dict[str, int]


async def write_archive(storage: Storage, folders: WorkspaceFolders, target: Path) -> ArchiveFacts:
    """Write the archive of an open storage that does not change meanwhile; whole or not at all."""
    with tempfile.TemporaryDirectory(prefix="lightrag-export-", dir=target.parent) as scratch:
        async with _copy(Path(scratch)) as copy:
            reports = await migrate(storage, copy)
        facts = ArchiveFacts({report.name: report.rows for report in reports})
        draft = Path(scratch) / "archive"
        await asyncio.to_thread(_pack, Path(scratch) / _DATABASE, folders.inputs, facts, draft)
        draft.replace(target)
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
            async with _copy(Path(scratch)) as copy, _opened(target):
                await migrate(copy, target)
            await asyncio.to_thread(record_family, folders.data, family.name)
    except BaseException:
        await asyncio.shield(asyncio.to_thread(folders.remove))
        raise
    return facts


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


def _pack(database: Path, inputs: Path, facts: ArchiveFacts, target: Path) -> None:
    manifest = json.dumps({"format": FORMAT, "version": VERSION, "rows": facts.rows}).encode()
    with tarfile.open(target, "w:gz", compresslevel=1) as tar:
        header = tarfile.TarInfo(_MANIFEST)
        header.size = len(manifest)
        tar.addfile(header, io.BytesIO(manifest))
        tar.add(database, _DATABASE)
        if inputs.is_dir():
            for path in sorted(inputs.rglob("*")):
                if path.is_file() and not path.is_symlink():
                    tar.add(path, f"{_INPUTS}/{path.relative_to(inputs).as_posix()}", recursive=False)


def _unpack(source: Path, scratch: Path, inputs: Path) -> ArchiveFacts:
    try:
        with tarfile.open(source, "r:gz") as tar:
            facts = _read_manifest(tar)
            for count, member in enumerate(tar, start=1):
                place = _place(member, scratch, inputs)
                if count > _MAX_MEMBERS:
                    raise InvalidInput(f"{source.name}: the archive holds more than {_MAX_MEMBERS} files")
                if place is not None:
                    _extract(tar, member, place)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise InvalidInput(f"{source.name}: not an archive of a workspace, or damaged ({error})") from error
    if not (scratch / _DATABASE).is_file():
        raise InvalidInput(f"{source.name}: the archive holds no {_DATABASE}")
    return facts


def _read_manifest(tar: tarfile.TarFile) -> ArchiveFacts:
    first = tar.next()
    file = tar.extractfile(first) if first is not None and first.name == _MANIFEST and first.size < 65536 else None
    try:
        said = json.loads(file.read()) if file is not None else {}
    except ValueError:
        said = {}
    if not isinstance(said, dict) or said.get("format") != FORMAT:
        raise InvalidInput("This is not an archive of a workspace; make one with: lightrag workspace export")
    if said.get("version") != VERSION:
        raise InvalidInput(f"The archive has version {said.get('version')}; this program reads version {VERSION}")
    return ArchiveFacts(dict(said.get("rows") or {}))


def _place(member: tarfile.TarInfo, scratch: Path, inputs: Path) -> Path | None:
    """Return where a member goes; None for one that goes nowhere. Raises `InvalidInput` for one that would escape."""
    if member.name == _MANIFEST:
        return None
    path = PurePosixPath(member.name)
    if not member.isfile() or path.is_absolute() or ".." in path.parts or "\\" in member.name:
        raise InvalidInput(f"The archive holds '{member.name[:100]}', which is no plain file below it")
    if member.name == _DATABASE:
        return scratch / _DATABASE
    if path.parts[0] != _INPUTS or len(path.parts) < 2:
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
