"""Large sheets of XLSX files: read row by row from their XML, in memory for some rows and the shared strings.

What a number with a date format, an error or a date in words becomes is asked of calamine, which gets such cells in
small workbooks with the styles of the large one. So a sheet reads the same whichever way it is read.
Format: ECMA-376 part 1, section 18.
"""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from array import array
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any
from xml.parsers import expat
from xml.sax.saxutils import escape, quoteattr

from python_calamine import CalamineWorkbook

from lightrag.documents.archive import SafeArchive
from lightrag.documents.parsers.ooxml import attribute, children, local_name, parse_xml, related, relationships
from lightrag.errors import UnreadableDocument

_BLOCK = 1 << 18
_ROWS = 500
_PLAIN = 32 << 20
"""Bytes of shared strings that are held as they are; those beyond are held compressed."""
_STRINGS = 1 << 13
"""Characters in a compressed block of strings: few, since a cell may refer to any of them."""
_OPENED = 512
"""Compressed blocks that are kept unpacked."""
_REFERENCE = re.compile(r"([A-Z]{1,3})(\d+)")
_ESCAPE = re.compile(r"_x([0-9A-Fa-f]{4})_")
"""A character that XML cannot hold, as Office writes it (ST_Xstring, 22.9.2.19)."""
_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006/relationships"
_DATE = "45000.5"
"""A number that is a date under a style for dates."""
_RIGHTMOST = 16_384

ToText = Callable[[Any], str]


class LargeWorkbook:
    """The parts of a workbook that its large sheets need. `to_text` writes a cell's value."""

    def __init__(self, archive: SafeArchive, part: str, to_text: ToText) -> None:
        self._archive = archive
        self._to_text = to_text
        root = parse_xml(archive.read(part))
        targets = relationships(archive, part)
        sheets = [sheet for group in children(root, "sheets") for sheet in group]
        self.parts = {
            sheet.get("name", ""): targets[identity][1]
            for sheet in sheets
            if (identity := attribute(sheet, "id")) in targets
        }
        """Sheet name to the part that holds it."""
        self._is_1904 = any(
            attribute(properties, "date1904") in ("1", "true") for properties in children(root, "workbookPr")
        )
        styles = related(archive, part, "styles")
        self._styles = archive.read(styles) if styles is not None else None
        self.strings_part = related(archive, part, "sharedStrings")
        self._strings: SharedStrings | None = None
        self._plain: dict[str, bool] = {}
        """Whether cells with these attributes hold plain numbers."""

    def rows(self, name: str) -> Iterator[list[str]]:
        """Yield the cells of every row of a sheet that has any, from its first used column on."""
        if self._strings is None:
            self._strings = SharedStrings(self._archive, self.strings_part)
        sheet = _Sheet(self._strings)
        for block in _parsed(self._archive, self.parts[name], sheet):
            yield from self._finished(sheet.take(_ROWS if block else 0))

    def _finished(self, rows: list[list[_Cell]]) -> Iterator[list[str]]:
        asked = [cell for row in rows for cell in row if cell.is_open and not self._is_number(cell)]
        for cell, value in zip(asked, self._asked(asked), strict=True):
            cell.text = value
        for row in rows:
            cells: list[str] = []
            for cell in row:
                cells += [""] * (cell.column - len(cells))
                cells.append(self._to_text(cell.text))
            yield cells

    def _is_number(self, cell: _Cell) -> bool:
        """Read a cell whose style says that numbers are no dates; tell whether it was one."""
        markup = cell.markup
        if markup.startswith(" t="):
            return False
        if markup not in self._plain:
            (probe,) = self._asked([_Cell(0, _DATE, markup, is_open=True)])
            self._plain[markup] = isinstance(probe, float) and probe == float(_DATE)
        if not self._plain[markup]:
            return False
        try:
            cell.text = float(cell.text)
        except ValueError:
            return False
        return True

    def _asked(self, cells: list[_Cell]) -> list[Any]:
        """Return the values of cells, as calamine reads them."""
        if not cells:
            return []
        lines = "".join(
            f'<row r="{number}"><c r="A{number}" t="str"><v>-</v></c>'
            f'<c r="B{number}"{cell.markup}><v>{escape(cell.text)}</v></c></row>'
            for number, cell in enumerate(cells, start=1)
        )
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w") as archive:
            for name, part in _small_workbook(self._is_1904, self._styles is not None).items():
                archive.writestr(name, part)
            if self._styles is not None:
                archive.writestr("xl/styles.xml", self._styles)
            archive.writestr(
                "xl/worksheets/sheet1.xml", f'<worksheet xmlns="{_MAIN}"><sheetData>{lines}</sheetData></worksheet>'
            )
        content.seek(0)
        with CalamineWorkbook.from_filelike(content) as workbook:
            return [row[1] if len(row) > 1 else "" for row in workbook.get_sheet_by_index(0).to_python()]


class SharedStrings:
    """The strings that cells refer to by number."""

    def __init__(self, archive: SafeArchive, part: str | None) -> None:
        self._plain = bytearray()
        self._ends = array("I")
        self._blocks: list[bytes] = []
        self._block: list[str] = []
        self._block_length = 0
        self._block_starts: list[int] = []
        self._opened: OrderedDict[int, list[str]] = OrderedDict()
        self._count = 0
        if part is not None:
            for _ in _parsed(archive, part, _Strings(self._add)):
                pass
        self._close_block()

    def __getitem__(self, number: int) -> str:
        if number < len(self._ends):
            start = self._ends[number - 1] if number else 0
            return self._plain[start : self._ends[number]].decode("utf-8")
        low, high = 0, len(self._block_starts)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self._block_starts[middle] <= number else (low, middle)
        return self._unpacked(low)[number - self._block_starts[low]]

    def _add(self, text: str) -> None:
        """Take the next string, which has no line ends: they part the strings of a block."""
        self._count += 1
        if len(self._plain) < _PLAIN:
            self._plain += text.encode("utf-8", "replace")
            self._ends.append(len(self._plain))
            return
        if not self._block:
            self._block_starts.append(self._count - 1)
        self._block.append(text)
        self._block_length += len(text)
        if self._block_length > _STRINGS:
            self._close_block()

    def _close_block(self) -> None:
        if self._block:
            self._blocks.append(zlib.compress("\n".join(self._block).encode("utf-8", "replace"), 1))
            self._block, self._block_length = [], 0

    def _unpacked(self, number: int) -> list[str]:
        if number in self._opened:
            self._opened.move_to_end(number)
        else:
            self._opened[number] = zlib.decompress(self._blocks[number]).decode("utf-8").split("\n")
            if len(self._opened) > _OPENED:
                self._opened.popitem(last=False)
        return self._opened[number]


class _Cell:
    """A cell with what it says; `is_open` where that is still in the file's own form."""

    __slots__ = ("column", "is_open", "markup", "text")

    def __init__(self, column: int, text: Any, markup: str, *, is_open: bool) -> None:
        self.column = column
        self.text = text
        self.markup = markup
        self.is_open = is_open


class _Strings:
    """Takes the XML of the shared strings."""

    def __init__(self, add: Callable[[str], None]) -> None:
        self._add = add
        self._parts: list[str] = []
        self._is_text = False
        self._phonetic = 0

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        name = local_name(tag)
        if name == "si":
            self._parts.clear()
        elif name == "rPh":
            self._phonetic += 1
        self._is_text = name == "t" and not self._phonetic

    def data(self, text: str) -> None:
        if self._is_text:
            self._parts.append(text)

    def end(self, tag: str) -> None:
        name = local_name(tag)
        self._is_text = False
        if name == "rPh":
            self._phonetic -= 1
        elif name == "si":
            self._add(" ".join(_unescaped("".join(self._parts)).split()))


class _Sheet:
    """Takes the XML of a sheet."""

    def __init__(self, strings: SharedStrings) -> None:
        self._strings = strings
        self._rows: list[list[_Cell]] = []
        self._row: list[_Cell] = []
        self._first = 0
        self._column = -1
        self._kind = ""
        self._style = ""
        self._value: list[str] = []
        self._is_value = False
        self._phonetic = 0

    def take(self, at_least: int) -> list[list[_Cell]]:
        """Return the rows that are complete, once there are so many."""
        if len(self._rows) < at_least:
            return []
        rows, self._rows = self._rows, []
        return rows

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        name = local_name(tag)
        if name == "c":
            found = _REFERENCE.fullmatch(attributes.get("r", ""))
            self._column = _column(found[1]) if found else self._column + 1
            self._kind, self._style = attributes.get("t", "n"), attributes.get("s", "0")
            self._value.clear()
        elif name == "row":
            self._row, self._column = [], -1
        elif name == "dimension":
            found = _REFERENCE.match(attributes.get("ref", ""))
            self._first = _column(found[1]) if found else 0
        elif name == "rPh":
            self._phonetic += 1
        self._is_value = name in ("v", "t") and not self._phonetic

    def data(self, text: str) -> None:
        if self._is_value:
            self._value.append(text)

    def end(self, tag: str) -> None:
        name = local_name(tag)
        self._is_value = False
        if name == "c":
            self._end_cell()
        elif name == "row" and self._row:
            self._rows.append(self._row)
            self._row = []
        elif name == "rPh":
            self._phonetic -= 1

    def _end_cell(self) -> None:
        value = "".join(self._value)
        if not value or self._column >= _RIGHTMOST:
            return
        column = max(self._column - self._first, len(self._row) and self._row[-1].column + 1)
        kind, markup, is_open, text = self._kind, "", False, value
        if kind == "s":
            text = self._strings[int(value)]
        elif kind in ("str", "inlineStr"):
            text = _unescaped(value)
        else:
            markup = (f" t={quoteattr(kind)}" if kind != "n" else "") + (f" s={quoteattr(self._style)}")
            is_open = True
        self._row.append(_Cell(column, text, markup, is_open=is_open))


def _parsed(archive: SafeArchive, part: str, target: _Sheet | _Strings) -> Iterator[bytes]:
    """Parse a part; yield after every block, and an empty one at the end."""
    parser = expat.ParserCreate(namespace_separator="}")
    parser.buffer_text = True
    parser.StartElementHandler = target.start
    parser.EndElementHandler = target.end
    parser.CharacterDataHandler = target.data
    parser.StartDoctypeDeclHandler = _refuse
    with archive.open(part) as stream:
        while block := stream.read(_BLOCK):
            parser.Parse(block, False)
            yield block
    parser.Parse(b"", True)
    yield b""


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(lambda found: chr(int(found[1], 16)), text) if "_x" in text else text


def _refuse(*_: object) -> None:
    raise UnreadableDocument("The workbook holds a document type declaration, which its format does not allow.")


def _column(letters: str) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - 64
    return number - 1


def _small_workbook(is_1904: bool, has_styles: bool) -> dict[str, str]:
    style = f'<Relationship Id="r2" Type="{_RELATIONS}/styles" Target="styles.xml"/>' if has_styles else ""
    return {
        "[Content_Types].xml": '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>',
        "_rels/.rels": f'<Relationships xmlns="{_PACKAGE}"><Relationship Id="r1" Type="{_RELATIONS}/officeDocument" '
        'Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{_MAIN}" xmlns:r="{_RELATIONS}"><workbookPr date1904="{int(is_1904)}"/>'
        '<sheets><sheet name="s" sheetId="1" r:id="r1"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{_PACKAGE}"><Relationship Id="r1" '
        f'Type="{_RELATIONS}/worksheet" Target="worksheets/sheet1.xml"/>{style}</Relationships>',
    }
