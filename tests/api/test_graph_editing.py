"""Changing the graph by hand over HTTP, in the words that LightRAG's clients know."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from .conftest import Real, RealServer

TEXT = "Ada Lovelace worked with Charles Babbage in London. Charles Babbage built the Analytical Engine in London."
ADA, BABBAGE = "Ada Lovelace", "Charles Babbage"


async def post(server: RealServer, path: str, body: object) -> httpx.Response:
    return await server.client.post(path, json=body)


async def delete(server: RealServer, path: str, body: object) -> httpx.Response:
    return await server.client.request("DELETE", path, json=body)


async def create(server: RealServer, name: str, **data: object) -> dict[str, Any]:
    answer = await post(server, "/graph/entity/create", {"entity_name": name, "entity_data": data})
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def labels(server: RealServer) -> list[str]:
    found: list[str] = (await server.client.get("/graph/label/list")).json()
    return found


async def node(server: RealServer, name: str) -> dict[str, Any]:
    graph = (await server.client.get("/graphs", params={"label": name, "max_depth": 0})).json()
    properties: dict[str, Any] = graph["nodes"][0]["properties"]
    return properties


async def test_an_entity_is_created_edited_and_renamed_as_lightrag_answers(real: Real) -> None:
    async with real() as server:
        made = await create(server, "Tesla", description="Car maker", entity_type="ORGANIZATION")
        again = await post(server, "/graph/entity/create", {"entity_name": "Tesla", "entity_data": {}})
        edited = await post(
            server, "/graph/entity/edit", {"entity_name": "Tesla", "updated_data": {"description": "EV maker"}}
        )
        renamed = await post(
            server,
            "/graph/entity/edit",
            {"entity_name": "Tesla", "updated_data": {"entity_name": "Tesla Inc"}, "allow_rename": True},
        )
        missing = await post(
            server, "/graph/entity/edit", {"entity_name": "Nope", "updated_data": {"description": "x"}}
        )
        gone = (await server.client.get("/graph/entity/exists", params={"name": "Tesla"})).json()
        there = (await server.client.get("/graph/entity/exists", params={"name": "Tesla Inc"})).json()
    assert made["message"] == "Entity 'Tesla' created successfully"
    assert made["data"]["entity_name"] == "Tesla"
    assert made["data"]["source_id"] == "manual_creation"
    graph_data = made["data"]["graph_data"]
    assert graph_data.keys() >= {"entity_id", "entity_type", "description", "source_id", "file_path", "created_at"}
    assert (graph_data["entity_type"], graph_data["file_path"]) == ("ORGANIZATION", "manual_creation")
    assert made["data"]["vector_data"]["id"] == "ent-8f3182163857c5463c883017ff1cd3cc"
    assert made["data"]["vector_data"]["content"] == "Tesla\nCar maker"
    assert (again.status_code, again.json()) == (400, {"detail": "Entity 'Tesla' already exists"})
    assert edited.json()["data"]["graph_data"]["description"] == "EV maker"
    assert edited.json()["operation_summary"] == {
        "merged": False,
        "merge_status": "not_attempted",
        "merge_error": None,
        "operation_status": "success",
        "target_entity": None,
        "final_entity": "Tesla",
        "renamed": False,
    }
    assert renamed.json()["data"]["entity_name"] == "Tesla Inc"
    assert renamed.json()["data"]["graph_data"]["description"] == "EV maker"
    assert renamed.json()["operation_summary"]["renamed"] is True
    assert (missing.status_code, missing.json()) == (400, {"detail": "Entity 'Nope' does not exist"})
    assert (gone, there) == ({"exists": False}, {"exists": True})


async def test_a_relation_is_created_and_edited(real: Real) -> None:
    async with real() as server:
        await create(server, "Alice", description="A person")
        await create(server, "Tesla", description="Car maker")
        body = {
            "source_entity": "Tesla",
            "target_entity": "Alice",
            "relation_data": {"description": "Alice drives Tesla", "keywords": "drives"},
        }
        made = (await post(server, "/graph/relation/create", body)).json()
        again = await post(server, "/graph/relation/create", body)
        edited = await post(
            server,
            "/graph/relation/edit",
            {"source_id": "Alice", "target_id": "Tesla", "updated_data": {"description": "owns", "weight": 4}},
        )
        lonely = await post(
            server,
            "/graph/relation/create",
            {"source_entity": "Alice", "target_entity": "Nobody", "relation_data": {"description": "?"}},
        )
        graph = (await server.client.get("/graphs", params={"label": "Alice"})).json()
    assert made["message"] == "Relation created successfully between 'Tesla' and 'Alice'"
    assert (made["data"]["src_entity"], made["data"]["tgt_entity"]) == ("Tesla", "Alice")
    assert made["data"]["graph_data"]["weight"] == 1.0
    assert made["data"]["vector_data"]["id"] == "rel-f3cdc9a526eeed65a51a11303523f1ed"
    assert again.status_code == 400
    assert edited.json()["message"] == "Relation updated successfully"
    assert [edge["properties"]["weight"] for edge in graph["edges"]] == [4.0]
    assert graph["edges"][0]["properties"]["description"] == "owns"
    assert graph["edges"][0]["properties"]["keywords"] == "drives"
    assert lonely.status_code == 400
    assert "Nobody" in lonely.json()["detail"]


async def test_a_merge_survives_documents_that_come_later_and_is_undone(real: Real) -> None:
    async with real() as server:
        await server.add(TEXT, "ada.txt")
        before = await labels(server)
        merged = await post(
            server, "/graph/entities/merge", {"entities_to_change": [BABBAGE], "entity_to_change_into": "The Inventor"}
        )
        await server.add("Charles Babbage wrote a letter to Ada Lovelace from Paris.", "letter.txt")
        after, inventor = await labels(server), await node(server, "The Inventor")
        edits = (await server.client.get("/graph/edits")).json()
        undone = await post(server, f"/graph/edits/{merged.json()['edit_id']}/undo", None)
        twice = await post(server, f"/graph/edits/{merged.json()['edit_id']}/undo", None)
        restored = await labels(server)
        report = await server.engine.verify()
    assert BABBAGE in before
    assert merged.json()["message"] == "Successfully merged 1 entities into 'The Inventor'"
    assert "The Inventor" in after
    assert BABBAGE not in after
    assert inventor["file_path"] == "ada.txt<SEP>letter.txt"
    assert [edit["kind"] for edit in edits["edits"]] == ["merge_entities"]
    assert edits["next_before"] is None
    assert undone.json()["edit"]["undone"] is True
    assert twice.status_code == 409
    assert "The Inventor" not in restored
    assert set(before) <= set(restored)
    assert report.problems == []


@pytest.mark.parametrize("area", ["/graph/entity/delete", "/documents/delete_entity"])
async def test_what_is_deleted_stays_deleted(real: Real, area: str) -> None:
    async with real() as server:
        await server.add(TEXT, "ada.txt")
        deleted = await delete(server, area, {"entity_name": BABBAGE})
        await server.add("Charles Babbage wrote a letter to Ada Lovelace.", "letter.txt")
        left = await labels(server)
        again = await delete(server, area, {"entity_name": BABBAGE})
        relation = await delete(
            server, area.replace("entity", "relation"), {"source_entity": "A", "target_entity": "B"}
        )
    assert deleted.status_code == 200
    body = deleted.json()
    assert (body["status"], body["doc_id"], body["status_code"]) == ("success", "", 200)
    assert BABBAGE not in left
    assert ADA in left
    assert (again.status_code, again.json()) == (404, {"detail": f"Entity '{BABBAGE}' not found."})
    assert (relation.status_code, relation.json()) == (404, {"detail": "Relation from 'A' to 'B' does not exist"})


async def test_renaming_to_a_name_that_is_taken_needs_leave_to_merge(real: Real) -> None:
    async with real() as server:
        await create(server, "A", description="one")
        await create(server, "B", description="two")
        body = {"entity_name": "A", "updated_data": {"entity_name": "B"}}
        not_asked = await post(server, "/graph/entity/edit", body)
        refused = await post(server, "/graph/entity/edit", body | {"allow_rename": True})
        merged = await post(server, "/graph/entity/edit", body | {"allow_rename": True, "allow_merge": True})
        left = await labels(server)
    assert not_asked.status_code == refused.status_code == 400
    assert "already exists" in refused.json()["detail"]
    assert merged.json()["message"] == "Entity merged successfully into 'B'"
    assert merged.json()["operation_summary"]["merge_status"] == "success"
    assert merged.json()["data"]["graph_data"]["description"] == "one<SEP>two"
    assert left == ["B"]


BAD_EDITS: list[tuple[str, object, int]] = [
    ("/graph/entity/create", {"entity_name": "X", "entity_data": {"description": 3}}, 400),
    ("/graph/entity/create", {"entity_name": "X", "entity_data": {"colour": "red"}}, 400),
    ("/graph/entity/create", {"entity_name": "X", "entity_data": {"description": "  "}}, 400),
    ("/graph/entity/create", {"entity_name": "X" * 300, "entity_data": {"description": "d"}}, 400),
    ("/graph/entity/create", {"entity_name": "A<SEP>B", "entity_data": {"description": "d"}}, 400),
    ("/graph/entity/create", {"entity_name": "  ", "entity_data": {"description": "d"}}, 400),
    ("/graph/entity/create", {"entity_name": "", "entity_data": {"description": "d"}}, 422),
    ("/graph/entity/create", {"entity_name": "X"}, 422),
    ("/graph/entity/create", {"entity_name": "X", "entity_data": [1]}, 422),
    ("/graph/entity/edit", {"entity_name": "A", "updated_data": {"entity_name": ""}, "allow_rename": True}, 400),
    ("/graph/entity/edit", {"entity_name": "A", "updated_data": {"entity_name": 5}, "allow_rename": True}, 400),
    ("/graph/entity/edit", {"entity_name": "A", "updated_data": {"entity_type": ""}}, 400),
    ("/graph/entities/merge", {"entities_to_change": [], "entity_to_change_into": "A"}, 422),
    ("/graph/entities/merge", {"entities_to_change": ["Nope"], "entity_to_change_into": "A"}, 400),
    ("/graph/entities/merge", {"entities_to_change": ["A"], "entity_to_change_into": "A"}, 400),
    ("/graph/relation/create", {"source_entity": "A", "target_entity": "A", "relation_data": {}}, 400),
    ("/graph/relation/create", {"source_entity": "A", "target_entity": "B", "relation_data": {"weight": "x"}}, 400),
    ("/graph/relation/create", {"source_entity": "A", "target_entity": "B", "relation_data": {"weight": 0}}, 400),
    ("/graph/relation/create", {"source_entity": "A", "target_entity": "B", "relation_data": {"weight": 1e300}}, 400),
    ("/graph/relation/edit", {"source_id": "A", "target_id": "B", "updated_data": {"description": "d"}}, 400),
    ("/graph/edits/edit-1-nope/undo", None, 404),
    ("/graph/edits/%00/undo", None, 404),
]


async def test_bad_edits_are_refused_and_change_nothing(real: Real) -> None:
    async with real() as server:
        await create(server, "A", description="one")
        await create(server, "B", description="two")
        before = await server.client.get("/graphs", params={"label": "*"})
        got = [(path, body, (await post(server, path, body)).status_code) for path, body, _ in BAD_EDITS]
        raw = await server.client.post(
            "/graph/entity/create",
            content=b'{"entity_name": "X\\ud800", "entity_data": {"description": "d\\ud800"}}',
            headers={"content-type": "application/json"},
        )
        nan = await server.client.post(
            "/graph/relation/create",
            content=b'{"source_entity": "A", "target_entity": "B", "relation_data": {"weight": NaN}}',
            headers={"content-type": "application/json"},
        )
        after = await server.client.get("/graphs", params={"label": "*"})
        edits = (await server.client.get("/graph/edits")).json()["edits"]
    assert got == BAD_EDITS
    assert raw.status_code == 422
    assert nan.status_code == 400
    assert after.json() == before.json()
    assert len(edits) == 2


async def test_entities_are_listed_with_what_is_known_of_them(real: Real) -> None:
    async with real() as server:
        await server.add(TEXT, "ada.txt")
        popular = (await post(server, "/graph/label/entities", None)).json()
        found = (await post(server, "/graph/label/entities", {"label": "babbage", "limit": 1})).json()
        around = (await server.client.get("/graphs", params={"label": "babbage", "inclusive": True})).json()
        exact = (await server.client.get("/graphs", params={"label": "babbage"})).json()
        connected = (await server.client.get("/graphs", params={"label": "*", "min_degree": 99})).json()
    assert {entity["entity_name"] for entity in popular} >= {ADA, BABBAGE}
    assert [entity["entity_name"] for entity in found] == [BABBAGE]
    assert found[0].keys() >= {"entity_type", "description", "source_id", "file_path", "created_at", "degree"}
    assert BABBAGE in {item["id"] for item in around["nodes"]}
    assert exact["nodes"] == connected["nodes"] == []


async def test_edits_are_kept_over_a_restart_and_forgotten_with_everything_else(real: Real) -> None:
    async with real() as server:
        await create(server, "Tesla", description="Car maker")
    async with real() as server:
        kept = await node(server, "Tesla")
        await server.idle()
        found = await server.client.post("/query/data", json={"query": "Who is a car maker?", "mode": "local"})
        await server.client.request("DELETE", "/documents")
        left = await labels(server)
        edits = (await server.client.get("/graph/edits")).json()["edits"]
    assert kept["description"] == "Car maker"
    assert found.status_code == 200
    assert (left, edits) == ([], [])


async def test_the_log_is_read_page_by_page(real: Real) -> None:
    async with real() as server:
        for number in range(5):
            await create(server, f"E{number}", description="d")
        first = (await server.client.get("/graph/edits", params={"limit": 3})).json()
        second = (await server.client.get("/graph/edits", params={"limit": 3, "before": first["next_before"]})).json()
    assert [edit["arguments"]["name"] for edit in first["edits"]] == ["E4", "E3", "E2"]
    assert [edit["arguments"]["name"] for edit in second["edits"]] == ["E1", "E0"]
    assert second["next_before"] is None
