"""Bodies as what a worker is asked: messages, sampling, schemas."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmservice.api.schemas import ChatBody, CompletionBody, Message, NamedTool, SamplingFields, Tool
from llmservice.config import TierSettings
from llmservice.errors import InvalidRequest
from llmservice.tools import forced_schema

MAX_SCHEMA_DEPTH = 64


def chat_requests(body: ChatBody, tier: TierSettings) -> list[Mapping[str, Any]]:
    """Return what a worker is asked for each choice."""
    sampling = _sampling(body, tier)
    if body.max_completion_tokens is not None:
        sampling["max_tokens"] = body.max_completion_tokens
    if body.logprobs:
        sampling["logprobs"] = body.top_logprobs or 0
    elif body.top_logprobs is not None:
        raise InvalidRequest("top_logprobs needs logprobs to be true", "top_logprobs")
    request: dict[str, Any] = {"messages": [_message(one) for one in body.messages], "sampling": sampling}
    tools = _tools(body)
    if tools:
        request["tools"] = tools
    schema = tool_schema(body) or _answer_schema(body)
    if schema is not None:
        request["schema"] = schema
    return _choices(request, body.n or 1)


def completion_requests(body: CompletionBody, tier: TierSettings) -> list[Mapping[str, Any]]:
    """Return what a worker is asked for each prompt and choice."""
    if body.suffix:
        raise InvalidRequest("suffix is not supported; leave it out", "suffix")
    if body.best_of is not None and body.best_of != (body.n or 1):
        raise InvalidRequest("best_of is not supported; use n", "best_of")
    sampling = _sampling(body, tier)
    if body.logprobs is not None:
        sampling["logprobs"] = body.logprobs
    schema = _answer_schema(body)
    prompts = [body.prompt] if isinstance(body.prompt, str) else body.prompt
    requests: list[Mapping[str, Any]] = []
    for prompt in prompts:
        request = {"prompt": prompt, "sampling": sampling, **({"schema": schema} if schema is not None else {})}
        requests += _choices(request, body.n or 1)
    return requests


def tool_schema(body: ChatBody) -> dict[str, Any] | None:
    """Return the schema of a forced choice of a tool; None where none is forced."""
    choice = body.tool_choice
    if choice in (None, "none", "auto"):
        return None
    tools = [_tool(tool) for tool in body.tools or ()]
    if not tools:
        raise InvalidRequest("tool_choice needs tools", "tool_choice")
    if not isinstance(choice, NamedTool):
        return forced_schema(tools, None)
    name = choice.function.name
    if all(tool["function"]["name"] != name for tool in tools):
        raise InvalidRequest(f"tool_choice names {name}, which is none of the tools", "tool_choice")
    return forced_schema(tools, name)


def function_names(body: ChatBody) -> frozenset[str]:
    """Return the names of the functions that an answer may call."""
    if body.tool_choice == "none":
        return frozenset()
    return frozenset(tool.function.name for tool in body.tools or ())


def _choices(request: dict[str, Any], count: int) -> list[Mapping[str, Any]]:
    """Return a request for each choice; with a seed, each has its own, or all would be the same."""
    seed = request["sampling"].get("seed")
    if count == 1 or seed is None:
        return [request] * count
    return [{**request, "sampling": {**request["sampling"], "seed": seed + index}} for index in range(count)]


def _sampling(body: SamplingFields, tier: TierSettings) -> dict[str, Any]:
    """Return what is asked for over what the tier has, without what does not change the answer."""

    def first(asked: Any, default: Any) -> Any:
        return default if asked is None else asked

    stop = [body.stop] if isinstance(body.stop, str) else (body.stop or [])
    sampling: dict[str, Any] = {
        "max_tokens": first(body.max_tokens, tier.max_tokens),
        "temperature": float(first(body.temperature, tier.temperature)),
        "top_p": float(first(body.top_p, tier.top_p)),
        "top_k": first(body.top_k, tier.top_k),
        "repeat_penalty": float(first(body.repeat_penalty, tier.repeat_penalty)),
        "frequency_penalty": float(body.frequency_penalty or 0),
        "presence_penalty": float(body.presence_penalty or 0),
        "stop": [text for text in stop if text],
    }
    for name in ("min_p", "seed"):
        value = getattr(body, name)
        if value is not None:
            sampling[name] = value
    if body.logit_bias:
        sampling["logit_bias"] = body.logit_bias
    return sampling


def _tools(body: ChatBody) -> list[dict[str, Any]]:
    if body.tool_choice == "none":
        return []
    tools = [_tool(tool) for tool in body.tools or ()]
    for tool in tools:
        _check_schema(tool["function"].get("parameters"), f"tools: the parameters of {tool['function']['name']}")
    return tools


def _tool(tool: Tool) -> dict[str, Any]:
    return tool.model_dump(exclude_none=True)


def _message(message: Message) -> dict[str, Any]:
    content = message.content
    if isinstance(content, list):
        content = "".join(part.text for part in content)
    if content is None and message.role != "assistant":
        raise InvalidRequest(f"messages: a message of role {message.role} needs content", "messages")
    role = "system" if message.role == "developer" else message.role
    rest = message.model_dump(exclude_none=True, exclude={"role", "content"})
    return {"role": role, "content": content or "", **rest}


def _answer_schema(body: SamplingFields) -> Mapping[str, Any] | None:
    form = body.response_format
    if form is None or form.type == "text":
        return None
    if form.type == "json_object":
        return {}
    if form.json_schema is None:
        raise InvalidRequest("response_format of type json_schema needs json_schema", "response_format")
    schema = form.json_schema.schema_
    _check_schema(schema, "response_format.json_schema.schema")
    return schema or {}


def _check_schema(schema: Any, where: str, depth: int = 0) -> None:
    """Refuse what no JSON schema is; whether a model can be held to it, its backend says."""
    if depth > MAX_SCHEMA_DEPTH:
        raise InvalidRequest(f"{where} is nested more than {MAX_SCHEMA_DEPTH} deep", "response_format")
    known = {"object", "array", "string", "number", "integer", "boolean", "null"}
    if isinstance(schema, Mapping):
        kind = schema.get("type")
        kinds = kind if isinstance(kind, list) else [kind]
        if "type" in schema and depth == 0 and not all(isinstance(one, str) and one in known for one in kinds):
            raise InvalidRequest(f"{where}: type {kind!r} is none of JSON schema's", "response_format")
        for value in schema.values():
            _check_schema(value, where, depth + 1)
    elif isinstance(schema, list):
        for value in schema:
            _check_schema(value, where, depth + 1)
