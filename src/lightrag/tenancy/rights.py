"""What a role allows, and how a token is told from other credentials; known without opening the control plane."""

from __future__ import annotations

from enum import StrEnum

TOKEN_PREFIX = "lrt_"  # noqa: S105 - the visible beginning of every token


class AccessRole(StrEnum):
    """What somebody may do in a workspace."""

    READER = "reader"
    """Ask, look at documents and graph."""
    EDITOR = "editor"
    """Also add, change and delete documents and graph."""
    ADMIN = "admin"
    """Also manage models, keys, limits and access of the workspace."""

    def covers(self, needed: AccessRole) -> bool:
        """Whether this role holds the rights of `needed`."""
        order = list(AccessRole)
        return order.index(self) >= order.index(needed)
