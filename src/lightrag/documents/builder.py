"""Collects the text of a document piece by piece: cleaned, counted, with page spans.

Nothing here holds the whole text twice: a 100 MB file must not cost the server several times its size.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
from collections.abc import Callable, Iterable, Sequence

from lightrag.documents.limits import ParseLimits
from lightrag.documents.pictures import PictureDesk
from lightrag.documents.spool import SpooledText
from lightrag.errors import TooLarge
from lightrag.types import FoundPicture, PageSpan, ParsedDocument

_UNWANTED = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufeff\ufffe\uffff]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_LINE_ENDS = {"\x0b": "\n", "\x0c": "\n", "\x85": "\n"}
_MAX_WARNINGS = 100
HELD_CHARS = 4 << 20
"""Up to this length a text is held in memory."""
WRITTEN_CHARS = 1 << 20
"""A longer one is written to a file in pieces of about this length."""


def clean(text: str) -> str:
    """Drop NUL, control characters, byte order marks and lone surrogates; make every line end a line feed.

    Form feed, vertical tab and NEL end a line too. Tabs and all other Unicode stay.
    """
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if _UNWANTED.search(text) is None:
        return text
    if _SURROGATE.search(text) is not None:
        # Two halves that belong together are one character; only the lone ones go.
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "ignore")
    return _UNWANTED.sub(lambda found: _LINE_ENDS.get(found[0], ""), text)


@dataclasses.dataclass(frozen=True, slots=True)
class Summary:
    """What is known of a text once all of it was written."""

    pages: tuple[PageSpan, ...]
    title: str | None
    warnings: tuple[str, ...]


class TextBuilder:
    """Where a parser writes to. Every piece is cleaned and handed on at once, so spans count cleaned characters.

    A parser either streams with `add`, or writes `block`s (separated by a blank line) and `line`s (by a line end).
    Raises TooLarge where the text or the number of pages passes its limit.
    """

    def __init__(
        self,
        limits: ParseLimits,
        emit: Callable[[str], None],
        desk: PictureDesk | None = None,
        emit_picture: Callable[[FoundPicture], None] | None = None,
    ) -> None:
        """`desk` chooses among the pictures, which `emit_picture` takes; without both there are none."""
        self._limits = limits
        self._emit = emit
        self._desk = desk
        self._emit_picture = emit_picture
        self._picture_count = 0
        self._length = 0
        self._held_return = False
        self._fresh_page = True
        self._pages: list[PageSpan] = []
        self._page: int | None = None
        self._page_start: int | None = None
        self._title: str | None = None
        self._warnings: list[str] = []

    @property
    def length(self) -> int:
        """Characters written so far."""
        return self._length

    @property
    def is_empty(self) -> bool:
        """Whether neither text nor a picture was written."""
        return self._length == 0 and not self._picture_count

    @property
    def takes_pictures(self) -> bool:
        """Whether pictures are wanted: if not, a parser does not even look for them."""
        return self._desk is not None

    def picture(self, load: Callable[[], bytes | None], size: tuple[int, int] | None = None) -> bool:
        """Note a picture behind what was written so far; return whether it is wanted.

        `load` returns a file's content, or None for what cannot be read as a picture; it is not called where enough
        pictures were taken, or where `size` (width and height in pixels) is known and too small.
        """
        if self._desk is None or self._emit_picture is None:
            return False
        if size is not None and min(size) < self._desk.rules.min_pixels:
            return False
        if self._desk.is_full:
            self._desk.skip()
            return False
        content = load()
        taken = None if content is None else self._desk.judge(content)
        if taken is None:
            return False
        self._picture_count += 1
        self._emit_picture(FoundPicture(taken[0], taken[1], self._length, self._page))
        return True

    def add(self, text: str) -> None:
        """Append text as it is."""
        if self._held_return:
            text = "\r" + text
        # A CR LF pair may be cut in two by the block size of the reader.
        self._held_return = text.endswith("\r")
        text = clean(text[:-1] if self._held_return else text)
        if text:
            self._begin_page()
            self._put(text)

    def block(self, text: str) -> None:
        """Append a paragraph, heading, or first row of a table."""
        self._separated(text, "\n\n")

    def line(self, text: str) -> None:
        """Append a list item or row that follows another."""
        self._separated(text, "\n")

    def table(self, rows: Iterable[Sequence[str]]) -> None:
        """Append a table: a line for each row that says anything, with tabs between its cells."""
        is_first = True
        for cells in rows:
            text = "\t".join(" ".join(cell.split()) for cell in cells).rstrip("\t")
            if not text.strip():
                continue
            if is_first:
                self.block(text)
            else:
                self.line(text)
            is_first = False

    def start_page(self, number: int) -> None:
        """Begin page `number` (1-based). A page that stays without text gets no span."""
        if number > self._limits.max_pages:
            raise TooLarge(f"The document has more than {self._limits.max_pages:,} pages. Split it into smaller files.")
        self._end_page()
        self._page = number
        self._fresh_page = True

    def set_title(self, title: str | None) -> None:
        """Note the document's title; an empty one is ignored."""
        title = " ".join(clean(title or "").split())
        self._title = title[:500] or self._title

    def warn(self, message: str) -> None:
        """Note what was left out or could not be read."""
        if len(self._warnings) < _MAX_WARNINGS:
            self._warnings.append(clean(message))

    def finish(self) -> Summary:
        """Close the last page and return what is known of the text."""
        if self._held_return:
            self._held_return = False
            self._put("\n")
        self._end_page()
        for warning in self._desk.warnings() if self._desk is not None else ():
            self.warn(warning)
        return Summary(tuple(self._pages), self._title, tuple(self._warnings))

    def _separated(self, text: str, separator: str) -> None:
        text = clean(text).strip("\n")
        if not text.strip():
            return
        if not self._fresh_page:
            self._put(separator)
        self._begin_page()
        self._put(text)

    def _begin_page(self) -> None:
        if not self._fresh_page:
            return
        self._fresh_page = False
        if self._length and self._page is not None:
            self._put("\n\n")
        self._page_start = self._length

    def _end_page(self) -> None:
        if self._page is not None and self._page_start is not None and self._page_start < self._length:
            self._pages.append(PageSpan(self._page, self._page_start, self._length))
        self._page_start = None

    def _put(self, text: str) -> None:
        self._length += len(text)
        if self._length > self._limits.max_text_chars:
            raise _too_many_characters(self._limits)
        self._emit(text)


class TextCollector:
    """Joins pieces into one text, which is held in memory up to `HELD_CHARS` and in a file beyond.

    CPython extends a string in place while nothing else refers to it, which a list joined at the end cannot do.
    """

    def __init__(self, limits: ParseLimits) -> None:
        self._limits = limits
        self._text = ""
        self._length = 0
        self._spool: SpooledText | None = None

    @property
    def is_full(self) -> bool:
        """Whether `write` ought to be called before more is added."""
        return len(self._text) > (HELD_CHARS if self._spool is None else WRITTEN_CHARS)

    def add(self, piece: str) -> None:
        """Append a piece. Raises TooLarge where the text passes its limit."""
        self._length += len(piece)
        if self._length > self._limits.max_text_chars:
            self._text = ""
            raise _too_many_characters(self._limits)
        text, self._text = self._text, ""
        text += piece
        self._text = text

    def write(self) -> None:
        """Move what is held into the file. Blocking. Where there is no place for files, the text stays in memory."""
        if self._spool is None:
            with contextlib.suppress(OSError):
                self._spool = SpooledText()
        if self._spool is not None:
            self._spool.append(self._text)
            self._text = ""

    def document(self, summary: Summary, pictures: tuple[FoundPicture, ...] = ()) -> ParsedDocument:
        """Return the text with what is known of it, and forget it. Blocking."""
        text, self._text = self._text, ""
        if self._spool is None:
            return ParsedDocument(text, summary.pages, summary.title, summary.warnings, pictures)
        self._spool.append(text)
        return ParsedDocument("", summary.pages, summary.title, summary.warnings, pictures, self._spool)


def _too_many_characters(limits: ParseLimits) -> TooLarge:
    return TooLarge(f"The text has more than {limits.max_text_chars:,} characters. Split the file into smaller ones.")
