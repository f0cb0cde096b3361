"""Questions, graph, workspaces, access and models through both clients, on the real server."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from lightrag.client import Conflict, Forbidden, Invalid, LLMError, NotFound, Unauthorized
from lightrag.testing.model_server import ModelServer

from .conftest import ADMIN, KEY, PASSWORD, Client, Connect

ADA = "Ada Lovelace wrote the first program, for the Analytical Engine of Charles Babbage."


@pytest.fixture
async def filled(client: Client, workspace: str) -> Client:
    """A client in a workspace with one document."""
    client = client.in_workspace(workspace)
    accepted = await client(lambda c: c.documents.insert_text(ADA, "ada.txt", on_conflict="update"))
    await client(lambda c: c.documents.wait(accepted, timeout=30))
    return client


async def test_questions_are_answered_whole_in_pieces_and_as_data(filled: Client) -> None:
    answer = await filled(lambda c: c.query("Who wrote the first program?", "mix", top_k=5))
    assert "Ada Lovelace" in str(answer)
    assert answer.references[0].file_path == "ada.txt"
    assert answer.references[0].chunks[0].end == len(ADA)
    assert answer.llm_generated is False

    stream = filled.real.query.stream("Who wrote the first program?", include_chunk_content=True)
    assert await filled.text_of(stream) == answer.response
    assert stream.references[0].content == (ADA,)
    assert stream.llm_generated is False

    found = await filled(lambda c: c.query.data("Who wrote the first program?", filter={"file_paths": ["ada.*"]}))
    assert "Ada Lovelace" in [entity["entity_name"] for entity in found.entities]
    assert (found.chunks[0]["content"], found.references[0].file_path) == (ADA, "ada.txt")
    assert found.relationships
    nothing = await filled(lambda c: c.query.data("Who?", "naive", filter={"file_paths": ["none.txt"]}))
    assert (nothing.status, nothing.chunks, nothing.entities) == ("failure", [], [])

    with pytest.raises(Invalid, match="mode") as caught:
        await filled(lambda c: c.query("Who wrote it?", "sideways"))
    assert caught.value.details
    with pytest.raises(Invalid):
        await filled(lambda c: c.query.data("Who wrote it?", "sideways"))


async def test_the_graph_is_edited_and_edits_are_undone(filled: Client) -> None:
    assert "Ada Lovelace" in await filled(lambda c: c.graph.labels())
    assert "Ada Lovelace" in await filled(lambda c: c.graph.popular(10))
    assert await filled(lambda c: c.graph.search("lovel")) == ["Ada Lovelace"]
    view = await filled(lambda c: c.graph.get("Ada Lovelace", max_depth=1))
    assert "Ada Lovelace" in [node.id for node in view.nodes]
    assert view.edges

    made = await filled(lambda c: c.graph.create_entity("Byron", {"description": "A poet.", "entity_type": "person"}))
    assert made.data["entity_name"] == "Byron"
    await filled(lambda c: c.graph.create_relation("Byron", "Ada Lovelace", {"description": "Her father."}))
    await filled(lambda c: c.graph.edit_relation("Byron", "Ada Lovelace", {"description": "The father of Ada."}))
    renamed = await filled(lambda c: c.graph.edit_entity("Byron", {"entity_name": "Lord Byron"}, allow_rename=True))
    assert renamed.operation_summary["renamed"]
    [entity] = await filled(lambda c: c.graph.entities("lord byron"))
    assert (entity.entity_name, entity.degree) == ("Lord Byron", 1)
    await filled(lambda c: c.graph.create_entity("George Byron", {"description": "A poet."}))
    await filled(lambda c: c.graph.merge_entities(["George Byron"], "Lord Byron"))
    assert not await filled(lambda c: c.graph.exists("George Byron"))
    await filled(lambda c: c.graph.delete_relation("Lord Byron", "Ada Lovelace"))

    gone = await filled(lambda c: c.graph.delete_entity("Ada Lovelace"))
    assert not await filled(lambda c: c.graph.exists("Ada Lovelace"))
    edits = (await filled(lambda c: c.graph.edits(2))).edits
    assert (edits[0].id, edits[0].kind) == (gone.edit_id, "delete_entity")
    assert (await filled(lambda c: c.graph.undo(gone.edit_id))).edit.undone
    assert await filled(lambda c: c.graph.exists("Ada Lovelace"))
    with pytest.raises(NotFound):
        await filled(lambda c: c.graph.delete_entity("Nobody"))


async def test_workspaces_are_made_moved_and_removed(client: Client, workspace: str, tmp_path: Path) -> None:
    first, second, third = (workspace[-50:].strip("-") + end for end in ("-1", "-2", "-3"))
    made = await client(lambda c: c.workspaces.create(first, description="of a test", labels={"tier": "gold"}))
    assert (made.status, made.name) == ("success", first)
    with pytest.raises(Conflict, match=first):
        await client(lambda c: c.workspaces.create(first))
    accepted = await client.in_workspace(first)(lambda c: c.documents.insert_text(ADA, "ada.txt"))
    await client.in_workspace(first)(lambda c: c.documents.wait(accepted, timeout=30))
    described = await client(lambda c: c.workspaces.describe(first))
    assert (described.description, described.labels) == ("of a test", {"tier": "gold"})
    assert described.documents["processed"] == 1
    assert described.entities > 0

    archive = tmp_path / "first.tar.gz"
    assert await client(lambda c: c.workspaces.export(first, archive)) is None
    assert os.listdir(tmp_path) == ["first.tar.gz"]
    imported = await client(lambda c: c.workspaces.import_archive(second, archive))
    assert imported.name == second
    answer = await client.in_workspace(second)(lambda c: c.query("Who wrote the first program?"))
    assert "Ada Lovelace" in answer.response

    await client(lambda c: c.workspaces.rename(second, third))
    names = [entry.name for entry in await client(lambda c: c.workspaces.list())]
    assert first in names
    assert third in names
    assert second not in names
    for name in (first, third):
        await client(lambda c, name=name: c.workspaces.delete(name))
    with pytest.raises(NotFound):
        await client(lambda c: c.workspaces.describe(first))
    with pytest.raises(NotFound):
        await client(lambda c: c.workspaces.export(first, tmp_path / "none.tar.gz"))
    assert os.listdir(tmp_path) == ["first.tar.gz"]


async def test_tokens_open_their_workspaces_only(client: Client, connect: Connect, url: str, workspace: str) -> None:
    await client(lambda c: c.workspaces.create(workspace))
    made = await client(lambda c: c.access.create_token("ci", roles={workspace: "editor"}, expires_in=3600))
    assert made.token not in repr(made)
    for shown in ({"api_key": made.token}, {"token": made.token}):
        async with connect(url, **shown) as guest:
            # A token for one workspace leads there without a header.
            accepted = await guest(lambda c: c.documents.insert_text(ADA, "ada.txt"))
            assert accepted.documents
            assert [entry.role for entry in await guest(lambda c: c.workspaces.list())] == ["editor"]
            with pytest.raises(Forbidden):
                await guest.in_workspace("elsewhere")(lambda c: c.documents.count())
            with pytest.raises(Forbidden):
                await guest(lambda c: c.workspaces.create("another"))
    await client(lambda c: c.access.grant("token", made.id, workspace, "reader"))
    [listed] = await client(lambda c: c.access.tokens(workspace))
    assert (listed.label, listed.roles) == ("ci", {workspace: "reader"})
    limits = await client(lambda c: c.access.set_token_limits(made.id, requests_per_minute=100))
    assert limits["requests_per_minute"]["limit"] == 100
    assert await client(lambda c: c.access.token_limits(made.id)) == limits
    assert (await client(lambda c: c.access.revoke_token(made.id))).revoked_at is not None
    async with connect(url, token=made.token) as guest:
        with pytest.raises(Unauthorized):
            await guest(lambda c: c.documents.count())
    actions = [entry.action for entry in await client(lambda c: c.access.audit(workspace=workspace, limit=50))]
    assert actions


async def test_people_log_in(client: Client, connect: Connect, url: str, workspace: str) -> None:
    name = workspace[-20:].strip("-")
    await client(lambda c: c.workspaces.create(workspace))
    user = await client(
        lambda c: c.access.put_user(name, password="another long password", roles={workspace: "reader"})
    )
    assert (user.name, user.roles) == (name, {workspace: "reader"})
    assert name in [item.name for item in await client(lambda c: c.access.users())]
    async with connect(url) as guest:
        with pytest.raises(Unauthorized):
            await guest(lambda c: c.documents.count())
        with pytest.raises(Unauthorized, match="Incorrect credentials"):
            await guest(lambda c: c.login(name, "a wrong password"))
        assert (await guest(lambda c: c.login(name, "another long password"))).token_type == "bearer"
        assert (await guest(lambda c: c.documents.count()))["all"] == 0
        with pytest.raises(Forbidden):
            await guest(lambda c: c.documents.insert_text(ADA, "ada.txt"))
    await client(lambda c: c.access.delete_user(name))


async def test_the_server_tells_how_it_is(client: Client, connect: Connect, url: str) -> None:
    assert (await client(lambda c: c.health()))["status"] == "healthy"
    assert await client(lambda c: c.is_alive())
    assert await client(lambda c: c.is_ready())
    assert await client(lambda c: c.verify_credentials())
    assert "lightrag_" in await client(lambda c: c.metrics())
    async with connect(url, api_key="wrong") as guest:
        assert (await guest(lambda c: c.auth_status())).auth_configured
        with pytest.raises((Forbidden, Unauthorized)):
            await guest(lambda c: c.verify_credentials())
        await guest(lambda c: c.login(ADMIN, PASSWORD))
        assert await guest(lambda c: c.verify_credentials())


# Models.

SECRET = "sk-canary-51c0a7e2"


@pytest.fixture
async def provider() -> AsyncIterator[ModelServer]:
    """A provider that speaks OpenAI's dialect."""
    async with ModelServer(api_key=SECRET) as server:
        yield server


async def test_models_are_added_chosen_limited_and_removed(
    client: Client, workspace: str, provider: ModelServer
) -> None:
    client = client.in_workspace(workspace)
    compatible = "OpenAI-API-Compatible"
    names = [factory["name"] for factory in await client(lambda c: c.llm.factories())]
    assert {"OpenAI", "Ollama", compatible} <= set(names)

    tried = await client(
        lambda c: c.llm.verify(compatible, "stand-in", "chat", api_key="sk-wrong", api_base=provider.openai_url)
    )
    assert tried["success"] is False
    with pytest.raises(LLMError, match="stand-in") as caught:
        await client(
            lambda c: c.llm.add_llm(compatible, "stand-in", "chat", api_key="sk-wrong", api_base=provider.openai_url)
        )
    assert (caught.value.code, caught.value.status) == (102, 200)
    assert await client(lambda c: c.llm.list()) == {}

    added = {"api_key": SECRET, "api_base": provider.openai_url}
    assert await client(lambda c: c.llm.add_llm(compatible, "stand-in", "chat", max_tokens=8192, **added)) is True
    listed = await client(lambda c: c.llm.list("chat"))
    name: str = listed[compatible][0]["llm_name"]
    mine = await client(lambda c: c.llm.my_llms(include_details=True))
    assert mine[compatible]["llm"][0]["max_tokens"] == 8192
    assert SECRET not in str(mine)
    assert await client(lambda c: c.llm.set_defaults(chat=f"{name}@{compatible}"))
    assert (await client(lambda c: c.llm.defaults()))["chat"] == [f"{name}@{compatible}"]
    assert (await client(lambda c: c.llm.effective()))["answer"]["models"] == [f"{name}@{compatible}"]

    with pytest.raises(Conflict, match="force"):
        await client(lambda c: c.llm.delete_llm(compatible, name))
    assert await client(lambda c: c.llm.enable_llm(compatible, name, 0))
    assert (await client(lambda c: c.llm.list()))[compatible][0]["status"] == "0"
    assert await client(lambda c: c.llm.enable_llm(compatible, name, True))

    limits = await client(lambda c: c.llm.set_limits(tokens_per_day=500_000, requests_per_minute=None))
    assert limits["tokens_per_day"]["limit"] == 500_000
    assert await client(lambda c: c.llm.limits()) == limits
    assert "models" in await client(lambda c: c.llm.health())
    assert "total" in await client(lambda c: c.llm.usage(["model"], since="2026-01-01"))
    assert isinstance(await client(lambda c: c.llm.usage_entries(5)), list)
    assert "state" in await client(lambda c: c.llm.re_embedding())

    assert await client(lambda c: c.llm.put_credential(compatible, "second", unverified=True, **added)) is True
    labels = {item["label"] for item in await client(lambda c: c.llm.credentials())}
    assert labels == {"default", "second"}
    assert await client(lambda c: c.llm.delete_credential(compatible, "second"))
    assert await client(lambda c: c.llm.delete_llm(compatible, name, force=True)) is True
    assert await client(lambda c: c.llm.add_llm(compatible, "other", "chat", unverified=True, **added)) is True
    assert await client(lambda c: c.llm.delete_factory(compatible)) is True
    assert await client(lambda c: c.llm.my_llms()) == {}
    with pytest.raises(LLMError, match="Missing required parameter: llm_factory") as missing:
        await client(lambda c: c.llm.delete_factory(""))
    assert missing.value.code == 101


async def test_rights_and_conflicts_have_the_errors_of_other_routes(connect: Connect, url: str) -> None:
    async with connect(url, api_key="wrong") as guest:
        with pytest.raises((Forbidden, Unauthorized)) as caught:
            await guest(lambda c: c.llm.my_llms())
    body: dict[str, Any] = caught.value.body
    assert body["retcode"] != 0
    assert KEY not in str(body)
