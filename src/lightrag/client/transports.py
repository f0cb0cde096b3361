"""Plans carried out with httpx: blocking, and on the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, TypeVar

import httpx

from lightrag.client.errors import Invalid
from lightrag.client.steps import Failure, Outgoing, Pause, Plan, Reply, Send, Step, UploadBody

T = TypeVar("T")

CONNECT_SECONDS = 10.0
KEPT_SECONDS = 4.0
"""How long an idle connection is used again; servers close theirs after five."""


def timeouts(seconds: float | httpx.Timeout | None) -> httpx.Timeout:
    """Return limits for answers and uploads; connecting never gets longer than `CONNECT_SECONDS`."""
    if isinstance(seconds, httpx.Timeout):
        return seconds
    connect = CONNECT_SECONDS if seconds is None else min(CONNECT_SECONDS, seconds)
    return httpx.Timeout(seconds, connect=connect)


class BlockingTransport:
    """Carries out plans while the caller waits. May be used by several threads at once."""

    def __init__(self, timeout: float | httpx.Timeout | None, http: httpx.Client | None = None) -> None:
        self._is_ours = http is None
        self._http = http or httpx.Client(timeout=timeouts(timeout), limits=_limits())

    def run(self, plan: Plan[T]) -> T:
        """Return what the plan returns."""
        try:
            step = next(plan)
            while True:
                try:
                    outcome = self._do(step)
                except Exception as error:
                    step = plan.throw(error)
                else:
                    step = plan.send(outcome)
        except StopIteration as end:
            result: T = end.value
            return result

    def close(self) -> None:
        """Close the connections, except those of a client that was handed in."""
        if self._is_ours:
            self._http.close()

    def _do(self, step: Step) -> Any:
        if isinstance(step, Send):
            with _failures():
                return self._send(step.request)
        if isinstance(step, Pause):
            time.sleep(step.seconds)
            return None
        return step.action()

    def _send(self, asked: Outgoing) -> Reply:
        upload = asked.upload
        if upload is None:
            return self._answer(asked, self._http.send(_request(self._http, asked, asked.content), stream=True))
        upload.open()
        try:
            return self._answer(asked, self._http.send(_request(self._http, asked, upload.blocks()), stream=True))
        finally:
            upload.close()

    def _answer(self, asked: Outgoing, response: httpx.Response) -> Reply:
        if response.is_success and asked.handling == "stream":
            return Reply(response.status_code, response.headers, source=response)
        with contextlib.closing(response):
            if response.is_success and asked.target is not None:
                with _whole_file(asked.target) as part, part.open("wb") as file:
                    for block in response.iter_bytes():
                        file.write(block)
                return Reply(response.status_code, response.headers)
            return Reply(response.status_code, response.headers, response.read())


class AwaitableTransport:
    """Carries out plans on the event loop; files are read and written in threads."""

    def __init__(self, timeout: float | httpx.Timeout | None, http: httpx.AsyncClient | None = None) -> None:
        self._is_ours = http is None
        self._http = http or httpx.AsyncClient(timeout=timeouts(timeout), limits=_limits())

    async def run(self, plan: Plan[T]) -> T:
        """Return what the plan returns."""
        try:
            step = next(plan)
            while True:
                try:
                    outcome = await self._do(step)
                except Exception as error:
                    step = plan.throw(error)
                else:
                    step = plan.send(outcome)
        except StopIteration as end:
            result: T = end.value
            return result

    async def aclose(self) -> None:
        """Close the connections, except those of a client that was handed in."""
        if self._is_ours:
            await self._http.aclose()

    async def _do(self, step: Step) -> Any:
        if isinstance(step, Send):
            with _failures():
                return await self._send(step.request)
        if isinstance(step, Pause):
            return await asyncio.sleep(step.seconds)
        return await asyncio.to_thread(step.action)

    async def _send(self, asked: Outgoing) -> Reply:
        upload = asked.upload
        if upload is None:
            request = _request(self._http, asked, asked.content)
            return await self._answer(asked, await self._http.send(request, stream=True))
        await asyncio.to_thread(upload.open)
        try:
            request = _request(self._http, asked, _in_threads(upload))
            return await self._answer(asked, await self._http.send(request, stream=True))
        finally:
            upload.close()

    async def _answer(self, asked: Outgoing, response: httpx.Response) -> Reply:
        if response.is_success and asked.handling == "stream":
            return Reply(response.status_code, response.headers, source=response)
        async with contextlib.aclosing(response):
            if response.is_success and asked.target is not None:
                with _whole_file(asked.target) as part, await asyncio.to_thread(part.open, "wb") as file:
                    async for block in response.aiter_bytes():
                        await asyncio.to_thread(file.write, block)
                return Reply(response.status_code, response.headers)
            return Reply(response.status_code, response.headers, await response.aread())


def _limits() -> httpx.Limits:
    return httpx.Limits(max_connections=100, max_keepalive_connections=20, keepalive_expiry=KEPT_SECONDS)


def _request(http: httpx.Client | httpx.AsyncClient, asked: Outgoing, content: Any) -> httpx.Request:
    headers = dict(asked.headers)
    if asked.upload is not None and asked.upload.size is not None:
        headers["Content-Length"] = str(asked.upload.size)
    return http.build_request(asked.method, asked.url, params=asked.params or None, headers=headers, content=content)


async def _in_threads(upload: UploadBody) -> AsyncIterator[bytes]:
    blocks = upload.blocks()
    while block := await asyncio.to_thread(next, blocks, b""):
        yield block


@contextlib.contextmanager
def _failures() -> Iterator[None]:
    try:
        yield
    except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
        raise Invalid(f"base_url leads nowhere: {error}") from error
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError) as error:
        timed_out = isinstance(error, httpx.TimeoutException)
        raise Failure(reason(error), was_sent=False, timed_out=timed_out) from error
    except httpx.RequestError as error:
        timed_out = isinstance(error, httpx.TimeoutException)
        raise Failure(reason(error), was_sent=True, timed_out=timed_out) from error


def reason(error: Exception) -> str:
    """Return an error as a message can name it; many of httpx have no text."""
    return str(error) or type(error).__name__


@contextlib.contextmanager
def _whole_file(target: Path) -> Iterator[Path]:
    """Yield where to write; `target` appears only when all of it was written."""
    part = target.with_name(f"{target.name}.{os.getpid()}.part")
    try:
        yield part
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
