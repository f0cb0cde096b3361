"""The keys that guard providers' keys are replaced while tenants work, in other processes than theirs."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

from lightrag.settings import load_settings
from lightrag.tenancy.contracts import ModelType
from lightrag.tenancy.control_plane import open_control_plane
from lightrag.tenancy.keyring import new_key_text
from lightrag.tenancy.registry_opening import registry_of
from lightrag.testing.model_server import ModelServer

from ..api.gunicorn_process import running
from .key_load import Operator, Tenants

ENVIRON = {"LLM_BINDING": "none", "EMBEDDING_BINDING": "embedded", "COSINE_THRESHOLD": "-1"}


async def test_no_call_fails_while_all_keys_are_replaced_and_old_ones_are_not_needed_after_it(tmp_path: Path) -> None:
    keys = tmp_path / "kek"
    first = new_key_text()
    keys.write_text(first + "\n")
    environ = ENVIRON | {"LIGHTRAG_KEK_FILE": str(keys)}
    operator = Operator(tmp_path, keys, environ)
    async with ModelServer(dimension=16) as models, running(tmp_path, environ, "--workers", "2") as server:
        tenants = Tenants(server.url, models, 3)
        await tenants.set_up()
        before = _sealed(tmp_path)
        ends = asyncio.Event()
        work = asyncio.create_task(tenants.work(ends, askers=1))
        await operator.rotate("--new", "--renew")
        # The new key lies in the file only; data keys are wrapped by it; the secrets of one tenant are renewed.
        stages = ("a new key stands first", "data keys", "secrets of")
        killed = [await operator.rotate_and_be_killed(stage, "--new", "--renew") for stage in stages]
        await operator.rotate("--renew")
        ends.set()
        await work
        assert tenants.tally.failures == []
        assert set(tenants.tally.calls) == {"question", "key", "trial"}
        assert killed[0]
        await tenants.check_keys_arrive()
        await tenants.close()
    # A start with the last key alone, on what lies in the database.
    assert first not in keys.read_text()
    assert not set(before) & set(_sealed(tmp_path))
    settings = load_settings(None, {"LIGHTRAG_KEK_FILE": str(keys)}, tmp_path)
    plane = await open_control_plane(settings)
    registry = registry_of(settings, plane)
    for workspace in await plane.directory.list():
        found = await registry.candidates(workspace.id, ModelType.CHAT)
        assert {way.secret for way in found} == {tenants.keys[workspace.name]}
        assert {info.key_state for info in await registry.credentials(workspace.id)} == {"set"}
    assert (await plane.vault.rewrap(is_dry=True)).changed == 0
    await plane.close()


def _sealed(folder: Path) -> list[str]:
    with sqlite3.connect(folder / "rag_storage" / "control.sqlite3") as connection:
        return [row[0] for row in connection.execute("SELECT secret FROM credential")]
