"""The application: routers, middleware, and the engine's life inside the server's."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING

import structlog
from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

from lightrag.api.auth import NEW_TOKEN, AccessGuard
from lightrag.api.auth_access import Access
from lightrag.api.auth_control import ControlAccess, ControlAccounts, ControlTokens
from lightrag.api.body_limit import BodyLimit
from lightrag.api.context import ServerContext
from lightrag.api.control import ControlDoor
from lightrag.api.errors import install_error_handlers
from lightrag.api.faces.errors import FaceErrors, install_face_errors
from lightrag.api.health_report import server_version
from lightrag.api.metrics import Metrics
from lightrag.api.middleware import REQUEST_ID, RequestRecorder, RootPath
from lightrag.api.offline_docs import install_docs
from lightrag.api.routers import access as access_routes
from lightrag.api.routers import (
    auth,
    documents,
    estimates,
    graph,
    graph_editing,
    health,
    llm,
    llm_choice,
    ollama,
    openai_face,
    query,
    texts,
    uploads,
    usage,
    workspaces,
)
from lightrag.errors import LightRAGError
from lightrag.settings import Settings

if TYPE_CHECKING:
    from lightrag.engine import Engine

log = structlog.get_logger(__name__)

EngineOpener = Callable[[Settings, str], "Awaitable[Engine]"]
"""Makes the engine of a workspace, not started."""

_DESCRIPTION = """Documents in, a knowledge graph, answers with references out.

Send texts or files to `/documents`, follow them by their track id, ask at `/query`."""
_TAGS = [
    {"name": "documents", "description": "Take in, list, follow, update and delete documents."},
    {"name": "query", "description": "Ask questions about the documents."},
    {"name": "graph", "description": "Look at entities and relations."},
    {"name": "auth", "description": "Log in, and ask whether that is needed."},
    {"name": "workspaces", "description": "Whole workspaces: create, look at, rename, move, remove."},
    {"name": "access", "description": "Tokens, users, rights and the log of administrative changes."},
    {"name": "llm", "description": "The models of a workspace: providers, keys, defaults."},
    {"name": "ollama", "description": "The documents as a model of an Ollama server."},
    {"name": "openai", "description": "The documents as models of OpenAI's chat dialect."},
    {"name": "health", "description": "State and metrics of the server."},
]


def create_app(settings: Settings, open_engine: EngineOpener | None = None) -> FastAPI:
    """Return the application; its start opens the engine, its end closes it.

    `open_engine` makes the engine; unless told, one whose models follow the control plane.
    """
    control = ControlDoor(settings)
    known = ControlAccess(control)
    access = Access(settings, [ControlTokens(known)], [ControlAccounts(known)])
    server = ServerContext(settings, Metrics(), server_version(), access, control, known)
    app = FastAPI(
        title="LightRAG Server",
        description=_DESCRIPTION,
        version=server.version,
        openapi_tags=_TAGS,
        openapi_url="/openapi.json" if settings.server.api_docs else None,
        docs_url=None,
        redoc_url=None,
        lifespan=_lifespan(server, open_engine),
        middleware=_middleware(server),
    )
    app.state.server = server
    install_error_handlers(app)
    install_face_errors(app)
    if settings.server.api_docs:
        install_docs(app)
    # Routes are tried in this order: questions come most often.
    app.include_router(query.router)
    app.include_router(health.router)
    app.include_router(auth.router)
    app.include_router(access_routes.router)
    app.include_router(workspaces.router)
    # Before the routes of documents, whose ids would take their paths.
    app.include_router(estimates.router)
    app.include_router(graph_editing.router)
    app.include_router(uploads.router)
    app.include_router(texts.router)
    app.include_router(documents.router)
    app.include_router(graph.router)
    app.include_router(ollama.router)
    app.include_router(openai_face.router)
    app.include_router(usage.tokens)
    for models in (llm.router, llm_choice.router, usage.router):
        app.include_router(models)
        app.include_router(models, prefix="/v1", include_in_schema=False)
    app.include_router(documents.by_id)
    return app


def _middleware(server: ServerContext) -> list[Middleware]:
    settings = server.settings.server
    origins = list(settings.cors_origins)
    return [
        Middleware(RootPath, root_path=settings.root_path),
        Middleware(RequestRecorder, metrics=server.metrics),
        Middleware(
            CORSMiddleware,
            allow_origins=origins,
            # Starlette would grant cookies to every site by repeating its name; browsers refuse them with `*`.
            allow_credentials="*" not in origins,
            allow_methods=["*"],
            allow_headers=["*"],
            expose_headers=[REQUEST_ID, NEW_TOKEN, "Retry-After"],
        ),
        Middleware(FaceErrors),
        Middleware(AccessGuard, access=server.access, whitelist=settings.whitelist_paths),
        Middleware(BodyLimit, settings=settings),
    ]


def _lifespan(
    server: ServerContext, open_engine: EngineOpener | None
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        settings = server.settings
        # Imported here: the pool brings the whole engine along, which a mistake in the settings shall not wait for.
        from lightrag.workspaces.tenants import Tenants

        try:
            tenants = Tenants(settings, server.control, open_engine)
            engine = await tenants.start()
            await server.access.start(settings.paths.working_dir)
            await server.known_access.refresh()
        except LightRAGError as error:
            server.start_error = error
            raise
        server.tenants, server.engine = tenants, engine
        try:
            if settings.server.auto_scan and engine is not None:
                await engine.scan()
            yield
        finally:
            server.tenants = server.engine = None
            await tenants.close()
            await server.control.close()

    return life
