"""One parser for all tests of a module, as a server has one; such a module runs in one event loop."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from lightrag.documents.service import DocumentParser
from lightrag.types import ParsedDocument

Parse = Callable[..., Awaitable[ParsedDocument]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def parser() -> AsyncIterator[DocumentParser]:
    async with DocumentParser(workers=1) as parser:
        yield parser


@pytest.fixture
def parse(parser: DocumentParser, tmp_path: Path) -> Parse:
    """Write bytes (or text as UTF-8) under a name and read them back as a document."""

    async def parse_content(name: str, content: bytes | str) -> ParsedDocument:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return await parser.parse(path, name)

    return parse_content
