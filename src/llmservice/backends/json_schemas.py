"""JSON schemas as grammars of llguidance, which both engines for language models bind their answers with.

Options of the grammar: https://github.com/guidance-ai/llguidance/blob/main/docs/json_schema.md
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from llmservice.errors import InvalidRequest, ServiceError

_STYLE = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
"""Blanks are bounded: free to choose, a model may go on with them until its tokens are spent."""


def guided(schema: Mapping[str, Any]) -> str:
    """Return a schema as JSON text with the style of the answer; the empty schema stands for any object.

    Raises `InvalidRequest` for a schema that is wrong or that the engines cannot enforce: llama.cpp would let an
    answer pass unbound.
    """
    try:
        import llguidance
    except ImportError as error:
        raise ServiceError("Answers in JSON need llguidance; install lightrag-server[llmservice]") from error
    wanted = {**(schema or {"type": "object"}), "x-guidance": _STYLE}
    try:
        text = json.dumps(wanted)
        problem = llguidance.LLMatcher.validate_grammar(llguidance.LLMatcher.grammar_from_json_schema(text))
    except (TypeError, ValueError) as error:
        problem = str(error)
    if problem:
        raise InvalidRequest(f"The JSON schema cannot be enforced: {problem.strip()}")
    return text
