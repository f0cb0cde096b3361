"""XLSX: every sheet is a page, rows are lines, cells are separated by a tab.

Ordinary files are read by calamine, which is fast and holds whole sheets; large ones row by row.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from python_calamine import CalamineWorkbook, SheetTypeEnum, ZipError

from lightrag.documents.archive import SafeArchive
from lightrag.documents.builder import TextBuilder
from lightrag.documents.formats import Source
from lightrag.documents.limits import MIB
from lightrag.documents.parsers.ooxml import main_part, set_core_title
from lightrag.documents.parsers.xlsx_large import LargeWorkbook
from lightrag.errors import UnreadableDocument

_ROWS_PER_WRITE = 1000
_LARGE = 24 * MIB
"""Unpacked bytes of sheets and strings from which on a file is read row by row."""


def parse(source: Source, out: TextBuilder) -> None:
    """Write the values (not the formulas) of all sheets, each under a line `Sheet: <title>`."""
    with SafeArchive(source, "XLSX") as archive:
        if "xl/workbook.xml" not in archive and "[Content_Types].xml" not in archive:
            raise UnreadableDocument(f"'{source.name}' is a zip container, but not an Excel workbook.")
        set_core_title(archive, out)
        part = main_part(archive, "xl/workbook.xml")
        if part in archive and _is_large(archive):
            _write_large(LargeWorkbook(archive, part, _cell), out)
        else:
            _write_ordinary(source, out)
    if out.length == 0:
        raise UnreadableDocument(f"'{source.name}' holds no cell with a value in any sheet.")


def _is_large(archive: SafeArchive) -> bool:
    """Tell whether calamine, which holds a whole sheet and all strings, would take much memory."""
    parts = (name for name in archive.names() if name.startswith("xl/worksheets/") or name == "xl/sharedStrings.xml")
    return sum(archive.size(name) for name in parts) > _LARGE


def _write_large(workbook: LargeWorkbook, out: TextBuilder) -> None:
    names = [name for name, part in workbook.parts.items() if "worksheets/" in part]
    _write_sheets(names, workbook.rows, out)


def _write_ordinary(source: Source, out: TextBuilder) -> None:
    try:
        workbook = CalamineWorkbook.from_path(source.path)
    except ZipError as error:
        raise UnreadableDocument(f"'{source.name}' is a damaged Excel workbook ({error}).") from error

    def rows(name: str) -> Iterator[list[str]]:
        return ([_cell(value) for value in cells] for cells in workbook.get_sheet_by_name(name).iter_rows())

    with workbook:
        _write_sheets(
            [sheet.name for sheet in workbook.sheets_metadata if sheet.typ is SheetTypeEnum.WorkSheet], rows, out
        )


def _write_sheets(names: Sequence[str], rows: Callable[[str], Iterator[list[str]]], out: TextBuilder) -> None:
    empty = []
    for number, name in enumerate(names, start=1):
        out.start_page(number)
        if not _write_sheet(name, rows(name), out):
            empty.append(name)
    if empty:
        out.warn(f"Sheet(s) without values: {', '.join(empty)}.")


def _write_sheet(name: str, rows: Iterator[list[str]], out: TextBuilder) -> bool:
    """Write a sheet; return whether it held anything."""
    is_begun = False
    batch: list[str] = []
    for cells in rows:
        row = "\t".join(cells).rstrip("\t")
        if not row.strip():
            continue
        if not is_begun:
            out.block(f"Sheet: {name}")
            is_begun = True
        batch.append(row)
        if len(batch) >= _ROWS_PER_WRITE:
            out.line("\n".join(batch))
            batch.clear()
    if batch:
        out.line("\n".join(batch))
    return is_begun


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    if isinstance(value, datetime.datetime):
        return value.date().isoformat() if value.time() == datetime.time() else value.isoformat(sep=" ")
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    return " ".join(str(value).split())
