"""File names from outside: made safe once, and never trusted to stay inside a folder."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

from lightrag.errors import InvalidInput

MAX_NAME_BYTES = 240
"""Most file systems allow 255 bytes; the rest is for suffixes such as `_001`."""

MAX_DEPTH = 32
MAX_PATH_BYTES = 700

_DROPPED = re.compile("[/\\\\\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff\ufffe\uffff\ud800-\udfff]")
_DOTS = re.compile(r"\.{2,}")
_RESERVED = re.compile(r"(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\.|\Z)", re.IGNORECASE)


def safe_file_name(name: str) -> str:
    """Return `name` as one that can be stored in a folder.

    Path separators and control characters are dropped, `..` loses its meaning, blanks and dots at the ends go, Unicode
    is composed (NFC), and names that Windows keeps for devices get an underscore in front. Raises InvalidInput where
    the name is empty, nothing of it is left, or it is longer than 240 bytes.
    """
    if not name or not name.strip():
        raise InvalidInput("Filename cannot be empty")
    safe = _DROPPED.sub("", unicodedata.normalize("NFC", name))
    safe = _DOTS.sub(".", safe).strip().strip(". \t\xa0").strip()
    if not safe:
        raise InvalidInput("Invalid filename after sanitization")
    if _RESERVED.match(safe):
        safe = f"_{safe}"
    if (size := len(safe.encode("utf-8"))) > MAX_NAME_BYTES:
        raise InvalidInput(f"Filename is too long: {size} bytes, at most {MAX_NAME_BYTES} are allowed. Shorten it.")
    return safe


def safe_folder(path: str) -> str:
    """Return a relative folder with forward slashes, empty for none.

    Raises InvalidInput where it leads upwards, begins at a root, is hidden, or has a part that is no safe name: a
    folder is refused rather than renamed, since two folders must not become one.
    """
    text = path.strip().replace("\\", "/").rstrip("/")
    if not text:
        return ""
    parts = text.split("/")
    if len(parts) > MAX_DEPTH or len(text.encode("utf-8", "replace")) > MAX_PATH_BYTES:
        raise InvalidInput(f"The folder is too deep or too long; at most {MAX_DEPTH} parts and {MAX_PATH_BYTES} bytes")
    for part in parts:
        if not part or part.startswith((".", "__")) or part != unicodedata.normalize("NFC", part):
            raise InvalidInput(f"Unsafe folder {path[:200]!r}: its part {part[:100]!r} cannot be used")
        if part != safe_file_name(part):
            raise InvalidInput(f"Unsafe folder {path[:200]!r}: its part {part[:100]!r} is no plain name")
    return text


def resolve_inside(folder: Path, name: str) -> Path:
    """Return the real path of `name` (a file name or relative path) below `folder`.

    Follows symbolic links, so a link that leads out is refused as `..` is. Raises InvalidInput.
    """
    base = folder.resolve()
    try:
        path = (base / name).resolve()
    except (ValueError, OSError, RuntimeError) as error:
        raise InvalidInput(f"Unsafe filename detected: {name[:200]!r}") from error
    if path == base or not path.is_relative_to(base):
        raise InvalidInput(f"Unsafe filename detected: {name[:200]!r}")
    return path
