"""Tiny real models, made once for all tests of the backends."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from llmservice.backends.contracts import ChatBackend, ModelSource
from llmservice.backends.factory import load_backend
from llmservice.convert import convert_directory
from llmservice.testing.tiny_encoders import (
    make_tiny_bert_embedder,
    make_tiny_bert_reranker,
    make_tiny_bge_m3,
    make_tiny_xlmr_reranker,
)
from llmservice.testing.tiny_gguf_encoders import write_gguf_encoder
from llmservice.testing.tiny_llama import TinyLlama, make_tiny_llama


@dataclasses.dataclass(frozen=True)
class Encoder:
    """One tiny encoder in all its forms."""

    directory: Path
    onnx: Path
    gguf: Path


@pytest.fixture(scope="session")
def llama(tmp_path_factory: pytest.TempPathFactory) -> TinyLlama:
    return make_tiny_llama(tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="session")
def encoders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Encoder]:
    folder = tmp_path_factory.mktemp("encoders")
    makers: dict[str, Callable[[Path], Path]] = {
        "bge-m3": make_tiny_bge_m3,
        "xlmr-reranker": make_tiny_xlmr_reranker,
        "bert-reranker": make_tiny_bert_reranker,
        "bert-embedder": make_tiny_bert_embedder,
    }
    found = {}
    for name, make in makers.items():
        directory = make(folder / name)
        convert_directory(directory, folder / f"{name}-onnx")
        gguf = write_gguf_encoder(directory, folder / f"{name}.gguf")
        found[name] = Encoder(directory, folder / f"{name}-onnx", gguf)
    return found


def source(path: Path, **fields: Any) -> ModelSource:
    return ModelSource(path, path.stem, threads=1, **fields)


def chat_source(llama: TinyLlama, engine: str, slots: int = 4, context: int = 512) -> ModelSource:
    path = llama.gguf if engine == "llamacpp" else llama.directory
    return source(path, slots=slots, context_length=context)


@pytest.fixture(params=["llamacpp", "mlx"])
async def model(request: pytest.FixtureRequest, llama: TinyLlama) -> AsyncIterator[ChatBackend]:
    """A language model with four slots of 512 tokens, once on each engine."""
    loaded = load_backend("chat", chat_source(llama, request.param), request.param)
    yield loaded
    await loaded.aclose()
