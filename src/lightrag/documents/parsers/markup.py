"""Renders HTML or XHTML as text: headings, paragraphs, lists, tables, preformatted text.

What is rendered comes as events, from a tree or straight from a parser. So a page of 100 MB is never held as a whole.
Whether a table holds data or arranges the page is known only at its end: whoever has no tree reads the page twice,
the first time with `TableKinds`.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from lxml import etree

from lightrag.documents.builder import TextBuilder
from lightrag.documents.parsers.ooxml import Element, local_name

_WHOLE = frozenset({"html", "body", "main"})
_HIDING = re.compile(r"(?i)(?:display\s*:\s*none|visibility\s*:\s*hidden)\b")
_SKIPPED = frozenset(
    (
        *("head", "script", "style", "noscript", "template", "svg", "math", "iframe", "object", "embed", "canvas"),
        *("audio", "video", "select", "nav", "textarea", "button", "datalist", "map"),
    )
)
_BLOCKS = frozenset(
    (
        *("html", "body", "main", "article", "section", "aside", "header", "footer", "div", "p", "pre", "blockquote"),
        *("h1", "h2", "h3", "h4", "h5", "h6", "hgroup", "hr", "ul", "ol", "menu", "li", "dl", "dt", "dd", "figure"),
        *("figcaption", "details", "summary", "dialog", "address", "center", "form", "fieldset", "legend", "option"),
        *("optgroup", "table", "caption", "thead", "tbody", "tfoot", "tr", "th", "td"),
    )
)
_LAYOUT = ("table", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "blockquote", "pre")
"""A table with any of these in a cell arranges a page; it does not hold data."""
_HEADINGS = {f"h{level}": f"{'#' * level} " for level in range(1, 7)}
_DATA = re.compile(r"data:image/[\w.+-]+;base64,", re.IGNORECASE)
Fetch = Callable[[str], bytes | None]
"""Returns the file that a reference in the document leads to."""
_SPACES = re.compile(r"[ \t\r\n\f\xa0]+")
_SPACE = " \t\r\n\f\xa0"
_HELD = 1 << 18
"""Characters between two tags from which on they are taken up before the second one comes."""
_LONG = 1 << 20
"""Characters of a paragraph from which on it is written in pieces."""


def write_markup(root: Element, out: TextBuilder, fetch: Fetch | None = None) -> None:
    """Write the readable text below `root`. Does not recurse, so no nesting is too deep.

    Pictures that stand in the document itself are noted, and those that `fetch` finds; nothing else is loaded.
    """
    kinds = TableKinds()
    _walk(root, kinds)
    _walk(root, MarkupRenderer(out, fetch, kinds.are_layout))


def _walk(root: Element, target: MarkupTarget) -> None:
    for event, element in etree.iterwalk(root, events=("start", "end")):
        if event == "start":
            target.start(element.tag, element.attrib)
            target.data(element.text or "")
        else:
            target.end(element.tag)
            if element is not root:
                target.data(element.tail or "")
    target.close()


class MarkupTarget(Protocol):
    """What takes the events of a page."""

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        """Begin an element."""

    def data(self, text: str) -> None:
        """Take characters; those between two tags may come in several pieces."""

    def end(self, tag: str) -> None:
        """Finish an element."""

    def close(self) -> None:
        """Finish the page."""


class TableKinds:
    """Finds out which tables of a page arrange it and hold no data. A target of lxml's parsers."""

    def __init__(self) -> None:
        self.are_layout: list[bool] = []
        """For every table, in the order of their beginnings."""
        self._open: list[int] = []

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        """Begin an element."""
        name = local_name(tag).lower()
        if name in _LAYOUT:
            for number in self._open:
                self.are_layout[number] = True
            # A table further out has every element of this kind from here on already.
            self._open.clear()
        if name == "table":
            self._open.append(len(self.are_layout))
            self.are_layout.append(False)

    def data(self, text: str) -> None:
        """Take characters, which do not matter here."""

    def end(self, tag: str) -> None:
        """Finish an element."""
        if self._open and local_name(tag).lower() == "table":
            self._open.pop()

    def close(self) -> None:
        """Finish the page."""


class MarkupRenderer:
    """Writes the readable text of a page as its events come. A target of lxml's parsers.

    `tables` tells for every table whether it arranges the page. Pictures are noted as by `write_markup`.
    """

    def __init__(self, out: TextBuilder, fetch: Fetch | None = None, tables: Sequence[bool] = ()) -> None:
        self.tables = tables
        self._out = out
        self._fetch = fetch
        self._held: list[str] = []
        self._held_length = 0
        self._skipped = 0
        self._tables_begun = 0
        self._pictures: list[str] = []
        self._parts: list[str] = []
        self._length = 0
        self._is_begun = False
        self._prefix = ""
        self._preformatted = 0
        self._lists = 0
        self._is_item = False
        self._was_item = False
        self._tables: list[_Table | None] = []

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        """Begin an element."""
        name = local_name(tag).lower()
        if name == "table":
            self._tables_begun += 1
        if self._skipped:
            self._skipped += 1
            return
        self._take_up()
        if name in _SKIPPED or _is_hidden(name, attributes):
            self._skipped = 1
        else:
            self._start(name, attributes)

    def data(self, text: str) -> None:
        """Take characters; those between two tags may come in several pieces."""
        if self._skipped or not text:
            return
        self._held.append(text)
        self._held_length += len(text)
        if self._held_length > _HELD:
            whole = "".join(self._held)
            # A run of blanks may go on in the next piece.
            kept = len(whole.rstrip(_SPACE))
            self._hold(whole[:kept])
            self._take_up()
            self._hold(whole[kept:])

    def end(self, tag: str) -> None:
        """Finish an element."""
        if self._skipped:
            self._skipped -= 1
            return
        self._take_up()
        self._end(local_name(tag).lower())

    def close(self) -> None:
        """Finish the page."""
        self._take_up()
        self._flush()

    @property
    def _table(self) -> _Table | None:
        return self._tables[-1] if self._tables else None

    def _hold(self, text: str) -> None:
        self._held = [text] if text else []
        self._held_length = len(text)

    def _take_up(self) -> None:
        """Add what was held to the paragraph."""
        if not self._held:
            return
        text = "".join(self._held)
        self._hold("")
        self._parts.append(text if self._preformatted else _SPACES.sub(" ", text))
        self._length += len(text)
        if self._length > _LONG and self._table is None:
            self._write_beginning()

    def _start(self, name: str, attributes: Mapping[str, str]) -> None:
        if name == "br":
            self._parts.append("\n")
        if name == "img" and self._out.takes_pictures:
            self._pictures.append(attributes.get("src", ""))
        if name not in _BLOCKS:
            return
        self._flush()
        if name == "pre":
            self._preformatted += 1
        elif name in _HEADINGS:
            self._prefix = _HEADINGS[name]
        elif name in ("ul", "ol", "menu"):
            self._lists += 1
        elif name == "li":
            self._prefix = f"{'  ' * max(0, self._lists - 1)}- "
            self._is_item = True
        elif name == "table":
            self._tables.append(None if self.tables[self._tables_begun - 1] else _Table())

    def _end(self, name: str) -> None:
        if name not in _BLOCKS:
            return
        table = self._table
        if table is not None and name in ("td", "th"):
            table.cells.append(" ".join("".join(self._parts).split()))
            self._parts.clear()
            return
        if table is not None and name == "tr":
            self._row(table)
            return
        self._flush()
        if name == "pre":
            self._preformatted -= 1
        elif name in ("ul", "ol", "menu"):
            self._lists -= 1
        elif name == "table":
            self._tables.pop()
        if name in _HEADINGS or name == "li":
            self._prefix = ""
            self._is_item = False

    def _row(self, table: _Table) -> None:
        line = "\t".join(table.cells).rstrip("\t")
        table.cells.clear()
        if not line.strip():
            return
        if table.has_rows:
            self._out.line(line)
        else:
            self._out.block(line)
        table.has_rows = True
        self._was_item = False

    def _flush(self) -> None:
        self._flush_text()
        if self._table is None:
            for reference in self._pictures:
                self._out.picture(lambda reference=reference: self._load(reference))  # type: ignore[misc]
            self._pictures.clear()

    def _load(self, reference: str) -> bytes | None:
        data = _DATA.match(reference)
        if data is not None:
            try:
                return base64.b64decode(reference[data.end() :], validate=False)
            except ValueError:
                return None
        return None if self._fetch is None or ":" in reference else self._fetch(reference)

    def _flush_text(self) -> None:
        """Write the paragraph that was collected; inside a cell of a data table it only becomes a space."""
        if self._table is not None and self._parts:
            self._parts.append(" ")
            return
        text = "".join(self._parts)
        self._parts.clear()
        self._length = 0
        if self._is_begun:
            self._is_begun = False
            self._out.add(text.rstrip("\n") if self._preformatted else _trimmed_end(text))
            return
        text = text.strip("\n") if self._preformatted else _trimmed(text)
        if text.strip():
            self._begin(text)

    def _begin(self, text: str) -> None:
        text, self._prefix = self._prefix + text, ""
        if self._is_item and self._was_item:
            self._out.line(text)
        else:
            self._out.block(text)
        self._was_item = self._is_item

    def _write_beginning(self) -> None:
        """Write what is there of a paragraph so long that it is not to be held as a whole."""
        text = "".join(self._parts)
        last = text.rfind("\n") if self._preformatted else max(text.rfind(" "), text.rfind("\n"))
        # Not in the middle of blanks, of which those at the end of the paragraph go.
        head = text[: max(last, 0)].rstrip("\n" if self._preformatted else None) or text
        rest = text[len(head) :]
        if self._is_begun:
            self._out.add(head if self._preformatted else _trimmed_end(head))
        else:
            head = head.strip("\n") if self._preformatted else _trimmed(head)
            if head.strip():
                self._is_begun = True
                self._begin(head)
        self._parts = [rest] if rest else []
        self._length = len(rest)


class _Table:
    """A table of data that is being read."""

    def __init__(self) -> None:
        self.cells: list[str] = []
        self.has_rows = False


def _trimmed(text: str) -> str:
    return "\n".join(line.strip() for line in text.split("\n")).strip()


def _trimmed_end(text: str) -> str:
    """As `_trimmed`, of what goes on: the blanks before it are kept as one, or as so many line ends."""
    words = text.lstrip()
    lines = text[: len(text) - len(words)].count("\n")
    words = _trimmed(words)
    if not words:
        return ""
    return ("\n" * lines or (" " if text[0].isspace() else "")) + words


def _is_hidden(name: str, attributes: Mapping[str, str]) -> bool:
    """Tell whether an element is not shown. Whole pages that a script is to show are read."""
    if "hidden" in attributes or attributes.get("aria-hidden") == "true":
        return True
    return name not in _WHOLE and _HIDING.search(attributes.get("style") or "") is not None
