"""The command `lightrag-server`."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import uvicorn

from lightrag.api.context import ServerContext
from lightrag.api.logs import configure_logging
from lightrag.errors import ConfigurationError
from lightrag.footprint import keep_small
from lightrag.settings import Settings, auth_warnings, load_settings

GRACE_SECONDS = 10
"""Time for requests that are running when the server is told to stop."""
_BACKLOG = 2048


def main(argv: Sequence[str] | None = None) -> None:
    """Start the server and serve until a signal stops it; exits with 2 for wrong settings, 1 where it cannot start."""
    # Nothing of what is imported and built during the start is garbage.
    gc.disable()
    keep_small()
    try:
        settings = load_settings(sys.argv[1:] if argv is None else argv, os.environ, Path.cwd())
        listener = open_socket(settings)
    except ConfigurationError as error:
        _give_up(str(error), 2)
    configure_logging(settings)
    for warning in _warnings(settings):
        logging.getLogger("lightrag").warning(warning)
    # Imported here: a mistake in the settings is told before the application is loaded.
    from lightrag.api.app import create_app

    app = create_app(settings)
    server: ServerContext = app.state.server
    hide_start_traceback(server)
    runner = AnnouncingServer(uvicorn_config(app, settings), settings, server)
    try:
        runner.run(sockets=[listener])
    except KeyboardInterrupt:
        sys.exit(130)
    except SystemExit:
        # uvicorn's way to say that the application did not start.
        if server.start_error is None:
            raise
    if server.start_error is not None:
        _give_up(str(server.start_error), 1)
    if not runner.started:
        sys.exit(1)


def open_socket(settings: Settings) -> socket.socket:
    """Return a listening socket. Raises `ConfigurationError` where address or port cannot be had."""
    host, port = settings.server.host, settings.server.port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    try:
        if os.name != "nt":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise ConfigurationError(
            f"Cannot listen on {host} port {port}: {error.strerror or error}. Choose another with --host and --port."
        ) from None
    listener.set_inheritable(False)
    return listener


def uvicorn_config(app: object, settings: Settings) -> uvicorn.Config:
    """Return uvicorn's settings; its logging is ours."""
    server = settings.server
    return uvicorn.Config(
        app,  # type: ignore[arg-type]
        loop="auto",
        http="httptools",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        forwarded_allow_ips=list(server.proxies),
        timeout_graceful_shutdown=GRACE_SECONDS,
        ssl_certfile=server.ssl_certfile if server.ssl else None,
        ssl_keyfile=server.ssl_keyfile if server.ssl else None,
    )


class AnnouncingServer(uvicorn.Server):
    """Tells where it serves once it does."""

    def __init__(self, config: uvicorn.Config, settings: Settings, server: ServerContext) -> None:
        super().__init__(config)
        self._settings = settings
        self._server = server

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start serving, then print one line."""
        await super().startup(sockets)
        gc.freeze()
        gc.enable()
        if self.started and self._server.tenants is not None and sockets:
            port = sockets[0].getsockname()[1]
            line = announcement(self._settings, port, self._server)
            await asyncio.to_thread(print, line, flush=True)


def announcement(settings: Settings, port: int, server: ServerContext) -> str:
    """Return the line that tells a newcomer where to go."""
    scheme = "https" if settings.server.ssl else "http"
    host = settings.server.host
    shown = "localhost" if host in {"0.0.0.0", "::", ""} else f"[{host}]" if ":" in host else host  # noqa: S104
    url = f"{scheme}://{shown}:{port}{settings.server.root_path}"
    said = f"LightRAG serves at {url} - API at {url}/docs - data in {settings.paths.working_dir}"
    if server.engine is None:
        return f"{said} - every request names its workspace"
    info = server.engine.describe()
    models = sorted({facts.label for facts in info.chat.values()})
    answers = ", ".join(models) if models else "no language model (answers quote the documents)"
    embedding = info.embedding.label
    return f"{said} - {answers} - embeddings {embedding}"


def hide_start_traceback(server: ServerContext) -> None:
    """Keep uvicorn from logging the traceback of a start that failed for a reason that `main` tells in words."""
    logging.getLogger("uvicorn.error").addFilter(lambda record: server.start_error is None)


def _warnings(settings: Settings) -> list[str]:
    warnings = [*settings.warnings, *auth_warnings(settings.auth, settings.server)]
    if settings.server.workers > 1 and "server.workers" in settings.origins:
        warnings.append(
            f"{settings.server.workers} workers are asked for ({settings.origins['server.workers']}), but "
            "lightrag-server serves with one process; start lightrag-gunicorn for several"
        )
    return warnings


def _give_up(message: str, code: int) -> NoReturn:
    print(f"lightrag-server cannot start:\n{message}", file=sys.stderr)  # noqa: T201
    sys.exit(code)


if __name__ == "__main__":
    main()
