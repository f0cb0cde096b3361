"""Reads the catalogue: package data, made by `scripts/build_catalogue.py`."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any, Self

import orjson

from lightrag.tenancy.catalogue.fields import Field, fields_of
from lightrag.tenancy.catalogue.wires import OPERATORS_OWN, UNSERVED_NAMES, reason, wire
from lightrag.tenancy.contracts import ModelRef, ModelType, Price


@dataclasses.dataclass(frozen=True, slots=True)
class CatalogueModel:
    """A model that is known by name."""

    name: str
    type: ModelType
    context_tokens: int | None = None
    """The larger of what the sources say."""
    max_output_tokens: int | None = None
    dimension: int | None = None
    has_tools: bool = False
    price: Price = Price()  # noqa: RUF009 - frozen
    ends: str = ""
    """The day from which its provider no longer serves it, YYYY-MM-DD."""


@dataclasses.dataclass(frozen=True, slots=True)
class Provider:
    """A provider of models."""

    name: str
    tags: tuple[str, ...]
    rank: int
    base_url: str
    """Its own address, where it has one."""
    bases: Mapping[str, str]
    """Further addresses, by use."""
    fields: tuple[Field, ...]
    """What it wants to be told, its key first; none where it needs no key."""
    wires: Mapping[ModelType, str]
    """The binding that serves each type."""
    unserved: Mapping[ModelType, str]
    """Types that it offers and that cannot be used here, with the reason."""
    suffix: str
    is_self_hosted: bool
    is_hidden: bool
    models: tuple[CatalogueModel, ...]
    """Those that can be used."""

    @property
    def key_field(self) -> Field | None:
        """The field that is the key."""
        return self.fields[0] if self.fields else None

    @property
    def needs_key(self) -> bool:
        """Whether nothing can be called without a key."""
        return bool(self.fields) and self.fields[0].is_required

    @property
    def types(self) -> tuple[ModelType, ...]:
        """What can be used of it."""
        return tuple(sorted(self.wires, key=_type_order))

    def find(self, name: str, type: ModelType | None = None) -> CatalogueModel | None:
        """Return what is known of a model, by its name with or without the provider's suffix."""
        bare = self.bare(name)
        return next((one for one in self.models if one.name == bare and type in (None, one.type)), None)

    def bare(self, name: str) -> str:
        """Return a model's name as the provider knows it."""
        return name.removesuffix(self.suffix) if self.suffix else name

    def full(self, name: str) -> str:
        """Return a model's name as it is kept and listed."""
        return name if not self.suffix or name.endswith(self.suffix) else name + self.suffix

    def is_unserved(self, name: str, type: ModelType) -> bool:
        """Whether a model is offered in a way that no binding speaks, unlike others of its type."""
        return name.startswith(UNSERVED_NAMES.get((self.wires.get(type, ""), type), ("\0",)))


_ORDER = tuple(ModelType)


def _type_order(type: ModelType) -> int:
    return _ORDER.index(type)


class Catalogue:
    """All providers."""

    def __init__(self, providers: Sequence[Provider], prices_as_of: str = "") -> None:
        self._providers = {one.name: one for one in sorted(providers, key=lambda one: (-one.rank, one.name))}
        self.prices_as_of = prices_as_of

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """Return the catalogue that the package data describe."""
        return cls([_provider(raw) for raw in data["providers"]], data["provenance"]["prices_as_of"])

    def all(self) -> tuple[Provider, ...]:
        """Return all providers, those of the highest rank first."""
        return tuple(self._providers.values())

    def get(self, name: str) -> Provider | None:
        """Return a provider by its exact name."""
        return self._providers.get(name)

    def ref(self, text: str) -> ModelRef | None:
        """Read `name@provider`: the last `@` counts, and only a known provider may follow it. None for anything else.

        Names of models may hold an `@` themselves.
        """
        name, at, provider = text.rpartition("@")
        return ModelRef(provider, name) if at and name and provider in self._providers else None

    def at(self, addresses: Mapping[str, str]) -> Catalogue:
        """Return the catalogue with other addresses for some providers; for all of what they serve."""
        if not addresses:
            return self
        moved = [
            dataclasses.replace(one, base_url=addresses[one.name], bases={}) if one.name in addresses else one
            for one in self._providers.values()
        ]
        return Catalogue(moved, self.prices_as_of)

    def price(self, ref: ModelRef, type: ModelType) -> Price:
        """Return what a model costs, as far as that is known."""
        provider = self.get(ref.provider)
        model = provider.find(ref.name, type) if provider is not None else None
        return model.price if model is not None else Price()


@functools.cache
def load_catalogue() -> Catalogue:
    """Return the catalogue of this release, read once."""
    raw = resources.files("lightrag.tenancy.catalogue").joinpath("providers.json").read_bytes()
    return Catalogue.from_data(orjson.loads(raw))


def _provider(raw: Mapping[str, Any]) -> Provider:
    name, dialect = raw["name"], raw["dialect"]
    by_type = raw.get("dialect_by_type", {})
    wires: dict[ModelType, str] = {}
    unserved: dict[ModelType, str] = {}
    for type in map(ModelType, raw["types"]):
        spoken = by_type.get(type.value, dialect)
        found = wire(name, spoken, type)
        if found is None:
            unserved[type] = reason(name, spoken)
        else:
            wires[type] = found
    bases = dict(raw.get("bases", {}))
    provider = Provider(
        name=name,
        tags=tuple(raw.get("tags", ())),
        rank=raw.get("rank", 0),
        base_url=_own_base(name, raw.get("base_url", ""), bases),
        bases=bases,
        fields=fields_of(name, raw["auth"]),
        wires=wires,
        unserved=unserved,
        suffix=raw.get("suffix", ""),
        is_self_hosted=raw.get("self_hosted", False),
        is_hidden=raw.get("hidden", False) or name in OPERATORS_OWN,
        models=(),
    )
    models = [_model(one) for one in raw["models"]]
    served = [one for one in models if one.type in wires and not provider.is_unserved(one.name, one.type)]
    return dataclasses.replace(provider, models=tuple(served))


def _own_base(name: str, base: str, bases: Mapping[str, str]) -> str:
    if name == "BaiduYiyan":
        return bases["openai_compatible_base"]
    if "{model}" in base:
        # One host for each model: the user has to name it.
        return ""
    return base or bases.get("vendor_base", "")


def _model(raw: Mapping[str, Any]) -> CatalogueModel:
    price = raw.get("price", {})
    return CatalogueModel(
        name=raw["name"],
        type=ModelType(raw["type"]),
        context_tokens=max(raw.get("max_tokens", 0), raw.get("context", 0)) or None,
        max_output_tokens=raw.get("output"),
        dimension=raw.get("dimension"),
        has_tools=raw.get("tools", False),
        price=Price(price.get("in"), price.get("cached"), price.get("out")),
        ends=raw.get("ends", ""),
    )
