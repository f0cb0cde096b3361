"""Asks models for next to nothing, to learn whether and how fast they answer."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Awaitable, Iterable

from lightrag.errors import ModelError, ModelUnreachable
from lightrag.llm.contracts import ChatModel, ChatRequest, EmbeddingModel, Message, ModelFacts, Role

PROBE_SECONDS = 30.0


@dataclasses.dataclass(frozen=True, slots=True)
class ModelProbe:
    """What one model said."""

    roles: tuple[Role, ...]
    facts: ModelFacts
    seconds: float
    error: ModelError | None = None


async def probe_chat(model: ChatModel, roles: Iterable[Role]) -> ModelProbe:
    """Ask a chat model for one word. The question differs every time, so that no cache answers it."""
    question = f"Answer with the one word 'ready'. ({time.time_ns()})"
    request = ChatRequest((Message("user", question),), Role.ANSWER, max_tokens=256)
    started = time.perf_counter()
    error = await _failure(model.complete(request))
    return ModelProbe(tuple(roles), model.facts, time.perf_counter() - started, error)


async def probe_embedding(model: EmbeddingModel) -> ModelProbe:
    """Ask an embedding model for one vector."""
    started = time.perf_counter()
    error = await _failure(model.embed(["ready"], purpose="query"))
    return ModelProbe((Role.EMBED,), model.facts, time.perf_counter() - started, error)


async def _failure(call: Awaitable[object]) -> ModelError | None:
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            await call
    except TimeoutError:
        return ModelUnreachable(f"no answer within {PROBE_SECONDS:.0f} seconds")
    except ModelError as error:
        return error
    return None
