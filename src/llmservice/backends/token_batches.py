"""Gathers token sequences of all requests into batches of like length, and runs them in threads.

Padding is what makes batches of mixed lengths slow, so only sequences of about one length go together, and the longer
they are, the fewer. A thread that becomes free takes the sequence that has waited longest and those that fit to it,
from whichever request they come: no request waits for a batch to fill.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import itertools
import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

from llmservice.errors import ServiceError

Ids = npt.NDArray[np.int64]
Result = TypeVar("Result")
log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class Tokens:
    """Token ids of one input, and the segment each belongs to; both of shape (tokens,)."""

    ids: Ids
    segments: Ids


class _Job(Generic[Result]):
    """The sequences of one request; resolves its future when the last is done."""

    def __init__(self, count: int, loop: asyncio.AbstractEventLoop) -> None:
        self.future: asyncio.Future[list[Result]] = loop.create_future()
        self.cancelled = False
        self._results: list[Result | None] = [None] * count
        self._left = count
        self._loop = loop
        self._lock = threading.Lock()

    def put(self, index: int, result: Result) -> None:
        with self._lock:
            self._results[index] = result
            self._left -= 1
            done = self._left == 0
        if done:
            self._call(self._resolve)

    def fail(self, error: Exception) -> None:
        self.cancelled = True
        self._call(self._reject, error)

    def _call(self, function: Callable[..., None], *arguments: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended, and with it whoever waited
            self._loop.call_soon_threadsafe(function, *arguments)

    def _resolve(self) -> None:
        if not self.future.done():
            self.future.set_result(self._results)  # type: ignore[arg-type]

    def _reject(self, error: Exception) -> None:
        if not self.future.done():
            self.future.set_exception(error)


@dataclasses.dataclass(slots=True)
class _Item(Generic[Result]):
    order: int
    sequence: Tokens
    job: _Job[Result]
    index: int


class TokenBatches(Generic[Result]):
    """Runs `compute` on batches of sequences in `runners` threads.

    `compute` gets at most `most_tokens` tokens, padding included (or one sequence), and returns a result for each.
    With `alone`, every sequence runs by itself.
    """

    def __init__(
        self,
        compute: Callable[[Sequence[Tokens]], Sequence[Result]],
        *,
        runners: int,
        most_tokens: int,
        alone: bool,
    ) -> None:
        self._compute = compute
        self._most_tokens = most_tokens
        self._alone = alone
        self._buckets: dict[int, deque[_Item[Result]]] = {}
        self._orders = itertools.count()
        self._changed = threading.Condition()
        self._closed = False
        self._threads = [
            threading.Thread(target=self._run, name=f"encode-{number}", daemon=True) for number in range(runners)
        ]
        for thread in self._threads:
            thread.start()

    async def run(self, sequences: Sequence[Tokens]) -> list[Result]:
        """Return the results of one request's sequences, in order. Cancelling drops those that have not begun."""
        if not sequences:
            return []
        job: _Job[Result] = _Job(len(sequences), asyncio.get_running_loop())
        with self._changed:
            if self._closed:
                raise ServiceError("The model was unloaded")
            for index, sequence in enumerate(sequences):
                bucket = self._buckets.setdefault(_bucket(len(sequence.ids)), deque())
                bucket.append(_Item(next(self._orders), sequence, job, index))
            self._changed.notify_all()
        try:
            return await job.future
        finally:
            job.cancelled = True

    def close(self) -> None:
        """End the threads after what they are at; whoever still waits gets a `ServiceError`. Blocks."""
        with self._changed:
            self._closed = True
            waiting = [item.job for bucket in self._buckets.values() for item in bucket]
            self._buckets.clear()
            self._changed.notify_all()
        for job in waiting:
            job.fail(ServiceError("The model was unloaded"))
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while (batch := self._next()) is not None:
            self._answer(batch)

    def _answer(self, batch: list[_Item[Result]]) -> None:
        try:
            results = self._compute([item.sequence for item in batch])
        except Exception as error:
            if len(batch) > 1:  # one request's input must not fail those of others
                for item in batch:
                    self._answer([item])
                return
            log.exception("An input of %d tokens failed", len(batch[0].sequence.ids))
            batch[0].job.fail(ServiceError(f"The model failed on this input: {error}"))
        else:
            for item, result in zip(batch, results, strict=True):
                item.job.put(item.index, result)

    def _next(self) -> list[_Item[Result]] | None:
        """Wait for sequences and take a batch; None at the end."""
        with self._changed:
            while True:
                batch = self._take()
                if batch:
                    return batch
                if self._closed:
                    return None
                self._changed.wait()

    def _take(self) -> list[_Item[Result]]:
        for bucket in self._buckets.values():
            while bucket and bucket[0].job.cancelled:
                bucket.popleft()
        self._buckets = {length: bucket for length, bucket in self._buckets.items() if bucket}
        if not self._buckets:
            return []
        length = min(self._buckets, key=lambda key: self._buckets[key][0].order)
        bucket = self._buckets[length]
        room = 1 if self._alone else max(1, self._most_tokens // length)
        batch: list[_Item[Result]] = []
        while bucket and len(batch) < room:
            item = bucket.popleft()
            if not item.job.cancelled:
                batch.append(item)
        return batch


def _bucket(length: int) -> int:
    """Return the length that a sequence is padded to at most: an eighth more than its own, or a multiple of 4."""
    step = max(4, 1 << max(0, length.bit_length() - 4))
    return -(-length // step) * step
