"""Texts of any length come back as they were stored."""

from __future__ import annotations

import hashlib

import pytest

from lightrag.indexing.full_text import (
    PART_CHARS,
    WHOLE_CHARS,
    delete_text,
    md5_hex,
    read_head,
    read_text,
    store_head,
    store_parts,
)
from lightrag.storage.contracts import Namespace
from lightrag.storage.memory import MemoryStorage
from lightrag.types import PageSpan, ParsedDocument


@pytest.mark.parametrize("length", [1, WHOLE_CHARS, WHOLE_CHARS + 1, WHOLE_CHARS + 2 * PART_CHARS])
async def test_a_text_comes_back_with_its_pages_and_goes_without_a_trace(length: int) -> None:
    storage = MemoryStorage("t")
    await storage.open()
    store = storage.kv(Namespace.FULL_DOCS)
    text = ("äöü 中文 text " * (length // 12 + 1))[:length]
    await store_parts(store, "doc-1", ParsedDocument(text))
    assert await read_text(store, "doc-1") is None
    await store_head(store, "doc-1", ParsedDocument(text, (PageSpan(1, 0, length),)), "a.txt")
    assert await read_text(store, "doc-1") == text
    head = await read_head(store, "doc-1")
    assert head is not None
    assert head.pages == (PageSpan(1, 0, length),)
    assert md5_hex(text) == hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
    await delete_text(store, "doc-1")
    assert await store.count() == 0
