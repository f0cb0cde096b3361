"""Several backends for one model: JSON in a variable, or a file that it names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from lightrag.settings.options import Group, Seconds, Secret
from lightrag.settings.vendors import NamedChatBinding, NamedEmbeddingBinding


class BackendOptions(Group):
    """What a user said of one backend; what is left out is as for the model without backends."""

    name: str | None = Field(None, min_length=1)
    host: str | None = None
    api_key: Secret = None
    api_key_env: str | None = None
    """The variable that holds the key, so that it need not stand in a file."""
    model: str | None = None
    timeout: Seconds = None
    max_async: int | None = Field(None, ge=1)
    order: int = Field(0, ge=0)
    weight: float = Field(1.0, ge=0, le=1000)
    options: dict[str, Any] = Field(default_factory=dict)
    api_version: str | None = None
    region: str | None = None


class ChatBackendOptions(BackendOptions):
    """A backend of a chat model."""

    binding: NamedChatBinding = None


class EmbeddingBackendOptions(BackendOptions):
    """A backend of the embedding model."""

    binding: NamedEmbeddingBinding = None
    batch_num: int | None = Field(None, ge=1, le=2048)
    same_model: bool = False
    """The model is the same as the first one's, whatever it is called there."""


def _from_text(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    text = value.strip()
    if not text.startswith(("[", "{")):
        try:
            text = Path(text).expanduser().read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(
                f"should be a JSON list, or a file that holds one (the file cannot be read: {error})"
            ) from None
    try:
        backends = json.loads(text)
    except json.JSONDecodeError as error:
        # The parser's message has no excerpt, which may hold a key.
        raise ValueError(f"should be a JSON list of objects ({error})") from None
    if not isinstance(backends, list) or not all(isinstance(backend, dict) for backend in backends):
        raise ValueError("should be a JSON list of objects")
    return backends


ChatBackendList = Annotated[tuple[ChatBackendOptions, ...], BeforeValidator(_from_text)]
EmbeddingBackendList = Annotated[tuple[EmbeddingBackendOptions, ...], BeforeValidator(_from_text)]
