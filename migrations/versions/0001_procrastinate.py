"""The job queue's own tables: Procrastinate's schema as of release 3.10, MIT licence, unchanged.

A copy, since the installed package always carries its newest schema: what a later release changes becomes a later revision.
"""

from pathlib import Path

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

schema = Path(__file__).parents[1] / "sql" / "procrastinate_3_10.sql"

drop_everything = """
DO $$
DECLARE
    found record;
BEGIN
    FOR found IN SELECT oid::regclass AS name FROM pg_class
        WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace AND starts_with(relname, 'procrastinate_')
    LOOP
        EXECUTE 'DROP TABLE ' || found.name || ' CASCADE';
    END LOOP;
    FOR found IN SELECT oid::regprocedure AS name FROM pg_proc
        WHERE pronamespace = current_schema()::regnamespace AND starts_with(proname, 'procrastinate_')
    LOOP
        EXECUTE 'DROP FUNCTION ' || found.name || ' CASCADE';
    END LOOP;
    FOR found IN SELECT oid::regtype AS name FROM pg_type
        WHERE typnamespace = current_schema()::regnamespace AND starts_with(typname, 'procrastinate_')
        AND (typtype = 'e' OR (typtype = 'c' AND typrelid NOT IN (SELECT oid FROM pg_class WHERE relkind <> 'c')))
    LOOP
        EXECUTE 'DROP TYPE ' || found.name || ' CASCADE';
    END LOOP;
END
$$
"""


def upgrade() -> None:
    op.execute(schema.read_text())


def downgrade() -> None:
    op.execute(drop_everything)
