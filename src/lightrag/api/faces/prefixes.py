"""What a chat message asks for beside its question: a mode, the context only, instructions on the answer.

Forms: `/MODE question` and `/MODEcontext question` (`/context` for the default mode), either with `[instructions]`
directly after the prefix, and `/[instructions] question`.
"""

from __future__ import annotations

import dataclasses
import re

from lightrag.types import Mode

_MODES: dict[str, Mode] = {
    "local": "local",
    "global": "global",
    "naive": "naive",
    "hybrid": "hybrid",
    "mix": "mix",
    "bypass": "bypass",
}
_CONTEXTS: dict[str, Mode] = {
    "context": "mix",
    "localcontext": "local",
    "globalcontext": "global",
    "hybridcontext": "hybrid",
    "naivecontext": "naive",
    "mixcontext": "mix",
}
_MODE = re.compile(rf"/({'|'.join(_MODES)})(?:\s+|$)")
_CONTEXT = re.compile(rf"/({'|'.join(_CONTEXTS)})")
_BRACKETS = re.compile(r"/([a-z]*)\[(.*?)\]", re.DOTALL)


@dataclasses.dataclass(frozen=True, slots=True)
class Asked:
    """A message taken apart."""

    question: str
    mode: Mode | None = None
    """None where the message names none."""
    context_only: bool = False
    """What is found is wanted, not an answer."""
    instructions: str = ""
    """How the answer is to be written; not searched for."""


def parse_prefix(message: str) -> Asked:
    """Take a message apart; one without a known prefix is a question as it stands."""
    text = message.lstrip()
    if not text.startswith("/"):
        return Asked(message)
    if found := _BRACKETS.match(text):
        word, instructions, rest = found[1], found[2].strip(), text[found.end() :].strip()
        if word in _CONTEXTS:
            return Asked(rest, _CONTEXTS[word], context_only=True, instructions=instructions)
        if word in _MODES or not word:
            return Asked(rest, _MODES.get(word), instructions=instructions)
        return Asked(message)
    if found := _MODE.match(text):
        return Asked(text[found.end() :].strip(), _MODES[found[1]])
    if found := _CONTEXT.match(text):
        return Asked(text[found.end() :].strip(), _CONTEXTS[found[1]], context_only=True)
    return Asked(message)
