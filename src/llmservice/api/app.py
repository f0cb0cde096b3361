"""The web application."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

from fastapi import FastAPI, Request
from pydantic import BaseModel
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response

from llmservice.api import chat, completions, errors, rerank, status, vectors
from llmservice.api.edge import BodyTooLarge, Edge
from llmservice.api.responding import ClientGone
from llmservice.api.status import NotAllowed
from llmservice.api.watch import Metrics
from llmservice.service import ModelService

CLIENT_CLOSED_REQUEST = 499
ROUTERS = (chat.router, completions.router, vectors.router, rerank.router, status.router)


class ErrorObject(BaseModel):
    """What went wrong and what to do."""

    message: str
    type: str
    param: str | None = None
    code: str | None = None


class ErrorBody(BaseModel):
    """Every error's body."""

    error: ErrorObject


REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"model": ErrorBody, "description": "A parameter that cannot be used"},
    401: {"model": ErrorBody, "description": "The API key is missing or wrong"},
    403: {"model": ErrorBody, "description": "Only for callers on this machine, or with a key"},
    404: {"model": ErrorBody, "description": "No such model"},
    409: {"model": ErrorBody, "description": "The model is in use"},
    413: {"model": ErrorBody, "description": "The body is too large"},
    429: {"model": ErrorBody, "description": "The tier's queue is full; see Retry-After"},
    503: {"description": "The tier has no model, or it cannot be loaded; see Retry-After"},
}


def create_app(service: ModelService) -> FastAPI:
    """Return the application for a service; its lifespan opens and closes the service."""
    metrics = Metrics(service)

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        await service.open()
        try:
            yield
        finally:
            await service.aclose()

    paths = frozenset(route.path for router in ROUTERS for route in router.routes if hasattr(route, "path"))
    app = FastAPI(
        title="LLM Service",
        description="OpenAI-compatible server of local language, embedding and reranking models.",
        lifespan=lifespan,
        responses=REFUSALS,
        middleware=[
            Middleware(
                CORSMiddleware,
                allow_origins=list(service.settings.server.cors_origins),
                allow_methods=["*"],
                allow_headers=["*"],
                expose_headers=["X-Cache", "Retry-After"],
            ),
            Middleware(Edge, service=service, metrics=metrics, paths=paths),
        ],
    )
    app.state.service = service
    app.state.metrics = metrics
    for router in ROUTERS:
        app.include_router(router)
    errors.install(app)
    app.add_exception_handler(ClientGone, _on_client_gone)
    app.add_exception_handler(BodyTooLarge, _on_body_too_large)
    app.add_exception_handler(NotAllowed, _on_not_allowed)
    return app


async def _on_client_gone(_request: Request, _error: Exception) -> Response:
    return Response(status_code=CLIENT_CLOSED_REQUEST)


async def _on_body_too_large(_request: Request, error: Exception) -> Response:
    assert isinstance(error, BodyTooLarge)
    return error.error.response()


async def _on_not_allowed(_request: Request, _error: Exception) -> Response:
    message = "Loading and unloading is for callers on this machine; set API_KEY to allow it to others who have it"
    return errors.refusal(403, message, "permission_error").response()
