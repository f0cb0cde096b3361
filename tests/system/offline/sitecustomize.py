"""Loaded by every Python process of a server that has to do without a network: nothing but this machine is reached.

What is tried is written to the file that REACHED_OUT names. Python sees only the sockets that Python opens, so uvloop,
which opens its own, is hidden. Nothing answers at Ollama's port, whatever runs on this machine.
"""

from __future__ import annotations

import errno
import os
import socket
import sys
from typing import Any

_HERE = {None, "", b"", "localhost", "127.0.0.1", "::1", "0.0.0.0"}
_OLLAMA = 11434


def _note(line: str) -> None:
    with open(os.environ["REACHED_OUT"], "a") as record:
        record.write(f"{line}\n")


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if event in {"socket.connect", "socket.sendto"} and isinstance(arguments[1], tuple):
        host, port = arguments[1][:2]
        if host not in _HERE:
            _note(f"{event} {host}:{port}")
            raise OSError(errno.ENETUNREACH, "there is no network")
        if port == _OLLAMA:
            raise ConnectionRefusedError(errno.ECONNREFUSED, "nobody answers")
    elif event in {"socket.getaddrinfo", "socket.gethostbyname"} and arguments[0] not in _HERE:
        _note(f"{event} {arguments[0]}")
        raise socket.gaierror(socket.EAI_NONAME, "there is no network")


sys.modules["uvloop"] = None  # type: ignore[assignment]
_note("watching")
sys.addaudithook(_watch)
