"""Say which key-encryption key is in use, and which process made a reservation."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add a table and a column."""
    op.create_table(
        "key_in_use",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("kek_id", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_key_in_use"),
    )
    op.add_column("usage_reservation", sa.Column("owner", sa.String(length=160), nullable=False, server_default=""))


def downgrade() -> None:
    """Remove them."""
    with op.batch_alter_table("usage_reservation") as table:
        table.drop_column("owner")
    op.drop_table("key_in_use")
