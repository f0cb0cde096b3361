"""What callers try who want to see, change or disturb workspaces that are not theirs."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import pytest
from starlette.types import Message

from .conftest import Real, Served
from .test_workspaces import KEY, add, at, names_below

NO_ACCESS = "You have no access to this workspace"


async def make(server: Any, *names: str) -> None:
    """Create workspaces."""
    for name in names:
        answer = await server.client.post("/workspaces", json={"name": name}, headers=KEY)
        assert answer.status_code == 201, answer.text


async def bound(server: Any, role: str, *names: str) -> dict[str, str]:
    """Return the header of a token that is good for workspaces."""
    wish = {"roles": dict.fromkeys(names, role)}
    made = await server.client.post("/access/tokens", json=wish, headers=KEY)
    return {"Authorization": f"Bearer {made.json()['token']}"}


async def test_a_header_that_comes_twice_with_different_values_is_refused(scripted: Served) -> None:
    async with scripted() as (client, engine):
        for name in (b"LIGHTRAG-WORKSPACE", b"X-Workspace-ID", b"lightrag-workspace"):
            answer = await client.get("/graph/label/list", headers=[(name, b"a"), (name, b"b")])
            assert answer.status_code == 400
            assert "comes twice" in answer.json()["detail"]
            assert (await client.get("/health", headers=[(name, b"a"), (name, b"b")])).status_code == 200
        same = await client.get("/graph/label/list", headers=[(b"LIGHTRAG-WORKSPACE", b"a")] * 2)
        assert same.status_code == 200
        assert "b" not in engine.opened


async def test_open_paths_show_strangers_the_default_workspace_and_no_other(real: Real) -> None:
    async with real(LIGHTRAG_API_KEY="server-key", WHITELIST_PATHS="/api/*,/documents") as server:
        await make(server, "tenant-a")
        chat = {"model": "lightrag:latest", "messages": [{"role": "user", "content": "/naive hello?"}], "stream": False}
        assert (await server.client.post("/api/chat", json=chat)).status_code == 200
        assert (await server.client.get("/documents")).status_code == 200
        answers = []
        for name in ("tenant-a", "ghost"):
            answers.append(await server.client.post("/api/chat", json=chat, headers=at(name)))
            answers.append(await server.client.get("/api/tags", headers=at(name)))
            answers.append(await server.client.get("/documents", headers=at(name)))
            answers.append(await server.client.post("/api/chat", json=chat | {"model": f"lightrag@{name}:latest"}))
        assert {answer.status_code for answer in answers} == {403}
        assert {answer.text for answer in answers[:4]} == {answer.text for answer in answers[4:]}


async def test_a_reader_reads_and_an_editor_manages_nothing(real: Real) -> None:
    async with real(LIGHTRAG_API_KEY="server-key") as server:
        await make(server, "a")
        reader, editor = await bound(server, "reader", "a"), await bound(server, "editor", "a")
        document = (await server.client.get("/openapi.json")).json()
        for path, methods in document["paths"].items():
            for method in methods:
                if method == "get" or path.startswith(("/access", "/workspaces", "/login", "/v1", "/api", "/query")):
                    continue
                answer = await server.client.request(
                    method.upper(), path.replace("{", "").replace("}", ""), headers=reader
                )
                is_reading = path in ("/documents/paginated", "/documents/estimate", "/graph/label/entities")
                assert is_reading or answer.status_code in (403, 422), f"{method} {path}: {answer.status_code}"
                if path.startswith("/llm/"):
                    answer = await server.client.request(method.upper(), path, headers=editor, json={})
                    assert answer.status_code in (403, 422), f"{method} {path}: {answer.status_code}"


async def test_the_root_workspace_reaches_into_no_tenants_folder(real: Real, tmp_path: Path) -> None:
    async with real(LIGHTRAG_API_KEY="server-key") as server:
        await make(server, "tenant-a", "unused")
        upload = {"file": ("a.txt", b"Ada Lovelace wrote the first program in London.")}
        mine = at("tenant-a", **KEY)
        assert (await server.client.post("/documents/upload", files=upload, headers=mine)).status_code == 200
        for folder in ("tenant-a", "unused", "tenant-a/deep"):
            refused = await server.client.post("/documents/upload", files=upload, data={"path": folder}, headers=KEY)
            assert refused.status_code == 400, refused.text
        (tmp_path / "inputs" / "own.txt").write_text("Grace Hopper found the moth.")
        await server.client.post("/documents/scan", headers=KEY)
        async with asyncio.timeout(60):
            while "own.txt" not in (listed := (await server.client.get("/documents", headers=KEY)).text):
                await asyncio.sleep(0.05)
            while (await server.client.get("/documents/pipeline_status", headers=KEY)).json()["busy"]:
                await asyncio.sleep(0.05)
        assert "own.txt" in listed
        assert "a.txt" not in listed
        assert (await server.client.request("DELETE", "/documents", headers=KEY)).json()["status"] == "success"
        assert (tmp_path / "inputs" / "tenant-a" / "a.txt").exists()
        assert "a.txt" in (await server.client.get("/documents", headers=mine)).text
        exported = await server.client.get("/workspaces/-/export", headers=KEY)
        assert exported.status_code == 200
        again = await server.client.post(
            "/workspaces/copy/import", files={"file": ("r.tar.gz", exported.content)}, headers=KEY
        )
        assert again.status_code == 201, again.text
        assert names_below(tmp_path / "inputs" / "copy") == []


async def test_names_that_lead_elsewhere_are_refused_on_every_route(real: Real, tmp_path: Path) -> None:
    async with real(LIGHTRAG_API_KEY="server-key") as server:
        await make(server, "a")
        before = names_below(tmp_path)
        archive = {"file": ("a.tar.gz", b"x")}
        for name in (
            "..%00",
            "%00",
            "a%00b",
            "%2e%2e",
            "..%2f..%2fx",
            ".hidden",
            "a" * 65,
            "%F0%9F%98%80",
            "con%0d%0a",
        ):
            calls: list[Any] = [
                server.client.get(f"/workspaces/{name}", headers=KEY),
                server.client.delete(f"/workspaces/{name}", headers=KEY),
                server.client.get(f"/workspaces/{name}/export", headers=KEY),
                server.client.post(f"/workspaces/{name}/import", files=archive, headers=KEY),
                server.client.post(f"/workspaces/{name}/rename", json={"new_name": "b"}, headers=KEY),
                server.client.post("/workspaces/a/rename", json={"new_name": name}, headers=KEY),
                server.client.post("/workspaces", json={"name": name}, headers=KEY),
            ]
            for answer in await asyncio.gather(*calls):
                assert answer.status_code in (400, 404, 405, 422), f"{name}: {answer.status_code} {answer.text}"
        assert names_below(tmp_path) == before


async def test_a_token_of_a_removed_workspace_has_no_right_in_the_next_of_its_name(real: Real) -> None:
    async with real(LIGHTRAG_API_KEY="server-key") as server:
        await make(server, "a")
        mine = await bound(server, "admin", "a")
        assert (await server.client.get("/documents", headers=at("a", **mine))).status_code == 200
        assert (await server.client.delete("/workspaces/a", headers=KEY)).status_code == 200
        await make(server, "a")
        answer = await server.client.get("/documents", headers=at("a", **mine))
        assert (answer.status_code, answer.json()["detail"]) == (403, NO_ACCESS)


async def test_a_token_follows_its_workspace_to_the_new_name(real: Real) -> None:
    async with real(LIGHTRAG_API_KEY="server-key") as server:
        await make(server, "a")
        mine = await bound(server, "reader", "a")
        assert (await server.client.get("/documents", headers=mine)).status_code == 200
        assert (
            await server.client.post("/workspaces/a/rename", json={"new_name": "b"}, headers=KEY)
        ).status_code == 200
        assert (await server.client.get("/documents", headers=mine)).status_code == 200
        assert (await server.client.get("/documents", headers=at("b", **mine))).status_code == 200
        assert (await server.client.get("/documents", headers=at("a", **mine))).status_code == 403


async def test_a_workspace_is_removed_in_the_middle_of_its_work(real: Real, tmp_path: Path) -> None:
    async with real() as server:
        texts = [f"Ada number {n} wrote the program {n} in London for the engine {n}." * 20 for n in range(30)]
        body = {"texts": texts, "file_sources": [f"{n}.txt" for n in range(30)]}
        assert (await server.client.post("/documents/texts", json=body, headers=at("a"))).status_code == 200
        assert (await server.client.delete("/workspaces/a")).status_code == 200
        assert not (tmp_path / "rag_storage" / "a").exists()
        await add(server, "a", "Grace Hopper found the moth in the relay.")
        listed = (await server.client.get("/documents", headers=at("a"))).text
        assert "Grace" in listed
        assert "program" not in listed


async def test_an_export_that_nobody_waits_for_leaves_no_file(
    real: Real, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()
    async with real() as server:
        await add(server, "a", "Ada Lovelace wrote the first program.")
        app = server.client._transport.app

        messages = iter([{"type": "http.request", "body": b"", "more_body": False}])

        async def receive() -> Message:
            return next(messages, {"type": "http.disconnect"})

        async def send(message: Message) -> None:
            raise OSError("the client has left")

        scope = {
            **{"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http"},
            **{"path": "/workspaces/a/export", "raw_path": b"", "query_string": b"", "root_path": ""},
            **{"headers": [], "client": ("127.0.0.1", 1), "server": ("server", 80)},
        }
        with contextlib.suppress(OSError):
            await app(scope, receive, send)
        assert names_below(tmp_path / "scratch") == []


async def test_a_socket_is_closed_before_it_says_anything(real: Real) -> None:
    async with real() as server:
        sent: list[Message] = []

        async def receive() -> Message:
            return {"type": "websocket.connect"}

        async def send(message: Message) -> None:
            sent.append(message)

        scope = {"type": "websocket", "path": "/documents", "headers": [(b"lightrag-workspace", b"a")], "root_path": ""}
        await server.client._transport.app(scope, receive, send)
        assert sent == [{"type": "websocket.close", "code": 1008}]


async def test_an_upload_whose_file_is_removed_meanwhile_is_a_conflict(
    real: Real, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with real() as server:

        async def removed_meanwhile(path: Path) -> str:
            await asyncio.to_thread(path.unlink)
            return "0" * 32

        monkeypatch.setattr("lightrag.engine.file_md5", removed_meanwhile)
        upload = {"file": ("a.txt", b"Ada Lovelace wrote the first program.")}
        answer = await server.client.post("/documents/upload", files=upload)
        assert answer.status_code == 409
        assert "send it again" in answer.json()["detail"]
