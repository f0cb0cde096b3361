"""Files over HTTP, on the embedded engine."""

from __future__ import annotations

import asyncio
import errno
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from .conftest import Real, RealServer

TEXT = b"Ada Lovelace wrote the first program for the Analytical Engine."


async def send(server: RealServer, name: str, content: bytes = TEXT, **form: str) -> httpx.Response:
    return await server.client.post("/documents/upload", files={"file": (name, content)}, data=form)


async def count(server: RealServer) -> int:
    counts: dict[str, int] = (await server.client.get("/documents/status_counts")).json()["status_counts"]
    return counts["all"]


def stored(server: RealServer) -> list[str]:
    folder = server.settings.paths.input_dir
    return sorted(path.name for path in folder.rglob("*")) if folder.exists() else []


async def test_a_file_is_stored_and_indexed(real: Real) -> None:
    async with real() as server:
        answer = await send(server, "ada.txt", tags='{"year": 1843, "people": ["Ada"]}')
        body = answer.json()
        await server.idle()
        row = await server.row(body["documents"][0]["doc_id"])
        assert stored(server) == ["ada.txt"]
    assert answer.status_code == 200
    assert body["status"] == "success"
    assert body["message"] == "File 'ada.txt' uploaded successfully. Processing will continue in background."
    assert body["track_id"].startswith("upload_")
    assert (row["status"], row["file_path"]) == ("processed", "ada.txt")
    assert row["tags"] == {"year": 1843, "people": ["Ada"]}


async def test_a_known_name_is_duplicated_and_the_file_stays(real: Real) -> None:
    async with real() as server:
        await send(server, "ada.txt")
        await server.idle()
        again = await send(server, "ada.txt", b"Something else.")
        assert (server.settings.paths.input_dir / "ada.txt").read_bytes() == TEXT
        assert await count(server) == 1
    assert again.status_code == 200
    assert again.json()["status"] == "duplicated"
    assert again.json()["message"] == (
        "File 'ada.txt' already exists in document storage (Status: DocStatus.PROCESSED)."
    )


async def test_a_changed_file_can_replace_the_known_one(real: Real) -> None:
    async with real() as server:
        first = (await send(server, "ada.txt")).json()["documents"][0]["doc_id"]
        await server.idle()
        again = await send(server, "ada.txt", b"Grace Hopper wrote a compiler.", on_conflict="update")
        await server.idle()
        assert await server.engine.get_content(first) == "Grace Hopper wrote a compiler."
    assert again.json()["documents"] == [{"doc_id": first, "file_path": "ada.txt", "status": "updated"}]


async def test_the_same_bytes_under_another_name_are_duplicated_and_not_kept(real: Real) -> None:
    async with real() as server:
        await send(server, "ada.txt")
        again = await send(server, "copy.txt")
        assert stored(server) == ["ada.txt"]
        assert await count(server) == 1
    assert again.json()["status"] == "duplicated"


async def test_a_file_that_lies_in_the_folder_already_is_never_overwritten(real: Real) -> None:
    async with real() as server:
        folder = server.settings.paths.input_dir
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "mine.txt").write_bytes(b"my own words")
        (folder / "same.txt").write_bytes(TEXT)
        other = await send(server, "mine.txt")
        same = await send(server, "same.txt")
        assert (folder / "mine.txt").read_bytes() == b"my own words"
    assert other.json()["status"] == "duplicated"
    assert other.json()["message"] == "File 'mine.txt' already exists in the input directory."
    assert same.json()["status"] == "success"


UNUSABLE = [
    ("evil.exe", TEXT, "Unsupported file type. Supported types: ("),
    ("no_suffix", TEXT, "Unsupported file type. Supported types: ("),
    ("empty.txt", b"", "File 'empty.txt' is empty"),
    ("...", TEXT, "Invalid filename after sanitization"),
    ("  ", TEXT, "Filename cannot be empty"),
    ("x" * 300 + ".txt", TEXT, "Filename is too long"),
]


async def test_unusable_files_are_refused_and_nothing_is_kept(real: Real) -> None:
    async with real() as server:
        for name, content, message in UNUSABLE:
            answer = await send(server, name, content)
            assert answer.status_code == 400, name
            assert answer.json()["detail"].startswith(message)
        assert stored(server) == []
        assert await count(server) == 0


async def test_a_path_in_the_name_leads_nowhere(real: Real) -> None:
    async with real() as server:
        for name in ("../../etc/passwd.txt", "..\\..\\evil.txt", "/absolute.txt", "a/b/../c.txt"):
            assert (await send(server, name, name.encode())).status_code == 200
        folder = server.settings.paths.input_dir
        assert {path.parent for path in folder.rglob("*")} == {folder}
        assert {path.name for path in folder.parent.iterdir()} == {"inputs", "rag_storage"}


async def test_a_file_beyond_the_limit_is_refused_with_both_sizes(real: Real) -> None:
    async with real(MAX_UPLOAD_SIZE="200000") as server:
        slightly = await send(server, "big.txt", b"x" * 300_000)
        far = await send(server, "big.txt", b"x" * 3_000_000)
        assert stored(server) == []
        assert await count(server) == 0
    for answer in (slightly, far):
        assert answer.status_code == 413
        assert answer.json()["detail"].startswith("File too large. Maximum size: 0.2MB, uploaded: ")


async def test_a_body_whose_length_is_not_announced_is_cut_off(real: Real) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="big.txt"\r\n\r\n'
        while True:
            sent += 65536
            yield b"x" * 65536

    async with real(MAX_UPLOAD_SIZE="200000") as server:
        answer = await server.client.post(
            "/documents/upload", content=endless(), headers={"Content-Type": "multipart/form-data; boundary=b"}
        )
        assert stored(server) == []
    assert answer.status_code == 413
    assert sent < 3_000_000


UNUSABLE_FIELDS = [
    ({"tags": "not json"}, 400),
    ({"tags": "[1]"}, 422),
    ({"tags": '{"a": {"b": 1}}'}, 422),
    ({"tags": '{"a": "\\ud800"}'}, 422),
    ({"tags": '{"a": NaN}'}, 422),
    ({"tags": "[" * 60_000}, 400),
    ({"on_conflict": "explode"}, 422),
]


async def test_unusable_fields_beside_the_file(real: Real) -> None:
    async with real() as server:
        for form, status in UNUSABLE_FIELDS:
            answer = await send(server, "ada.txt", **form)
            assert answer.status_code == status, form
            assert json.dumps(answer.json()["detail"])
        assert stored(server) == []


NO_FORMS = [
    (b"", "multipart/form-data; boundary=b"),
    (b"garbage", "multipart/form-data; boundary=b"),
    (b"garbage", "multipart/form-data"),
    (b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--", "multipart/form-data; boundary=b"),
    (b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\nx\r\n--b--', "multipart/form-data; boundary=b"),
    (b"{}", "application/json"),
    (b"file=x", "application/x-www-form-urlencoded"),
]


async def test_forms_that_are_none(real: Real) -> None:
    async with real() as server:
        for content, content_type in NO_FORMS:
            headers = {"Content-Type": content_type}
            answer = await server.client.post("/documents/upload", content=content, headers=headers)
            assert answer.status_code in {400, 422}, content


async def test_a_file_that_cannot_be_read_becomes_a_failed_row_with_the_reason(real: Real) -> None:
    async with real() as server:
        doc_id = (await send(server, "binary.txt", bytes(range(256)))).json()["documents"][0]["doc_id"]
        await server.idle()
        row = await server.row(doc_id)
        retried = await server.client.post("/documents/reprocess_failed")
        await server.idle()
    assert row["status"] == "failed"
    assert row["error_msg"]
    assert row["error"] == row["error_msg"]
    assert retried.status_code == 200


async def test_a_scan_takes_in_what_lies_in_the_folder(real: Real) -> None:
    async with real() as server:
        folder = server.settings.paths.input_dir / "sub"
        folder.mkdir(parents=True)
        (folder / "ada.md").write_bytes(TEXT)
        (folder / "skipped.exe").write_bytes(b"MZ")
        answer = (await server.client.post("/documents/scan")).json()
        await settled(server, 1)
        statuses = (await server.client.get("/documents")).json()["statuses"]
    assert answer["status"] == "scanning_started"
    assert answer["message"] == "Scanning process has been initiated in the background"
    assert answer["track_id"].startswith("scan_")
    assert [row["file_path"] for row in statuses["processed"]] == ["sub/ada.md"]


async def test_a_start_can_scan(real: Real, make_settings: Any) -> None:
    folder = make_settings().paths.input_dir
    folder.mkdir(parents=True)
    (folder / "ada.md").write_bytes(TEXT)
    async with real(AUTO_SCAN_AT_STARTUP="true") as server:
        await settled(server, 1)


async def test_clearing_deletes_the_files_too(real: Real) -> None:
    async with real() as server:
        await send(server, "ada.txt")
        await server.idle()
        answer = (await server.client.delete("/documents")).json()
        assert stored(server) == []
    assert answer["message"] == "All documents cleared successfully. Deleted 1 files."


async def settled(server: RealServer, documents: int) -> None:
    """Return when the scan is over and so many documents are done."""
    async with asyncio.timeout(60):
        while True:
            status = (await server.client.get("/documents/pipeline_status")).json()
            if not status["scanning"] and not status["busy"] and await count(server) >= documents:
                return
            await asyncio.sleep(0.02)


async def test_a_document_goes_though_its_file_cannot_be_deleted(real: Real) -> None:
    async with real() as server:
        doc_id = (await send(server, "ada.txt")).json()["documents"][0]["doc_id"]
        await server.idle()
        file = server.settings.paths.input_dir / "ada.txt"
        file.unlink()
        file.mkdir()
        body = {"doc_ids": [doc_id], "delete_file": True}
        await server.client.request("DELETE", "/documents/delete_document", json=body)
        await server.idle()
        status = (await server.client.get("/documents/pipeline_status")).json()
        assert await count(server) == 0
        assert file.exists()
    assert any("ada.txt could not be deleted" in message for message in status["history_messages"])


async def test_everything_is_cleared_though_files_cannot_be_deleted(
    real: Real, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, missing_ok: bool = False) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    async with real() as server:
        await send(server, "ada.txt")
        await server.idle()
        with monkeypatch.context() as patch:
            patch.setattr(Path, "unlink", refuse)
            answer = await server.client.delete("/documents")
        assert await count(server) == 0
    assert answer.json() == {"status": "success", "message": "All documents cleared successfully. Deleted 0 files."}
