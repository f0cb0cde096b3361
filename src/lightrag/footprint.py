"""How a process keeps its memory small."""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from collections.abc import Callable

_BLOCK = 1 << 20
_OPTIONS = {
    # The environment's name, mallopt's number of it (glibc's malloc.h), and its value here.
    "MALLOC_ARENA_MAX": (-8, 2),
    "MALLOC_MMAP_THRESHOLD_": (-3, _BLOCK),
    "MALLOC_TRIM_THRESHOLD_": (-1, _BLOCK),
}


def keep_small() -> None:
    """Set the process up so that it gives memory back; to be called before threads and large objects are made.

    glibc gives every thread a heap of its own and raises the size from which blocks are mapped by themselves, so that
    what one large document took stays taken: some 60 MB. What the environment says of these options holds.
    """
    mallopt = _of_the_c_library("mallopt")
    for name, (option, value) in _OPTIONS.items():
        if mallopt is not None and name not in os.environ:
            mallopt(option, value)
    # Client libraries put the processor's name into headers, and Python starts `uname` to find it out. Most Linux
    # systems do not know it, and a child that is being started counts as much memory as its parent.
    vars(platform.uname()).setdefault("processor", "")


def give_back() -> None:
    """Return free memory to the system; worth its milliseconds after something large was loaded or let go."""
    trim = _of_the_c_library("malloc_trim")
    if trim is not None:
        trim(0)


def _of_the_c_library(name: str) -> Callable[..., int] | None:
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None
