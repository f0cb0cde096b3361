"""From documents to answers with nothing but the server: no model server, no key, no network."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from lightrag.storage.contracts import Namespace
from lightrag.storage.registry import StorageNames, open_storage
from tests.documents import office_files

from .contents import contents_of
from .server import ServerProcess, run_command, serving

pytestmark = pytest.mark.asyncio(loop_scope="module")

OFFLINE = Path(__file__).parent / "offline"
PAGES: list[str | None] = [
    "Robert Stevenson built the Bell Rock Lighthouse off Arbroath.\nIts lamp was first lit in 1811.",
    "Alan Stevenson designed the Skerryvore Lighthouse near Tiree.\nAugustin Fresnel advised him on its lens.",
    "Thomas Stevenson built the Dubh Artach Lighthouse.\nRobert Louis Stevenson was his son.",
]
NOTES = {
    "notes/fresnel.md": "# Fresnel\n\nAugustin Fresnel invented a lens of glass rings for the Cordouan Lighthouse.\n",
    "notes/bordeaux/cordouan.md": "# Cordouan\n\nThe Cordouan Lighthouse stands where the Gironde meets the sea.\n",
    "harbour.md": "# Harbour\n\nThe harbour of Arbroath was drawn by Robert Stevenson, who lived in Edinburgh.\n",
}
TAGGED = "Jean Baptiste Augustin Soleil ground the first rings of the lens in Paris for Augustin Fresnel."
MODES = ("naive", "local", "global", "hybrid", "mix")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("story")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(home: Path) -> AsyncIterator[ServerProcess]:
    environ = {"PYTHONPATH": str(OFFLINE), "REACHED_OUT": str(home / "reached_out")}
    async with serving(ServerProcess(home / "server", environ)) as (server,):
        yield server


async def test_documents_come_by_upload_scan_and_text(server: ServerProcess, home: Path) -> None:
    pdf = office_files.write_pdf(home / "lights.pdf", PAGES, title="Lights")
    uploaded = await server.upload("lights.pdf", pdf.read_bytes(), tags='{"topic": "lights", "year": 1850}')
    assert uploaded.json()["status"] == "success"
    for name, text in NOTES.items():
        path = server.inputs / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    scan = await server.post("/documents/scan")
    await server.add(TAGGED, "soleil.txt", tags={"topic": "glass", "people": ["Soleil", "Fresnel"]})
    rows = await server.settle()

    assert {name: row["status"] for name, row in rows.items()} == dict.fromkeys(
        ("lights.pdf", "soleil.txt", *NOTES), "processed"
    )
    counts = (await server.get("/documents/status_counts"))["status_counts"]
    assert (counts["processed"], counts["failed"], counts["all"]) == (5, 0, 5)
    tracked = await server.get(f"/documents/track_status/{uploaded.json()['track_id']}")
    assert [row["file_path"] for row in tracked["documents"]] == ["lights.pdf"]
    scanned = await server.get(f"/documents/track_status/{scan['track_id']}")
    assert {row["file_path"] for row in scanned["documents"]} == set(NOTES)
    assert (await server.get("/health"))["status"] == "healthy"


@pytest.mark.parametrize("mode", MODES)
async def test_a_question_is_answered_in_every_mode_with_its_place(server: ServerProcess, mode: str) -> None:
    answer = await server.ask("Who designed the Skerryvore Lighthouse?", mode=mode, include_chunk_content=True)
    assert "Alan Stevenson" in answer["response"]
    assert not answer["llm_generated"]
    by_path = {reference["file_path"]: reference for reference in answer["references"]}
    cited = dict(zip(by_path["lights.pdf"]["content"], by_path["lights.pdf"]["chunks"], strict=True))
    [chunk] = [place for content, place in cited.items() if "Skerryvore" in content]
    assert chunk["page_start"] <= 2 <= chunk["page_end"]
    detail = await server.get(f"/documents/{by_path['lights.pdf']['doc_id']}")
    assert chunk["chunk_id"] in detail["chunks_list"]


async def test_bypass_needs_a_language_model_and_says_so(server: ServerProcess) -> None:
    answer = await server.client.post("/query", json={"query": "Hello", "mode": "bypass"})
    assert answer.status_code == 503
    assert "LLM_BINDING" in answer.json()["detail"]


async def test_an_answer_can_be_streamed_as_lines_and_as_events(server: ServerProcess) -> None:
    question = "Who invented a lens of glass rings?"
    async with server.streaming(question) as answer:
        assert answer.headers["content-type"].startswith("application/x-ndjson")
        lines = [json.loads(line) async for line in answer.aiter_lines()]
    assert lines[0]["references"]
    assert "Fresnel" in "".join(line.get("response", "") for line in lines)

    async with server.streaming(question, "text/event-stream") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        events = [event.split("\n") for event in (await answer.aread()).decode().strip().split("\n\n")]
    names = [event[0] for event in events]
    assert names[0] == "event: references"
    assert names[-1] == "event: done"
    assert "Fresnel" in "".join(event[1] for event in events if event[0] == "event: token")


async def places(server: ServerProcess, **filter: object) -> dict[str, set[str]]:
    """Return the documents that chunks, entities and relations of a filtered question come from."""
    rows = await server.rows()
    owners = {
        chunk: name
        for name, row in rows.items()
        for chunk in (await server.get(f"/documents/{row['id']}"))["chunks_list"]
    }
    found = await server.find("Robert Stevenson, Augustin Fresnel and the lens", mode="mix", filter=filter)

    def owners_of(items: list[dict[str, Any]]) -> set[str]:
        return {owners[chunk] for item in items for chunk in item["source_id"].split("<SEP>")}

    return {
        "chunks": {chunk["file_path"] for chunk in found["chunks"]},
        "entities": owners_of(found["entities"]),
        "relations": owners_of(found["relationships"]),
    }


async def test_filters_hold_for_chunks_entities_and_relations(server: ServerProcess) -> None:
    unfiltered = await places(server)
    assert all(len(documents) > 2 for documents in unfiltered.values()), unfiltered
    pdf = (await server.rows())["lights.pdf"]["id"]
    assert await places(server, doc_ids=[pdf]) == {key: {"lights.pdf"} for key in unfiltered}
    assert await places(server, tags={"topic": "glass"}) == {key: {"soleil.txt"} for key in unfiltered}
    by_path = await places(server, file_paths=["notes/*"])
    assert all(documents <= {name for name in NOTES if "/" in name} for documents in by_path.values())
    assert "notes/fresnel.md" in by_path["chunks"] & by_path["entities"] & by_path["relations"]
    nothing = {"query": "Fresnel", "filter": {"tags": {"topic": "cooking"}}}
    assert (await server.post("/query/data", nothing))["status"] == "failure"


async def test_an_update_replaces_what_the_document_said(server: ServerProcess) -> None:
    doc_id = (await server.rows())["soleil.txt"]["id"]
    text = "Francois Soleil the younger sold microscopes in Paris to Leon Foucault."
    answer = await server.put(f"/documents/{doc_id}", {"text": text})
    assert answer["documents"][0]["status"] == "updated"
    row = (await server.settle())["soleil.txt"]
    assert (row["id"], row["status"], row["tags"]["topic"]) == (doc_id, "processed", "glass")
    found = await server.find("Who bought microscopes?", filter={"doc_ids": [doc_id]})
    assert [chunk["content"] for chunk in found["chunks"]] == [text]
    labels = await server.get("/graph/label/list")
    assert any("Foucault" in label for label in labels)
    assert not any("Jean Baptiste" in label for label in labels)


def rounded(value: Any) -> Any:
    """Return JSON with its numbers rounded: the last digits depend on which texts were embedded together."""
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [rounded(item) for item in value]
    return round(value, 4) if isinstance(value, float) else value


async def test_everything_is_there_after_a_restart(server: ServerProcess) -> None:
    async def seen() -> dict[str, Any]:
        return {
            "rows": await server.rows(),
            "labels": await server.get("/graph/label/list"),
            "graph": await server.get("/graphs", label="*"),
            "found": [rounded(await server.find("Who built the Bell Rock Lighthouse?", mode=mode)) for mode in MODES],
        }

    before = await seen()
    await server.restart()
    await server.settle()
    assert await seen() == before


async def test_spans_and_pages_are_those_of_the_text(server: ServerProcess) -> None:
    await server.stop()
    storage = open_storage(StorageNames(), server.working_dir, "")
    await storage.open()
    texts = dict(await storage.kv(Namespace.FULL_DOCS).scan())
    await storage.close()
    contents = await contents_of(server.working_dir)
    await server.start()
    assert {chunk["file_path"] for chunk in contents.chunks.values()} == {"lights.pdf", "soleil.txt", *NOTES}
    for chunk in contents.chunks.values():
        document = texts[chunk["full_doc_id"]]
        assert document["content"][chunk["start"] : chunk["end"]] == chunk["content"]
        pages = [page for page, start, end in document["pages"] if start < chunk["end"] and end > chunk["start"]]
        expected = (min(pages), max(pages)) if pages else (None, None)
        assert (chunk["page_start"], chunk["page_end"]) == expected
    assert [page for page, _, _ in next(t for t in texts.values() if t["pages"])["pages"]] == [1, 2, 3]


async def test_a_document_is_deleted_with_all_that_only_it_said(server: ServerProcess) -> None:
    row = (await server.rows())["lights.pdf"]
    assert (await server.delete(f"/documents/{row['id']}"))["status"] == "deletion_started"
    rows = await server.settle()
    assert "lights.pdf" not in rows
    assert (await server.client.get(f"/documents/{row['id']}")).status_code == 404
    labels = await server.get("/graph/label/list")
    assert not any("Skerryvore" in label for label in labels)
    assert any("Fresnel" in label for label in labels)
    found = await server.find("Who designed the Skerryvore Lighthouse?")
    assert "lights.pdf" not in {chunk["file_path"] for chunk in found["chunks"]}


async def test_clearing_leaves_an_empty_workspace_that_works(server: ServerProcess) -> None:
    assert (await server.delete("/documents"))["status"] == "success"
    assert await server.rows() == {}
    assert await server.get("/graph/label/list") == []
    assert [path for path in server.inputs.rglob("*") if path.is_file()] == []
    assert (await server.post("/query/data", {"query": "Who was Fresnel?"}))["status"] == "failure"
    await server.add(TAGGED, "again.txt")
    assert (await server.settle())["again.txt"]["status"] == "processed"
    assert "Soleil" in (await server.ask("Who ground the first rings?"))["response"]


async def test_nothing_was_asked_of_the_network(server: ServerProcess, home: Path) -> None:
    record = home / "reached_out"
    assert set(record.read_text().splitlines()) == {"watching"}
    try_it = "import socket; socket.create_connection(('192.0.2.1', 80), 5)"
    status, _, _ = await run_command(sys.executable, "-c", try_it, folder=home, environ=server.environ)
    assert status != 0
    assert "192.0.2.1" in record.read_text()
