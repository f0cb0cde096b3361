"""LightRAG's wrapper around an embedding function: the function with what is known of its vectors."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

_NAMES_A_MODEL = frozenset({"model", "embed_model", "base_url", "host", "tokenizer"})
"""Arguments by which a caller chooses another model than the one that the dimension is noted of."""


@dataclasses.dataclass
class EmbeddingFunc:
    """An embedding function. Awaiting a call returns an array of shape (len(texts), embedding_dim).

    `func`: takes a list of texts; returns the array, or something awaitable that gives it. A wrapped `EmbeddingFunc` is
    unwrapped. `max_token_size`: longest text that the model takes. `send_dimensions`: pass `embedding_dim` on to
    `func`. `supports_asymmetric`: `func` takes `context`, which is "query" or "document".
    """

    embedding_dim: int
    func: Callable[..., Any]
    max_token_size: int | None = None
    send_dimensions: bool = False
    model_name: str | None = None
    supports_asymmetric: bool = False
    concurrent_limit: dataclasses.InitVar[int | None] = None
    """Of old versions; how many calls run at once is the engine's matter."""

    def __post_init__(self, concurrent_limit: int | None) -> None:
        while isinstance(self.func, EmbeddingFunc):
            self.func = self.func.func

    async def __call__(self, *args: Any, **kwargs: Any) -> npt.NDArray[Any]:
        """Embed texts. Raises `ValueError` where other vectors come back than were asked for."""
        if self.send_dimensions and "embedding_dim" not in kwargs:
            kwargs["embedding_dim"] = self.embedding_dim
        if not self.supports_asymmetric:
            kwargs.pop("context", None)
        result = self.func(*args, **kwargs)
        if inspect.isawaitable(result):
            result = await result
        vectors = np.asarray(result)
        texts = args[0] if args else kwargs.get("texts")
        if isinstance(texts, Sequence) and not isinstance(texts, str):
            self._check(vectors, len(texts), is_other_model=bool(kwargs.keys() & _NAMES_A_MODEL))
        return vectors

    def _check(self, vectors: npt.NDArray[Any], count: int, *, is_other_model: bool) -> None:
        dimension = vectors.shape[-1] if is_other_model and vectors.ndim == 2 else self.embedding_dim
        if vectors.size != count * dimension:
            raise ValueError(
                f"the embedding function returned an array of shape {vectors.shape} for {count} texts, where "
                f"({count}, {self.embedding_dim}) was expected; set embedding_dim to what the model gives"
            )


def wrap_embedding_func_with_attrs(**attributes: Any) -> Callable[[Callable[..., Any]], EmbeddingFunc]:
    """Return a decorator that makes an `EmbeddingFunc` of a function; `attributes` are those of `EmbeddingFunc`."""

    def decorate(func: Callable[..., Any]) -> EmbeddingFunc:
        return EmbeddingFunc(func=func, **attributes)

    return decorate
