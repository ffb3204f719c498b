"""The audit log with its key, running clients, replicas, compaction."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Create the tables; hashes of answered requests were made with another key before."""
    op.execute("DELETE FROM idempotency_keys")
    op.add_column("config_settings", sa.Column("store_key", sa.Text))
    op.add_column("config_settings", sa.Column("audit_head", sa.Text))
    op.add_column(
        "config_settings",
        sa.Column("compacted_through", sa.BigInteger, nullable=False, server_default="0"),
    )
    op.create_table(
        "audit_events",
        sa.Column("sequence", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("at", sa.String(40), nullable=False),
        sa.Column("principal", sa.String(200), nullable=False),
        sa.Column("action", sa.String(60), nullable=False),
        sa.Column("epoch", sa.String(36), nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("facts", sa.Text, nullable=False),
        sa.Column("mac", sa.String(64), nullable=False),
    )
    op.create_table(
        "client_status",
        sa.Column("principal", sa.String(200), primary_key=True),
        sa.Column("instance_id", sa.String(100), primary_key=True),
        sa.Column("reported_at", sa.String(40), nullable=False),
        sa.Column("report", sa.Text, nullable=False),
    )
    op.create_table(
        "replica_status",
        sa.Column("replica_id", sa.String(36), primary_key=True),
        sa.Column("seen_at", sa.String(40), nullable=False),
        sa.Column("key_ids", sa.Text, nullable=False),
    )
