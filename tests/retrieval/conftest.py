from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from lightrag.storage.contracts import Storage
from lightrag.storage.memory import MemoryStorage
from lightrag.storage.sqlite import SQLiteStorage
from tests.retrieval.library import FILMS, shelve


@pytest.fixture(params=["memory", "sqlite"])
async def storage(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Storage]:
    """An open, empty storage."""
    made: Storage = MemoryStorage("") if request.param == "memory" else SQLiteStorage(tmp_path, "")
    await made.open()
    yield made
    await made.close()


@pytest.fixture
async def films() -> AsyncIterator[Storage]:
    """The library of films, in memory."""
    made = MemoryStorage("")
    await made.open()
    await shelve(made, FILMS)
    yield made
    await made.close()
