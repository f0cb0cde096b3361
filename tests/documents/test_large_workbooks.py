"""Large workbooks are read row by row, and say the same as when they are read as a whole."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest
import xlsxwriter

from lightrag.documents.builder import Summary, TextBuilder
from lightrag.documents.formats import Source
from lightrag.documents.limits import ParseLimits
from lightrag.documents.parsers import xlsx, xlsx_large


def read(path: Path) -> tuple[str, Summary]:
    parts: list[str] = []
    out = TextBuilder(ParseLimits(), parts.append)
    xlsx.parse(Source(path, path.name), out)
    return "".join(parts), out.finish()


@pytest.mark.parametrize("inline", [False, True])
@pytest.mark.parametrize("epoch_1904", [False, True])
@pytest.mark.parametrize("first_column", [0, 2])
def test_both_ways_of_reading_agree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inline: bool, epoch_1904: bool, first_column: int
) -> None:
    path = tmp_path / "book.xlsx"
    write(path, first_column, {"date_1904": epoch_1904, "constant_memory": inline})
    as_a_whole = read(path)

    monkeypatch.setattr(xlsx, "_LARGE", -1)
    # Most strings in compressed blocks.
    monkeypatch.setattr(xlsx_large, "_PLAIN", 100)
    monkeypatch.setattr(xlsx_large, "_STRINGS", 50)

    assert read(path) == as_a_whole
    assert "2021-03-04" in as_a_whole[0] or epoch_1904
    assert "text 599" in as_a_whole[0]


def test_rows_come_while_the_sheet_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "book.xlsx"
    write(path, 0, {"constant_memory": True})
    monkeypatch.setattr(xlsx, "_LARGE", -1)
    monkeypatch.setattr(xlsx_large, "_BLOCK", 4096)
    monkeypatch.setattr(xlsx_large, "_ROWS", 10)
    taken: list[int] = []
    take = xlsx_large._Sheet.take

    def spy(sheet: xlsx_large._Sheet, at_least: int) -> list[list[xlsx_large._Cell]]:
        rows = take(sheet, at_least)
        taken.append(len(rows))
        return rows

    monkeypatch.setattr(xlsx_large._Sheet, "take", spy)
    read(path)
    assert len(taken) > 20
    assert max(taken) < 100


def write(path: Path, first_column: int, options: dict[str, bool]) -> None:
    book = xlsxwriter.Workbook(str(path), options)
    day, time, elapsed, percent = (
        book.add_format({"num_format": form}) for form in ("yyyy-mm-dd", "hh:mm:ss", "[h]:mm", "0.00%")
    )
    for name in ("A & B", "empty", "third"):
        sheet = book.add_worksheet(name)
        for row in range(0 if name == "empty" else 600):
            if row % 7 == 3:
                continue
            cells = [f"text {row}", ("x  y", "<&>", "é漢", "", "_x0041_ a", "line\nbreak", " lead", "a\x00b")[row % 8]]
            sheet.write_row(row + 2, first_column, cells)
            sheet.write_number(row + 2, first_column + 2, (1, 2.5, 1e20, -3, 0.1, 12345678901234567)[row % 6])
            moment = datetime.datetime(2021, 3, 4) + datetime.timedelta(hours=row)
            sheet.write_datetime(row + 2, first_column + 4, moment, (day, time, elapsed)[row % 3])
            sheet.write_number(row + 2, first_column + 5, row / 7, (percent, elapsed, time)[row % 3])
            sheet.write_boolean(row + 2, first_column + 6, row % 2 == 0)
            if row % 5 == 0:
                sheet.write_formula(row + 2, first_column + 7, "=1/0", None, "#DIV/0!")
                sheet.write_formula(row + 2, first_column + 8, '="a"', None, "a")
    book.close()
