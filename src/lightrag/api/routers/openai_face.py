"""This server as a server of OpenAI's chat dialect: retrieval as models, citations as annotations."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
from fastapi import APIRouter, Request
from starlette.responses import Response

from lightrag.api.dependencies import EnginesDep, SettingsDep, documented_key
from lightrag.api.faces.asking import ask, engine_named, in_time
from lightrag.api.faces.bodies import body_docs, read_body
from lightrag.api.faces.conversation import Said, Turn, read_turn
from lightrag.api.faces.errors import FaceError
from lightrag.api.faces.model_names import ModelName, SimulatedModel, model_names, parse_model_name
from lightrag.api.faces.openai_wire import KEEP_ALIVE, CompletionWire, completion_events
from lightrag.api.faces.stops import StopCutter
from lightrag.api.routers.ollama import SimulatedDep
from lightrag.api.routers.responses import Responses
from lightrag.api.schemas.openai_face import ChatCompletionRequest, EmbeddingRequest
from lightrag.api.streaming import HEADERS, AnswerResponse, encode
from lightrag.llm.contracts import ModelFacts
from lightrag.llm.usage import estimate_tokens
from lightrag.settings import QuerySettings

router = APIRouter(prefix="/v1", tags=["openai"], dependencies=[documented_key])

CREATED = 1705276800
"""When the simulated model was made, in Unix seconds: the date that the Ollama face gives it, too."""

_LISTED = {"id": "lightrag:mix", "object": "model", "created": CREATED, "owned_by": "lightrag"}
_COMPLETION: dict[str, Any] = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1767322800,
    "model": "lightrag:mix",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Ada Lovelace wrote it [1].", "annotations": []},
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 420, "completion_tokens": 7, "total_tokens": 427},
}
_EVENTS = (
    'data: {"object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"Ada"}}]}\n\ndata: [DONE]\n\n'
)
_VECTORS: dict[str, Any] = {
    "object": "list",
    "data": [{"object": "embedding", "index": 0, "embedding": [0.6, 0.8]}],
    "model": "lightrag",
    "usage": {"prompt_tokens": 3, "total_tokens": 3},
}
_ERROR = {"error": {"message": "what is wrong", "type": "invalid_request_error", "param": "messages", "code": None}}


def _json(body: Any, **more: Any) -> Responses:
    return {200: {"content": {"application/json": {"schema": {"type": "object"}, "example": body}, **more}}}


def _errors(*codes: int) -> Responses:
    content = {"application/json": {"schema": {"type": "object"}, "example": _ERROR}}
    return {code: {"description": "OpenAI's error object", "content": content} for code in codes}


@router.get(
    "/models", operation_id="openai_models", responses=_json({"object": "list", "data": [_LISTED]}) | _errors(401, 403)
)
async def models(own: SimulatedDep) -> dict[str, Any]:
    """List the models: the default one, and one for each query mode."""
    return {"object": "list", "data": [_listed(name) for name in model_names(own)]}


@router.get("/models/{model:path}", operation_id="openai_model", responses=_json(_LISTED) | _errors(401, 403, 404))
async def model(model: str, own: SimulatedDep, engines: EnginesDep) -> dict[str, Any]:
    """Describe a model."""
    await engine_named(engines, _known(model, own))
    return _listed(model)


@router.post(
    "/chat/completions",
    operation_id="openai_chat_completions",
    response_class=AnswerResponse,
    openapi_extra=body_docs(
        ChatCompletionRequest,
        {"model": "lightrag:mix", "messages": [{"role": "user", "content": "Who wrote the first program?"}]},
    ),
    responses=_json(_COMPLETION, **{"text/event-stream": {"example": _EVENTS}})
    | _errors(400, 401, 402, 403, 404, 413, 429, 502, 503, 504),
)
async def chat_completions(request: Request, engines: EnginesDep, settings: SettingsDep, own: SimulatedDep) -> Response:
    """Answer the last message from the documents; the model's name or the message's prefix says in which mode."""
    body = await read_body(request, ChatCompletionRequest)
    name = _known(body.model, own)
    engine = await engine_named(engines, name)
    turn = _turn(body, name, settings.query).asking(body)
    result = await ask(request, turn, engine, settings)
    cutter = StopCutter(body.stops)
    wire = CompletionWire(body.model, turn, result, base_url=str(request.base_url), with_usage=body.wants_usage)
    if not turn.param.stream:
        return Response(wire.whole(cutter.cut_result(result)), media_type="application/json")
    return AnswerResponse(
        completion_events(result, wire, cutter),
        source=result.stream,
        keep_alive=KEEP_ALIVE,
        media_type="text/event-stream",
        headers=HEADERS,
    )


@router.post(
    "/embeddings",
    operation_id="openai_embeddings",
    openapi_extra=body_docs(EmbeddingRequest, {"model": "lightrag", "input": ["Ada Lovelace"]}),
    responses=_json(_VECTORS) | _errors(400, 401, 402, 403, 404, 413, 429, 502, 503, 504),
)
async def embeddings(request: Request, engines: EnginesDep, settings: SettingsDep, own: SimulatedDep) -> Response:
    """Embed texts with the model that the documents are embedded with."""
    body = await read_body(request, EmbeddingRequest)
    engine = await engine_named(engines, parse_model_name(body.model, own))
    facts = engine.describe().embedding
    if body.model not in _embedder_names(facts):
        _known(body.model, own, facts)
    if facts.dimension is not None and body.dimensions not in (None, facts.dimension):
        raise FaceError(400, f"vectors have {facts.dimension} dimensions; leave 'dimensions' out", param="dimensions")
    texts = body.texts
    vectors = await in_time(request, engine.embed(texts), settings)
    as_base64 = body.encoding_format == "base64"
    data = [
        {"object": "embedding", "index": index, "embedding": _packed(vector) if as_base64 else vector.tolist()}
        for index, vector in enumerate(vectors)
    ]
    tokens = sum(map(estimate_tokens, texts))
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    answer = {"object": "list", "data": data, "model": body.model, "usage": usage}
    return Response(encode(answer), media_type="application/json")


def _turn(body: ChatCompletionRequest, name: ModelName, defaults: QuerySettings) -> Turn:
    if body.messages and body.messages[-1].other_parts:
        kinds = ", ".join(sorted(set(body.messages[-1].other_parts)))
        place = f"messages.{len(body.messages) - 1}.content"
        raise FaceError(400, f"model '{body.model}' reads text only, not {kinds}", param=place)
    turn = read_turn(
        [Said(message.role, message.text) for message in body.messages],
        defaults,
        body.generation,
        mode=name.mode,
        streamed=bool(body.stream),
    )
    wanted = body.response_format.type if body.response_format is not None else "text"
    if wanted != "text" and not (wanted == "json_object" and turn.param.mode == "bypass"):
        message = f"response_format '{wanted}' is not supported in mode {turn.param.mode}; only 'text' is"
        raise FaceError(400, message, param="response_format", code="unsupported_parameter")
    return turn


def _known(name: str, own: SimulatedModel, embedder: ModelFacts | None = None) -> ModelName:
    """Return what a model's name asks for; raises `FaceError` (404) for a model that is not served."""
    found = parse_model_name(name, own)
    if found is None:
        known = list(_embedder_names(embedder)) if embedder is not None else model_names(own)
        message = f"The model '{name}' does not exist; there is {', '.join(known)}"
        raise FaceError(404, message, param="model", code="model_not_found")
    return found


def _embedder_names(facts: ModelFacts) -> tuple[str, str]:
    return facts.name, f"{facts.binding}/{facts.name}"


def _listed(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": CREATED, "owned_by": "lightrag"}


def _packed(vector: Any) -> str:
    return base64.b64encode(np.asarray(vector, dtype="<f4").tobytes()).decode()
