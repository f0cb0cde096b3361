"""Looking through the input folder, and taking uploads into it."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from lightrag.documents import threads
from lightrag.documents.folder import scan_folder
from lightrag.documents.formats import SUPPORTED_SUFFIXES
from lightrag.documents.uploads import remove_abandoned_parts, store_upload
from lightrag.errors import Conflict, StorageUnavailable, TooLarge


def write(path: Path, text: str = "text") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


async def names(root: Path, **options: object) -> list[str]:
    return [file.relative_path for file in await scan_folder(root, SUPPORTED_SUFFIXES, **options)]  # type: ignore[arg-type]


async def stream(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


async def test_files_of_all_depths_in_order(tmp_path: Path) -> None:
    for name in ("b.txt", "a/readme.md", "a/deep/er/x.PDF", "readme.md", "picture.png", "noext"):
        write(tmp_path / name)
    assert await names(tmp_path) == ["a/deep/er/x.PDF", "a/readme.md", "b.txt", "readme.md"]


async def test_what_is_not_a_document_is_passed_over(tmp_path: Path) -> None:
    for name in (
        *(".hidden.txt", ".git/x.txt", "__enqueued__/old.txt", "a/__parsed__/old.txt", ".ab.part", "x.txt.part"),
        *("~$open.docx", "backup.txt~", "y.txt.crdownload", "tenant/theirs.txt"),
    ):
        write(tmp_path / name)
    (tmp_path / "folder.txt").mkdir()
    os.mkfifo(tmp_path / "pipe.txt")
    write(tmp_path / "mine.txt")
    assert await names(tmp_path, skip_folders={"tenant"}) == ["mine.txt"]


async def test_links_out_of_the_folder_are_passed_over(tmp_path: Path) -> None:
    root = tmp_path / "inputs"
    write(tmp_path / "secret.txt")
    write(root / "mine.txt")
    (root / "out.txt").symlink_to(tmp_path / "secret.txt")
    (root / "gone.txt").symlink_to(root / "missing.txt")
    (root / "self.txt").symlink_to(root / "self.txt")
    (root / "loop").symlink_to(root)
    (root / "in.txt").symlink_to(root / "mine.txt")
    assert await names(root) == ["in.txt", "mine.txt"]


async def test_a_folder_that_does_not_exist_holds_nothing(tmp_path: Path) -> None:
    assert await names(tmp_path / "none") == []


async def test_found_files_tell_size_time_and_hash(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", "hello")
    (found,) = await scan_folder(tmp_path, [".txt"])
    assert (found.size, found.mtime_ns) == (5, path.stat().st_mtime_ns)
    assert await found.md5() == hashlib.md5(b"hello").hexdigest()


async def test_an_upload_is_stored_whole(tmp_path: Path) -> None:
    target = tmp_path / "new" / "a.bin"
    pieces = [bytes([number]) * 300_000 for number in range(10)]
    stored = await store_upload(stream(*pieces), target, max_bytes=3_000_000)
    assert target.read_bytes() == b"".join(pieces)
    assert stored == (3_000_000, hashlib.md5(b"".join(pieces)).hexdigest())
    assert os.listdir(target.parent) == ["a.bin"]


async def test_an_existing_file_is_kept_unless_asked(tmp_path: Path) -> None:
    target = write(tmp_path / "a.txt", "old")
    with pytest.raises(Conflict, match=r"File 'a\.txt' already exists"):
        await store_upload(stream(b"new"), target, 100)
    assert target.read_text() == "old"
    await store_upload(stream(b"new"), target, 100, overwrite=True)
    assert target.read_text() == "new"
    assert os.listdir(tmp_path) == ["a.txt"]


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (errno.ENOSPC, r"'a\.txt' cannot be stored in .*: No space left on device; free some space"),
        (errno.EROFS, r"'a\.txt' cannot be stored in .*: Read-only file system; make the folder writable"),
    ],
)
async def test_a_folder_that_cannot_be_written_to_is_told_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, message: str
) -> None:
    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(StorageUnavailable, match=message):
        await store_upload(stream(b"new"), tmp_path / "a.txt", 100)
    assert os.listdir(tmp_path) == []


async def test_of_two_uploads_under_one_name_one_wins_whole(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    outcomes = await asyncio.gather(
        *(store_upload(stream(*[letter * 100_000] * 20), target, 10_000_000) for letter in (b"a", b"b")),
        return_exceptions=True,
    )
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Conflict", "StoredUpload"]
    assert len(set(target.read_bytes())) == 1
    assert os.listdir(tmp_path) == ["a.txt"]


async def test_a_file_system_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError("no hard links here")

    monkeypatch.setattr(os, "link", refuse)
    target = tmp_path / "a.txt"
    await store_upload(stream(b"one"), target, 100)
    with pytest.raises(Conflict):
        await store_upload(stream(b"two"), target, 100)
    assert target.read_bytes() == b"one"
    assert os.listdir(tmp_path) == ["a.txt"]


async def test_an_upload_that_is_too_large_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(TooLarge, match=r"File too large\. Maximum size: 1\.0MB"):
        await store_upload(stream(*[bytes(300_000)] * 4), tmp_path / "a.txt", 1024 * 1024)
    assert os.listdir(tmp_path) == []


async def test_an_upload_that_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield bytes(2_000_000)
        raise ConnectionResetError("client went away")

    with pytest.raises(ConnectionResetError):
        await store_upload(broken(), tmp_path / "a.txt", 10_000_000)
    assert os.listdir(tmp_path) == []


async def test_a_cancelled_upload_leaves_nothing(tmp_path: Path) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield bytes(1_000_000)
            await asyncio.sleep(0)

    task = asyncio.create_task(store_upload(endless(), tmp_path / "a.txt", 10**12))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("step", ["make the folder", "open", "write", "finish"])
async def test_an_upload_that_is_cancelled_while_a_thread_works_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    steps = iter(["make the folder", "open", "write", "finish"])

    async def in_thread(function: Callable[..., object], /, *args: object) -> object:
        task = asyncio.current_task()
        if next(steps) == step and task is not None:
            task.cancel()
        return await threads.in_thread(function, *args)

    monkeypatch.setattr("lightrag.documents.uploads.in_thread", in_thread)
    with pytest.raises(asyncio.CancelledError):
        await asyncio.create_task(store_upload(stream(b"one"), tmp_path / "a.txt", 100))
    assert os.listdir(tmp_path) == []


async def test_parts_of_a_killed_server_are_removed_once_old(tmp_path: Path) -> None:
    old, young = write(tmp_path / "sub" / ".old.part"), write(tmp_path / ".young.part")
    os.utime(old, (0, 0))
    assert await remove_abandoned_parts(tmp_path) == 1
    assert not old.exists()
    assert young.exists()
