"""Calls that a model makes of its own accord: read by the engine in the syntax of the model's template."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest

from llmservice.backends.contracts import ChatBackend, ChatRequest, Sampling
from llmservice.backends.factory import load_backend
from llmservice.testing.tiny_llama import LlamaShape, TinyLlama, make_tiny_llama

from .conftest import chat_source

CALL = '<tool_call>\n{"name": "mark", "arguments": {"ok": true}}\n</tool_call>'
TEMPLATE = """{%- if tools %}<|im_start|>system
<tools>{% for tool in tools %}
{{ tool | tojson }}{% endfor %}
</tools>
For each call, return a json object within <tool_call></tool_call> XML tags:
<tool_call>
{"name": <function-name>, "arguments": <args-json-object>}
</tool_call><|im_end|>
{% endif %}{% for m in messages %}<|im_start|>{{ m.role }}
{{ m.content }}{% if m.tool_calls %}{% for tool_call in m.tool_calls %}
{%- if tool_call.function %}{% set tool_call = tool_call.function %}{% endif %}
<tool_call>
{"name": "{{ tool_call.name }}", "arguments": {{ tool_call.arguments | tojson }}}
</tool_call>{% endfor %}{% endif %}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "mark",
            "description": "Mark it.",
            "parameters": {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]},
        },
    }
]


@pytest.fixture(scope="module")
def calling(tmp_path_factory: pytest.TempPathFactory) -> TinyLlama:
    return make_tiny_llama(tmp_path_factory.mktemp("calling"), LlamaShape(phrases=(CALL,), chat_template=TEMPLATE))


@pytest.fixture(params=["llamacpp", "mlx"])
async def caller(request: pytest.FixtureRequest, calling: TinyLlama) -> AsyncIterator[ChatBackend]:
    loaded = load_backend("chat", chat_source(calling, request.param), request.param)
    yield loaded
    await loaded.aclose()


async def test_a_call_is_told_as_one_and_is_no_text(caller: ChatBackend) -> None:
    (token,) = await caller.tokenize(CALL) if caller.facts.backend == "mlx" else [700]
    sampling = Sampling(1, temperature=0, logit_bias={token: 100.0})
    request = ChatRequest([{"role": "user", "content": "Mark it."}], sampling, tools=TOOLS)
    pieces = [piece async for piece in caller.chat(request)]
    calls = [call for piece in pieces for call in piece.tool_calls]
    assert {call["index"] for call in calls} == {0}
    assert next(call["id"] for call in calls)
    assert "".join(call["function"].get("name") or "" for call in calls) == "mark"
    assert json.loads("".join(call["function"].get("arguments") or "" for call in calls)) == {"ok": True}
    assert "".join(piece.text for piece in pieces).strip() == ""
    plain = ChatRequest([{"role": "user", "content": "Mark it."}], sampling)
    assert CALL in "".join([piece.text async for piece in caller.chat(plain)])
