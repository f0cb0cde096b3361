"""Puts descriptions of its pictures into a document's text.

A description is an answer of a model: it is kept under the hash of picture, model and prompt before it is used, so that
a retry, an update or a restart pays only for what is missing.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Mapping, Sequence

from lightrag import prompts
from lightrag.errors import AccessRefused, ModelError, ModelRefused
from lightrag.llm.cache import KeptChat
from lightrag.llm.contracts import ChatRequest, Message, Picture, Role
from lightrag.llm.usage import estimate_usage
from lightrag.types import FoundPicture, PageSpan, ParsedDocument

DESCRIPTION_TOKENS = 150
"""How long a description usually is."""
_USUAL_DESCRIPTION = " ".join(["word"] * DESCRIPTION_TOKENS)

LEFT = "pictures_left"
"""Key in a record's metadata: how many pictures are still to be described."""


@dataclasses.dataclass(frozen=True, slots=True)
class Illustrated:
    """A document whose pictures were described as far as that went."""

    document: ParsedDocument
    """Without pictures; what could not be described and never will be is among the warnings."""
    keys: tuple[str, ...]
    """Of the kept descriptions."""
    failures: tuple[ModelError, ...] = ()
    """Of the pictures that are worth another attempt."""


@dataclasses.dataclass(frozen=True, slots=True)
class Foreseen:
    """What describing the pictures of a document will take."""

    document: ParsedDocument
    """With something of the usual length in the place of descriptions that are not there yet."""
    calls: int
    prompt_tokens: int


class Illustrator:
    """Has pictures described. `parallel`: pictures of one document that are with the model at the same time."""

    def __init__(self, chat: KeptChat, *, language: str, parallel: int) -> None:
        self._chat = chat
        self._prompt = prompts.fill("picture", language=language)
        self._parallel = parallel
        self.room = asyncio.Semaphore(2 * parallel)
        """Held while a document's pictures are in memory, so that many documents at once do not fill it."""

    async def illustrate(self, document: ParsedDocument) -> Illustrated:
        """Return the document with a paragraph `[Picture: ...]` in place of each of its pictures.

        Pictures that the model refuses where it takes others are left out with a warning. Raises `ModelError` where
        there is neither text nor a single description.
        """
        requests = [self._request(picture) for picture in document.pictures]
        outcomes = await self._ask(requests)
        said = [(p, o) for p, o in zip(document.pictures, outcomes, strict=True) if isinstance(o, str)]
        errors = [(p, o) for p, o in zip(document.pictures, outcomes, strict=True) if isinstance(o, ModelError)]
        if errors and not said and document.is_blank:
            first = errors[0][1]
            raise ModelError(f"No picture of the document could be described, and it holds no text: {first}") from first
        refused = [(picture, error) for picture, error in errors if said and _is_final(error)]
        left = [error for _, error in errors if not (said and _is_final(error))]
        warnings = (*document.warnings, *(_refusal(picture, error) for picture, error in refused))
        text, pages = await asyncio.to_thread(place, document, said)
        keys = tuple(self._chat.key_of(request) for request in requests)
        changed = dataclasses.replace(document, text=text, long=None, pages=pages, warnings=warnings, pictures=())
        return Illustrated(changed, keys, tuple(left))

    def foresee(self, document: ParsedDocument, kept: Mapping[str, str]) -> Foreseen:
        """Return what `illustrate` will come to; `kept` are the descriptions that there are, by key. Blocking."""
        requests = [self._request(picture) for picture in document.pictures]
        missing = [request for request in requests if self._chat.key_of(request) not in kept]
        said = [
            (picture, kept.get(self._chat.key_of(request), _USUAL_DESCRIPTION))
            for picture, request in zip(document.pictures, requests, strict=True)
        ]
        text, pages = place(document, said)
        changed = dataclasses.replace(document, text=text, long=None, pages=pages, pictures=())
        return Foreseen(changed, len(missing), sum(estimate_usage(request, "").prompt_tokens for request in missing))

    def keys(self, document: ParsedDocument) -> list[str]:
        """Return the keys under which descriptions of a document's pictures are kept. Blocking."""
        return [self._chat.key_of(self._request(picture)) for picture in document.pictures]

    async def forget(self, keys: Sequence[str]) -> None:
        """Drop kept descriptions."""
        await self._chat.forget(keys)

    def _request(self, picture: FoundPicture) -> ChatRequest:
        return ChatRequest(
            (Message("user", self._prompt),), Role.IMAGE2TEXT, picture=Picture(picture.content, picture.media_type)
        )

    async def _ask(self, requests: Sequence[ChatRequest]) -> list[str | ModelError]:
        slots = asyncio.Semaphore(self._parallel)
        hopeless: list[ModelError] = []

        async def ask(request: ChatRequest) -> str | ModelError:
            async with slots:
                if hopeless:
                    # A wrong key or an unknown model is met by every other picture as well.
                    return hopeless[0]
                try:
                    return (await self._chat.complete(request)).text
                except AccessRefused as error:
                    hopeless.append(error)
                    return error
                except ModelError as error:
                    return error

        tasks = [asyncio.create_task(ask(request)) for request in requests]
        try:
            return await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def place(document: ParsedDocument, said: Sequence[tuple[FoundPicture, str]]) -> tuple[str, tuple[PageSpan, ...]]:
    """Return a document's text with descriptions at the places of their pictures, and its page spans."""
    text = document.whole()
    parts: list[str] = []
    inserted: list[tuple[int, int]] = []
    spans: dict[int, PageSpan] = {}
    position = length = 0
    for picture, description in said:
        offset = min(max(picture.offset, position), len(text))
        parts.append(text[position:offset])
        length += offset - position
        before = "\n\n" if length else ""
        paragraph = _paragraph(description)
        rest = text[offset : offset + 2]
        after = "" if not rest or rest == "\n\n" else "\n" if rest.startswith("\n") else "\n\n"
        parts += (before, paragraph, after)
        start = length + len(before)
        length = start + len(paragraph) + len(after)
        inserted.append((offset, len(before) + len(paragraph) + len(after)))
        position = offset
        if picture.page is not None:
            end = start + len(paragraph)
            known = spans.get(picture.page)
            spans[picture.page] = PageSpan(picture.page, start if known is None else known.start, end)
    parts.append(text[position:])
    for page in document.pages:
        start = page.start + sum(size for offset, size in inserted if offset <= page.start)
        end = page.end + sum(size for offset, size in inserted if offset < page.end)
        known = spans.get(page.page)
        if known is not None:
            start, end = min(start, known.start), max(end, known.end)
        spans[page.page] = PageSpan(page.page, start, end)
    return "".join(parts), tuple(sorted(spans.values(), key=lambda span: span.start))


def _paragraph(description: str) -> str:
    """Return a description as one paragraph: a blank line in it would end the mark."""
    lines = (line.strip() for line in description.replace("\0", "").splitlines())
    return f"[Picture: {chr(10).join(line for line in lines if line)}]"


def _is_final(error: ModelError) -> bool:
    return isinstance(error, ModelRefused) and not isinstance(error, AccessRefused)


def _refusal(picture: FoundPicture, error: ModelError) -> str:
    where = f" on page {picture.page}" if picture.page is not None else ""
    return f"A picture{where} was left out, the model refuses it: {error}"
