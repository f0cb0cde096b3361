"""The server's side of a reader process."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import os
import signal
import sys
from typing import Any, Self

from lightrag.documents import protocol
from lightrag.documents.builder import HELD_CHARS, Summary, TextCollector
from lightrag.documents.formats import Format, Source
from lightrag.documents.limits import MIB
from lightrag.documents.pictures import PictureRules
from lightrag.documents.threads import in_thread
from lightrag.errors import InvalidInput, TooLarge, UnreadableDocument, UnsupportedFormat
from lightrag.types import FoundPicture, PageSpan, ParsedDocument

_ERRORS: dict[str, type[InvalidInput]] = {
    "TooLarge": TooLarge,
    "UnreadableDocument": UnreadableDocument,
    "UnsupportedFormat": UnsupportedFormat,
}
_INHERITED = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT", "TEMP", "TMP", "TMPDIR")
_RETIRED_ABOVE = 48 * MIB
_ANSWERS = (protocol.TEXT, protocol.PICTURE, protocol.PICTURE_BYTES, protocol.DONE, protocol.FAILED)
_MEDIA_TYPES = frozenset(f"image/{kind}" for kind in ("png", "jpeg", "gif", "webp", "bmp", "tiff"))


class ReaderGone(Exception):
    """The process ended before it began to answer."""


class ReaderProcess:
    """A child process that reads one file at a time. Started afresh, not forked: it knows nothing of the server."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.files_read = 0
        self._peak_memory = 0
        self._is_answering = False
        self._has_read_much = False

    @classmethod
    async def start(cls, memory_bytes: int) -> Self:
        """Start a process that may hold `memory_bytes` of memory."""
        return cls(
            await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "lightrag.documents.worker", str(memory_bytes)),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                env=_environment(),
                # Ctrl-C in a terminal is the server's business.
                start_new_session=True,
            )
        )

    @property
    def is_usable(self) -> bool:
        """Whether it waits for a file and has not grown large over earlier ones.

        After a long text it goes at once: the server needs the memory to index it, which takes longer than a start.
        """
        is_small = self._peak_memory < _RETIRED_ABOVE and not self._has_read_much
        return self._process.returncode is None and not self._is_answering and is_small

    async def read(self, source: Source, format: Format) -> ParsedDocument:
        """Return the text of a file and what is known of it, with its pictures where the source wants them.

        Raises UnreadableDocument, TooLarge, and ReaderGone where the process did not even begin to answer.
        """
        stdin = self._process.stdin
        assert stdin is not None
        collector, pictures = TextCollector(source.limits), _Pictures(source.pictures)
        has_begun = False
        self.files_read += 1
        self._is_answering = True
        try:
            stdin.write(protocol.json_frame(protocol.REQUEST, _request(source, format)))
            await stdin.drain()
            while True:
                kind, payload = await self._receive()
                has_begun = True
                if kind == protocol.TEXT:
                    collector.add(payload.decode("utf-8"))
                    if collector.is_full:
                        await in_thread(collector.write)
                    continue
                if kind == protocol.PICTURE:
                    pictures.begin(json.loads(payload))
                    continue
                if kind == protocol.PICTURE_BYTES:
                    pictures.add(payload)
                    continue
                content = json.loads(payload)
                self._peak_memory = int(content["peak_memory"])
                result = _failure(content) if kind == protocol.FAILED else _summary(content)
                self._is_answering = False
                if isinstance(result, InvalidInput):
                    raise result
                document = await in_thread(collector.document, result, pictures.take())
                self._has_read_much = document.length > HELD_CHARS
                return document
        except (ConnectionError, asyncio.IncompleteReadError) as error:
            await self._process.wait()
            if self.files_read > 1 and not has_begun:
                raise ReaderGone from error
            raise self._crashed(source, format) from error
        except (ValueError, KeyError, TypeError) as error:
            # Only a process that was taken over by the file says what cannot be understood.
            raise UnreadableDocument(f"'{source.name}' made its reader fail. Do not trust this file.") from error

    async def stop(self) -> None:
        """End the process at once and wait until it is gone."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()

    async def _receive(self) -> tuple[bytes, bytes]:
        stdout = self._process.stdout
        assert stdout is not None
        kind, length = protocol.HEADER.unpack(await stdout.readexactly(protocol.HEADER.size))
        if length > protocol.MAX_PAYLOAD or kind not in _ANSWERS:
            raise ValueError("not a frame")
        return kind, await stdout.readexactly(length)

    def _crashed(self, source: Source, format: Format) -> UnreadableDocument:
        code = self._process.returncode or 0
        try:
            how = f" ({signal.Signals(-code).name})" if code < 0 else f" (exit status {code})"
        except ValueError:
            how = f" (signal {-code})"
        return UnreadableDocument(
            f"'{source.name}' made the {format.label} reader end{how}: the file is damaged, or needs more than "
            f"{source.limits.max_memory_bytes / MIB:.0f} MiB of memory. Save it again in its own program, or split it."
        )


class _Pictures:
    """Puts pictures together. Whatever the process says, they stay within the rules."""

    def __init__(self, rules: PictureRules | None) -> None:
        self._rules = rules or PictureRules(max_count=0, max_total_bytes=0)
        self._facts: list[tuple[str, int, int | None]] = []
        self._contents: list[bytearray] = []
        self._missing = 0
        self._left = self._rules.max_total_bytes

    def begin(self, facts: dict[str, Any]) -> None:
        """Take what a picture is. Raises ValueError where it is not allowed."""
        size, media_type, page = int(facts["size"]), str(facts["media_type"]), facts["page"]
        is_allowed = 0 < size <= min(self._left, self._rules.max_bytes) and media_type in _MEDIA_TYPES
        if self._missing or not is_allowed or len(self._facts) >= self._rules.max_count:
            raise ValueError("not a picture that was asked for")
        self._left -= size
        self._missing = size
        self._facts.append((media_type, int(facts["offset"]), None if page is None else int(page)))
        self._contents.append(bytearray())

    def add(self, part: bytes) -> None:
        """Take bytes of the last picture."""
        if not 0 < len(part) <= self._missing:
            raise ValueError("not a part of a picture")
        self._missing -= len(part)
        self._contents[-1] += part

    def take(self) -> tuple[FoundPicture, ...]:
        """Return the pictures."""
        if self._missing:
            raise ValueError("a picture is incomplete")
        return tuple(
            FoundPicture(bytes(content), media_type, offset, page)
            for content, (media_type, offset, page) in zip(self._contents, self._facts, strict=True)
        )


def _request(source: Source, format: Format) -> dict[str, Any]:
    return {
        "parser": format.parser,
        "label": format.label,
        "path": str(source.path),
        "name": source.name,
        "password": source.password,
        "limits": dataclasses.asdict(source.limits),
        "pictures": dataclasses.asdict(source.pictures) if source.pictures is not None else None,
    }


def _failure(content: dict[str, Any]) -> InvalidInput:
    return _ERRORS[content["error"]](str(content["message"]))


def _summary(content: dict[str, Any]) -> Summary:
    return Summary(
        tuple(PageSpan(int(page), int(start), int(end)) for page, start, end in content["pages"]),
        content["title"],
        tuple(content["warnings"]),
    )


def _environment() -> dict[str, str]:
    """Return what the process needs to find its modules; keys and passwords of the server are not among it."""
    kept = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    return kept | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PYTHONDONTWRITEBYTECODE": "1"}
