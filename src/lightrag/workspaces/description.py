"""A workspace as a whole, as whoever looks after it wants to see it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lightrag.settings import Settings

if TYPE_CHECKING:
    from lightrag.tenancy.control_plane import ControlPlane


@dataclasses.dataclass(frozen=True, slots=True)
class Description:
    """A workspace as a whole."""

    name: str
    is_default: bool
    description: str
    labels: Mapping[str, Any]
    state: str
    created_at: int | None
    documents: Mapping[str, int]
    entities: int
    relations: int
    database_bytes: int
    input_bytes: int
    is_open: bool
    models: Mapping[str, Sequence[str]]
    """Those of its own that are switched on, as `name@provider`, by type."""
    usage: Mapping[str, Any]
    """Sums over all calls that were made for it."""


@dataclasses.dataclass(frozen=True, slots=True)
class Dealings:
    """What the control plane knows of a workspace's models."""

    models: Mapping[str, Sequence[str]]
    usage: Mapping[str, Any]


async def dealings_of(settings: Settings, plane: ControlPlane | None, workspace_id: str | None) -> Dealings:
    """Return the models of a workspace and what was used of all models; nothing where it has no entry."""
    if plane is None or workspace_id is None:
        return Dealings({}, {})
    from lightrag.tenancy.registry_opening import registry_of
    from lightrag.tenancy.usage import UsageReport

    models: dict[str, list[str]] = {}
    for model in await registry_of(settings, plane).models(workspace_id):
        names = models.setdefault(model.type.value, [])
        if model.is_enabled and model.ref.text not in names:
            names.append(model.ref.text)
    total = await UsageReport(plane.database).total(workspace_id)
    usage = {**total.numbers, "total_tokens": total.tokens, "cost_usd": total.cost / 1e6}
    return Dealings({type: names for type, names in models.items() if names}, usage)
