"""Asks the server on this machine whether it answers: `python -m lightrag.api.healthcheck`, for containers.

Reads the settings that the server was started with from the environment, `.env` and `config.ini`; the exit status is 0
where the server answers, else 1. The certificate is not checked: the server is asked by another name than it has.
"""

from __future__ import annotations

import http.client
import os
import ssl
import sys
from pathlib import Path

from lightrag.errors import ConfigurationError
from lightrag.settings import Settings, load_settings

SECONDS = 5.0
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104


def main() -> None:
    """Print what is wrong, if anything is, and exit."""
    try:
        problem = ask(load_settings(None, os.environ, Path.cwd()))
    except ConfigurationError as error:
        problem = str(error)
    if problem:
        print(problem, file=sys.stderr)  # noqa: T201
    sys.exit(1 if problem else 0)


def ask(settings: Settings) -> str:
    """Return why the server does not answer as it should; empty where it does."""
    server = settings.server
    host = _EVERYWHERE.get(server.host, server.host)
    connection = (
        http.client.HTTPSConnection(
            host,
            server.port,
            timeout=SECONDS,
            context=ssl._create_unverified_context(),  # noqa: S323
        )
        if server.ssl
        else http.client.HTTPConnection(host, server.port, timeout=SECONDS)
    )
    try:
        connection.request("GET", f"{server.root_path}/livez")
        status = connection.getresponse().status
    except OSError as error:
        return f"{host} port {server.port} does not answer: {error}"
    finally:
        connection.close()
    return "" if status == 200 else f"{host} port {server.port} answers with status {status}"


if __name__ == "__main__":
    main()
