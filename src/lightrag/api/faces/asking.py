"""Asks the engine on behalf of a face, within the server's time and as long as the client listens."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from fastapi import Request

from lightrag.api.faces.conversation import Turn
from lightrag.api.faces.errors import FaceError
from lightrag.api.faces.housekeeping import offline_answer
from lightrag.api.faces.model_names import ModelName
from lightrag.api.streaming import started, until_disconnect
from lightrag.errors import AmbiguousModel, ConfigurationError, ContextTooLong, InvalidInput, UnknownModel
from lightrag.llm.contracts import Role
from lightrag.settings import Settings
from lightrag.types import QueryResult, Retrieved

if TYPE_CHECKING:
    from lightrag.api.dependencies import EngineSource
    from lightrag.engine import Engine

T = TypeVar("T")
PATIENCE_SECONDS = 10.0
"""How long the first piece of a stream is waited for before the response begins; what fails until then has a status."""


async def engine_named(engines: EngineSource, name: ModelName | None) -> Engine:
    """Return the engine of the workspace that the request's header, its model's name or its token says."""
    return await engines.engine(None if name is None else name.workspace)


async def ask(request: Request, turn: Turn, engine: Engine, settings: Settings) -> QueryResult:
    """Return the answer to a turn; a streamed one has its first piece, or is late.

    A front end's own prompts get an answer of the right form even where no language model is configured. Raises
    `FaceError` for what the caller can mend, `ModelError` and `StorageError` otherwise.
    """
    if turn.is_housekeeping and turn.param.model is None and Role.ANSWER not in engine.describe().chat:
        return QueryResult(Retrieved(), text=offline_answer(turn.question, turn.system))
    return await in_time(request, _ask(turn, engine), settings)


async def in_time(request: Request, work: Coroutine[Any, Any, T], settings: Settings) -> T:
    """Return what `work` returns, unless the server's time is over or the client has left."""
    async with asyncio.timeout(settings.server.timeout):
        return await until_disconnect(request, work)


async def _ask(turn: Turn, engine: Engine) -> QueryResult:
    try:
        result = await engine.query(turn.question, turn.param)
        if result.stream is None:
            return result
        stream: AsyncIterator[str] = await started(result.stream, PATIENCE_SECONDS)
    except ContextTooLong as error:
        raise FaceError(400, str(error), param="messages", code="context_length_exceeded") from error
    except UnknownModel as error:
        raise FaceError(404, str(error), param=_named_field(turn), code="model_not_found") from error
    except AmbiguousModel as error:
        raise FaceError(400, str(error), param=_named_field(turn), code="model_ambiguous") from error
    except InvalidInput as error:
        raise FaceError(400, str(error), param="messages") from error
    except ConfigurationError as error:
        # No language model: the server works as it was set up, it is this request that asks for more.
        raise FaceError(400, str(error), param="model", code="model_not_available") from error
    return dataclasses.replace(result, stream=stream)


def _named_field(turn: Turn) -> str | None:
    """Return the field that named a model; None where both did, as the message says which of them it is about."""
    if turn.param.model is not None and turn.param.rerank_model is not None:
        return None
    return "rerank_model" if turn.param.model is None else "answer_model"
