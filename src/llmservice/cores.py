"""How many threads a model computes with where none are set."""

from __future__ import annotations

import os
from pathlib import Path

MOST_THREADS = 8
_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def default_threads(engine: str) -> int:
    """Return one thread for each core that this process may use, one fewer for llama.cpp, and at most `MOST_THREADS`.

    llama.cpp's threads wait for each other by spinning, after every layer: where one of them has to share its core with
    the front process or with another tier, all of them wait for it.
    """
    cores = available_cores()
    return max(1, min(cores - 1 if engine == "llamacpp" else cores, MOST_THREADS))


def available_cores(quota: Path = _QUOTA) -> int:
    """Return the cores that this process may run on, or fewer where a container's limit (cgroup v2) gives less time."""
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    try:
        limit, period = quota.read_text().split()
        allowed = int(limit) / int(period)
    except (OSError, ValueError):  # no such file, or no limit: "max 100000"
        return cores
    return max(1, min(cores, round(allowed)))
