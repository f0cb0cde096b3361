"""Addresses of model servers: written out, or looked up.

`llmservice:` means the model service that wrote its port into a file.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator

SCHEME = "llmservice:"
PORT_FILE = ".port"

_ADDRESS = re.compile(r"(?:https?://|(?![a-z+.-]*://))[^\s\"'`<>/]+(?:/[^\s\"'`<>]*)?", re.IGNORECASE)
"""A base URL, also without its scheme, or LightRAG's word for a vendor's own address."""


def _models_address(value: Any) -> Any:
    return f"{_service(value)}/v1" if _is_service(value) else _written(value)


def _rerank_address(value: Any) -> Any:
    return f"{_service(value)}/v1/rerank" if _is_service(value) else _written(value)


def _written(value: Any) -> Any:
    if not isinstance(value, str) or not value.strip():
        return value
    address = value.strip()
    if not _ADDRESS.fullmatch(address):
        # The value is not shown: an address may hold a password.
        raise ValueError("is no address; write it as http://host:port/v1, without quotes and blanks")
    return address


def _is_service(value: Any) -> bool:
    return isinstance(value, str) and value.strip().lower().startswith(SCHEME)


def _service(value: str) -> str:
    """Return the service's base URL; after the colon may stand its folder or its port file."""
    place = Path(value.strip()[len(SCHEME) :].strip() or PORT_FILE).expanduser()
    file = place / PORT_FILE if place.is_dir() else place
    try:
        port = int(file.read_text(encoding="ascii"))
    except (OSError, ValueError):
        raise ValueError(
            f"names the model service, and {file} holds no port; start `llmservice` first, or write where it runs, "
            f"as {SCHEME}/path/to/its/folder"
        ) from None
    return f"http://127.0.0.1:{port}"


ModelsHost = Annotated[str | None, BeforeValidator(_models_address)]
"""A model server's base URL, or `llmservice:`."""

RerankHost = Annotated[str | None, BeforeValidator(_rerank_address)]
"""A rerank server's address, or `llmservice:`."""
