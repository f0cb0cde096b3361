"""Rows that are kept as long as nothing changes."""

from __future__ import annotations

from collections.abc import Sequence

from lightrag.retrieval.recent import RecentRows


class Table:
    """A table that counts what is read of it."""

    def __init__(self, **rows: int) -> None:
        self.rows = rows
        self.number: int | None = 1
        self.asked: list[list[str]] = []

    def version(self) -> int | None:
        """Return the table's version."""
        return self.number

    async def read(self, keys: Sequence[str]) -> dict[str, int]:
        """Return rows."""
        self.asked.append(list(keys))
        return {key: self.rows[key] for key in keys if key in self.rows}


async def test_what_did_not_change_is_read_once() -> None:
    table = Table(a=1, b=2, c=3)
    rows = RecentRows(table.version, table.read, 10)
    assert await rows.get(["b", "a"]) == {"b": 2, "a": 1}
    assert await rows.get(["a", "c", "b"]) == {"a": 1, "c": 3, "b": 2}
    assert table.asked == [["b", "a"], ["c"]]


async def test_order_is_that_of_the_question() -> None:
    table = Table(a=1, b=2, c=3)
    rows = RecentRows(table.version, table.read, 10)
    await rows.get(["a"])
    assert list(await rows.get(["c", "a", "x", "b"])) == ["c", "a", "b"]


async def test_a_change_is_seen_at_once() -> None:
    table = Table(a=1)
    rows = RecentRows(table.version, table.read, 10)
    await rows.get(["a"])
    table.rows["a"], table.number = 5, 2
    assert await rows.get(["a"]) == {"a": 5}
    table.rows.clear()
    table.number = 3
    assert await rows.get(["a"]) == {}


async def test_without_a_version_nothing_is_kept() -> None:
    table = Table(a=1)
    table.number = None
    rows = RecentRows(table.version, table.read, 10)
    await rows.get(["a"])
    table.rows["a"] = 2
    assert await rows.get(["a"]) == {"a": 2}


async def test_no_more_than_the_limit_is_kept() -> None:
    table = Table(**{f"k{number}": number for number in range(100)})
    rows = RecentRows(table.version, table.read, 3)
    await rows.get(list(table.rows))
    await rows.get(["k99", "k98", "k97"])
    assert len(table.asked) == 1
    await rows.get(["k0"])
    assert table.asked[1] == ["k0"]
