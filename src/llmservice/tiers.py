"""The five tiers, and the one table of rules that says which of them a model name means."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Literal

ModelKind = Literal["chat", "embedding", "rerank"]


class Tier(StrEnum):
    """A place for one model; the value is what clients write."""

    LIGHT = "light"
    MEDIUM = "medium"
    HEAVY = "heavy"
    EMBEDDING = "embedding"
    RERANKER = "reranker"

    @property
    def prefix(self) -> str:
        """What the tier's environment variables begin with."""
        return f"{self.name}_"


class UnknownModel(LookupError):
    """No rule says which tier a name means."""


LIGHT_BILLIONS = 4.0
"""Models of fewer parameters belong to LIGHT."""
HEAVY_BILLIONS = 20.0
"""Models of at least so many belong to HEAVY."""

_SIZE = re.compile(r"(?<![a-z0-9.])(?:(\d+)x)?(\d+(?:\.\d+)?)([bm])(?![a-z0-9])")


@dataclasses.dataclass(frozen=True, slots=True)
class Rule:
    """One way in which a name can mean a tier."""

    says: str
    """The rule in words, as the documentation shows it."""
    find: Callable[[str, Mapping[Tier, str]], Tier | None]
    """Takes the name in lower case and the configured models' names by tier."""


def _by_tier(name: str, models: Mapping[Tier, str]) -> Tier | None:
    return Tier(name) if name in set(Tier) else None


def _by_tier_and_name(name: str, models: Mapping[Tier, str]) -> Tier | None:
    head, _, tail = name.partition("/")
    if not tail or head not in set(Tier):
        return None
    tier = Tier(head)
    if tier in models and tail not in _spellings(models[tier]):
        raise UnknownModel(name)
    return tier


def _by_exact_name(name: str, models: Mapping[Tier, str]) -> Tier | None:
    return next((tier for tier, model in models.items() if name in _spellings(model)), None)


def _by_pattern(tier: Tier, *words: str) -> Callable[[str, Mapping[Tier, str]], Tier | None]:
    return lambda name, _models: tier if any(word in name for word in words) else None


def _by_size(name: str, models: Mapping[Tier, str]) -> Tier | None:
    billions = size_in_billions(name)
    if billions is None:
        return None
    if billions < LIGHT_BILLIONS:
        return Tier.LIGHT
    return Tier.MEDIUM if billions < HEAVY_BILLIONS else Tier.HEAVY


# Rerankers come before embedders: "bge-reranker" holds the words of both.
RULES: tuple[Rule, ...] = (
    Rule("a tier's name", _by_tier),
    Rule("`tier/name`, as `/v1/models` lists it", _by_tier_and_name),
    Rule("the exact name of a configured model, with or without its file's ending", _by_exact_name),
    Rule("`*rerank*`, `*cross-encoder*` → RERANKER", _by_pattern(Tier.RERANKER, "rerank", "cross-encoder")),
    Rule("`*embed*`, `*bge*`, `*e5*` → EMBEDDING", _by_pattern(Tier.EMBEDDING, "embed", "bge", "e5")),
    Rule(
        f"a size: under {LIGHT_BILLIONS:g}b → LIGHT, under {HEAVY_BILLIONS:g}b → MEDIUM, from there on → HEAVY",
        _by_size,
    ),
)
"""Tried in this order; the first that finds a tier decides."""


def tier_of(name: str, models: Mapping[Tier, str], aliases: Mapping[str, str]) -> Tier:
    """Return the tier that a requested model name means; it need not have a model.

    Raises:
        UnknownModel: no rule applies.
    """
    wanted = name.strip().lower()
    wanted = aliases.get(wanted, wanted).lower()
    for rule in RULES:
        tier = rule.find(wanted, models)
        if tier is not None:
            return tier
    raise UnknownModel(name)


def size_in_billions(name: str) -> float | None:
    """Return the number of parameters that a model's name gives: `qwen-0.5b`, `mixtral-8x7b`, `smollm-135m`."""
    found = _SIZE.search(name.lower())
    if found is None:
        return None
    experts, number, unit = found.groups()
    return int(experts or 1) * float(number) * (1.0 if unit == "b" else 0.001)


def _spellings(model: str) -> set[str]:
    lower = model.lower()
    return {lower, lower.removesuffix(".gguf"), lower.removesuffix(".onnx"), lower + ".gguf", lower + ".onnx"}
