"""One tier at work: who may use its model, when the model is loaded, and when it is let go."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Mapping, Sequence
from typing import Any, Literal

from llmservice.config import TierSettings, kind_of
from llmservice.cores import default_threads
from llmservice.errors import (
    DeadlineExceeded,
    ModelLoadError,
    Overloaded,
    TierUnavailable,
    WorkerEndedLoading,
    WorkerLost,
)
from llmservice.model_files import engine_of, fingerprint
from llmservice.tiers import Tier
from llmservice.workers.link import WORKER_COMMAND, LoadedFacts, WorkerLink

logger = logging.getLogger(__name__)

State = Literal["unloaded", "loading", "ready", "unloading", "failed"]

RETRIES = 2
"""How often a request is started again after its worker ended; one that kills workers itself stops there."""
CANCEL_SECONDS = 30.0
"""A worker that has not given up a cancelled request so long after is killed: its slot would be lost."""
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
"""Seconds without a new try after a failed load; doubled by each further failure."""
DEFAULT_CONTEXT = 8192


class TierRunner:
    """Admits requests to one model, at most `slots` at once and `queue_size` waiting.

    The model is loaded by the first request, once however many ask. A request holds its slot until the worker has
    finished with it, also after the client went away; the model is unloaded only while no slot is held.
    """

    def __init__(self, tier: Tier, settings: TierSettings, command: Sequence[str] = WORKER_COMMAND) -> None:
        self.tier = tier
        self.settings = settings
        self.kind = kind_of(tier, settings)
        self.crashes = 0
        self.loads = 0
        self.load_seconds = 0.0
        self._command = command
        self._active = 0
        self._waiters: collections.deque[asyncio.Future[None]] = collections.deque()
        self._link: WorkerLink | None = None
        self._loading: asyncio.Task[WorkerLink] | None = None
        self._unloading: asyncio.Task[None] | None = None
        self._idle: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._failure: str | None = None
        self._failures = 0
        self._next_try = 0.0
        self._mean_seconds = 1.0
        self._fingerprint: str | None = None
        self._closing = False

    @property
    def name(self) -> str:
        """The model's name for clients, `tier/name`."""
        return f"{self.tier}/{self.settings.model_name}"

    @property
    def state(self) -> State:
        """Where the model is between disk and memory."""
        if self._link is not None:
            return "ready"
        if self._loading is not None:
            return "loading"
        if self._unloading is not None:
            return "unloading"
        return "failed" if self._failure else "unloaded"

    @property
    def failure(self) -> str | None:
        """Why the last load failed."""
        return self._failure

    @property
    def facts(self) -> LoadedFacts | None:
        """What is known of the model while it is loaded."""
        return self._link.facts if self._link else None

    @property
    def active(self) -> int:
        """Slots that are held."""
        return self._active

    @property
    def waiting(self) -> int:
        """Requests in the queue."""
        return len(self._waiters)

    @property
    def pid(self) -> int | None:
        """The worker's process, while there is one."""
        return self._link.pid if self._link else None

    async def fingerprint(self) -> str:
        """Return what stands for the model in cache keys; needs no loaded model."""
        if self._link is not None and self._fingerprint is not None:
            return self._fingerprint
        try:
            return await asyncio.to_thread(fingerprint, self.settings, self.kind)
        except OSError as error:
            raise TierUnavailable(
                f"The model of tier {self.tier} cannot be read: {error}", "model_load_failed"
            ) from None

    async def stream(
        self, operation: str, parameters: Mapping[str, Any], deadline: float
    ) -> AsyncGenerator[list[Any], None]:
        """Yield a request's events as they come, several at a time.

        Started again after a crash of the worker only while nothing was yielded. Close the iterator to cancel.
        """
        async with self._slot(deadline):
            for attempt in range(RETRIES + 1):
                yielded = False
                try:
                    async with contextlib.aclosing(self._attempt(operation, parameters, deadline)) as batches:
                        async for batch in batches:
                            yielded = True
                            yield batch
                    return
                except WorkerLost as error:
                    if yielded or attempt == RETRIES:
                        raise TierUnavailable(str(error), "worker_lost", retry_after=1.0) from None

    async def collect(self, operation: str, parameters: Mapping[str, Any], deadline: float) -> list[Any]:
        """Return all events of a request; started again after a crash of the worker."""
        async with self._slot(deadline):
            for attempt in range(RETRIES + 1):
                try:
                    async with contextlib.aclosing(self._attempt(operation, parameters, deadline)) as batches:
                        return [event async for batch in batches for event in batch]
                except WorkerLost as error:
                    if attempt == RETRIES:
                        raise TierUnavailable(str(error), "worker_lost", retry_after=1.0) from None
        raise AssertionError("the last attempt returns or raises")

    async def load(self) -> None:
        """Load the model, if it is not; a past failure does not hold it back."""
        self._next_try = 0.0
        async with self._slot(asyncio.get_running_loop().time() + self.settings.load_timeout):
            await self._loaded()

    async def unload(self) -> bool:
        """Let the model go and wait until its process has ended; False, and nothing done, while it is in use."""
        if self._active or self._waiters:
            return False
        self._start_unloading()
        if self._unloading is not None:
            await asyncio.shield(self._unloading)
        return True

    async def aclose(self) -> None:
        """End the worker, whatever it does."""
        self._closing = True
        self._stop_idle_timer()
        if self._loading is not None:
            self._loading.cancel()
            await asyncio.gather(self._loading, return_exceptions=True)
        self._start_unloading()
        if self._unloading is not None:
            await self._unloading
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # Admission

    @contextlib.asynccontextmanager
    async def _slot(self, deadline: float) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        async with _until(deadline):
            await self._admit()
        started = loop.time()
        try:
            yield
        finally:
            self._mean_seconds += 0.1 * (loop.time() - started - self._mean_seconds)
            self._release()

    async def _admit(self) -> None:
        if self._closing:
            raise TierUnavailable("The service is stopping", "stopping", retry_after=5.0)
        self._stop_idle_timer()
        if self._active < self.settings.slots and not self._waiters:
            self._active += 1
            return
        if len(self._waiters) >= self.settings.queue_size:
            wait = self._mean_seconds * (1 + len(self._waiters) / self.settings.slots)
            raise Overloaded(
                f"The queue of tier {self.tier} is full: {self._active} requests run and {len(self._waiters)} wait; "
                f"try again later, or raise {self.tier.prefix}QUEUE_SIZE",
                retry_after=min(max(wait, 1.0), 60.0),
            )
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._release()
            else:
                self._waiters.remove(turn)
            raise

    def _release(self) -> None:
        self._active -= 1
        while self._waiters and self._active < self.settings.slots:
            turn = self._waiters.popleft()
            if not turn.done():
                self._active += 1
                turn.set_result(None)
        if not self._active:
            self._start_idle_timer()

    # One try on one worker

    async def _attempt(
        self, operation: str, parameters: Mapping[str, Any], deadline: float
    ) -> AsyncGenerator[list[Any], None]:
        async with _until(deadline):
            link = await self._loaded()
        channel = link.request(operation, parameters)
        # One timer a request: this loop turns once for every token.
        timer = asyncio.get_running_loop().call_at(deadline, channel.fail, _too_late())
        try:
            while events := await channel.receive():
                yield events
        finally:
            timer.cancel()
            if not channel.ended.done():
                link.cancel(channel)
                self._active += 1
                self._own(self._release_when_given_up(link, channel.ended))

    async def _release_when_given_up(self, link: WorkerLink, ended: asyncio.Future[None]) -> None:
        try:
            await asyncio.wait((ended,), timeout=CANCEL_SECONDS)
            if not ended.done():
                logger.error("Tier %s does not give up a cancelled request; its process is killed", self.tier)
                link.kill()
        finally:
            self._release()

    # The worker's life

    async def _loaded(self) -> WorkerLink:
        if self._link is not None and not self._link.closed.is_set():
            return self._link
        if self._loading is None:
            left = self._next_try - asyncio.get_running_loop().time()
            if left > 0 and self._failure:
                raise TierUnavailable(self._failure, "model_load_failed", retry_after=max(left, 1.0))
            self._loading = asyncio.create_task(self._load())
            self._loading.add_done_callback(self._on_loading_done)
        try:
            return await asyncio.shield(self._loading)
        except ModelLoadError:
            raise TierUnavailable(
                self._failure or "The model cannot be loaded", "model_load_failed", retry_after=FIRST_PAUSE
            ) from None

    def _on_loading_done(self, task: asyncio.Task[WorkerLink]) -> None:
        self._loading = None
        if not task.cancelled():
            # Those who wait have the exception; where nobody waits any more it must count as seen.
            task.exception()

    async def _load(self) -> WorkerLink:
        loop = asyncio.get_running_loop()
        if self._unloading is not None:
            await asyncio.shield(self._unloading)
        started = loop.time()
        try:
            self._fingerprint = await asyncio.to_thread(fingerprint, self.settings, self.kind)
            link = await self._start_worker()
        except (ModelLoadError, OSError) as error:
            pause = min(FIRST_PAUSE * 2**self._failures, LONGEST_PAUSE)
            self._failures += 1
            self._next_try = loop.time() + pause
            self._failure = f"The model of tier {self.tier} cannot be loaded: {error}"
            logger.error("%s", self._failure)
            raise ModelLoadError(str(error)) from None
        self.loads += 1
        self.load_seconds = loop.time() - started
        self._failure, self._failures = None, 0
        self._link = link
        self._own(self._watch(link))
        if not self._active:
            self._start_idle_timer()
        logger.info("Loaded %s in %.2f s (process %d)", self.name, self.load_seconds, link.pid)
        return link

    async def _start_worker(self) -> WorkerLink:
        seconds = self.settings.load_timeout
        try:
            return await WorkerLink.start(self.name, self._load_message(), seconds, self._command)
        except WorkerEndedLoading as error:
            # Killed from outside, perhaps, for memory that another process has given back since.
            logger.warning("%s: %s; it is started once more", self.name, error)
            return await WorkerLink.start(self.name, self._load_message(), seconds, self._command)

    def _load_message(self) -> dict[str, Any]:
        settings = self.settings
        engine = engine_of(settings)
        return {
            "kind": self.kind,
            "engine": engine,
            "source": {
                "path": str(settings.model_path),
                "name": settings.model_name,
                "threads": settings.n_threads or default_threads(engine),
                "slots": settings.slots,
                "context_length": settings.n_ctx,
                "gpu_layers": settings.n_gpu_layers,
                "options": {
                    "n_batch": settings.n_batch,
                    "use_mmap": settings.use_mmap,
                    "use_mlock": settings.use_mlock,
                    "longest_default_context": DEFAULT_CONTEXT,
                    **settings.options,
                },
            },
        }

    async def _watch(self, link: WorkerLink) -> None:
        await link.closed.wait()
        if self._link is link:
            self._link = None
            self.crashes += 1
            await link.stop()
            logger.error("The process of %s ended with code %s. %s", self.name, link.exit_code, link.last_lines)

    def _start_idle_timer(self) -> None:
        self._stop_idle_timer()
        if self.settings.idle_timeout and self._link is not None:
            loop = asyncio.get_running_loop()
            self._idle = loop.call_later(self.settings.idle_timeout, self._on_idle)

    def _stop_idle_timer(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None

    def _on_idle(self) -> None:
        self._idle = None
        if not self._active and not self._waiters:
            logger.info("Unloading %s after %g s without work", self.name, self.settings.idle_timeout)
            self._start_unloading()

    def _start_unloading(self) -> None:
        link, self._link = self._link, None
        if link is not None and self._unloading is None:
            self._unloading = asyncio.create_task(self._unload(link))

    async def _unload(self, link: WorkerLink) -> None:
        try:
            await link.stop()
        finally:
            self._unloading = None

    def _own(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


@contextlib.asynccontextmanager
async def _until(deadline: float) -> AsyncIterator[None]:
    """Give up at a time of the loop's clock."""
    try:
        async with asyncio.timeout_at(deadline):
            yield
    except TimeoutError:
        raise _too_late() from None


def _too_late() -> DeadlineExceeded:
    return DeadlineExceeded("The request took longer than it may; ask for less, or raise REQUEST_TIMEOUT")
