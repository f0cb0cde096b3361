"""Prompts that a chat front end writes itself: titles, tags, follow-up questions, search queries, completions.

They are about the conversation and not about the documents, so they go to the language model as they are. Open WebUI
sends them as the last message of the user, between fixed marks; see its `config.py` (`*_PROMPT_TEMPLATE`). All but
two carry the conversation between lines `<chat_history>` and `</chat_history>`; administrators may rewrite the rest.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import orjson

from lightrag.api.faces.prefixes import parse_prefix

_TASK = re.compile(r"\s*#{1,3} Task:?\s")
_HISTORY = re.compile(r"(?:^|\n)<chat_history>[ \t]*\n(?P<said>.*?)(?:\n?</chat_history>|$)", re.DOTALL)
_SPEAKER = re.compile(r"(?:USER|ASSISTANT|SYSTEM|TOOL):")
_CLOSED = re.compile(r"(?:^|\n)</chat_history>")
_AFTERWARDS = re.compile(r"\s*(?:<type>.*</text>\s*(?:#+ Output:)?)?\s*$", re.DOTALL)
_FENCE = "```"
_OPENINGS = (
    "Your task is to reflect the speaker's likely facial expression through a fitting emoji.",
    "You have been provided with a set of responses from various models to the latest user query:",
    "Create a concise, 3-5 word phrase with an emoji as a title for the previous query.",
    "Create a concise, 3-5 word title with an emoji as a title for the chat history",
    "Create a concise, 3-5 word phrase as a header for the following query",
    "Assess the need for a web search based on the current question and prior interactions",
)
"""How prompts begin that come without a conversation, the last four from versions of 2024."""
_TOOLS_OPENING, _TOOLS_KEY = "Available Tools:", '"tool_calls"'

TITLE_WORDS = 6
_LAST_WORDS = 400
"""Characters of a message that become a search query."""


def is_housekeeping(message: str, system: str = "", *, streamed: bool) -> bool:
    """Tell whether a message is such a prompt and not a question.

    `system` is what stands before it as instructions: there Open WebUI lists tools to choose from. Front ends do not
    stream these answers, so a streamed message must match in more ways than one that is not.
    """
    if message.startswith(_OPENINGS):
        return True
    if system.lstrip().startswith(_TOOLS_OPENING) and _TOOLS_KEY in system:
        return True
    history = _HISTORY.search(message)
    if history is None or message.count(_FENCE, 0, history.start()) % 2:
        return False  # somebody quotes such a prompt
    begins_as_task = _TASK.match(message) is not None
    is_said = _SPEAKER.match(history["said"]) is not None
    if not streamed:
        return is_said or begins_as_task
    closed = _CLOSED.search(message, history.start("said"))
    return begins_as_task and closed is not None and _AFTERWARDS.match(message, closed.end()) is not None


def offline_answer(message: str, system: str = "") -> str:
    """Return an answer of the form that the prompt asks for, where there is no language model to write one."""
    if message.startswith(_OPENINGS[0]):
        return "💬"
    if message.startswith(_OPENINGS[1]):
        return message.partition("Responses from models:")[2].strip()
    if system.lstrip().startswith(_TOOLS_OPENING):
        return '{"tool_calls": []}'
    instructions = _HISTORY.sub("", message)
    asked = _last_said(message)
    for key, value in _FORMS.items():
        if re.search(rf'"{key}"\s*:', instructions):
            return orjson.dumps({key: value(asked)}).decode()
    return _short(asked)


def _last_said(message: str) -> str:
    """Return what the user said last in the conversation that the prompt carries."""
    history = _HISTORY.search(message)
    said = history["said"] if history is not None else message
    turns = re.split(r"(?:^|\n)(?=(?:USER|ASSISTANT|SYSTEM|TOOL): )", said)
    users = [turn.removeprefix("USER: ").strip() for turn in turns if turn.startswith("USER: ")]
    return parse_prefix(users[-1]).question if users else ""


def _short(text: str) -> str:
    return " ".join(text.split()[:TITLE_WORDS]).strip(" .,;:?!\"'") or "Conversation"


_FORMS: Mapping[str, Callable[[str], object]] = {
    "title": _short,
    "tags": lambda _: ["General"],
    "follow_ups": lambda _: [],
    "queries": lambda said: [said[:_LAST_WORDS]] if said else [],
    "prompt": lambda said: said[:_LAST_WORDS],
    "text": lambda _: "",
    "tool_calls": lambda _: [],
}
