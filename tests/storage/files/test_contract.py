"""The storage in LightRAG's files fulfils the contracts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from lightrag.storage.contracts import Storage
from lightrag.storage.files import FileStorage
from lightrag.testing.storage_congruence import CongruenceContract
from lightrag.testing.storage_contract import StorageContract


class TestFiles(StorageContract, CongruenceContract):
    @pytest.fixture
    async def storage(self, tmp_path: Path) -> AsyncIterator[Storage]:
        storage = FileStorage(tmp_path, "w")
        await storage.open()
        yield storage
        await storage.close()
