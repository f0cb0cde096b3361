"""The models of a workspace that a command opens on this machine: its own ones, as the server has them."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from lightrag.engine_models import Models
from lightrag.model_assembly import open_models

if TYPE_CHECKING:
    from lightrag.assembly import ModelsOpener
    from lightrag.indexing.manifest import Manifest
    from lightrag.settings import Settings
    from lightrag.storage.contracts import Storage
    from lightrag.tenancy.control_plane import ControlPlane


class PresentControl:
    """A control plane that is open, as the parts of a server take it."""

    def __init__(self, plane: ControlPlane) -> None:
        self._plane = plane

    async def plane(self) -> ControlPlane:
        """Return it."""
        return self._plane

    async def existing(self) -> ControlPlane | None:
        """Return it."""
        return self._plane


@contextlib.asynccontextmanager
async def present_models(settings: Settings) -> AsyncIterator[ModelsOpener]:
    """Yield what opens a workspace's models: with the control plane's models, limits and ledger where there is one."""
    from lightrag.tenancy.names import CONTROL_FILE

    if settings.tenancy.control_dsn is None and not (settings.paths.working_dir / CONTROL_FILE).exists():
        yield open_models
        return
    from lightrag.tenancy.control_plane import open_control_plane
    from lightrag.workspaces.live_models import open_live_models
    from lightrag.workspaces.model_services import ServiceDoor

    plane = await open_control_plane(settings)
    door = ServiceDoor(settings, PresentControl(plane))

    async def opener(settings: Settings, storage: Storage, recorded: Manifest | None) -> Models:
        return await open_live_models(settings, storage, recorded, door)

    try:
        yield opener
    finally:
        await door.close()
        await plane.close()


async def unasked_models(settings: Settings, storage: Storage, recorded: Manifest | None) -> Models:
    """Return models for a look at what is stored: no text is embedded, so that the embedding model may be missing."""
    from lightrag.workspaces.live_embedding import MissingEmbedding

    models = await open_models(settings, storage, recorded)
    wanted = models.embedding.facts.label
    if recorded is None or not recorded.embedding or recorded.embedding == wanted:
        return models
    return dataclasses.replace(models, embedding=MissingEmbedding(recorded.embedding, wanted))
