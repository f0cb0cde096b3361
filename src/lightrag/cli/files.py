"""Which files a command line names, and what they are called as documents."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from pathlib import Path

from lightrag.cli.targets import SourceFile
from lightrag.documents.folder import scan_folder
from lightrag.documents.formats import PICTURE_FORMATS, SUPPORTED_SUFFIXES, suffix_of
from lightrag.errors import InvalidInput


async def collect(paths: Sequence[Path], input_dir: Path | None = None) -> list[SourceFile]:
    """Return the readable files at and below `paths`, each once, in their order.

    A document is named after the folder that was given and its place below it (`notes/2024/may.md`), a file that was
    given by itself after its file name, and a file in the input folder after its place there. Raises `InvalidInput`
    for a path that does not exist or a file that no parser reads.
    """
    inside = None if input_dir is None else await asyncio.to_thread(input_dir.resolve)
    found: dict[Path, SourceFile] = {}
    for path in paths:
        real = await asyncio.to_thread(path.resolve)
        if not await asyncio.to_thread(real.exists):
            raise InvalidInput(f"There is no file or folder '{path}'")
        for file in await _files_of(path, real):
            if inside is not None and file.path.is_relative_to(inside):
                file = SourceFile(file.path, file.path.relative_to(inside).as_posix())
            found.setdefault(file.path, file)
    _check_unique(found.values())
    return list(found.values())


async def _files_of(given: Path, real: Path) -> list[SourceFile]:
    if await asyncio.to_thread(real.is_dir):
        below = await scan_folder(real, SUPPORTED_SUFFIXES)
        return [SourceFile(item.path, f"{real.name}/{item.relative_path}".lstrip("/")) for item in below]
    # Whether pictures are read is the workspace's affair.
    if suffix_of(real.name) not in (*SUPPORTED_SUFFIXES, *PICTURE_FORMATS):
        raise InvalidInput(f"'{given}' is of a kind that cannot be read. Kinds: {', '.join(SUPPORTED_SUFFIXES)}")
    return [SourceFile(real, real.name)]


def _check_unique(files: Iterable[SourceFile]) -> None:
    named: dict[str, Path] = {}
    for file in files:
        other = named.setdefault(file.name, file.path)
        if other != file.path:
            raise InvalidInput(
                f"'{other}' and '{file.path}' would both become the document '{file.name}'; "
                "give them in two runs or rename one"
            )
