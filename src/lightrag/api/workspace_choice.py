"""Which workspace a request is about, and whether its caller may go there.

The header `LIGHTRAG-WORKSPACE` says it, else `X-Workspace-ID`, else the token where it is good for one workspace only,
else the default. A header names a workspace, a credential entitles to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.types import Scope

from lightrag.api.auth import principal_of
from lightrag.api.auth_principal import STRANGER, Principal
from lightrag.api.context import ServerContext
from lightrag.api.roles import covers, needed_role
from lightrag.errors import Forbidden, InvalidInput, LightRAGError
from lightrag.settings import Settings
from lightrag.tenancy.names import check_name

if TYPE_CHECKING:
    from lightrag.engine import Engine

HEADERS = (b"lightrag-workspace", b"x-workspace-id")
MISSING = "Missing LIGHTRAG-WORKSPACE header. Workspace identification is required."
NO_ACCESS = "You have no access to this workspace"


def chosen_workspace(scope: Scope, settings: Settings, named: str | None = None) -> str:
    """Return the name of the workspace that a request is about; `named` is one that the body names.

    Raises `InvalidInput` for a name that is none, and where one is needed and missing.
    """
    name = _header(scope)
    if name and named and name != named:
        raise InvalidInput(
            f"The header names workspace '{name[:64]}', the model's name another one; choose one of them"
        )
    if name or named:
        return check_name(name or named or "")
    only = _only_workspace(principal_of(scope))
    if only is not None:
        return only
    if not settings.tenancy.allow_default_workspace:
        raise InvalidInput(MISSING)
    return settings.paths.workspace


def check_entitled(scope: Scope, settings: Settings, workspace: str) -> None:
    """Raise `Forbidden` where the caller may not do in the workspace what it asks for.

    Whether there is such a workspace makes no difference to the answer.
    """
    principal = principal_of(scope)
    if principal is STRANGER and workspace == settings.paths.workspace:
        # Let in on an open path, as the operator wished, to what that path shows without any header.
        return
    held = principal.role_in(workspace)
    if held is None:
        raise Forbidden(NO_ACCESS)
    needed = needed_role(scope["method"], route_of(scope))
    if not covers(held, needed):
        raise Forbidden(f"This needs the role '{needed}' in the workspace; yours is '{held}'")


def visible_engine(scope: Scope, server: ServerContext) -> Engine | None:
    """Return the engine of the workspace that a request names, where it is open and the caller may see it, else the
    default one. Nothing is opened and nothing refused."""
    if server.tenants is not None:
        try:
            if not _header(scope):
                return server.engine
            name = chosen_workspace(scope, server.settings)
            check_entitled(scope, server.settings, name)
        except LightRAGError:
            return server.engine
        return server.tenants.pool.peek(name) or server.engine
    return server.engine


def route_of(scope: Scope) -> str:
    """Return the template of the path that a request was matched to."""
    return str(getattr(scope.get("route"), "path", ""))


def _only_workspace(principal: Principal) -> str | None:
    workspaces = principal.workspaces
    if principal.is_admin or workspaces is None or len(workspaces) != 1:
        return None
    return next(iter(workspaces))


def _header(scope: Scope) -> str:
    found: dict[bytes, str] = {}
    for name, value in scope["headers"]:
        if name in HEADERS:
            text = value.decode("latin-1").strip(" \t")
            if found.setdefault(name, text) != text:
                # A proxy may have added one to what the client sent; whichever was taken, somebody meant the other.
                raise InvalidInput(f"The header {name.decode().title()} comes twice, with different values; send one")
    return next((found[name] for name in HEADERS if found.get(name)), "") if found else ""
