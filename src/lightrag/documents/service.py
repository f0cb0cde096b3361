"""The one way from a file to its text."""

from __future__ import annotations

import asyncio
import contextlib
import os
import stat
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from lightrag.documents.builder import TextBuilder, TextCollector
from lightrag.documents.formats import FORMATS, PICTURE_FORMATS, Format, Source, format_of, load_parser
from lightrag.documents.limits import MIB, ParseLimits
from lightrag.documents.pictures import PictureRules
from lightrag.documents.reader import ReaderGone, ReaderProcess
from lightrag.documents.running import run_parser
from lightrag.documents.threads import in_thread
from lightrag.errors import TooLarge, UnreadableDocument
from lightrag.types import ParsedDocument

_FILES_PER_READER = 200
"""A reader is replaced after so many files, so that what libraries leak does not add up."""


class DocumentParser:
    """Reads files: plain text in a thread, all other formats in processes of their own, at most `workers` at once.

    Reader processes are started when needed, kept for the next file, and ended after `idle_seconds` without one. A
    file that crashes, hangs, or grows its reader fails alone.
    """

    def __init__(
        self,
        limits: ParseLimits | None = None,
        password: str | None = None,
        *,
        workers: int | None = None,
        idle_seconds: float = 30.0,
        formats: Mapping[str, Format] = FORMATS,
    ) -> None:
        """`password` is tried on encrypted PDF files; `workers` is half the processor cores by default, at most 4."""
        self._limits = limits or ParseLimits()
        self._password = password or None
        self._idle_seconds = idle_seconds
        self._formats = formats
        self._slots = asyncio.Semaphore(workers or max(1, min(4, (os.cpu_count() or 2) // 2)))
        self._idle: list[tuple[ReaderProcess, asyncio.TimerHandle]] = []
        self._stopping: set[asyncio.Task[None]] = set()
        self._is_closed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End all reader processes."""
        self._is_closed = True
        for reader, timer in self._idle:
            timer.cancel()
            self._stop(reader)
        self._idle.clear()
        if self._stopping:
            await asyncio.wait(self._stopping)

    async def parse(self, path: Path, name: str, pictures: PictureRules | None = None) -> ParsedDocument:
        """Return the text of the file at `path`; `name` tells its format and is used in messages.

        With `pictures` the pictures that it says are returned, too, and files that are pictures are read. The text is
        never blank where there are no pictures. Raises UnsupportedFormat, TooLarge, or UnreadableDocument.
        """
        if pictures is not None and pictures.max_count == 0:
            pictures = None
        format = format_of(name, self._formats if pictures is None else {**self._formats, **PICTURE_FORMATS})
        source = Source(path, name, self._limits, self._password, pictures)
        await in_thread(_check_file, source)
        try:
            async with asyncio.timeout(self._limits.timeout_seconds if not format.is_isolated else None):
                parsed = await (self._isolated(source, format) if format.is_isolated else _inline(source, format))
        except TimeoutError:
            raise _too_slow(source) from None
        if not parsed.pictures and parsed.is_blank:
            raise UnreadableDocument(f"'{name}' holds no text.")
        return parsed

    async def _isolated(self, source: Source, format: Format) -> ParsedDocument:
        async with self._slots:
            try:
                return await self._read(source, format)
            except ReaderGone:
                # It had died while idle; that says nothing about this file.
                return await self._read(source, format)

    async def _read(self, source: Source, format: Format) -> ParsedDocument:
        reader = self._take_idle() or await ReaderProcess.start(self._limits.max_memory_bytes)
        try:
            # Time spent waiting for a slot does not count.
            async with asyncio.timeout(self._limits.timeout_seconds):
                return await reader.read(source, format)
        except TimeoutError:
            raise _too_slow(source) from None
        finally:
            if reader.is_usable and reader.files_read < _FILES_PER_READER and not self._is_closed:
                self._keep(reader)
            else:
                await asyncio.shield(self._stop(reader))

    def _take_idle(self) -> ReaderProcess | None:
        while self._idle:
            reader, timer = self._idle.pop()
            timer.cancel()
            if reader.is_usable:
                return reader
            self._stop(reader)
        return None

    def _keep(self, reader: ReaderProcess) -> None:
        timer = asyncio.get_running_loop().call_later(self._idle_seconds, self._retire, reader)
        self._idle.append((reader, timer))

    def _retire(self, reader: ReaderProcess) -> None:
        self._idle = [(kept, timer) for kept, timer in self._idle if kept is not reader]
        self._stop(reader)

    def _stop(self, reader: ReaderProcess) -> asyncio.Task[None]:
        task = asyncio.create_task(reader.stop(), name="stop document reader")
        self._stopping.add(task)
        task.add_done_callback(self._stopping.discard)
        return task


class _Abandoned(Exception):
    """Nobody waits for the text any more."""


async def _inline(source: Source, format: Format) -> ParsedDocument:
    abandoned = threading.Event()
    try:
        work = asyncio.ensure_future(asyncio.to_thread(_run_inline, source, format, abandoned))
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        abandoned.set()
        await asyncio.wait({work})
        with contextlib.suppress(Exception):
            work.result()
        raise


def _run_inline(source: Source, format: Format, abandoned: threading.Event) -> ParsedDocument:
    collector = TextCollector(source.limits)

    def emit(piece: str) -> None:
        if abandoned.is_set():
            raise _Abandoned
        collector.add(piece)
        if collector.is_full:
            collector.write()

    summary = run_parser(load_parser(format.parser), format.label, source, TextBuilder(source.limits, emit))
    return collector.document(summary)


def _check_file(source: Source) -> None:
    try:
        facts = source.path.stat()
    except OSError as error:
        raise UnreadableDocument(f"'{source.name}' cannot be opened: {error.strerror or error}.") from error
    if not stat.S_ISREG(facts.st_mode):
        raise UnreadableDocument(f"'{source.name}' is not a file.")
    if facts.st_size == 0:
        raise UnreadableDocument(f"'{source.name}' is empty.")
    if facts.st_size > source.limits.max_file_bytes:
        raise TooLarge(
            f"'{source.name}' has {facts.st_size / MIB:.1f} MiB; {source.limits.max_file_bytes / MIB:.1f} MiB are "
            "allowed. Split it into smaller files."
        )


def _too_slow(source: Source) -> UnreadableDocument:
    return UnreadableDocument(
        f"'{source.name}' could not be read within {source.limits.timeout_seconds:g} seconds. "
        "Split it into smaller files, or save it again in its own program."
    )
