"""JSON into frozen dataclasses, tolerant of what other versions of the server leave out or add."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Self, TypeVar

from lightrag.client.errors import ServerError

T = TypeVar("T")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Record:
    """What an answer says. Fields that this version does not know are in `extra`."""

    extra: Mapping[str, Any] = dataclasses.field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def read(cls, data: Any) -> Self:
        """Return the record that an answer holds.

        Raises `ServerError` where it is no JSON object, or lacks a field that has no default.
        """
        if not isinstance(data, dict):
            raise ServerError(f"The server's answer is no {cls.__name__}: {str(data)[:100]}", body=data)
        values: dict[str, Any] = {}
        kind: Any = cls
        for name, (hint, is_needed) in _fields(kind).items():
            if data.get(name) is not None:
                values[name] = decoded(hint, data[name])
            elif is_needed:
                raise ServerError(f"The server's answer is no {cls.__name__}: it lacks '{name}'", body=data)
        values["extra"] = {name: value for name, value in data.items() if name not in values}
        return cls(**values)


def decoded(hint: Any, value: Any) -> Any:
    """Return a JSON value as its type wants it: records, and tuples and mappings of them; all else as it is."""
    if isinstance(hint, type) and issubclass(hint, Record):
        return hint.read(value)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        inner = [argument for argument in arguments if argument is not types.NoneType]
        return decoded(inner[0], value) if len(inner) == 1 and value is not None else value
    if origin is tuple and isinstance(value, list):
        return tuple(decoded(arguments[0], item) for item in value)
    if origin is Mapping and isinstance(value, dict):
        return {key: decoded(arguments[1], item) for key, item in value.items()}
    return value


def many(read: Callable[[Any], T]) -> Callable[[Any], list[T]]:
    """Return a reader of lists of what `read` reads."""

    def read_all(data: Any) -> list[T]:
        if not isinstance(data, list):
            raise ServerError(f"The server's answer is no list: {str(data)[:100]}", body=data)
        return [read(item) for item in data]

    return read_all


def plain(data: Any) -> dict[str, Any]:
    """Return a JSON object as it is. Raises `ServerError` for anything else."""
    if not isinstance(data, dict):
        raise ServerError(f"The server's answer is no JSON object: {str(data)[:100]}", body=data)
    return data


@cache
def _fields(kind: Any) -> dict[str, tuple[Any, bool]]:
    """Return type and necessity of the fields of a record's class."""
    hints = typing.get_type_hints(kind)
    return {
        field.name: (
            hints[field.name],
            field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING,
        )
        for field in dataclasses.fields(kind)
        if field.name != "extra"
    }
