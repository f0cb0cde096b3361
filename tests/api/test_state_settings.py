"""Settings that change what the server tells of itself."""

from __future__ import annotations

from pathlib import Path

import httpx

from lightrag.api.app import create_app
from lightrag.settings import load_settings


async def test_the_documentation_can_be_left_out(tmp_path: Path) -> None:
    app = create_app(load_settings(None, {"ENABLE_API_DOCS": "false"}, tmp_path))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://server") as client:
        assert [(await client.get(path)).status_code for path in ("/docs", "/redoc", "/openapi.json")] == [404] * 3
        root = await client.get("/")
        assert (root.status_code, root.headers["location"]) == (307, "health")
