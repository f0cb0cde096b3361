"""Vectors of its own in a JSON file, in nano-vectordb's form as LightRAG writes it; usable without an engine."""

from __future__ import annotations

import asyncio
import base64
import copy
import dataclasses
import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from lightrag.base import BaseVectorStorage, Row
from lightrag.errors import StorageDamaged
from lightrag.storage.contracts import FloatArray
from lightrag.storage.files.durable import write_durably
from lightrag.storage.files.json_files import parsed_object
from lightrag.storage.files.vdb import matrix_of
from lightrag.utils import compute_mdhash_id


@dataclasses.dataclass
class NanoVectorDBStorage(BaseVectorStorage):
    """Vectors with fields beside them, held in memory and written by `index_done_callback`.

    `global_config` may set `embedding_batch_num` and, under `vector_db_storage_cls_kwargs`,
    `cosine_better_than_threshold`. Of each row the fields named in `meta_fields` are kept.
    """

    def __post_init__(self) -> None:
        folder = Path(self.global_config.get("working_dir", ".")) / self.workspace
        given = self.global_config.get("vector_db_storage_cls_kwargs", {})
        self.cosine_better_than_threshold = given.get("cosine_better_than_threshold", self.cosine_better_than_threshold)
        self._path = folder / f"vdb_{self.namespace}.json"
        self._batch = max(1, int(self.global_config.get("embedding_batch_num", 10)))
        self._rows: dict[str, Row] = {}
        self._vectors: dict[str, FloatArray] = {}

    async def initialize(self) -> None:
        """Read the file, where there is one. Raises `StorageDamaged`, also for vectors of another length."""
        if self._path.exists():
            self._rows, self._vectors = await asyncio.to_thread(_read, self._path, self.embedding_func.embedding_dim)

    async def finalize(self) -> None:
        """Write the file."""
        await self.index_done_callback()

    async def index_done_callback(self) -> None:
        """Write the file, atomically."""
        content = _content(self.embedding_func.embedding_dim, self._rows, self._vectors)
        temporary = self._path.with_suffix(".json.new")

        def write() -> None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_durably(temporary, [content])
            temporary.replace(self._path)

        await asyncio.to_thread(write)

    async def query(self, query: str, top_k: int, query_embedding: list[float] | None = None) -> list[Row]:
        """Return the nearest rows, best first: their fields, `id`, `distance` (the cosine) and `created_at`."""
        if not self._vectors or top_k < 1:
            return []
        wanted = (await self.embedding_func([query]))[0] if query_embedding is None else query_embedding
        ids = list(self._vectors)
        cosines = np.stack([self._vectors[id] for id in ids]) @ _unit(np.asarray(wanted, np.float32))
        nearest = np.argsort(-cosines, kind="stable")[:top_k]
        return [
            {**self._row(ids[place]), "id": ids[place], "distance": float(cosines[place])}
            for place in nearest
            if cosines[place] >= self.cosine_better_than_threshold
        ]

    async def upsert(self, data: dict[str, Row]) -> None:
        """Embed and store rows; each has `content`. Nothing is stored where a call of the model fails."""
        texts = [row["content"] for row in data.values()]
        batches = [texts[start : start + self._batch] for start in range(0, len(texts), self._batch)]
        embedded = [vector for batch in batches for vector in await self.embedding_func(batch)]
        now = int(time.time())
        for (id, row), vector in zip(data.items(), embedded, strict=True):
            kept = {name: copy.deepcopy(value) for name, value in row.items() if name in self.meta_fields}
            self._rows[id] = {"__id__": id, "__created_at__": now, **kept}
            self._vectors[id] = _unit(np.asarray(vector, np.float32))

    async def delete_entity(self, entity_name: str) -> None:
        """Remove an entity's row."""
        await self.delete([compute_mdhash_id(entity_name, prefix="ent-")])

    async def delete_entity_relation(self, entity_name: str) -> None:
        """Remove the rows of an entity's relations."""
        ends = ("src_id", "tgt_id")
        await self.delete([id for id, row in self._rows.items() if entity_name in [row.get(end) for end in ends]])

    async def get_by_id(self, id: str) -> Row | None:
        """Return a row."""
        return {**self._row(id), "id": id} if id in self._rows else None

    async def get_by_ids(self, ids: list[str]) -> list[Row | None]:
        """Return rows in the order of `ids`."""
        return [await self.get_by_id(id) for id in ids]

    async def delete(self, ids: list[str]) -> None:
        """Remove rows."""
        for id in ids:
            self._rows.pop(id, None)
            self._vectors.pop(id, None)

    async def get_vectors_by_ids(self, ids: list[str]) -> dict[str, list[float]]:
        """Return vectors, of length 1, by id."""
        return {id: self._vectors[id].tolist() for id in ids if id in self._vectors}

    async def drop(self) -> dict[str, str]:
        """Delete everything, the file too."""
        self._rows.clear()
        self._vectors.clear()
        self._path.unlink(missing_ok=True)
        return {"status": "success", "message": "data dropped"}

    def _row(self, id: str) -> Row:
        row = copy.deepcopy(self._rows[id])
        return {**row, "created_at": row.get("__created_at__")}


def _read(path: Path, dimension: int) -> tuple[dict[str, Row], dict[str, FloatArray]]:
    content = parsed_object(path, path.read_bytes())
    records: Any = content.get("data")
    if content.get("embedding_dim") != dimension:
        raise StorageDamaged(
            f"{path} holds vectors of {content.get('embedding_dim')} dimensions, the embedding function makes "
            f"{dimension}: use the model that the file was made with, or another working directory"
        )
    if not isinstance(records, list) or not all(isinstance(record, dict) and "__id__" in record for record in records):
        raise StorageDamaged(f"{path}: a record without its id. Restore the file from a backup")
    vectors = matrix_of(path, content.get("matrix"), records, dimension)
    rows = {record["__id__"]: {name: value for name, value in record.items() if name != "vector"} for record in records}
    return rows, {record["__id__"]: vector for record, vector in zip(records, vectors, strict=True)}


def _content(dimension: int, rows: dict[str, Row], vectors: dict[str, FloatArray]) -> bytes:
    data = [
        {**row, "vector": base64.b64encode(zlib.compress(vectors[id].astype("<f2").tobytes())).decode()}
        for id, row in rows.items()
    ]
    matrix = b"".join(np.ascontiguousarray(vectors[id], "<f4").tobytes() for id in rows)
    return orjson.dumps({"embedding_dim": dimension, "data": data, "matrix": base64.b64encode(matrix).decode()})


def _unit(vector: FloatArray) -> FloatArray:
    length = float(np.linalg.norm(vector))
    return vector / length if length else vector
