"""Say of what call a row of the ledger is a part, and how many calls kept answers saved."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add two columns."""
    op.add_column("usage_entry", sa.Column("part_of", sa.String(length=32), nullable=True))
    op.add_column("usage_day", sa.Column("cached_answers", sa.BigInteger(), nullable=False, server_default="0"))


def downgrade() -> None:
    """Remove them."""
    with op.batch_alter_table("usage_day") as table:
        table.drop_column("cached_answers")
    with op.batch_alter_table("usage_entry") as table:
        table.drop_column("part_of")
