"""The public names of the engine, imported when they are used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lightrag.base import QueryParam
    from lightrag.lightrag import LightRAG
    from lightrag.llm.embedding_func import EmbeddingFunc

__all__ = ["EmbeddingFunc", "LightRAG", "QueryParam"]

_MODULES = {
    "EmbeddingFunc": "lightrag.llm.embedding_func",
    "LightRAG": "lightrag.lightrag",
    "QueryParam": "lightrag.base",
}


def __getattr__(name: str) -> Any:
    """Return a public name; importing it takes as long as the engine does, which `import lightrag` should not."""
    if name == "__version__":
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version("lightrag-server")
        except PackageNotFoundError:
            return "0"
    if name not in _MODULES:
        raise AttributeError(f"module 'lightrag' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__, "__version__"])
