"""LightRAG's function that cuts texts by tokens."""

from __future__ import annotations

from typing import Any

from lightrag.exceptions import ChunkTokenLimitExceededError
from lightrag.utils import TokenizerInterface

__all__ = ["chunking_by_token_size"]


def chunking_by_token_size(
    tokenizer: TokenizerInterface,
    content: str,
    split_by_character: str | None = None,
    split_by_character_only: bool = False,
    chunk_overlap_token_size: int = 100,
    chunk_token_size: int = 1200,
) -> list[dict[str, Any]]:
    """Cut a text into windows of tokens; return `tokens`, `content` and `chunk_order_index` of each.

    `split_by_character`: cut there first; pieces that are too long are cut into windows, or, with
    `split_by_character_only`, raise `ChunkTokenLimitExceededError`. Raises `ValueError` where windows cannot move on.
    """
    if chunk_overlap_token_size >= chunk_token_size:
        raise ValueError(
            f"chunk_overlap_token_size ({chunk_overlap_token_size}) must be less than chunk_token_size "
            f"({chunk_token_size})"
        )
    pieces = content.split(split_by_character) if split_by_character else [content]
    found: list[tuple[int, str]] = []
    for piece in pieces:
        tokens = tokenizer.encode(piece)
        if split_by_character and split_by_character_only:
            if len(tokens) > chunk_token_size:
                raise ChunkTokenLimitExceededError(len(tokens), chunk_token_size, piece[:120])
            found.append((len(tokens), piece))
        elif split_by_character and len(tokens) <= chunk_token_size:
            found.append((len(tokens), piece))
        else:
            for start in range(0, len(tokens), chunk_token_size - chunk_overlap_token_size):
                window = tokens[start : start + chunk_token_size]
                found.append((len(window), tokenizer.decode(window)))
    return [
        {"tokens": count, "content": text.strip(), "chunk_order_index": index}
        for index, (count, text) in enumerate(found)
    ]
