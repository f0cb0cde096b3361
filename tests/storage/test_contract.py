"""Both families fulfil the contracts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from lightrag.storage.contracts import Storage
from lightrag.storage.memory import MemoryStorage
from lightrag.storage.sqlite import SQLiteStorage
from lightrag.testing.storage_congruence import CongruenceContract
from lightrag.testing.storage_contract import StorageContract


class TestMemory(StorageContract, CongruenceContract):
    @pytest.fixture
    async def storage(self) -> Storage:
        return MemoryStorage("w")


class TestSQLite(StorageContract, CongruenceContract):
    @pytest.fixture
    async def storage(self, tmp_path: Path) -> AsyncIterator[Storage]:
        storage = SQLiteStorage(tmp_path, "w")
        await storage.open()
        yield storage
        await storage.close()
