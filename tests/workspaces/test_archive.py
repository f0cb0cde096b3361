"""Archives of workspaces: what they hold, and what archives that somebody else has made cannot do."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from lightrag.errors import Conflict, InvalidInput
from lightrag.storage.contracts import Namespace
from lightrag.storage.registry import StorageNames, make_storage
from lightrag.storage.sqlite import SQLiteStorage
from lightrag.workspaces import archive
from lightrag.workspaces.archive import read_archive, write_archive
from lightrag.workspaces.folders import WorkspaceFolders

MANIFEST = {"format": archive.FORMAT, "version": archive.VERSION, "rows": {"documents": 0}}
Member = tuple[tarfile.TarInfo, bytes]


def folders(root: Path, name: str) -> WorkspaceFolders:
    """Return the folders of a workspace below a folder."""
    return WorkspaceFolders(root / "data" / name, root / "inputs" / name)


def names_below(folder: Path) -> list[str]:
    """Return the names of everything in a folder."""
    return [path.name for path in folder.rglob("*")]


async def exported(root: Path) -> Path:
    """Return the archive of a workspace with one row and one file."""
    made = folders(root, "origin")
    storage = SQLiteStorage(made.data, "origin")
    await storage.open()
    await storage.kv(Namespace.META).put({"note": {"text": "kept"}})
    (made.inputs / "deep").mkdir(parents=True)
    (made.inputs / "deep" / "a.txt").write_text("the file")
    (made.inputs / "link").symlink_to("/etc/passwd")
    await write_archive(storage, made, root / "a.tar.gz")
    await storage.close()
    return root / "a.tar.gz"


def file(name: str, content: bytes = b"x", kind: bytes = tarfile.REGTYPE, link: str = "") -> Member:
    """Return a member of an archive."""
    header = tarfile.TarInfo(name)
    header.size, header.type, header.linkname = len(content), kind, link
    return header, content


def packed(path: Path, members: Sequence[Member], manifest: object = MANIFEST) -> Path:
    """Write an archive of members, the manifest first."""
    with tarfile.open(path, "w:gz") as tar:
        for header, content in (file("workspace.json", json.dumps(manifest).encode()), *members):
            tar.addfile(header, io.BytesIO(content))
    return path


async def test_an_archive_holds_stores_and_files_and_follows_no_links(tmp_path: Path) -> None:
    source = await exported(tmp_path)
    with tarfile.open(source) as tar:
        assert tar.getnames() == ["workspace.json", "lightrag.sqlite3", "inputs/deep/a.txt"]
    target = folders(tmp_path, "copy")
    await read_archive(source, target, StorageNames())
    assert (target.inputs / "deep" / "a.txt").read_text() == "the file"
    storage = SQLiteStorage(target.data, "copy")
    await storage.open()
    assert await storage.kv(Namespace.META).get(["note"]) == {"note": {"text": "kept"}}
    await storage.close()


async def test_what_changes_while_it_is_exported_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = folders(tmp_path, "origin")
    storage = SQLiteStorage(made.data, "origin")
    await storage.open()
    migrate = archive.migrate

    async def slow(source: object, copy: object) -> object:
        reports = await migrate(source, copy)  # type: ignore[arg-type]
        await storage.kv(Namespace.META).put({"note": {"text": "meanwhile"}})
        return reports

    monkeypatch.setattr(archive, "migrate", slow)
    with pytest.raises(Conflict, match="changed while it was being exported"):
        await write_archive(storage, made, tmp_path / "a.tar.gz")
    await storage.close()
    assert not (tmp_path / "a.tar.gz").exists()


def test_the_files_of_the_root_workspace_are_not_those_of_others(tmp_path: Path) -> None:
    root = WorkspaceFolders(tmp_path / "data", tmp_path / "inputs", is_root=True)
    for path in ("inputs/own.txt", "inputs/reports/own.txt", "inputs/tenant/secret.txt", "inputs/deep/tenant/own.txt"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("12345")
    (tmp_path / "data" / "tenant").mkdir(parents=True)
    names = [path.relative_to(root.inputs).as_posix() for path in root.input_files()]
    assert names == ["own.txt", "deep/tenant/own.txt", "reports/own.txt"]
    assert root.size() == (0, 15)


HOSTILE: dict[str, Callable[[], Sequence[Member]]] = {
    "absolute": lambda: [file("/tmp/hostile.txt")],
    "upwards": lambda: [file("inputs/../../../hostile.txt")],
    "upwards on Windows": lambda: [file("inputs/..\\..\\hostile.txt")],
    "a link": lambda: [file("inputs/a", b"", tarfile.SYMTYPE, "/etc")],
    "through a link": lambda: [file("inputs/a", b"", tarfile.SYMTYPE, ".."), file("inputs/a/hostile.txt")],
    "a hard link": lambda: [file("inputs/a", b"", tarfile.LNKTYPE, "/etc/passwd")],
    "a device": lambda: [file("inputs/a", b"", tarfile.CHRTYPE)],
    "a pipe": lambda: [file("inputs/a", b"", tarfile.FIFOTYPE)],
    "a place of its own": lambda: [file("hostile/a.txt")],
    "a bare name": lambda: [file("inputs")],
    "a name that is too long": lambda: [file("inputs/" + "a" * 300)],
    "a name of megabytes": lambda: [file("inputs/" + "a/" * 100_000)],
    "a file in the place of a folder": lambda: [file("inputs/a"), file("inputs/a/b")],
    "no database": lambda: [file("inputs/a.txt")],
    "a database that is none": lambda: [file("lightrag.sqlite3", b"this is no database" * 100)],
    "an empty database file with rubbish": lambda: [file("lightrag.sqlite3", b"SQLite format 3\0" + b"\xff" * 4096)],
}


@pytest.mark.parametrize("kind", HOSTILE)
async def test_hostile_archives_are_refused_and_leave_nothing(tmp_path: Path, kind: str) -> None:
    source = packed(tmp_path / "a.tar.gz", HOSTILE[kind]())
    target = folders(tmp_path / "site", "copy")
    with pytest.raises(InvalidInput):
        await read_archive(source, target, StorageNames())
    left = names_below(tmp_path)
    assert not any(name.startswith("hostile") for name in left)
    assert set(left) <= {"a.tar.gz", "site", "data", "inputs"}


@pytest.mark.parametrize(
    "manifest",
    [
        None,
        [],
        {"format": "other"},
        {**MANIFEST, "version": 2},
        {**MANIFEST, "rows": [1]},
        {**MANIFEST, "rows": {"documents": "many"}},
        {**MANIFEST, "rows": {"documents": -1}},
        {**MANIFEST, "rows": None},
    ],
)
async def test_a_manifest_that_says_nonsense_is_refused(tmp_path: Path, manifest: object) -> None:
    source = packed(tmp_path / "a.tar.gz", [], manifest)
    with pytest.raises(InvalidInput):
        await read_archive(source, folders(tmp_path, "copy"), StorageNames())


async def test_a_manifest_of_brackets_is_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as tar:
        content = b"[" * 60_000
        tar.addfile(file("workspace.json", content)[0], io.BytesIO(content))
    with pytest.raises(InvalidInput):
        await read_archive(tmp_path / "a.tar.gz", folders(tmp_path, "copy"), StorageNames())


async def test_a_bomb_is_noticed_before_it_fills_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "_ALWAYS_ALLOWED", 1 << 20)
    source = packed(tmp_path / "a.tar.gz", [file(f"inputs/{number}", bytes(1 << 20)) for number in range(64)])
    with pytest.raises(InvalidInput, match="unpacks to more than"):
        await read_archive(source, folders(tmp_path, "copy"), StorageNames())


@pytest.mark.parametrize("damage", ["cut", "flipped", "not packed", "empty"])
async def test_a_damaged_archive_is_refused(tmp_path: Path, damage: str) -> None:
    whole = (await exported(tmp_path)).read_bytes()
    middle = len(whole) // 2
    content = {
        "cut": whole[:middle],
        "flipped": whole[:middle] + bytes(byte ^ 0xFF for byte in whole[middle : middle + 200]) + whole[middle + 200 :],
        "not packed": gzip.decompress(whole),
        "empty": b"",
    }[damage]
    (tmp_path / "b.tar.gz").write_bytes(content)
    with pytest.raises(InvalidInput):
        await read_archive(tmp_path / "b.tar.gz", folders(tmp_path / "site", "copy"), StorageNames())
    assert not (tmp_path / "site" / "data" / "copy").exists()


async def test_a_workspace_moves_from_one_family_of_storages_to_another(tmp_path: Path) -> None:
    source = await exported(tmp_path)
    target = folders(tmp_path, "copy")
    names = StorageNames("JsonKVStorage", "NanoVectorDBStorage", "NetworkXStorage", "JsonDocStatusStorage")
    await read_archive(source, target, names)
    from lightrag.storage.registry import family_named

    storage = make_storage(family_named("files"), target.data, "copy")
    await storage.open()
    assert await storage.kv(Namespace.META).get(["note"]) == {"note": {"text": "kept"}}
    await storage.close()
