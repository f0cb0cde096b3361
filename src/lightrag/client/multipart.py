"""Files in request bodies: multipart/form-data (RFC 7578), read while it is sent."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, TypeAlias

from lightrag.client.errors import Invalid

UploadSource: TypeAlias = "str | os.PathLike[str] | bytes | BinaryIO"
"""A path, the content itself, or a file that is open for reading bytes."""
Progress: TypeAlias = Callable[[int, int | None], None]
"""Called with the bytes of files sent so far and, where it is known, the number of all. May run in another thread."""

BLOCK = 256 * 1024
_QUOTED = str.maketrans({'"': "%22", "\r": "%0D", "\n": "%0A"})
"""How browsers write names that a quoted string cannot hold."""


@dataclasses.dataclass(slots=True)
class UploadFile:
    """One file to be sent."""

    source: UploadSource
    name: str
    _stream: BinaryIO | None = None
    _begin: int | None = None

    @property
    def is_repeatable(self) -> bool:
        """Whether it can be read again."""
        return isinstance(self.source, bytes | str | os.PathLike) or self.source.seekable()

    def open(self) -> int | None:
        """Begin to read it; returns its size in bytes, None where that cannot be known."""
        if isinstance(self.source, bytes):
            self._stream = io.BytesIO(self.source)
            return len(self.source)
        if isinstance(self.source, str | os.PathLike):
            self._stream = Path(self.source).open("rb")  # noqa: SIM115 - closed by `close`
            return os.fstat(self._stream.fileno()).st_size
        self._stream = self.source
        if not self.source.seekable():
            return None
        # What was read before it was handed in is not part of the upload.
        self._begin = self.source.tell() if self._begin is None else self._begin
        size = self.source.seek(0, os.SEEK_END) - self._begin
        self.source.seek(self._begin)
        return size

    def blocks(self) -> Iterator[bytes]:
        """Yield its content."""
        assert self._stream is not None
        while block := self._block(self._stream):
            if not isinstance(block, bytes):
                raise Invalid(f"The file '{self.name}' must be open for reading bytes ('rb')")
            yield block

    def _block(self, stream: BinaryIO) -> bytes:
        try:
            return stream.read(BLOCK)
        except OSError as error:
            raise Invalid(f"The file '{self.name}' cannot be read: {error}") from error

    def close(self) -> None:
        """Close it, unless the caller has opened it."""
        if self._stream is not None and self._stream is not self.source:
            self._stream.close()
        self._stream = None


class Multipart:
    """Form fields and files as one body."""

    def __init__(
        self,
        files: Sequence[UploadFile],
        fields: Mapping[str, str],
        *,
        field: str = "file",
        progress: Progress | None = None,
    ) -> None:
        self._files = files
        self._progress = progress
        self._boundary = secrets.token_hex(16)
        self._fields = "".join(f"{self._head(name)}\r\n\r\n{value}\r\n" for name, value in fields.items()).encode()
        self._heads = [
            f'{self._head(field)}; filename="{file.name.translate(_QUOTED)}"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n".encode("utf-8", "replace")
            for file in files
        ]
        self._end = f"--{self._boundary}--\r\n".encode()
        self._payload: int | None = None
        self.content_type = f"multipart/form-data; boundary={self._boundary}"

    @property
    def is_repeatable(self) -> bool:
        """Whether all files can be read again."""
        return all(file.is_repeatable for file in self._files)

    @property
    def size(self) -> int | None:
        """Bytes of the whole body, once it is open."""
        if self._payload is None:
            return None
        return len(self._fields) + sum(len(head) + 2 for head in self._heads) + self._payload + len(self._end)

    def open(self) -> None:
        """Open all files. Raises `Invalid` where one cannot be read."""
        sizes: list[int | None] = []
        for file in self._files:
            try:
                sizes.append(file.open())
            except OSError as error:
                self.close()
                raise Invalid(f"The file '{file.name}' cannot be read: {error}") from error
        known = [size for size in sizes if size is not None]
        self._payload = sum(known) if len(known) == len(sizes) else None

    def blocks(self) -> Iterator[bytes]:
        """Yield the body, a file never held as a whole."""
        sent = 0
        if self._fields:
            yield self._fields
        for head, file in zip(self._heads, self._files, strict=True):
            yield head
            for block in file.blocks():
                yield block
                sent += len(block)
                if self._progress is not None:
                    self._progress(sent, self._payload)
            yield b"\r\n"
        yield self._end

    def close(self) -> None:
        """Close what `open` has opened."""
        for file in self._files:
            with contextlib.suppress(OSError):
                file.close()

    def _head(self, name: str) -> str:
        return f'--{self._boundary}\r\nContent-Disposition: form-data; name="{name.translate(_QUOTED)}"'


def upload_file(source: UploadSource, name: str | None = None) -> UploadFile:
    """Return a file to be sent. Raises `Invalid` where it has no name, or is no file."""
    if isinstance(source, bytearray | memoryview):
        source = bytes(source)
    if not isinstance(source, bytes | str | os.PathLike) and not hasattr(source, "read"):
        raise Invalid(f"A file is a path, bytes or an open file, not {type(source).__name__}")
    if not name and isinstance(source, str | os.PathLike):
        name = Path(source).name
    elif not name:
        given = getattr(source, "name", None)
        name = Path(given).name if isinstance(given, str) else None
    if not name:
        raise Invalid("This file has no name of its own: give one with name=")
    return UploadFile(source, name)
