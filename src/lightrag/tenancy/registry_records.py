"""What the registry of models tells, and what it is told."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from lightrag.errors import Conflict, InvalidInput
from lightrag.tenancy.catalogue import Provider
from lightrag.tenancy.contracts import Candidate, ModelRef, ModelType, Price
from lightrag.tenancy.limits import Limit

TYPE_SLOTS = tuple(type.value for type in ModelType)
ROLE_SLOTS = ("extract", "summary", "keywords", "answer")
SLOTS = (*TYPE_SLOTS, *ROLE_SLOTS)
"""What a workspace can name models for: each type, and the roles of chat models."""
DEFAULT_LABEL = "default"

KEY_SET, KEY_NONE, KEY_UNREADABLE = "set", "none", "credential_unreadable"

_TYPE_NAMES = {
    ModelType.CHAT: "Chat",
    ModelType.EMBEDDING: "Embedding",
    ModelType.RERANK: "Re-rank",
    ModelType.IMAGE2TEXT: "Image to text",
    ModelType.SPEECH2TEXT: "Speech",
    ModelType.TTS: "TTS",
}


class UnsupportedModel(InvalidInput):
    """A provider's models of this type cannot be used here."""

    def __init__(self, provider: str, type: ModelType, reason: str = "") -> None:
        super().__init__(f"{_TYPE_NAMES[type]} model from {provider} is not supported yet.")
        self.reason = reason


class ModelInUse(Conflict):
    """What should go is named by defaults."""

    def __init__(self, what: str, users: list[str]) -> None:
        super().__init__(
            f"{what} is in use as default for {', '.join(users)}: choose another default first, or send force: true, "
            "which takes it out of them"
        )
        self.users = users


def type_of_slot(slot: str) -> ModelType:
    """Return the type of model that serves a slot. Raises `InvalidInput` for what is none."""
    if slot not in SLOTS:
        raise InvalidInput(f"There is no slot '{slot[:50]}'; there are {', '.join(SLOTS)}")
    return ModelType.CHAT if slot in ROLE_SLOTS else ModelType(slot)


def model_type(text: str) -> ModelType:
    """Return a type by its name. Raises `InvalidInput`."""
    try:
        return ModelType(text)
    except ValueError:
        raise InvalidInput(f"Unknown model type: {text[:100]}") from None


@dataclasses.dataclass(frozen=True, slots=True)
class CredentialInfo:
    """A credential without its secrets."""

    id: str
    provider: str
    label: str
    base_url: str
    """As entered; empty for the provider's own."""
    address: str
    """Where it is used."""
    key_state: str
    """`set`, `none` or `credential_unreadable`."""
    hint: str
    fingerprint: str
    extra: Mapping[str, str]
    is_verified: bool
    verified_at: int | None
    updated_at: int


@dataclasses.dataclass(frozen=True, slots=True)
class ModelInfo:
    """A model of a workspace."""

    id: str
    ref: ModelRef
    type: ModelType
    credential: CredentialInfo
    is_enabled: bool
    is_verified: bool
    context_tokens: int | None
    max_output_tokens: int | None
    dimension: int | None
    has_tools: bool
    order: int
    weight: float
    price: Price
    """Its own where it has one, else the catalogue's."""

    @property
    def is_available(self) -> bool:
        """Whether calls can be tried."""
        return self.is_enabled and self.credential.key_state != KEY_UNREADABLE


@dataclasses.dataclass(frozen=True, slots=True)
class ModelWish:
    """A model to be added or changed; what is None stays as it is."""

    provider: str
    name: str
    type: str
    given: Mapping[str, Any] = dataclasses.field(default_factory=dict, repr=False)
    """The request's fields, of which those are read that the provider wants."""
    base_url: str | None = None
    label: str | None = None
    context_tokens: int | None = None
    max_output_tokens: int | None = None
    dimension: int | None = None
    has_tools: bool | None = None
    order: int | None = None
    weight: float | None = None
    price: Price | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class KeyWish:
    """A provider's key to be set for all models of it that the catalogue knows."""

    provider: str
    given: Mapping[str, Any] = dataclasses.field(default_factory=dict, repr=False)
    base_url: str | None = None
    label: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class DraftCredential:
    """A credential as it shall be stored."""

    id: str
    is_new: bool
    label: str
    base_url: str
    secrets: Mapping[str, str] = dataclasses.field(repr=False)
    extra: Mapping[str, str]
    is_changed: bool
    seen: tuple[object, ...] | None = dataclasses.field(default=None, repr=False)
    """What was stored when this was drafted."""


@dataclasses.dataclass(frozen=True, slots=True)
class DraftModel:
    """A model as it shall be stored."""

    name: str
    type: ModelType
    values: Mapping[str, Any]
    """Columns that change."""
    row_id: str | None = None
    """The row that it takes the place of."""


@dataclasses.dataclass(frozen=True, slots=True)
class Draft:
    """A change that was checked and is not stored yet, so that it can be tried before."""

    workspace_id: str
    provider: Provider
    credential: DraftCredential
    models: tuple[DraftModel, ...]
    candidates: tuple[Candidate, ...] = dataclasses.field(repr=False)
    """Ways to reach each of `models`, in their order."""

    def with_dimension(self, name: str, type: ModelType, dimension: int) -> Draft:
        """Return the draft with the length of a model's vectors, where nobody has told it."""
        told = {one.ref.name: one.dimension for one in self.candidates if one.type is type}
        models = tuple(
            dataclasses.replace(one, values={**one.values, "dimension": dimension})
            if (one.name, one.type) == (name, type) and told.get(name) is None
            else one
            for one in self.models
        )
        return dataclasses.replace(self, models=models)


@dataclasses.dataclass(frozen=True, slots=True)
class Holdings:
    """The models of a workspace and what they are used for."""

    candidates: Mapping[ModelType, Sequence[Candidate]]
    """Ways to reach the enabled models, in their order; those whose key cannot be read are left out."""
    defaults: Mapping[str, Sequence[ModelRef]]
    """By slot: the first choice, and what serves where it fails."""


@dataclasses.dataclass(frozen=True, slots=True)
class Standing:
    """What an engine keeps of its workspace."""

    workspace_id: str
    version: int
    holdings: Holdings | None = None
    """None where the version is the one that the engine knows."""
    limits: tuple[Limit, ...] = ()
