"""What a file may cost at most before its reading is given up."""

from __future__ import annotations

import dataclasses

MIB = 1024 * 1024


@dataclasses.dataclass(frozen=True, slots=True)
class ParseLimits:
    """Bounds on one file. Sizes are in bytes, times in seconds."""

    max_file_bytes: int = 100 * MIB
    max_text_chars: int = 100 * MIB
    """Characters of the text, after clean-up."""
    max_pages: int = 20_000
    max_decompressed_bytes: int = 512 * MIB
    """Sum over all entries of a zip container."""
    max_compression_ratio: int = 200
    """Decompressed bytes per byte of a zip container; checked above 16 MiB decompressed."""
    max_archive_entries: int = 20_000
    timeout_seconds: float = 300.0
    max_memory_bytes: int = 1024 * MIB
    """Address space of the process that reads binary formats, where the system can limit it."""
