"""What indexing will cost in a workspace, by the prices of the models that serve it at this moment."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from lightrag.engine_models import EMBEDDED
from lightrag.llm.contracts import ModelFacts, Role
from lightrag.tenancy.contracts import ModelType, Price

if TYPE_CHECKING:
    from lightrag.engine import Engine
    from lightrag.indexing.estimate import WorkEstimate
    from lightrag.workspaces.model_services import ModelServices


@dataclasses.dataclass(frozen=True, slots=True)
class PricedCalls:
    """Calls of one kind."""

    model: str
    """`name@provider` of the workspace's own, `binding/name` of the server's; empty for bundled parts."""
    calls: int
    prompt_tokens: int
    completion_tokens: int
    cost: int | None
    """Micro dollars; None where the price is not known, 0 for bundled parts."""


async def price_extraction(services: ModelServices | None, engine: Engine, work: WorkEstimate) -> PricedCalls:
    """Return the calls of extraction."""
    prompt, completion = work.extraction_prompt_tokens, work.extraction_completion_tokens
    return await _price_chat(services, engine, Role.EXTRACT, work.extraction_calls, prompt, completion)


async def price_embedding(
    services: ModelServices | None, engine: Engine, work: WorkEstimate, facts: ModelFacts, batch: int
) -> PricedCalls:
    """Return the calls of the embedding model `facts`, which takes `batch` texts at once."""
    if facts.binding == EMBEDDED:
        return PricedCalls("", 0, 0, 0, 0)
    name, price = await _priced(services, engine.workspace, Role.EMBED, facts)
    calls = -(-work.embedded_texts // min(batch, facts.max_batch or batch))
    return PricedCalls(name, calls, work.embedded_tokens, 0, price.cost(work.embedded_tokens, 0, 0))


async def price_pictures(services: ModelServices | None, engine: Engine, work: WorkEstimate) -> PricedCalls:
    """Return the calls that describe pictures."""
    prompt, completion = work.picture_prompt_tokens, work.picture_completion_tokens
    return await _price_chat(services, engine, Role.IMAGE2TEXT, work.pictures, prompt, completion)


async def _price_chat(
    services: ModelServices | None, engine: Engine, role: Role, calls: int, prompt: int, completion: int
) -> PricedCalls:
    facts = engine.describe().chat.get(role)
    if not calls or facts is None:
        return PricedCalls("", 0, 0, 0, 0)
    name, price = await _priced(services, engine.workspace, role, facts)
    return PricedCalls(name, calls, prompt, completion, price.cost(prompt, 0, completion))


async def _priced(services: ModelServices | None, workspace: str, role: Role, facts: ModelFacts) -> tuple[str, Price]:
    told = facts.label
    if services is None:
        return told, Price()
    from lightrag.tenancy.ledger_models import PaidModel
    from lightrag.tenancy.prices import server_price
    from lightrag.tenancy.workspace_models import read_plan, recorded_name

    entry = await services.plane.directory.get(workspace)
    if entry is not None:
        plan = await read_plan(services.registry, entry.id)
        served = plan.roles.get(role)
        own = list(served.candidates) if served is not None else []
        own += plan.embeddings if role is Role.EMBED else ()
        for candidate in own:
            if role is not Role.EMBED or recorded_name(candidate) == told:
                return candidate.ref.text, candidate.price
    kind = ModelType.EMBEDDING if role is Role.EMBED else ModelType.CHAT
    paid = PaidModel(facts.binding, facts.name, kind, host=facts.host)
    return told, server_price(services.registry.catalogue, paid)
