"""Says why each passage is in the context."""

from __future__ import annotations

from lightrag.types import RankedChunk, Retrieved


def explain_chunk(chunk: RankedChunk) -> str:
    """Return the lists that found a passage, as in "dense #3 (0.612), graph #1 (0.0812)"."""
    return ", ".join(f"{found.list_name} #{found.rank} ({found.score:.3g})" for found in chunk.found_by) or "—"


def explain(retrieved: Retrieved) -> list[str]:
    """Return one line per passage: rank, score, where it stands, and which lists found it."""
    lines = []
    for rank, ranked in enumerate(retrieved.chunks, 1):
        chunk = ranked.chunk
        pages = "" if chunk.page_start is None else f" p. {chunk.page_start}"
        if chunk.page_end is not None and chunk.page_end != chunk.page_start:
            pages += f"–{chunk.page_end}"
        where = f"{chunk.file_path}{pages} [{chunk.start}:{chunk.end}]"
        lines.append(f"{rank:>3}. {ranked.score:.4g}  {where}  {explain_chunk(ranked)}")
    return lines
