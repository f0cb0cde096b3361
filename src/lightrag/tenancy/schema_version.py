"""The version of the control plane's schema, and the way from every earlier one to it."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection

HEAD = "0003"
"""The newest revision below migrations/versions; a test compares them."""

MIGRATIONS = Path(__file__).parent / "migrations"


def upgrade(connection: Connection) -> None:
    """Bring the schema to `HEAD` inside the caller's transaction."""
    # Alembic takes a fifth of a second to import; a start with a current schema does without.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
