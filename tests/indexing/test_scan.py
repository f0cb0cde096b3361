"""A scan loses no file, whatever happens between its steps."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from lightrag.documents.processed import free_name, move_file
from lightrag.indexing.intake import FileItem, accept_file, file_stamp
from lightrag.indexing.progress import Progress
from lightrag.indexing.scan import FolderScan, ScanRules
from lightrag.indexing.scan_log import KEPT, ScanReport
from lightrag.storage.memory import MemoryStorage
from lightrag.types import DocStatus, DocumentRecord


@pytest.fixture
async def storage() -> AsyncIterator[MemoryStorage]:
    made = MemoryStorage("")
    await made.open()
    yield made
    await made.close()


def scan_of(storage: MemoryStorage, root: Path, move_to: str = "__enqueued__") -> FolderScan:
    return FolderScan(storage, root, ScanRules((".txt",), move_to=move_to), Progress())


def stamp_of(path: Path) -> str:
    facts = path.stat()
    return file_stamp(facts.st_size, facts.st_mtime_ns)


async def processed(storage: MemoryStorage, path: Path) -> DocumentRecord:
    item = FileItem(path.name, 3, "md5", stamp=stamp_of(path))
    record = (await accept_file(storage, item, "track", "skip")).record.replace(status=DocStatus.PROCESSED)
    await storage.documents.put([record])
    return record


async def test_a_move_that_a_crash_cut_short_is_done_by_the_next_scan(storage: MemoryStorage, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("Ada")
    record = await processed(storage, path)
    # The row says where the file goes, but it did not get there.
    await storage.documents.put([record.replace(source_file="__enqueued__/a.txt")])
    assert await scan_of(storage, tmp_path).run("scan_1") == []
    assert not path.exists()
    assert (tmp_path / "__enqueued__/a.txt").read_text() == "Ada"
    found = await storage.documents.by_file_path("a.txt")
    assert found is not None
    assert found.source_file == "__enqueued__/a.txt"
    assert (await storage.documents.counts())[DocStatus.PROCESSED] == 1


async def test_a_file_that_was_replaced_meanwhile_does_not_move(storage: MemoryStorage, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("Ada")
    record = await processed(storage, path)
    path.write_text("Something quite different")
    await scan_of(storage, tmp_path).settle(record)
    assert path.read_text() == "Something quite different"


def test_a_move_never_takes_the_place_of_another_file(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("new")
    (tmp_path / "done").mkdir()
    for name in ("a.txt", "a_001.txt"):
        (tmp_path / "done" / name).write_text("old")
    target = free_name(tmp_path / "done/a.txt")
    assert target.name == "a_002.txt"
    with pytest.raises(FileExistsError):
        move_file(tmp_path / "a.txt", tmp_path / "done/a.txt")
    move_file(tmp_path / "a.txt", target)
    assert target.read_text() == "new"
    assert (tmp_path / "done/a.txt").read_text() == "old"


async def test_the_latest_scans_are_remembered_and_dead_ones_told(
    storage: MemoryStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = scan_of(storage, tmp_path).log
    for number in range(KEPT + 5):
        await log.save(ScanReport(f"scan_{number}", created_at=float(number), status="completed"))
    assert await log.find("scan_0") is None
    await log.save(ScanReport("scan_now"))
    found = await log.find("scan_now")
    assert found is not None
    assert found.status == "running"
    monkeypatch.setattr("lightrag.indexing.scan_log.SILENT_SECONDS", -1.0)
    dead = await log.find("scan_now")
    assert dead is not None
    assert dead.status == "abandoned"
