"""Health, models, figures, and loading and unloading by hand."""

from __future__ import annotations

import datetime
import ipaddress
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import PlainTextResponse, Response

from llmservice.api.errors import refusal
from llmservice.api.responding import json_response
from llmservice.api.schemas import TierBody
from llmservice.api.state import get_service, get_watch
from llmservice.runner import TierRunner
from llmservice.service import ModelService, tier_states

router = APIRouter()


@router.get("/health", tags=["status"])
async def health() -> Response:
    """Health check endpoint; answers at once whatever the models do."""
    stamp = datetime.datetime.now(datetime.UTC).replace(tzinfo=None).isoformat(timespec="seconds")
    return json_response({"status": "healthy", "timestamp": stamp})


@router.get("/livez", tags=["status"])
async def livez() -> Response:
    """Whether the process answers."""
    return json_response({"status": "alive"})


@router.get("/readyz", tags=["status"])
async def readyz(request: Request) -> Response:
    """Whether requests are taken: not while the service stops, nor where no tier's model can be loaded."""
    service = get_service(request)
    states = tier_states(service)
    configured = [state for state in states.values() if state != "absent"]
    is_ready = not service.draining and any(state != "failed" for state in configured)
    word = "ready" if is_ready else "stopping" if service.draining else "failed"
    return json_response({"status": word, "tiers": states}, status=200 if is_ready else 503)


@router.get("/v1/models", tags=["status"])
async def models(request: Request) -> Response:
    """List available models, with the state of every tier."""
    service = get_service(request)
    data = [_model(service, runner) for runner in service.runners.values()]
    return json_response({"object": "list", "data": data, "tiers": tier_states(service)})


@router.get("/v1/models/{model:path}", tags=["status"])
async def model(model: str, request: Request) -> Response:
    """Describe one model, by any name that requests may use."""
    service = get_service(request)
    return json_response(_model(service, service.runner(model)))


@router.get("/metrics", tags=["status"], response_class=PlainTextResponse)
async def metrics(request: Request) -> Response:
    """Figures in Prometheus's text format."""
    return Response(get_watch(request).text(), media_type="text/plain; version=0.0.4; charset=utf-8")


@router.post("/admin/load", tags=["admin"])
async def load(body: TierBody, request: Request) -> Response:
    """Load a tier's model and wait until it is there."""
    service, runner = _administered(body, request)
    await runner.load()
    return json_response(_model(service, runner))


@router.post("/admin/unload", tags=["admin"])
async def unload(body: TierBody, request: Request) -> Response:
    """Unload a tier's model and wait until its memory is free; refused while it is in use."""
    service, runner = _administered(body, request)
    if not await runner.unload():
        message = f"Tier {runner.tier} is in use by {runner.active} requests; try again when they have ended"
        return refusal(409, message, "model_error", "in_use").response()
    return json_response(_model(service, runner))


class NotAllowed(Exception):
    """A caller may not administer the service."""


def _administered(body: TierBody, request: Request) -> tuple[ModelService, TierRunner]:
    service = get_service(request)
    # With a key, whoever got here has it. Without, only this machine may.
    if service.settings.server.api_key is None and not _is_local(request):
        raise NotAllowed
    return service, service.runner(body.model)


def _is_local(request: Request) -> bool:
    host = request.client.host if request.client else ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _model(service: ModelService, runner: TierRunner) -> dict[str, Any]:
    facts = runner.facts
    described: dict[str, Any] = {
        "id": runner.name,
        "object": "model",
        "created": service.started,
        "owned_by": f"llmservice-{runner.tier}",
        "tier": str(runner.tier),
        "kind": runner.kind,
        "state": runner.state,
        "slots": runner.settings.slots,
        "active": runner.active,
        "waiting": runner.waiting,
        "context_length": facts.context_length if facts else runner.settings.n_ctx,
    }
    if facts is not None:
        described |= {"backend": facts.backend, "dimension": facts.dimension, "vectors": facts.vectors}
    if runner.failure:
        described["error"] = runner.failure
    return described
