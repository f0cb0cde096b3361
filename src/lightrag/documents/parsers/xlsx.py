"""XLSX, through calamine: every sheet is a page, rows are lines, cells are separated by a tab."""

from __future__ import annotations

import datetime
from typing import Any

from python_calamine import CalamineWorkbook, SheetTypeEnum, ZipError

from lightrag.documents.archive import SafeArchive
from lightrag.documents.builder import TextBuilder
from lightrag.documents.formats import Source
from lightrag.documents.parsers.ooxml import set_core_title
from lightrag.errors import UnreadableDocument

_ROWS_PER_WRITE = 1000


def parse(source: Source, out: TextBuilder) -> None:
    """Write the values (not the formulas) of all sheets, each under a line `Sheet: <title>`."""
    with SafeArchive(source, "XLSX") as archive:
        if "xl/workbook.xml" not in archive and "[Content_Types].xml" not in archive:
            raise UnreadableDocument(f"'{source.name}' is a zip container, but not an Excel workbook.")
        set_core_title(archive, out)
    try:
        workbook = CalamineWorkbook.from_path(source.path)
    except ZipError as error:
        raise UnreadableDocument(f"'{source.name}' is a damaged Excel workbook ({error}).") from error
    with workbook:
        sheets = [sheet for sheet in workbook.sheets_metadata if sheet.typ is SheetTypeEnum.WorkSheet]
        empty = []
        for number, sheet in enumerate(sheets, start=1):
            out.start_page(number)
            if not _write_sheet(workbook, sheet.name, out):
                empty.append(sheet.name)
    if out.length == 0:
        raise UnreadableDocument(f"'{source.name}' holds no cell with a value in any sheet.")
    if empty:
        out.warn(f"Sheet(s) without values: {', '.join(empty)}.")


def _write_sheet(workbook: CalamineWorkbook, name: str, out: TextBuilder) -> bool:
    """Write a sheet; return whether it held anything."""
    is_begun = False
    batch: list[str] = []
    for cells in workbook.get_sheet_by_name(name).iter_rows():
        row = "\t".join(_cell(value) for value in cells).rstrip("\t")
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
