"""Runs migrations on the connection that `config_service.setup` passes in."""

from alembic import context

from config_service.tables import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    transaction_per_migration=False,
)
context.run_migrations()
