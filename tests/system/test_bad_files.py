"""A file that cannot be used is refused or fails with a reason, and nothing else changes."""

from __future__ import annotations

import io
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.documents import office_files

from .contents import contents_of
from .server import ServerProcess, serving

pytestmark = pytest.mark.asyncio(loop_scope="module")

MIB = 1024 * 1024
LIMIT = 2 * MIB
GOOD = b"Ada Lovelace wrote to Charles Babbage about the Analytical Engine in London."
OTHER = b"Grace Hopper wrote a compiler in Philadelphia for the Eckert-Mauchly Computer Corporation."


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ServerProcess]:
    environ = {
        "LLM_BINDING": "none",
        "MAX_UPLOAD_SIZE": str(LIMIT),
        "LIGHTRAG_MAX_DECOMPRESSED_SIZE": str(16 * MIB),
    }
    async with serving(ServerProcess(tmp_path_factory.mktemp("server") / "home", environ)) as (server,):
        for name, content in (("good.txt", GOOD), ("other.md", OTHER)):
            assert (await server.upload(name, content)).status_code == 200
        await server.settle()
        yield server


def files_below(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def zip_bomb() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr("word/document.xml", b"<w>" + b" " * (64 * MIB))
    return stream.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "status", "reason"),
    [
        ("empty.txt", b"", 400, "'empty.txt' is empty"),
        ("huge.txt", b"a" * (LIMIT + 1), 413, "too large"),
        ("much.txt", b"a" * (6 * LIMIT), 413, "large"),
        ("program.exe", b"MZ\x90", 400, "Supported types"),
        ("no_suffix", GOOD + b"!", 400, "Supported types"),
        ("long" * 75 + ".txt", GOOD + b"?", 400, "too long"),
        ("..", GOOD + b"..", 400, "filename"),
    ],
)
async def test_what_can_be_seen_at_once_is_refused(
    server: ServerProcess, name: str, content: bytes, status: int, reason: str
) -> None:
    before = files_below(server.folder)
    rows = await server.rows()
    answer = await server.upload(name, content)
    assert answer.status_code == status, answer.text
    assert reason in answer.json()["detail"]
    assert await server.rows() == rows
    assert files_below(server.folder) == before


async def test_duplicates_are_told_and_not_kept(server: ServerProcess) -> None:
    rows, files = await server.rows(), files_below(server.inputs)
    for name, content in (("good.txt", GOOD), ("good.txt", OTHER + b" And more."), ("copy.md", GOOD)):
        answer = await server.upload(name, content)
        assert (answer.status_code, answer.json()["status"]) == (200, "duplicated")
        assert "good.txt" in answer.json()["message"]
    assert await server.rows() == rows
    assert files_below(server.inputs) == files
    assert (server.inputs / "good.txt").read_bytes() == GOOD


@pytest.mark.parametrize("name", ["../../outside.txt", "..\\..\\outside2.txt", "/etc/outside3.txt", "a/b/outside4.txt"])
async def test_a_path_in_the_name_leads_nowhere(server: ServerProcess, name: str) -> None:
    answer = await server.upload(name, f"Nobody should find {name}.".encode())
    assert answer.status_code == 200
    [document] = answer.json()["documents"]
    assert "/" not in document["file_path"]
    assert "\\" not in document["file_path"]
    assert (server.inputs / document["file_path"]).is_file()
    assert not [path for path in server.folder.parent.rglob("*outside*") if path.parent != server.inputs]
    await server.delete("/documents/delete_document", {"doc_ids": [document["doc_id"]], "delete_file": True})
    await server.settle()


async def test_what_is_seen_when_it_is_read_fails_with_the_reason(server: ServerProcess, tmp_path: Path) -> None:
    bad = {
        "binary.txt": (bytes(range(256)) * 20, "NUL bytes"),
        "latin1.txt": ("Stra\xdfe nach K\xf6ln".encode("latin-1"), "iconv"),
        "blank.md": (b" \n\t\n ", "holds no text"),
        "locked.pdf": (
            office_files.write_pdf(tmp_path / "a.pdf", ["secret"], password="sesame").read_bytes(),
            "password",
        ),
        "damaged.pdf": (b"%PDF-1.7\n" + b"\x00nonsense" * 50, "'damaged.pdf'"),
        "bomb.docx": (zip_bomb(), "unpack"),
        "renamed.docx": (b"just a text", "'renamed.docx'"),
        "image.pdf": (office_files.write_pdf(tmp_path / "b.pdf", [None]).read_bytes(), "'image.pdf'"),
    }
    good_rows, labels = await server.rows(), await server.get("/graph/label/list")
    found = await server.find("Who wrote to Charles Babbage?", mode="mix")
    for name, (content, _) in bad.items():
        answer = await server.upload(name, content)
        assert (answer.status_code, answer.json()["status"]) == (200, "success"), answer.text
    rows = await server.settle()
    for name, (_, reason) in bad.items():
        assert rows[name]["status"] == "failed"
        assert reason in rows[name]["error_msg"], f"{name}: {rows[name]['error_msg']}"
        assert "Traceback" not in rows[name]["error_msg"]
        assert rows[name]["chunks_count"] == 0
    assert {name: row for name, row in rows.items() if name not in bad} == good_rows
    assert await server.get("/graph/label/list") == labels
    assert await server.find("Who wrote to Charles Babbage?", mode="mix") == found

    ids = [rows[name]["id"] for name in bad]
    await server.delete("/documents/delete_document", {"doc_ids": ids, "delete_file": True})

    assert await server.settle() == good_rows
    assert files_below(server.inputs) == {"good.txt", "other.md"}
    await server.stop()
    contents = await contents_of(server.working_dir)
    assert {row[0] for row in contents.documents.values()} == {"good.txt", "other.md"}
    assert {chunk["file_path"] for chunk in contents.chunks.values()} == {"good.txt", "other.md"}
    assert contents.due == []
