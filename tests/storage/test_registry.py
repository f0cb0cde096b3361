"""Choosing a storage family by its names, and where a workspace lies."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lightrag.errors import ConfigurationError, InvalidInput
from lightrag.storage.contracts import Namespace
from lightrag.storage.registry import (
    FAMILIES,
    StorageFamily,
    StorageNames,
    find_family,
    open_storage,
    workspace_folder,
)

OTHER = StorageFamily(
    "other",
    StorageNames("OtherKVStorage", "OtherVectorStorage", "OtherGraphStorage", "OtherDocStatusStorage"),
    "a_driver_that_is_not_installed",
    "OtherStorage",
    extra="other",
)


@pytest.fixture
def folder_names(tmp_path: Path) -> Callable[[], list[str]]:
    return lambda: [path.name for path in tmp_path.iterdir()]


async def test_the_default_names_open_the_embedded_storage(
    tmp_path: Path, folder_names: Callable[[], list[str]]
) -> None:
    storage = open_storage(StorageNames(), tmp_path, "tenant")
    await storage.open()
    await storage.kv(Namespace.META).put({"a": {}})
    await storage.close()
    assert (storage.family, storage.workspace) == ("sqlite", "tenant")
    assert folder_names() == ["tenant"]


def test_the_unnamed_workspace_lies_in_the_working_directory_itself(tmp_path: Path) -> None:
    assert workspace_folder(tmp_path, "") == tmp_path


@pytest.mark.parametrize("name", ["..", ".", "a/b", "../a", "/etc", "a\\b", ".hidden", "-x", "a\x00", "x" * 129, "a\n"])
def test_a_workspace_name_cannot_lead_elsewhere(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidInput, match="workspace name"):
        open_storage(StorageNames(), tmp_path, name)


def test_an_unknown_name_is_refused_with_those_that_exist() -> None:
    with pytest.raises(ConfigurationError, match=r"LIGHTRAG_GRAPH_STORAGE=Nope.*SQLiteGraphStorage"):
        find_family(StorageNames(graph="Nope"))


def test_names_of_two_families_are_refused_with_what_fits_together() -> None:
    mixed = StorageNames(vector="OtherVectorStorage")
    with pytest.raises(ConfigurationError, match=r"do not work together.*OtherKVStorage"):
        find_family(mixed, (*FAMILIES, OTHER))


def test_a_missing_driver_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"lightrag-server\[other\]"):
        open_storage(OTHER.names, tmp_path, "", (*FAMILIES, OTHER))


def test_a_family_is_imported_when_it_is_chosen() -> None:
    assert OTHER.module not in sys.modules
    assert find_family(OTHER.names, (*FAMILIES, OTHER)) is OTHER


def test_storages_that_are_not_named_follow_from_those_that_are() -> None:
    named = StorageNames(kv="", vector="", graph="NetworkXStorage", doc_status="")
    assert find_family(named).name == "files"
    with pytest.raises(ConfigurationError, match="do not work together: SQLiteKVStorage, NetworkXStorage;"):
        find_family(StorageNames(kv="SQLiteKVStorage", vector="", graph="NetworkXStorage", doc_status=""))
