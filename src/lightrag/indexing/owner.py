"""Names of processes in leases, by which a successor can tell that an owner is dead without waiting for its leases."""

from __future__ import annotations

import os
import socket
import uuid
from pathlib import Path

_BOOT = Path("/proc/sys/kernel/random/boot_id")
_NAMESPACE = Path("/proc/self/ns/pid")


def owner_name() -> str:
    """Return a name for this process that no other has: the place where its number means something, and the number."""
    return f"{_place()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"


def is_dead(owner: str) -> bool:
    """Tell whether the process of this name is gone; False where that cannot be known from here."""
    place, _, rest = owner.rpartition(":")[0].rpartition(":")
    if not place or place != _place() or not rest.isdigit():
        return False
    try:
        os.kill(int(rest), 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


def _place() -> str:
    """Return what tells machines, starts of a machine and containers apart; process numbers repeat between them."""
    try:
        boot = _BOOT.read_text().strip()
        return f"{socket.gethostname()}/{boot}/{_NAMESPACE.stat().st_ino}"
    except OSError:
        # Without these two, a number that is free here may be taken where the owner lives: nobody is ever dead.
        return f"{socket.gethostname()}/{uuid.uuid4().hex}"
