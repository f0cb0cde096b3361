"""What indexing will take, before it is paid for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Query

from lightrag.api.dependencies import EngineDep, ServerDep, documented_key
from lightrag.api.routers.responses import errors
from lightrag.api.schemas.usage import CallEstimate, Estimate, EstimateWish

if TYPE_CHECKING:
    from lightrag.api.context import ServerContext
    from lightrag.engine import Engine
    from lightrag.indexing.estimate import WorkEstimate
    from lightrag.workspaces.estimates import PricedCalls

router = APIRouter(tags=["documents"], dependencies=[documented_key], responses=errors(400, 403, 404, 503))


@router.post("/documents/estimate", operation_id="estimate_texts")
async def estimate_texts(wish: EstimateWish, server: ServerDep, engine: EngineDep) -> Estimate:
    """Tell what indexing these texts will take in calls, tokens and money. Nothing is called and nothing stored."""
    return await _estimate(server, engine, await engine.estimate_texts(wish.texts))


@router.get("/documents/estimate", operation_id="estimate_pending")
async def estimate_pending(
    server: ServerDep,
    engine: EngineDep,
    doc_id: Annotated[str | None, Query(max_length=256, description="One document; absent: all that is open.")] = None,
) -> Estimate:
    """Tell what is left to do of a document, or of all that wait, are in work or failed."""
    return await _estimate(server, engine, await engine.estimate_pending(doc_id))


async def _estimate(server: ServerContext, engine: Engine, work: WorkEstimate) -> Estimate:
    from lightrag.workspaces.estimates import price_embedding, price_extraction, price_pictures

    services = await server.tenants.models.existing() if server.tenants is not None else None
    extraction = await price_extraction(services, engine, work)
    batch = server.settings.embedding.batch_num
    embedding = await price_embedding(services, engine, work, engine.embedding_facts(), batch)
    pictures = await price_pictures(services, engine, work)
    parts = (extraction, embedding, pictures)
    costs = [part.cost for part in parts]
    return Estimate(
        documents=work.documents,
        unread=work.unread,
        chunks=work.chunks,
        tokens=work.tokens,
        extraction=_calls(extraction),
        embedding=_calls(embedding),
        pictures=_calls(pictures),
        calls=sum(part.calls for part in parts),
        total_tokens=sum(part.prompt_tokens + part.completion_tokens for part in parts),
        cost_usd=None if None in costs else sum(cost or 0 for cost in costs) / 1e6,
    )


def _calls(part: PricedCalls) -> CallEstimate:
    return CallEstimate(
        model=part.model,
        calls=part.calls,
        prompt_tokens=part.prompt_tokens,
        completion_tokens=part.completion_tokens,
        cost_usd=None if part.cost is None else part.cost / 1e6,
    )
