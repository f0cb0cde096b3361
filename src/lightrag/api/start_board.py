"""What the processes of one server tell each other about their start: who came first, who serves, what went wrong."""

from __future__ import annotations

import mmap
import os

_LONGEST = 3500
"""Bytes of a message; less than what a pipe takes at once, so that messages of several processes never mix."""


class StartBoard:
    """Made before processes are forked; all of them see the same board, also after some were killed."""

    def __init__(self) -> None:
        self._lead, lead = os.pipe()
        os.write(lead, b"1")
        os.close(lead)
        self._reading, self._writing = os.pipe()
        os.set_blocking(self._reading, False)
        os.set_blocking(self._writing, False)
        self._served = mmap.mmap(-1, 1)

    def take_lead(self) -> bool:
        """Return True to the first process that asks: what is to be done once for all of them falls to it."""
        return os.read(self._lead, 1) == b"1"

    @property
    def has_served(self) -> bool:
        """Whether any process has come so far as to serve."""
        return self._served[0] != 0

    def note_serving(self) -> None:
        """Note that this process serves."""
        self._served[0] = 1

    def note_failure(self, message: str) -> None:
        """Note why this process cannot start."""
        try:
            os.write(self._writing, message.encode()[:_LONGEST] + b"\0")
        except BlockingIOError:
            return  # so many said it already

    def failures(self) -> list[str]:
        """Return what was noted since the last call, each reason once."""
        try:
            text = os.read(self._reading, 65536).decode(errors="replace")
        except BlockingIOError:
            return []
        return list(dict.fromkeys(filter(None, text.split("\0"))))
