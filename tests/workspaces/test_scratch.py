"""Temporary folders of archives: what a killed process has left is removed, and nothing else."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from lightrag.workspaces.scratch import Scratch, remove_lost


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of temporary files."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def aged(folder: Path) -> Path:
    os.utime(folder, (1, 1))
    return folder


def test_what_a_killed_process_left_is_removed_and_what_is_used_stays(temporary: Path) -> None:
    used = Scratch("export")
    (used.folder / "a.tar.gz").write_bytes(b"data")
    lost = temporary / "lightrag-import-x"
    (lost / "lightrag-import-y").mkdir(parents=True)
    (lost / "archive.tar.gz").write_bytes(b"data of a tenant")
    new = temporary / "lightrag-export-z"
    new.mkdir()
    other = temporary / "lightrag-other"
    other.mkdir()
    for folder in (used.folder, lost, other):
        aged(folder)
    assert remove_lost() == 1
    assert sorted(temporary.iterdir()) == sorted([used.folder, new, other])
    used.remove()
    assert not used.folder.exists()


def test_links_among_temporary_files_are_not_followed(
    temporary: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("outside")
    (outside / "mine").write_text("mine")
    (temporary / "lightrag-import-link").symlink_to(outside)
    aged(outside)
    assert remove_lost() == 0
    assert [path.name for path in outside.iterdir()] == ["mine"]
