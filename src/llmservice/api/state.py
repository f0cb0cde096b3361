"""What a request finds on the application."""

from __future__ import annotations

from typing import cast

from starlette.requests import Request

from llmservice.api.watch import Metrics
from llmservice.service import ModelService


def get_service(request: Request) -> ModelService:
    """Return the service that answers."""
    return cast(ModelService, request.app.state.service)


def get_watch(request: Request) -> Metrics:
    """Return the figures."""
    return cast(Metrics, request.app.state.metrics)
