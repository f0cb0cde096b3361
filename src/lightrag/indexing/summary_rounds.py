"""When summaries are written: in rounds, put off for a while after a failure, stopped when a user cancels."""

from __future__ import annotations

import asyncio
import time

from lightrag.indexing.progress import Progress
from lightrag.indexing.summarizer import Summarizer
from lightrag.indexing.vectorizer import Vectorizer

PUT_OFF_SECONDS = 60.0
"""How long summaries wait after the model has failed."""


class SummaryRounds:
    """Runs the summariser, if there is one, and offers the vectors that become stale by it."""

    def __init__(self, summarizer: Summarizer | None, vectorizer: Vectorizer, progress: Progress) -> None:
        self._summarizer = summarizer
        self._vectorizer = vectorizer
        self._progress = progress
        self._failed_at: float | None = None
        self._round: asyncio.Task[int] | None = None
        self.is_stopped = False
        """Whether a user has cancelled them; they go on with the next document."""
        self.ended_at = time.monotonic()

    async def waiting(self) -> int:
        """Return how many summaries are listed."""
        return await self._summarizer.waiting() if self._summarizer else 0

    async def are_due(self) -> bool:
        """Tell whether there are any to write now."""
        return self._may_run and await self.waiting() > 0

    async def run(self) -> int:
        """Write one round; return how many were listed. A round that fails or is stopped counts as none."""
        self.ended_at = time.monotonic()
        if self._summarizer is None or not self._may_run:
            return 0
        self._round = asyncio.create_task(self._run(self._summarizer), name="pipeline-summaries")
        try:
            return await self._round
        except asyncio.CancelledError:
            current = asyncio.current_task()
            if current is not None and current.cancelling():
                self._round.cancel()
                await asyncio.gather(self._round, return_exceptions=True)
                raise
            return 0
        finally:
            self._round = None

    def stop(self) -> list[asyncio.Task[int]]:
        """Write no more of them until there is something new; return the round that has to end, if one is under way."""
        if self._round is None:
            return []
        self.is_stopped = True
        self._round.cancel()
        return [self._round]

    @property
    def _may_run(self) -> bool:
        if self._summarizer is None or self.is_stopped:
            return False
        return self._failed_at is None or time.monotonic() - self._failed_at > PUT_OFF_SECONDS

    async def _run(self, summarizer: Summarizer) -> int:
        listed, stale, failure = await summarizer.run_round()
        self._vectorizer.offer(stale)
        self._failed_at = time.monotonic() if failure is not None else None
        if failure is not None:
            self._progress.say(f"Summaries put off: {failure}")
            return 0
        if listed:
            self._progress.say(f"Summarised {listed} descriptions")
        return listed
