"""What is in a control plane of an older schema is in it after the upgrade."""

from __future__ import annotations

import secrets
from pathlib import Path

import asyncpg
import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine

from lightrag.tenancy.contracts import ModelType
from lightrag.tenancy.database import ControlDatabase, control_url
from lightrag.tenancy.ledger import Ledger, UsageEntry
from lightrag.tenancy.schema_version import HEAD, MIGRATIONS
from lightrag.tenancy.usage import UsageReport

WORKSPACE = "w" * 32
ROWS = (
    "INSERT INTO workspace (id, name, description, state, version, labels, created_at, created_by) "
    "VALUES (:workspace, 'one', '', 'active', 1, '{}', 0, '')",
    "INSERT INTO usage_entry (id, at, workspace_id, provider, model, type, operation, prompt_tokens, cached_tokens, "
    "completion_tokens, is_estimated, milliseconds, outcome, request_id) "
    "VALUES ('e', 86400000000, :workspace, 'OpenAI', 'gpt-x', 'chat', 'answer', 7, 0, 3, :no, 5, 'ok', 'r')",
    "INSERT INTO usage_day (workspace_id, day, token_id, provider, model, type, calls, errors, prompt_tokens, "
    "cached_tokens, completion_tokens, cost, unpriced_tokens) "
    "VALUES (:workspace, 1, '', 'OpenAI', 'gpt-x', 'chat', 1, 0, 7, 0, 3, 0, 10)",
)


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return config


OLDER = [
    script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions() if script.revision != HEAD
]


@pytest.fixture(params=["sqlite", "postgres"])
async def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a database without tables."""
    if request.param == "sqlite":
        return control_url(None, tmp_path)
    dsn: str = request.getfixturevalue("postgres_dsn")
    name = f"old_{secrets.token_hex(6)}"
    admin = await asyncpg.connect(dsn)
    await admin.execute(f"CREATE DATABASE {name}")
    await admin.close()
    return control_url(dsn.replace("/postgres?", f"/{name}?"), tmp_path)


@pytest.mark.parametrize("revision", OLDER)
async def test_rows_of_older_schemas_stay_and_new_ones_are_added(url: str, revision: str) -> None:
    def make(connection: Connection) -> None:
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, revision)

    engine = create_async_engine(url)
    async with engine.begin() as connection:
        await connection.run_sync(make)
        for row in ROWS:
            values = {name: value for name, value in {"workspace": WORKSPACE, "no": False}.items() if f":{name}" in row}
            await connection.execute(text(row), values)
    await engine.dispose()
    database = ControlDatabase(url)
    await database.open()
    ledger = Ledger(database)
    ledger.record(UsageEntry(WORKSPACE, "OpenAI", "gpt-x", ModelType.CHAT, "answer", 1, part_of="e"))
    await ledger.close()
    report = UsageReport(database)
    total, rows = await report.total(WORKSPACE), await report.entries(WORKSPACE)
    await database.close()
    assert (total.calls, total.cached_answers, total.prompt_tokens) == (1, 0, 8)
    assert {(row.id == "e", row.part_of) for row in rows} == {(True, None), (False, "e")}
