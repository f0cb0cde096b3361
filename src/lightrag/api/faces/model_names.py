"""Names of the simulated model: what a client calls it says which mode, and which workspace, it wants.

A name is `BASE[@WORKSPACE][:TAG]`. BASE and TAG come from the settings; in the place of TAG may stand a query mode.
"""

from __future__ import annotations

import dataclasses
import re

from lightrag.settings import ServerSettings
from lightrag.tenancy.names import check_name
from lightrag.types import MODES, Mode

_DEFAULT_BASE = "lightrag"
_ANY_TAG = "latest"
_NAME = re.compile(r"(?P<base>[^@:]+)(?:@(?P<workspace>[A-Za-z0-9][A-Za-z0-9_-]{0,63}))?(?::(?P<tag>[^@:]+))?")


@dataclasses.dataclass(frozen=True, slots=True)
class SimulatedModel:
    """The name under which clients see this server."""

    base: str
    tag: str

    @property
    def full_name(self) -> str:
        """Name and tag, as Ollama lists it."""
        return f"{self.base}:{self.tag}" if self.tag else self.base

    @staticmethod
    def of(settings: ServerSettings) -> SimulatedModel:
        """Return the name that the settings give: name and tag apart, or the whole name."""
        name, tag = settings.simulated_model_name, settings.simulated_model_tag
        if name == _DEFAULT_BASE and settings.simulated_model:
            name, tag = settings.simulated_model, ""
        if ":" in name:
            name, _, tag = name.rpartition(":")
        return SimulatedModel(name, tag)


@dataclasses.dataclass(frozen=True, slots=True)
class ModelName:
    """What a client's model name asks for."""

    name: str
    """As the client wrote it."""
    workspace: str | None = None
    """None where the name leaves it to the request."""
    mode: Mode | None = None
    """None where the name has no mode."""


def parse_model_name(text: str, own: SimulatedModel) -> ModelName | None:
    """Return what a model name asks for; None where it does not name this server's model.

    Ollama's clients add `:latest` to names without a tag, so that tag is always known.
    """
    text = text.strip()
    if text == own.full_name:
        return ModelName(text)
    found = _NAME.fullmatch(text)
    if found is None or found["base"] != own.base:
        return None
    tag = found["tag"]
    mode = next((mode for mode in MODES if mode == tag), None)
    if mode is None and tag not in (None, _ANY_TAG, own.tag):
        return None
    return ModelName(text, found["workspace"], mode)


def parse_any_name(text: str, own: SimulatedModel) -> ModelName:
    """Return what a model name asks for where names of other models and tags stand for this server's.

    A workspace in the name counts all the same, so that nobody is answered from another one. Raises `InvalidInput` for
    a workspace's name that is none.
    """
    text = text.strip()
    base, sign, rest = text.partition("@")
    names_own = bool(sign) and base.lower() == own.base.lower()  # Ollama takes names in any case
    found = parse_model_name(f"{own.base}@{rest}" if names_own else text, own)
    if found is None and names_own:
        return ModelName(text, check_name(rest.rpartition(":")[0] or rest))
    return found or ModelName(text)


def model_names(own: SimulatedModel) -> list[str]:
    """Return the names that can be chosen from: the model itself, then one for each mode."""
    return [own.base, *(f"{own.base}:{mode}" for mode in MODES)]
