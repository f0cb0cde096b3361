"""Runs migrations on the connection that `lightrag.tenancy.schema_version.upgrade` hands over."""

from __future__ import annotations

from alembic import context

from lightrag.tenancy.tables import Base

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=Base.metadata,
    render_as_batch=connection.dialect.name == "sqlite",
    transactional_ddl=False,
)
# The caller's transaction is the only one: schema and version change together or not at all.
context.run_migrations()
