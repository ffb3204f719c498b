"""The tables, shared by the store and the migrations.

Clear are numbers, times, authors, reasons, changed paths and key ids; documents and secrets are
sealed text.
"""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Integer,
    MetaData,
    String,
    Table,
    Text,
)

METADATA = MetaData()

SETTINGS = Table(
    "config_settings",
    METADATA,
    Column("id", Integer, CheckConstraint("id = 1"), primary_key=True, autoincrement=False),
    Column("store_id", String(36), nullable=False),
    Column("epoch", String(36), nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("updated_at", String(40), nullable=False),
    Column("updated_by", String(200), nullable=False),
    Column("store_key", Text),
    Column("audit_head", Text),
    Column("compacted_through", BigInteger, nullable=False, server_default="0"),
)
"""The head: one row. The sealed store key proves the key ring; the audit head ends the chain."""

REVISIONS = Table(
    "config_revisions",
    METADATA,
    Column("revision", BigInteger, primary_key=True, autoincrement=False),
    Column("origin", String(20), nullable=False),
    Column("created_at", String(40), nullable=False),
    Column("author", String(200), nullable=False),
    Column("reason", Text, nullable=False),
    Column("changed_paths", Text, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("schema_version", Integer, nullable=False),
    Column("document", Text, nullable=False),
)
"""The history: every revision whole, its document sealed."""

IDEMPOTENCY = Table(
    "idempotency_keys",
    METADATA,
    Column("principal", String(200), primary_key=True),
    Column("request_id", String(36), primary_key=True),
    Column("request_hash", String(64), nullable=False),
    Column("answer", Text, nullable=False),
    Column("created_at", String(40), nullable=False, index=True),
)
"""Answers to requests that carried an id, sealed, kept for a day."""

SECRETS = Table(
    "config_secrets",
    METADATA,
    Column("name", String(100), primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("value", Text),
    Column("key_id", String(12), nullable=False),
    Column("fingerprint", String(12), nullable=False),
    Column("set_at", String(40), nullable=False),
    Column("set_by", String(200), nullable=False),
)
"""The secrets: sealed values; a cleared one keeps its row and version."""

AUDIT = Table(
    "audit_events",
    METADATA,
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("at", String(40), nullable=False),
    Column("principal", String(200), nullable=False),
    Column("action", String(60), nullable=False),
    Column("epoch", String(36), nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("facts", Text, nullable=False),
    Column("mac", String(64), nullable=False),
)
"""Who did what, chained."""

CLIENTS = Table(
    "client_status",
    METADATA,
    Column("principal", String(200), primary_key=True),
    Column("instance_id", String(100), primary_key=True),
    Column("reported_at", String(40), nullable=False),
    Column("report", Text, nullable=False),
)
"""The last word of every matcher, sealed."""

REPLICAS = Table(
    "replica_status",
    METADATA,
    Column("replica_id", String(36), primary_key=True),
    Column("seen_at", String(40), nullable=False),
    Column("key_ids", Text, nullable=False),
)
"""Which running servers hold which keys."""
