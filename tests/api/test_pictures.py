"""Pictures as documents and in documents, described by the models of workspaces, over HTTP."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from typing import Any

import docx
import httpx
import pytest
from PIL import Image
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen import canvas

from lightrag.storage.contracts import Namespace

from .conftest import Real, RealServer
from .vision_server import VisionServer

TEXT = "Ada Lovelace wrote the first program."


def picture(colour: str, kind: str = "PNG", size: tuple[int, int] = (100, 80)) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", size, colour).save(stream, kind)
    return stream.getvalue()


def word(*pictures: bytes, text: str = TEXT) -> bytes:
    document, stream = docx.Document(), io.BytesIO()
    document.add_paragraph(text)
    for content in pictures:
        document.add_picture(io.BytesIO(content))
    document.add_paragraph("Charles Babbage built the engine.")
    document.save(stream)
    return stream.getvalue()


def pdf(*pictures: bytes) -> bytes:
    stream = io.BytesIO()
    # Without the default of ASCII characters a stream is stored as it is.
    sheet = canvas.Canvas(stream, pageCompression=0)
    sheet.drawString(72, 750, TEXT)
    sheet.showPage()
    for content in pictures:
        sheet.drawImage(ImageReader(io.BytesIO(content)), 72, 500, 200, 100)
        sheet.showPage()
    sheet.save()
    return stream.getvalue()


RED, BLUE, GREEN = picture("red"), picture("blue"), picture("green", "JPEG")


@pytest.fixture
async def vision() -> AsyncIterator[VisionServer]:
    async with VisionServer() as server:
        server.names = {RED: "Red square", BLUE: "Blue square", GREEN: "Green square"}
        yield server


class Tenant:
    """A workspace's user."""

    def __init__(self, server: RealServer, name: str) -> None:
        self.client = server.client
        self.name = name
        self.headers = {"LIGHTRAG-WORKSPACE": name}
        self.tenants: Any = server.client._transport.app.state.server.tenants  # type: ignore[attr-defined]

    async def send(self, path: str, body: dict[str, Any] | None = None, method: str = "POST") -> Any:
        answer = await self.client.request(method, path, json=body, headers=self.headers)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def sees(self, vision: VisionServer, model: str = "eyes", factory: str = "OpenAI-API-Compatible") -> None:
        base = vision.url if factory == "Ollama" else vision.openai_url
        body = {"llm_factory": factory, "llm_name": model, "model_type": "image2text", "api_base": base, "api_key": "k"}
        answer = await self.send("/llm/add_llm", body)
        assert answer["retcode"] == 0, answer

    async def upload(self, name: str, content: bytes, **form: str) -> httpx.Response:
        files = {"file": (name, content)}
        return await self.client.post("/documents/upload", files=files, data=form, headers=self.headers)

    async def index(self, name: str, content: bytes, **form: str) -> dict[str, Any]:
        """Return the document's row when it was worked on."""
        answer = await self.upload(name, content, **form)
        assert answer.status_code == 200, answer.text
        await self.idle()
        return await self.row(answer.json()["documents"][0]["doc_id"])

    async def row(self, doc_id: str) -> dict[str, Any]:
        row: dict[str, Any] = (await self.client.get(f"/documents/{doc_id}", headers=self.headers)).json()
        return row

    async def text(self, row: dict[str, Any]) -> str:
        return str(await self.engine.get_content(row["id"]))

    async def idle(self) -> None:
        async with asyncio.timeout(60):
            await self.engine.wait_until_idle()

    @property
    def engine(self) -> Any:
        return self.tenants.pool.peek(self.name)

    async def entries(self) -> list[dict[str, Any]]:
        await (await self.tenants.models.existing()).ledger.flush()
        rows = (await self.client.get("/llm/usage/entries", headers=self.headers, params={"limit": 1000})).json()
        return [row for row in rows["data"] if row["operation"] == "image2text"]


async def test_a_picture_is_a_document_where_a_model_describes_it(real: Real, vision: VisionServer) -> None:
    async with real() as server:
        ada = Tenant(server, "tenant-a")
        await ada.sees(vision)
        types = await ada.send("/documents/supported_file_types", method="GET")
        row = await ada.index("red.png", RED)
        said = await ada.text(row)
        entries = await ada.entries()
    assert ".png" in types["supported_extensions"]
    assert (row["status"], said) == ("processed", "[Picture: Red square as eyes sees it]")
    assert vision.described() == ["Red square"]
    assert [(e["model"], e["prompt_tokens"], e["completion_tokens"]) for e in entries] == [
        ("eyes___OpenAI-API", 900, 40)
    ]


async def test_without_such_a_model_a_picture_is_refused_and_pictures_in_documents_are_left_alone(
    real: Real, vision: VisionServer
) -> None:
    async with real() as server:
        ada = Tenant(server, "tenant-a")
        row = await ada.index("notes.docx", word(RED))
        refused = await ada.upload("red.png", RED)
        types = await ada.send("/documents/supported_file_types", method="GET")
        said = await ada.text(row)
    assert said == f"{TEXT}\n\nCharles Babbage built the engine."
    assert refused.status_code == 400
    assert "model_type image2text" in refused.json()["detail"]
    assert ".png" not in types["supported_extensions"]
    assert not vision.asked


async def test_pictures_stand_in_the_text_at_their_places(real: Real, vision: VisionServer) -> None:
    async with real() as server:
        ada = Tenant(server, "tenant-a")
        await ada.sees(vision)
        notes = await ada.text(await ada.index("notes.docx", word(RED, GREEN, RED)))
        row = await ada.index("scan.pdf", pdf(GREEN))
        scan = await ada.text(row)
        found = await ada.send("/query/data", {"query": "Green square", "mode": "naive"})
    red, green = "[Picture: Red square as eyes sees it]", "[Picture: Green square as eyes sees it]"
    assert notes == f"{TEXT}\n\n{red}\n\n{green}\n\nCharles Babbage built the engine."
    assert scan == f"{TEXT}\n\n{green}"
    # The same picture in another document is not paid again.
    assert sorted(vision.described()) == ["Green square", "Red square"]
    assert any("Green square" in chunk["content"] for chunk in found["data"]["chunks"])


async def test_each_picture_is_paid_once_over_updates_and_failures(real: Real, vision: VisionServer) -> None:
    async with real() as server:
        ada = Tenant(server, "tenant-a")
        await ada.sees(vision)
        vision.fails = lambda content: 401 if content == BLUE else 200
        failed = await ada.index("notes.docx", word(RED, BLUE))
        partly = await ada.text(failed)
        vision.fails = lambda _content: 200
        vision.asked.clear()
        await ada.send("/documents/reprocess_failed")
        await ada.idle()
        mended = await ada.row(failed["id"])
        whole = await ada.text(mended)
        retried = vision.described()
        vision.asked.clear()
        await ada.index("notes.docx", word(RED, BLUE, text="Ada wrote it."), on_conflict="update")
        updated = await ada.text(mended)
    assert failed["status"] == "failed"
    assert "1 picture(s) could not be described" in failed["error_msg"]
    assert "Red square" in partly
    assert "Blue square" not in partly
    assert (mended["status"], mended["error_msg"], retried) == ("processed", None, ["Blue square"])
    assert "pictures_left" not in mended["metadata"]
    assert whole.index("Red square") < whole.index("Blue square")
    assert updated.startswith("Ada wrote it.\n\n[Picture: Red square")
    assert vision.described() == []


async def test_a_document_of_pictures_alone_fails_with_the_model_and_is_described_by_a_retry(
    real: Real, vision: VisionServer
) -> None:
    async with real() as server:
        ada = Tenant(server, "tenant-a")
        await ada.sees(vision)
        vision.fails = lambda _content: 401
        failed = await ada.index("red.png", RED)
        vision.fails = lambda _content: 200
        await ada.send("/documents/reprocess_failed")
        await ada.idle()
        mended = await ada.row(failed["id"])
    assert failed["status"] == "failed"
    assert "holds no text" in failed["error_msg"]
    assert mended["status"] == "processed"


async def test_what_the_model_refuses_among_others_is_left_out_with_a_warning(real: Real, vision: VisionServer) -> None:
    async with real() as server:
        ada = Tenant(server, "tenant-a")
        await ada.sees(vision)
        vision.fails = lambda content: 400 if content == BLUE else 200
        row = await ada.index("notes.docx", word(RED, BLUE))
    assert row["status"] == "processed"
    assert "the model refuses it" in row["metadata"]["warnings"][0]


async def test_a_picture_that_was_described_before_the_server_stopped_is_not_paid_again(
    real: Real, vision: VisionServer
) -> None:
    stuck = asyncio.Event()

    def fail(content: bytes) -> int:
        if content == BLUE:
            stuck.set()
            return 503
        return 200

    vision.fails = fail
    async with real() as server:
        ada = Tenant(server, "tenant-a")
        await ada.sees(vision)
        assert (await ada.upload("notes.docx", word(RED, BLUE))).status_code == 200
        async with asyncio.timeout(60):
            await stuck.wait()
            # Only what is kept by now is not asked for again.
            while not await ada.engine._storage.kv(Namespace.LLM_CACHE).count():
                await asyncio.sleep(0.01)
    vision.fails = lambda _content: 200
    vision.asked.clear()
    async with real() as server:
        ada = Tenant(server, "tenant-a")
        await ada.send("/documents/reprocess_failed")
        await ada.idle()
        rows = (await ada.send("/documents", method="GET"))["statuses"]
    assert list(rows) == ["processed"]
    assert vision.described() == ["Blue square"]


async def test_tenants_are_served_by_models_of_their_own(real: Real, vision: VisionServer) -> None:
    async with real() as server:
        ada, bob = Tenant(server, "tenant-a"), Tenant(server, "tenant-b")
        await ada.sees(vision)
        await bob.sees(vision, "llava", "Ollama")
        by_ada = await ada.text(await ada.index("red.png", RED))
        by_bob = await bob.text(await bob.index("red.png", RED))
        entries = await bob.entries()
    assert by_ada == "[Picture: Red square as eyes sees it]"
    assert by_bob == "[Picture: Red square as llava sees it]"
    assert [entry["provider"] for entry in entries] == ["Ollama"]
    assert (vision.described("eyes"), vision.described("llava")) == (["Red square"], ["Red square"])


async def test_a_scan_takes_pictures_where_a_model_describes_them(real: Real, vision: VisionServer) -> None:
    async with real() as server:
        ada, bob = Tenant(server, "tenant-a"), Tenant(server, "tenant-b")
        await ada.sees(vision)
        await bob.index("a.txt", TEXT.encode())
        for tenant in (ada, bob):
            folder = server.settings.paths.input_dir / tenant.name
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "blue.png").write_bytes(BLUE)
            await tenant.send("/documents/scan")
            while tenant.engine.is_working():
                await asyncio.sleep(0.02)
        counts = [(await t.send("/documents/status_counts", method="GET"))["status_counts"] for t in (ada, bob)]
    assert [count["all"] for count in counts] == [1, 1]
    assert vision.described() == ["Blue square"]


async def test_pictures_beyond_the_limit_are_left_out_with_a_warning(real: Real, vision: VisionServer) -> None:
    async with real(LIGHTRAG_MAX_PICTURES="1") as server:
        ada = Tenant(server, "tenant-a")
        await ada.sees(vision)
        row = await ada.index("notes.docx", word(RED, BLUE))
    assert vision.described() == ["Red square"]
    assert "LIGHTRAG_MAX_PICTURES" in row["metadata"]["warnings"][0]


async def test_at_a_limit_a_document_with_pictures_waits_and_goes_on(real: Real, vision: VisionServer) -> None:
    async with real() as server:
        ada = Tenant(server, "tenant-a")
        await ada.sees(vision)
        await ada.send("/llm/limits", {"tokens_per_day": 0, "force": True}, "PUT")
        answer = await ada.upload("red.png", RED)
        async with asyncio.timeout(60):
            while (await ada.send("/documents/pipeline_status", method="GET")).get("paused_until") is None:
                await asyncio.sleep(0.02)
        before = list(vision.asked)
        await ada.send("/llm/limits", {"tokens_per_day": None}, "PUT")
        await ada.idle()
        row = await ada.row(answer.json()["documents"][0]["doc_id"])
    assert (before, row["status"], vision.described()) == ([], "processed", ["Red square"])


async def test_descriptions_are_forgotten_with_the_document_where_that_is_asked(
    real: Real, vision: VisionServer
) -> None:
    async with real() as server:
        ada = Tenant(server, "tenant-a")
        await ada.sees(vision)
        for forgets in (False, True, False):
            row = await ada.index("red.png", RED)
            body = {"doc_ids": [row["id"]], "delete_file": True, "delete_llm_cache": forgets}
            await ada.send("/documents/delete_document", body, "DELETE")
            while "id" in await ada.row(row["id"]):
                await asyncio.sleep(0.02)
    assert vision.described() == ["Red square", "Red square"]


async def test_without_the_model_a_retry_keeps_what_was_described(real: Real, vision: VisionServer) -> None:
    async with real() as server:
        ada = Tenant(server, "tenant-a")
        await ada.sees(vision)
        vision.fails = lambda content: 401 if content == BLUE else 200
        failed = await ada.index("notes.docx", word(RED, BLUE))
        gone = {"llm_factory": "OpenAI-API-Compatible", "llm_name": "eyes___OpenAI-API"}
        assert (await ada.send("/llm/delete_llm", gone))["retcode"] == 0
        await ada.send("/documents/reprocess_failed")
        await ada.idle()
        row = await ada.row(failed["id"])
        said = await ada.text(row)
    assert failed["status"] == "failed"
    assert row["status"] == "processed"
    assert "Red square" in said
    assert "no model does so" in row["metadata"]["warnings"][0]


async def test_an_estimate_foresees_the_pictures_of_files(real: Real, vision: VisionServer) -> None:
    async with real() as server:
        ada = Tenant(server, "tenant-a")
        await ada.sees(vision)
        await ada.index("red.png", RED)
        asked = len(vision.asked)
        await ada.send("/llm/limits", {"tokens_per_day": 0, "force": True}, "PUT")
        accepted = await ada.upload("notes.docx", word(RED, BLUE, GREEN))
        doc_id = accepted.json()["documents"][0]["doc_id"]
        told = (await ada.client.get("/documents/estimate", params={"doc_id": doc_id}, headers=ada.headers)).json()
        without_price = told["pictures"]["cost_usd"]
        await ada.send("/llm/limits", {"tokens_per_day": None}, "PUT")
        await ada.idle()
        done = await ada.send("/documents/estimate", method="GET")
    # The description of the red one is kept.
    assert (told["pictures"]["model"], told["pictures"]["calls"]) == ("eyes___OpenAI-API@OpenAI-API-Compatible", 2)
    assert told["pictures"]["prompt_tokens"] > 2000
    assert told["pictures"]["completion_tokens"] == 300
    assert (told["chunks"], told["unread"]) == (1, 0)
    assert told["tokens"] > 300
    assert without_price is None
    assert len(vision.asked) == asked + 2
    assert (done["documents"], done["pictures"]["calls"]) == (0, 0)
