"""What route functions ask for: the engine, the settings, whether the caller has shown a key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Request, Security
from fastapi.security import APIKeyHeader, OAuth2PasswordBearer

from lightrag.api.auth import principal_of
from lightrag.api.auth_principal import Principal
from lightrag.api.context import ServerContext
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


async def get_engine(request: Request) -> Engine:
    """Return the engine that serves this request: the only place where that is decided."""
    engine = (await get_server(request)).engine
    if engine is None:
        raise StorageUnavailable("The server is starting or stopping; try again in a moment")
    return engine


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
ServerDep = Annotated[ServerContext, Depends(get_server)]
SettingsDep = Annotated[Settings, Depends(get_settings)]
PrincipalDep = Annotated[Principal, Depends(get_principal)]
AuthorizedDep = Annotated[bool, Depends(get_authorized)]
documented_key = Depends(_either)
"""For the dependencies of a router or route that needs credentials."""
