"""The OpenAPI document, and whether the server keeps what it says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.strategies import SearchStrategy
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance

from lightrag.api.app import create_app
from lightrag.settings import load_settings

from .conftest import Served
from .server_process import running_server

EXAMPLES = 20
METHODS = {"get", "post", "put", "delete"}


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_server(tmp_path_factory.mktemp("server"), LOG_LEVEL="ERROR") as (url, _):
        yield url


def all_operations() -> list[Any]:
    document = create_app(load_settings(None, {}, Path("/nowhere"))).openapi()
    return [result.ok() for result in schemathesis.openapi.from_dict(document).get_all_operations()]


def sensible_and_not(operation: Any) -> SearchStrategy[Any]:
    sensible = operation.as_strategy(generation_mode=GenerationMode.POSITIVE)
    has_input = operation.body or operation.query or operation.path_parameters
    return sensible | operation.as_strategy(generation_mode=GenerationMode.NEGATIVE) if has_input else sensible


@pytest.mark.parametrize("operation", all_operations(), ids=lambda operation: operation.label)
def test_no_request_makes_the_server_fail(url: str, operation: Any) -> None:
    checks = [not_a_server_error, content_type_conformance, response_schema_conformance]

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=sensible_and_not(operation))
    def call(case: Any) -> None:
        case.call_and_validate(base_url=url, checks=checks, timeout=30)

    call()


def test_afterwards_the_server_still_works(url: str) -> None:
    assert httpx.get(f"{url}/health", timeout=60).json()["status"] == "healthy"
    assert httpx.get(f"{url}/readyz", timeout=60).status_code == 200


async def operations(scripted: Served) -> list[tuple[str, str, dict[str, Any]]]:
    async with scripted() as (client, _):
        document = (await client.get("/openapi.json")).json()
    return [
        (path, method, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if method in METHODS
    ]


async def test_every_operation_has_a_name_of_its_own_and_says_what_it_does(scripted: Served) -> None:
    found = await operations(scripted)
    names = [operation["operationId"] for _, _, operation in found]
    assert len(set(names)) == len(names) > 25
    assert all(operation["description"] for _, _, operation in found)


async def test_every_protected_operation_names_its_credentials(scripted: Served) -> None:
    found = await operations(scripted)
    unprotected = {path for path, _, operation in found if not operation.get("security")}
    assert unprotected == {"/health", "/livez", "/readyz", "/login", "/auth-status"}


async def test_every_json_body_has_an_example(scripted: Served) -> None:
    async with scripted() as (client, _):
        document = (await client.get("/openapi.json")).json()
    schemas = document["components"]["schemas"]

    def has_example(media: dict[str, Any]) -> bool:
        if "example" in media or "examples" in media:
            return True
        inner = media["schema"]
        for part in [inner, *inner.get("anyOf", [])]:
            name = part.get("$ref", "").rpartition("/")[2]
            if "examples" in part or "examples" in schemas.get(name, {}):
                return True
        return False

    missing = []
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            body = operation.get("requestBody", {}).get("content", {})
            good = next(answer for status, answer in sorted(operation["responses"].items()) if status.startswith("2"))
            answers = good.get("content", {})
            for where, media in (*body.items(), *answers.items()):
                if where == "application/json" and not has_example(media):
                    missing.append((method, path, "body" if media in body.values() else "answer"))
    assert missing == []


async def test_the_documentation_pages_fetch_nothing_elsewhere(scripted: Served) -> None:
    async with scripted() as (client, _):
        for page in ("/docs", "/redoc"):
            answer = await client.get(page)
            html = answer.text
            assert "https://" not in html.replace("https://github.com", "")
            assert "default-src 'self'" in answer.headers["content-security-policy"]
            for asset in {part.split('"')[0] for part in html.split('"/static/')[1:]}:
                assert (await client.get(f"/static/{asset}")).status_code == 200
