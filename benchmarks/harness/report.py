"""The table of figures, their ratios and the bars that they are held against."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.table import Table

Result = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Bar:
    """A limit on our figure, or on its ratio to the peer's."""

    limit: float
    of_ratio: bool = False
    at_least: bool = False

    def text(self) -> str:
        """Return the bar as it stands in the table."""
        sign = "≥" if self.at_least else "≤"
        return f"{'ratio ' if self.of_ratio else ''}{sign} {self.limit:.3g}"

    def holds(self, ours: float, ratio: float | None) -> bool | None:
        """Return whether the bar is met; None where there is no peer to compare with."""
        value = ratio if self.of_ratio else ours
        if value is None:
            return None
        return value >= self.limit if self.at_least else value <= self.limit


@dataclasses.dataclass(frozen=True)
class Row:
    """One figure of both servers; where several bars are set, all must hold."""

    name: str
    ours: float | None
    peer: float | None = None
    bar: Bar | None = None

    @property
    def ratio(self) -> float | None:
        """Return ours ÷ peer's."""
        return self.ours / self.peer if self.ours is not None and self.peer else None

    @property
    def holds(self) -> bool | None:
        """Return whether the bar is met; None where there is none, or nothing to judge."""
        if self.bar is None or self.ours is None:
            return None
        return self.bar.holds(self.ours, self.ratio)


def rows(results: dict[str, Result]) -> Iterator[Row]:
    """Turn the results of `ours` and `peer` into the rows of the table."""
    ours, peer = results.get("ours", {}), results.get("peer", {})
    yield from _index_rows(ours, peer)
    yield from _growth_rows(ours)
    yield from _query_rows(ours, peer, "queries", at_size=False)
    yield from _query_rows(ours, peer, "queries_large", at_size=True)
    for mix in ours.get("slots", {}) | peer.get("slots", {}):
        yield Row(
            f"slots busy, {mix} documents",
            _get(ours, "slots", mix, "busy"),
            _get(peer, "slots", mix, "busy"),
            Bar(0.9, at_least=True),
        )
    yield from _footprint_rows(ours, peer)


def _index_rows(ours: Result, peer: Result) -> Iterator[Row]:
    bars = {"cpu_s_per_chunk": Bar(1 / 12, of_ratio=True), "prompt_chars_per_chunk": Bar(0.45, of_ratio=True)}
    names = {
        "cpu_s_per_chunk": "indexing, CPU-s per chunk",
        "prompt_chars_per_chunk": "prompt characters per chunk",
        "chat_calls": "chat calls",
        "embed_calls": "embedding calls",
        "embed_texts": "embedded texts",
        "wall_s": "indexing, wall s",
        "growth": "CPU of last slice ÷ first",
        "peak_rss_mb": "peak memory while indexing, MB",
    }
    for key, name in names.items():
        yield Row(name, _get(ours, "index", key), _get(peer, "index", key), bars.get(key))


def _growth_rows(ours: Result) -> Iterator[Row]:
    if large := ours.get("index_large"):
        size = f"{large['documents']:,} documents"
        yield Row(f"{size}: CPU of last quarter ÷ first", large["growth"], bar=Bar(1.15))
        yield Row(f"{size}: the same until processed", large["growth_until_processed"])
        yield Row(f"{size}: prompt characters of last quarter ÷ first", large["growth_prompt_chars"], bar=Bar(1.15))
        yield Row(f"{size}: chat calls of last quarter ÷ first", large["growth_chat_calls"])
        yield Row(f"{size}: CPU-s per chunk", large["cpu_s_per_chunk"])
        yield Row(f"{size}: peak memory, MB", large["peak_rss_mb"])


def _query_rows(ours: Result, peer: Result, key: str, *, at_size: bool) -> Iterator[Row]:
    where = f" over {_get(ours, 'index_large', 'chunks') or 0:,.0f} chunks" if at_size else ""
    for mode, mine in (ours.get(key) or peer.get(key) or {}).items():
        have = ours.get(key) is not None
        median = mine["p50_ms"] if have else None
        yield Row(
            f"query {mode}{where}, median ms",
            median,
            _get(peer, key, mode, "p50_ms"),
            Bar(25) if at_size else Bar(1 / 8, of_ratio=True),
        )
        yield Row(
            f"query {mode}{where}, server's CPU ms",
            mine.get("cpu_ms") if have else None,
            _get(peer, key, mode, "cpu_ms"),
        )
        tail = mine["p95_ms"] if have else None
        yield Row(
            f"query {mode}{where}, p95 ms",
            tail,
            _get(peer, key, mode, "p95_ms"),
            Bar(3 * median) if median is not None else None,
        )
        yield Row(
            f"query {mode}{where}, per s from 16 clients",
            mine["per_s_16_clients"] if have else None,
            _get(peer, key, mode, "per_s_16_clients"),
            None if at_size else Bar(8, of_ratio=True, at_least=True),
        )


def _footprint_rows(ours: Result, peer: Result) -> Iterator[Row]:
    limits = {"first_health_s": Bar(1.5), "idle_rss_mb": Bar(130)}
    names = {"first_health_s": "start to first /health, s", "idle_rss_mb": "idle memory, MB"}
    for key, name in names.items():
        yield Row(name, _get(ours, "startup", key), _get(peer, "startup", key), limits[key])
        yield Row(f"{name} (nothing configured)", _get(ours, "startup_bare", key), bar=limits[key])
    growth = {
        "word_growth_mb": "100 MB Word file: growth of memory, MB",
        "text_accept_growth_mb": "100 MB text: growth until accepted, MB",
        "text_growth_mb": "100 MB text: growth in the next 10 s, MB",
    }
    for key, name in growth.items():
        yield Row(name, _get(ours, "upload", key), _get(peer, "upload", key), Bar(150))


def _get(results: Result, *path: str) -> float | None:
    value: Any = results
    for step in path:
        if not isinstance(value, dict) or step not in value:
            return None
        value = value[step]
    return float(value)


def show(title: str, table_rows: list[Row]) -> None:
    """Print the table; a row whose figures are all missing is left out."""
    table = Table(title=title, title_justify="left")
    table.add_column("measure")
    for heading in ("ours", "LightRAG", "ours ÷ LightRAG", "bar", ""):
        table.add_column(heading, justify="right")
    for row in table_rows:
        if row.ours is None and row.peer is None:
            continue
        verdict = {True: "met", False: "[bold red]missed[/]", None: ""}[row.holds]
        bar = row.bar.text() if row.bar else ""
        table.add_row(row.name, _number(row.ours), _number(row.peer), _number(row.ratio), bar, verdict)
    Console(width=120).print(table)


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
