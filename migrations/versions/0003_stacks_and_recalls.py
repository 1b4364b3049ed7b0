"""Stacks, recalls, events and webhooks, as `app.lineage.stack_tables` and `app.lineage.event_tables` draw them.

Revision: 0003, after 0002
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def json_column(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=nullable)


def time_column(name: str, *, default: str | None = "clock_timestamp()") -> sa.Column[object]:
    server_default = None if default is None else sa.text(default)
    return sa.Column(name, sa.DateTime(timezone=True), server_default=server_default, nullable=default is None)


def upgrade() -> None:
    op.add_column("repositories", sa.Column("on_recall", sa.Text(), server_default="move", nullable=False))
    op.create_check_constraint("on_recall", "repositories", "on_recall in ('move', 'keep')")
    op.add_column("alias_events", sa.Column("by_recall", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.create_index(
        "ix_versions_base_digest",
        "versions",
        [sa.text("(base_model ->> 'digest')")],
        unique=False,
        postgresql_where=sa.text("(base_model ->> 'digest') is not null"),
    )
    op.execute("ALTER TABLE versions SET (fillfactor = 50)")

    op.create_table(
        "stacks",
        sa.Column("repository_id", sa.Uuid(), nullable=False),
        json_column("definition"),
        sa.Column("update_policy", sa.Text(), nullable=False),
        sa.Column("maintainer_id", sa.Uuid(), nullable=False),
        sa.Column("resolved", sa.Text(), nullable=True),
        json_column("problem", nullable=True),
        time_column("updated_at", default="now()"),
        sa.CheckConstraint("update_policy in ('auto', 'propose', 'pin')", name=op.f("ck_stacks_update_policy")),
        sa.ForeignKeyConstraint(["maintainer_id"], ["namespaces.id"], name=op.f("fk_stacks_maintainer_id")),
        sa.ForeignKeyConstraint(["repository_id"], ["repositories.id"], name=op.f("fk_stacks_repository_id")),
        sa.PrimaryKeyConstraint("repository_id", name=op.f("pk_stacks")),
    )
    op.create_index(op.f("ix_stacks_maintainer_id"), "stacks", ["maintainer_id"], unique=False)
    op.create_table(
        "stack_inputs",
        sa.Column("stack_id", sa.Uuid(), nullable=False),
        sa.Column("repository_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(["repository_id"], ["repositories.id"], name=op.f("fk_stack_inputs_repository_id")),
        sa.ForeignKeyConstraint(["stack_id"], ["stacks.repository_id"], name=op.f("fk_stack_inputs_stack_id")),
        sa.PrimaryKeyConstraint("stack_id", "repository_id", name=op.f("pk_stack_inputs")),
    )
    op.create_index(op.f("ix_stack_inputs_repository_id"), "stack_inputs", ["repository_id"], unique=False)
    op.create_table(
        "locks",
        sa.Column("stack_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        json_column("outcome"),
        sa.Column("because", sa.Text(), nullable=False),
        sa.Column("created_by", sa.Uuid(), nullable=False),
        time_column("created_at"),
        sa.ForeignKeyConstraint(["created_by"], ["namespaces.id"], name=op.f("fk_locks_created_by")),
        sa.ForeignKeyConstraint(["stack_id"], ["stacks.repository_id"], name=op.f("fk_locks_stack_id")),
        sa.PrimaryKeyConstraint("stack_id", "number", name=op.f("pk_locks")),
    )
    op.create_table(
        "lock_members",
        sa.Column("stack_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("version_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["stack_id", "number"], ["locks.stack_id", "locks.number"], name=op.f("fk_lock_members_stack_id_number")
        ),
        sa.ForeignKeyConstraint(["version_id"], ["versions.id"], name=op.f("fk_lock_members_version_id")),
        sa.PrimaryKeyConstraint("stack_id", "number", "version_id", name=op.f("pk_lock_members")),
    )
    op.create_index(op.f("ix_lock_members_version_id"), "lock_members", ["version_id"], unique=False)
    op.create_table(
        "proposals",
        sa.Column("stack_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        json_column("outcome"),
        sa.Column("because", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        time_column("created_at"),
        sa.Column("decided_by", sa.Uuid(), nullable=True),
        time_column("decided_at", default=None),
        sa.Column("lock_number", sa.Integer(), nullable=True),
        sa.CheckConstraint("state in ('open', 'accepted', 'rejected', 'withdrawn')", name=op.f("ck_proposals_state")),
        sa.ForeignKeyConstraint(["decided_by"], ["namespaces.id"], name=op.f("fk_proposals_decided_by")),
        sa.ForeignKeyConstraint(["stack_id"], ["stacks.repository_id"], name=op.f("fk_proposals_stack_id")),
        sa.PrimaryKeyConstraint("stack_id", "number", name=op.f("pk_proposals")),
    )
    op.create_index(
        "uq_proposals_open", "proposals", ["stack_id"], unique=True, postgresql_where=sa.text("state = 'open'")
    )

    op.create_table(
        "recalls",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("version_id", sa.Uuid(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("severity", sa.Text(), nullable=False),
        sa.Column("recalled_by", sa.Uuid(), nullable=False),
        time_column("recalled_at"),
        sa.Column("undone_by", sa.Uuid(), nullable=True),
        time_column("undone_at", default=None),
        sa.CheckConstraint("severity in ('low', 'medium', 'high', 'critical')", name=op.f("ck_recalls_severity")),
        sa.ForeignKeyConstraint(["recalled_by"], ["namespaces.id"], name=op.f("fk_recalls_recalled_by")),
        sa.ForeignKeyConstraint(["undone_by"], ["namespaces.id"], name=op.f("fk_recalls_undone_by")),
        sa.ForeignKeyConstraint(["version_id"], ["versions.id"], name=op.f("fk_recalls_version_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_recalls")),
    )
    op.create_index(
        "uq_recalls_active", "recalls", ["version_id"], unique=True, postgresql_where=sa.text("undone_at is null")
    )
    op.create_index("ix_recalls_recalled_at", "recalls", ["recalled_at", "id"], unique=False)
    op.create_table(
        "recall_marks",
        sa.Column("recall_id", sa.Uuid(), nullable=False),
        sa.Column("version_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("recall_id", "version_id", name=op.f("pk_recall_marks")),
    )
    op.create_index(op.f("ix_recall_marks_version_id"), "recall_marks", ["version_id"], unique=False)
    op.create_table(
        "events",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        time_column("at"),
        sa.Column("repository_id", sa.Uuid(), nullable=False),
        sa.Column("version_id", sa.Uuid(), nullable=True),
        json_column("details"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_events")),
    )
    op.create_table(
        "webhooks",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("namespace_id", sa.Uuid(), nullable=False),
        sa.Column("repository_id", sa.Uuid(), nullable=True),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("secret", sa.Text(), nullable=False),
        sa.Column("events", sa.ARRAY(sa.Text()), nullable=False),
        time_column("created_at"),
        time_column("deleted_at", default=None),
        time_column("due_at", default=None),
        time_column("leased_until", default=None),
        sa.ForeignKeyConstraint(["namespace_id"], ["namespaces.id"], name=op.f("fk_webhooks_namespace_id")),
        sa.ForeignKeyConstraint(["repository_id"], ["repositories.id"], name=op.f("fk_webhooks_repository_id")),
        sa.ForeignKeyConstraint(["user_id"], ["namespaces.id"], name=op.f("fk_webhooks_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhooks")),
    )
    op.create_index(op.f("ix_webhooks_namespace_id"), "webhooks", ["namespace_id"], unique=False)
    op.create_index(
        "ix_webhooks_due_at", "webhooks", ["due_at"], unique=False, postgresql_where=sa.text("due_at is not null")
    )
    op.create_table(
        "deliveries",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("public_id", sa.Uuid(), nullable=False),
        sa.Column("webhook_id", sa.Uuid(), nullable=False),
        sa.Column("event_id", sa.BigInteger(), nullable=False),
        sa.Column("replay", sa.Integer(), nullable=False),
        json_column("payload"),
        sa.Column("repository_id", sa.Uuid(), nullable=False),
        sa.Column("version_id", sa.Uuid(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        time_column("created_at"),
        time_column("finished_at", default=None),
        sa.CheckConstraint("state in ('waiting', 'delivered', 'failed')", name=op.f("ck_deliveries_state")),
        sa.ForeignKeyConstraint(["webhook_id"], ["webhooks.id"], name=op.f("fk_deliveries_webhook_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deliveries")),
        sa.UniqueConstraint("public_id", name=op.f("uq_deliveries_public_id")),
        sa.UniqueConstraint("webhook_id", "event_id", "replay", name=op.f("uq_deliveries_webhook_id_event_id_replay")),
    )
    op.create_index(
        "ix_deliveries_waiting",
        "deliveries",
        ["webhook_id", "id"],
        unique=False,
        postgresql_where=sa.text("state = 'waiting'"),
    )


def downgrade() -> None:
    for table in (
        "deliveries",
        "webhooks",
        "events",
        "recall_marks",
        "recalls",
        "proposals",
        "lock_members",
        "locks",
        "stack_inputs",
        "stacks",
    ):
        op.drop_table(table)
    op.execute("ALTER TABLE versions RESET (fillfactor)")
    op.drop_index("ix_versions_base_digest", table_name="versions")
    op.drop_column("alias_events", "by_recall")
    op.drop_column("repositories", "on_recall")
