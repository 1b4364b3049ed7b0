"""How Alembic reaches the database: always a live one, all revisions in one transaction, one process at a time."""

from alembic import context
from alembic.util import CommandError
from sqlalchemy import create_engine, pool, text

from app.lineage.engine import sqlalchemy_url
from app.lineage.migrate import is_ours, upgrade_lock
from app.lineage.tables import Base
from app.settings import Settings


def configured_url() -> str:
    """What the caller gave (`app.lineage.migrate`), else the setting, for the `alembic` command itself."""
    given = context.config.attributes.get("url")
    if isinstance(given, str):
        return given
    setting = Settings().database_url
    if setting is None:
        raise CommandError("set GLULAM_DATABASE_URL, or use `python -m app migrate` for the embedded Postgres")
    return setting.get_secret_value()


engine = create_engine(sqlalchemy_url(configured_url()), poolclass=pool.NullPool)
with engine.connect() as connection:
    context.configure(
        connection=connection, target_metadata=Base.metadata, include_object=is_ours, compare_server_default=True
    )
    with context.begin_transaction():
        # servers that start together take turns: the second finds nothing left to do
        connection.execute(text("SET LOCAL lock_timeout = '5min'"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": upgrade_lock})
        # and a table in use is not waited for so long that everybody queues behind us
        connection.execute(text("SET LOCAL lock_timeout = '10s'"))
        context.run_migrations()
