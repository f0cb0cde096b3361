"""This server as an Ollama server with one model, for chat front ends."""

from __future__ import annotations

import time
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from lightrag.api.dependencies import EnginesDep, SettingsDep, WorkspaceDep, documented_key
from lightrag.api.faces.asking import ask, engine_named, in_time
from lightrag.api.faces.bodies import body_docs, read_body
from lightrag.api.faces.conversation import Said, Turn, plain_turn, read_turn
from lightrag.api.faces.errors import FaceError
from lightrag.api.faces.model_names import ModelName, SimulatedModel, parse_any_name, parse_model_name
from lightrag.api.faces.ollama_wire import CREATED_AT, Kind, OllamaWire, ollama_lines
from lightrag.api.faces.stops import StopCutter
from lightrag.api.routers.responses import Responses, errors
from lightrag.api.schemas.ollama import (
    OllamaChatRequest,
    OllamaEmbeddingsRequest,
    OllamaEmbedRequest,
    OllamaGenerateRequest,
    OllamaShowRequest,
)
from lightrag.api.streaming import HEADERS, AnswerResponse, encode
from lightrag.llm.usage import estimate_tokens
from lightrag.types import QueryResult

router = APIRouter(prefix="/api", tags=["ollama"], dependencies=[documented_key])

VERSION = "0.9.3"
"""The version of Ollama that is simulated, as LightRAG says it."""
SIZE = 7365960935
DIGEST = "sha256:lightrag"
EXPIRES_AT = "2050-12-31T14:38:31.83753-07:00"

_MODEL = {"name": "lightrag:latest", "model": "lightrag:latest", "size": SIZE, "digest": DIGEST}
_MESSAGE = {"role": "assistant", "content": "Ada Lovelace wrote it.", "images": None}
_ENDED = {"done": True, "done_reason": "stop", "total_duration": 52000000, "load_duration": 0}
_QUESTION = {"role": "user", "content": "/mix Who wrote the first program?"}


def _example(body: Any) -> Responses:
    return {200: {"content": {"application/json": {"example": body}}}}


def _streamed(example: dict[str, Any]) -> Responses:
    line = encode(example).decode() + "\n"
    return {
        200: {
            "description": "The answer in one piece, or line by line",
            "content": {
                "application/json": {"schema": {"type": "object"}, "example": example},
                "application/x-ndjson": {"schema": {"type": "string"}, "example": line},
            },
        }
    } | errors(400, 402, 404, 413, 429, 502, 503, 504)


async def get_simulated(settings: SettingsDep) -> SimulatedModel:
    """Return the name under which clients see this server."""
    return SimulatedModel.of(settings.server)


SimulatedDep = Annotated[SimulatedModel, Depends(get_simulated)]


@router.get("/version", operation_id="ollama_version", responses=_example({"version": VERSION}))
async def version() -> dict[str, str]:
    """Return the version of Ollama that is simulated."""
    return {"version": VERSION}


@router.get("/tags", operation_id="ollama_tags", responses=_example({"models": [_MODEL]}))
async def tags(own: SimulatedDep, _workspace: WorkspaceDep) -> dict[str, Any]:
    """List the one model."""
    return {"models": [_identity(own) | {"modified_at": CREATED_AT, "details": _details("lightrag", "13B")}]}


@router.get("/ps", operation_id="ollama_ps", responses=_example({"models": [_MODEL]}))
async def ps(own: SimulatedDep) -> dict[str, Any]:
    """List the models that are loaded: the one model, always."""
    loaded = {"details": _details("llama", "7.2B"), "expires_at": EXPIRES_AT, "size_vram": SIZE}
    return {"models": [_identity(own) | loaded]}


@router.post(
    "/show",
    operation_id="ollama_show",
    openapi_extra=body_docs(OllamaShowRequest, {"model": "lightrag:latest"}),
    responses=_example({"details": {"family": "lightrag"}, "capabilities": ["completion"]}) | errors(400, 404, 413),
)
async def show(request: Request, own: SimulatedDep, settings: SettingsDep) -> dict[str, Any]:
    """Describe the model."""
    body = await read_body(request, OllamaShowRequest)
    name = body.model or body.name or ""
    if not name:
        raise FaceError(400, "model is required", param="model")
    if parse_model_name(name, own) is None:
        raise FaceError(404, f"model '{name}' not found", param="model")
    return {
        "license": "",
        "modelfile": f"FROM {own.full_name}\n",
        "parameters": "",
        "template": "{{ .Prompt }}",
        "details": _details("lightrag", "13B"),
        "model_info": {
            "general.architecture": "lightrag",
            "general.basename": own.base,
            "lightrag.context_length": settings.query.max_total_tokens,
        },
        "capabilities": ["completion"],
        "modified_at": CREATED_AT,
    }


@router.post(
    "/chat",
    operation_id="ollama_chat",
    response_class=AnswerResponse,
    openapi_extra=body_docs(OllamaChatRequest, {"model": "lightrag:latest", "messages": [_QUESTION]}),
    responses=_streamed({"model": "lightrag:latest", "created_at": CREATED_AT, "message": _MESSAGE, **_ENDED}),
)
async def chat(request: Request, engines: EnginesDep, settings: SettingsDep, own: SimulatedDep) -> Response:
    """Answer the last message from the documents; its prefix says how (`/local …`, `/context …`, `/bypass …`)."""
    body = await read_body(request, OllamaChatRequest)
    streamed = body.stream is not False
    name = _asked_model(body.model, own)
    engine = await engine_named(engines, name)
    turn = read_turn(
        [Said(message.role, message.content or "") for message in body.messages],
        settings.query,
        body.generation,
        system=body.system or "",
        mode=name.mode if name is not None else None,
        streamed=streamed,
    ).asking(body)
    wire = _wire("chat", own, turn)
    return _answer(await ask(request, turn, engine, settings), wire, body.stops, streamed=turn.param.stream)


@router.post(
    "/generate",
    operation_id="ollama_generate",
    response_class=AnswerResponse,
    openapi_extra=body_docs(OllamaGenerateRequest, {"model": "lightrag:latest", "prompt": "Say hello."}),
    responses=_streamed({"model": "lightrag:latest", "created_at": CREATED_AT, "response": "Hello.", **_ENDED}),
)
async def generate(request: Request, engines: EnginesDep, settings: SettingsDep, own: SimulatedDep) -> Response:
    """Pass a prompt to the language model as it is; one without a prompt loads or unloads the model."""
    body = await read_body(request, OllamaGenerateRequest)
    engine = await engine_named(engines, _asked_model(body.model, own))
    if not body.prompt.strip():
        reason = "unload" if body.keep_alive in (0, "0", "0s") else "load"
        done = {"model": own.full_name, "created_at": CREATED_AT, "response": "", "done": True, "done_reason": reason}
        return Response(encode(done), media_type="application/json")
    turn = plain_turn(
        body.prompt, settings.query, body.generation, system=body.system or "", streamed=body.stream is True
    ).asking(body)
    wire = _wire("generate", own, turn)
    return _answer(await ask(request, turn, engine, settings), wire, body.stops, streamed=turn.param.stream)


@router.post(
    "/embed",
    operation_id="ollama_embed",
    openapi_extra=body_docs(OllamaEmbedRequest, {"model": "lightrag:latest", "input": ["Ada Lovelace"]}),
    responses=_example({"model": "lightrag:latest", "embeddings": [[0.6, 0.8]]})
    | errors(400, 402, 413, 429, 502, 503, 504),
)
async def embed(request: Request, engines: EnginesDep, settings: SettingsDep, own: SimulatedDep) -> Response:
    """Embed texts with the model that the documents are embedded with."""
    begun = time.perf_counter_ns()
    body = await read_body(request, OllamaEmbedRequest)
    engine = await engine_named(engines, _asked_model(body.model, own))
    texts = [body.input] if isinstance(body.input, str) else body.input
    vectors = (await in_time(request, engine.embed(texts), settings)).tolist() if texts else []
    return Response(
        encode(
            {
                "model": body.model or own.full_name,
                "embeddings": vectors,
                "total_duration": time.perf_counter_ns() - begun,
                "load_duration": 0,
                "prompt_eval_count": sum(map(estimate_tokens, texts)),
            }
        ),
        media_type="application/json",
    )


@router.post(
    "/embeddings",
    operation_id="ollama_embeddings",
    openapi_extra=body_docs(OllamaEmbeddingsRequest, {"model": "lightrag:latest", "prompt": "Ada Lovelace"}),
    responses=_example({"embedding": [0.6, 0.8]}) | errors(400, 402, 413, 429, 502, 503, 504),
)
async def embeddings(request: Request, engines: EnginesDep, settings: SettingsDep, own: SimulatedDep) -> Response:
    """Embed one text, in the older form."""
    body = await read_body(request, OllamaEmbeddingsRequest)
    engine = await engine_named(engines, _asked_model(body.model, own))
    vectors = await in_time(request, engine.embed([body.prompt]), settings)
    return Response(encode({"embedding": vectors[0].tolist()}), media_type="application/json")


def _asked_model(name: str | None, own: SimulatedModel) -> ModelName | None:
    """Return what a model's name asks for; names of other models stand for this one, as they do for LightRAG."""
    return parse_any_name(name, own) if name else None


def _wire(kind: Kind, own: SimulatedModel, turn: Turn) -> OllamaWire:
    return OllamaWire(kind, own.full_name, turn.question, with_thinking=turn.param.generation.with_thinking)


def _answer(result: QueryResult, wire: OllamaWire, stops: list[str], *, streamed: bool) -> Response:
    cutter = StopCutter(stops)
    if not streamed:
        return Response(wire.whole(cutter.cut_result(result), result.outcome), media_type="application/json")
    lines = ollama_lines(result, wire, cutter)
    return AnswerResponse(lines, source=result.stream, media_type="application/x-ndjson", headers=HEADERS)


def _identity(own: SimulatedModel) -> dict[str, Any]:
    return {"name": own.full_name, "model": own.full_name, "size": SIZE, "digest": DIGEST}


def _details(family: str, size: str) -> dict[str, Any]:
    return {
        "parent_model": "",
        "format": "gguf",
        "family": family,
        "families": [family],
        "parameter_size": size,
        "quantization_level": "Q4_0",
    }
