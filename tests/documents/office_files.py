"""Makes real files of every binary format, mostly with the libraries that people write them with."""

from __future__ import annotations

import datetime
import io
import zipfile
from pathlib import Path

import docx
import odfdo
import pptx
import xlsxwriter
from docx.oxml import parse_xml
from docx.oxml.ns import nsdecls
from pptx.util import Inches
from reportlab.lib.pagesizes import A4
from reportlab.lib.pdfencrypt import StandardEncryption
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen import canvas


def write_pdf(path: Path, pages: list[str | None], *, title: str = "", password: str | None = None) -> Path:
    """Write a PDF; a page that is None holds only an image, an empty one nothing."""
    encryption = StandardEncryption(password, ownerPassword="owner", strength=128) if password else None
    pdf = canvas.Canvas(str(path), pagesize=A4, encrypt=encryption)
    pdf.setTitle(title)
    for page in pages:
        if page is None:
            pdf.drawImage(ImageReader(_picture()), 72, 500, 200, 100)
        for number, line in enumerate((page or "").split("\n")):
            pdf.drawString(72, 750 - 14 * number, line)
        pdf.showPage()
    pdf.save()
    return path


def _picture() -> io.BytesIO:
    from PIL import Image

    stream = io.BytesIO()
    Image.new("RGB", (64, 32), "white").save(stream, "PNG")
    stream.seek(0)
    return stream


def write_docx(path: Path) -> Path:
    document = docx.Document()
    document.core_properties.title = "Field notes"
    document.add_heading("Otters", level=1)
    paragraph = document.add_paragraph("Otters live ")
    paragraph.add_run("in rivers").bold = True
    paragraph.add_run(" and eat fish.")
    document.add_heading("Diet", level=2)
    document.add_paragraph("Trout", style="List Bullet")
    document.add_paragraph("Crayfish", style="List Bullet")
    table = document.add_table(rows=2, cols=2)
    for row, cells in enumerate((("River", "Count"), ("Tay", "17"))):
        for column, text in enumerate(cells):
            table.cell(row, column).text = text
    document.add_paragraph("The count is from spring.")
    changed = document.add_paragraph("The survey ")
    for xml in (
        f'<w:del {nsdecls("w")} w:id="1" w:author="a"><w:r><w:delText>failed</w:delText></w:r></w:del>',
        f'<w:ins {nsdecls("w")} w:id="2" w:author="a"><w:r><w:t>succeeded.</w:t></w:r></w:ins>',
    ):
        changed._p.append(parse_xml(xml))
    document.element.body.insert(
        0,
        parse_xml(
            f"<w:sdt {nsdecls('w')}><w:sdtContent><w:p><w:r><w:t>From a content control.</w:t></w:r></w:p>"
            "</w:sdtContent></w:sdt>"
        ),
    )
    document.save(str(path))
    return path


def add_footnote(path: Path, text: str) -> Path:
    """Add a footnote part to a DOCX file, and a reference to it at the end of its body."""
    word = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
    notes = (
        f'<w:footnotes xmlns:w="{word}"><w:footnote w:id="7"><w:p><w:r><w:t>{text}</w:t></w:r></w:p></w:footnote>'
        "</w:footnotes>"
    )
    relation = (
        '<Relationship Id="rId99" Target="footnotes.xml" '
        'Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/footnotes"/></Relationships>'
    )
    reference = '<w:p><w:r><w:t>See the note</w:t></w:r><w:r><w:footnoteReference w:id="7"/></w:r></w:p><w:sectPr'
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    entries["word/footnotes.xml"] = notes.encode()
    relations = "word/_rels/document.xml.rels"
    entries[relations] = entries[relations].replace(b"</Relationships>", relation.encode())
    entries["word/document.xml"] = entries["word/document.xml"].replace(b"<w:sectPr", reference.encode(), 1)
    return write_zip(path, entries)


def write_pptx(path: Path) -> Path:
    deck = pptx.Presentation()
    first = deck.slides.add_slide(deck.slide_layouts[0])
    first.shapes.title.text = "Quarterly review"
    first.placeholders[1].text = "Prepared by Ada"
    second = deck.slides.add_slide(deck.slide_layouts[5])
    second.shapes.title.text = "Numbers"
    table = second.shapes.add_table(2, 2, Inches(1), Inches(2), Inches(4), Inches(1)).table
    for row, cells in enumerate((("Region", "Sales"), ("North", "42"))):
        for column, text in enumerate(cells):
            table.cell(row, column).text = text
    group = second.shapes.add_group_shape()
    group.shapes.add_textbox(Inches(1), Inches(4), Inches(2), Inches(1)).text_frame.text = "Inside a group"
    second.notes_slide.notes_text_frame.text = "Mention the north."
    deck.slides.add_slide(deck.slide_layouts[6])
    deck.core_properties.title = "Review deck"
    deck.save(str(path))
    return path


def write_xlsx(path: Path) -> Path:
    with xlsxwriter.Workbook(str(path)) as book:
        sheet = book.add_worksheet("Prices")
        sheet.write_row(0, 0, ["Item", "Price", "Since"])
        sheet.write_row(1, 0, ["Tea", 3])
        sheet.write_datetime(1, 2, datetime.datetime(2024, 5, 17), book.add_format({"num_format": "yyyy-mm-dd"}))
        sheet.write_row(3, 0, ["Sum"])
        sheet.write_formula(3, 1, "=SUM(B2:B3)", value=3.5)
        book.add_worksheet("Empty")
        book.add_worksheet("Flags").write_row(0, 0, ["ready", True, "two\nlines"])
    return path


def write_odt(path: Path) -> Path:
    document = odfdo.Document("text")
    document.meta.title = "Open notes"
    body = document.body
    body.clear()
    body.append(odfdo.Header(1, "Herons"))
    paragraph = odfdo.Paragraph("Herons wait.")
    paragraph.insert_note(after="wait", note_id="n1", citation="1", body="For hours.")
    body.append(paragraph)
    body.append(odfdo.List(["patience", "long legs"]))
    table = odfdo.Table("T", width=2, height=2)
    table.set_values([["Pond", "Herons"], ["East", 4]])
    body.append(table)
    document.save(str(path))
    return path


def write_epub(path: Path) -> Path:
    chapters = {
        "c1.xhtml": "<h1>The first</h1><p>It was&nbsp;dark.</p>",
        "c 2.xhtml": "<h1>The second</h1><p>It was light.</p>",
    }
    page = '<?xml version="1.0" encoding="utf-8"?><html xmlns="http://www.w3.org/1999/xhtml"><head><title/></head>'
    entries = {
        "mimetype": b"application/epub+zip",
        "META-INF/container.xml": (
            b'<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container" version="1.0"><rootfiles>'
            b'<rootfile full-path="OEBPS/book.opf" media-type="application/oebps-package+xml"/></rootfiles></container>'
        ),
        "OEBPS/book.opf": (
            b'<package xmlns="http://www.idpf.org/2007/opf" xmlns:dc="http://purl.org/dc/elements/1.1/" version="3.0">'
            b"<metadata><dc:title>Two chapters</dc:title></metadata><manifest>"
            b'<item id="b" href="c%202.xhtml" media-type="application/xhtml+xml"/>'
            b'<item id="a" href="c1.xhtml" media-type="application/xhtml+xml"/></manifest>'
            b'<spine><itemref idref="a"/><itemref idref="b"/></spine></package>'
        ),
    }
    entries |= {f"OEBPS/{name}": f"{page}<body>{body}</body></html>".encode() for name, body in chapters.items()}
    return write_zip(path, entries)


def write_zip(path: Path, entries: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return path
