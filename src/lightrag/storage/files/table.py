"""Rows by key in memory, with layers over them: what a transaction changes is kept apart until it is taken in."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

K = TypeVar("K", bound=str | tuple[str, str])
V = TypeVar("V")


class Table(Generic[K, V]):
    """Rows by key. A layer shows the rows of its parent with its own changes; values are never changed in place.

    Only layers are written to; the bottom table takes in whole layers. So what a reader of the bottom table holds
    stays as it is.
    """

    def __init__(self, parent: Table[K, V] | None = None) -> None:
        self._parent: Table[K, V] | None = parent
        self._rows: dict[K, V] = {}
        self._gone: set[K] = set()
        self._ordered: list[K] | None = None

    def layer(self) -> Table[K, V]:
        """Return a layer over this table."""
        return Table(self)

    def get(self, key: K) -> V | None:
        """Return a row, or None."""
        table: Table[K, V] | None = self
        while table is not None:
            if key in table._rows:
                return table._rows[key]
            if key in table._gone:
                return None
            table = table._parent
        return None

    def __contains__(self, key: K) -> bool:
        table: Table[K, V] | None = self
        while table is not None:
            if key in table._rows:
                return True
            if key in table._gone:
                return False
            table = table._parent
        return False

    def __len__(self) -> int:
        if self._parent is None:
            return len(self._rows)
        added = sum(key not in self._parent for key in self._rows)
        return len(self._parent) - len(self._gone) + added

    def items(self) -> Iterator[tuple[K, V]]:
        """Yield all rows in no particular order."""
        if self._parent is not None:
            for key, value in self._parent.items():
                if key not in self._rows and key not in self._gone:
                    yield key, value
        yield from self._rows.items()

    def values(self) -> Iterator[V]:
        """Return all rows without their keys."""
        return map(operator.itemgetter(1), self.items())

    def __iter__(self) -> Iterator[K]:
        """Yield all keys in no particular order."""
        if self._parent is not None:
            for key in self._parent:
                if key not in self._rows and key not in self._gone:
                    yield key
        yield from self._rows

    def ordered(self) -> list[K]:
        """Return all keys in order; not to be changed by the caller."""
        if self._ordered is None:
            if self._parent is not None and not self._rows and not self._gone:
                return self._parent.ordered()
            self._ordered = sorted(self)
        return self._ordered

    def put(self, key: K, value: V) -> None:
        """Insert or replace a row."""
        if key not in self._rows:
            self._ordered = None
        self._rows[key] = value
        self._gone.discard(key)

    def remove(self, key: K) -> None:
        """Remove a row, if it is there."""
        if key in self._rows:
            del self._rows[key]
            self._ordered = None
        if self._parent is not None and key not in self._gone and key in self._parent:
            self._gone.add(key)
            self._ordered = None

    def clear(self) -> None:
        """Remove all rows."""
        self._rows.clear()
        self._gone = set(self._parent) if self._parent is not None else set()
        self._ordered = None

    def own(self, key: K, copy: Callable[[V | None], V]) -> V:
        """Return a value that only this layer holds and that may be changed in place: `copy` of what is there."""
        if key in self._rows:
            return self._rows[key]
        value = copy(self.get(key))
        self.put(key, value)
        return value

    @property
    def is_layer(self) -> bool:
        """Whether this table lies over another."""
        return self._parent is not None

    @property
    def has_changes(self) -> bool:
        """Whether this layer changes anything."""
        return bool(self._rows or self._gone)

    @property
    def changed(self) -> dict[K, V]:
        """The rows that this layer holds."""
        return self._rows

    @property
    def gone(self) -> set[K]:
        """The keys that this layer hides."""
        return self._gone

    def absorb(self, layer: Table[K, V]) -> None:
        """Take in the changes of a layer over this table."""
        for key in layer._gone:
            self.remove(key)
        for key, value in layer._rows.items():
            self.put(key, value)

    def copy(self) -> dict[K, V]:
        """Return all rows of a bottom table in a dictionary of their own."""
        return dict(self._rows)


def copied_list(value: list[V] | None) -> list[V]:
    """Return a list with the same items."""
    return list(value) if value is not None else []


def copied_dict(value: dict[str, V] | None) -> dict[str, V]:
    """Return a dictionary with the same items."""
    return dict(value) if value is not None else {}
