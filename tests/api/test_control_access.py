"""Tokens and accounts of the control plane over HTTP."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from .conftest import Served

KEY = {"X-API-Key": "server-key"}


def bearer(token: str) -> dict[str, str]:
    """Return the header of a token."""
    return {"Authorization": f"Bearer {token}"}


async def workspace(served: httpx.AsyncClient, name: str, headers: dict[str, str]) -> None:
    """Make a workspace known to the control plane."""
    from lightrag.tenancy.audit import Actor

    app: Any = served._transport
    plane = await app.app.state.server.control.plane()
    await plane.directory.ensure(name, Actor("test"))


async def make(client: httpx.AsyncClient, headers: dict[str, str], **wish: object) -> dict[str, Any]:
    """Return a new token."""
    answer = await client.post("/access/tokens", json=wish, headers=headers)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def test_a_server_without_tokens_makes_no_control_plane(scripted: Served, tmp_path: Any) -> None:
    async with scripted() as (client, _):
        assert (await client.get("/auth/verify")).status_code == 200
    assert not list(tmp_path.rglob("control*"))


async def test_the_first_token_closes_an_open_server(scripted: Served) -> None:
    async with scripted() as (client, _):
        made = await make(client, {}, is_admin=True, label="first")
        assert (await client.get("/auth/verify")).status_code == 403
        guest = await client.get("/auth-status")
        assert guest.status_code == 200
        refused = await client.get("/auth/verify", headers=bearer(guest.json()["access_token"]))
        assert refused.status_code in (401, 403)
        for headers in (bearer(made["token"]), {"X-API-Key": made["token"]}):
            assert (await client.get("/auth/verify", headers=headers)).status_code == 200


async def test_a_token_is_shown_once(scripted: Served) -> None:
    async with scripted(LIGHTRAG_API_KEY="server-key") as (client, _):
        made = await make(client, KEY, is_admin=True)
        listed = await client.get("/access/tokens", headers=KEY)
        assert made["token"] not in listed.text
        assert listed.json()[0]["hint"] == made["hint"]


async def test_a_revoked_token_opens_nothing_at_once_and_the_server_stays_closed(scripted: Served) -> None:
    async with scripted() as (client, _):
        made = await make(client, {}, is_admin=True)
        other = await make(client, bearer(made["token"]), is_admin=True)
        await client.delete(f"/access/tokens/{made['id']}", headers=bearer(other["token"]))
        assert (await client.get("/auth/verify", headers=bearer(made["token"]))).status_code == 401
        await client.delete(f"/access/tokens/{other['id']}", headers=bearer(other["token"]))
        assert (await client.get("/auth/verify")).status_code == 403


@pytest.mark.parametrize("token", ["lrt_", "lrt_wrong", "lrt_" + "x" * 5000])
async def test_a_wrong_token_is_401(scripted: Served, token: str) -> None:
    async with scripted(LIGHTRAG_API_KEY="server-key") as (client, _):
        await make(client, KEY, is_admin=True)
        answer = await client.get("/auth/verify", headers=bearer(token))
        assert answer.status_code == 401
        assert answer.json() == {"detail": "Invalid token"}


async def test_administrators_of_a_workspace_make_tokens_for_it_and_for_no_other(scripted: Served) -> None:
    async with scripted(LIGHTRAG_API_KEY="server-key") as (client, _):
        for name in ("a", "b"):
            await workspace(client, name, KEY)
        admin = await make(client, KEY, roles={"a": "admin"})
        mine = bearer(admin["token"])
        reader = await make(client, mine, roles={"a": "reader"})
        for wish in ({"roles": {"b": "reader"}}, {"is_admin": True}, {"roles": {"a": "reader", "b": "reader"}}, {}):
            assert (await client.post("/access/tokens", json=wish, headers=mine)).status_code == 403
        other = await make(client, KEY, roles={"a": "reader", "b": "reader"})
        listed = (await client.get("/access/tokens", params={"workspace": "a"}, headers=mine)).json()
        assert {entry["id"] for entry in listed} == {admin["id"], reader["id"], other["id"]}
        assert all(set(entry["roles"]) == {"a"} for entry in listed)
        assert (await client.get("/access/tokens", headers=mine)).status_code == 403
        assert (await client.get("/access/tokens", params={"workspace": "b"}, headers=mine)).status_code == 403
        assert (await client.delete(f"/access/tokens/{other['id']}", headers=mine)).status_code == 404
        assert (await client.delete(f"/access/tokens/{reader['id']}", headers=mine)).status_code == 200
        assert (await client.get("/access/users", headers=mine)).status_code == 403
        assert (await client.get("/audit", headers=mine)).status_code == 403


async def test_an_account_logs_in_and_a_new_password_ends_its_sessions(scripted: Served) -> None:
    async with scripted(LIGHTRAG_API_KEY="server-key") as (client, _):
        wish = {"password": "correct horse", "is_admin": True}
        assert (await client.put("/access/users/ann", json=wish, headers=KEY)).status_code == 200
        wrong = await client.post("/login", data={"username": "ann", "password": "wrong"})
        assert wrong.status_code == 401
        login = await client.post("/login", data={"username": "ann", "password": "correct horse"})
        session = bearer(login.json()["access_token"])
        assert (await client.get("/access/users", headers=session)).json()[0]["name"] == "ann"
        assert "correct horse" not in (await client.get("/audit", headers=session)).text
        wish["password"] = "another one"
        await client.put("/access/users/ann", json=wish, headers=KEY)
        assert (await client.get("/auth/verify", headers=session)).status_code == 401


async def test_every_change_is_audited_with_its_actor_and_request(scripted: Served) -> None:
    async with scripted(LIGHTRAG_API_KEY="server-key") as (client, _):
        made = await make(client, KEY | {"X-Request-ID": "req-7"}, is_admin=True, label="ci")
        await client.delete(f"/access/tokens/{made['id']}", headers=KEY)
        entries = (await client.get("/audit", headers=KEY)).json()
        assert [entry["action"] for entry in entries] == ["token.revoke", "token.create"]
        assert entries[1]["request_id"] == "req-7"
        assert entries[1]["actor"].startswith("api_key")
        assert made["token"] not in str(entries)


@pytest.mark.parametrize(
    "wish",
    [
        {"roles": {"a": "king"}},
        {"roles": {"ghost": "reader"}},
        {"is_admin": True, "expires_in": 0},
        {"roles": "a"},
        {"is_admin": "maybe"},
        {},
    ],
)
async def test_wishes_that_cannot_be_met_change_nothing(scripted: Served, wish: dict[str, object]) -> None:
    async with scripted(LIGHTRAG_API_KEY="server-key") as (client, _):
        answer = await client.post("/access/tokens", json=wish, headers=KEY)
        assert answer.status_code in (400, 403, 404, 422)
        assert (await client.get("/access/tokens", headers=KEY)).json() == []


async def test_a_token_of_another_workspace_cannot_be_drawn_into_ones_own(scripted: Served) -> None:
    async with scripted(LIGHTRAG_API_KEY="server-key") as (client, _):
        for name in ("a", "b"):
            await workspace(client, name, KEY)
        mine = bearer((await make(client, KEY, roles={"a": "admin"}))["token"])
        other = await make(client, KEY, roles={"b": "reader"})
        own = await make(client, mine, roles={"a": "reader"})
        grant = {"kind": "token", "workspace": "a", "role": "editor"}
        refused = await client.put("/access/grants", json=grant | {"id": other["id"]}, headers=mine)
        unknown = await client.put("/access/grants", json=grant | {"id": "0" * 32}, headers=mine)
        assert refused.status_code == unknown.status_code == 404
        assert (await client.put("/access/grants", json=grant | {"id": own["id"]}, headers=mine)).status_code == 200
        listed = (await client.get("/access/tokens", headers=KEY)).json()
        assert {entry["id"]: entry["roles"] for entry in listed}[other["id"]] == {"b": "reader"}
