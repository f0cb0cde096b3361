"""Checks and fingerprints of model files, before any library is given them."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from llmservice.backends.contracts import ModelSource
from llmservice.errors import ModelLoadError

LONGEST_DEFAULT_CONTEXT = 8192
_UNKNOWN_CONTEXT = 2048
_SAMPLE = 1 << 20
_WEIGHTS = (".gguf", ".safetensors", ".onnx", ".data", ".bin", ".pt")


def require_readable(path: Path) -> None:
    """Raise `ModelLoadError` where a file or directory is missing or may not be read."""
    if not path.exists():
        raise ModelLoadError(f"There is no model at {path}; correct the tier's model path or put the file there")
    if not os.access(path, os.R_OK | (os.X_OK if path.is_dir() else 0)):
        raise ModelLoadError(f"The model at {path} may not be read by this user; change its permissions")
    if path.is_file() and path.stat().st_size == 0:
        raise ModelLoadError(f"The model file {path} is empty; download or copy it again")


def default_context(source: ModelSource, own: int | None) -> int:
    """Return the tokens of a context whose length is not set: the model's own, but no more than memory may hold."""
    return min(own or _UNKNOWN_CONTEXT, int(source.options.get("longest_default_context", LONGEST_DEFAULT_CONTEXT)))


def fingerprint(path: Path) -> str:
    """Return 16 hex digits that change with a file's content, or with any file of a directory.

    Large files count by size, modification time and their first and last MiB, so that this takes milliseconds.
    """
    digest = hashlib.sha256()
    for file in _files(path):
        stat = file.stat()
        digest.update(f"{file.name}\0{stat.st_size}\0{stat.st_mtime_ns}\0".encode())
        with file.open("rb") as stream:
            digest.update(stream.read(_SAMPLE))
            if stat.st_size > _SAMPLE:
                stream.seek(max(_SAMPLE, stat.st_size - _SAMPLE))
                digest.update(stream.read(_SAMPLE))
    return digest.hexdigest()[:16]


def read_json(path: Path) -> dict[str, Any]:
    """Return a JSON object out of a file, or an empty one where there is no such file."""
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text("utf-8"))
    except (ValueError, OSError) as error:
        raise ModelLoadError(f"{path} is not readable JSON ({error}); download or copy it again") from error
    if not isinstance(found, dict):
        raise ModelLoadError(f"{path} holds no JSON object; download or copy it again")
    return found


def _files(path: Path) -> list[Path]:
    if path.is_file():
        beside = [path.with_name(path.name + "_data"), path.with_name(path.name + ".data")]
        return [path, *(file for file in beside if file.is_file())]
    wanted = (*_WEIGHTS, ".json", "_data")
    return sorted(file for file in path.rglob("*") if file.is_file() and file.name.endswith(wanted))
