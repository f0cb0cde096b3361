"""Schedules the work of one workspace: claims documents, keeps the model's slots full, summarises when idle."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from lightrag.callers import calling_as
from lightrag.errors import LightRAGError, LimitReached, StorageUnavailable
from lightrag.finishing import to_the_end
from lightrag.indexing.document_job import DocumentJob, Superseded
from lightrag.indexing.job_tools import JobTools
from lightrag.indexing.owner import is_dead
from lightrag.indexing.payers import caller_of
from lightrag.indexing.progress import PipelineStatus
from lightrag.indexing.row_requests import OPEN, fail_open
from lightrag.indexing.sharing import Sharing, View
from lightrag.indexing.stale import StaleText
from lightrag.indexing.summarizer import Summarizer
from lightrag.indexing.summary_rounds import SummaryRounds
from lightrag.types import DocumentRecord

_log = logging.getLogger("lightrag.pipeline")


@dataclasses.dataclass(frozen=True, slots=True)
class SlotUse:
    """What the model's limiter reports."""

    slots: int = 0
    busy: int = 0
    paused_until: float | None = None
    """Unix seconds, where the server asked to wait."""


@dataclasses.dataclass(frozen=True, slots=True)
class PipelineOptions:
    """How the pipeline schedules."""

    owner: str
    """Names this process in leases."""
    slots: int = 4
    max_documents: int = 64
    """Documents that are worked on at once."""
    lease_seconds: float = 60.0
    poll_seconds: float = 2.0
    """How often work is looked for that other processes have accepted."""
    look_anyway_seconds: float = 15.0
    """How often work is looked for that processes left behind when they died, where nothing was written meanwhile."""
    summarise_every: float = 300.0
    """With documents arriving all the time, summaries are written at least this often (seconds)."""
    left_over_seconds: float = 60.0
    """How often vectors are looked for that nobody makes; ever more rarely (up to an hour) while that is in vain."""


class Pipeline:
    """Works off the documents of a workspace, in turn with other processes that do the same.

    Whichever process finds work first becomes the indexer and does all of it until nothing is left, so that the model
    server gets no more calls at a time than one process may make; another takes over when it dies. A document belongs
    to the process that holds its lease, whatever happens to the post. Documents are claimed as long as the extractor
    has less in its queue than it can work off at once, so that its slots stay full without barriers between documents.
    """

    def __init__(
        self,
        tools: JobTools,
        options: PipelineOptions,
        *,
        summarizer: Summarizer | None = None,
        slot_use: Callable[[], SlotUse] = SlotUse,
    ) -> None:
        self._tools = tools
        self._options = options
        self._summaries = SummaryRounds(summarizer, tools.vectorizer, tools.progress)
        self._slot_use = slot_use
        self._active: dict[str, asyncio.Task[None]] = {}
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._loops: list[asyncio.Task[None]] = []
        self._sharing = Sharing(tools.storage, tools.progress, options.owner, options.lease_seconds)
        self._cancel_seen = ""
        self._cancelling = False
        self._roused = 1
        """Counts the calls to look for work; the start is one."""
        self._settled = 0
        """The last of them after which nothing was left."""
        self._quiet: tuple[int, float] | None = None
        """The workspace's version when nothing was found to do, and when that was; None where there is something."""
        self._looked_for_left_over_at = time.monotonic()
        self._left_over_pause = options.left_over_seconds
        self._due_before: frozenset[tuple[str, str]] = frozenset()

    async def start(self) -> None:
        """Begin working; documents that a dead process left behind are taken up when their lease ends."""
        await self._release_dead()
        self._loops = [
            asyncio.create_task(self._feed(), name="pipeline-feed"),
            asyncio.create_task(self._beat(), name="pipeline-heartbeat"),
            asyncio.create_task(self._tools.vectorizer.run(), name="pipeline-vectors"),
        ]

    async def stop(self) -> None:
        """Stop at once; what was begun goes on at the next start."""
        tasks = [*self._loops, *self._active.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._tools.commits.close()
        if self._loops:
            # A claim that was under way may have leased documents that nobody began.
            await self._release_all()
            await self._sharing.leave(self._report())
        self._loops = []

    async def _release_all(self) -> None:
        try:
            await self._tools.storage.documents.release(self._options.owner)
        except LightRAGError as error:
            _log.warning("Leases were not given up; they end by themselves: %s", error)

    async def _release_dead(self) -> None:
        """Take over at once what processes of this machine left behind when they were killed."""
        documents = self._tools.storage.documents
        for owner in await documents.owners():
            if is_dead(owner):
                await documents.release(owner)

    async def load_stale(self) -> None:
        """Queue vectors that were listed as stale by somebody else."""
        await self._tools.vectorizer.load()
        self.wake()

    def offer(self, stale: Sequence[StaleText]) -> None:
        """Make vectors that a change of the graph made stale; without a running pipeline the next start does."""
        if stale and self._loops:
            self._tools.vectorizer.offer(stale)
            self.wake()

    def wake(self) -> None:
        """Look for work now."""
        self._roused += 1
        self._idle.clear()
        self._wake.set()

    def interrupt(self, doc_ids: Iterable[str]) -> None:
        """Stop working on documents whose rows were changed by a request."""
        for doc_id in doc_ids:
            task = self._active.get(doc_id)
            if task is not None:
                task.cancel()
        self.wake()

    @property
    def is_working(self) -> bool:
        """Whether documents are worked on here, or it is not yet known that nothing is left to do."""
        return bool(self._active) or (bool(self._loops) and not self._idle.is_set())

    async def wait_until_idle(self) -> None:
        """Return when nothing is left to do in the workspace, in whichever process."""
        while not self._idle.is_set():
            await self._idle.wait()

    async def begin_scan(self) -> bool:
        """Note that this process scans the input folder; False where one does already, here or elsewhere."""
        return not (await self._sharing.look()).is_scanned and await self._sharing.begin_scan()

    async def end_scan(self) -> None:
        """Note that the scan is over."""
        await self._sharing.end_scan()

    async def cancel(self) -> bool:
        """Stop what is being done in the workspace, in every process; open documents become failed.

        Returns False where nothing is being done. Deletions that were accepted go on.
        """
        storage, view = self._tools.storage, await self._sharing.look()
        async with storage.transaction() as tx:
            stopped = await fail_open(tx.documents)
            if stopped or view.is_worked_on:
                await self._sharing.request_cancellation(tx)
        if stopped:
            self._tools.progress.say(f"Cancellation requested: {stopped} documents stopped")
        elif view.is_worked_on:
            self._tools.progress.say("Cancellation requested")
        await self._obey_cancellation()
        return stopped > 0 or view.is_worked_on

    async def status(self) -> PipelineStatus:
        """Return what is being done, by whichever process."""
        view, due = await self._sharing.look(), await self._tools.storage.documents.count_due(OPEN)
        messages = tuple(await self._sharing.messages())
        own = self._sharing.is_indexer
        report = self._report() if own or not view.report else view.report
        busy = own or view.is_worked_on or due > 0 or bool(self._active) or self._is_looking
        docs = max(report["docs"], report["docs_done"] + due) if busy else report["docs"]
        paused = report["paused_until"]
        return PipelineStatus(
            busy=busy,
            job_name=report["job_name"],
            job_start=report["job_start"],
            docs=docs,
            batchs=docs,
            cur_batch=report["docs_done"],
            request_pending=due > report["active"],
            cancellation_requested=self._cancelling or self._is_cancelled(view),
            latest_message=messages[-1] if messages else "",
            history_messages=messages,
            scanning=view.is_scanned,
            chunks=report["chunks"],
            chunks_done=report["chunks_done"],
            vectors_waiting=report["vectors_waiting"],
            summaries_waiting=await self._summaries.waiting(),
            paused_until=datetime.fromtimestamp(paused, UTC).isoformat() if paused else None,
            slots=report["slots"],
            slots_busy=report["slots_busy"] if busy else 0,
            is_here=own,
        )

    def _report(self) -> dict[str, Any]:
        """Return what other processes are told of this one."""
        use = self._slot_use()
        return {
            **self._tools.progress.counts(),
            "active": len(self._active),
            "vectors_waiting": self._tools.vectorizer.waiting,
            "slots": use.slots,
            "slots_busy": use.busy,
            "paused_until": use.paused_until or (None if self._active else self._tools.pauses.until()),
            "cancelled": self._cancel_seen,
            "summaries_stopped": self._summaries.is_stopped,
        }

    @property
    def _is_looking(self) -> bool:
        """Whether somebody called for a look that is not over, or vectors wait that are made outside of a job."""
        return bool(self._loops) and (self._settled < self._roused or self._tools.vectorizer.waiting > 0)

    @staticmethod
    def _is_cancelled(view: View) -> bool:
        """Tell whether the indexer was asked to stop and has not done so yet."""
        return view.is_worked_on and view.cancellation != view.report.get("cancelled", "")

    def _is_quiet(self) -> bool:
        """Tell whether there was nothing to do and nothing has changed since: open workspaces shall cost nothing."""
        if self._quiet is None or self._wake.is_set() or self._active or self._sharing.is_indexer:
            return False
        version, looked_at = self._quiet
        pause = min(self._options.look_anyway_seconds, self._options.lease_seconds / 4)
        return time.monotonic() - looked_at < pause and self._tools.storage.version() == version

    async def _feed(self) -> None:
        while True:
            if self._is_quiet():
                await _wait(self._wake, self._options.poll_seconds)
                continue
            self._wake.clear()
            try:
                claimed = await self._take_turn()
            except LightRAGError as error:
                # A store that does not answer is waited for; nothing is lost meanwhile.
                _log.warning("The store failed; trying again: %s", error)
                claimed = 0
            except Exception:
                # A pipeline that ended in silence would look busy for ever.
                _log.exception("The pipeline met an unforeseen error; trying again")
                claimed = 0
            if claimed and len(self._active) < self._options.max_documents:
                await asyncio.sleep(0)
                continue
            await _wait(self._wake, self._options.poll_seconds / (4 if self._sharing.is_indexer else 1))

    async def _take_turn(self) -> int:
        """Do what there is to do now, as far as it falls to this process; return how many documents were begun."""
        await self._drop_unbegun()
        if not self._sharing.is_indexer and not await self._become_indexer():
            return 0
        is_new_job = self._tools.progress.is_over
        claimed = await self._claim()
        if claimed and is_new_job:
            await self._sharing.report(self._report())
        if not claimed and not self._active:
            await self._rest()
        elif time.monotonic() - self._summaries.ended_at > self._options.summarise_every:
            await self._summaries.run()
        return claimed

    async def _become_indexer(self) -> bool:
        """Become the indexer where there is work and nobody does it."""
        self._quiet = None
        version, roused, view = self._tools.storage.version(), self._roused, await self._sharing.look()
        if view.is_worked_on:
            self._settled = roused
            return False
        if not (view.is_left_behind or await self._is_work_left(view, is_roused=self._settled < roused)):
            self._settle(roused)
            self._quiet = None if version is None else (version, time.monotonic())
            return False
        # Who asked before this process began has asked those before it.
        self._cancel_seen = await self._sharing.cancellation()
        before = await self._sharing.become_indexer(self._report())
        if before is None:
            return False
        if before and before != self._options.owner:
            _log.warning("Going on with the work of %s, which ended in the middle of it", before)
            await self._tools.storage.documents.release(before)
        # Nobody else makes vectors that are listed now.
        await self._tools.vectorizer.load()
        return True

    async def _is_work_left(self, view: View, *, is_roused: bool) -> bool:
        """Tell whether something waits: documents; when called, anything else; else what was left lying for a while."""
        if self._active or await self._tools.storage.documents.count_due(OPEN) > 0:
            return True
        if is_roused:
            if self._tools.vectorizer.waiting or await self._are_summaries_due(view):
                return True
            return self._settled == 0 and bool(await self._tools.vectorizer.due())
        if time.monotonic() - self._looked_for_left_over_at < self._left_over_pause:
            return False
        return await self._are_summaries_due(view) or await self._are_vectors_left_over()

    async def _are_summaries_due(self, view: View) -> bool:
        return not view.report.get("summaries_stopped") and await self._summaries.are_due()

    def _settle(self, roused: int) -> None:
        """Note that nothing is left to do."""
        self._settled = roused
        if roused == self._roused:
            self._idle.set()

    async def _rest(self) -> None:
        """Do what is put off while documents wait; then leave the post."""
        roused = self._roused
        if await self._summaries.run() or self._wake.is_set():
            self._wake.set()
            return
        if self._tools.vectorizer.waiting:
            await asyncio.sleep(0.02)
            self._wake.set()
            return
        if self._tools.vectorizer.has_more or await self._are_vectors_left_over():
            await self._tools.vectorizer.load()
            self._wake.set()
            return
        if self._tools.pauses.waiting() and await self._tools.storage.documents.count_due(OPEN):
            return
        self._tools.progress.end_job()
        await self._sharing.resign(self._report())
        self._settle(roused)

    async def _are_vectors_left_over(self) -> bool:
        """Tell whether vectors are due that were due at the last look, so that no other process is at them.

        Whoever was to make them died, or the model failed when nobody waited for them (after a deletion, a summary).
        """
        now = time.monotonic()
        if now - self._looked_for_left_over_at < self._left_over_pause:
            return False
        self._looked_for_left_over_at = now
        before, self._due_before = self._due_before, await self._tools.vectorizer.due()
        is_any = bool(before & self._due_before)
        self._left_over_pause = min(2 * self._left_over_pause, 3600.0) if is_any else self._options.left_over_seconds
        return is_any

    async def _claim(self) -> int:
        await self._tools.pauses.refresh()
        room = min(self._options.max_documents - len(self._active), self._hunger())
        if room <= 0:
            return 0
        records = await self._tools.storage.documents.claim(
            self._options.owner,
            limit=room,
            lease_seconds=self._options.lease_seconds,
            statuses=OPEN,
            not_of=self._tools.pauses.waiting(),
        )
        for record in records:
            if record.id in self._active:
                # Its lease ran out while the process stood still; now it is held again.
                continue
            self._summaries.is_stopped = False
            self._tools.progress.begin_document(record.file_path)
            with calling_as(caller_of(record)):
                task = asyncio.create_task(self._work(record), name=f"document-{record.id}")
            self._active[record.id] = task
        return len(records)

    async def _drop_unbegun(self) -> None:
        """Give up the documents whose tasks were cancelled before their first step, so that nothing of them ran."""
        for doc_id in [doc_id for doc_id, task in self._active.items() if task.done()]:
            del self._active[doc_id]
            self._tools.progress.docs_done += 1
            await self._release(doc_id)

    def _hunger(self) -> int:
        """How many more documents to begin: enough that chunks wait for slots, few enough to keep memory small."""
        gate = self._tools.gate
        return 4 * self._options.slots - gate.chunks - gate.opening

    async def _work(self, record: DocumentRecord) -> None:
        job = DocumentJob(self._tools, record, self._options.owner)
        progress = self._tools.progress
        try:
            if record.delete_requested:
                await job.delete()
                progress.say(f"Deleted: {record.file_path}")
            else:
                progress.say(f"Processing: {record.file_path}")
                await self._index(job, record)
        except Superseded:
            pass
        except LightRAGError as error:
            _log.warning("Document %s is put off: %s", record.id, error)
            progress.say(f"Put off: {record.file_path}: {error}")
            # The lease is kept for a moment, so that a store in trouble is not asked again at once.
            await asyncio.sleep(self._options.poll_seconds)
        except Exception as error:
            _log.exception("Document %s is put off for an unforeseen reason", record.id)
            progress.say(f"Put off: {record.file_path}: {error!r}")
            await asyncio.sleep(self._options.poll_seconds)
        finally:
            progress.docs_done += 1
            self._active.pop(record.id, None)
            if not job.released:
                await to_the_end(self._release(record.id))
            self._wake.set()

    async def _index(self, job: DocumentJob, record: DocumentRecord) -> None:
        try:
            failure = await job.index()
        except (Superseded, StorageUnavailable, asyncio.CancelledError):
            raise
        except LimitReached as error:
            # What was brought by others goes on; this document is begun again where it stopped.
            if await self._tools.pauses.note(error):
                self._tools.progress.say(f"Documents of a token wait: {error}")
        except LightRAGError as error:
            self._tools.progress.say(f"Failed: {record.file_path}: {error}")
            await job.fail(str(error))
        except Exception as error:
            _log.exception("Document %s failed", record.id)
            self._tools.progress.say(f"Failed: {record.file_path}: {error!r}")
            await job.fail(f"Internal error ({type(error).__name__}: {error}); see the server's log")
        else:
            self._tools.progress.say(
                f"Failed: {record.file_path}: {failure}" if failure else f"Completed: {record.file_path}"
            )

    async def _release(self, doc_id: str) -> None:
        try:
            await self._tools.storage.documents.release(self._options.owner, [doc_id])
        except LightRAGError as error:
            # The lease runs out by itself.
            _log.warning("The lease of document %s was not given up; it ends by itself: %s", doc_id, error)

    async def _beat(self) -> None:
        beats = 0
        while True:
            await asyncio.sleep(min(1.0, self._options.lease_seconds / 3))
            beats += 1
            try:
                if self._active and beats % max(int(self._options.lease_seconds / 3), 1) == 0:
                    await self._tools.storage.documents.heartbeat(self._options.owner, self._options.lease_seconds)
                if self._active or self._sharing.is_indexer:
                    await self._obey_cancellation()
                if self._active or self._sharing.has_to_say:
                    await self._sharing.report(self._report())
            except LightRAGError as error:
                _log.warning("Leases could not be extended: %s", error)

    async def _obey_cancellation(self) -> None:
        cancellation = await self._sharing.cancellation()
        if cancellation == self._cancel_seen:
            return
        self._cancelling = True
        try:
            tasks: list[asyncio.Task[Any]] = list(self._active.values())
            for task in tasks:
                task.cancel()
            tasks += self._summaries.stop()
            await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            self._cancel_seen = cancellation
            self._cancelling = False


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
