"""Which model serves what: the one place where that is decided.

A model that a request asks for serves it, or the request is refused. Without one the workspace's default for the role
goes first, then its default for the type, then what the workspace has of the type, then the server's settings.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING

from lightrag.errors import AmbiguousModel, UnknownModel
from lightrag.llm.contracts import Role
from lightrag.tenancy.contracts import ModelRef, ModelType

if TYPE_CHECKING:
    from lightrag.tenancy.registry_records import ModelInfo

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
    SERVER = "server"


@dataclasses.dataclass(frozen=True, slots=True)
class Choice:
    """The models for a role, in the order in which they are tried."""

    origin: Origin
    refs: tuple[ModelRef, ...] = ()
    """Empty where the server's settings decide."""
    is_servers: bool = False
    """Whether what was requested is one of the server's own models."""


@dataclasses.dataclass(frozen=True, slots=True)
class Offer:
    """The models of a type among which a request may choose."""

    own: Sequence[ModelRef] = ()
    """The workspace's, in their order."""
    server: Sequence[ModelRef] = ()
    """The server's, as `name@binding`, those for the role first. They serve workspaces without models of the type."""
    other_names: Mapping[ModelRef, str] = dataclasses.field(default_factory=dict)
    """What providers call models that are kept under another name."""


def choose(
    role: Role,
    defaults: Mapping[str, Sequence[ModelRef]],
    offer: Offer,
    requested: str | None = None,
) -> Choice:
    """Return the models for a role.

    Args:
        role: What the call is for.
        defaults: The workspace's defaults by slot: a role of chat, or a type of models. A default that is not among
            the workspace's models is passed over.
        offer: The models of the role's type that can be used.
        requested: What the request asks for, as `name@provider` or a name that only one model has. Nothing else
            serves it then.

    Raises:
        UnknownModel: No model that may be used is called like this.
        AmbiguousModel: Several are.
    """
    own = offer.own
    if requested is not None:
        refs = own or offer.server
        return Choice(Origin.REQUEST, (_named(role, requested, refs, offer),), is_servers=not own)
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


def names(requested: str, ref: ModelRef, other_name: str | None = None) -> bool:
    """Tell whether a request's text names a model: in full or by its name, also by that which its provider uses."""
    known = [ref.name] if other_name is None else [ref.name, other_name]
    return requested in known or requested in [f"{name}@{ref.provider}" for name in known]


def why_unusable(
    requested: str, type: ModelType, models: Iterable[ModelInfo], other_name: Callable[[ModelRef], str | None]
) -> str:
    """Return in a sentence why a workspace's model of a name cannot be used for a type; empty where it has none.

    `models` are all that the workspace has, those that are switched off included; `other_name` is as in `Offer`.
    """
    found = [model for model in models if names(requested, model.ref, other_name(model.ref))]
    fitting = [model for model in found if model.type is type]
    if not found:
        return ""
    if not fitting:
        types = ", ".join(dict.fromkeys(model.type.value for model in found))
        return f"'{found[0].ref.text}' is a model of type {types}, not {type}"
    text = fitting[0].ref.text
    if not any(model.is_enabled for model in fitting):
        return f"'{text}' is switched off (POST /llm/enable_llm switches it on)"
    if not any(model.is_available for model in fitting):
        return f"The stored key of '{text}' cannot be read; set it again (POST /llm/set_api_key)"
    return f"'{text}' has a weight of 0, which takes it out of use"


def _named(role: Role, requested: str, refs: Sequence[ModelRef], offer: Offer) -> ModelRef:
    found = [ref for ref in refs if names(requested, ref, offer.other_names.get(ref))]
    exact = [ref for ref in found if ref.text == requested]
    if len(exact or found) == 1:
        return (exact or found)[0]
    kind, shown = _KINDS[TYPE_OF_ROLE[role]], _shown(requested)
    if found:
        raise AmbiguousModel(f"There are several {kind}s '{shown}': name one of {_listed(found)}")
    if not refs:
        raise UnknownModel(
            f"There is no {kind} '{shown}' to ask, nor any other one: add models to the workspace (POST "
            "/llm/add_llm), or configure the server's"
        )
    where = "workspace" if offer.own else "server"
    message = f"The {where} has no {kind} '{shown}' to ask; there is {_listed(refs)}"
    if offer.own and any(names(requested, ref) for ref in offer.server):
        message += f". The server's own models serve workspaces without {kind}s only"
    raise UnknownModel(message)


_KINDS: Mapping[ModelType, str] = {
    ModelType.CHAT: "chat model",
    ModelType.EMBEDDING: "embedding model",
    ModelType.RERANK: "reranking model",
    ModelType.IMAGE2TEXT: "model for pictures",
}
_MOST_LISTED = 20


def _listed(refs: Sequence[ModelRef]) -> str:
    texts = [ref.text for ref in refs[:_MOST_LISTED]]
    return ", ".join(texts) + (f" and {len(refs) - _MOST_LISTED} more" if len(refs) > _MOST_LISTED else "")


def _shown(text: str) -> str:
    return text if len(text) <= 200 else f"{text[:200]}…"
