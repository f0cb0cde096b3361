"""Tenants of one server, each with words that nobody else may ever see, call every route in turn.

`LIGHTRAG_TEST_ISOLATION_CALLS` makes the walk longer than it is by default, `LIGHTRAG_TEST_ISOLATION_SEED` another one.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
import os
import random
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog

from lightrag.api.app import create_app
from lightrag.api.logs import configure_logging
from lightrag.settings import Settings, load_settings
from lightrag.testing.fake_models import FakeEmbedding
from lightrag.testing.model_server import ModelServer

from .route_calls import Operation, Words, call, found_ids, operations

CALLS = int(os.environ.get("LIGHTRAG_TEST_ISOLATION_CALLS", "450"))
SEED = int(os.environ.get("LIGHTRAG_TEST_ISOLATION_SEED", "7"))
AT_ONCE = 6
ADMIN = {"X-API-Key": "server-key"}
REFUSED = {"detail": "You have no access to this workspace"}

SERVER_LEVEL: Mapping[str, str] = {
    "/health": "tells of the server; a workspace only where its caller may see it",
    "/livez": "tells that the process lives",
    "/readyz": "tells that the default workspace answers",
    "/metrics": "tells of the caller's workspaces, whatever the header says",
    "/login": "makes tokens of accounts",
    "/auth-status": "tells how to log in",
    "/auth/verify": "tells whether credentials are good",
    "/access/": "governed by the roles in the workspaces that the body or the path names",
    "/audit": "governed by the role in the workspace that the query names",
    "/workspaces": "governed by the role in the workspace that the path names",
    "/api/version": "a constant",
    "/api/ps": "a constant",
    "/api/show": "a constant",
    "/v1/models": "a constant",
    "/documents/supported_file_types": "a constant",
    "/llm/factories": "a constant",
}
"""Operations that are about no workspace, or not about the one that a header names."""


@dataclasses.dataclass(slots=True)
class Tenant:
    """A customer of the server."""

    name: str
    canary: str
    token: str = ""
    token_id: str = ""
    ids: list[str] = dataclasses.field(default_factory=list)

    @property
    def key(self) -> str:
        """The key that this tenant has with its provider."""
        return f"sk-{self.canary}-0123456789abcdef"

    @property
    def credentials(self) -> dict[str, str]:
        """The header that lets this tenant in."""
        return {"Authorization": f"Bearer {self.token}"}


@dataclasses.dataclass(slots=True)
class Site:
    """The server with its tenants."""

    client: httpx.AsyncClient
    tenants: list[Tenant]
    operations: list[Operation]
    models: ModelServer
    folder: Path
    rng: random.Random

    def others(self, tenant: Tenant) -> list[Tenant]:
        """Return the other tenants."""
        return [other for other in self.tenants if other is not tenant]

    def words(self, tenant: Tenant) -> Words:
        """Return what a tenant fills into its calls: its own words, and ids of everybody."""
        others = self.others(tenant)
        foreign = [
            one for other in others for one in [*other.ids[-20:], other.token_id] if other.canary not in one.lower()
        ]
        # It does not take its own rights away.
        ids = [*(one for one in tenant.ids[-40:] if one != tenant.token_id), *foreign]
        names = [tenant.name] * 4 + [other.name for other in others]
        return Words(tenant.canary, tenant.key, names, ids)

    def check(self, tenant: Tenant, answer: httpx.Response, what: object) -> None:
        """Check that nothing of other tenants is in an answer."""
        said = f"{answer.headers} {answer.text}".lower()
        for other in self.others(tenant):
            leaked = [word for word in (other.canary, other.token.lower(), other.name) if word in said]
            assert not leaked, f"{what} as {tenant.name} tells {leaked}: {said[:2000]}"
        assert answer.status_code < 500 or answer.status_code in (502, 503), f"{what}: {answer.text}"


@pytest.fixture
async def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Site]:
    """Three tenants of one server, with a model server for their keys; everything is logged."""
    monkeypatch.setattr("lightrag.engine_models.MiniLMEmbedder", FakeEmbedding)
    async with ModelServer() as models:
        environ = {
            "LLM_BINDING": "none",
            "EMBEDDING_BINDING": "embedded",
            "LIGHTRAG_API_KEY": "server-key",
            "LIGHTRAG_LLM_PROVIDER_URLS": f"OpenAI={models.openai_url}",
            "LIGHTRAG_LLM_ALLOWED_PROVIDERS": "OpenAI",
            "LIGHTRAG_LLM_PROBE_TIMEOUT": "5",
            "LOG_DIR": str(tmp_path / "logs"),
            "LOG_LEVEL": "DEBUG",
        }
        settings = load_settings(None, environ, tmp_path)
        app = create_app(settings)
        with _logged(settings):
            async with (
                app.router.lifespan_context(app),
                httpx.AsyncClient(
                    transport=httpx.ASGITransport(app, raise_app_exceptions=False), base_url="http://server", timeout=60
                ) as client,
            ):
                tenants = [
                    Tenant("tenant-one", "zorvexaq"),
                    Tenant("tenant-two", "mivulkor"),
                    Tenant("tenant-six", "quendrip"),
                ]
                for tenant in tenants:
                    await _admit(client, tenant)
                yield Site(client, tenants, operations(app.openapi()), models, tmp_path, random.Random(SEED))


@contextmanager
def _logged(settings: Settings) -> Iterator[None]:
    """Log as a server does, for the length of the block."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    configure_logging(settings)
    try:
        yield
    finally:
        for handler in root.handlers:
            handler.close()
        root.handlers[:] = handlers
        root.setLevel(level)
        structlog.reset_defaults()


async def _admit(client: httpx.AsyncClient, tenant: Tenant) -> None:
    made = await client.post("/workspaces", json={"name": tenant.name}, headers=ADMIN)
    assert made.status_code == 201, made.text
    wish = {"roles": {tenant.name: "admin"}, "label": f"of {tenant.canary}"}
    token = (await client.post("/access/tokens", json=wish, headers=ADMIN)).json()
    tenant.token, tenant.token_id = token["token"], token["id"]


async def _step(site: Site, number: int) -> int:
    tenant, operation = site.rng.choice(site.tenants), site.rng.choice(site.operations)
    path, arguments = call(operation, site.words(tenant), site.rng)
    if path.startswith("/llm/") and site.rng.random() < 0.3:
        path = "/v1" + path
    headers = {**tenant.credentials, "X-Request-ID": f"{tenant.name}.{number}"}
    if site.rng.random() < 0.5:
        headers[site.rng.choice(("LIGHTRAG-WORKSPACE", "X-Workspace-ID"))] = tenant.name
    answer = await site.client.request(operation.method, path, headers=headers, **arguments)
    site.check(tenant, answer, operation)
    if answer.headers.get("content-type", "").startswith("application/json"):
        tenant.ids.extend(found_ids(answer.json()))
    return answer.status_code


async def _walk(site: Site, calls: int) -> dict[str, set[int]]:
    numbers = iter(range(calls))
    statuses: dict[str, set[int]] = {}

    async def walker() -> None:
        for number in numbers:
            status = await _step(site, number)
            statuses.setdefault(str(status), set()).add(number)

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(walker())
    return statuses


async def _rest(site: Site) -> None:
    """Return when no tenant's documents are worked on."""
    async with asyncio.timeout(60):
        for tenant in site.tenants:
            while True:
                status = (await site.client.get("/documents/pipeline_status", headers=tenant.credentials)).json()
                if not status["busy"]:
                    break
                await site.client.post("/documents/cancel_pipeline", headers=tenant.credentials)
                await asyncio.sleep(0.05)


async def test_nothing_of_another_tenant_is_anywhere(site: Site) -> None:
    statuses = await _walk(site, CALLS)
    # A walk that is refused everywhere would prove nothing.
    assert len(statuses["200"]) > CALLS / 4
    await _rest(site)
    for tenant in site.tenants:
        await _plant(site, tenant)
    await _rest(site)
    for tenant in site.tenants:
        for path in ("/documents", "/graph/label/list", "/graphs?label=*", "/metrics", "/llm/my_llms", "/graph/edits"):
            answer = await site.client.get(path, headers=tenant.credentials)
            site.check(tenant, answer, path)
        listed = (await site.client.get("/documents", headers=tenant.credentials)).text.lower()
        assert tenant.canary in listed
    metrics = (await site.client.get("/metrics", headers=ADMIN)).text.lower()
    assert not any(tenant.canary in metrics for tenant in site.tenants)
    _check_models(site)
    _check_log(site)
    _check_files(site)


async def _plant(site: Site, tenant: Tenant) -> None:
    words, rng = site.words(tenant), site.rng
    headers = tenant.credentials
    for number in range(3):
        text = f"{tenant.canary.title()} Works built engine {number} with Doctor {tenant.canary.title()} in Paris."
        body = {"text": text, "file_source": f"{tenant.canary}-planted-{number}.txt", "tags": {"of": tenant.canary}}
        assert (await site.client.post("/documents/text", json=body, headers=headers)).status_code == 200
    upload = {"file": (f"{tenant.canary}-{rng.randrange(100, 999)}.md", words.canary.encode() * 3)}
    assert (await site.client.post("/documents/upload", files=upload, headers=headers)).status_code == 200


async def test_a_header_of_another_tenant_opens_nothing_and_changes_nothing(site: Site) -> None:
    for tenant in site.tenants:
        await _plant(site, tenant)
    await _rest(site)
    for attacker in site.tenants:
        await _attack(site, attacker)


async def _attack(site: Site, attacker: Tenant) -> None:
    before = [await _state(site, tenant) for tenant in site.others(attacker)]
    names = [*(other.name for other in site.others(attacker)), "no-such-workspace", ""]
    for operation in site.operations:
        name = site.rng.choice(names[:-1] if operation.path == "/documents" else names)
        if operation.path.startswith(tuple(SERVER_LEVEL)) or not name:
            continue
        path, arguments = call(operation, site.words(attacker), site.rng)
        for header in ("LIGHTRAG-WORKSPACE", "X-Workspace-ID"):
            headers = {**attacker.credentials, header: name}
            answer = await site.client.request(operation.method, path, headers=headers, **arguments)
            site.check(attacker, answer, operation)
            assert answer.status_code == 403, f"{operation}: {answer.status_code} {answer.text}"
            if not path.startswith(("/api/", "/v1/")):
                assert answer.json().get("detail", REFUSED["detail"]) == REFUSED["detail"]
    await _rest(site)
    assert [await _state(site, tenant) for tenant in site.others(attacker)] == before
    assert not (site.folder / "rag_storage" / "no-such-workspace").exists()


async def test_ids_of_another_tenant_lead_nowhere(site: Site) -> None:
    for tenant in site.tenants:
        await _plant(site, tenant)
    await _rest(site)
    attacker, victim, _ = site.tenants
    rows = (await site.client.post("/documents/paginated", json={"page_size": 50}, headers=victim.credentials)).json()
    ids = [row["id"] for row in rows["documents"]] + [row["track_id"] for row in rows["documents"]] + [victim.token_id]
    before = await _state(site, victim)
    words = dataclasses.replace(site.words(attacker), ids=ids, workspaces=[attacker.name])
    for operation in site.operations:
        if not any(parameter["name"].endswith("_id") for parameter in operation.parameters) and "doc_ids" not in str(
            operation.bodies
        ):
            continue
        path, arguments = call(operation, words, site.rng)
        answer = await site.client.request(operation.method, path, headers=attacker.credentials, **arguments)
        site.check(attacker, answer, operation)
    await _rest(site)
    assert await _state(site, victim) == before


async def _state(site: Site, tenant: Tenant) -> list[Any]:
    """Return everything that a tenant can see of itself, and the files of its input folder."""
    paths = (
        *("/documents", "/documents/status_counts", "/graph/label/list", "/graphs?label=*", "/graph/edits"),
        *("/llm/my_llms", "/llm/credentials", "/llm/limits", "/llm/defaults"),
        *(f"/access/tokens?workspace={tenant.name}", f"/audit?workspace={tenant.name}"),
    )
    seen = [(await site.client.get(path, headers=tenant.credentials)).json() for path in paths]
    for entry in seen[-2]:
        entry.pop("last_used_at")
    inputs = site.folder / "inputs" / tenant.name
    return [*seen, sorted(path.name for path in inputs.rglob("*"))]


def _check_models(site: Site) -> None:
    """Check that each tenant's provider was sent that tenant's words only."""
    by_key = {f"Bearer {tenant.key}": tenant for tenant in site.tenants}
    for request in site.models.requests:
        tenant = by_key.get(request.headers.get("authorization", ""))
        if tenant is not None:
            said = json.dumps(request.body).lower()
            assert not any(other.canary in said for other in site.others(tenant))


def _check_log(site: Site) -> None:
    lines = "".join(path.read_text() for path in (site.folder / "logs").iterdir()).splitlines()
    assert any("request_id=tenant-one." in line for line in lines)
    for line in lines:
        told = [tenant for tenant in site.tenants if tenant.canary in line.lower()]
        asked = re.search(r"request_id=\W*(tenant-\w+)\.", line)
        if asked is not None:
            assert all(tenant.name == asked[1] for tenant in told), line
        assert len(told) <= 1, line
        assert not any(tenant.key in line or tenant.token in line for tenant in site.tenants), line


def _check_files(site: Site) -> None:
    """Check that tenants' folders hold their own words only, the others none, and no file a secret."""
    for path in site.folder.rglob("*"):
        if not path.is_file() or "logs" in path.relative_to(site.folder).parts:
            continue
        content = path.read_bytes().lower()
        owner = next((tenant for tenant in site.tenants if tenant.name in path.parts), None)
        if not path.name.startswith("control."):
            strangers = [tenant for tenant in site.tenants if tenant is not owner and tenant.canary.encode() in content]
            assert not strangers, f"{path} holds words of {strangers}"
        for tenant in site.tenants:
            assert tenant.key.encode() not in content, f"{path} holds a provider's key"
            assert tenant.token.lower().encode() not in content, f"{path} holds a token"
