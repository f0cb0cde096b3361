"""CPU time and memory of a process and its descendants, from /proc (Linux)."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def tree(pid: int) -> list[int]:
    """Return the process and all its living descendants."""
    found, open_ends = [], [pid]
    while open_ends:
        current = open_ends.pop()
        found.append(current)
        for task in Path(f"/proc/{current}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                open_ends += [int(child) for child in task.read_text().split()]
    return found


def cpu_seconds(pid: int) -> float:
    """Return user and system time of the tree, including children that have ended and been waited for."""
    ticks = 0
    for member in tree(pid):
        with contextlib.suppress(OSError):
            # proc(5): fields 14-17 are utime, stime, cutime, cstime; the name in field 2 may hold blanks.
            fields = Path(f"/proc/{member}/stat").read_text().rsplit(")", 1)[1].split()
            ticks += sum(int(value) for value in fields[11:15])
    return ticks / TICKS_PER_SECOND


def resident_mb(pid: int) -> float:
    """Return the tree's resident memory in MB (10**6 bytes); pages that its members share count repeatedly."""
    kilobytes = 0
    for member in tree(pid):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{member}/status").read_text().splitlines():
                if line.startswith("VmRSS:"):
                    kilobytes += int(line.split()[1])
    return kilobytes * 1024 / 1e6


class Peak:
    """The highest resident memory seen while it was watched."""

    def __init__(self, pid: int) -> None:
        self.start_mb = resident_mb(pid)
        self.mb = self.start_mb

    @property
    def growth_mb(self) -> float:
        """Return by how much memory rose above its value at the start."""
        return self.mb - self.start_mb


@contextlib.asynccontextmanager
async def watch_memory(pid: int, interval: float = 0.02) -> AsyncIterator[Peak]:
    """Sample the tree's memory every `interval` seconds until the block ends."""
    peak = Peak(pid)

    async def sample() -> None:
        while True:
            peak.mb = max(peak.mb, resident_mb(pid))
            await asyncio.sleep(interval)

    task = asyncio.create_task(sample())
    try:
        yield peak
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        peak.mb = max(peak.mb, resident_mb(pid))
