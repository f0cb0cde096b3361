"""Which role in its workspace a request needs.

Reading needs a reader, changing needs an editor, managing models and keys an administrator. A route that is not named
here needs an editor unless its method only reads: a new route is rather closed too far than open.
"""

from __future__ import annotations

from lightrag.api.auth_principal import Role
from lightrag.tenancy.rights import AccessRole

READING_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

READING = frozenset(
    {
        "/query",
        "/query/stream",
        "/query/data",
        "/documents/paginated",
        "/documents/estimate",
        "/graph/label/entities",
        "/api/chat",
        "/api/generate",
        "/api/show",
        "/api/embed",
        "/api/embeddings",
        "/v1/chat/completions",
        "/v1/embeddings",
    }
)
"""Routes that take a body and change nothing."""

MANAGING = ("/llm/", "/v1/llm/")
"""Routes below which every change is an administrator's."""


def needed_role(method: str, route: str) -> Role:
    """Return the role that a request needs; `route` is the template of the route's path."""
    if method in READING_METHODS or route in READING:
        return "reader"
    return "admin" if route.startswith(MANAGING) else "editor"


def covers(held: Role | None, needed: Role) -> bool:
    """Tell whether a role holds the rights of another."""
    return held is not None and AccessRole(held).covers(AccessRole(needed))


def may_create(method: str) -> bool:
    """Tell whether a request may bring a workspace into being: asking for what is there does not."""
    return method not in READING_METHODS
