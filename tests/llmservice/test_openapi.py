"""Requests made out of the service's own OpenAPI document, sensible and not: none makes it fail."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode

from llmservice.api.app import create_app
from llmservice.config import read_settings
from llmservice.service import ModelService

from .front import Front

EXAMPLES = 30
MODELS = ("light", "embedding", "reranker", "medium/qwen-7b", "gpt-4o", "heavy")
UNAVAILABLE = 503


def operations() -> list[Any]:
    document = create_app(ModelService(read_settings({}, {}, {}))).openapi()
    return [result.ok() for result in schemathesis.openapi.from_dict(document).get_all_operations()]


@pytest.mark.parametrize("operation", operations(), ids=lambda operation: operation.label)
def test_no_request_makes_the_service_fail(front: Front, operation: Any) -> None:
    cases = operation.as_strategy(generation_mode=GenerationMode.POSITIVE)
    if operation.body or operation.path_parameters:
        cases |= operation.as_strategy(generation_mode=GenerationMode.NEGATIVE)

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=cases, model=st.sampled_from((*MODELS, None)))
    def call(case: Any, model: str | None) -> None:
        if model is not None and isinstance(case.body, dict):
            case.body["model"] = model
        if model is not None and "name" in case.path_parameters:
            case.path_parameters["name"] = model
        answer = case.call(base_url=front.url, timeout=30)
        assert answer.status_code < 500 or answer.status_code == UNAVAILABLE, answer.text
        if answer.status_code >= 400 and case.path != "/readyz":
            assert answer.json()["error"]["message"]

    call()
    assert httpx.get(f"{front.url}/health", timeout=60).json()["status"] == "healthy"
