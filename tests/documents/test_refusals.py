"""Files that cannot be read are refused with a reason and a way out, and harm nothing else."""

from __future__ import annotations

import io
import struct
import zipfile
from pathlib import Path

import pytest

from lightrag.documents.formats import Format, Source
from lightrag.documents.limits import ParseLimits
from lightrag.documents.service import DocumentParser
from lightrag.errors import TooLarge, UnreadableDocument, UnsupportedFormat
from tests.documents import office_files
from tests.documents.conftest import Parse

pytestmark = pytest.mark.asyncio(loop_scope="module")

MIB = 1024 * 1024
OLD_OFFICE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504)
PROGRAM = b"MZ\x90\x00" + bytes(range(256)) * 8


async def refusal(parse: Parse, name: str, content: bytes | str) -> str:
    with pytest.raises(UnreadableDocument) as caught:
        await parse(name, content)
    return str(caught.value)


@pytest.mark.parametrize("name", ["a.exe", "noext", "a.docx.zip", ".pdf"])
async def test_unknown_suffix(parse: Parse, name: str) -> None:
    with pytest.raises(UnsupportedFormat, match=r"Supported types: \('\.txt', '\.md', '\.pdf'"):
        await parse(name, "text")


@pytest.mark.parametrize("name", ["a.txt", "a.pdf", "a.docx", "a.html", "a.csv", "a.xml", "a.rtf"])
async def test_empty_file(parse: Parse, name: str) -> None:
    assert await refusal(parse, name, b"") == f"'{name}' is empty."


@pytest.mark.parametrize("content", [" \n\t \r\n", "\ufeff", "\x07\x08", "\u200b \u2060\n\ufeff"])
async def test_text_of_nothing_but_blanks(parse: Parse, content: str) -> None:
    assert "holds no text" in await refusal(parse, "a.txt", content)


async def test_latin1_text_names_the_place_and_the_mend(parse: Parse) -> None:
    reason = await refusal(parse, "a.txt", "first\nsecond caf\xe9 line".encode("latin-1"))
    assert "byte 0xE9 at offset 16 (line 2)" in reason
    assert "iconv" in reason


async def test_wrong_bytes_beyond_the_first_block_are_placed_too(parse: Parse) -> None:
    reason = await refusal(parse, "a.txt", b"ok line\n" * 200_000 + b"\xff")
    assert "offset 1,600,000 (line 200001)" in reason


async def test_character_cut_off_at_the_end(parse: Parse) -> None:
    assert "not valid UTF-8" in await refusal(parse, "a.txt", "é".encode()[:1])


async def test_utf16_without_a_mark(parse: Parse) -> None:
    assert "UTF-16 without a byte order mark" in await refusal(parse, "a.txt", "plain words".encode("utf-16-le"))


async def test_binary_content_under_a_text_suffix(parse: Parse) -> None:
    assert "a Windows program" in await refusal(parse, "a.txt", PROGRAM)
    assert "NUL" in await refusal(parse, "b.md", b"x" * (2 * MIB) + b"\x00")


@pytest.mark.parametrize("content", ["b'some bytes'", 'b"some bytes"'])
async def test_printed_bytes(parse: Parse, content: str) -> None:
    assert "printed form of Python bytes" in await refusal(parse, "a.txt", content)


@pytest.mark.parametrize("name", ["a.pdf", "a.docx", "a.xlsx", "a.epub", "a.rtf", "a.html", "a.xml", "a.odt"])
async def test_a_program_under_another_suffix(parse: Parse, name: str) -> None:
    assert "a Windows program" in await refusal(parse, name, PROGRAM)


async def test_scanned_pdf_asks_for_text_recognition(parser: DocumentParser, tmp_path: Path) -> None:
    path = office_files.write_pdf(tmp_path / "a.pdf", [None, None])
    with pytest.raises(UnreadableDocument, match="ocrmypdf"):
        await parser.parse(path, "a.pdf")


async def test_encrypted_pdf_names_the_setting(tmp_path: Path) -> None:
    path = office_files.write_pdf(tmp_path / "a.pdf", ["Secret"], password="sesame")
    async with DocumentParser() as parser:
        with pytest.raises(UnreadableDocument, match="Set PDF_DECRYPT_PASSWORD"):
            await parser.parse(path, "a.pdf")
    async with DocumentParser(password="wrong") as parser:
        with pytest.raises(UnreadableDocument, match="does not open it") as caught:
            await parser.parse(path, "a.pdf")
    assert "wrong" not in str(caught.value)


async def test_truncated_pdf_is_refused_or_read_in_part(parser: DocumentParser, tmp_path: Path) -> None:
    path = office_files.write_pdf(tmp_path / "a.pdf", ["Some text that is there"] * 5)
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(UnreadableDocument, match="damaged or cut off"):
        await parser.parse(path, "a.pdf")


@pytest.mark.parametrize(
    ("write", "name"),
    [
        (office_files.write_docx, "a.docx"),
        (office_files.write_pptx, "a.pptx"),
        (office_files.write_xlsx, "a.xlsx"),
        (office_files.write_odt, "a.odt"),
        (office_files.write_epub, "a.epub"),
    ],
)
async def test_damaged_containers(parser: DocumentParser, tmp_path: Path, write: object, name: str) -> None:
    path = tmp_path / name
    write(path)  # type: ignore[operator]
    whole = path.read_bytes()
    for damaged in (whole[: len(whole) // 2], whole[:40], whole[:100] + bytes(200) + whole[300:]):
        path.write_bytes(damaged)
        with pytest.raises(UnreadableDocument, match=r"damaged|cut off|not a readable"):
            await parser.parse(path, name)


@pytest.mark.parametrize("name", ["a.docx", "a.pptx", "a.xlsx", "a.odt", "a.epub"])
async def test_another_zip_under_an_office_suffix(parser: DocumentParser, tmp_path: Path, name: str) -> None:
    path = office_files.write_zip(tmp_path / name, {"readme.txt": b"hello"})
    with pytest.raises(UnreadableDocument, match="is a zip container, but not"):
        await parser.parse(path, name)


async def test_encrypted_and_old_office_files(parse: Parse) -> None:
    encrypted = OLD_OFFICE + "EncryptedPackage".encode("utf-16-le") + bytes(512)
    assert "is encrypted" in await refusal(parse, "a.docx", encrypted)
    assert "old binary Office file" in await refusal(parse, "b.docx", OLD_OFFICE + bytes(512))


async def test_well_formed_container_with_broken_xml(parser: DocumentParser, tmp_path: Path) -> None:
    path = office_files.write_zip(tmp_path / "a.docx", {"word/document.xml": b"<w:document><w:body>"})
    with pytest.raises(UnreadableDocument, match=r"cannot be read as Word \(DOCX\)"):
        await parser.parse(path, "a.docx")


async def test_malformed_xml(parse: Parse) -> None:
    assert "not well-formed XML" in await refusal(parse, "a.xml", "<a><b></a>")


async def test_external_entities_are_never_opened(parse: Parse, tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("TOP SECRET")
    entity = f'<!DOCTYPE a [<!ENTITY x SYSTEM "file://{tmp_path}/secret.txt">]>'
    assert "Entity 'x' not defined" in await refusal(parse, "a.xml", f"{entity}<a>before &x; after</a>")
    assert (await parse("b.xml", f"{entity}<a>does not use it</a>")).text == "does not use it"
    parameter = f'<!DOCTYPE a [<!ENTITY % x SYSTEM "file://{tmp_path}/secret.txt"> %x;]>'
    assert (await parse("c.xml", f"{parameter}<a>text</a>")).text == "text"


async def test_external_entities_in_office_files(parser: DocumentParser, tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("TOP SECRET")
    path = office_files.write_docx(tmp_path / "a.docx")
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    body = entries["word/document.xml"].replace(b"rivers", b"&x;")
    head, _, rest = body.partition(b"<w:document")
    declared = f'<!DOCTYPE d [<!ENTITY x SYSTEM "file://{tmp_path}/secret.txt">]>'.encode()
    entries["word/document.xml"] = head + declared + b"<w:document" + rest
    document = await parser.parse(office_files.write_zip(path, entries), "a.docx")
    assert "SECRET" not in document.text


async def test_billion_laughs(parse: Parse) -> None:
    lines = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    bomb = f'<!DOCTYPE a [<!ENTITY l0 "lol">{lines}]><a>&l9;</a>'
    with pytest.raises((UnreadableDocument, TooLarge)):
        await parse("a.xml", bomb)


async def test_zip_bomb(parse: Parse) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("word/document.xml", bytes(40 * MIB))
    with pytest.raises(TooLarge, match="200 times its size"):
        await parse("a.docx", stream.getvalue())


async def test_container_larger_than_allowed(tmp_path: Path) -> None:
    path = office_files.write_docx(tmp_path / "a.docx")
    async with DocumentParser(ParseLimits(max_decompressed_bytes=10_000)) as parser:
        with pytest.raises(TooLarge, match="unpacks to more than"):
            await parser.parse(path, "a.docx")
    async with DocumentParser(ParseLimits(max_archive_entries=3)) as parser:
        with pytest.raises(TooLarge, match="entries"):
            await parser.parse(path, "a.docx")


async def test_zip_that_lies_about_its_sizes(parse: Parse) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/workbook.xml", bytes(8 * MIB))
    content = stream.getvalue().replace(struct.pack("<I", 8 * MIB), struct.pack("<I", 1000))
    assert "holds more than it declares" in await refusal(parse, "a.xlsx", content)


async def test_zip_whose_entries_share_one_body(parse: Parse) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/workbook.xml", bytes(MIB))
        archive.writestr("xl/other.xml", b"x")
        archive.infolist()[1].header_offset = archive.infolist()[0].header_offset
    assert "entries overlap" in await refusal(parse, "a.xlsx", stream.getvalue())


async def test_archives_inside_are_not_opened(parser: DocumentParser, tmp_path: Path) -> None:
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb", bytes(64 * MIB))
    path = office_files.write_docx(tmp_path / "a.docx")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("word/embeddings/bomb.zip", inner.getvalue())
    assert "Otters" in (await parser.parse(path, "a.docx")).text


@pytest.mark.parametrize("entry", ["../../etc/passwd", "/etc/passwd", "word/../../x", "c:/x", "..\\x"])
async def test_paths_that_leave_the_container(parser: DocumentParser, tmp_path: Path, entry: str) -> None:
    path = office_files.write_docx(tmp_path / "a.docx")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(entry, b"x")
    with pytest.raises(UnreadableDocument, match="unsafe path"):
        await parser.parse(path, "a.docx")


async def test_protected_epub(parser: DocumentParser, tmp_path: Path) -> None:
    path = office_files.write_epub(tmp_path / "a.epub")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("META-INF/encryption.xml", '<e><EncryptionMethod Algorithm="aes256-cbc"/></e>')
    with pytest.raises(UnreadableDocument, match="DRM"):
        await parser.parse(path, "a.epub")


async def test_sizes_beyond_the_limits(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("a" * 1000)
    for limits, reason in (
        (ParseLimits(max_file_bytes=999), "MiB are allowed"),
        (ParseLimits(max_text_chars=999), "more than 999 characters"),
    ):
        async with DocumentParser(limits) as parser:
            with pytest.raises(TooLarge, match=reason):
                await parser.parse(path, "a.txt")


async def test_too_many_pages_or_characters_in_a_binary_file(tmp_path: Path) -> None:
    path = office_files.write_pdf(tmp_path / "a.pdf", ["page"] * 4)
    for limits in (ParseLimits(max_pages=3), ParseLimits(max_text_chars=10)):
        async with DocumentParser(limits) as parser:
            with pytest.raises(TooLarge, match=r"more than|has 4 pages"):
                await parser.parse(path, "a.pdf")


async def test_missing_file_and_folder(parser: DocumentParser, tmp_path: Path) -> None:
    with pytest.raises(UnreadableDocument, match="No such file"):
        await parser.parse(tmp_path / "gone.txt", "gone.txt")
    with pytest.raises(UnreadableDocument, match="is not a file"):
        await parser.parse(tmp_path, "folder.txt")


async def test_the_password_is_not_printed() -> None:
    assert "sesame" not in repr(Source(Path("a"), "a", password="sesame"))


async def test_a_format_names_its_parser() -> None:
    assert Format("X", "some.module:parse").is_isolated
