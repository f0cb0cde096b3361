"""However a file is damaged, it is read or refused: no other error, and the reader lives on."""

from __future__ import annotations

import os
import random
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from lightrag.documents.service import DocumentParser
from lightrag.errors import TooLarge, UnreadableDocument
from tests.documents import office_files

pytestmark = pytest.mark.asyncio(loop_scope="module")
ROUNDS = int(os.environ.get("DAMAGE_ROUNDS", "12"))

WRITERS: dict[str, Callable[[Path], Path]] = {
    "a.pdf": lambda path: office_files.write_pdf(path, ["Hello there", "More"]),
    "a.docx": office_files.write_docx,
    "a.pptx": office_files.write_pptx,
    "a.xlsx": office_files.write_xlsx,
    "a.odt": office_files.write_odt,
    "a.epub": office_files.write_epub,
}


@pytest.mark.parametrize("name", WRITERS)
async def test_random_damage(parser: DocumentParser, tmp_path: Path, name: str) -> None:
    path = WRITERS[name](tmp_path / name)
    whole = path.read_bytes()
    chance = random.Random(f"damage {name}")
    for turn in range(ROUNDS):
        path.write_bytes(whole)
        if turn % 2 and name != "a.pdf":
            damage_part(path, chance)
        else:
            path.write_bytes(damaged(whole, chance))
        try:
            assert (await parser.parse(path, name)).text.strip()
        except (UnreadableDocument, TooLarge) as error:
            if "reader end" in str(error):
                pytest.fail(f"The reader crashed: {error}")


def damaged(data: bytes, chance: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(chance.choice([1, 3, 20])):
        changed[chance.randrange(len(changed))] = chance.randrange(256)
    return bytes(changed)


def damage_part(path: Path, chance: random.Random) -> None:
    """Damage or drop one part inside a container that stays well formed."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    part = chance.choice([name for name, data in entries.items() if len(data) > 100])
    data = entries.pop(part)
    if chance.random() < 0.4:
        start = chance.randrange(len(data))
        entries[part] = data[:start] + data[start + chance.randrange(1, 50) :]
    elif chance.random() < 0.7:
        entries[part] = damaged(data, chance)
    office_files.write_zip(path, entries)
