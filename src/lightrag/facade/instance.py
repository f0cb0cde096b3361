"""An instance's life: opened by the first call or on purpose, closed on purpose or at the end of the program."""

from __future__ import annotations

import asyncio
import atexit
import dataclasses
import functools
import logging
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, TypeVar

from lightrag.assembly import open_engine
from lightrag.base import StoragesStatus
from lightrag.engine import Engine
from lightrag.engine_models import Models
from lightrag.facade.configure import settings_of, storage_names
from lightrag.facade.fields import Fields
from lightrag.facade.models import FunctionModels
from lightrag.facade.runner import Runner
from lightrag.facade.tokens import ForeignTokenizer
from lightrag.indexing.manifest import Manifest
from lightrag.settings import Settings
from lightrag.storage.contracts import Storage
from lightrag.utils import always_get_an_event_loop

T = TypeVar("T")
_log = logging.getLogger("lightrag")


@dataclasses.dataclass(frozen=True, slots=True)
class Opened:
    """An engine that runs, with the parts that the Python interface reaches into."""

    engine: Engine
    storage: Storage
    models: Models
    settings: Settings


def run_sync(
    make: Callable[[], Coroutine[Any, Any, T]],
    *,
    sync_name: str,
    async_name: str,
    owning_loop: asyncio.AbstractEventLoop | None = None,
    run: Callable[[Coroutine[Any, Any, T]], T] | None = None,
) -> T:
    """Run what `make` returns and wait for it, where no event loop runs in this thread.

    Raises `RuntimeError` inside a running loop, which must not be blocked, and where `owning_loop` is open and not
    this thread's; `make` is not called then. `run`: what waits; by default this thread's loop.
    """
    advice = f"{sync_name}() blocks; in asynchronous code use: await {async_name}(...)"
    # nest_asyncio makes it possible to block a running loop, and notebooks rely on that.
    if _is_inside_loop() and not hasattr(asyncio, "_nest_patched"):
        raise RuntimeError(f"{sync_name}() was called where an event loop is running. {advice}")
    if run is not None:
        return run(make())
    loop = always_get_an_event_loop()
    if owning_loop is not None and not owning_loop.is_closed() and owning_loop is not loop:
        raise RuntimeError(f"{sync_name}() was called beside the event loop that this instance belongs to. {advice}")
    return loop.run_until_complete(make())


def _is_inside_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


class Instance(Fields):
    """Opens and closes the engine, and hands calls to it."""

    def __post_init__(self) -> None:
        storage_names(self)
        self._runner = Runner()
        self._opened: Opened | None = None
        self._opening: asyncio.Lock | None = None
        self._storages_status = StoragesStatus.CREATED
        if self.log_level is not None:
            _log.setLevel(self.log_level)

    async def initialize_storages(self) -> None:
        """Open the storages and go on with documents that wait; the first call of another method does so, too."""
        await self._call(self._use())

    async def finalize_storages(self) -> None:
        """Finish what is being done and close everything. A later call opens it again."""
        if self._runner.is_running:
            await self._runner.call(self._close())
        await asyncio.to_thread(self._runner.stop)

    async def check_and_migrate_data(self) -> None:
        """Nothing is needed: data of old versions are taken over when they are opened."""

    async def _use(self) -> Opened:
        """Return the engine, opened by the first caller."""
        if self._opened is None:
            if self._opening is None:
                self._opening = asyncio.Lock()
            async with self._opening:
                if self._opened is None:
                    self._opened = await self._open()
        return self._opened

    async def _open(self) -> Opened:
        settings = settings_of(self)
        found: dict[str, Any] = {}
        functions = self._functions()

        async def models(settings: Settings, storage: Storage, recorded: Manifest | None) -> Models:
            found["storage"] = storage
            found["models"] = await functions.open(settings, storage, recorded)
            opened: Models = found["models"]
            return opened

        engine = await open_engine(
            settings,
            self.workspace,
            chunking_function=self._chunking(),
            tokenizer=ForeignTokenizer(self.tokenizer) if self.tokenizer is not None else None,
            models=models,
        )
        await engine.start()
        _close_at_exit(self)
        self._storages_status = StoragesStatus.INITIALIZED
        return Opened(engine, found["storage"], found["models"], settings)

    async def _close(self) -> None:
        opened, self._opened, self._opening = self._opened, None, None
        if opened is not None:
            await opened.engine.close()
            self._storages_status = StoragesStatus.FINALIZED

    def _functions(self) -> FunctionModels:
        return FunctionModels(self, self._runner, self._global_config())

    def _global_config(self) -> dict[str, Any]:
        """Return the fields by name, as LightRAG's functions look them up."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    def _chunking(self) -> Callable[..., Any] | None:
        function = self.chunking_func
        if function is None or not asyncio.iscoroutinefunction(function):
            return function

        @functools.wraps(function)
        async def cut(*args: Any) -> Any:
            return await self._runner.outside(lambda: function(*args))

        return cut

    async def _call(self, work: Coroutine[Any, Any, T]) -> T:
        return await self._runner.call(work)

    def _sync(self, name: str, make: Callable[[], Coroutine[Any, Any, T]], async_name: str = "") -> T:
        return run_sync(make, sync_name=name, async_name=async_name or f"a{name}", run=self._runner.block)

    def _stream(self, items: AsyncIterator[str]) -> AsyncIterator[str]:
        """Return an asynchronous generator over a stream of the engine."""
        return self._runner.stream_inside(lambda: items)


def _close_at_exit(instance: Instance) -> None:
    """Close the engine at the end of the program where the script did not.

    Threads can no longer be started when `atexit` handlers run, and closing needs them: `threading` has a hook for
    that moment, without an underscore-free name.
    """
    reference = weakref.ref(instance)

    def close() -> None:
        left = reference()
        if left is not None and left._opened is not None:
            left._runner.block(left._close())
            left._runner.stop()

    register: Callable[..., Any] = getattr(threading, "_register_atexit", atexit.register)
    register(close)
