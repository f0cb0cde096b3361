"""The texts of documents in the namespace `full_docs`.

A text of ordinary size is one row, as LightRAG writes it. A large one is kept in parts, so that storing it takes
memory for a part and not several times the whole: rows `{doc id}/{number}` with the pieces, and a head that tells how
many there are.
"""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
from collections.abc import AsyncIterator, Sequence

from lightrag.storage.contracts import KVStore
from lightrag.types import JsonObject, PageSpan, ParsedDocument

PART_CHARS = 1 << 20
WHOLE_CHARS = 4 * PART_CHARS
"""Up to this length a text is one row."""


def md5_hex(text: str) -> str:
    """Return the MD5 of a text, LightRAG's content hash, without copying the whole text."""
    return md5_of(ParsedDocument(text))


def md5_of(document: ParsedDocument) -> str:
    """As `md5_hex`, of the text of a document. Blocking."""
    digest = hashlib.md5(usedforsecurity=False)
    for part in document.pieces(PART_CHARS):
        digest.update(part.encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


async def store_parts(store: KVStore, doc_id: str, document: ParsedDocument) -> None:
    """Store the pieces of a large text; nobody sees them before `store_head`."""
    if document.length > WHOLE_CHARS:
        number = 0
        async for part in pieces_of(document):
            await store.put({_part_key(doc_id, number): {"content": part}})
            number += 1


async def pieces_of(document: ParsedDocument) -> AsyncIterator[str]:
    """Yield the text of a document that was read from its file, piece by piece."""
    pieces = document.pieces(PART_CHARS)
    while (part := await asyncio.to_thread(next, pieces, None)) is not None:
        yield part


async def store_head(
    store: KVStore, doc_id: str, parsed: ParsedDocument, file_path: str, pictures: Sequence[str] = ()
) -> None:
    """Store a text of ordinary size, or what makes one of the pieces that `store_parts` stored.

    `pictures` are the keys of the kept descriptions that stand in the text.
    """
    is_whole = parsed.length <= WHOLE_CHARS
    row: JsonObject = {
        "content": parsed.whole() if is_whole else "",
        "file_path": file_path,
        "pages": [[page.page, page.start, page.end] for page in parsed.pages],
    }
    if not is_whole:
        row["parts"] = -(-parsed.length // PART_CHARS)
    if pictures:
        row["pictures"] = list(pictures)
    await store.put({doc_id: row})


@dataclasses.dataclass(frozen=True, slots=True)
class StoredText:
    """The head of a stored text."""

    content: str
    """The text, where it is one row."""
    pages: tuple[PageSpan, ...]
    parts: int
    """How many pieces there are; 0 where it is one row."""
    pictures: tuple[str, ...] = ()
    """Keys of the kept descriptions that stand in it."""


async def read_head(store: KVStore, doc_id: str) -> StoredText | None:
    """Return the head of a document's text; None where there is none."""
    row = (await store.get([doc_id])).get(doc_id)
    if row is None:
        return None
    pages = tuple(PageSpan(*page) for page in row.get("pages", ()))
    return StoredText(str(row["content"]), pages, int(row.get("parts", 0)), tuple(row.get("pictures", ())))


async def read_pieces(store: KVStore, doc_id: str, head: StoredText) -> AsyncIterator[str]:
    """Yield the text of a document from its beginning, piece by piece."""
    if not head.parts:
        yield head.content
    for number in range(head.parts):
        key = _part_key(doc_id, number)
        yield str((await store.get([key]))[key]["content"])


async def read_text(store: KVStore, doc_id: str) -> str | None:
    """Return the whole text of a document; None where there is none."""
    head = await read_head(store, doc_id)
    return None if head is None else "".join([piece async for piece in read_pieces(store, doc_id, head)])


async def delete_text(store: KVStore, doc_id: str) -> None:
    """Remove the text of a document."""
    head = (await store.get([doc_id])).get(doc_id, {})
    parts = int(head.get("parts", 0))
    await store.delete([doc_id, *(_part_key(doc_id, number) for number in range(parts))])


def _part_key(doc_id: str, number: int) -> str:
    return f"{doc_id}/{number:06d}"
