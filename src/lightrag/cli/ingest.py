"""`lightrag ingest`: hand over files, watch them being indexed, tell what became of them."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from lightrag.cli.files import collect
from lightrag.cli.running import FAILED, OK, Where, console
from lightrag.cli.targets import NoServer, SourceFile, Target
from lightrag.errors import InvalidInput, LightRAGError, StorageError
from lightrag.types import TagValue

if TYPE_CHECKING:
    from rich.progress import Progress

POLL_SECONDS = 0.2
Fate = Literal["accepted", "updated", "unchanged"]


@dataclasses.dataclass(frozen=True, slots=True)
class TakenIn:
    """A document whose file was taken in."""

    doc_id: str
    name: str
    fate: Fate


@dataclasses.dataclass(slots=True)
class Summary:
    """What became of the files."""

    counts: dict[Fate, int] = dataclasses.field(default_factory=dict)
    chunks: int = 0
    failures: list[tuple[str, str]] = dataclasses.field(default_factory=list)
    """Name and reason."""
    incomplete: list[tuple[str, int]] = dataclasses.field(default_factory=list)
    """Documents that are usable although nothing could be extracted from some of their chunks."""

    def count(self, fate: Fate) -> None:
        """Count a file."""
        self.counts[fate] = self.counts.get(fate, 0) + 1

    def fail(self, name: str, reason: str) -> None:
        """Note a failure."""
        self.failures.append((name, reason))


async def ingest(where: Where, paths: Sequence[Path], tags: Mapping[str, TagValue], *, waits: bool) -> int:
    """Ingest files and folders; returns the exit status: 1 where any file failed."""
    input_dir = None if where.url else where.settings().paths.input_dir
    files = await collect(paths, input_dir)
    if not files:
        raise InvalidInput("Nothing to ingest: there is no file of a kind that can be read. See docs/formats.md")
    summary = Summary()
    async with where.target(indexes=waits) as target:
        with _progress() as progress:
            open_documents = await _offer_all(target, files, tags, summary, progress)
            if waits:
                await _watch(target, open_documents, summary, progress)
            else:
                for document in open_documents:
                    summary.count(document.fate)
    _tell(summary, waits=waits)
    return FAILED if summary.failures else OK


async def _offer_all(
    target: Target, files: Sequence[SourceFile], tags: Mapping[str, TagValue], summary: Summary, progress: Progress
) -> list[TakenIn]:
    """Hand over all files; return what was taken in. Unchanged documents too: they may have been interrupted."""
    task = progress.add_task("taking in", total=len(files), note="")
    taken: list[TakenIn] = []
    for file in files:
        try:
            offered = await target.offer(file, tags)
        except (StorageError, NoServer):
            raise
        except (LightRAGError, OSError) as error:
            summary.fail(file.name, str(error))
        else:
            taken.append(TakenIn(offered.doc_id, file.name, offered.outcome))
        progress.advance(task)
    return taken


async def _watch(target: Target, documents: Sequence[TakenIn], summary: Summary, progress: Progress) -> None:
    """Wait until all documents are processed or failed."""
    docs = progress.add_task("documents", total=len(documents), note="")
    chunks = progress.add_task("chunks", total=None, note="")
    waiting = deque(documents)
    while waiting:
        # Documents end in about their order, so looking at the first ones is enough.
        while waiting and await _note_if_final(target, waiting[0], summary):
            waiting.popleft()
            progress.advance(docs)
        work = await target.work()
        pause = f"the model server asked to wait until {work.paused_until}" if work.paused_until else work.message
        progress.update(chunks, total=work.chunks or None, completed=work.chunks_done, note=pause)
        if waiting:
            await asyncio.sleep(POLL_SECONDS)


async def _note_if_final(target: Target, document: TakenIn, summary: Summary) -> bool:
    state = await target.state(document.doc_id)
    if not state.is_final:
        return False
    if state.status == "failed":
        summary.fail(document.name, state.error or "no reason was recorded")
    else:
        summary.count(document.fate)
        summary.chunks += state.chunks
        if state.failed_chunks:
            summary.incomplete.append((document.name, state.failed_chunks))
    return True


@contextlib.contextmanager
def _progress() -> Iterator[Progress]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description:>10}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=console(on_stderr=True)) as progress:
        yield progress


def _tell(summary: Summary, *, waits: bool) -> None:
    words = {"accepted": "new", "updated": "changed", "unchanged": "unchanged"}
    parts = [f"{summary.counts[fate]} {word}" for fate, word in words.items() if fate in summary.counts]
    if summary.failures:
        parts.append(f"{len(summary.failures)} failed")
    line = ", ".join(parts) + (f"; {summary.chunks} chunks" if waits else "; indexing goes on at the next start")
    out = console()
    out.print(line, markup=False)
    for name, reason in summary.failures:
        out.print(f"  failed: {name}: {reason}", markup=False)
    for name, count in summary.incomplete:
        out.print(f"  incomplete: {name}: nothing could be extracted from {count} chunks", markup=False)
    if summary.incomplete:
        out.print("  they are tried again when the document changes, or with: lightrag retry", markup=False)
