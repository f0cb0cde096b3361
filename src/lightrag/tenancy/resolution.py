"""Which model serves what: the one place where that is decided.

A model that a request asks for goes first, then the workspace's default for the role, then its default for the type,
then what the workspace has of the type, then the server's settings.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from enum import StrEnum

from lightrag.llm.contracts import Role
from lightrag.tenancy.contracts import ModelRef, ModelType

CHAT_ROLES = (Role.EXTRACT, Role.SUMMARY, Role.KEYWORDS, Role.ANSWER)
TYPE_OF_ROLE: Mapping[Role, ModelType] = {
    **dict.fromkeys(CHAT_ROLES, ModelType.CHAT),
    Role.EMBED: ModelType.EMBEDDING,
    Role.RERANK: ModelType.RERANK,
    Role.IMAGE2TEXT: ModelType.IMAGE2TEXT,
}


class Origin(StrEnum):
    """Who chose a model."""

    REQUEST = "request"
    WORKSPACE_ROLE = "workspace default for the role"
    WORKSPACE_TYPE = "workspace default for the type"
    WORKSPACE_MODELS = "models of the workspace"
    """There is no default; the first model of the type serves."""
    DATA = "data of the workspace"
    """Its vectors were made with this model, whatever the default says."""
    SERVER = "server"


@dataclasses.dataclass(frozen=True, slots=True)
class Choice:
    """The models for a role, in the order in which they are tried."""

    origin: Origin
    refs: tuple[ModelRef, ...] = ()
    """Empty where the server's settings decide."""


def choose(
    role: Role,
    defaults: Mapping[str, Sequence[ModelRef]],
    own: Sequence[ModelRef],
    requested: ModelRef | None = None,
) -> Choice:
    """Return the models for a role.

    Args:
        role: What the call is for.
        defaults: The workspace's defaults by slot: a role of chat, or a type of models.
        own: The workspace's models of the role's type that can be used, in their order. A default that is not among
            them is passed over.
        requested: What the request asks for.
    """
    if requested is not None and requested in own:
        return Choice(Origin.REQUEST, (requested,))
    type_slot = TYPE_OF_ROLE[role].value
    slots = [(type_slot, Origin.WORKSPACE_TYPE)]
    if role in CHAT_ROLES:
        slots.insert(0, (role.value, Origin.WORKSPACE_ROLE))
    for slot, origin in slots:
        usable = tuple(ref for ref in defaults.get(slot, ()) if ref in own)
        if usable:
            return Choice(origin, usable)
    if own:
        return Choice(Origin.WORKSPACE_MODELS, (own[0],))
    return Choice(Origin.SERVER)
