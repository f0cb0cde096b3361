"""Pictures in files, taken out in the process that reads them."""

from __future__ import annotations

import base64
import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import docx
import pptx
import pytest
from PIL import Image
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen import canvas

from lightrag.documents.pictures import PictureRules, inspect
from lightrag.documents.service import DocumentParser
from lightrag.errors import TooLarge, UnreadableDocument, UnsupportedFormat
from lightrag.types import ParsedDocument

pytestmark = pytest.mark.asyncio(loop_scope="module")
Look = Callable[..., Any]
RULES = PictureRules()


def picture(colour: str = "red", kind: str = "PNG", size: tuple[int, int] = (100, 80), mode: str = "RGB") -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", size, colour).convert(mode).save(stream, kind)
    return stream.getvalue()


def noise(side: int) -> bytes:
    stream = io.BytesIO()
    Image.effect_noise((side, side), 90).convert("RGB").save(stream, "PNG")
    return stream.getvalue()


def word(*pictures: bytes) -> bytes:
    document, stream = docx.Document(), io.BytesIO()
    document.add_paragraph("Before.")
    for content in pictures:
        document.add_picture(io.BytesIO(content))
    document.add_paragraph("After.")
    document.save(stream)
    return stream.getvalue()


def pdf(*pages: bytes | str) -> bytes:
    stream = io.BytesIO()
    sheet = canvas.Canvas(stream)
    for page in pages:
        if isinstance(page, str):
            sheet.drawString(72, 750, page)
        else:
            sheet.drawImage(ImageReader(io.BytesIO(page)), 72, 500, 200, 100)
        sheet.showPage()
    sheet.save()
    return stream.getvalue()


def colours(document: ParsedDocument) -> list[tuple[int, ...]]:
    """Return the colour in the middle of each picture, in steps that JPEG keeps."""
    found = []
    for item in document.pictures:
        image = Image.open(io.BytesIO(item.content)).convert("RGB")
        pixel: Any = image.getpixel((image.width // 2, image.height // 2))
        found.append(tuple(round(value / 51) * 51 for value in pixel))
    return found


@pytest.fixture
def look(parser: DocumentParser, tmp_path: Path) -> Look:
    """Read bytes under a name, with pictures."""

    async def parse(name: str, content: bytes, rules: PictureRules | None = RULES) -> ParsedDocument:
        path = tmp_path / name
        path.write_bytes(content)
        return await parser.parse(path, name, rules)

    return parse


RED, BLUE = (255, 0, 0), (0, 0, 255)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "TIFF"])
async def test_a_picture_file_is_passed_on_as_it_is(look: Look, kind: str) -> None:
    content = picture(kind=kind)
    document = await look(f"red.{kind.lower()}", content)
    assert [(item.content, item.media_type) for item in document.pictures] == [(content, f"image/{kind.lower()}")]
    assert document.text == ""


async def test_an_uncompressed_bitmap_becomes_png_which_models_take(look: Look) -> None:
    document = await look("red.bmp", picture(kind="BMP", size=(101, 80)))
    assert [item.media_type for item in document.pictures] == ["image/png"]
    assert Image.open(io.BytesIO(document.pictures[0].content)).size == (101, 80)
    assert colours(document) == [RED]


async def test_without_a_model_picture_files_are_refused_and_others_are_read_as_ever(look: Look) -> None:
    with pytest.raises(UnsupportedFormat, match="POST /llm/add_llm and model_type image2text"):
        await look("red.png", picture(), None)
    with pytest.raises(UnsupportedFormat):
        await look("red.png", picture(), PictureRules(max_count=0))
    document = await look("notes.docx", word(picture()), None)
    assert (document.text, document.pictures) == ("Before.\n\nAfter.", ())


async def test_what_only_claims_to_be_a_picture_is_refused(look: Look) -> None:
    with pytest.raises(UnreadableDocument, match="not a PNG"):
        await look("red.png", b"%PDF-1.7 something")
    with pytest.raises(UnreadableDocument, match="cut off"):
        await look("cut.png", picture()[:14])
    with pytest.raises(UnreadableDocument, match="too small"):
        await look("dot.png", picture(size=(20, 300)))
    with pytest.raises(TooLarge, match="LIGHTRAG_PICTURE_MAX_SIZE"):
        await look("noise.png", noise(64), PictureRules(max_bytes=1000))


async def test_pictures_of_word_documents_stand_behind_their_paragraph(look: Look) -> None:
    red, blue = picture(), picture("blue", "JPEG")
    document = await look("notes.docx", word(red, blue, red, picture("green", size=(10, 10))))
    assert document.text == "Before.\n\nAfter."
    assert [item.offset for item in document.pictures] == [7, 7]
    assert [item.content for item in document.pictures] == [red, blue]


async def test_pictures_of_slides_carry_the_slide_number(look: Look) -> None:
    slides, stream = pptx.Presentation(), io.BytesIO()
    for title in ("First", "Second"):
        slide = slides.slides.add_slide(slides.slide_layouts[5])
        slide.shapes.title.text = title
    slide.shapes.add_picture(io.BytesIO(picture()), 0, 0)
    slides.save(stream)
    document = await look("deck.pptx", stream.getvalue())
    assert [(item.page, item.offset) for item in document.pictures] == [(2, len(document.text))]


@pytest.mark.parametrize(("kind", "mode"), [("PNG", "RGB"), ("PNG", "RGBA"), ("JPEG", "RGB"), ("JPEG", "CMYK")])
async def test_pictures_of_pdf_pages_keep_their_colours(look: Look, kind: str, mode: str) -> None:
    document = await look("scan.pdf", pdf("Text.", picture(kind=kind, mode=mode)))
    assert [(item.page, item.media_type) for item in document.pictures] == [
        (2, "image/jpeg" if (kind, mode) == ("JPEG", "RGB") else "image/png")
    ]
    (red, green, blue), *_ = colours(document)
    assert red > 200
    assert max(green, blue) < 80


async def test_a_scan_without_text_is_read_and_a_picture_on_many_pages_is_taken_once(look: Look) -> None:
    document = await look("scan.pdf", pdf(picture(), picture("blue"), picture()))
    assert document.text == ""
    assert colours(document) == [RED, BLUE]
    assert [item.page for item in document.pictures] == [1, 2]


async def test_a_pdf_picture_that_is_too_large_is_thinned_out(look: Look) -> None:
    document = await look("scan.pdf", pdf("Text.", noise(300)), PictureRules(max_bytes=40_000))
    assert Image.open(io.BytesIO(document.pictures[0].content)).size[0] < 300


async def test_pictures_inside_of_web_pages_are_taken_and_none_from_elsewhere(look: Look) -> None:
    inside = base64.b64encode(picture()).decode()
    page = (
        f'<p>One <img src="data:image/png;base64,{inside}"> two</p><table><tr><td>cell '
        f'<img src="data:image/png;base64,{base64.b64encode(picture("blue")).decode()}"></td></tr></table>'
        '<img src="http://127.0.0.1:1/a.png"><img src="file:///etc/passwd"><img src="data:image/png;base64,!">'
    )
    document = await look("page.html", page.encode())
    assert colours(document) == [RED, BLUE]
    assert document.pictures[0].offset == len(document.text.splitlines()[0])


async def test_pictures_of_books_are_found_beside_their_chapter(look: Look) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as book:
        book.writestr("META-INF/container.xml", '<c><rootfile full-path="OPS/a.opf"/></c>')
        package = '<package><manifest><item id="c" href="text/c.xhtml"/></manifest><spine><itemref idref="c"/></spine>'
        book.writestr("OPS/a.opf", package + "</package>")
        chapter = '<html><body><p>Hello</p><img src="../img/a%20b.png"/><img src="../../../x.png"/></body></html>'
        book.writestr("OPS/text/c.xhtml", chapter)
        book.writestr("OPS/img/a b.png", picture())
    document = await look("book.epub", stream.getvalue())
    assert [(item.page, item.offset) for item in document.pictures] == [(1, 5)]


async def test_what_is_left_out_is_told(look: Look) -> None:
    many = await look("a.docx", word(picture(), picture("blue"), picture("green")), PictureRules(max_count=1))
    assert len(many.pictures) == 1
    assert "2 more picture(s) were not described" in many.warnings[0]
    large = await look("a.docx", word(noise(100)), PictureRules(max_bytes=5000))
    assert (large.pictures, "LIGHTRAG_PICTURE_MAX_SIZE" in large.warnings[0]) == ((), True)
    total = await look("a.docx", word(noise(100), noise(101)), PictureRules(max_total_bytes=len(noise(100)) + 900))
    assert len(total.pictures) == 1


async def test_a_large_picture_crosses_the_border_of_the_process_whole(look: Look) -> None:
    content = picture() + bytes(20 * 1024 * 1024)
    rules = PictureRules(max_bytes=1 << 25, max_total_bytes=1 << 26)
    document = await look("large.png", content, rules)
    assert document.pictures[0].content == content


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
async def test_sizes_are_read_from_the_first_bytes_and_damage_is_no_error(kind: str) -> None:
    content = picture(kind=kind)
    facts = inspect(content)
    assert facts is not None
    assert (facts.media_type, facts.width, facts.height) == (f"image/{kind.lower()}", 100, 80)
    for end in range(60):
        inspect(content[:end])
