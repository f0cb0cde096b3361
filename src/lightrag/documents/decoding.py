"""Bytes to characters, strictly: a wrong guess would be indexed as gibberish and never be noticed."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from typing import BinaryIO

from lightrag.errors import UnreadableDocument

BLOCK_BYTES = 1024 * 1024
_BYTE_ORDER_MARKS: tuple[tuple[bytes, str], ...] = (
    # UTF-32 first: its little-endian mark begins with that of UTF-16.
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_META_CHARSET = re.compile(rb"""<meta[^>]{0,200}?charset\s*=\s*["']?\s*([A-Za-z0-9_:.-]{2,40})""", re.IGNORECASE)
_XML_ENCODING = re.compile(rb"""^\s*<\?xml[^>]{0,200}?encoding\s*=\s*["']([A-Za-z0-9_:.-]{2,40})["']""")
# What browsers read under these labels: supersets that real pages rely on (WHATWG Encoding Standard, section 4.2).
_SUPERSETS = {
    "iso8859-1": "cp1252",
    "ascii": "cp1252",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
    "iso8859-9": "cp1254",
}


def marked_encoding(head: bytes) -> tuple[str, int] | None:
    """Return the encoding that a byte order mark tells and the length of the mark."""
    for mark, encoding in _BYTE_ORDER_MARKS:
        if head.startswith(mark):
            return encoding, len(mark)
    return None


def declared_encoding(head: bytes) -> str | None:
    """Return the encoding that an XML declaration or an HTML meta element names, if Python knows it."""
    found = _XML_ENCODING.search(head[:1024]) or _META_CHARSET.search(head[:4096])
    if found is None:
        return None
    try:
        name = codecs.lookup(found[1].decode("ascii")).name
    except LookupError:
        return None
    if name.startswith(("utf-16", "utf-32", "utf_16", "utf_32")):
        # A declaration that can be read byte by byte is not in a two-byte encoding, whatever it says.
        return "utf-8"
    return _SUPERSETS.get(name, name)


def read_text(stream: BinaryIO, name: str) -> Iterator[str]:
    """Yield a file's characters in blocks of about 1 MiB.

    UTF-8, or UTF-16/32 where a byte order mark says so. Raises UnreadableDocument for all else, for NUL characters
    and for the printed form of Python bytes, which broken exports write.
    """
    block = stream.read(BLOCK_BYTES)
    encoding, skip = marked_encoding(block) or ("utf-8", 0)
    _refuse_binary(block, name, is_marked=skip > 0)
    decoder = codecs.getincrementaldecoder(encoding)("strict")
    offset, block, line = skip, block[skip:], 1
    while True:
        # A character that the last block cut in two is decoded together with this block.
        held = len(decoder.getstate()[0])
        try:
            text = decoder.decode(block, final=not block)
        except UnicodeDecodeError as error:
            raise _wrong_encoding(name, encoding, error, offset - held, line) from error
        if "\x00" in text:
            raise UnreadableDocument(
                f"'{name}' is not a text file: it holds NUL characters near byte {offset:,}. "
                "Give it the suffix of its real format, or save it as UTF-8 text."
            )
        if text:
            yield text
        if not block:
            return
        offset += len(block)
        line += text.count("\n")
        block = stream.read(BLOCK_BYTES)


def read_markup(stream: BinaryIO, name: str) -> Iterator[str]:
    """Yield the characters of HTML or XHTML in blocks of about 1 MiB; the file is read twice.

    Byte order mark, then the declared encoding, then strict UTF-8. Raises UnreadableDocument where none fits.
    """
    head = stream.read(BLOCK_BYTES)
    encoding, skip = marked_encoding(head) or (declared_encoding(head) or "utf-8", 0)
    _refuse_binary(head, name, is_marked=skip > 0)
    problem = _first_problem(stream, name, encoding, skip)
    if problem is not None:
        if encoding == "utf-8" or _first_problem(stream, name, "utf-8", 0) is not None:
            raise problem
        encoding, skip = "utf-8", 0
    stream.seek(skip)
    decoder = codecs.getincrementaldecoder(encoding)("strict")
    while block := stream.read(BLOCK_BYTES):
        yield decoder.decode(block)


def _first_problem(stream: BinaryIO, name: str, encoding: str, skip: int) -> UnreadableDocument | None:
    """Return why a file is not in an encoding, if it is not."""
    stream.seek(skip)
    decoder = codecs.getincrementaldecoder(encoding)("strict")
    offset, line = skip, 1
    while True:
        block = stream.read(BLOCK_BYTES)
        held = len(decoder.getstate()[0])
        try:
            text = decoder.decode(block, final=not block)
        except UnicodeDecodeError as error:
            return _wrong_encoding(name, encoding, error, offset - held, line)
        if not block:
            return None
        offset += len(block)
        line += text.count("\n")


def _refuse_binary(head: bytes, name: str, *, is_marked: bool) -> None:
    if head.startswith((b"b'", b'b"')):
        raise UnreadableDocument(
            f"'{name}' holds the printed form of Python bytes (it begins with {head[:2].decode()}), not text. "
            "Write the decoded text to the file."
        )
    if is_marked or b"\x00" not in head:
        return
    sample = head[:4096]
    if sample.count(0) * 3 > len(sample) and max(sample[::2].count(0), sample[1::2].count(0)) * 2 > len(sample) * 0.8:
        raise UnreadableDocument(
            f"'{name}' looks like UTF-16 without a byte order mark. Save it as UTF-8, or as UTF-16 with the mark."
        )
    raise UnreadableDocument(
        f"'{name}' is not a text file: it holds NUL bytes{_kind_of(head)}. Give it the suffix of its real format."
    )


def _kind_of(head: bytes) -> str:
    kind = describe_signature(head)
    return f" and begins like {kind}" if kind else ""


def describe_signature(head: bytes) -> str | None:
    """Name the kind of a binary file by its first bytes, where they are well known."""
    signatures = (
        (b"%PDF-", "a PDF file"),
        (b"PK\x03\x04", "a zip container (Office, EPUB, or an archive)"),
        (b"\xd0\xcf\x11\xe0", "an old Office file (.doc, .xls, .ppt) or an encrypted one"),
        (b"MZ", "a Windows program"),
        (b"\x7fELF", "a Linux program"),
        (b"\x89PNG", "a PNG image"),
        (b"\xff\xd8\xff", "a JPEG image"),
        (b"GIF8", "a GIF image"),
        (b"\x1f\x8b", "a gzip archive"),
        (b"{\\rtf", "an RTF file"),
        (b"SQLite format 3", "an SQLite database"),
    )
    return next((kind for signature, kind in signatures if head.startswith(signature)), None)


def _wrong_encoding(name: str, encoding: str, error: UnicodeDecodeError, offset: int, line: int) -> UnreadableDocument:
    data = error.object if isinstance(error.object, bytes) else b""
    byte = f"byte 0x{data[error.start]:02X}" if error.start < len(data) else "an incomplete character"
    line += data.count(b"\n", 0, error.start)
    return UnreadableDocument(
        f"'{name}' is not valid {encoding.upper()}: {byte} at offset {offset + error.start:,} (line {line}). "
        "Save the file as UTF-8, for example with `iconv -f CP1252 -t UTF-8`."
    )
