"""Renders a tree of HTML or XHTML elements as text: headings, paragraphs, lists, tables, preformatted text."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable

from lxml import etree

from lightrag.documents.builder import TextBuilder
from lightrag.documents.parsers.ooxml import Element, local

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


def write_markup(root: Element, out: TextBuilder, fetch: Fetch | None = None) -> None:
    """Write the readable text below `root`. Does not recurse, so no nesting is too deep.

    Pictures that stand in the document itself are noted, and those that `fetch` finds; nothing else is loaded.
    """
    _Renderer(out, fetch).run(root)


class _Renderer:
    def __init__(self, out: TextBuilder, fetch: Fetch | None) -> None:
        self._out = out
        self._fetch = fetch
        self._pictures: list[str] = []
        self._parts: list[str] = []
        self._prefix = ""
        self._preformatted = 0
        self._lists = 0
        self._is_item = False
        self._was_item = False
        self._tables: list[_Table | None] = []

    def run(self, root: Element) -> None:
        """Walk the tree."""
        walk = etree.iterwalk(root, events=("start", "end"))
        for event, element in walk:
            name = local(element).lower()
            if event == "start":
                if name in _SKIPPED or _is_hidden(element):
                    walk.skip_subtree()
                else:
                    self._start(name, element)
                    self._add(element.text)
            else:
                if not (name in _SKIPPED or _is_hidden(element)):
                    self._end(name)
                if element is not root:
                    self._add(element.tail)
        self._flush()

    @property
    def _table(self) -> _Table | None:
        return self._tables[-1] if self._tables else None

    def _add(self, text: str | None) -> None:
        if text:
            self._parts.append(text if self._preformatted else _SPACES.sub(" ", text))

    def _start(self, name: str, element: Element) -> None:
        if name == "br":
            self._parts.append("\n")
        if name == "img" and self._out.takes_pictures:
            self._pictures.append(element.get("src", ""))
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
            self._tables.append(None if _is_layout(element) else _Table())

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
        text = text.strip("\n") if self._preformatted else _trimmed(text)
        if not text.strip():
            return
        text, self._prefix = self._prefix + text, ""
        if self._is_item and self._was_item:
            self._out.line(text)
        else:
            self._out.block(text)
        self._was_item = self._is_item


class _Table:
    """A table of data that is being read."""

    def __init__(self) -> None:
        self.cells: list[str] = []
        self.has_rows = False


def _is_layout(table: Element) -> bool:
    return any(local(element).lower() in _LAYOUT for element in table.iterdescendants())


def _is_hidden(element: Element) -> bool:
    return "hidden" in element.attrib or element.get("aria-hidden") == "true"


def _trimmed(text: str) -> str:
    return "\n".join(line.strip() for line in text.split("\n")).strip()
