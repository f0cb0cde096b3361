"""The command `lightrag-gunicorn`: the server in several processes, looked after by gunicorn.

The master reads the settings, opens the port and watches the workers; it loads neither models nor stores nor the
application, so that nothing which a fork would break (threads, connections) exists before the workers do.
"""

from __future__ import annotations

import gc
import logging
import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from lightrag.api.lightrag_server import GRACE_SECONDS, open_socket
from lightrag.api.logs import configure_logging
from lightrag.api.start_board import StartBoard
from lightrag.errors import ConfigurationError, LightRAGError
from lightrag.footprint import keep_small
from lightrag.settings import Settings, auth_warnings, load_settings

try:
    from gunicorn.app.base import BaseApplication
    from gunicorn.errors import HaltServer
    from gunicorn.glogging import Logger
except ImportError as error:  # pragma: no cover - not a POSIX system
    raise SystemExit("lightrag-gunicorn needs a POSIX system and gunicorn; use lightrag-server here") from error

if TYPE_CHECKING:
    from fastapi import FastAPI

PROGRAM = "lightrag-gunicorn"
HUNG_SECONDS = 120
"""A worker whose event loop does not turn for so long is killed and replaced."""
_RE_EXECUTED = "GUNICORN_FD"
"""Set where a running master has started this one in its place and hands over its socket."""

_log = logging.getLogger("lightrag.gunicorn")


def main(argv: Sequence[str] | None = None) -> None:
    """Start the workers and serve until a signal ends it; exits with 2 for wrong settings, 1 where none can start."""
    arguments = tuple(sys.argv[1:] if argv is None else argv)
    # Workers, which are forked, inherit it.
    keep_small()
    try:
        settings = read_settings(arguments)
        check_storage(settings)
        listener = None if _RE_EXECUTED in os.environ else open_socket(settings)
    except ConfigurationError as error:
        _give_up(str(error), 2)
    configure_logging(settings)
    for warning in (*settings.warnings, *auth_warnings(settings.auth, settings.server)):
        logging.getLogger("lightrag").warning(warning)
    # What the master holds stays as it is: no page of it is copied because a worker counts references.
    gc.freeze()
    application = GunicornApplication(arguments, settings, listener)
    master = os.getpid()
    try:
        application.run()
    except (SystemExit, HaltServer) as ending:
        if os.getpid() != master:
            raise  # a worker, which was forked below `run`
        # The second kind escapes where another worker fails while the master is stopping because of the first.
        failures = application.board.failures()
        if failures and not (isinstance(ending, SystemExit) and not ending.code):
            _give_up("\n".join(failures), 1)
        sys.exit(ending.code if isinstance(ending, SystemExit) else 1)


def read_settings(arguments: Sequence[str]) -> Settings:
    """Read the settings as `lightrag-server` does. Raises `ConfigurationError`."""
    return load_settings(arguments, os.environ, Path.cwd(), program=PROGRAM)


def check_storage(settings: Settings) -> None:
    """Raise `ConfigurationError` where the storages cannot be shared by several processes.

    Asked in a process of its own: finding out loads libraries that start threads.
    """
    if settings.server.workers == 1:
        return
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, _family(settings).encode()[:4000])
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8", errors="replace") as pipe:
        family = pipe.read()
    os.waitpid(child, 0)
    if family == "files":
        raise ConfigurationError(
            f"{settings.paths.working_dir} holds LightRAG's own files, which only one process may have open, and "
            f"{settings.server.workers} workers are asked for. Start with --workers 1, or move the data to a database "
            "that several processes can share: lightrag migrate --from files --to sqlite"
        )


def _family(settings: Settings) -> str:
    """Return the name of the storages that the default workspace will open; empty where that cannot be told yet."""
    try:
        from lightrag.storage.registry import StorageNames, choose_family, workspace_folder

        folder = workspace_folder(settings.paths.working_dir, settings.paths.workspace)
        return choose_family(StorageNames.of(settings.storage), folder).name
    except (LightRAGError, OSError):
        # The workers will meet the same and tell it better.
        return ""


class GunicornApplication(BaseApplication):  # type: ignore[misc]
    """Tells gunicorn what to run and how."""

    def __init__(self, arguments: Sequence[str], settings: Settings, listener: socket.socket | None) -> None:
        self.settings = settings
        self.board = StartBoard()
        self.leads = False
        """Whether this worker does what is done once for all of them."""
        self._arguments = arguments
        # gunicorn takes the descriptor over and closes it when the server drains.
        self._address = f"fd://{listener.detach()}" if listener is not None else ""
        super().__init__(prog=PROGRAM)

    def load_config(self) -> None:
        """Set gunicorn's options; its own configuration files and variables are not read."""
        for name, value in self._options().items():
            self.cfg.set(name, value)

    def _options(self) -> dict[str, Any]:
        from lightrag.api.gunicorn_worker import LightRAGWorker

        server = self.settings.server
        options: dict[str, Any] = {
            "worker_class": LightRAGWorker,
            "logger_class": GunicornLog,
            "loglevel": ("DEBUG" if server.verbose else server.log_level).lower(),
            "workers": server.workers,
            "timeout": HUNG_SECONDS,
            "graceful_timeout": GRACE_SECONDS + 20,
            "proc_name": PROGRAM,
            "control_socket_disable": True,
            "worker_tmp_dir": _memory_folder(),
        }
        if self._address:
            options["bind"] = self._address
        return options

    def reload(self) -> None:
        """Read the settings again at SIGHUP; the old ones stay where the new ones cannot be used."""
        try:
            self.settings = read_settings(self._arguments)
        except ConfigurationError as error:
            _log.error("The settings were not read again: %s", error)
        configure_logging(self.settings)
        super().reload()

    def load(self) -> FastAPI:
        """Make the application, in the worker."""
        from lightrag.api.app import create_app

        gc.disable()
        self.leads = self.board.take_lead()
        app = create_app(self.settings if self.leads else _without_scan(self.settings))
        app.state.server.server_mode = "gunicorn"
        app.state.server.workers = self.settings.server.workers
        return app


class GunicornLog(Logger):  # type: ignore[misc]
    """Sends gunicorn's own lines to the server's log; requests are logged by the application."""

    def setup(self, cfg: Any) -> None:
        """Take the level; handlers are those of the root logger."""
        self.cfg = cfg
        self.loglevel = self.LOG_LEVELS.get(cfg.loglevel.lower(), logging.INFO)
        self.error_log.setLevel(self.loglevel)
        self.error_log.propagate = True
        self.access_log.disabled = True

    def access(self, resp: Any, req: Any, environ: Any, request_time: Any) -> None:
        """Do nothing."""

    def reopen_files(self) -> None:
        """Do nothing: a log file that was moved away is noticed at the next line."""


def _without_scan(settings: Settings) -> Settings:
    """Return the settings of a worker that is not the first: the scan at the start is made once."""
    return settings.model_copy(update={"server": settings.server.model_copy(update={"auto_scan": False})})


def _memory_folder() -> str | None:
    """Return a folder that no disk stands behind, for the files by which workers show that they live."""
    folder = "/dev/shm"  # noqa: S108
    return folder if os.path.isdir(folder) and os.access(folder, os.W_OK) else None


def _give_up(message: str, code: int) -> NoReturn:
    print(f"{PROGRAM} cannot start:\n{message}", file=sys.stderr)  # noqa: T201
    sys.exit(code)


if __name__ == "__main__":
    main()
