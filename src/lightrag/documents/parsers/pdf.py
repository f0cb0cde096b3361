"""PDF: the text layer of every page, through PDFium."""

from __future__ import annotations

import re
from itertools import groupby

import pypdfium2
from pypdfium2 import raw

from lightrag.documents.builder import TextBuilder
from lightrag.documents.decoding import describe_signature
from lightrag.documents.formats import Source
from lightrag.documents.parsers.pdf_pictures import PdfPictures
from lightrag.errors import TooLarge, UnreadableDocument

_HEADER_WITHIN = 1024
"""Bytes in which viewers look for the header (ISO 32000-1, Annex H.3, note 13)."""
_REOPENED_AFTER = 500
"""Pages after which the file is opened anew, which takes milliseconds."""
_LINE_END_HYPHEN = re.compile("[\x02\ufffe](?:\r?\n)?")
"""What PDFium writes for a hyphen that only divides a word at the end of a line."""


def parse(source: Source, out: TextBuilder) -> None:
    """Write the text page by page."""
    _require_pdf(source)
    document = _open(source)
    try:
        count = len(document)
        if count > source.limits.max_pages:
            raise TooLarge(
                f"'{source.name}' has {count:,} pages; {source.limits.max_pages:,} are allowed. Split the file."
            )
        out.set_title(document.get_metadata_value("Title"))
        empty, damaged = [], []
        pictures = PdfPictures(document, source.pictures, out)
        for index in range(count):
            if index and index % _REOPENED_AFTER == 0:
                # PDFium keeps what it has parsed of every page.
                document.close()
                document = _open(source)
                pictures.go_on_with(document)
            out.start_page(index + 1)
            text = _page_text(document, index)
            if text is None:
                damaged.append(index + 1)
                continue
            if text.strip():
                out.line(text)
            if not pictures.write(index) and not text.strip():
                empty.append(index + 1)
    finally:
        document.close()
    if out.is_empty:
        raise UnreadableDocument(
            f"'{source.name}' holds no text on any of its {count} page(s): the pages seem to be scanned images. "
            "Run text recognition on it (for example `ocrmypdf`) and upload the result."
        )
    if empty:
        out.warn(f"No text on page(s) {_ranges(empty)}: blank, or scanned images that need text recognition.")
    if damaged:
        out.warn(f"Page(s) {_ranges(damaged)} are damaged and were left out.")


def _require_pdf(source: Source) -> None:
    with source.path.open("rb") as stream:
        head = stream.read(_HEADER_WITHIN)
    if not head:
        raise UnreadableDocument(f"'{source.name}' is empty.")
    if b"%PDF-" not in head:
        kind = describe_signature(head)
        raise UnreadableDocument(
            f"'{source.name}' is not a PDF file"
            + (f": it begins like {kind}." if kind else ".")
            + " Give it the suffix of its real format."
        )


def _open(source: Source) -> pypdfium2.PdfDocument:
    try:
        return pypdfium2.PdfDocument(source.path, password=source.password)
    except pypdfium2.PdfiumError as error:
        code = error.err_code
        if code == raw.FPDF_ERR_PASSWORD and source.password:
            reason = "is encrypted, and the configured password (PDF_DECRYPT_PASSWORD) does not open it."
        elif code == raw.FPDF_ERR_PASSWORD:
            reason = "is encrypted. Set PDF_DECRYPT_PASSWORD to its password, or remove the password."
        elif code == raw.FPDF_ERR_SECURITY:
            reason = "is protected in a way that cannot be opened. Remove the protection."
        else:
            reason = "is damaged or cut off. Upload the whole file, or print it to a new PDF file."
        raise UnreadableDocument(f"'{source.name}' {reason}") from error


def _page_text(document: pypdfium2.PdfDocument, index: int) -> str | None:
    """Return a page's text; None where the page cannot be loaded."""
    try:
        page = document[index]
    except pypdfium2.PdfiumError:
        return None
    try:
        text_page = page.get_textpage()
        try:
            text: str = text_page.get_text_range()
        finally:
            text_page.close()
    except pypdfium2.PdfiumError:
        return None
    finally:
        page.close()
    return _LINE_END_HYPHEN.sub("", text)


def _ranges(pages: list[int]) -> str:
    """Write page numbers in short: 1, 4-6."""
    runs = [[page for _, page in run] for _, run in groupby(enumerate(pages), key=lambda item: item[1] - item[0])]
    shown = [str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs]
    return ", ".join(shown[:20]) + (", …" if len(shown) > 20 else "")
