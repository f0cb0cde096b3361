"""The control plane as one server process has it: opened when it is first needed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from lightrag.settings import Settings
from lightrag.tenancy.names import CONTROL_FILE

if TYPE_CHECKING:
    from lightrag.tenancy.control_plane import ControlPlane

LOOK_AGAIN = 1.0
"""Seconds after which it is looked whether another process has made a control plane."""


class ControlDoor:
    """Opens the control plane at its first use, once.

    A server whose operator never made a token, a user or a workspace has none, and does without its imports too.
    """

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._path = settings.paths.working_dir / CONTROL_FILE
        self._clock = clock
        self._plane: ControlPlane | None = None
        self._opening = asyncio.Lock()
        self._closed = False
        self._looked = -LOOK_AGAIN
        self._seen = False

    async def plane(self) -> ControlPlane:
        """Return the control plane, made where there is none. Raises `StorageError`, `ConfigurationError`."""
        if self._plane is None:
            async with self._opening:
                if self._plane is None:
                    if self._closed:
                        raise RuntimeError("the control plane was closed")
                    self._plane = await self._open()
        return self._plane

    async def existing(self) -> ControlPlane | None:
        """Return the control plane where somebody has made one."""
        if self._plane is not None:
            return self._plane
        if not self._seen and self._settings.tenancy.control_dsn is None:
            now = self._clock()
            if now - self._looked < LOOK_AGAIN:
                return None
            self._looked = now
            self._seen = await asyncio.to_thread(self._path.exists)
            if not self._seen:
                return None
        return await self.plane()

    async def close(self) -> None:
        """Close it. A door that was closed stays closed."""
        self._closed = True
        async with self._opening:
            plane, self._plane = self._plane, None
        if plane is not None:
            await plane.close()

    async def _open(self) -> ControlPlane:
        # SQLAlchemy takes a quarter of a second to import.
        open_control_plane = await asyncio.to_thread(_import_control_plane)
        return await open_control_plane(self._settings)


def _import_control_plane() -> Callable[[Settings], Awaitable[ControlPlane]]:
    from lightrag.tenancy.control_plane import open_control_plane

    return open_control_plane
