"""Find out what a chat model can do: answers, streams, JSON, tools, how much it takes and gives."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from typing import Any

import orjson

from lightrag.errors import ConfigurationError, ContextTooLong, ModelError, ModelRefused, UnusableAnswer
from lightrag.llm import bindings
from lightrag.llm.contracts import ChatModel, ChatReply, ChatRequest, Message, Role
from lightrag.llm.endpoint_probe import Check, EndpointReport, Target, check_server, told_limit
from lightrag.llm.http_client import HttpClient, bearer
from lightrag.settings import ChatModelSettings, VendorSettings

_WORDS = 256
_NEEDLE = "ZEBRA-4217"
_MUCH = 10_000_000
_ROUGHLY = 0.9
_LARGE_CONTEXT = 32768
_SPOKEN = {"openai": "/chat/completions", "ollama": "/api/chat"}
"""Bindings whose servers are asked directly for what our models hide: refused parameters, tools."""

_TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Tells the weather in a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


async def probe_chat_endpoint(
    wanted: ChatModelSettings, vendors: VendorSettings, *, seconds: float, most_context: int
) -> EndpointReport:
    """Ask a chat model for what it can do.

    `seconds`: for one call. `most_context`: prompts of up to so many tokens are tried, which costs twice as many in
    all; 0 tries none.
    """
    target = Target(str(wanted.binding), wanted.host, wanted.model, wanted.api_key, seconds)
    report = EndpointReport("chat", target.name())
    listed = await check_server(report, target)
    if not report.is_usable:
        return report
    model = bindings.CHAT[target.binding](wanted.model_copy(update={"timeout": seconds}), vendors)
    probe = _ChatProbe(report, target, model)
    try:
        if await probe.answers():
            await probe.streams()
            await probe.writes_json()
            await probe.calls_tools()
            await probe.output_limit(listed.output_tokens if listed else None)
            told = listed.context_tokens if listed and listed.context_tokens else model.facts.context_tokens
            await probe.context(told, most_context)
    except ConfigurationError as error:
        report.broken("binding", str(error))
    finally:
        await model.aclose()
        await probe.aclose()
    if report.is_usable:
        report.settings |= _settings(wanted, probe.context_tokens)
    return report


class _ChatProbe:
    def __init__(self, report: EndpointReport, target: Target, model: ChatModel) -> None:
        self._report = report
        self._target = target
        self._model = model
        self._client = HttpClient(target.host, target.timeout, target.endpoint(), bearer(target.key))
        self.context_tokens: int | None = None

    async def answers(self) -> bool:
        """Check that the model answers at all."""
        started = time.perf_counter()
        try:
            reply = await self._ask("Answer with the one word: ready", 512)
        except ModelError as error:
            self._report.broken("answer", str(error))
            return False
        counts = "no token counts" if reply.usage.estimated else "with token counts"
        self._report.ok("answer", f"after {time.perf_counter() - started:.2f} s, {counts}")
        if reply.thinking:
            self._report.ok("thinking", "told apart from the answer")
        return True

    async def streams(self) -> None:
        """Check that answers come in pieces."""
        started = time.perf_counter()
        first, pieces = 0.0, 0
        try:
            async for delta in self._model.stream(_request("Count from one to twenty in words.", 512)):
                if delta.text or delta.thinking:
                    first = first or time.perf_counter() - started
                    pieces += 1
        except ModelError as error:
            self._report.broken("streaming", str(error))
            return
        if pieces > 1:
            self._report.ok("streaming", f"first of {pieces} pieces after {first:.2f} s")
        else:
            self._report.note("streaming", "the answer comes in one piece")

    async def writes_json(self) -> None:
        """Check that the server promises JSON, and keeps it."""
        question = "Give a JSON object with the key 'capital': the capital of France. Write nothing else."
        mode: dict[str, dict[str, Any]] = {
            "openai": {"response_format": {"type": "json_object"}},
            "ollama": {"format": "json"},
        }
        try:
            if self._target.binding in mode:
                await self._post(question, mode[self._target.binding])
            reply = await self._model.complete(_request(question, 512, json_object=True))
        except UnusableAnswer as error:
            self._report.note("JSON mode", str(error))
        except ModelRefused as error:
            self._report.note("JSON mode", f"refused, so that the prompt has to do ({error})")
        except ModelError as error:
            self._report.broken("JSON mode", str(error))
        else:
            self._report.checks.append(_json_check(reply, self._target.binding))

    async def calls_tools(self) -> None:
        """Check whether the model calls tools; nothing here needs them."""
        if self._target.binding not in _SPOKEN:
            return
        try:
            answer = await self._post("What is the weather in Paris? Use the tool.", {"tools": [_TOOL]})
            message = answer["choices"][0]["message"] if "choices" in answer else answer["message"]
            called = bool(message.get("tool_calls"))
        except ModelRefused as error:
            self._report.note("tool calls", f"refused ({error})")
        except (ModelError, LookupError, TypeError, AttributeError) as error:
            self._report.note("tool calls", f"could not be tried ({error})")
        else:
            self._report.ok("tool calls", "made" if called else "accepted, but none was made")

    async def output_limit(self, listed: int | None) -> None:
        """Find out how long an answer may be, by asking for too much."""
        if listed:
            self._report.ok("output limit", f"{listed:,} tokens, as the server tells")
            return
        if self._target.binding not in {"openai", "anthropic", "gemini", "bedrock", "azure_openai"}:
            return
        try:
            await self._ask("Answer with the one word: ready", _MUCH)
        except ModelRefused as error:
            limit = told_limit(error, _MUCH)
            if isinstance(error, ContextTooLong):
                self._report.ok("output limit", "what the prompt leaves of the context")
            elif limit:
                self._report.ok("output limit", f"{limit:,} tokens")
            else:
                self._report.note("output limit", f"there is one, but the server does not name it ({error})")
        except ModelError as error:
            self._report.note("output limit", f"could not be tried ({error})")
        else:
            self._report.ok("output limit", "the server names none")

    async def context(self, told: int | None, most: int) -> None:
        """Find out how long a prompt may be, and whether longer ones are refused or cut without a word."""
        self.context_tokens = told
        if most <= 0:
            if told:
                self._report.ok("context", f"{told:,} tokens, as the server tells; not tried")
            return
        try:
            found = await self._measured(most)
        except ModelError as error:
            self._report.note("context", f"could not be tried ({error})")
            return
        self.context_tokens = found.tokens if found.is_limit else max(filter(None, (told, found.tokens)))
        if found.is_cut:
            detail = f"prompts longer than about {found.tokens:,} tokens are cut without a word; keep below that"
            self._report.broken("context", detail)
        elif found.is_limit:
            self._report.ok("context", f"{found.tokens:,} tokens; longer prompts are refused")
        else:
            more = f"; {told:,} as the server tells" if told and told > found.tokens else ""
            self._report.ok("context", f"prompts of {found.tokens:,} tokens are taken{more}")

    async def aclose(self) -> None:
        """Release connections."""
        await self._client.aclose()

    async def _measured(self, most: int) -> _Context:
        first = await self._ask(_long_prompt(_WORDS), 64)
        ratio = 1.0 if first.usage.estimated else max(0.5, first.usage.prompt_tokens / _WORDS)
        remembers = _NEEDLE in first.text
        held = int(_WORDS * ratio)
        size = 1024
        while size <= most:
            try:
                reply = await self._ask(_long_prompt(int(size / ratio)), 64)
            except ContextTooLong as error:
                return _Context(told_limit(error) or held, is_limit=True)
            if not reply.usage.estimated and reply.usage.prompt_tokens < _ROUGHLY * size:
                return _Context(reply.usage.prompt_tokens, is_limit=True, is_cut=True)
            if remembers and _NEEDLE not in reply.text:
                return _Context(held, is_limit=True, is_cut=True)
            held = size
            size = most if size < most < 2 * size else 2 * size
        return _Context(held)

    async def _ask(self, question: str, max_tokens: int) -> ChatReply:
        return await self._model.complete(_request(question, max_tokens))

    async def _post(self, question: str, further: Mapping[str, Any]) -> dict[str, Any]:
        body = {
            "model": self._target.model,
            "messages": [{"role": "user", "content": question}],
            "stream": False,
            **further,
        }
        raw = await self._client.post(_SPOKEN[self._target.binding], body)
        answer = orjson.loads(raw)
        if not isinstance(answer, dict):
            raise self._target.endpoint().unusable("the answer is not a JSON object")
        return answer


@dataclasses.dataclass(frozen=True, slots=True)
class _Context:
    tokens: int
    is_limit: bool = False
    is_cut: bool = False


def _request(question: str, max_tokens: int, *, json_object: bool = False) -> ChatRequest:
    # The time makes every question another one, so that no cache on the way answers it.
    message = Message("user", f"{question} ({time.time_ns()})")
    return ChatRequest((message,), Role.ANSWER, max_tokens=max_tokens, json_object=json_object)


def _long_prompt(words: int) -> str:
    filler = "word " * max(1, words - 40)
    return f"The password is {_NEEDLE}. Ignore these words: {filler}. Now answer with the password only."


def _json_check(reply: ChatReply, binding: str) -> Check:
    try:
        is_object = isinstance(orjson.loads(reply.text), dict)
    except orjson.JSONDecodeError:
        is_object = False
    if binding in {"anthropic", "bedrock", "lollms"}:
        kept = "the prompt was enough" if is_object else "the prompt was not enough, either"
        return Check("note", "JSON mode", f"there is none without a schema; {kept}")
    if is_object:
        return Check("ok", "JSON mode", "the answer is a JSON object")
    return Check("note", "JSON mode", "accepted, but the answer is not a JSON object")


def _settings(wanted: ChatModelSettings, context: int | None) -> dict[str, str]:
    found = {"LLM_BINDING": str(wanted.binding), "LLM_BINDING_HOST": wanted.host, "LLM_MODEL": wanted.model}
    if wanted.api_key is not None:
        found["LLM_BINDING_API_KEY"] = "<the key>"
    if context and wanted.binding == "ollama":
        found["MAX_TOKENS"] = str(min(context, _LARGE_CONTEXT))
    if context and context < _LARGE_CONTEXT:
        # A third is left for instructions and answer; extraction repeats what it finds in about the chunk's length.
        found["MAX_TOTAL_TOKENS"] = str(context * 2 // 3)
        found["SUMMARY_CONTEXT_SIZE"] = str(min(12000, context * 2 // 3))
        found["CHUNK_SIZE"] = str(min(1200, max(128, context // 5)))
    return {name: value for name, value in found.items() if value}
