"""The vectors of one kind in one array, and the exact scan over it."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Collection, Iterator, Sequence

import numpy as np

from lightrag.errors import InvalidInput, StorageMismatch
from lightrag.storage.contracts import FloatArray, Hit


@dataclasses.dataclass(slots=True)
class _Pin:
    """Counts those who read an array outside the event loop; while there are any, it is copied before it changes."""

    readers: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class MatrixSnapshot:
    """Vectors at one moment: row i of `rows` belongs to `keys[i]`."""

    keys: Sequence[str]
    rows: FloatArray
    places: dict[str, int]

    def search(
        self, units: FloatArray, top_k: int, threshold: float, within: Collection[str] | None
    ) -> list[list[Hit]]:
        """Return for each unit vector the `top_k` best hits not below `threshold`, best first, ties by key."""
        keys, rows = self.keys, self.rows
        if within is not None:
            chosen = [self.places[key] for key in set(within) if key in self.places]
            keys, rows = [self.keys[place] for place in chosen], self.rows[chosen]
        if not len(keys):
            return [[] for _ in units]
        return [_best(keys, (rows @ unit).clip(-1.0, 1.0), top_k, threshold) for unit in units]


def _best(keys: Sequence[str], scores: FloatArray, top_k: int, threshold: float) -> list[Hit]:
    # All that tie with the last that fits are looked at, for keys decide.
    least = np.partition(scores, len(scores) - top_k)[-top_k] if top_k < len(scores) else -1.0
    places = np.flatnonzero(scores >= max(threshold, float(least)))
    hits = [Hit(keys[place], float(scores[place])) for place in places.tolist()]
    return sorted(hits, key=lambda hit: (-hit.score, hit.key))[:top_k]


class Matrix:
    """Vectors by key, in no particular order."""

    def __init__(self) -> None:
        self._keys: list[str] = []
        self._places: dict[str, int] = {}
        self._rows: FloatArray = np.empty((0, 0), np.float32)
        self._pin = _Pin()

    @property
    def dimension(self) -> int | None:
        """The length of the vectors; None where there are none."""
        return self._rows.shape[1] if self._keys else None

    def get(self, key: str) -> FloatArray:
        """Return the vector of a key that is there."""
        vector: FloatArray = self._rows[self._places[key]].copy()
        return vector

    def change(self, gone: Collection[str], changed: dict[str, FloatArray]) -> None:
        """Remove and put vectors; all have the same length."""
        if not gone and not changed:
            return
        self._detach()
        for key in gone:
            self._remove(key)
        if changed:
            self._put(changed)

    def snapshot(self) -> MatrixSnapshot:
        """Return the vectors as they are; valid until they change, or as long as it is `pinned`."""
        return MatrixSnapshot(self._keys, self._rows[: len(self._keys)], self._places)

    @contextlib.contextmanager
    def pinned(self) -> Iterator[MatrixSnapshot]:
        """Yield the vectors as they are; changes meanwhile do not touch them."""
        pin = self._pin
        pin.readers += 1
        try:
            yield self.snapshot()
        finally:
            pin.readers -= 1

    def _detach(self) -> None:
        if self._pin.readers:
            self._keys, self._places, self._rows = list(self._keys), dict(self._places), self._rows.copy()
            self._pin = _Pin()

    def _remove(self, key: str) -> None:
        place = self._places.pop(key, None)
        if place is None:
            return
        last = self._keys.pop()
        if last != key:
            self._keys[place] = last
            self._places[last] = place
            self._rows[place] = self._rows[len(self._keys)]

    def _put(self, changed: dict[str, FloatArray]) -> None:
        fresh = [key for key in changed if key not in self._places]
        needed = len(self._keys) + len(fresh)
        dimension = len(next(iter(changed.values())))
        if needed > len(self._rows) or (self._rows.shape[1] != dimension and not self._keys):
            rows = np.empty((max(needed, len(self._rows) * 3 // 2), dimension), np.float32)
            if self._keys:
                rows[: len(self._keys)] = self._rows[: len(self._keys)]
            self._rows = rows
        for key in fresh:
            self._places[key] = len(self._keys)
            self._keys.append(key)
        for key, vector in changed.items():
            self._rows[self._places[key]] = vector


def unit_rows(vectors: Sequence[FloatArray] | FloatArray, dimension: int | None) -> FloatArray:
    """Return float32 rows of length 1 (zero rows stay).

    Raises `StorageMismatch` for vectors of another length, `InvalidInput` for numbers that are not finite.
    """
    if dimension is None:
        raise StorageMismatch("the length of vectors has not been fixed; call set_dimension first")
    wrong = next((vector.shape for vector in vectors if vector.shape != (dimension,)), None)
    if wrong is not None:
        raise StorageMismatch(
            f"a vector of shape {wrong} does not fit this workspace, whose vectors have {dimension} numbers; use the"
            " embedding model that it was made with, or embed it anew: lightrag repair --re-embed"
        )
    rows = np.asarray(vectors, np.float32).reshape(-1, dimension)
    if not np.isfinite(rows).all():
        raise InvalidInput("a vector holds a number that is not finite; check the embedding model")
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.ascontiguousarray(rows / np.where(norms > 0, norms, np.float32(1)))
