"""Import what an extra brings, and say which extra is missing."""

from __future__ import annotations

import importlib
from typing import Any

from lightrag.errors import ConfigurationError


def imported(module: str, extra: str, setting: str) -> Any:
    """Return a module that only an extra installs; raises `ConfigurationError` naming the extra and the setting."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if not module.startswith(str(error.name)):
            raise
        raise ConfigurationError(
            f"{setting} needs the package '{module.partition('.')[0]}', which is not installed; "
            f"install it with: pip install 'lightrag-server[{extra}]'"
        ) from None
