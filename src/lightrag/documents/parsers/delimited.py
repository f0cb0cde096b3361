"""CSV: one line per record, cells separated by a tab, whatever the delimiter and quoting of the file."""

from __future__ import annotations

import csv
import itertools
from collections import Counter
from collections.abc import Iterator

from lightrag.documents.builder import TextBuilder
from lightrag.documents.decoding import read_text
from lightrag.documents.formats import Source

_DELIMITERS = (",", ";", "\t", "|")
_SAMPLE_CHARACTERS = 64 * 1024
_SAMPLE_RECORDS = 100
_ROWS_PER_WRITE = 2000


def parse(source: Source, out: TextBuilder) -> None:
    """Write the records; a file without a recognisable delimiter is written as it is."""
    # The limit is the whole process's; this runs in a process of its own.
    csv.field_size_limit(source.limits.max_text_chars)
    with source.path.open("rb") as stream:
        pieces = read_text(stream, source.name)
        first = next(pieces, "")
        delimiter = sniff_delimiter(first[:_SAMPLE_CHARACTERS])
        pieces = itertools.chain([first], pieces)
        if delimiter is None:
            for piece in pieces:
                out.add(piece)
            return
        rows = csv.reader(_lines(pieces), delimiter=delimiter)
        while batch := list(itertools.islice(rows, _ROWS_PER_WRITE)):
            out.add("".join(f"{row}\n" for cells in batch if (row := _row(cells))))


def sniff_delimiter(sample: str) -> str | None:
    """Return the delimiter that cuts the sample's records into the same number of cells, more than one, most often."""
    scores = {delimiter: _score(sample, delimiter) for delimiter in _DELIMITERS}
    best = max(scores, key=lambda delimiter: scores[delimiter])
    return best if scores[best] > (0.0, 0) else None


def _score(sample: str, delimiter: str) -> tuple[float, int]:
    """Return the share of records with the commonest number of cells, and that number."""
    records = list(itertools.islice(csv.reader(sample.splitlines(keepends=True), delimiter=delimiter), _SAMPLE_RECORDS))
    if len(records) > 1:
        records.pop()  # The last one may be cut off by the sample's end.
    widths = Counter(len(cells) for cells in records if cells)
    if not widths:
        return (0.0, 0)
    width, count = widths.most_common(1)[0]
    return (count / widths.total(), width) if width > 1 else (0.0, 0)


def _row(cells: list[str]) -> str:
    return "\t".join(" ".join(cell.split()) for cell in cells).rstrip("\t")


def _lines(pieces: Iterator[str]) -> Iterator[str]:
    rest = ""
    for piece in pieces:
        lines = (rest + piece).splitlines(keepends=True)
        # A line may go on in the next piece; so may a CR LF pair.
        rest = lines.pop() if lines else ""
        yield from lines
    if rest:
        yield rest
