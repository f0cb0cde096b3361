"""How documents are cut and how the input folder is treated."""

from __future__ import annotations

import json
import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from lightrag.settings.options import Group, Option

Size = Annotated[int | None, Field(ge=1)]
Overlap = Annotated[int | None, Field(ge=0)]
Strategy = Literal["content_defined", "fixed_token", "recursive_character", "semantic_vector", "paragraph_semantic"]
_LETTERS = {
    "f": "fixed_token",
    "r": "recursive_character",
    "v": "semantic_vector",
    "p": "paragraph_semantic",
}
_ESCAPES = {"\\n": "\n", "\\t": "\t", "\\r": "\r"}
_FOLDER = re.compile(r"[^/\\\x00-\x1f]{1,200}")


def _strategy(value: Any) -> Any:
    return _LETTERS.get(value.strip().lower(), value.strip().lower()) if isinstance(value, str) else value


def _unset(value: Any) -> Any:
    return None if isinstance(value, str) and value.strip().lower() in {"", "none", "null"} else value


def _character(value: Any) -> Any:
    """Read a separator: as it stands, but for `\\n`, `\\t` and `\\r`; nothing for none."""
    if not isinstance(value, str) or value in {"", "None", "none", "null"}:
        return None
    for escape, meant in _ESCAPES.items():
        value = value.replace(escape, meant)
    return value


def _separators(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if not value.strip():
        return None
    try:
        return json.loads(value)
    except json.JSONDecodeError as error:
        raise ValueError(f"should be a JSON list of strings ({error})") from None


def _pattern(value: str | None) -> str | None:
    if value:
        try:
            re.compile(value)
        except re.error as error:
            raise ValueError(f"is not a regular expression ({error})") from None
    return value or None


def _folder(value: str) -> str:
    name = value.strip()
    if name and (name in {".", ".."} or not _FOLDER.fullmatch(name)):
        raise ValueError("should be the plain name of a folder, such as __enqueued__")
    return name


class ChunkingOptions(Group):
    """How documents are cut; requests may say otherwise."""

    chunking: Annotated[Strategy, Option(("LIGHTRAG_CHUNKING",)), BeforeValidator(_strategy)] = Field(
        "content_defined",
        description="how documents are cut: content_defined (updates stay cheap), fixed_token (LightRAG's windows), "
        "recursive_character, semantic_vector or paragraph_semantic; F, R, V and P stand for the last four",
    )
    f_size: Annotated[Size, Option(("CHUNK_F_SIZE",)), BeforeValidator(_unset)] = Field(
        None, description="fixed_token: tokens of a chunk; unset: CHUNK_SIZE"
    )
    f_overlap: Annotated[Overlap, Option(("CHUNK_F_OVERLAP_SIZE",)), BeforeValidator(_unset)] = Field(
        None, description="fixed_token: tokens shared; unset: CHUNK_OVERLAP_SIZE"
    )
    f_split_by_character: Annotated[
        str | None, Option(("CHUNK_F_SPLIT_BY_CHARACTER",)), BeforeValidator(_character), Field(max_length=256)
    ] = Field(None, description="fixed_token: cut at this string first (\\n and \\t are understood)")
    f_split_by_character_only: Annotated[bool, Option(("CHUNK_F_SPLIT_BY_CHARACTER_ONLY",))] = Field(
        False, description="fixed_token: cut nowhere else; a document with a piece that is too long fails"
    )
    r_size: Annotated[Size, Option(("CHUNK_R_SIZE",)), BeforeValidator(_unset)] = Field(
        None, description="recursive_character: tokens of a chunk; unset: CHUNK_SIZE"
    )
    r_overlap: Annotated[Overlap, Option(("CHUNK_R_OVERLAP_SIZE",)), BeforeValidator(_unset)] = Field(
        None, description="recursive_character: tokens shared; unset: CHUNK_OVERLAP_SIZE"
    )
    r_separators: Annotated[
        tuple[Annotated[str, Field(max_length=256)], ...] | None,
        Option(("CHUNK_R_SEPARATORS",)),
        BeforeValidator(_separators),
        Field(max_length=64),
    ] = Field(None, description="recursive_character: JSON list of strings to cut at, best first; unset: built in")
    v_size: Annotated[Size, Option(("CHUNK_V_SIZE",)), BeforeValidator(_unset)] = Field(
        None, description="semantic_vector: most tokens of a chunk; unset: CHUNK_SIZE"
    )
    v_threshold_type: Annotated[
        Literal["percentile", "standard_deviation", "interquartile", "gradient"],
        Option(("CHUNK_V_BREAKPOINT_THRESHOLD_TYPE",)),
    ] = Field("percentile", description="semantic_vector: how the distance is chosen at which a chunk ends")
    v_threshold_amount: Annotated[
        Annotated[float, Field(gt=0)] | None, Option(("CHUNK_V_BREAKPOINT_THRESHOLD_AMOUNT",)), BeforeValidator(_unset)
    ] = Field(None, description="semantic_vector: percentile or factor; unset: 95, 3, 1.5 and 95 in the order above")
    v_buffer_size: Annotated[int, Option(("CHUNK_V_BUFFER_SIZE",))] = Field(
        1, ge=1, le=100, description="semantic_vector: neighbours on either side that are embedded with a sentence"
    )
    v_sentence_pattern: Annotated[str | None, Option(("CHUNK_V_SENTENCE_SPLIT_REGEX",)), AfterValidator(_pattern)] = (
        Field(None, description="semantic_vector: regular expression between sentences; unset: built-in rules")
    )
    p_size: Annotated[int, Option(("CHUNK_P_SIZE",))] = Field(
        2000, ge=1, description="paragraph_semantic: tokens of a chunk"
    )
    p_overlap: Annotated[Overlap, Option(("CHUNK_P_OVERLAP_SIZE",)), BeforeValidator(_unset)] = Field(
        None, description="paragraph_semantic: tokens shared inside a long paragraph; unset: CHUNK_OVERLAP_SIZE"
    )
    p_drop_references: Annotated[bool, Option(("CHUNK_P_DROP_REFERENCES",))] = Field(
        False, description="paragraph_semantic: leave out the list of references"
    )


class ScanOptions(Group):
    """How the input folder is treated."""

    scan_recursive: Annotated[bool, Option(("LIGHTRAG_SCAN_RECURSIVE",))] = Field(
        True, description="a scan looks into folders of the input folder too"
    )
    scan_move_to: Annotated[str, Option(("LIGHTRAG_SCAN_MOVE_TO",)), AfterValidator(_folder)] = Field(
        "",
        description="folder below the input folder to which files are moved once they are processed, such as "
        "__enqueued__ or __parsed__; unset: they stay where they are",
    )
