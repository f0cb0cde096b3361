"""Parameters of the bindings' dialects that go with every call when they are set."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any, Literal


@dataclasses.dataclass(frozen=True, slots=True)
class DialectOption:
    """A parameter of a binding's dialect that is passed on when it is set."""

    name: str
    kind: Literal["int", "float", "bool", "text", "json"]


def _dialect(**kinds: str) -> tuple[DialectOption, ...]:
    return tuple(DialectOption(name, kind) for kind, names in kinds.items() for name in names.split())  # type: ignore[arg-type]


OPENAI_CHAT = _dialect(
    float="temperature top_p frequency_penalty presence_penalty",
    int="max_tokens max_completion_tokens seed",
    text="reasoning_effort safety_identifier service_tier",
    json="stop extra_body",
)
OLLAMA_ANY = _dialect(
    int="num_ctx num_batch num_gpu main_gpu num_thread num_keep seed",
    bool="low_vram numa use_mmap use_mlock",
)
OLLAMA_CHAT = OLLAMA_ANY + _dialect(
    int="num_predict top_k repeat_last_n mirostat",
    float="temperature top_p tfs_z typical_p min_p repeat_penalty presence_penalty frequency_penalty "
    "mirostat_tau mirostat_eta",
    bool="penalize_newline think",
    json="stop",
)
ANTHROPIC_CHAT = _dialect(
    float="temperature top_p",
    int="max_tokens top_k",
    text="service_tier",
    json="stop_sequences thinking output_config",
)
GEMINI_CHAT = _dialect(
    float="temperature top_p presence_penalty frequency_penalty",
    int="max_output_tokens top_k seed",
    json="stop_sequences thinking_config safety_settings",
)
BEDROCK_CHAT = _dialect(float="temperature top_p", int="max_tokens", json="stop_sequences extra_fields")
LOLLMS_CHAT = _dialect(float="temperature top_p repeat_penalty", int="n_predict top_k seed repeat_last_n")
DIALECTS: Mapping[str, tuple[DialectOption, ...]] = {
    "OPENAI_LLM_": OPENAI_CHAT,
    "OLLAMA_LLM_": OLLAMA_CHAT,
    "OLLAMA_EMBEDDING_": OLLAMA_ANY,
    "ANTHROPIC_LLM_": ANTHROPIC_CHAT,
    "GEMINI_LLM_": GEMINI_CHAT,
    "BEDROCK_LLM_": BEDROCK_CHAT,
    "LOLLMS_LLM_": LOLLMS_CHAT,
}
"""Prefix of the environment variables → the options that may follow it."""

_TRUE = frozenset({"true", "1", "yes", "t", "on", "y"})
_FALSE = frozenset({"false", "0", "no", "f", "off", "n"})


def parse_dialect_value(kind: str, text: str) -> Any:
    """Return the typed value of a dialect option; raises ValueError saying what is allowed."""
    if kind == "int":
        return _number(int, text, "a whole number")
    if kind == "float":
        return _number(float, text, "a number")
    if kind == "bool":
        if text.lower() in _TRUE | _FALSE:
            return text.lower() in _TRUE
        raise ValueError("should be true or false")
    if kind == "json":
        try:
            return json.loads(text)
        except json.JSONDecodeError as error:
            raise ValueError(f"should be JSON ({error})") from None
    return text


def _number(make: type[int] | type[float], text: str, what: str) -> int | float:
    try:
        return make(text)
    except ValueError:
        raise ValueError(f"should be {what}") from None


CHAT_PREFIXES: Mapping[str, str] = {
    "openai": "OPENAI_LLM_",
    "azure_openai": "OPENAI_LLM_",
    "ollama": "OLLAMA_LLM_",
    "anthropic": "ANTHROPIC_LLM_",
    "gemini": "GEMINI_LLM_",
    "bedrock": "BEDROCK_LLM_",
    "lollms": "LOLLMS_LLM_",
}
"""Binding → the prefix of its chat parameters."""
