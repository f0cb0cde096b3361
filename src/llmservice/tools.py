"""Functions that a model may call: forced choices as a JSON schema, and calls read out of a model's text.

Models write calls in one of two ways: as `<tool_call>{"name": …, "arguments": …}</tool_call>` (the form that Hermes
and Qwen models are trained on), or, where a choice is forced, as the JSON object that the schema admits.
"""

from __future__ import annotations

import dataclasses
import json
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

OPEN, CLOSE = "<tool_call>", "</tool_call>"


@dataclasses.dataclass(frozen=True, slots=True)
class Call:
    """A function's name and its arguments as JSON text."""

    name: str
    arguments: str

    def as_json(self, index: int | None = None) -> dict[str, Any]:
        """Return the call as OpenAI writes it; with its index in streams."""
        numbered = {} if index is None else {"index": index}
        function = {"name": self.name, "arguments": self.arguments}
        return {**numbered, "id": f"call_{secrets.token_hex(12)}", "type": "function", "function": function}


def forced_schema(tools: Sequence[Mapping[str, Any]], name: str | None) -> dict[str, Any]:
    """Return the schema of a call that must be made: of the function of that name, or of any."""
    functions = [tool["function"] for tool in tools if name in (None, tool["function"]["name"])]
    calls = [
        {
            "type": "object",
            "properties": {
                "name": {"const": function["name"]},
                "arguments": function.get("parameters") or {"type": "object"},
            },
            "required": ["name", "arguments"],
            "additionalProperties": False,
        }
        for function in functions
    ]
    return calls[0] if len(calls) == 1 else {"anyOf": calls}


def read_call(text: str, names: frozenset[str]) -> Call | None:
    """Return the call that a JSON object describes; None where it is none of these functions."""
    try:
        value = json.loads(text)
    except ValueError:
        return None
    if not isinstance(value, dict) or value.get("name") not in names:
        return None
    arguments = value.get("arguments", value.get("parameters", {}))
    if not isinstance(arguments, dict):
        return None
    return Call(value["name"], json.dumps(arguments, ensure_ascii=False))


def joined(parts: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return whole calls out of the parts of a stream: each has its call's index, and more of name or arguments."""
    calls: dict[int, dict[str, Any]] = {}
    for part in parts:
        fresh = {"id": "", "type": "function", "function": {"name": "", "arguments": ""}}
        call = calls.setdefault(part["index"], fresh)
        call["id"] = part.get("id") or call["id"]
        for field, more in (part.get("function") or {}).items():
            call["function"][field] = call["function"].get(field, "") + (more or "")
    return [calls[index] for index in sorted(calls)]


class CallSplitter:
    """Splits text, as it comes, into what is said and what is called; text is held back only within a call."""

    def __init__(self, names: frozenset[str]) -> None:
        self._names = names
        self._held = ""
        self.calls: list[Call] = []

    def feed(self, text: str) -> str:
        """Take more text and return what can be said of it."""
        self._held += text
        said = ""
        while True:
            start = self._held.find(OPEN)
            if start < 0:
                keep = _overlap(self._held, OPEN)
                said += self._held[: len(self._held) - keep]
                self._held = self._held[len(self._held) - keep :]
                return said
            said += self._held[:start]
            self._held = self._held[start:]
            end = self._held.find(CLOSE)
            if end < 0:
                return said
            block = self._held[: end + len(CLOSE)]
            self._held = self._held[end + len(CLOSE) :]
            call = read_call(block[len(OPEN) : -len(CLOSE)], self._names)
            if call is None:
                said += block
            else:
                self.calls.append(call)

    def finish(self) -> str:
        """Return what is left; a call that was not closed but is whole counts."""
        held, self._held = self._held, ""
        call = read_call(held.removeprefix(OPEN), self._names) if held.startswith(OPEN) else None
        if call is None:
            return held
        self.calls.append(call)
        return ""


def _overlap(text: str, mark: str) -> int:
    """Return how many characters at the end of a text may be the beginning of a mark."""
    return next((size for size in range(min(len(mark) - 1, len(text)), 0, -1) if text.endswith(mark[:size])), 0)
