from __future__ import annotations

from collections.abc import Iterator

import pytest

from .front import Front, running


@pytest.fixture(scope="session")
def fake_models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Variables of a service with every tier but HEAVY, whose models are made of rules."""
    folder = tmp_path_factory.mktemp("models")
    (folder / "qwen-0.5b.gguf").write_bytes(b"GGUF")
    (folder / "embed").mkdir()
    (folder / "embed" / "model.onnx").write_bytes(b"x")
    return {
        "LIGHT_MODEL_PATH": str(folder / "qwen-0.5b.gguf"),
        "LIGHT_SLOTS": "2",
        "LIGHT_QUEUE_SIZE": "3",
        "MEDIUM_MODEL_PATH": str(folder / "qwen-0.5b.gguf"),
        "MEDIUM_MODEL_NAME": "qwen-7b",
        "EMBEDDING_MODEL_PATH": str(folder / "embed"),
        "RERANKER_MODEL_PATH": str(folder / "embed"),
        "MODEL_ALIASES": "gpt-4o=light",
    }


@pytest.fixture(scope="session")
def front(fake_models: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """A service that all tests share which do not change how it runs."""
    with running(tmp_path_factory.mktemp("front"), fake_models) as one:
        yield one
