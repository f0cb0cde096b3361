"""The pictures of a PDF file, through PDFium.

JPEG streams are passed on as they are; what is stored in another way is decoded and written as PNG.
"""

from __future__ import annotations

import hashlib

import pypdfium2
from pypdfium2 import raw

from lightrag.documents.builder import TextBuilder
from lightrag.documents.pictures import PictureRules, inspect, png_of, thinned

_MOST_PIXELS = 40_000_000
"""A page of A3 size at 300 dots per inch has 17 million."""
_MOST_STEP = 4
_DEPTHS = {raw.FPDFBitmap_Gray: 1, raw.FPDFBitmap_BGR: 3, raw.FPDFBitmap_BGRx: 4, raw.FPDFBitmap_BGRA: 4}
_JPEG_COLOURS = frozenset(
    {
        *(raw.FPDF_COLORSPACE_DEVICEGRAY, raw.FPDF_COLORSPACE_DEVICERGB, raw.FPDF_COLORSPACE_CALGRAY),
        *(raw.FPDF_COLORSPACE_CALRGB, raw.FPDF_COLORSPACE_ICCBASED),
    }
)
_INKS = 4
"""Components of pictures for printing, which models do not read."""


class PdfPictures:
    """The pictures of one document; one that stands on many pages is decoded once."""

    def __init__(self, document: pypdfium2.PdfDocument, rules: PictureRules | None, out: TextBuilder) -> None:
        self._document = document
        self._rules = rules
        self._out = out
        self._seen: set[bytes] = set()

    def go_on_with(self, document: pypdfium2.PdfDocument) -> None:
        """Take the next pages from the same file, opened anew."""
        self._document = document

    def write(self, index: int) -> bool:
        """Note the pictures of a page; return whether any of them is described."""
        if self._rules is None:
            return False
        page = self._document[index]
        found = False
        try:
            for item in page.get_objects(filter=[raw.FPDF_PAGEOBJ_IMAGE], max_depth=4):
                found |= self._note(item)
        except pypdfium2.PdfiumError:
            self._out.warn(f"Pictures on page {index + 1} could not be read.")
        finally:
            page.close()
        return found

    def _note(self, item: pypdfium2.PdfImage) -> bool:
        try:
            width, height = item.get_px_size()
        except pypdfium2.PdfiumError:
            return False
        if width * height > _MOST_PIXELS:
            return False
        return self._out.picture(lambda: self._content(item), (width, height))

    def _content(self, item: pypdfium2.PdfImage) -> bytes | None:
        try:
            data = bytes(item.get_data())
            digest = hashlib.sha256(data).digest()
            if digest in self._seen:
                return None
            self._seen.add(digest)
            if item.get_filters(skip_simple=True) == ["DCTDecode"] and item.get_metadata().colorspace in _JPEG_COLOURS:
                jpeg = bytes(item.get_data(decode_simple=True))
                facts = inspect(jpeg)
                if facts is not None and facts.components not in (0, _INKS):
                    return jpeg
            return self._png(item)
        except (pypdfium2.PdfiumError, MemoryError):
            return None

    def _png(self, item: pypdfium2.PdfImage) -> bytes | None:
        bitmap = item.get_bitmap()
        try:
            depth = _DEPTHS.get(bitmap.format)
            if depth is None:
                return None
            rows, width, height = bytes(bitmap.buffer), bitmap.width, bitmap.height
            png = png_of(rows, width, height, bitmap.stride, depth)
            most = self._rules.max_bytes if self._rules is not None else 0
            step = 1
            while len(png) > most and step < _MOST_STEP:
                step += 1
                fewer, left, count = thinned(rows, width, height, bitmap.stride, depth, step)
                png = png_of(fewer, left, count, left * depth, depth)
            return png
        finally:
            bitmap.close()
