"""How one setting is declared: a field of a frozen group with the names under which users may set it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr
from pydantic.fields import FieldInfo


@dataclasses.dataclass(frozen=True, slots=True)
class Option:
    """The names of a setting outside of the program."""

    env: tuple[str, ...] = ()
    """Environment variables, the first that is set wins."""
    flag: str | None = None
    """Command line option."""
    ini: tuple[str, str] | None = None
    """Section and key in config.ini; storage settings only."""
    is_switch: bool = False
    """The command line option takes no value and turns the setting on."""
    env_wins: bool = False
    """The environment beats the command line."""
    is_secret: bool = False
    """The value holds secrets among other things."""


class Group(BaseModel):
    """Settings that belong together; frozen."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, protected_namespaces=())


@dataclasses.dataclass(frozen=True, slots=True)
class Declared:
    """One setting of a group with its names, as `declared` finds it."""

    field: str
    option: Option
    info: FieldInfo

    @property
    def help(self) -> str:
        """What the setting does."""
        return self.info.description or ""

    @property
    def is_secret(self) -> bool:
        """Whether the value must never be shown."""
        return self.option.is_secret or "SecretStr" in str(self.info.annotation)


def declared(group: type[Group], role: str = "") -> Iterator[Declared]:
    """Yield the settings of a group that users can set; a role's prefix goes before the variables."""
    for field, info in group.model_fields.items():
        for option in (item for item in info.metadata if isinstance(item, Option)):
            if role:
                option = dataclasses.replace(option, env=tuple(role + name for name in option.env), flag=None)
            yield Declared(field, option, info)


def none_from_word(value: Any) -> Any:
    """Return None for the words that mean it."""
    return None if isinstance(value, str) and value.strip().lower() in {"none", "null", ""} else value


def _words_from_text(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    text = value.strip()
    if text.startswith("["):
        try:
            return json.loads(text)
        except json.JSONDecodeError as error:
            raise ValueError(f"should be a JSON list or words separated by commas ({error})") from None
    return [word.strip() for word in text.split(",") if word.strip()]


Words = Annotated[tuple[str, ...], BeforeValidator(_words_from_text)]
"""Comma-separated words, or a JSON list of strings."""

Secret = Annotated[SecretStr | None, BeforeValidator(none_from_word)]
"""A value that is masked wherever it is shown."""

Seconds = Annotated[Annotated[float, Field(gt=0)] | None, BeforeValidator(none_from_word)]
"""A duration above 0; `None` for no limit."""
