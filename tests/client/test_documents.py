"""Documents through both clients, on the real server."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from lightrag.client import Invalid, NotDone, NotFound

from .conftest import Client

ADA = "Ada Lovelace wrote the first program, for the Analytical Engine of Charles Babbage."


async def test_a_text_goes_in_is_waited_for_and_goes_out(client: Client, workspace: str) -> None:
    client = client.in_workspace(workspace)
    estimate = await client(lambda c: c.documents.estimate(ADA))
    assert (estimate.documents, estimate.chunks, estimate.cost_usd) == (1, 1, 0)
    accepted = await client(lambda c: c.documents.insert_text(ADA, "ada.txt", tags={"year": 1843}))
    assert (accepted.status, accepted.documents[0].file_path) == ("success", "ada.txt")
    tracked = await client(lambda c: c.documents.wait(accepted, timeout=30))
    assert [document.status for document in tracked.documents] == ["processed"]
    assert not tracked.failed

    assert (await client(lambda c: c.documents.estimate_pending())).documents == 0

    doc_id = accepted.documents[0].doc_id
    document = await client(lambda c: c.documents.get(doc_id))
    assert (document.file_path, document.tags, len(document.chunks_list)) == ("ada.txt", {"year": 1843}, 1)
    page = await client(lambda c: c.documents.page(page_size=10, statuses=["processed"]))
    assert [item.id for item in page.documents] == [doc_id]
    assert page.pagination.total_count == 1
    assert (await client(lambda c: c.documents.count()))["processed"] == 1
    assert [item.id for item in (await client(lambda c: c.documents.list())).statuses["processed"]] == [doc_id]

    changed = await client(lambda c: c.documents.update(doc_id, ADA + " It was published in 1843."))
    assert changed.documents[0].status == "updated"
    await client(lambda c: c.documents.wait(changed, timeout=30))
    again = await client(lambda c: c.documents.insert_text(ADA, "ada.txt"))
    assert (again.status, again.track_id) == ("duplicated", "")
    assert (await client(lambda c: c.documents.wait(again))).documents == ()

    assert (await client(lambda c: c.documents.delete(doc_id))).status == "deletion_started"
    with pytest.raises(NotFound, match="doc-unknown"):
        await client(lambda c: c.documents.get("doc-unknown"))


async def test_several_texts_are_waited_for_together(client: Client, workspace: str) -> None:
    client = client.in_workspace(workspace)
    first = await client(lambda c: c.documents.insert_texts([ADA, "Grace Hopper found a moth."], ["a.txt", "b.txt"]))
    second = await client(lambda c: c.documents.insert_text("Alan Turing wrote on machines.", "c.txt"))
    tracked = await client(lambda c: c.documents.wait([first.track_id, second], timeout=30))
    assert sorted(document.file_path for document in tracked.documents) == ["a.txt", "b.txt", "c.txt"]
    assert tracked.status_summary == {"processed": 3, "failed": 0}
    assert (await client(lambda c: c.documents.clear())).status in {"success", "busy"}


async def test_waiting_ends_when_the_time_is_over(client: Client, workspace: str) -> None:
    client = client.in_workspace(workspace)
    text = " ".join(f"Person{number} Smith met Person{number + 1} Jones in Town{number}." for number in range(600))
    accepted = await client(lambda c: c.documents.insert_text(text, "long.txt"))
    with pytest.raises(NotDone, match=r"long\.txt") as caught:
        await client(lambda c: c.documents.wait(accepted, timeout=0))
    assert not caught.value.documents[0].is_done
    await client(lambda c: c.documents.cancel())
    with pytest.raises(NotFound, match="no documents with the track id"):
        await client(lambda c: c.documents.wait("insert_unknown"))


async def test_a_file_is_a_path_bytes_or_an_open_file(
    client: Client, workspace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = client.in_workspace(workspace)
    path = tmp_path / "notes.md"
    path.write_text("# Notes\n\nHedy Lamarr invented frequency hopping.\n")
    monkeypatch.setattr("lightrag.client.multipart.BLOCK", 20)
    seen: list[tuple[int, int | None]] = []

    one = await client(lambda c: c.documents.upload(path, progress=lambda sent, total: seen.append((sent, total))))
    assert one.documents[0].file_path == "notes.md"
    size = path.stat().st_size
    assert seen[-1] == (size, size)
    assert len(seen) > 2

    two = await client(lambda c: c.documents.upload(b"Emmy Noether proved a theorem.", "noether.txt", folder="a/b"))
    assert two.documents[0].file_path == "a/b/noether.txt"
    with path.with_name("open.txt").open("w+b") as file:
        file.write(b"skipped: Mary Somerville wrote on astronomy.")
        file.seek(9)
        three = await client(lambda c: c.documents.upload(file))
        assert not file.closed
    assert three.documents[0].file_path == "open.txt"
    row = await client(lambda c: c.documents.get(three.documents[0].doc_id))
    assert row.content_summary.startswith("Mary") or row.status != "processed"

    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

    four = await client(lambda c: c.documents.upload(Pipe(b"Lise Meitner explained fission."), "pipe.txt"))
    assert four.status == "success"
    quoted = await client(lambda c: c.documents.upload("Rózsa Péter ♥".encode(), 'Rózsa "P" é.txt'))
    assert quoted.documents[0].file_path.startswith("Rózsa")
    many = await client(lambda c: c.documents.upload_many([("x.txt", b"Text of x."), ("y.exe", b"MZ")]))
    assert (many.status, len(many.documents)) == ("partial_success", 1)
    await client(lambda c: c.documents.wait([one.track_id, two.track_id, four.track_id], timeout=60))


async def test_what_is_no_file_is_refused_before_anything_is_sent(client: Client, tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"missing\.txt.*cannot be read"):
        await client(lambda c: c.documents.upload(tmp_path / "missing.txt"))
    with pytest.raises(Invalid, match="give one with name="):
        await client(lambda c: c.documents.upload(b"text"))
    with pytest.raises(Invalid, match="not int"):
        await client(lambda c: c.documents.upload(7, "a.txt"))
    with pytest.raises(Invalid, match="reading bytes"):
        await client(lambda c: c.documents.upload(io.StringIO("text"), "a.txt"))
    with pytest.raises(Invalid, match="no files"):
        await client(lambda c: c.documents.upload_many([]))
    with pytest.raises(Invalid, match="list of texts"):
        await client(lambda c: c.documents.insert_texts("one text"))


async def test_a_folder_goes_in_with_its_folders(client: Client, workspace: str, tmp_path: Path) -> None:
    client = client.in_workspace(workspace)
    for name, text in {
        "ada.txt": ADA,
        "deep/er/grace.md": "# Grace Hopper\n\nShe found a moth in a relay.",
        "deep/tool.exe": "MZ",
        "empty.txt": "",
        ".hidden/secret.txt": "Nobody reads this.",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    found = await client(lambda c: c.documents.upload_folder(tmp_path, tags={"set": "test"}))
    assert list(found.uploaded) == ["ada.txt", "deep/er/grace.md"]
    assert found.uploaded["deep/er/grace.md"].documents[0].file_path == "deep/er/grace.md"
    assert list(found.refused) == ["empty.txt"]
    assert found.unsupported == ["deep/tool.exe"]
    tracked = await client(lambda c: c.documents.wait(found, timeout=30))
    assert {document.status for document in tracked.documents} == {"processed"}

    again = await client(lambda c: c.documents.upload_folder(tmp_path))
    assert {item.status for item in again.uploaded.values()} == {"duplicated"}
    assert again.track_ids == []
    with pytest.raises(Invalid, match="no folder"):
        await client(lambda c: c.documents.upload_folder(tmp_path / "nowhere"))


async def test_scans_and_retries_are_waited_for(client: Client, workspace: str) -> None:
    client = client.in_workspace(workspace)
    accepted = await client(lambda c: c.documents.upload(ADA.encode(), "ada.txt"))
    await client(lambda c: c.documents.wait(accepted, timeout=30))
    scan = await client(lambda c: c.documents.scan())
    await client(lambda c: c.documents.wait(scan, timeout=30))
    assert (await client(lambda c: c.documents.scan_status(scan.track_id))).status == "completed"
    retry = await client(lambda c: c.documents.retry_failed())
    await client(lambda c: c.documents.wait(retry, timeout=30))
    assert not (await client(lambda c: c.documents.pipeline_status())).busy
    assert (await client(lambda c: c.documents.clear_cache())).status == "success"
    assert ".pdf" in (await client(lambda c: c.documents.file_types()))["supported_extensions"]
