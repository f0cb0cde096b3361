"""Which storage family a workspace's folder belongs to, as recorded in it or told by the files that lie there."""

from __future__ import annotations

from pathlib import Path

import orjson

from lightrag.errors import StorageDamaged

RECORD = "lightrag_storage.json"


def recorded_family(folder: Path) -> str | None:
    """Return the family that a folder was used with last; None where that is not recorded."""
    path = folder / RECORD
    if not path.exists():
        return None
    try:
        return str(orjson.loads(path.read_bytes())["family"])
    except (ValueError, KeyError, TypeError) as error:
        raise StorageDamaged(f'{path}: damaged. Write {{"family": "sqlite"}} or the like into it') from error


def record_family(folder: Path, family: str) -> None:
    """Record the family of a folder."""
    path = folder / RECORD
    if recorded_family(folder) != family:
        temporary = path.with_name(f"{RECORD}.new")
        temporary.write_bytes(orjson.dumps({"family": family}) + b"\n")
        temporary.replace(path)
