"""Requests find their workspace; workspaces do not find each other."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from lightrag.api.workspace_choice import MISSING

from .conftest import Real, Served

KEY = {"X-API-Key": "server-key"}
BAD_NAMES = [
    "_hidden",
    "-invalid",
    "a" * 65,
    "path/traversal",
    "..",
    "a b",
    "a%2Fb",
    "tenant\u00e9",
    "٣",
    "a\tb",
    "a\u00a0",
]


def at(workspace: str, **headers: str) -> dict[str, str]:
    """Return the header that names a workspace."""
    return {"LIGHTRAG-WORKSPACE": workspace, **headers}


def names_below(folder: Path) -> list[str]:
    """Return the names of all files and folders."""
    return sorted(path.name for path in folder.rglob("*"))


async def add(real: Any, workspace: str, text: str, **headers: str) -> None:
    """Add a text to a workspace and wait until it is indexed."""
    sent = at(workspace, **headers)
    answer = await real.client.post("/documents/text", json={"text": text, "file_source": "a.txt"}, headers=sent)
    assert answer.status_code == 200, answer.text
    async with asyncio.timeout(60):
        while (await real.client.get("/documents/pipeline_status", headers=sent)).json()["busy"]:
            await asyncio.sleep(0.05)


async def test_two_workspaces_hold_their_own(real: Real) -> None:
    async with real() as server:
        await add(server, "tenant-a", "Ada Lovelace wrote the first program in London.")
        await add(server, "tenant-b", "Grace Hopper found the moth in the relay at Harvard.")
        for workspace, own, other in (("tenant-a", "Lovelace", "Hopper"), ("tenant-b", "Hopper", "Lovelace")):
            listed = await server.client.get("/documents", headers=at(workspace))
            assert own in listed.text
            assert other not in listed.text
            labels = await server.client.get("/graph/label/list", headers=at(workspace))
            assert own in labels.text
            assert other not in labels.text
            asked = {"query": f"Who is {own}?", "mode": "mix", "enable_rerank": False}
            found = (await server.client.post("/query/data", json=asked, headers=at(workspace))).text
            assert own in found
            assert other not in found
        assert (await server.client.get("/documents")).json()["statuses"] == {}


async def test_the_second_header_counts_where_the_first_is_blank(real: Real) -> None:
    async with real() as server:
        await add(server, "tenant-a", "Ada Lovelace wrote the first program in London.")
        for headers in (
            {"X-Workspace-ID": "tenant-a"},
            {"LIGHTRAG-WORKSPACE": "  ", "X-Workspace-ID": " tenant-a "},
            {"LIGHTRAG-WORKSPACE": "tenant-a", "X-Workspace-ID": "tenant-b"},
        ):
            assert "Ada" in (await server.client.get("/documents", headers=headers)).text


@pytest.mark.parametrize("name", BAD_NAMES)
async def test_a_name_that_is_none_is_refused_in_the_contracts_words(scripted: Served, name: str) -> None:
    async with scripted() as (client, _):
        for header in ("LIGHTRAG-WORKSPACE", "X-Workspace-ID"):
            answer = await client.get("/graph/label/list", headers=[(header.encode(), name.encode())])
            assert answer.status_code == 400
            shown = name.encode().decode("latin-1")
            assert answer.json() == {
                "detail": f"Invalid workspace identifier '{shown}': must be 1-64 alphanumeric characters "
                "(hyphens and underscores allowed, must start with alphanumeric)"
            }


AFFECTED: list[tuple[str, str, dict[str, Any] | None]] = [
    ("POST", "/documents/scan", None),
    ("POST", "/documents/upload", None),
    ("POST", "/documents/text", {"text": "Ada wrote."}),
    ("POST", "/documents/batch", {"texts": ["Ada wrote."]}),
    ("DELETE", "/documents/doc-1", None),
    ("GET", "/documents", None),
    ("GET", "/documents/doc-1", None),
    ("POST", "/query", {"query": "what is it?"}),
    ("POST", "/query/stream", {"query": "what is it?"}),
    ("GET", "/graph/label/list", None),
    ("POST", "/graph/label/entities", {"label": "Ada"}),
    ("GET", "/graphs?label=*", None),
    ("POST", "/api/chat", {"model": "lightrag:latest", "messages": [{"role": "user", "content": "hi"}]}),
    ("POST", "/api/generate", {"model": "lightrag:latest", "prompt": "hi"}),
    ("GET", "/api/tags", None),
    ("GET", "/llm/list", None),
]
"""The contract's affected routes, and one of the models'."""


async def test_every_affected_route_refuses_what_names_no_workspace(real: Real, tmp_path: Path) -> None:
    async with real(LIGHTRAG_ALLOW_DEFAULT_WORKSPACE="false") as server:
        before = names_below(tmp_path)
        for method, path, body in AFFECTED:
            for headers in ({}, {"LIGHTRAG-WORKSPACE": "", "X-Workspace-ID": " "}):
                answer = await server.client.request(method, path, json=body, headers=headers)
                assert (answer.status_code, answer.json()["detail"]) == (400, MISSING), path
            for header in ("LIGHTRAG-WORKSPACE", "X-Workspace-ID"):
                answer = await server.client.request(method, path, json=body, headers={header: "bad/id"})
                detail = answer.json()["detail"]
                assert answer.status_code == 400, path
                assert detail.startswith("Invalid workspace identifier 'bad/id': must be 1-64 alphanumeric"), path
        assert names_below(tmp_path) == before
        assert (await server.client.get("/documents", headers=at("tenant-a"))).status_code == 200
        for path in ("/health", "/auth-status", "/docs", "/readyz"):
            for headers in ({}, at("bad/id")):
                assert (await server.client.get(path, headers=headers)).status_code in (200, 307)


async def test_looking_at_a_workspace_that_is_not_there_creates_nothing(real: Real, tmp_path: Path) -> None:
    async with real() as server:
        before = names_below(tmp_path)
        for path in ("/documents", "/graph/label/list", "/documents/pipeline_status", "/graphs?label=*"):
            assert (await server.client.get(path, headers=at("ghost"))).status_code == 200
        assert names_below(tmp_path) == before


async def test_a_workspace_that_cannot_be_opened_says_why_and_harms_no_other(real: Real, tmp_path: Path) -> None:
    async with real() as server:
        broken = tmp_path / "rag_storage" / "broken"
        broken.mkdir(parents=True)
        (broken / "lightrag.sqlite3").write_bytes(b"this is no database" * 100)
        for _ in range(2):
            answer = await server.client.get("/documents", headers=at("broken"))
            assert answer.status_code == 503
            assert answer.json()["detail"].startswith("Failed to initialize workspace 'broken': ")
        assert (await server.client.get("/documents")).status_code == 200
        (broken / "lightrag.sqlite3").unlink()
        await add(server, "broken", "Ada Lovelace wrote the first program in London.")


async def test_a_header_names_a_workspace_and_a_token_entitles_to_it(real: Real) -> None:
    async with real(LIGHTRAG_API_KEY="server-key") as server:
        for name in ("a", "b"):
            made = await server.client.post("/workspaces", json={"name": name}, headers=KEY)
            assert made.status_code == 201, made.text
        wish = {"roles": {"a": "reader"}}
        token = (await server.client.post("/access/tokens", json=wish, headers=KEY)).json()["token"]
        mine = {"Authorization": f"Bearer {token}"}
        assert (await server.client.get("/documents", headers=mine)).status_code == 200
        assert (await server.client.get("/documents", headers=at("a", **mine))).status_code == 200
        refusals = [await server.client.get("/documents", headers=at(name, **mine)) for name in ("b", "ghost")]
        assert {(answer.status_code, answer.text) for answer in refusals} == {
            (403, '{"detail":"You have no access to this workspace"}')
        }
        text = {"text": "Ada wrote it.", "file_source": "a.txt"}
        assert (await server.client.post("/documents/text", json=text, headers=at("a", **mine))).status_code == 403
        asked = {"query": "Who wrote it?", "mode": "naive"}
        assert (await server.client.post("/query", json=asked, headers=at("a", **mine))).status_code == 200
        assert [entry["name"] for entry in (await server.client.get("/workspaces", headers=mine)).json()] == ["a"]
        for method, path in (("GET", "/workspaces/b"), ("DELETE", "/workspaces/a"), ("GET", "/workspaces/a/export")):
            assert (await server.client.request(method, path, headers=mine)).status_code == 403


async def test_a_workspace_is_created_described_renamed_and_removed(real: Real, tmp_path: Path) -> None:
    async with real() as server:
        assert (await server.client.post("/workspaces", json={"name": "a", "description": "x"})).status_code == 201
        assert (await server.client.post("/workspaces", json={"name": "a"})).status_code == 409
        assert (await server.client.post("/workspaces", json={"name": "../x"})).status_code == 400
        await add(server, "a", "Ada Lovelace wrote the first program in London.")
        report = (await server.client.get("/workspaces/a")).json()
        assert report["documents"]["processed"] == 1
        assert report["entities"] > 0
        assert report["database_bytes"] > 0
        assert (await server.client.post("/workspaces/a/rename", json={"new_name": "b"})).status_code == 200
        assert "Ada" in (await server.client.get("/documents", headers=at("b"))).text
        assert (await server.client.get("/workspaces/a")).status_code == 404
        assert (await server.client.delete("/workspaces/b")).status_code == 200
        assert (await server.client.delete("/workspaces/b")).status_code == 404
        assert not (tmp_path / "rag_storage" / "b").exists()
        assert "Ada" not in (await server.client.get("/documents", headers=at("b"))).text
        assert (await server.client.delete("/workspaces/-")).status_code == 400


async def test_a_workspace_moves_in_one_file(real: Real, tmp_path: Path) -> None:
    async with real() as server:
        upload = {"file": ("ada.txt", b"Ada Lovelace wrote the first program in London.")}
        assert (await server.client.post("/documents/upload", files=upload, headers=at("a"))).status_code == 200
        async with asyncio.timeout(60):
            while (await server.client.get("/documents/pipeline_status", headers=at("a"))).json()["busy"]:
                await asyncio.sleep(0.05)
        archive = (await server.client.get("/workspaces/a/export")).content
        answer = await server.client.post("/workspaces/b/import", files={"file": ("a.tar.gz", archive)})
        assert answer.status_code == 201, answer.text
        for path in ("/documents", "/graph/label/list", "/graphs?label=*"):
            one, other = [(await server.client.get(path, headers=at(name))).json() for name in ("a", "b")]
            assert one == other
        assert (tmp_path / "inputs" / "b" / "ada.txt").read_bytes() == upload["file"][1]
        again = await server.client.post("/workspaces/b/import", files={"file": ("a.tar.gz", archive)})
        assert again.status_code == 409
        for garbage in (b"", b"garbage", archive[: len(archive) // 2]):
            refused = await server.client.post("/workspaces/c/import", files={"file": ("c.tar.gz", garbage)})
            assert refused.status_code == 400, refused.text
            assert (await server.client.get("/workspaces/c")).status_code == 404


async def test_a_workspace_that_is_closed_is_exported_by_the_first_request_to_it(real: Real) -> None:
    async with real() as server:
        await add(server, "a", "Ada Lovelace wrote the first program in London.")
    async with real() as server:
        for name in ("a", "-"):
            answer = await server.client.get(f"/workspaces/{name}/export")
            assert answer.status_code == 200, answer.text


async def test_many_first_requests_open_a_workspace_once(scripted: Served) -> None:
    async with scripted() as (client, engine):
        async with asyncio.TaskGroup() as group:
            asked = [
                group.create_task(client.post("/query", json={"query": "what is it?"}, headers=at("cold")))
                for _ in range(100)
            ]
        assert {task.result().status_code for task in asked} == {200}
        assert engine.opened == ["", "cold"]


async def test_metrics_show_a_tenant_its_own_workspace_only(real: Real) -> None:
    async with real(LIGHTRAG_API_KEY="server-key") as server:
        for name in ("a", "b"):
            await add(server, name, "Ada Lovelace wrote the first program.", **KEY)
            await server.client.post("/workspaces", json={"name": name}, headers=KEY)
        token = (await server.client.post("/access/tokens", json={"roles": {"a": "reader"}}, headers=KEY)).json()[
            "token"
        ]
        text = (await server.client.get("/metrics", headers={"Authorization": f"Bearer {token}"})).text
        assert 'workspace="a"' in text
        assert 'workspace="b"' not in text
        assert "lightrag_request_seconds" not in text
        assert 'workspace="b"' in (await server.client.get("/metrics", headers=KEY)).text
