"""Cuts along headings, paragraphs and rows of tables: what belongs together stays together."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Sequence

from lightrag.indexing.chunking_recursive import recursive_spans
from lightrag.indexing.chunking_spans import Span, TokenCounter, trimmed

_BLOCK = re.compile(r"[^\n]*\S[^\n]*(?:\n[^\n]*\S[^\n]*)*")
"""Lines without an empty one between them."""
_MARKED = re.compile(r"(#{1,6})[ \t]+\S")
_NUMBERED = re.compile(r"(\d{1,3}(?:\.\d{1,3}){0,5})\.?[ \t]+[^\W\d_][^\n]{0,100}\Z")
_CHINESE = re.compile(r"第[一二三四五六七八九十百零〇\d]{1,6}([编章节條条款])")
_CHINESE_LEVELS = {"编": 1, "章": 2, "节": 3, "條": 4, "条": 4, "款": 5}
_SENTENCE_ENDS = tuple(".!?;:,。！？；：，")
_REFERENCES = re.compile(
    r"[#\d.\s]*(?:references|bibliography|works cited|literature cited|literatur(?:verzeichnis)?|参考文献)\s*:?\s*\Z",
    re.IGNORECASE,
)
_ROWS = re.compile(r"[^\n]+\n?")


@dataclasses.dataclass(frozen=True, slots=True)
class _Block:
    start: int
    end: int
    tokens: int
    level: int
    """Level of the heading that it is; 0 for text."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Section:
    """A heading with what stands below it, up to the next one."""

    blocks: tuple[_Block, ...]
    level: int

    @property
    def tokens(self) -> int:
        return sum(block.tokens for block in self.blocks)


def paragraph_spans(
    text: str, tokens: TokenCounter, *, size: int, overlap: int, drop_references: bool
) -> Iterator[Span]:
    """Yield spans of at most `size` tokens that follow the structure of the text.

    Sections that fit are never torn; small ones join the sections below or beside them, never the next chapter. Long
    ones are cut between paragraphs, long tables between rows, and a paragraph that is too long as `recursive_spans`
    does, with `overlap`. Headings are lines marked with `#`, numbered lines, and Chinese chapters and articles.
    """
    sections = _joined_headings(_sections(_blocks(text, tokens)))
    kept = _without_references(text, sections) if drop_references else sections
    for group in _grouped(kept, size):
        blocks = [block for section in group for block in section.blocks]
        total = sum(block.tokens for block in blocks)
        spans = [Span(blocks[0].start, blocks[-1].end, total)] if total <= size else _cut(text, blocks, tokens, size)
        for span in spans:
            yield from _short_enough(text, span, tokens, size, overlap)


def _blocks(text: str, tokens: TokenCounter) -> Iterator[_Block]:
    for found in _BLOCK.finditer(text):
        start, end = found.span()
        first_end = text.find("\n", start, end)
        first_end = end if first_end < 0 else first_end
        level = _level(text[start:first_end].strip(), is_alone=first_end == end)
        if level and first_end < end:
            yield _Block(start, first_end, tokens.count(text[start:first_end]), level)
            start, level = first_end + 1, 0
        yield _Block(start, end, tokens.count(text[start:end]), level)


def _level(line: str, *, is_alone: bool) -> int:
    if marked := _MARKED.match(line):
        return len(marked[1])
    if not is_alone or len(line) > 120 or line.endswith(_SENTENCE_ENDS):
        return 0
    if numbered := _NUMBERED.match(line):
        return numbered[1].count(".") + 1
    if chinese := _CHINESE.match(line):
        return _CHINESE_LEVELS[chinese[1]]
    return 0


def _sections(blocks: Iterator[_Block]) -> Iterator[_Section]:
    held: list[_Block] = []
    for block in blocks:
        if block.level and held:
            yield _Section(tuple(held), held[0].level)
            held = []
        held.append(block)
    if held:
        yield _Section(tuple(held), held[0].level)


def _joined_headings(sections: Iterator[_Section]) -> list[_Section]:
    """Put a heading that has nothing below it but deeper headings in front of the first of them."""
    joined: list[_Section] = []
    bare: _Section | None = None
    for section in sections:
        if bare is not None and section.level > bare.level:
            section = _Section(bare.blocks + section.blocks, bare.level)
        elif bare is not None:
            joined.append(bare)
        bare = None
        if all(block.level for block in section.blocks):
            bare = section
        else:
            joined.append(section)
    return [*joined, bare] if bare is not None else joined


def _without_references(text: str, sections: Sequence[_Section]) -> list[_Section]:
    kept: list[_Section] = []
    dropped_level = 0
    for section in sections:
        heading = section.blocks[0]
        if dropped_level and section.level > dropped_level:
            continue
        dropped_level = 0
        if heading.level and _REFERENCES.match(text[heading.start : heading.end]):
            dropped_level = heading.level
            continue
        kept.append(section)
    return kept


def _grouped(sections: Sequence[_Section], size: int) -> Iterator[list[_Section]]:
    group: list[_Section] = []
    total = 0
    for section in sections:
        if group and (total + section.tokens > size or section.level < group[0].level):
            yield group
            group, total = [], 0
        group.append(section)
        total += section.tokens
    if group:
        yield group


def _cut(text: str, blocks: Sequence[_Block], tokens: TokenCounter, size: int) -> Iterator[Span]:
    """Cut one section between its paragraphs; a heading stays with what follows it."""
    held: list[Span] = []
    total = 0
    for number, block in enumerate(blocks):
        parts = _rows(text, block, tokens) if block.tokens > size else [Span(block.start, block.end, block.tokens)]
        for part in parts:
            if held and total + part.tokens > size and not (number and blocks[number - 1].level and len(held) == 1):
                yield Span(held[0].start, held[-1].end, total)
                held, total = [], 0
            held.append(part)
            total += part.tokens
    if held:
        yield Span(held[0].start, held[-1].end, total)


def _rows(text: str, block: _Block, tokens: TokenCounter) -> list[Span]:
    """Return the rows of a table; other blocks whole."""
    lines = [Span(row.start(), row.end(), 0) for row in _ROWS.finditer(text, block.start, block.end)]
    cells = sum("\t" in text[line.start : line.end] or "|" in text[line.start : line.end] for line in lines)
    if len(lines) < 2 or cells < 0.8 * len(lines):
        return [Span(block.start, block.end, block.tokens)]
    return [Span(line.start, line.end, tokens.count(text[line.start : line.end])) for line in lines]


def _short_enough(text: str, span: Span, tokens: TokenCounter, size: int, overlap: int) -> Iterator[Span]:
    if span.tokens <= size:
        if (inner := trimmed(text, span)) is not None:
            yield inner
        return
    body = text[span.start : span.end]
    for part in recursive_spans(body, tokens, size=size, overlap=overlap):
        yield Span(span.start + part.start, span.start + part.end, part.tokens)
