"""An engine that cannot be put together leaves nothing open."""

from __future__ import annotations

from pathlib import Path

import pytest

from lightrag.assembly import open_engine
from lightrag.engine_models import Models
from lightrag.errors import ConfigurationError
from lightrag.indexing.manifest import Manifest
from lightrag.llm.meter import UsageMeter
from lightrag.settings import Settings, load_settings
from lightrag.storage.contracts import Storage
from lightrag.testing.fake_models import FakeEmbedding


async def test_models_are_closed_where_the_settings_ask_for_one_that_is_missing(tmp_path: Path) -> None:
    settings = load_settings([], {"LIGHTRAG_EXTRACTOR": "llm", "WORKING_DIR": str(tmp_path / "rag_storage")}, tmp_path)
    embedding = FakeEmbedding()

    async def models(settings: Settings, storage: Storage, recorded: Manifest | None) -> Models:
        return Models({}, embedding, None, (), UsageMeter())

    with pytest.raises(ConfigurationError, match="no language model is configured"):
        await open_engine(settings, models=models)
    assert embedding.closed
