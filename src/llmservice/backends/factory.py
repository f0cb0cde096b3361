"""Makes the backend of a tier out of what is configured; imports an engine's library only when it is used."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Literal, overload

from llmservice.backends.contracts import Backend, ChatBackend, EmbeddingBackend, ModelSource, RerankBackend
from llmservice.backends.files import require_readable
from llmservice.errors import ModelLoadError

Kind = Literal["chat", "embedding", "rerank"]
ENGINES = ("auto", "llamacpp", "mlx", "onnx")


@overload
def load_backend(kind: Literal["chat"], source: ModelSource, engine: str = "auto") -> ChatBackend: ...
@overload
def load_backend(kind: Literal["embedding"], source: ModelSource, engine: str = "auto") -> EmbeddingBackend: ...
@overload
def load_backend(kind: Literal["rerank"], source: ModelSource, engine: str = "auto") -> RerankBackend: ...
def load_backend(kind: Kind, source: ModelSource, engine: str = "auto") -> Backend:
    """Load a model; blocks, so call it in a thread of the worker process.

    `engine` is one of `ENGINES`; `auto` goes by the files. Raises `ModelLoadError` with the reason and the mend.
    """
    from llmservice.embedders import create_embedder
    from llmservice.model_manager import create_model
    from llmservice.rerankers import create_reranker

    require_readable(source.path)
    chosen = pick_engine(kind, source.path) if engine == "auto" else engine
    if chosen not in ENGINES:
        raise ModelLoadError(f"There is no backend {engine!r}; set one of {', '.join(ENGINES)}")
    if kind == "chat":
        return create_model(source, chosen)
    if kind == "embedding":
        return create_embedder(source, chosen)
    return create_reranker(source, chosen)


def pick_engine(kind: Kind, path: Path) -> str:
    """Return the engine that a model's files are for: GGUF to `llamacpp`, a directory to `mlx` or `onnx`."""
    if path.suffix == ".gguf":
        return "llamacpp"
    if path.is_dir() or path.suffix == ".onnx":
        return "mlx" if kind == "chat" else "onnx"
    return "llamacpp"


def bundled_embedder(threads: int) -> ModelSource:
    """Return the source of the embedding model that the package brings along, all-MiniLM-L6-v2 in int8."""
    import minilm_int8

    folder = Path(str(resources.files(minilm_int8)))
    return ModelSource(folder, "all-minilm-l6-v2", threads, context_length=minilm_int8.MAX_PIECES)
