"""What one server process holds: settings, engine, metrics."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from lightrag.api.auth_access import Access
from lightrag.api.auth_control import ControlAccess
from lightrag.api.control import ControlDoor
from lightrag.api.metrics import Metrics
from lightrag.errors import LightRAGError
from lightrag.settings import Settings

if TYPE_CHECKING:
    from lightrag.engine import Engine
    from lightrag.workspaces.tenants import Tenants


@dataclasses.dataclass(slots=True)
class ServerContext:
    """Lives as `app.state.server` from the making of the application to its end."""

    settings: Settings
    metrics: Metrics
    version: str
    access: Access
    control: ControlDoor
    known_access: ControlAccess
    tenants: Tenants | None = None
    """The workspaces; set while the application runs."""
    engine: Engine | None = None
    """That of the default workspace; set while the application runs, None where requests must name a workspace."""
    server_mode: str = "uvicorn"
    """What runs this process: `uvicorn`, or `gunicorn` where there are several."""
    workers: int = 1
    start_error: LightRAGError | None = None
    """Why the application could not start."""
