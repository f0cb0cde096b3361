"""A key-value store of its own in a JSON file, in LightRAG's form; usable without an engine."""

from __future__ import annotations

import asyncio
import copy
import dataclasses
import json
import time
from pathlib import Path

from lightrag.base import BaseKVStorage, Row
from lightrag.errors import StorageDamaged
from lightrag.storage.files.durable import write_durably


@dataclasses.dataclass
class JsonKVStorage(BaseKVStorage):
    """Rows by id, held in memory and written by `index_done_callback`. What is handed out are copies."""

    def __post_init__(self) -> None:
        folder = Path(self.global_config.get("working_dir", ".")) / self.workspace
        self._path = folder / f"kv_store_{self.namespace}.json"
        self._rows: dict[str, Row] = {}

    async def initialize(self) -> None:
        """Read the file, where there is one. Raises `StorageDamaged`."""
        if not self._path.exists():
            return
        try:
            self._rows = json.loads(await asyncio.to_thread(self._path.read_text, "utf-8"))
        except ValueError as error:
            raise StorageDamaged(f"{self._path}: no valid JSON ({error}). Restore it from a backup") from error

    async def finalize(self) -> None:
        """Write the file."""
        await self.index_done_callback()

    async def index_done_callback(self) -> None:
        """Write the file, atomically."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(self._rows, indent=2, ensure_ascii=False).encode("utf-8", "replace")
        temporary = self._path.with_suffix(".json.new")

        def write() -> None:
            write_durably(temporary, [text])
            temporary.replace(self._path)

        await asyncio.to_thread(write)

    async def get_by_id(self, id: str) -> Row | None:
        """Return a row."""
        row = self._rows.get(id)
        return None if row is None else {**copy.deepcopy(row), "_id": id}

    async def get_by_ids(self, ids: list[str]) -> list[Row | None]:
        """Return rows in the order of `ids`."""
        return [await self.get_by_id(id) for id in ids]

    async def filter_keys(self, keys: set[str]) -> set[str]:
        """Return the keys that are not present."""
        return set(keys) - self._rows.keys()

    async def upsert(self, data: dict[str, Row]) -> None:
        """Insert or replace rows; each keeps the time at which it was made."""
        now = int(time.time())
        for id, row in data.items():
            made = self._rows.get(id, {}).get("create_time", now)
            self._rows[id] = {**copy.deepcopy(row), "create_time": made, "update_time": now, "_id": id}

    async def delete(self, ids: list[str]) -> None:
        """Remove rows."""
        for id in ids:
            self._rows.pop(id, None)

    async def is_empty(self) -> bool:
        """Whether there is no row."""
        return not self._rows

    async def drop(self) -> dict[str, str]:
        """Delete everything, the file too."""
        self._rows.clear()
        self._path.unlink(missing_ok=True)
        return {"status": "success", "message": "data dropped"}
