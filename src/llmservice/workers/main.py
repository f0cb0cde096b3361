"""The worker's command: `python -m llmservice.workers.main FD`, started by the front process only."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys

from llmservice.workers.serving import LoadBackend, WorkerServer


def serve(load_backend: LoadBackend, descriptor: int) -> None:
    """Serve over an inherited socket; ends the process, without waiting for native threads."""
    # Libraries print to standard output; it belongs to nobody here, and the front process reads standard error.
    os.dup2(2, 1)
    # The terminal's Ctrl-C goes to the whole group; when to stop is the front process's decision.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(name)s - %(levelname)s - %(message)s")
    code = 0
    try:
        asyncio.run(_serve(load_backend, descriptor))
    except Exception:
        logging.getLogger(__name__).exception("The worker ends")
        code = 1
    sys.stderr.flush()
    os._exit(code)


async def _serve(load_backend: LoadBackend, descriptor: int) -> None:
    connection = socket.socket(fileno=descriptor)
    connection.setblocking(False)
    server = WorkerServer(load_backend)
    await asyncio.get_running_loop().create_connection(lambda: server.protocol, sock=connection)
    await server.run()


def main() -> None:
    """Serve the real backends."""
    from llmservice.backends.factory import load_backend

    serve(load_backend, int(sys.argv[1]))


if __name__ == "__main__":
    main()
