"""Import what an extra brings, and say which extra is missing."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

from lightrag.errors import ConfigurationError


def require(module: str, extra: str, setting: str) -> None:
    """Raise `ConfigurationError` where a module is not installed that only an extra brings; nothing is imported."""
    try:
        found = importlib.util.find_spec(module)
    except ModuleNotFoundError:
        found = None
    if found is None:
        raise _missing(module, extra, setting)


def imported(module: str, extra: str, setting: str) -> Any:
    """Return a module that only an extra installs; raises `ConfigurationError` naming the extra and the setting."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if not module.startswith(str(error.name)):
            raise
        raise _missing(module, extra, setting) from None


def _missing(module: str, extra: str, setting: str) -> ConfigurationError:
    return ConfigurationError(
        f"{setting} needs the package '{module.partition('.')[0]}', which is not installed; "
        f"install it with: pip install 'lightrag-server[{extra}]'"
    )


def not_in_process(function: str) -> ConfigurationError:
    """Return the error for a function of LightRAG that loads a model into the process itself."""
    return ConfigurationError(
        f"{function} would run a model inside this process, which this distribution leaves to a model server: start "
        "llmservice, vLLM, Ollama or another server that speaks OpenAI's dialect, and use "
        "lightrag.llm.openai.openai_complete_if_cache and openai_embed with its base_url"
    )
