"""Documents over HTTP, on the embedded engine."""

from __future__ import annotations

import re
from typing import Any

from .conftest import Real

ADA = "Ada Lovelace wrote the first program for the Analytical Engine of Charles Babbage in London."
ROW_FIELDS = {
    "id",
    "content_summary",
    "content_length",
    "status",
    "created_at",
    "updated_at",
    "track_id",
    "chunks_count",
    "error",
    "error_msg",
    "metadata",
    "file_path",
}


async def test_a_text_is_taken_in_indexed_and_found_by_its_track_id(real: Real) -> None:
    async with real() as server:
        answer = await server.client.post("/documents/text", json={"text": ADA, "file_source": "ada.txt"})
        body = answer.json()
        await server.idle()
        tracked = (await server.client.get(f"/documents/track_status/{body['track_id']}")).json()
    assert answer.status_code == 200
    assert body["status"] == "success"
    assert body["message"] == "Text successfully received. Processing will continue in background."
    assert re.fullmatch(r"insert_\d{8}_\d{6}_[0-9a-f]{8}", body["track_id"])
    assert tracked["total_count"] == 1
    assert tracked["status_summary"] == {"DocStatus.PROCESSED": 1}
    row = tracked["documents"][0]
    assert row.keys() >= ROW_FIELDS
    assert (row["file_path"], row["status"], row["error"], row["error_msg"]) == ("ada.txt", "processed", None, None)
    assert row["chunks_count"] == 1
    assert row["content_summary"] == ADA
    assert row["created_at"].endswith("+00:00")


async def test_the_same_source_again_is_duplicated_and_changes_nothing(real: Real) -> None:
    async with real() as server:
        doc_id = await server.add(ADA, "ada.txt")
        again = await server.client.post("/documents/text", json={"text": "Other words.", "file_source": "ada.txt"})
        counts = (await server.client.get("/documents/status_counts")).json()["status_counts"]
        content = await server.engine.get_content(doc_id)
    assert again.status_code == 200
    assert again.json() == {
        "status": "duplicated",
        "message": "File source 'ada.txt' already exists in document storage (Status: DocStatus.PROCESSED).",
        "track_id": "",
        "documents": [{"doc_id": doc_id, "file_path": "ada.txt", "status": "duplicated"}],
    }
    assert counts["all"] == 1
    assert content == ADA


async def test_the_same_source_again_can_replace_a_changed_text(real: Real) -> None:
    async with real() as server:
        doc_id = await server.add(ADA, "ada.txt")
        again = await server.client.post(
            "/documents/text",
            json={"text": "Grace Hopper wrote a compiler.", "file_source": "ada.txt", "on_conflict": "update"},
        )
        await server.idle()
        labels = (await server.client.get("/graph/label/list")).json()
        content = await server.engine.get_content(doc_id)
    assert again.json()["documents"] == [{"doc_id": doc_id, "file_path": "ada.txt", "status": "updated"}]
    assert content == "Grace Hopper wrote a compiler."
    assert not any("Ada" in label for label in labels)


async def test_a_document_can_be_updated_by_its_id(real: Real) -> None:
    async with real() as server:
        doc_id = await server.add(ADA, "ada.txt", tags={"topic": "history"})
        answer = await server.client.put(f"/documents/{doc_id}", json={"text": "Grace Hopper wrote a compiler."})
        await server.idle()
        row = await server.row(doc_id)
        missing = await server.client.put("/documents/doc-none", json={"text": "x"})
    assert answer.json()["documents"][0] == {"doc_id": doc_id, "file_path": "ada.txt", "status": "updated"}
    assert row["content_summary"] == "Grace Hopper wrote a compiler."
    assert row["tags"] == {"topic": "history"}
    assert (missing.status_code, missing.json()) == (404, {"detail": "Document doc-none not found"})


async def test_an_unchanged_text_gets_the_tags_that_are_given_and_keeps_those_that_are_not(real: Real) -> None:
    body = {"text": ADA, "file_source": "ada.txt", "on_conflict": "update"}
    async with real() as server:
        doc_id = await server.add(ADA, "ada.txt", tags={"topic": "history"})
        chunks = (await server.row(doc_id))["chunks_list"]
        same = await server.client.post("/documents/text", json=body)
        again = await server.client.post("/documents/text", json=body | {"tags": {"topic": "computing"}})
        await server.idle()
        row = await server.row(doc_id)
    assert (same.json()["status"], again.json()["status"]) == ("duplicated", "success")
    assert again.json()["documents"][0]["status"] == "updated"
    assert (row["status"], row["tags"], row["chunks_list"]) == ("processed", {"topic": "computing"}, chunks)


async def test_texts_without_a_source_are_told_apart_by_their_words(real: Real) -> None:
    async with real() as server:
        first = await server.client.post("/documents/text", json={"text": "One text.", "description": "ignored"})
        same = await server.client.post("/documents/text", json={"text": "One text."})
        other = await server.client.post("/documents/text", json={"text": "Another text."})
    assert [answer.json()["status"] for answer in (first, same, other)] == ["success", "duplicated", "success"]
    assert "The same text already exists" in same.json()["message"]


async def test_several_texts_at_once(real: Real) -> None:
    async with real() as server:
        await server.add("Known text.", "b.txt")
        answer = await server.client.post(
            "/documents/texts",
            json={"texts": ["New text.", "Other words."], "file_sources": ["a.txt", "b.txt"], "tags": {"n": 1}},
        )
        await server.idle()
        row = await server.row(answer.json()["documents"][0]["doc_id"])
    body = answer.json()
    assert body["status"] == "success"
    assert body["message"].startswith("Texts successfully received. Processing will continue in background.")
    assert [item["status"] for item in body["documents"]] == ["accepted", "duplicated"]
    assert row["tags"] == {"n": 1}


UNUSABLE: list[tuple[str, dict[str, Any], int]] = [
    ("/documents/text", {}, 422),
    ("/documents/text", {"text": ""}, 422),
    ("/documents/text", {"text": "  \n\t "}, 422),
    ("/documents/text", {"text": "\x00\x01"}, 400),
    ("/documents/text", {"text": 5}, 422),
    ("/documents/text", {"text": "x", "on_conflict": "explode"}, 422),
    ("/documents/text", {"text": "x", "tags": {"a": None}}, 422),
    ("/documents/text", {"text": "x", "tags": {"": 1}}, 422),
    ("/documents/text", {"text": "x", "file_source": "y" * 2000}, 422),
    ("/documents/texts", {"texts": []}, 422),
    ("/documents/texts", {"texts": ["good", " "]}, 422),
    ("/documents/texts", {"texts": ["good", "\x00"]}, 400),
    ("/documents/texts", {"texts": ["a", "b"], "file_sources": ["same", "same"]}, 400),
    ("/documents/texts", {"texts": ["a"], "file_sources": ["x", "y"]}, 400),
]


async def test_unusable_texts_are_refused_and_nothing_is_kept(real: Real) -> None:
    async with real() as server:
        for path, body, status in UNUSABLE:
            answer = await server.client.post(path, json=body)
            assert answer.status_code == status, body
            assert answer.json()["detail"]
        counts = (await server.client.get("/documents/status_counts")).json()["status_counts"]
    assert counts["all"] == 0


async def test_limits_on_texts(real: Real) -> None:
    async with real(MAX_TEXTS_PER_REQUEST="2", MAX_TEXT_REQUEST_BODY_BYTES="1000") as server:
        many = await server.client.post("/documents/texts", json={"texts": ["a", "b", "c"]})
        large = await server.client.post("/documents/text", json={"text": "x" * 2000})
        large_update = await server.client.put("/documents/doc-1", json={"text": "x" * 2000})
    assert (many.status_code, large.status_code, large_update.status_code) == (413, 413, 413)


async def test_documents_by_status(real: Real) -> None:
    async with real() as server:
        assert (await server.client.get("/documents")).json() == {"statuses": {}}
        doc_id = await server.add(ADA, "ada.txt")
        statuses = (await server.client.get("/documents")).json()["statuses"]
    assert list(statuses) == ["processed"]
    assert statuses["processed"][0]["id"] == doc_id


async def test_pages_of_documents(real: Real) -> None:
    async with real() as server:
        texts = [f"Text number {number}." for number in range(12)]
        names = [f"{number:02}.txt" for number in range(12)]
        await server.client.post("/documents/texts", json={"texts": texts, "file_sources": names})
        await server.idle()
        body = {"page_size": 10, "sort_field": "file_path", "sort_direction": "asc"}
        first = (await server.client.post("/documents/paginated", json=body)).json()
        second = (await server.client.post("/documents/paginated", json=body | {"page": 2})).json()
        failed = (await server.client.post("/documents/paginated", json={"status_filter": "failed"})).json()
        none = (await server.client.post("/documents/paginated", json={"status_filter": "preprocessed"})).json()
    assert [row["file_path"] for row in first["documents"]] == names[:10]
    assert [row["file_path"] for row in second["documents"]] == names[10:]
    assert first["pagination"] == {
        "page": 1,
        "page_size": 10,
        "total_count": 12,
        "total_pages": 2,
        "has_next": True,
        "has_prev": False,
    }
    assert first["status_counts"] == {
        "pending": 0,
        "parsing": 0,
        "analyzing": 0,
        "processing": 0,
        "preprocessed": 0,
        "processed": 12,
        "failed": 0,
        "all": 12,
    }
    assert failed["documents"] == none["documents"] == []
    assert none["pagination"]["total_pages"] == 0


async def test_pages_have_bounds(real: Real) -> None:
    async with real() as server:
        for body in ({"page": 0}, {"page_size": 9}, {"page_size": 201}, {"sort_field": "secret"}):
            assert (await server.client.post("/documents/paginated", json=body)).status_code == 422


async def test_unknown_and_blank_track_ids(real: Real) -> None:
    async with real() as server:
        unknown = await server.client.get("/documents/track_status/insert_1")
        blank = await server.client.get("/documents/track_status/%20")
    assert unknown.json() == {"track_id": "insert_1", "documents": [], "total_count": 0, "status_summary": {}}
    assert (blank.status_code, blank.json()) == (400, {"detail": "Track ID cannot be empty"})


async def test_an_idle_pipeline_has_lightrags_fields(real: Real) -> None:
    async with real() as server:
        await server.idle()
        status = (await server.client.get("/documents/pipeline_status")).json()
    expected = {
        "autoscanned": False,
        "busy": False,
        "job_name": "-",
        "job_start": None,
        "docs": 0,
        "batchs": 0,
        "cur_batch": 0,
        "request_pending": False,
        "latest_message": "",
        "history_messages": [],
    }
    assert {key: status[key] for key in expected} == expected
    assert status["update_status"]["full_docs"] == [False]


async def test_deleting_takes_a_document_out_of_everything(real: Real) -> None:
    async with real() as server:
        gone = await server.add(ADA, "ada.txt")
        stays = await server.add("Grace Hopper wrote a compiler at Harvard.", "grace.txt")
        answer = await server.client.request(
            "DELETE", "/documents/delete_document", json={"doc_ids": [gone, "doc-none"], "unknown": 1}
        )
        await server.idle()
        labels = (await server.client.get("/graph/label/list")).json()
        missing = await server.client.get(f"/documents/{gone}")
        found = (await server.client.post("/query/data", json={"query": "Ada Lovelace", "mode": "naive"})).json()
        assert (await server.row(stays))["status"] == "processed"
    body = answer.json()
    assert body["status"] == "deletion_started"
    assert body["doc_id"] == gone
    assert body["message"].startswith(
        "Document deletion for 1 documents has been initiated. Processing will continue in background."
    )
    assert missing.status_code == 404
    assert not any("Ada" in label for label in labels)
    assert all(chunk["file_path"] == "grace.txt" for chunk in found["data"].get("chunks", []))


async def test_a_document_can_be_deleted_by_its_path(real: Real) -> None:
    async with real() as server:
        doc_id = await server.add(ADA)
        answer = await server.client.delete(f"/documents/{doc_id}")
        await server.idle()
        again = await server.client.delete(f"/documents/{doc_id}")
    assert (answer.status_code, answer.json()["status"]) == (200, "deletion_started")
    assert (again.status_code, again.json()) == (404, {"detail": f"Document {doc_id} not found"})


async def test_deletions_that_make_no_sense(real: Real) -> None:
    senseless: list[Any] = [[], [" "], ["a", "a"], "a", [1]]
    async with real() as server:
        for doc_ids in senseless:
            answer = await server.client.request("DELETE", "/documents/delete_document", json={"doc_ids": doc_ids})
            assert answer.status_code == 422


async def test_clearing_leaves_nothing(real: Real) -> None:
    async with real() as server:
        await server.add(ADA, "ada.txt")
        answer = await server.client.delete("/documents")
        counts = (await server.client.get("/documents/status_counts")).json()["status_counts"]
        labels = (await server.client.get("/graph/label/list")).json()
        await server.add(ADA, "ada.txt")
    assert answer.json() == {
        "status": "success",
        "message": "All documents cleared successfully. Deleted 0 files.",
    }
    assert counts["all"] == 0
    assert labels == []


async def test_actions_on_an_idle_pipeline(real: Real) -> None:
    async with real() as server:
        await server.idle()
        cancelled = (await server.client.post("/documents/cancel_pipeline")).json()
        retried = (await server.client.post("/documents/reprocess_failed")).json()
        cleared = (await server.client.post("/documents/clear_cache", json={})).json()
        cleared_bare = (await server.client.post("/documents/clear_cache")).json()
    assert cancelled == {
        "status": "not_busy",
        "message": "Pipeline is not currently running. No cancellation needed.",
    }
    assert retried["status"] == "reprocessing_started"
    assert retried["track_id"].startswith("retry_")
    assert cleared == cleared_bare == {"status": "success", "message": "Successfully cleared all cache"}


async def test_literal_paths_are_not_taken_for_ids(real: Real) -> None:
    async with real() as server:
        for name in ("pipeline_status", "status_counts", "supported_file_types"):
            assert (await server.client.get(f"/documents/{name}")).status_code == 200
        assert (await server.client.get("/documents/doc-none")).status_code == 404


async def test_a_restart_goes_on_where_it_stopped(real: Real) -> None:
    async with real() as server:
        answer = await server.client.post("/documents/text", json={"text": ADA, "file_source": "ada.txt"})
        doc_id = answer.json()["documents"][0]["doc_id"]
    async with real() as server:
        await server.idle()
        assert (await server.row(doc_id))["status"] == "processed"


async def test_answers_come_with_places_and_filters_hold(real: Real) -> None:
    async with real() as server:
        ada = await server.add(ADA, "ada.txt", tags={"year": 1843})
        await server.add("Grace Hopper wrote a compiler at Harvard.", "grace.txt", tags={"year": 1952})
        for mode in ("local", "global", "hybrid", "naive", "mix"):
            body = {"query": "Who wrote the first program?", "mode": mode, "filter": {"tags": {"year": 1843}}}
            found = (await server.client.post("/query/data", json=body)).json()
            paths = {chunk["file_path"] for chunk in found["data"].get("chunks", [])}
            assert paths <= {"ada.txt"}
        body = {"query": "Who wrote the first program?", "filter": {"tags": {"year": 1843}}}
        answer = (await server.client.post("/query", json=body)).json()
        context = (
            await server.client.post("/query", json={"query": "Who wrote it, Ada?", "only_need_context": True})
        ).json()
    assert answer["llm_generated"] is False
    assert answer["references"][0]["doc_id"] == ada
    assert answer["references"][0]["chunks"][0]["end"] == len(ADA)
    assert ADA in context["response"]


async def test_nothing_found_is_said_in_lightrags_words(real: Real) -> None:
    async with real() as server:
        answer = (await server.client.post("/query", json={"query": "Who wrote it?"})).json()
        data = await server.client.post("/query/data", json={"query": "Who wrote it?", "mode": "mix"})
        naive = await server.client.post("/query/data", json={"query": "Who wrote it?", "mode": "naive"})
    assert answer["response"] == "Sorry, I'm not able to provide an answer to that question.[no-context]"
    assert answer["references"] == []
    assert data.status_code == 200
    assert data.json() == {
        "status": "failure",
        "message": "Query returned no results",
        "data": {},
        "metadata": {"failure_reason": "no_results", "mode": "mix"},
    }
    assert naive.json()["message"] == "No relevant document chunks found."
