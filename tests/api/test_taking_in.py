"""All ways in: single files, batches, folders, ways of cutting, scans that move; and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.documents import office_files

from .conftest import Real, RealServer
from .test_uploads import TEXT, count, settled, stored

LINES = "Ada wrote programs.\nGrace wrote compilers.\nAlan wrote machines."
BY_LINE = {
    "strategy": "fixed_token",
    "params": {"chunk_token_size": 50, "split_by_character": "\n", "split_by_character_only": True},
}


async def batch(server: RealServer, files: list[tuple[str, bytes]], path: str = "batch", **form: str) -> httpx.Response:
    parts = [("files", file) for file in files]
    return await server.client.post(f"/documents/{path}", files=parts, data=form)


async def test_a_single_file_as_the_first_servers_took_it(real: Real) -> None:
    async with real() as server:
        answer = await server.client.post(
            "/documents/file", files={"file": ("ada.txt", TEXT)}, data={"description": "Optional"}
        )
        wrong = await server.client.post("/documents/file", files={"file": ("a.exe", b"x")})
        await server.idle()
        assert await count(server) == 1
    assert answer.json()["status"] == "success"
    assert answer.json()["message"] == "File 'ada.txt' saved successfully. Processing will continue in background."
    assert wrong.status_code == 400


@pytest.mark.parametrize("path", ["batch", "file_batch"])
async def test_a_batch_takes_what_it_can_and_names_the_rest(path: str, real: Real) -> None:
    async with real() as server:
        mixed = await batch(server, [("ada.txt", TEXT), ("a.exe", b"x"), ("empty.txt", b"")], path)
        good = await batch(server, [("b.txt", b"Grace."), ("ada.txt", TEXT)], path)
        none = await batch(server, [("a.exe", b"x")], path)
        nothing = await server.client.post(f"/documents/{path}", data={"x": "y"})
        await server.idle()
        tracked = (await server.client.get(f"/documents/track_status/{mixed.json()['track_id']}")).json()
    assert mixed.status_code == good.status_code == none.status_code == 200
    assert mixed.json()["status"] == "partial_success"
    assert mixed.json()["message"].startswith(
        "Successfully inserted 1 out of 3 documents. Failed files: a.exe (unsupported type), empty.txt ("
    )
    assert good.json()["status"] == "success"
    assert good.json()["message"] == (
        "Successfully inserted all 2 documents. 1 were known already and left as they are"
    )
    assert none.json()["message"] == "No documents were successfully inserted. Failed files: a.exe (unsupported type)"
    assert (none.json()["status"], none.json()["track_id"]) == ("failure", "")
    assert nothing.status_code == 422
    assert [row["file_path"] for row in tracked["documents"]] == ["ada.txt"]


async def test_files_of_one_name_go_into_folders(real: Real) -> None:
    async with real() as server:
        for folder in ("a", "b/2025", "Ünïcode ordner"):
            answer = await server.client.post(
                "/documents/upload",
                files={"file": ("readme.txt", f"Read {folder}.".encode())},
                data={"path": folder},
            )
            assert answer.json()["documents"][0]["file_path"] == f"{folder}/readme.txt"
        await server.idle()
        assert (server.settings.paths.input_dir / "b/2025/readme.txt").read_text() == "Read b/2025."
        assert await count(server) == 3


@pytest.mark.parametrize(
    "folder",
    ["..", "../x", "/etc", "a/../b", "a//b", ".hidden", "__enqueued__", "a\\..\\b", "x/" * 40, "n" * 900, "a\x00b"],
)
async def test_folders_that_lead_elsewhere_are_refused(folder: str, real: Real) -> None:
    async with real() as server:
        answer = await server.client.post("/documents/upload", files={"file": ("a.txt", TEXT)}, data={"path": folder})
        assert answer.status_code in (400, 422), answer.text
        assert stored(server) == []
        assert await count(server) == 0


async def test_a_file_in_place_of_a_folder_is_said(real: Real) -> None:
    async with real() as server:
        await server.client.post("/documents/upload", files={"file": ("a.txt", TEXT)})
        answer = await server.client.post(
            "/documents/upload", files={"file": ("b.txt", b"other")}, data={"path": "a.txt"}
        )
    assert answer.status_code == 400
    assert "cannot be a folder" in answer.json()["detail"]


async def test_texts_and_files_are_cut_as_asked(real: Real) -> None:
    async with real() as server:
        await server.client.post("/documents/text", json={"text": LINES, "file_source": "a.txt", "chunking": BY_LINE})
        await server.client.post(
            "/documents/texts", json={"texts": [LINES + " More."], "file_sources": ["b.txt"], "chunking": BY_LINE}
        )
        await server.client.post(
            "/documents/upload",
            files={"file": ("c.txt", LINES.encode() + b" x")},
            data={"chunking": json.dumps(BY_LINE)},
        )
        await server.add(LINES + " y", "d.txt")
        await server.idle()
        rows = (await server.client.post("/documents/paginated", json={})).json()["documents"]
    assert {row["file_path"]: row["chunks_count"] for row in rows} == {"a.txt": 3, "b.txt": 3, "c.txt": 3, "d.txt": 1}
    chosen = {row["file_path"]: row["metadata"]["chunking"]["strategy"] for row in rows}
    assert chosen == dict.fromkeys(("a.txt", "b.txt", "c.txt"), "fixed_token") | {"d.txt": "content_defined"}


async def test_a_setting_gives_lightrags_windows(real: Real) -> None:
    async with real(LIGHTRAG_CHUNKING="F", CHUNK_SIZE="60", CHUNK_OVERLAP_SIZE="10") as server:
        await server.add("word " * 111, "a.txt")
        (row,) = (await server.client.post("/documents/paginated", json={})).json()["documents"]
    assert row["metadata"]["chunking"]["strategy"] == "fixed_token"
    assert row["chunks_count"] == 3


SENSELESS: list[tuple[Any, int]] = [
    ({"strategy": "zigzag"}, 422),
    ({"strategy": "fixed_token", "params": {"size": 3}}, 422),
    ({"strategy": "fixed_token", "params": {"chunk_token_size": "5"}}, 422),
    ({"strategy": "fixed_token", "params": {"chunk_token_size": True}}, 422),
    ({"strategy": "fixed_token", "params": {"chunk_token_size": 10, "chunk_overlap_token_size": 10}}, 422),
    ({"strategy": "fixed_token", "params": {"separators": ["x"]}}, 422),
    ({"strategy": "semantic_vector", "params": {"sentence_split_regex": "(a+)+$"}}, 422),
    ({"strategy": "recursive_character", "params": {"separators": ["\ud800"]}}, 422),
    ({"strategy": "fixed_token", "more": 1}, 422),
    ({"strategy": "fixed_token", "params": {"chunk_token_size": 50}}, 400),
    ({"strategy": "custom"}, 400),
    ("fixed_token", 422),
    ([], 422),
]


async def test_ways_of_cutting_that_make_no_sense_change_nothing(real: Real) -> None:
    async with real() as server:
        for chunking, status in SENSELESS:
            content = json.dumps({"text": LINES, "chunking": chunking})
            headers = {"Content-Type": "application/json"}
            text = await server.client.post("/documents/text", content=content, headers=headers)
            form = {"chunking": json.dumps(chunking)}
            file = await server.client.post("/documents/upload", files={"file": ("a.txt", TEXT)}, data=form)
            assert (text.status_code, file.status_code) == (status, status), chunking
        assert stored(server) == []
        assert await count(server) == 0


BAD_TEXTS: list[tuple[str, str]] = [
    ("text", '{"text": 5}'),
    ("text", '{"text": null}'),
    ("text", '{"text": ["a"]}'),
    ("text", '{"text": ""}'),
    ("text", '{"text": " \\n\\t "}'),
    ("text", '{"text": "\\u0000"}'),
    ("text", '{"text": "\\ud800"}'),
    ("text", '{"text": "a", "texts": ["b"]}'),
    ("text", '{"text": "a", "file_source": 7}'),
    ("text", json.dumps({"text": "a", "file_source": "x" * 10_000_000})),
    ("text", "{"),
    ("text", "[]"),
    ("texts", '{"texts": "a"}'),
    ("texts", '{"texts": []}'),
    ("texts", '{"texts": ["a", " "]}'),
    ("texts", '{"texts": ["a", null]}'),
    ("texts", '{"texts": ["a"], "text": "b"}'),
    ("texts", '{"texts": ["a", "b"], "file_sources": ["x", "x"]}'),
    ("texts", '{"texts": ["a"], "file_sources": ["x", "y"]}'),
]


async def test_bad_texts_are_refused_and_nothing_is_kept(real: Real) -> None:
    async with real() as server:
        for path, body in BAD_TEXTS:
            headers = {"Content-Type": "application/json"}
            answer = await server.client.post(f"/documents/{path}", content=body, headers=headers)
            assert answer.status_code in (400, 422), body[:80]
            assert len(answer.text) < 20_000
        long = await server.client.post("/documents/upload", files={"file": ("x" * 10_000_000 + ".txt", TEXT)})
        assert long.status_code in (400, 413, 422)
        assert await count(server) == 0


async def scanned(server: RealServer, documents: int) -> dict[str, Any]:
    track_id = (await server.client.post("/documents/scan")).json()["track_id"]
    await settled(server, documents)
    status: dict[str, Any] = (await server.client.get(f"/documents/scan/status/{track_id}")).json()
    return status


def put(folder: Path, name: str, content: str) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(content)


async def test_a_scan_tells_what_it_found(real: Real) -> None:
    async with real() as server:
        folder = server.settings.paths.input_dir
        put(folder, "a.txt", "Ada.")
        put(folder, "same.txt", "Ada.")
        first = await scanned(server, 1)
        again = await scanned(server, 1)
        unknown = await server.client.get("/documents/scan/status/scan_none")
        progress = (await server.client.get("/documents/scan-progress")).json()
    assert (first["status"], first["counts"]["files"], first["counts"]["claimed_new"]) == ("completed", 2, 1)
    assert first["samples"]["claimed_new"] == {"items": ["a.txt"], "truncated": False, "dropped": 0}
    assert first["message"] == "Scanned 2 files: 1 new, 0 changed"
    assert (again["counts"]["known"], again["counts"]["claimed_new"]) == (1, 0)
    assert (unknown.status_code, unknown.json()) == (404, {"detail": "No scan job found for track_id scan_none"})
    assert progress["is_scanning"] is False


async def test_processed_files_move_where_wished_and_are_never_indexed_again(real: Real) -> None:
    async with real(LIGHTRAG_SCAN_MOVE_TO="__enqueued__") as server:
        folder = server.settings.paths.input_dir
        put(folder, "a.txt", "Ada wrote it.")
        put(folder, "sub/b.txt", "Grace read it.")
        put(folder, "broken.txt", "")
        await scanned(server, 2)
        await server.client.post("/documents/upload", files={"file": ("c.txt", b"Alan thought it.")})
        await server.idle()
        assert names(folder) == {
            "__enqueued__/a.txt",
            "__enqueued__/sub/b.txt",
            "__enqueued__/c.txt",
            "broken.txt",
        }
        await scanned(server, 3)
        assert (await server.client.get("/documents/status_counts")).json()["status_counts"]["processed"] == 3
        put(folder, "a.txt", "Ada wrote it anew.")
        changed = await scanned(server, 3)
        assert changed["counts"]["changed"] == 1
        assert (folder / "__enqueued__/a_001.txt").read_text() == "Ada wrote it anew."
        assert (folder / "__enqueued__/a.txt").read_text() == "Ada wrote it."
        known = await server.engine.find_by_path("a.txt")
        assert known is not None
        body = {"doc_ids": [known.id], "delete_file": True}
        await server.client.request("DELETE", "/documents/delete_document", json=body)
        await server.idle()
        assert not (folder / "__enqueued__/a_001.txt").exists()


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


async def test_folders_of_other_workspaces_are_theirs(real: Real) -> None:
    async with real() as server:
        folder = server.settings.paths.input_dir
        (server.settings.paths.working_dir / "tenant").mkdir()
        put(folder, "tenant/secret.txt", "Not yours.")
        put(folder, "a.txt", "Ada.")
        assert (await scanned(server, 1))["counts"]["files"] == 1
        answer = await server.client.post(
            "/documents/upload", files={"file": ("b.txt", TEXT)}, data={"path": "tenant/x"}
        )
        cleared = (await server.client.delete("/documents")).json()
        assert names(folder) == {"tenant/secret.txt"}
    assert answer.status_code == 400
    assert cleared["message"].endswith("Deleted 1 files.")


async def test_a_scan_may_stay_at_the_top(real: Real) -> None:
    async with real(LIGHTRAG_SCAN_RECURSIVE="false") as server:
        put(server.settings.paths.input_dir, "a.txt", "Ada.")
        put(server.settings.paths.input_dir, "sub/b.txt", "Grace.")
        assert (await scanned(server, 1))["counts"]["files"] == 1


async def test_an_encrypted_pdf_is_read_with_the_password_of_the_settings(real: Real, tmp_path: Path) -> None:
    path = office_files.write_pdf(tmp_path / "secret.pdf", ["Ada wrote it in secret."], password="open sesame")
    async with real() as server:
        files = {"file": ("secret.pdf", path.read_bytes())}
        doc_id = (await server.client.post("/documents/upload", files=files)).json()["documents"][0]["doc_id"]
        await server.idle()
        closed = await server.row(doc_id)
    assert closed["status"] == "failed"
    assert "PDF_DECRYPT_PASSWORD" in str(closed["error_msg"])
    async with real(PDF_DECRYPT_PASSWORD="open sesame") as server:
        await server.client.post("/documents/reprocess_failed")
        await server.idle()
        assert (await server.row(doc_id))["status"] == "processed"
        assert "in secret" in str(await server.engine.get_content(doc_id))


async def test_the_cache_is_cleared_by_mode(real: Real) -> None:
    async with real() as server:
        some = await server.client.post("/documents/clear_cache", json={"modes": ["default", "naive"]})
        wrong = await server.client.post("/documents/clear_cache", json={"modes": ["sideways"]})
    assert some.json()["status"] == "success"
    assert wrong.status_code == 422


async def test_all_suffixes_of_lightrag_are_supported(real: Real) -> None:
    async with real() as server:
        types = (await server.client.get("/documents/supported_file_types")).json()
    assert {".txt", ".pdf", ".docx", ".less", ".h", ".hpp", ".mdx", ".textpack"} <= set(types["supported_extensions"])
    assert types["supported_extensions"] == sorted(types["supported_extensions"])
