"""Calls of every operation of an OpenAPI document, made from its own examples and filled with a caller's own words."""

from __future__ import annotations

import copy
import dataclasses
import json
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

LEFT = frozenset(
    {
        "mode",
        "kind",
        "role",
        "llm_factory",
        "model_type",
        "api_base",
        "base_url",
        "strategy",
        "status",
        "on_conflict",
        "format",
        "by",
        "llm_name",
        "new_name",
        "is_admin",
        "type",
        "slot",
        "llm_id",
        "embd_id",
        "encoding_format",
        "file_type",
        "model",
    }
)
"""Fields whose words mean something to the server."""
IDS = frozenset(["doc_id", "doc_ids", "track_id", "edit_id", "token_id", "id"])


@dataclasses.dataclass(frozen=True, slots=True)
class Operation:
    """One operation of the document."""

    method: str
    path: str
    parameters: Sequence[Mapping[str, Any]]
    bodies: Mapping[str, Any]
    """Example bodies by content type."""

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@dataclasses.dataclass(frozen=True, slots=True)
class Words:
    """What a caller fills into calls."""

    canary: str
    key: str
    workspaces: Sequence[str]
    ids: Sequence[str]


def operations(document: Mapping[str, Any]) -> list[Operation]:
    """Return all operations of a document."""
    return [
        Operation(
            method.upper(),
            path,
            operation.get("parameters", ()),
            {
                kind: _example(document, media)
                for kind, media in operation.get("requestBody", {}).get("content", {}).items()
            },
        )
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]


def call(operation: Operation, words: Words, rng: random.Random) -> tuple[str, dict[str, Any]]:
    """Return the path and the arguments of one call."""
    path, query = operation.path, {}
    for parameter in operation.parameters:
        value = _parameter(parameter, words, rng)
        if parameter["in"] == "path":
            path = path.replace(f"{{{parameter['name']}}}", str(value))
        elif parameter["in"] == "query" and (parameter.get("required") or rng.random() < 0.5):
            query[parameter["name"]] = value
    arguments: dict[str, Any] = {"params": query}
    for kind, example in operation.bodies.items():
        if kind == "application/json":
            arguments["json"] = _filled(example, "", words, rng)
        elif kind == "multipart/form-data":
            arguments |= _form(example, words, rng)
        else:
            arguments["data"] = _filled(example, "", words, rng)
    return path, arguments


def sentence(words: Words, rng: random.Random) -> str:
    """Return a text in which something is said of the canary."""
    name, other = f"{words.canary.title()} {rng.choice(('Motors', 'Ada', 'Bridge'))}", rng.choice(("London", "Paris"))
    return f"{name} hired Doctor {words.canary.title()} in {other} on day {rng.randrange(1000)}."


def found_ids(body: Any) -> Iterator[str]:
    """Yield the ids in an answer."""
    if isinstance(body, dict):
        for key, value in body.items():
            if key in IDS and isinstance(value, str):
                yield value
            yield from found_ids(value)
    elif isinstance(body, list):
        for item in body:
            yield from found_ids(item)


def _parameter(parameter: Mapping[str, Any], words: Words, rng: random.Random) -> Any:
    name, schema = parameter["name"], parameter.get("schema", {})
    options = [schema, *schema.get("anyOf", [])]
    enum = next((option["enum"] for option in options if "enum" in option), None)
    if enum is not None:
        return rng.choice(enum)
    kinds = {option.get("type") for option in options}
    if "boolean" in kinds:
        return rng.choice(("true", "false"))
    if kinds & {"integer", "number"}:
        return rng.randrange(1, 20)
    if name in ("workspace", "name") and rng.random() < 0.6:
        return rng.choice(words.workspaces)
    return _text(name, words.canary.title(), words, rng)


def _text(key: str, example: str, words: Words, rng: random.Random) -> str:
    if key in LEFT:
        return example
    if key in IDS:
        return rng.choice(words.ids) if words.ids else "none"
    if key == "workspace":
        return rng.choice(words.workspaces)
    if key == "api_key":
        return words.key
    if "entity" in key or key in ("name", "label", "source", "target"):
        return words.canary.title() + rng.choice(("", " Motors", " Ada", " Bridge"))
    return sentence(words, rng) if rng.random() < 0.7 else example


def _filled(value: Any, key: str, words: Words, rng: random.Random) -> Any:
    if isinstance(value, str):
        return _text(key, value, words, rng)
    if isinstance(value, dict):
        if key == "roles":
            return {rng.choice(words.workspaces): role for role in value.values()}
        return {name: _filled(item, name, words, rng) for name, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, key, words, rng) for item in value]
    return value


def _form(example: Any, words: Words, rng: random.Random) -> dict[str, Any]:
    name = f"{words.canary}-{rng.randrange(30)}.txt"
    field = "files" if "files" in example else "file"
    data = {key: str(value) for key, value in example.items() if key in ("on_conflict", "path") and rng.random() < 0.5}
    if "path" in data:
        data["path"] = words.canary
    if "tags" in example:
        data["tags"] = json.dumps({"owner": words.canary})
    return {"files": [(field, (name, sentence(words, rng).encode()))], "data": data}


def _example(document: Mapping[str, Any], media: Mapping[str, Any]) -> Any:
    if "example" in media:
        return copy.deepcopy(media["example"])
    schema = _resolved(document, media["schema"])
    if schema.get("examples"):
        return copy.deepcopy(schema["examples"][0])
    return _made(document, schema)


def _made(document: Mapping[str, Any], schema: Mapping[str, Any]) -> Any:
    schema = _resolved(document, schema)
    if schema.get("examples"):
        return copy.deepcopy(schema["examples"][0])
    if "default" in schema:
        return schema["default"]
    if "enum" in schema:
        return schema["enum"][0]
    for choice in schema.get("anyOf", schema.get("oneOf", ())):
        if choice.get("type") != "null":
            return _made(document, choice)
    kind = schema.get("type")
    if kind == "object" or "properties" in schema:
        return {name: _made(document, inner) for name, inner in schema.get("properties", {}).items()}
    if kind == "array":
        return [_made(document, schema.get("items", {}))]
    return {"integer": 1, "number": 1.0, "boolean": False}.get(kind, "text")


def _resolved(document: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    options = [schema, *schema.get("anyOf", ())]
    name = next((option["$ref"].rpartition("/")[2] for option in options if "$ref" in option), None)
    found: Mapping[str, Any] = document["components"]["schemas"][name] if name else schema
    return found
