"""Calls that a model on MLX makes of its own accord, read with mlx-lm's parser for the model's template."""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

logger = logging.getLogger(__name__)


class ToolText:
    """Splits text, as it comes, into what is said and what is called; text is held back only within a call.

    mlx-lm chooses `tool_call_start`, `tool_call_end` and `tool_parser` by the template. An empty end means that a call
    reaches to the end of the answer.
    """

    def __init__(self, tokenizer: Any, tools: Sequence[Mapping[str, Any]]) -> None:
        self._start = str(tokenizer.tool_call_start)
        self._end = str(tokenizer.tool_call_end or "")
        self._parse = tokenizer.tool_parser
        self._tools = [dict(tool) for tool in tools]
        self._held = ""
        self._count = 0

    def feed(self, text: str) -> tuple[str, tuple[Mapping[str, Any], ...]]:
        """Take more text; return what of it is said, and the calls that it completes in OpenAI's form."""
        self._held += text
        said = ""
        calls: tuple[Mapping[str, Any], ...] = ()
        while (start := self._held.find(self._start)) >= 0:
            said += self._held[:start]
            self._held = self._held[start:]
            end = self._held.find(self._end, len(self._start)) if self._end else -1
            if end < 0:
                return said, calls
            block, self._held = self._held[:end], self._held[end + len(self._end) :]
            more_said, found = self._read(block, self._end)
            said += more_said
            calls += found
        keep = next((n for n in range(len(self._start) - 1, 0, -1) if self._held.endswith(self._start[:n])), 0)
        place = len(self._held) - keep
        said, self._held = said + self._held[:place], self._held[place:]
        return said, calls

    def rest(self) -> tuple[str, tuple[Mapping[str, Any], ...]]:
        """Return what was held back, at the end of the text."""
        held, self._held = self._held, ""
        return self._read(held, "") if held.startswith(self._start) else (held, ())

    def _read(self, block: str, end: str) -> tuple[str, tuple[Mapping[str, Any], ...]]:
        """Return the calls of a block, or its text where it is none."""
        try:
            parsed = self._parse(block[len(self._start) :], self._tools)
            found = [_call(one) for one in (parsed if isinstance(parsed, list) else [parsed])]
        except Exception as error:  # parsers raise what they like at what a model writes
            logger.info("What looks like a call is none: %s", error)
            return block + end, ()
        calls = []
        for call in found:
            calls.append({"index": self._count, "id": f"call_{secrets.token_hex(12)}", "type": "function", **call})
            self._count += 1
        return "", tuple(calls)


def _call(parsed: Mapping[str, Any]) -> dict[str, Any]:
    arguments = parsed.get("arguments", {})
    text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    return {"function": {"name": str(parsed["name"]), "arguments": text}}
