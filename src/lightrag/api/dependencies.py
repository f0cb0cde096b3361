"""What route functions ask for: the engine, the settings, whether the caller has shown a key."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Request, Security
from fastapi.security import APIKeyHeader, OAuth2PasswordBearer
from starlette.types import Scope

from lightrag.api.auth import principal_of
from lightrag.api.auth_principal import Principal
from lightrag.api.context import ServerContext
from lightrag.api.roles import may_create
from lightrag.api.workspace_choice import check_entitled, chosen_workspace
from lightrag.callers import note_workspace
from lightrag.errors import StorageUnavailable
from lightrag.settings import Settings

if TYPE_CHECKING:
    from lightrag.engine import Engine
else:
    from typing import Any as Engine

api_key_scheme = APIKeyHeader(
    name="X-API-Key", auto_error=False, description="The key given with LIGHTRAG_API_KEY or --key, if there is one."
)
"""Documents the header; `lightrag.api.auth.AccessGuard` checks it before a body is read."""
login_scheme = OAuth2PasswordBearer(
    tokenUrl="login", auto_error=False, description="A token from `/login`, where there are accounts."
)
"""Documents tokens, in the same way."""


# All of these are coroutines: FastAPI runs plain functions in a thread, which costs more than what they do.


async def get_server(request: Request) -> ServerContext:
    """Return what this server process holds."""
    server: ServerContext = request.app.state.server
    return server


async def get_settings(request: Request) -> Settings:
    """Return the settings."""
    return (await get_server(request)).settings


async def get_workspace(request: Request) -> str:
    """Return the workspace that this request is about, where its caller is entitled to what it asks for there."""
    settings = (await get_server(request)).settings
    name = chosen_workspace(request.scope, settings)
    check_entitled(request.scope, settings, name)
    note_workspace(name)
    return name


class EngineSource:
    """Hands out engines for one request, and holds them until its response has been sent."""

    def __init__(self, server: ServerContext, scope: Scope, held: AsyncExitStack) -> None:
        self._server = server
        self._scope = scope
        self._held = held

    async def engine(self, named: str | None = None) -> Engine:
        """Return the engine that serves the request: the only place where that is decided.

        `named` is a workspace that the request's body names; the header goes before it.
        """
        settings = self._server.settings
        name = chosen_workspace(self._scope, settings, named)
        check_entitled(self._scope, settings, name)
        note_workspace(name)
        tenants = self._server.tenants
        if tenants is None:
            raise StorageUnavailable("The server is starting or stopping; try again in a moment")
        # Roles are in workspaces that exist: who has nothing else cannot bring one back that was just removed.
        creates = may_create(self._scope["method"]) and principal_of(self._scope).is_admin
        engine: Engine = await self._held.enter_async_context(tenants.lease(name, creates=creates))
        return engine


async def get_engines(request: Request) -> AsyncIterator[EngineSource]:
    """Yield what hands out engines for this request."""
    async with AsyncExitStack() as held:
        yield EngineSource(await get_server(request), request.scope, held)


EnginesDep = Annotated[EngineSource, Depends(get_engines)]


async def get_engine(engines: EnginesDep) -> Engine:
    """Return the engine that serves this request."""
    return await engines.engine()


async def get_principal(request: Request) -> Principal:
    """Return who makes this request, and what that entitles to."""
    return principal_of(request.scope)


async def get_authorized(request: Request) -> bool:
    """Return whether the caller may see everything of the server: nothing is configured, or with full rights."""
    return principal_of(request.scope).is_admin


async def _either(
    key: Annotated[str | None, Security(api_key_scheme)], token: Annotated[str | None, Security(login_scheme)]
) -> None:
    """Name both schemes in the OpenAPI document: one of them is enough."""


EngineDep = Annotated[Engine, Depends(get_engine)]
WorkspaceDep = Annotated[str, Depends(get_workspace)]
ServerDep = Annotated[ServerContext, Depends(get_server)]
SettingsDep = Annotated[Settings, Depends(get_settings)]
PrincipalDep = Annotated[Principal, Depends(get_principal)]
AuthorizedDep = Annotated[bool, Depends(get_authorized)]
documented_key = Depends(_either)
"""For the dependencies of a router or route that needs credentials."""
