"""Which files make up a workspace and their checksums, and how a set of files takes the place of another at once.

A set is written aside, then announced in `publish.json`, then moved into place; a crash in between is finished at the
next start. A file that somebody else has changed since is never replaced.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

import orjson

from lightrag.errors import Conflict, StorageDamaged, StorageMismatch
from lightrag.storage.files.durable import replace_durably, sync_folder, write_durably
from lightrag.storage.files.layout import OWN_FOLDER
from lightrag.types import JsonObject

VERSION = 1
MANIFEST, PUBLISH, NEXT = "manifest.json", "publish.json", "next"


@dataclasses.dataclass(frozen=True, slots=True)
class FileEntry:
    """What a file was when it was read or written last."""

    checksum: str
    size: int
    mtime_ns: int
    ours: bool
    """Whether this server wrote it."""


@dataclasses.dataclass(frozen=True, slots=True)
class Manifest:
    """The files of a workspace, by their path below its folder, and the first journal that they do not contain."""

    journal: int
    files: Mapping[str, FileEntry]

    def as_json(self) -> bytes:
        """Return the manifest as it is stored."""
        files = {name: dataclasses.asdict(entry) for name, entry in self.files.items()}
        return orjson.dumps(
            {"version": VERSION, "family": "files", "journal": self.journal, "files": files},
            option=orjson.OPT_INDENT_2,
        )


def own(name: str) -> str:
    """Return the path of one of our own files below the workspace's folder."""
    return f"{OWN_FOLDER}/{name}"


def entry_of(path: Path, checksum: str, *, ours: bool) -> FileEntry:
    """Return the entry of a file with this checksum."""
    stat = path.stat()
    return FileEntry(checksum, stat.st_size, stat.st_mtime_ns, ours)


def read_manifest(folder: Path) -> Manifest | None:
    """Return the manifest; None where there is none. Finishes what a crash interrupted first.

    Raises `StorageDamaged`, or `StorageMismatch` for one of a newer version.
    """
    _finish(folder)
    path = folder / OWN_FOLDER / MANIFEST
    if not path.exists():
        return None
    try:
        return _manifest(orjson.loads(path.read_bytes()), path)
    except (ValueError, KeyError, TypeError) as error:
        raise StorageDamaged(
            f"{path}: damaged ({error}). Restore it from a backup; or move the folder {OWN_FOLDER} away: then what it"
            " holds is made anew from LightRAG's files as far as they allow"
        ) from error


def _manifest(content: JsonObject, path: Path) -> Manifest:
    if content["version"] != VERSION:
        raise StorageMismatch(f"{path}: written by a newer version of lightrag-server; use that one")
    return Manifest(content["journal"], {name: FileEntry(**entry) for name, entry in content["files"].items()})


def publish(folder: Path, before: Manifest, pieces: Mapping[str, Iterable[bytes] | None], journal: int) -> Manifest:
    """Replace files by new content, all or none, and return the manifest that is valid from then on.

    A file whose content is None is removed. Raises `Conflict` where one of them was changed by somebody else since it
    was read, and `OSError`; then all is as it was.
    """
    aside = folder / OWN_FOLDER / NEXT
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir()
    entries: dict[str, FileEntry] = {}
    for name, content in pieces.items():
        if content is None:
            continue
        temporary = aside / _flat(name)
        entries[name] = entry_of(temporary, write_durably(temporary, content), ours=True)
    sync_folder(aside)
    for name in pieces:
        _check_unchanged(folder / name, before.files.get(name))
    kept = {name: entry for name, entry in before.files.items() if name not in pieces}
    after = Manifest(journal, kept | entries)
    removed = sorted(pieces.keys() - entries.keys())
    announcement = {"files": list(entries), "removed": removed, "manifest": orjson.Fragment(after.as_json())}
    replace_durably(folder / OWN_FOLDER / PUBLISH, orjson.dumps(announcement))
    _finish(folder)
    return after


def _finish(folder: Path) -> None:
    """Move an announced set of files into place."""
    announcement = folder / OWN_FOLDER / PUBLISH
    aside = folder / OWN_FOLDER / NEXT
    if announcement.exists():
        content = orjson.loads(announcement.read_bytes())
        for name in content["files"]:
            temporary = aside / _flat(name)
            if temporary.exists():
                temporary.replace(folder / name)
        for name in content["removed"]:
            (folder / name).unlink(missing_ok=True)
        sync_folder(folder)
        replace_durably(folder / OWN_FOLDER / MANIFEST, orjson.dumps(content["manifest"], option=orjson.OPT_INDENT_2))
        announcement.unlink()
    shutil.rmtree(aside, ignore_errors=True)


def _check_unchanged(path: Path, known: FileEntry | None) -> None:
    if not path.exists():
        return
    stat = path.stat()
    if known is None or (stat.st_size, stat.st_mtime_ns) != (known.size, known.mtime_ns):
        raise Conflict(
            f"{path} was changed by another program while this server had the folder open; it is left as it is."
            " Stop the other program and start this server again: it reads the changes and adds its own, which are"
            " safe in its journal"
        )


def _flat(name: str) -> str:
    return name.replace("/", "__")
