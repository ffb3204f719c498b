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
)
"""The head: one row."""

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
