"""What a tier's files are: checked before a model is loaded, so that a mistake is named at the start."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal

from llmservice.config import Settings, TierSettings, kind_of
from llmservice.errors import ConfigurationError
from llmservice.tiers import ModelKind, Tier

Engine = Literal["llamacpp", "mlx", "onnx"]

_GGUF_MAGIC = b"GGUF"
_ENGINES: dict[str, Engine] = {"llamacpp": "llamacpp", "mlx": "mlx", "onnx": "onnx"}


def check_files(settings: Settings) -> None:
    """Check that each tier's files are there and fit its backend.

    Raises:
        ConfigurationError: with the variables to change.
    """
    problems = [problem for tier, one in settings.tiers.items() if (problem := _problem(tier, one))]
    if problems:
        raise ConfigurationError("\n".join(problems))


def engine_of(settings: TierSettings) -> Engine:
    """Return the engine that a tier's model runs on; `auto` goes by the files."""
    if settings.backend != "auto":
        return _ENGINES[settings.backend]
    path = settings.model_path
    assert path is not None
    if path.is_file():
        return "onnx" if path.suffix == ".onnx" else "llamacpp"
    return "onnx" if _onnx_files(path) else "mlx"


def fingerprint(settings: TierSettings, kind: ModelKind) -> str:
    """Return what changes with a tier's files and with how they are loaded. Reads file sizes and times."""
    path = settings.model_path
    assert path is not None
    files = [path] if path.is_file() else sorted(item for item in path.rglob("*") if item.is_file())
    digest = hashlib.blake2b(digest_size=16)
    digest.update(repr((kind, str(path.resolve()), engine_of(settings), settings.n_ctx, settings.options)).encode())
    for file in files:
        stat = file.stat()
        digest.update(f"{file}\0{stat.st_size}\0{stat.st_mtime_ns}\0".encode())
    return digest.hexdigest()


def _problem(tier: Tier, settings: TierSettings) -> str | None:
    path = settings.model_path
    assert path is not None
    variable = f"{tier.prefix}MODEL_PATH"
    if not path.exists():
        return f"{variable}: there is no file or directory {path}; correct the path"
    if path.is_file() and path.stat().st_size == 0:
        return f"{variable}: {path} is empty; download or copy the model again"
    try:
        return _format_problem(tier, settings, path, variable)
    except OSError as error:
        return f"{variable}: {path} cannot be read ({error.strerror}); check its permissions"


def _format_problem(tier: Tier, settings: TierSettings, path: Path, variable: str) -> str | None:
    engine = engine_of(settings)
    backend = f"{tier.prefix}BACKEND"
    kind = kind_of(tier, settings)
    if engine == "llamacpp":
        if path.is_dir():
            return f"{variable}: {path} is a directory and llama.cpp needs a GGUF file; name the file, or set {backend}"
        with path.open("rb") as file:
            if file.read(4) != _GGUF_MAGIC:
                return f"{variable}: {path} is not a GGUF file; use a .gguf model, or set {backend} to what it is"
    elif engine == "mlx":
        if not path.is_dir() or not (path / "config.json").is_file():
            return f"{variable}: {path} is not an MLX directory (with config.json); correct it, or set {backend}"
        if kind != "chat":
            return f"{backend}: mlx serves language models only; convert the model and use onnx, or use a GGUF file"
    else:
        if kind == "chat":
            return f"{backend}: onnx serves embedders and rerankers only; use llamacpp or mlx for {tier.name}"
        if path.is_dir() and not _onnx_files(path):
            return f"{variable}: {path} holds no .onnx file; make one with `llmservice convert`"
    return None


def _onnx_files(path: Path) -> list[Path]:
    return [*path.glob("*.onnx"), *path.glob("onnx/*.onnx")]
