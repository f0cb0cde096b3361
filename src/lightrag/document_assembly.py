"""What reads and cuts the documents of a workspace, put together from the settings."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from lightrag.documents.formats import FORMATS, PICTURE_FORMATS, Format
from lightrag.documents.limits import ParseLimits
from lightrag.documents.names import resolve_inside
from lightrag.documents.pictures import PictureRules
from lightrag.documents.service import DocumentParser
from lightrag.engine_models import Models
from lightrag.indexing.chunkers import ChunkingRules, standard_choices
from lightrag.indexing.chunking_recursive import SEPARATORS
from lightrag.indexing.pictures import Illustrator
from lightrag.llm.contracts import Role
from lightrag.settings import Settings
from lightrag.types import ChunkingStrategy, DocumentRecord, ParsedDocument


class Reading:
    """Reads the files of a workspace, and knows which ones can be read at the moment."""

    def __init__(self, settings: Settings, models: Models, input_dir: Path) -> None:
        self._models = models
        self._input_dir = input_dir
        self._wanted = _picture_rules(settings)
        self._parser = _parser(settings)
        self.illustrator = _illustrator(settings, models)
        """Describes pictures; None where no model will ever do so."""

    async def parse(self, record: DocumentRecord) -> ParsedDocument:
        """Read the file of a document. Raises what `DocumentParser.parse` raises."""
        path = resolve_inside(self._input_dir, record.source_file)
        return await self._parser.parse(path, record.source_file, await self._rules())

    async def sees(self) -> bool:
        """Tell whether pictures are described."""
        return await self._rules() is not None

    async def formats(self) -> Mapping[str, Format]:
        """Return the formats of files that can be read, by suffix."""
        return FORMATS if await self._rules() is None else {**FORMATS, **PICTURE_FORMATS}

    async def picture_suffixes(self) -> Collection[str]:
        """Return the suffixes of pictures, where these are read."""
        return () if await self._rules() is None else tuple(PICTURE_FORMATS)

    async def close(self) -> None:
        """End the processes that read files."""
        await self._parser.close()

    async def _rules(self) -> PictureRules | None:
        """Return which pictures are described; None for none."""
        await self._models.refresh()
        return self._wanted if self._wanted.max_count and Role.IMAGE2TEXT in self._models.chat else None


def chunking_rules(settings: Settings, strategy: ChunkingStrategy) -> ChunkingRules:
    """Return how documents are cut by each strategy, and that `strategy` is used where nothing else is said."""
    said = settings.indexing
    size, overlap = said.chunk_size, said.chunk_overlap
    choices = standard_choices(size, overlap)

    def change(name: ChunkingStrategy, own_size: int | None, own_overlap: int | None, **changes: Any) -> None:
        changes["chunk_token_size"] = size if own_size is None else own_size
        if name != "semantic_vector":
            changes["chunk_overlap_token_size"] = overlap if own_overlap is None else own_overlap
        choices[name] = dataclasses.replace(choices[name], **changes)

    change(
        "fixed_token",
        said.f_size,
        said.f_overlap,
        split_by_character=said.f_split_by_character,
        split_by_character_only=said.f_split_by_character_only,
    )
    change("recursive_character", said.r_size, said.r_overlap, separators=said.r_separators or SEPARATORS)
    change(
        "semantic_vector",
        said.v_size,
        None,
        breakpoint_threshold_type=said.v_threshold_type,
        breakpoint_threshold_amount=said.v_threshold_amount,
        buffer_size=said.v_buffer_size,
    )
    change("paragraph_semantic", said.p_size, said.p_overlap, drop_references=said.p_drop_references)
    return ChunkingRules(strategy, choices, said.v_sentence_pattern)


def _picture_rules(settings: Settings) -> PictureRules:
    parsing = settings.parsing
    rules = PictureRules(parsing.max_pictures, parsing.picture_min_pixels, parsing.picture_max_bytes)
    return dataclasses.replace(rules, max_total_bytes=max(rules.max_total_bytes, rules.max_bytes))


def _illustrator(settings: Settings, models: Models) -> Illustrator | None:
    chat = models.lasting(Role.IMAGE2TEXT)
    if chat is None:
        return None
    return Illustrator(chat, language=settings.indexing.language, parallel=settings.llm.extract.max_async)


def _parser(settings: Settings) -> DocumentParser:
    parsing = settings.parsing
    password = parsing.pdf_password.get_secret_value() if parsing.pdf_password else None
    return DocumentParser(
        ParseLimits(
            max_file_bytes=settings.server.max_upload_bytes,
            max_text_chars=parsing.max_text_chars,
            max_pages=parsing.max_pages,
            max_decompressed_bytes=parsing.max_decompressed_bytes,
            timeout_seconds=parsing.timeout_seconds,
            max_memory_bytes=parsing.max_memory_bytes,
        ),
        password,
        # Each reader may take `max_memory_bytes`, so no more of them than there are cores to feed.
        workers=min(settings.indexing.max_parallel_insert, max(1, (os.cpu_count() or 2) // 2)),
    )
