"""One worker process: loads the application after the fork and serves it with uvicorn, as `lightrag-server` does."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from typing import TYPE_CHECKING

import uvicorn
from gunicorn.arbiter import Arbiter
from uvicorn_worker import UvicornWorker

from lightrag.api.lightrag_server import announcement, hide_start_traceback, uvicorn_config
from lightrag.api.logs import configure_logging

if TYPE_CHECKING:
    from lightrag.api.context import ServerContext
    from lightrag.api.run_with_gunicorn import GunicornApplication

BEAT_SECONDS = 2.0
"""How often a worker shows the master that its event loop turns, and looks whether there still is a master."""
_RETRY_SECONDS = 2.0
"""Pause before a worker that could not start makes room for the next one."""


class LightRAGWorker(UvicornWorker):  # type: ignore[misc]
    """A process that serves requests and, where it is elected, indexes documents."""

    app: GunicornApplication

    def init_process(self) -> None:
        """Begin with log files of its own: an open file that was inherited has a common position and lock."""
        configure_logging(self.app.settings)
        super().init_process()

    async def _serve(self) -> None:
        context: ServerContext = self.wsgi.state.server
        hide_start_traceback(context)
        server = uvicorn.Server(uvicorn_config(self.wsgi, self.app.settings))
        asyncio.get_running_loop().add_signal_handler(signal.SIGQUIT, server.handle_exit, signal.SIGQUIT, None)
        beat = asyncio.create_task(self._beat(server, context), name="worker-beat")
        try:
            await server.serve(sockets=self.sockets)
        except SystemExit:
            # uvicorn's way to say that the application did not start.
            if context.start_error is None:
                raise
        finally:
            beat.cancel()
            await asyncio.gather(beat, return_exceptions=True)
        if context.start_error is not None or not server.started:
            await self._give_up(context)

    async def _beat(self, server: uvicorn.Server, context: ServerContext) -> None:
        """Notify the master, also during the start; end where the master is gone, so that nobody keeps the port."""
        is_announced = False
        while True:
            self.notify()
            if os.getppid() != self.ppid:
                server.should_exit = True
            if server.started and not is_announced:
                is_announced = True
                await self._announce(context)
            await asyncio.sleep(BEAT_SECONDS if is_announced else 0.02)

    async def _announce(self, context: ServerContext) -> None:
        gc.freeze()
        gc.enable()
        self.app.board.note_serving()
        if self.app.leads and context.tenants is not None:
            port = self.sockets[0].getsockname()[1]
            line = f"{announcement(self.app.settings, port, context)} - {self.cfg.workers} workers"
            await asyncio.to_thread(print, line, flush=True)

    async def _give_up(self, context: ServerContext) -> None:
        if context.start_error is not None:
            self.app.board.note_failure(str(context.start_error))
        if self.app.board.has_served:
            # The others go on: a worker that cannot start now may be able to in a moment.
            await asyncio.sleep(_RETRY_SECONDS)
            sys.exit(1)
        sys.exit(Arbiter.WORKER_BOOT_ERROR)
