"""The `.port` file by which clients on the machine find the service, and the socket that it tells of."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from pathlib import Path

from llmservice.errors import ConfigurationError

TRIED_PORTS = 100


def listen(host: str, port: int, is_strict: bool) -> socket.socket:
    """Return a socket that listens on a port, or on the next free one; 0 for any.

    Raises:
        ConfigurationError: no port can be had.
    """
    last = port if is_strict or port == 0 else min(port + TRIED_PORTS, 65535)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for candidate in range(port, last + 1):
        one = socket.socket(family, socket.SOCK_STREAM)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind((host, candidate))
            one.listen(2048)
        except OSError as error:
            one.close()
            if error.errno != errno.EADDRINUSE:
                said = error.strerror or error
                raise ConfigurationError(f"HOST, PORT: cannot listen on {host}:{candidate} ({said})") from None
        else:
            return one
    raise ConfigurationError(f"PORT: {port} to {last} are taken; set another port, or stop what uses it")


class PortFile:
    """Holds the port while the service runs."""

    def __init__(self, path: Path, port: int) -> None:
        self._path = path
        self._text = f"{port}\n"

    def write(self) -> None:
        """Write the port in one step: readers see the old content or the new, never a part.

        Raises:
            ConfigurationError: the file cannot be written.
        """
        beside = self._path.with_name(f"{self._path.name}.{os.getpid()}.tmp")
        try:
            beside.write_text(self._text, encoding="ascii")
            beside.replace(self._path)
        except OSError as error:
            raise ConfigurationError(f"PORT_FILE: {self._path} cannot be written ({error.strerror})") from None

    def remove(self) -> None:
        """Remove the file, unless another service has written its own port meanwhile."""
        with contextlib.suppress(OSError):
            if self._path.read_text(encoding="ascii") == self._text:
                self._path.unlink()
