from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lightrag import LightRAG
from lightrag.testing.model_server import ModelServer
from lightrag.utils import EmbeddingFunc

EXTRACTION = "\n".join(
    [
        "entity<|#|>Alice<|#|>person<|#|>Alice leads Acme.",
        "entity<|#|>Acme<|#|>organization<|#|>Acme is a firm.",
        "relation<|#|>Alice<|#|>Acme<|#|>leadership<|#|>Alice leads Acme.",
        "<|COMPLETE|>",
    ]
)


async def pieces() -> AsyncIterator[str]:
    for piece in ("Alice ", "leads ", "Acme."):
        yield piece


class Script:
    """The functions of a script, which record how they are called."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []

    async def llm(
        self, prompt: str, system_prompt: str | None = None, history_messages: Any = (), **kwargs: Any
    ) -> Any:
        self.calls.append({"prompt": prompt, "system_prompt": system_prompt, "history": history_messages, **kwargs})
        everything = (system_prompt or "") + prompt
        if kwargs.get("keyword_extraction"):
            return '{"high_level_keywords": ["leadership"], "low_level_keywords": ["Alice"]}'
        if "<|#|>" in everything:
            return EXTRACTION
        return pieces() if kwargs.get("stream") else "Alice leads Acme."

    async def embed(self, texts: list[str]) -> np.ndarray[Any, Any]:
        digests = [hashlib.md5(text.encode()).digest()[:8] for text in texts]
        return np.array([[byte / 255 + 0.5 for byte in digest] for digest in digests])

    @property
    def answers(self) -> list[dict[str, Any]]:
        """Calls that asked for an answer."""
        return [call for call in self.calls if call.get("enable_cot")]


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def make_rag(tmp_path: Path, script: Script, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that makes an instance over one folder."""
    monkeypatch.chdir(tmp_path)

    def make(**fields: Any) -> LightRAG:
        fields.setdefault("embedding_func", EmbeddingFunc(embedding_dim=8, max_token_size=99, func=script.embed))
        return LightRAG(working_dir=str(tmp_path / "rag"), **{"llm_model_func": script.llm} | fields)

    return make


@pytest.fixture
async def server() -> AsyncIterator[ModelServer]:
    async with ModelServer(dimension=16) as running:
        yield running
