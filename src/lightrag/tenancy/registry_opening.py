"""The parts that serve workspaces' models, as the operator's settings want them."""

from __future__ import annotations

from lightrag.settings import Settings
from lightrag.tenancy.catalogue.chosen import addresses_of, catalogue_of
from lightrag.tenancy.connections import Connections
from lightrag.tenancy.control_plane import ControlPlane
from lightrag.tenancy.netguard import NetGuard
from lightrag.tenancy.registry import ModelRegistry
from lightrag.tenancy.registry_addresses import host_of


def guard_of(settings: Settings) -> NetGuard:
    """Return what judges base URLs: the operator's own addresses are allowed as they are."""
    own = [host_of(url) for url in addresses_of(settings).values()]
    return NetGuard((*settings.tenancy.allowed_hosts, *own))


def registry_of(settings: Settings, plane: ControlPlane) -> ModelRegistry:
    """Return the registry of a control plane."""
    return ModelRegistry(plane, catalogue_of(settings), guard_of(settings), settings.tenancy.allowed_providers)


def connections_of(settings: Settings, timeout: float | None = None) -> Connections:
    """Return what opens models. `timeout`: seconds for one call, by default as long as such calls may take."""
    return Connections(guard_of(settings), timeout)
