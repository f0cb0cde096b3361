"""Whether the server lives, is ready, and what it was started with."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response
from starlette.responses import RedirectResponse

from lightrag.api.dependencies import AuthorizedDep, EngineDep, ServerDep, SettingsDep, documented_key
from lightrag.api.health_report import health_report
from lightrag.api.metrics import CONTENT_TYPE
from lightrag.api.routers.responses import Responses, errors

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
async def health(server: ServerDep, engine: EngineDep, is_authorized: AuthorizedDep) -> dict[str, Any]:
    """Return the state and the configuration; callers without the key, where there is one, see the state only."""
    return await health_report(server, engine, in_full=is_authorized)


@router.get("/livez", operation_id="get_liveness", responses=_OK)
async def livez() -> dict[str, str]:
    """Answer as long as the process does."""
    return {"status": "ok"}


@router.get("/readyz", operation_id="get_readiness", responses=_OK | errors(503))
async def readyz(engine: EngineDep) -> dict[str, str]:
    """Answer 200 when the stores answer, 503 otherwise."""
    await engine.ready()
    return {"status": "ok"}


@router.get(
    "/metrics",
    operation_id="get_metrics",
    response_class=Response,
    responses=_METRICS_DOC | errors(403),
    dependencies=[documented_key],
)
async def metrics(server: ServerDep) -> Response:
    """Return metrics in Prometheus' text format."""
    return Response(await server.metrics.render(server.engine), headers={"Content-Type": CONTENT_TYPE})
