"""Long texts are kept in a file that has no name, so that a 100 MB document does not cost the server as much memory."""

from __future__ import annotations

import codecs
import tempfile
import weakref
from collections.abc import Iterator
from typing import BinaryIO

from lightrag.types import is_blank

_BLOCK = 1 << 20


class SpooledText:
    """A text in a temporary file, which is gone with it. Its methods block; one reader at a time."""

    def __init__(self) -> None:
        """Make an empty one. Raises OSError where there is no place for temporary files."""
        self._file: BinaryIO = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115
        weakref.finalize(self, self._file.close)
        self.length = 0
        self.is_blank = True

    def append(self, piece: str) -> None:
        """Write at the end."""
        content = memoryview(piece.encode("utf-8", "surrogatepass"))
        while content:
            content = content[self._file.write(content) :]
        self.length += len(piece)
        self.is_blank = self.is_blank and is_blank(piece)

    def pieces(self, size: int) -> Iterator[str]:
        """Yield the text in pieces of `size` characters; only the last one may be shorter."""
        decoder = codecs.getincrementaldecoder("utf-8")("surrogatepass")
        self._file.seek(0)
        held = ""
        while block := self._file.read(_BLOCK):
            held += decoder.decode(block)
            whole = len(held) - len(held) % size
            for start in range(0, whole, size):
                yield held[start : start + size]
            held = held[whole:]
        if held:
            yield held
