"""Which storage families there are, and how the four names of a configuration choose one.

The four kinds (key-value, vectors, graph, document status) are named one by one, as LightRAG does, but belong to one
family: they share a transaction. A family is a row of the table; its module is imported when it is chosen.
"""

from __future__ import annotations

import dataclasses
import importlib
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from lightrag.errors import ConfigurationError, InvalidInput, StorageMismatch
from lightrag.storage.choice import recorded_family
from lightrag.storage.contracts import Storage

if TYPE_CHECKING:
    from lightrag.settings import StorageSettings


@dataclasses.dataclass(frozen=True, slots=True)
class StorageNames:
    """The names of the four kinds, as users write them; an empty one follows from the others."""

    kv: str = "SQLiteKVStorage"
    vector: str = "SQLiteVectorStorage"
    graph: str = "SQLiteGraphStorage"
    doc_status: str = "SQLiteDocStatusStorage"

    @classmethod
    def of(cls, settings: StorageSettings) -> StorageNames:
        """Return the names that the settings say."""
        return cls(settings.kv, settings.vector, settings.graph, settings.doc_status)

    def __str__(self) -> str:
        return ", ".join(filter(None, dataclasses.astuple(self)))


@dataclasses.dataclass(frozen=True, slots=True)
class StorageFamily:
    """Storages that work together, and the class that makes them.

    The class is called with the workspace's folder and its name.
    """

    name: str
    names: StorageNames
    module: str
    class_name: str
    extra: str = ""
    """What to install in brackets after the distribution's name; empty where nothing more is needed."""
    markers: tuple[str, ...] = ()
    """Files that tell that a folder belongs to the family, where nothing is recorded."""


FAMILIES: tuple[StorageFamily, ...] = (
    StorageFamily("sqlite", StorageNames(), "lightrag.storage.sqlite", "SQLiteStorage", markers=("lightrag.sqlite3",)),
    StorageFamily(
        "files",
        StorageNames("JsonKVStorage", "NanoVectorDBStorage", "NetworkXStorage", "JsonDocStatusStorage"),
        "lightrag.storage.files",
        "FileStorage",
        markers=(
            "kv_store_doc_status.json",
            "kv_store_full_docs.json",
            "kv_store_text_chunks.json",
            "graph_chunk_entity_relation.graphml",
            "vdb_chunks.json",
        ),
    ),
)

_WORKSPACE = re.compile(r"\w[\w.-]{0,127}", re.ASCII)


def find_family(names: StorageNames, families: Sequence[StorageFamily] = FAMILIES) -> StorageFamily:
    """Return the family of four names; raises `ConfigurationError` for an unknown name or a mixture."""
    named = {kind: name for kind, name in dataclasses.asdict(names).items() if name}
    for kind, name in named.items():
        if not any(getattr(family.names, kind) == name for family in families):
            known = ", ".join(getattr(family.names, kind) for family in families)
            setting = f"LIGHTRAG_{kind.upper()}_STORAGE"
            raise ConfigurationError(f"{setting}={name}: there is no such storage; known: {known}")
    for family in families:
        if all(getattr(family.names, kind) == name for kind, name in named.items()):
            return family
    choices = "; ".join(str(family.names) for family in families)
    raise ConfigurationError(f"storages that do not work together: {names}; choose together: {choices}")


def family_named(name: str, families: Sequence[StorageFamily] = FAMILIES) -> StorageFamily:
    """Return a family by its name or that of one of its storages; raises `ConfigurationError` for an unknown one."""
    for family in families:
        if name == family.name or name in dataclasses.astuple(family.names):
            return family
    known = ", ".join(family.name for family in families)
    raise ConfigurationError(f"there are no storages '{name}'; known: {known}")


def choose_family(names: StorageNames, folder: Path, families: Sequence[StorageFamily] = FAMILIES) -> StorageFamily:
    """Return the family that opens a workspace's folder: that of the names, or that of the data which lie there.

    The data decide where the names are the defaults, so that a folder of LightRAG is opened as it is. Raises
    `ConfigurationError` for names that do not fit, `StorageMismatch` where other names were chosen on purpose.
    """
    wanted = find_family(names, families)
    present = family_of_folder(folder, families)
    if present is None or present == wanted.name:
        return wanted
    for family in families:
        if family.name == present and names == StorageNames():
            return family
    raise StorageMismatch(
        f"{folder}: the data of this workspace are kept by the storages '{present}', but '{wanted.name}' is configured"
        f" ({names}). Configure the former, or move the data with: lightrag migrate --from {present} --to {wanted.name}"
    )


def family_of_folder(folder: Path, families: Sequence[StorageFamily] = FAMILIES) -> str | None:
    """Return the family whose data lie in a folder: the recorded one, or the first whose files are there."""
    recorded = recorded_family(folder)
    if recorded is not None:
        return recorded
    for family in families:
        if any((folder / marker).exists() for marker in family.markers):
            return family.name
    return None


def workspace_folder(working_dir: Path, workspace: str) -> Path:
    """Return where a workspace's files lie: the working directory itself for "", else a folder in it.

    Raises `InvalidInput` for a name that could lead elsewhere.
    """
    if not workspace:
        return working_dir
    if not _WORKSPACE.fullmatch(workspace):
        raise InvalidInput(
            f"workspace name {workspace!r}: use 1 to 128 letters, digits, '_', '-' and '.', and begin with none of"
            " the last two"
        )
    return working_dir / workspace


def open_storage(
    names: StorageNames, working_dir: Path, workspace: str, families: Sequence[StorageFamily] = FAMILIES
) -> Storage:
    """Return the storage of a workspace; await its `open()` before use. See `choose_family`.

    Raises `ConfigurationError` for names that do not fit or a missing driver, `InvalidInput` for the workspace's name,
    `StorageMismatch` where the data are another family's.
    """
    folder = workspace_folder(working_dir, workspace)
    return make_storage(choose_family(names, folder, families), folder, workspace)


def make_storage(family: StorageFamily, folder: Path, workspace: str) -> Storage:
    """Return a family's storage over a folder; raises `ConfigurationError` for a missing driver."""
    try:
        module = importlib.import_module(family.module)
    except ModuleNotFoundError as error:
        if not family.extra:
            raise
        raise ConfigurationError(
            f"{family.names.kv} needs the package {error.name}: pip install 'lightrag-server[{family.extra}]'"
        ) from error
    make = cast(Callable[[Path, str], Storage], getattr(module, family.class_name))
    return make(folder, workspace)
