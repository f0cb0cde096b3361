"""The data that lie in a folder decide which storages open it, unless others were chosen on purpose."""

from __future__ import annotations

from pathlib import Path

import pytest

from lightrag.errors import ConfigurationError, StorageDamaged, StorageMismatch
from lightrag.storage.choice import RECORD, record_family, recorded_family
from lightrag.storage.contracts import Namespace, Storage
from lightrag.storage.registry import StorageNames, family_named, find_family, open_storage
from tests.storage.files.eras import ERAS, write_era

FILES = StorageNames("JsonKVStorage", "NanoVectorDBStorage", "NetworkXStorage", "JsonDocStatusStorage")


async def used(storage: Storage) -> str:
    await storage.open()
    await storage.kv(Namespace.META).put({"a": {}})
    await storage.close()
    return storage.family


@pytest.mark.parametrize("era", ERAS)
async def test_a_folder_of_lightrag_is_opened_as_it_is(tmp_path: Path, era: str) -> None:
    write_era(tmp_path / "tenant", era)
    assert await used(open_storage(StorageNames(), tmp_path, "tenant")) == "files"
    assert recorded_family(tmp_path / "tenant") == "files"
    assert await used(open_storage(StorageNames(), tmp_path, "other")) == "sqlite"


async def test_names_choose_where_nothing_lies(tmp_path: Path) -> None:
    assert await used(open_storage(FILES, tmp_path, "")) == "files"
    assert await used(open_storage(StorageNames(), tmp_path, "")) == "files"


async def test_another_choice_later_is_refused_with_the_way_out(tmp_path: Path) -> None:
    await used(open_storage(StorageNames(), tmp_path, ""))
    with pytest.raises(StorageMismatch, match="lightrag migrate --from sqlite --to files"):
        open_storage(FILES, tmp_path, "")


async def test_sqlite_beside_files_of_lightrag_goes_first(tmp_path: Path) -> None:
    await used(open_storage(StorageNames(), tmp_path, ""))
    write_era(tmp_path, "M")
    assert open_storage(StorageNames(), tmp_path, "").family == "sqlite"


async def test_what_is_recorded_goes_before_what_lies_there(tmp_path: Path) -> None:
    write_era(tmp_path, "M")
    record_family(tmp_path, "sqlite")
    assert open_storage(StorageNames(), tmp_path, "").family == "sqlite"
    with pytest.raises(StorageMismatch):
        open_storage(FILES, tmp_path, "")
    (tmp_path / RECORD).write_text("{")
    with pytest.raises(StorageDamaged, match=RECORD):
        open_storage(StorageNames(), tmp_path, "")


def test_families_are_found_by_any_of_their_names() -> None:
    assert find_family(FILES).name == "files"
    assert family_named("NetworkXStorage").name == family_named("files").name == "files"
    with pytest.raises(ConfigurationError, match="known: sqlite, files"):
        family_named("Nope")
    with pytest.raises(ConfigurationError, match="do not work together"):
        find_family(StorageNames(kv="JsonKVStorage"))
