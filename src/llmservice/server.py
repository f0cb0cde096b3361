"""The front process: listens, serves, and ends on a signal or after inactivity."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from types import FrameType

import uvicorn

from llmservice.api.app import create_app
from llmservice.config import Settings
from llmservice.port_file import PortFile, listen
from llmservice.service import ModelService
from llmservice.workers.link import WORKER_COMMAND

logger = logging.getLogger(__name__)

LOG_FORMAT = "%(asctime)s - %(name)s - %(levelname)s - %(message)s"


class FrontServer(uvicorn.Server):
    """uvicorn's server, which takes back the port file and refuses new work before it waits for running requests."""

    def __init__(self, config: uvicorn.Config, service: ModelService, port_file: PortFile) -> None:
        super().__init__(config)
        self._service = service
        self._port_file = port_file

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let running requests end within the time that the configuration gives them."""
        self._service.draining = True
        self._port_file.remove()
        await super().shutdown(sockets)


def serve(settings: Settings, worker_command: Sequence[str] = WORKER_COMMAND) -> None:
    """Serve until a signal comes or nobody has asked for anything for `SHUTDOWN_TIMEOUT`.

    Raises:
        ConfigurationError: the port or its file cannot be had.
    """
    server = settings.server
    logging.basicConfig(level=server.log_level, format=LOG_FORMAT)
    listener = listen(server.host, server.port, server.port_strict)
    port = listener.getsockname()[1]
    port_file = PortFile(server.port_file, port)
    # Who asks for the end while the service starts gets it at once.
    _on_signals(lambda *_: sys.exit(0))
    try:
        port_file.write()
        if port != server.port and server.port:
            logger.warning("Port %d is taken; listening on %d instead", server.port, port)
        logger.info("LLM Service on http://%s:%d (%s)", server.host, port, ", ".join(settings.names().values()))
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_serve(settings, worker_command, listener, port_file))
    finally:
        port_file.remove()


async def _serve(
    settings: Settings, worker_command: Sequence[str], listener: socket.socket, port_file: PortFile
) -> None:
    service = ModelService(settings, worker_command)
    config = uvicorn.Config(
        create_app(service),
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=max(1, round(settings.server.drain_timeout)),
        timeout_keep_alive=75,
    )
    server = FrontServer(config, service, port_file)
    # uvicorn sets the same handler only after it has begun, and raises the signal again after it has stopped in good
    # order: neither may a signal be lost before, nor is the second one a failure.
    _on_signals(server.handle_exit)
    watch = asyncio.create_task(_end_when_idle(server, service, settings.server.shutdown_timeout))
    try:
        await server.serve(sockets=[listener])
    finally:
        watch.cancel()
        await asyncio.gather(watch, return_exceptions=True)


def _on_signals(handler: Callable[[int, FrameType | None], object]) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, handler)


async def _end_when_idle(server: FrontServer, service: ModelService, seconds: float) -> None:
    if not seconds:
        return
    # Asked for every time that the rest of the time has passed: an answer is not an event to wait for.
    while (left := seconds - service.idle_seconds) > 0:  # noqa: ASYNC110
        await asyncio.sleep(left + 0.01)
    logger.info("Nobody has asked for anything for %g s; the service ends (SHUTDOWN_TIMEOUT)", seconds)
    server.should_exit = True


def _loop_factory() -> type[asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.Loop
