"""LightRAG's functions around state that processes share.

Here every engine keeps its own state in its stores, so that there is nothing to set up or tear down: the calls are
accepted and do nothing.
"""

from __future__ import annotations

from typing import Any


def initialize_share_data(workers: int = 1, **unused: Any) -> None:
    """Nothing is needed."""


def finalize_share_data() -> None:
    """Nothing is needed."""


def set_default_workspace(workspace: str | None = None) -> None:
    """Nothing is needed: an instance knows its workspace."""


async def initialize_pipeline_status(workspace: str | None = None) -> None:
    """Nothing is needed: an instance keeps its pipeline's state."""


async def get_namespace_data(namespace: str, first_init: bool = False, workspace: str | None = None) -> dict[str, Any]:
    """Return an empty state; that of a pipeline is told by the instance."""
    return {}
