"""LightRAG's names around prompts, and the standing instructions that go before a user's."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

from lightrag.types import FIELD_SEPARATOR

GRAPH_FIELD_SEP = FIELD_SEPARATOR

PROMPTS: dict[str, Any] = {
    "DEFAULT_TUPLE_DELIMITER": "<|#|>",
    "DEFAULT_RECORD_DELIMITER": "\n",
    "DEFAULT_COMPLETION_DELIMITER": "<|COMPLETE|>",
    "DEFAULT_LANGUAGE": "English",
    "DEFAULT_USER_PROMPT": "n/a",
    "fail_response": "Sorry, I'm not able to provide an answer to that question.[no-context]",
}
"""Delimiters and fixed answers. The prompts themselves are files of this package, not entries to be changed here."""

_SUFFIXES = frozenset({".md", ".txt"})
_log = logging.getLogger("lightrag")


def load_user_prompt_prefix_source() -> str:
    """Return what goes before every user prompt: USER_PROMPT_PREFIX_FILE (in PROMPT_DIR/user_prompt), else
    USER_PROMPT_PREFIX, word for word.

    A file that cannot be used gives the empty string and an error in the log, never an exception.
    """
    name = os.getenv("USER_PROMPT_PREFIX_FILE", "").strip()
    inline = os.getenv("USER_PROMPT_PREFIX", "")
    if name:
        if inline:
            _log.warning("USER_PROMPT_PREFIX is not used, since USER_PROMPT_PREFIX_FILE is set")
        return _read_prefix(name)
    if inline:
        _log.info("User prompt prefix: USER_PROMPT_PREFIX (%d chars)", len(inline))
    return inline


def _read_prefix(name: str) -> str:
    if "/" in name or "\\" in name or Path(name).suffix.lower() not in _SUFFIXES:
        _log.error("USER_PROMPT_PREFIX_FILE=%s: give the name of a .md or .txt file without folders", name)
        return ""
    try:
        path = Path(os.getenv("PROMPT_DIR", "").strip() or "prompts").expanduser().resolve() / "user_prompt" / name
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError, RuntimeError) as error:
        _log.error("USER_PROMPT_PREFIX_FILE=%s cannot be read, no prefix is used: %s", name, error)
        return ""
    _log.info("User prompt prefix: USER_PROMPT_PREFIX_FILE %s (%d chars)", path, len(text))
    return text
