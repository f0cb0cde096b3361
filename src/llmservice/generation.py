"""Text generation between the edge and the runners: jobs, their cache, and what a choice says and calls."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncGenerator, Mapping
from typing import Any

import orjson

from llmservice.cache import cache_key
from llmservice.runner import TierRunner
from llmservice.service import ModelService
from llmservice.tools import Call, CallSplitter, read_call

Piece = list[Any]
"""As it travels: [text], or [text, finish reason, prompt tokens, completion tokens, log probabilities], the latter
followed by [reasoning, parts of calls] where there are any."""


@dataclasses.dataclass(frozen=True, slots=True)
class Job:
    """One choice of an answer to make."""

    index: int
    operation: str
    parameters: Mapping[str, Any]
    key: bytes | None
    """Where the answer is kept; None for one that may not be."""
    kept: bytes | None
    """The answer, where it was kept."""


@dataclasses.dataclass(slots=True)
class Usage:
    """Tokens of all choices."""

    prompt_tokens: int = 0
    completion_tokens: int = 0

    def add(self, prompt: int, completion: int) -> None:
        """Count a finished choice."""
        self.prompt_tokens += prompt
        self.completion_tokens += completion

    def as_json(self) -> dict[str, int]:
        """Return the counts as OpenAI writes them."""
        total = self.prompt_tokens + self.completion_tokens
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": total,
        }


@dataclasses.dataclass(slots=True)
class Delta:
    """What a choice has more to say after a piece."""

    text: str = ""
    reasoning: str = ""
    parts: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    """Parts of calls that the engine has read, in OpenAI's form."""
    logprobs: list[Any] = dataclasses.field(default_factory=list)
    calls: list[Call] = dataclasses.field(default_factory=list)
    finish: str | None = None
    counts: tuple[int, int] = (0, 0)


class Speaker:
    """Follows one choice: turns pieces into what is said and which functions are called."""

    def __init__(self, functions: frozenset[str] = frozenset(), is_forced: bool = False) -> None:
        self._functions = functions
        self._forced: list[str] | None = [] if is_forced else None
        self._splitter = CallSplitter(functions) if functions and not is_forced else None
        self._engine_calls = False

    def feed(self, piece: Piece) -> Delta:
        """Take the next piece."""
        delta = Delta(piece[0])
        if len(piece) > 1:
            _, delta.finish, prompt, completion, logprobs, *more = piece
            delta.counts = (prompt, completion)
            delta.logprobs = logprobs or []
            if more:
                delta.reasoning, delta.parts = more
                self._engine_calls |= bool(delta.parts)
        if self._forced is not None:
            self._force(delta, self._forced)
        elif self._splitter is not None:
            self._split(delta, self._splitter)
        if delta.finish == "stop" and self._engine_calls:
            delta.finish = "tool_calls"
        return delta

    def _force(self, delta: Delta, held: list[str]) -> None:
        held.append(delta.text)
        delta.text = ""
        if delta.finish is not None:
            call = read_call("".join(held), self._functions)
            if call is None:
                delta.text = "".join(held)
            else:
                delta.calls, delta.finish = [call], "tool_calls"

    @staticmethod
    def _split(delta: Delta, splitter: CallSplitter) -> None:
        delta.text = splitter.feed(delta.text)
        if delta.finish is not None:
            delta.text += splitter.finish()
            delta.calls = splitter.calls
            if delta.calls:
                delta.finish = "tool_calls"


async def make_jobs(
    service: ModelService, runner: TierRunner, operation: str, requests: list[Mapping[str, Any]]
) -> list[Job]:
    """Return one job a choice, each with the answer that the cache has of it."""
    jobs = []
    for index, parameters in enumerate(requests):
        key = kept = None
        sampling = parameters["sampling"]
        is_repeatable = sampling["temperature"] == 0 or sampling.get("seed") is not None
        if service.cache.enabled and is_repeatable:
            key = cache_key(operation, await runner.fingerprint(), parameters)
            kept = service.cache.get(key)
        jobs.append(Job(index, operation, parameters, key, kept))
    return jobs


def cache_state(jobs: list[Job]) -> str:
    """Return what the `X-Cache` header says."""
    if all(job.key is None for job in jobs):
        return "BYPASS"
    return "HIT" if all(job.kept is not None for job in jobs) else "MISS"


async def collect(service: ModelService, runner: TierRunner, jobs: list[Job], deadline: float) -> list[list[Piece]]:
    """Return all pieces of each job."""
    tasks = [asyncio.create_task(_collect_one(service, runner, job, deadline)) for job in jobs]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _collect_one(service: ModelService, runner: TierRunner, job: Job, deadline: float) -> list[Piece]:
    if job.kept is not None:
        pieces: list[Piece] = orjson.loads(job.kept)
        return pieces
    pieces = await runner.collect(job.operation, job.parameters, deadline)
    _keep(service, job, pieces)
    return pieces


async def stream(
    service: ModelService, runner: TierRunner, jobs: list[Job], deadline: float
) -> AsyncGenerator[tuple[int, list[Piece]], None]:
    """Yield pieces of all jobs as they come, with the job's index; closing it cancels what runs."""
    if len(jobs) == 1:
        async with contextlib.aclosing(_stream_one(service, runner, jobs[0], deadline)) as batches:
            async for batch in batches:
                yield 0, batch
        return
    queue: asyncio.Queue[tuple[int, list[Piece]] | BaseException | None] = asyncio.Queue()

    async def pump(job: Job) -> None:
        try:
            async with contextlib.aclosing(_stream_one(service, runner, job, deadline)) as batches:
                async for batch in batches:
                    queue.put_nowait((job.index, batch))
            queue.put_nowait(None)
        except Exception as error:
            queue.put_nowait(error)

    tasks = [asyncio.create_task(pump(job)) for job in jobs]
    running = len(tasks)
    try:
        while running:
            item = await queue.get()
            if isinstance(item, BaseException):
                raise item
            if item is None:
                running -= 1
            else:
                yield item
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _stream_one(
    service: ModelService, runner: TierRunner, job: Job, deadline: float
) -> AsyncGenerator[list[Piece], None]:
    if job.kept is not None:
        yield orjson.loads(job.kept)
        return
    pieces: list[Piece] = []
    async with contextlib.aclosing(runner.stream(job.operation, job.parameters, deadline)) as batches:
        async for batch in batches:
            if job.key is not None:
                pieces += batch
            yield batch
    _keep(service, job, pieces)


def _keep(service: ModelService, job: Job, pieces: list[Piece]) -> None:
    if job.key is not None and pieces and len(pieces[-1]) > 1 and pieces[-1][1] is not None:
        service.cache.put(job.key, orjson.dumps(pieces))
