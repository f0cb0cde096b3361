"""Opens zip containers (Office, OpenDocument, EPUB) only after they were proved harmless.

The sizes that a container declares may lie, so every entry is inflated once, counted and thrown away, before a parser
sees the file. Archives inside the container are never opened. Nothing is ever written to disk.
Format: PKWARE APPNOTE.TXT 6.3.10.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from pathlib import Path
from types import TracebackType
from typing import IO, BinaryIO, Self

from lightrag.documents.decoding import describe_signature
from lightrag.documents.formats import Source
from lightrag.documents.limits import MIB, ParseLimits
from lightrag.errors import TooLarge, UnreadableDocument

_BLOCK = 256 * 1024
_SMALL = 64 * MIB
_RATIO_FLOOR = 16 * MIB
_LOCAL_HEADER = struct.Struct("<4s5H3I2H")
_ENCRYPTED_FLAG = 0x1


class SafeArchive:
    """A zip container whose entries were all counted and are within the limits."""

    def __init__(self, source: Source, label: str) -> None:
        """Check the container. Raises UnreadableDocument or TooLarge."""
        _require_zip(source, label)
        try:
            self._zip = zipfile.ZipFile(source.path)
        except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
            raise UnreadableDocument(
                f"'{source.name}' is not a readable {label} file: its zip container is damaged or cut off ({error})."
            ) from error
        try:
            _check(self._zip, source)
        except BaseException:
            self._zip.close()
            raise
        self._names = {info.filename: info for info in self._zip.infolist()}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._zip.close()

    def names(self) -> list[str]:
        """Return the names of all entries."""
        return list(self._names)

    def __contains__(self, name: str) -> bool:
        return name in self._names

    def size(self, name: str) -> int:
        """Return how many bytes an entry unpacks to. Raises KeyError where there is none of that name."""
        return self._names[name].file_size

    def read(self, name: str) -> bytes:
        """Return an entry's bytes. Raises KeyError where there is none of that name."""
        return self._zip.read(self._names[name])

    def read_small(self, name: str) -> bytes | None:
        """Return an entry's bytes; None where there are so many that they are not worth the memory."""
        return self.read(name) if self._names[name].file_size <= _SMALL else None

    def open(self, name: str) -> IO[bytes]:
        """Open an entry for reading. Raises KeyError where there is none of that name."""
        return self._zip.open(self._names[name])


def _require_zip(source: Source, label: str) -> None:
    with source.path.open("rb") as stream:
        head = stream.read(64)
    if head.startswith(b"PK"):
        return
    if not head:
        raise UnreadableDocument(f"'{source.name}' is empty.")
    if head.startswith(b"\xd0\xcf\x11\xe0"):
        if _mentions(source.path, "EncryptedPackage".encode("utf-16-le")):
            raise UnreadableDocument(
                f"'{source.name}' is encrypted. Remove its password in the Office program and upload it again."
            )
        raise UnreadableDocument(
            f"'{source.name}' is an old binary Office file (.doc, .xls, .ppt) under another suffix. "
            f"Save it as {label} and upload it again."
        )
    kind = describe_signature(head)
    raise UnreadableDocument(
        f"'{source.name}' is not a {label} file"
        + (f": it begins like {kind}." if kind else ".")
        + " Give it the suffix of its real format."
    )


def _mentions(path: Path, needle: bytes) -> bool:
    tail = b""
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            if needle in tail + block:
                return True
            tail = block[-len(needle) :]
    return False


def _check(archive: zipfile.ZipFile, source: Source) -> None:
    infos, limits = archive.infolist(), source.limits
    if len(infos) > limits.max_archive_entries:
        raise TooLarge(f"'{source.name}' holds {len(infos):,} entries; {limits.max_archive_entries:,} are allowed.")
    size = source.path.stat().st_size
    _check_total(sum(info.file_size for info in infos), size, source.name, limits)
    total = 0
    end_of_last = 0
    with source.path.open("rb") as stream:
        for info in sorted(infos, key=lambda info: info.header_offset):
            _check_entry(info, source.name)
            if info.header_offset < end_of_last:
                raise UnreadableDocument(f"'{source.name}' is a zip bomb: its entries overlap.")
            end_of_last = info.header_offset + info.compress_size
            total = _inflate(stream, info, total, size, source.name, limits)


def _check_entry(info: zipfile.ZipInfo, name: str) -> None:
    parts = info.filename.replace("\\", "/").split("/")
    if info.filename.startswith(("/", "\\")) or ".." in parts or ":" in parts[0]:
        raise UnreadableDocument(
            f"'{name}' holds an entry with an unsafe path ({info.filename[:100]!r}). Do not trust this file."
        )
    if info.flag_bits & _ENCRYPTED_FLAG:
        raise UnreadableDocument(f"'{name}' is encrypted. Remove its password and upload it again.")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise UnreadableDocument(
            f"'{name}' uses zip compression method {info.compress_type}, which its format does not allow. "
            "Open it in its own program and save it again."
        )


def _inflate(stream: BinaryIO, info: zipfile.ZipInfo, total: int, size: int, name: str, limits: ParseLimits) -> int:
    """Count what the entry really holds and return the sum so far."""
    stream.seek(info.header_offset)
    header = stream.read(_LOCAL_HEADER.size)
    if len(header) < _LOCAL_HEADER.size or not header.startswith(b"PK\x03\x04"):
        raise UnreadableDocument(f"'{name}' is damaged: an entry of its zip container is missing.")
    name_length, extra_length = _LOCAL_HEADER.unpack(header)[-2:]
    stream.seek(name_length + extra_length, 1)
    if info.compress_type == zipfile.ZIP_STORED:
        _check_total(total + info.compress_size, size, name, limits)
        return total + info.compress_size
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    held, remaining = 0, info.compress_size
    while remaining > 0 and not inflater.eof:
        block = stream.read(min(_BLOCK, remaining))
        if not block:
            raise UnreadableDocument(f"'{name}' is cut off: its zip container ends too early.")
        remaining -= len(block)
        while block and not inflater.eof:
            try:
                held += len(inflater.decompress(block, MIB))
            except zlib.error as error:
                raise UnreadableDocument(f"'{name}' is damaged: {info.filename!r} cannot be unpacked.") from error
            block = inflater.unconsumed_tail
            _check_total(total + held, size, name, limits)
    if held > info.file_size:
        raise UnreadableDocument(f"'{name}' is a zip bomb: {info.filename!r} holds more than it declares.")
    return total + held


def _check_total(total: int, size: int, name: str, limits: ParseLimits) -> None:
    if total > limits.max_decompressed_bytes:
        raise TooLarge(
            f"'{name}' unpacks to more than {limits.max_decompressed_bytes / MIB:.0f} MiB. Split it into smaller files."
        )
    if total > _RATIO_FLOOR and total > limits.max_compression_ratio * size:
        raise TooLarge(
            f"'{name}' unpacks to more than {limits.max_compression_ratio} times its size, as zip bombs do. "
            "If it is genuine, save it again without compression, or split it."
        )
