"""The vector files: nano-vectordb's JSON with LightRAG's fields.

`{"embedding_dim": n, "data": [record], "matrix": base64}`: row i of the matrix (little-endian float32, length 1)
belongs to record i. A record holds `__id__`, `__created_at__`, the fields of its kind, and in newer versions `vector`:
base64 of the zlib-compressed float16 numbers. `content_hash` is ours: it is gone as soon as LightRAG replaces the
record, which tells that the vector is another.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import zlib
from collections.abc import Callable, Iterable, Iterator
from hashlib import md5
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from lightrag.storage.contracts import FloatArray, VectorKind
from lightrag.storage.files.json_files import damaged, parsed_object
from lightrag.storage.files.matrix import MatrixSnapshot
from lightrag.storage.files.rows import VectorItem
from lightrag.types import FIELD_SEPARATOR, JsonObject

HASH_FIELD = "content_hash"
_ENCODED_AT_ONCE = 1024


@dataclasses.dataclass(frozen=True, slots=True)
class StoredVector:
    """One record as it was read."""

    key: str
    created_at: int
    content: str
    content_hash: str | None
    """None where LightRAG wrote the record."""
    vector: FloatArray


def fields_of(kind: VectorKind, key: str) -> JsonObject:
    """Return `__id__` and the fields by which LightRAG finds a record of this key."""
    if kind is VectorKind.ENTITIES:
        return {"__id__": f"ent-{_md5(key)}", "entity_name": key}
    if kind is VectorKind.RELATIONS:
        source, _, target = key.partition(FIELD_SEPARATOR)
        return {"__id__": f"rel-{_md5(source + target)}", "src_id": source, "tgt_id": target}
    return {"__id__": key}


def vdb_pieces(
    kind: VectorKind,
    dimension: int,
    matrix: MatrixSnapshot,
    items: dict[str, VectorItem],
    describe: Callable[[str], JsonObject],
) -> Iterator[bytes]:
    """Yield a vector file in pieces; `describe` gives the fields of a key that come from elsewhere."""
    yield b'{"embedding_dim": %d, "data": [' % dimension
    separator = b""
    for place, key in enumerate(matrix.keys):
        item = items[key]
        record = {
            "__created_at__": item.created_at,
            **fields_of(kind, key),
            **describe(key),
            "vector": base64.b64encode(zlib.compress(matrix.rows[place].astype("<f2").tobytes())).decode(),
            HASH_FIELD: item.content_hash,
        }
        yield separator + orjson.dumps(record)
        separator = b", "
    yield b'], "matrix": "'
    # Base64 of parts can be joined where each part is a multiple of three bytes.
    for start in range(0, len(matrix.keys), 3 * _ENCODED_AT_ONCE):
        part = matrix.rows[start : start + 3 * _ENCODED_AT_ONCE]
        yield base64.b64encode(np.ascontiguousarray(part, "<f4").tobytes())
    yield b'"}'


def read_vdb(path: Path, kind: VectorKind, data: bytes) -> tuple[int, list[StoredVector]]:
    """Return the dimension and the records of a vector file; raises `StorageDamaged`."""
    content = parsed_object(path, data)
    records, dimension = content.get("data"), content.get("embedding_dim")
    if not isinstance(records, list) or not isinstance(dimension, int) or dimension <= 0:
        raise damaged(path, "'data' or 'embedding_dim' is missing")
    rows = matrix_of(path, content.get("matrix"), records, dimension)
    found: dict[str, StoredVector] = {}
    for record, vector in zip(records, rows, strict=True):
        key = _key(path, kind, record)
        created = record.get("__created_at__")
        digest = record.get(HASH_FIELD)
        found[key] = StoredVector(
            key,
            int(created) if isinstance(created, (int, float)) else 0,
            str(record.get("content") or ""),
            digest if isinstance(digest, str) else None,
            vector,
        )
    return dimension, list(found.values())


def matrix_of(path: Path, text: Any, records: list[Any], dimension: int) -> FloatArray:
    """Return the unit vectors of a file's records; raises `StorageDamaged`."""
    try:
        if isinstance(text, str):
            numbers = np.frombuffer(base64.b64decode(text, validate=True), "<f4")
        else:
            numbers = _from_records(records)
    except (ValueError, KeyError, TypeError, binascii.Error, zlib.error) as error:
        raise damaged(path, f"the matrix cannot be read ({error})") from error
    if numbers.size != len(records) * dimension:
        raise damaged(
            path,
            f"the matrix holds {numbers.size} numbers, {len(records)} records of {dimension} numbers need"
            f" {len(records) * dimension}",
        )
    rows = np.nan_to_num(numbers.reshape(-1, dimension).astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    # What is of length 1 already stays as it is to the last bit.
    norms[(np.abs(norms - 1) < 1e-5) | (norms == 0)] = 1
    scaled: FloatArray = rows / norms
    return scaled


def _from_records(records: Iterable[JsonObject]) -> FloatArray:
    """Return the numbers from the compressed copies in the records."""
    rows = [np.frombuffer(zlib.decompress(base64.b64decode(record["vector"])), "<f2") for record in records]
    return np.concatenate(rows).astype(np.float32) if rows else np.empty(0, np.float32)


def _key(path: Path, kind: VectorKind, record: Any) -> str:
    if isinstance(record, dict):
        if kind is VectorKind.CHUNKS and isinstance(record.get("__id__"), str):
            return str(record["__id__"])
        if kind is VectorKind.ENTITIES and isinstance(record.get("entity_name"), str):
            return str(record["entity_name"])
        source, target = record.get("src_id"), record.get("tgt_id")
        if kind is VectorKind.RELATIONS and isinstance(source, str) and isinstance(target, str):
            return FIELD_SEPARATOR.join(sorted((source, target))) if target else source
    raise damaged(path, f"a record without its name: {str(record)[:120]}")


def _md5(text: str) -> str:
    return md5(text.encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest()
