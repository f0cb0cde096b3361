"""Methods of an instance that write the graph into a file for people."""

from __future__ import annotations

import asyncio
import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from lightrag.exceptions import ArgumentError
from lightrag.facade.instance import Instance, Opened
from lightrag.facade.rows import edge_of, node_of
from lightrag.storage.contracts import VectorKind
from lightrag.storage.rows import key_of_pair
from lightrag.types import Entity, Pair, Relation

Format = Literal["csv", "excel", "md", "txt"]
Row = dict[str, Any]
Tables = Mapping[str, Sequence[Row]]
_PAGE = 1000
_CELL = 32_767
"""Most characters in a cell of a worksheet."""


class ExportCalls(Instance):
    """The graph as a file."""

    def export_data(self, output_path: str, file_format: str = "csv", include_vector_data: bool = False) -> None:
        """Write all entities and relations into a file; see `aexport_data`."""
        self._sync("export_data", lambda: self._export(output_path, file_format, include_vector_data))

    async def aexport_data(self, output_path: str, file_format: str = "csv", include_vector_data: bool = False) -> None:
        """Write all entities and relations into a file: `csv`, `excel` (xlsx), `md` or `txt`.

        `include_vector_data`: with the vectors, as a list of numbers in one field. A file that is there is replaced.
        Raises `ArgumentError`, a `ValueError`, for another format.
        """
        await self._call(self._export(output_path, file_format, include_vector_data))

    async def _export(self, output_path: str, file_format: str, with_vectors: bool) -> None:
        write = _WRITERS.get(file_format)
        if write is None:
            raise ArgumentError(f"file_format is {file_format!r}; use one of {', '.join(_WRITERS)}")
        opened = await self._use()
        tables = {
            "Entities": await _entities(opened, with_vectors),
            "Relations": await _relations(opened, with_vectors),
        }
        await asyncio.to_thread(lambda: Path(output_path).write_bytes(write(tables)))


async def _entities(opened: Opened, with_vectors: bool) -> list[Row]:
    rows: list[Row] = []
    after = ""
    while page := await opened.storage.graph.scan_entities(after=after, limit=_PAGE):
        after = page[-1].name
        vectors = await _vectors(opened, VectorKind.ENTITIES, [item.name for item in page], with_vectors)
        rows += [_entity(item) | vectors.get(item.name, {}) for item in page]
    return rows


async def _relations(opened: Opened, with_vectors: bool) -> list[Row]:
    rows: list[Row] = []
    after: Pair | None = None
    while page := await opened.storage.graph.scan_relations(after=after, limit=_PAGE):
        after = page[-1].pair
        keys = [key_of_pair(item.pair) for item in page]
        vectors = await _vectors(opened, VectorKind.RELATIONS, keys, with_vectors)
        rows += [_relation(item) | vectors.get(key, {}) for item, key in zip(page, keys, strict=True)]
    return rows


async def _vectors(opened: Opened, kind: VectorKind, keys: list[str], wanted: bool) -> dict[str, Row]:
    if not wanted:
        return {}
    found = await opened.storage.vectors(kind).get(keys)
    return {key: {"vector": str([round(float(x), 6) for x in vector])} for key, vector in found.items()}


def _entity(entity: Entity) -> Row:
    properties = node_of(entity)
    del properties["entity_id"], properties["truncate"]
    return {"entity_name": entity.name, **properties}


def _relation(relation: Relation) -> Row:
    properties = edge_of(relation)
    del properties["truncate"]
    return {"src_entity": relation.source, "tgt_entity": relation.target, **properties}


def _columns(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row))


def _csv(tables: Tables) -> bytes:
    text = io.StringIO(newline="")
    for title, rows in tables.items():
        text.write(f"# {title.upper()}\n")
        writer = csv.DictWriter(text, _columns(rows), restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        text.write("\n")
    # Excel takes a file without the mark for one in the local 8-bit encoding.
    return text.getvalue().encode("utf-8-sig")


def _excel(tables: Tables) -> bytes:
    import xlsxwriter

    buffer = io.BytesIO()
    with xlsxwriter.Workbook(
        buffer, {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False}
    ) as book:
        for title, rows in tables.items():
            sheet = book.add_worksheet(title)
            columns = _columns(rows)
            sheet.write_row(0, 0, columns)
            for number, row in enumerate(rows, 1):
                sheet.write_row(number, 0, [_cell(row.get(name, "")) for name in columns])
    return buffer.getvalue()


def _cell(value: Any) -> Any:
    return value[:_CELL] if isinstance(value, str) else value


def _markdown(tables: Tables) -> bytes:
    lines = ["# LightRAG Data Export", ""]
    for title, rows in tables.items():
        lines += [f"## {title}", ""]
        columns = _columns(rows)
        if rows:
            lines.append(f"| {' | '.join(columns)} |")
            lines.append(f"| {' | '.join('---' for _ in columns)} |")
            lines += [f"| {' | '.join(_inline(row.get(name, '')) for name in columns)} |" for row in rows]
        else:
            lines.append("*No data*")
        lines.append("")
    return "\n".join(lines).encode()


def _inline(value: Any) -> str:
    return " ".join(str(value).replace("|", "\\|").split())


def _text(tables: Tables) -> bytes:
    lines = ["LIGHTRAG DATA EXPORT", "=" * 80, ""]
    for title, rows in tables.items():
        lines += [title.upper(), "-" * 80]
        for number, row in enumerate(rows, 1):
            lines.append(f"{number}.")
            lines += [f"  {name}: {value}" for name, value in row.items()]
            lines.append("")
        if not rows:
            lines += ["No data", ""]
    return "\n".join(lines).encode()


_WRITERS = {"csv": _csv, "excel": _excel, "md": _markdown, "txt": _text}
