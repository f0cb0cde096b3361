"""Moves files that are done with out of the way, never over another one."""

from __future__ import annotations

import os
from pathlib import Path

MOST = 10_000


def free_name(target: Path) -> Path:
    """Return `target`, or, where that is taken, the first of `name_001.suffix`, `name_002.suffix`, … that is not."""
    if not os.path.lexists(target):
        return target
    for number in range(1, MOST):
        candidate = target.with_name(f"{target.stem}_{number:03d}{target.suffix}")
        if not os.path.lexists(candidate):
            return candidate
    raise FileExistsError(f"{MOST} files of the name {target.name} are there already")


def move_file(source: Path, target: Path) -> None:
    """Move a file to a name that is free; both are on one file system. Raises OSError; then nothing was moved."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        # A link fails where the name is taken, which a rename does not.
        os.link(source, target)
    except FileExistsError:
        raise
    except OSError:
        if os.path.lexists(target):
            raise
        source.rename(target)
    else:
        source.unlink()
