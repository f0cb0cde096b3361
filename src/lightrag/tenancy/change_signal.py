"""Tells the processes on one machine that something in the control plane was changed, without asking its database.

A file in the working directory holds 16 random bytes, which each change replaces after it was committed. All processes
map it into their memory, so that looking costs less than a microsecond and can be done with every request.
"""

from __future__ import annotations

import logging
import mmap
import os
import secrets
from pathlib import Path
from typing import Self

_log = logging.getLogger(__name__)
_SIZE = 16


class ChangeSignal:
    """The signal of one control plane.

    Without a file, as on a read-only disk, it never changes by itself: others then hear of changes when what they
    remember has grown old.
    """

    def __init__(self, memory: mmap.mmap | None) -> None:
        self._memory = memory

    @classmethod
    def open(cls, path: Path) -> Self:
        """Return the signal of a file, made where there is none. Blocking."""
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                # Never cut shorter: that would take the memory away from those who have mapped it.
                if os.fstat(descriptor).st_size < _SIZE:
                    os.ftruncate(descriptor, _SIZE)
                return cls(mmap.mmap(descriptor, _SIZE))
            finally:
                os.close(descriptor)
        except (OSError, ValueError) as error:
            _log.warning("changes of the control plane reach other processes with a delay: %s", error)
            return cls(None)

    @property
    def state(self) -> bytes:
        """What is equal as long as nothing was changed."""
        return b"" if self._memory is None else self._memory[:]

    def give(self) -> None:
        """Tell everybody that something was changed; call it after the commit."""
        if self._memory is not None:
            self._memory[:] = secrets.token_bytes(_SIZE)

    def close(self) -> None:
        """Release the memory."""
        memory, self._memory = self._memory, None
        if memory is not None:
            memory.close()
