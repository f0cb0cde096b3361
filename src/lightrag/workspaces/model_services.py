"""What the engines of a process share of the control plane's models: registry, connections, ledger and limits."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import TYPE_CHECKING, Protocol

from lightrag.settings import Settings

if TYPE_CHECKING:
    from lightrag.tenancy.connections import Connections
    from lightrag.tenancy.control_plane import ControlPlane
    from lightrag.tenancy.ledger import Ledger
    from lightrag.tenancy.ledger_models import Account, TokenLimits
    from lightrag.tenancy.limits import LimitBook
    from lightrag.tenancy.registry import ModelRegistry


class PlaneSource(Protocol):
    """The control plane, as far as there is one."""

    async def existing(self) -> ControlPlane | None:
        """Return it where somebody has made one."""
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class ModelServices:
    """One of each for a process."""

    plane: ControlPlane
    registry: ModelRegistry
    connections: Connections
    ledger: Ledger
    book: LimitBook
    tokens: TokenLimits

    def account(self, workspace_id: str) -> Account:
        """Return a workspace's account."""
        from lightrag.tenancy.ledger_models import Account
        from lightrag.tenancy.prices import server_price

        catalogue = self.registry.catalogue

        return Account(
            workspace_id, self.ledger, self.book, self.tokens, prices=lambda model: server_price(catalogue, model)
        )


class ServiceDoor:
    """Makes the services when there is a control plane, once; without one nothing of it is imported."""

    def __init__(self, settings: Settings, control: PlaneSource) -> None:
        self._settings = settings
        self._control = control
        self._made: ModelServices | None = None
        self._making = asyncio.Lock()
        self._closed = False

    async def existing(self) -> ModelServices | None:
        """Return the services where there is a control plane. Raises `StorageError` where it cannot be opened."""
        plane = await self._control.existing()
        if plane is None or self._closed:
            return None
        if self._made is None:
            async with self._making:
                if self._made is None:
                    self._made = await asyncio.to_thread(_make, plane, self._settings)
        return self._made

    async def close(self) -> None:
        """Write what the ledger still holds. A door that was closed stays closed."""
        self._closed = True
        async with self._making:
            made, self._made = self._made, None
        if made is not None:
            await made.book.close()
            await made.ledger.close()


def _make(plane: ControlPlane, settings: Settings) -> ModelServices:
    from lightrag.tenancy.ledger import Ledger
    from lightrag.tenancy.ledger_models import TokenLimits
    from lightrag.tenancy.limits import LimitBook
    from lightrag.tenancy.registry_opening import connections_of, registry_of

    registry, connections = registry_of(settings, plane), connections_of(settings)
    book = LimitBook(plane.database)
    ledger = Ledger(plane.database)
    return ModelServices(plane, registry, connections, ledger, book, TokenLimits(plane.database, book))
