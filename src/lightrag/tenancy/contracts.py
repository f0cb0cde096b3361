"""What the parts of the control plane and those who use it tell each other about models, callers and money."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from lightrag.callers import Caller as Caller
from lightrag.callers import calling_as as calling_as
from lightrag.callers import current_caller as current_caller


class ModelType(StrEnum):
    """What a model does."""

    CHAT = "chat"
    EMBEDDING = "embedding"
    RERANK = "rerank"
    IMAGE2TEXT = "image2text"
    SPEECH2TEXT = "speech2text"
    TTS = "tts"


@dataclasses.dataclass(frozen=True, slots=True)
class ModelRef:
    """A model as users name it, in text `name@provider`."""

    provider: str
    name: str

    @property
    def text(self) -> str:
        """As it stands in defaults and messages."""
        return f"{self.name}@{self.provider}"


@dataclasses.dataclass(frozen=True, slots=True)
class Price:
    """Micro dollars for a million tokens; None where it is not known."""

    prompt: int | None = None
    cached: int | None = None
    completion: int | None = None

    def cost(self, prompt: int, cached: int, completion: int) -> int | None:
        """Return micro dollars, rounded up; None where a price that counts is not known.

        `cached` of the `prompt` tokens are paid at the cached price, or as others where there is none.
        """
        if (prompt and self.prompt is None) or (completion and self.completion is None):
            return None
        full = self.prompt or 0
        kept = full if self.cached is None else self.cached
        total = (prompt - cached) * full + cached * kept + completion * (self.completion or 0)
        return -(-total // 1_000_000)


@dataclasses.dataclass(frozen=True, slots=True)
class Candidate:
    """One way to reach a model: everything that a binding needs, the key in clear. Never logged, never stored."""

    workspace_id: str
    model_id: str
    credential_id: str
    ref: ModelRef
    upstream_name: str
    """What the provider calls it."""
    type: ModelType
    dialect: str
    """A key of the bindings for this type."""
    base_url: str
    secret: str = dataclasses.field(repr=False)
    extra: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Further fields of the credential: versions, regions, and secret ones of compound keys."""
    context_tokens: int | None = None
    max_output_tokens: int | None = None
    dimension: int | None = None
    order: int = 0
    weight: float = 1.0
    price: Price = Price()
    generation: int = 0
    """Changes with the credential and the model: equal for candidates that may share a client."""


@dataclasses.dataclass(frozen=True, slots=True)
class Actor:
    """Who makes a change."""

    kind: str
    """key | user | token | cli | server"""
    name: str = ""
    request_id: str = ""

    @property
    def text(self) -> str:
        """As it stands in the log."""
        return f"{self.kind}:{self.name}" if self.name else self.kind
