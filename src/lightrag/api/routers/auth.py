"""Logging in, and whether that is needed."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any, Literal

import structlog
from fastapi import APIRouter, Form, Request, Response
from pydantic import Field
from starlette.exceptions import HTTPException

from lightrag.api.auth_login import TooManyLogins
from lightrag.api.auth_tokens import GUEST
from lightrag.api.context import ServerContext
from lightrag.api.dependencies import ServerDep, documented_key
from lightrag.api.health_report import API_VERSION
from lightrag.api.routers.responses import Responses, errors
from lightrag.api.schemas.common import Body

log = structlog.get_logger(__name__)

router = APIRouter(tags=["auth"])

GUEST_MESSAGE = "Authentication is disabled. Using guest access."

_TOKEN = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhZGEifQ.c2lnbmF0dXJl"  # noqa: S105 - an example
_NAMES = {"auth_mode": "enabled", "core_version": "1.0.0", "api_version": API_VERSION}
_LOGIN: Responses = {
    200: {
        "content": {"application/json": {"example": {"access_token": _TOKEN, "token_type": "bearer", **_NAMES}}},
    }
}
_STATUS: Responses = {200: {"content": {"application/json": {"example": {"auth_configured": True, **_NAMES}}}}}
_FORM = {
    "requestBody": {
        "content": {
            "application/x-www-form-urlencoded": {"example": {"username": "ada", "password": "a long password"}},
        }
    }
}
_OK: Responses = {200: {"content": {"application/json": {"example": {"status": "ok"}}}}}


class ServerNames(Body):
    """What login pages show beside the form."""

    auth_mode: Literal["enabled", "disabled"] = Field(description="Whether there are accounts.")
    core_version: str
    api_version: str
    webui_title: str | None = None
    webui_description: str | None = None
    ai_content_notice_enabled: bool = False
    message: str | None = Field(None, description="Only where there are no accounts.")


class LoginAnswer(ServerNames):
    """A token for the header `Authorization: Bearer …`."""

    access_token: str = Field(examples=[_TOKEN])
    token_type: Literal["bearer"]


class AuthStatus(ServerNames):
    """Whether one can log in; where not, with a guest's token."""

    auth_configured: bool
    access_token: str | None = Field(None, examples=[_TOKEN])
    token_type: Literal["bearer"] | None = None


@router.post(
    "/login",
    operation_id="login",
    response_model_exclude_unset=True,
    responses=_LOGIN | errors(401, 429),
    openapi_extra=_FORM,
)
async def login(
    request: Request,
    response: Response,
    server: ServerDep,
    username: Annotated[str, Form(examples=["ada"])],
    password: Annotated[str, Form(examples=["a long password"], json_schema_extra={"format": "password"})],
    grant_type: Annotated[str | None, Form(description="`password`, as OAuth2 has it; not needed.")] = None,
    scope: Annotated[str, Form(description="Not used.")] = "",
    client_id: Annotated[str | None, Form(description="Not used.")] = None,
    client_secret: Annotated[str | None, Form(description="Not used.")] = None,
) -> LoginAnswer:
    """Exchange a name and a password for a token; where there are no accounts, everybody gets a guest's token."""
    response.headers["Cache-Control"] = "no-store"
    access = server.access
    if not access.has_accounts:
        return LoginAnswer(**_token(access.signer.make(GUEST, "guest")), **_names(server), message=GUEST_MESSAGE)
    client = request.client.host if request.client else ""
    try:
        someone = await access.desk.log_in(client, username, password)
    except TooManyLogins as error:
        log.warning("login refused: too many failures", client=client)
        retry = {"Retry-After": str(error.retry_after)}
        raise HTTPException(HTTPStatus.TOO_MANY_REQUESTS, str(error), retry) from None
    if someone is None:
        # The name is left out: people type their password there by mistake.
        log.warning("login failed", client=client)
        raise HTTPException(HTTPStatus.UNAUTHORIZED, "Incorrect credentials", {"WWW-Authenticate": "Bearer"})
    log.info("login", user=someone.name, client=client)
    return LoginAnswer(**_token(access.signer.make(someone.name, "user", someone.generation)), **_names(server))


@router.get("/auth-status", operation_id="get_auth_status", response_model_exclude_unset=True, responses=_STATUS)
async def auth_status(response: Response, server: ServerDep) -> AuthStatus:
    """Tell whether one can log in; where not, give a guest's token, as LightRAG's web UI expects."""
    response.headers["Cache-Control"] = "no-store"
    access = server.access
    if access.has_accounts:
        return AuthStatus(auth_configured=True, **_names(server))
    return AuthStatus(
        auth_configured=False,
        **_token(access.signer.make(GUEST, "guest")),
        **_names(server),
        message=GUEST_MESSAGE,
    )


@router.get(
    "/auth/verify", operation_id="verify_credentials", responses=_OK | errors(401, 403), dependencies=[documented_key]
)
async def verify() -> dict[str, str]:
    """Answer `ok` to callers with the right credentials; no whitelist opens this."""
    return {"status": "ok"}


def _token(token: str) -> dict[str, Any]:
    return {"access_token": token, "token_type": "bearer"}


def _names(server: ServerContext) -> dict[str, Any]:
    return {
        "auth_mode": "enabled" if server.access.has_accounts else "disabled",
        "core_version": server.version,
        "api_version": API_VERSION,
        "webui_title": server.settings.server.webui_title,
        "webui_description": server.settings.server.webui_description,
        "ai_content_notice_enabled": False,
    }
