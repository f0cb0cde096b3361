"""Whether the server lives, is ready, and what it was started with."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.responses import RedirectResponse

from lightrag.api.dependencies import AuthorizedDep, PrincipalDep, ServerDep, SettingsDep, documented_key
from lightrag.api.health_report import health_report
from lightrag.api.metrics import CONTENT_TYPE
from lightrag.api.routers.responses import Responses, errors
from lightrag.api.workspace_choice import visible_engine
from lightrag.errors import StorageUnavailable

router = APIRouter(tags=["health"])

_EXAMPLE: Responses = {
    200: {"content": {"application/json": {"example": {"status": "healthy", "pipeline_busy": False}}}}
}
_OK: Responses = {200: {"content": {"application/json": {"example": {"status": "ok"}}}}}
_METRICS_DOC: Responses = {
    200: {
        "content": {"text/plain": {"schema": {"type": "string"}, "example": 'lightrag_documents{status="processed"} 3'}}
    }
}


@router.get("/", include_in_schema=False)
async def root(settings: SettingsDep) -> Response:
    """Lead browsers to the documentation, where it is served."""
    return RedirectResponse("docs" if settings.server.api_docs else "health", status_code=307)


@router.head("/", include_in_schema=False)
async def answers() -> Response:
    """Tell Ollama's clients, which ask in this way first, that a server is there."""
    return Response()


@router.get("/health", operation_id="get_health", responses=_EXAMPLE)
async def health(request: Request, server: ServerDep, is_authorized: AuthorizedDep) -> dict[str, Any]:
    """Return the state and the configuration; callers without the key, where there is one, see the state only.

    The state of the documents is that of the workspace that a header names, where the caller may see it and it is
    open, else of the default one.
    """
    return await health_report(server, visible_engine(request.scope, server), in_full=is_authorized)


@router.get("/livez", operation_id="get_liveness", responses=_OK)
async def livez() -> dict[str, str]:
    """Answer as long as the process does."""
    return {"status": "ok"}


@router.get("/readyz", operation_id="get_readiness", responses=_OK | errors(503))
async def readyz(server: ServerDep) -> dict[str, str]:
    """Answer 200 when the stores of the default workspace answer, 503 otherwise."""
    if server.tenants is None:
        raise StorageUnavailable("The server is starting or stopping; try again in a moment")
    if server.engine is not None:
        await server.engine.ready()
    return {"status": "ok"}


@router.get(
    "/metrics",
    operation_id="get_metrics",
    response_class=Response,
    responses=_METRICS_DOC | errors(403),
    dependencies=[documented_key],
)
async def metrics(server: ServerDep, principal: PrincipalDep) -> Response:
    """Return metrics in Prometheus' text format: of the whole server to its administrators, else of one's workspaces.

    Workspaces that are not open in this process are left out.
    """
    engines = [] if server.tenants is None else server.tenants.open_engines()
    seen = [engine for engine in engines if principal.role_in(engine.workspace) is not None]
    text = await server.metrics.render(seen, with_requests=principal.is_admin)
    return Response(text, headers={"Content-Type": CONTENT_TYPE})
