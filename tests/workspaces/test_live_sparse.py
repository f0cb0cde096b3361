"""Which workspaces get the server's sparse weights."""

from __future__ import annotations

import dataclasses
from typing import cast

import pytest

from lightrag.workspaces.live_embedding import LiveSparse
from lightrag.workspaces.live_models import LiveModels
from tests.sparse_words import SparseWords


@dataclasses.dataclass
class Live:
    """What is asked of a workspace's models."""

    is_servers: bool

    async def refresh(self) -> None:
        """Do nothing."""

    def uses_server_embedding(self) -> bool:
        """Tell what was said."""
        return self.is_servers


@pytest.mark.parametrize("is_servers", [True, False])
async def test_texts_go_to_the_servers_model_only_from_workspaces_that_use_it(is_servers: bool) -> None:
    words = SparseWords()
    sparse = LiveSparse(cast(LiveModels, Live(is_servers)), words)
    found = await sparse.weights(["ada wrote"], purpose="document")
    assert found == ([{"ada": 3.0, "wrote": 5.0}] if is_servers else [{}])
    assert words.asked == ([("ada wrote",)] if is_servers else [])
