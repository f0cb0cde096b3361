"""Names of workspaces, and of the file that holds the control plane."""

from __future__ import annotations

import re

from lightrag.errors import InvalidInput

CONTROL_FILE = "control.sqlite3"
"""In the working directory, unless a DSN names another database."""
CHANGES_FILE = ".control-changes"
"""In the working directory; tells its processes that the control plane was changed."""

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_-]{0,63}", re.ASCII)
_SHOWN = 200


def check_name(name: str) -> str:
    """Return a valid name. Raises `InvalidInput` in the words of the routing contract."""
    if not _NAME.fullmatch(name):
        raise InvalidInput(
            f"Invalid workspace identifier '{name[:_SHOWN]}': must be 1-64 alphanumeric characters "
            "(hyphens and underscores allowed, must start with alphanumeric)"
        )
    return name
