"""The log of manual edits on the command line, of a folder here and of a server."""

from __future__ import annotations

import asyncio
import json

import httpx
import pytest

from lightrag.cli.running import Where, opened

from .conftest import Run


async def create(name: str) -> None:
    """Create an entity by hand in the current folder's workspace."""
    async with opened(Where().settings(), indexes=False) as engine:
        await engine.create_entity(name, {"description": "A lighthouse."}, author="ada")


@pytest.mark.usefixtures("folder")
def test_edits_are_listed_newest_first_and_taken_back(run: Run) -> None:
    assert "nothing was changed by hand" in run("edits", "list").stdout
    asyncio.run(create("Skerryvore"))
    asyncio.run(create("Bell Rock"))

    first, second = run("edits", "list").stdout.splitlines()
    assert "Bell Rock" in first
    assert "create_entity" in second
    assert "by ada" in second
    undone = run("edits", "undo", second.split()[0])
    assert (undone.exit_code, "was undone" in undone.stdout) == (0, True)
    assert [edit["undone"] for edit in json.loads(run("edits", "list", "--json").stdout)] == [False, True]


@pytest.mark.usefixtures("folder")
def test_an_edit_that_does_not_exist_cannot_be_taken_back(run: Run) -> None:
    result = run("edits", "undo", "edit-9-none")
    assert result.exit_code == 1
    assert "edit-9-none" in result.stderr


def test_the_edits_of_a_server_are_its_own(run: Run, server_url: str) -> None:
    body = {"entity_name": "Eddystone", "entity_data": {"description": "A lighthouse."}}
    headers = {"X-API-Key": "secret"}
    made = httpx.post(f"{server_url}/graph/entity/create", json=body, headers=headers, timeout=60).json()["edit_id"]
    where = ("--url", server_url, "--api-key", "secret")
    assert made in run("edits", "list", "--limit", "1", *where).stdout
    assert run("edits", "undo", made, *where).exit_code == 0
    assert "(undone)" in run("edits", "list", "--limit", "1", *where).stdout
    exists = httpx.get(f"{server_url}/graph/entity/exists", params={"name": "Eddystone"}, headers=headers, timeout=60)
    assert exists.json() == {"exists": False}
