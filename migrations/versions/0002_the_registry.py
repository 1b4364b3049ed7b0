"""The registry's own tables, as `app.lineage.tables` draws them.

Revision: 0002, after 0001
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "base_model_aliases",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("canonical", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_base_model_aliases")),
    )
    op.create_table(
        "blobs",
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("git_sha1", sa.Text(), nullable=True),
        sa.Column("inspection", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("unneeded_since", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_blobs")),
    )
    op.create_table(
        "deletions",
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("collection", sa.Uuid(), nullable=False),
        sa.Column(
            "claimed_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_deletions")),
    )
    op.create_table(
        "merge_executions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("recipe_digest", sa.Text(), nullable=False),
        sa.Column("plan", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("progress_done", sa.BigInteger(), nullable=False),
        sa.Column("progress_total", sa.BigInteger(), nullable=False),
        sa.Column("progress_unit", sa.Text(), nullable=False),
        sa.Column("content_digest", sa.Text(), nullable=True),
        sa.Column("facts", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("report", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("error", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_used_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("evicted_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "state in ('queued', 'running', 'succeeded', 'failed', 'cancelled')", name=op.f("ck_merge_executions_state")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_merge_executions")),
    )
    op.create_index(
        "uq_merge_executions_live",
        "merge_executions",
        ["recipe_digest"],
        unique=True,
        postgresql_where=sa.text("state in ('queued', 'running', 'succeeded') and evicted_at is null"),
    )
    op.create_table(
        "namespaces",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("is_admin", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("kind in ('user', 'organization')", name=op.f("ck_namespaces_kind")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_namespaces")),
        sa.UniqueConstraint("key", name=op.f("uq_namespaces_key")),
    )
    op.create_table(
        "trees", sa.Column("id", sa.Text(), nullable=False), sa.PrimaryKeyConstraint("id", name=op.f("pk_trees"))
    )
    op.create_table(
        "audit_events",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.Column("actor_id", sa.Uuid(), nullable=True),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("namespace_id", sa.Uuid(), nullable=True),
        sa.Column("request_id", sa.Text(), nullable=True),
        sa.Column("details", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
        sa.ForeignKeyConstraint(["actor_id"], ["namespaces.id"], name=op.f("fk_audit_events_actor_id")),
        sa.ForeignKeyConstraint(["namespace_id"], ["namespaces.id"], name=op.f("fk_audit_events_namespace_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_events")),
    )
    op.create_index("ix_audit_events_at", "audit_events", ["at", "id"], unique=False)
    op.create_index("ix_audit_events_namespace", "audit_events", ["namespace_id", "at", "id"], unique=False)
    op.create_table(
        "execution_files",
        sa.Column("execution_id", sa.Uuid(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["digest"], ["blobs.digest"], name=op.f("fk_execution_files_digest")),
        sa.ForeignKeyConstraint(
            ["execution_id"], ["merge_executions.id"], name=op.f("fk_execution_files_execution_id")
        ),
        sa.PrimaryKeyConstraint("execution_id", "path", name=op.f("pk_execution_files")),
    )
    op.create_index(op.f("ix_execution_files_digest"), "execution_files", ["digest"], unique=False)
    op.create_table(
        "idempotency_keys",
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("location", sa.Text(), nullable=True),
        sa.Column("body", sa.LargeBinary(), nullable=True),
        sa.Column("made", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["namespaces.id"], name=op.f("fk_idempotency_keys_user_id")),
        sa.PrimaryKeyConstraint("user_id", "key", name=op.f("pk_idempotency_keys")),
    )
    op.create_table(
        "memberships",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.CheckConstraint("role in ('reader', 'writer', 'owner')", name=op.f("ck_memberships_role")),
        sa.ForeignKeyConstraint(["organization_id"], ["namespaces.id"], name=op.f("fk_memberships_organization_id")),
        sa.ForeignKeyConstraint(["user_id"], ["namespaces.id"], name=op.f("fk_memberships_user_id")),
        sa.PrimaryKeyConstraint("organization_id", "user_id", name=op.f("pk_memberships")),
    )
    op.create_index(op.f("ix_memberships_user_id"), "memberships", ["user_id"], unique=False)
    op.create_table(
        "leases",
        sa.Column("holder", sa.Uuid(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("namespace_id", sa.Uuid(), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["namespace_id"], ["namespaces.id"], name=op.f("fk_leases_namespace_id")),
        sa.PrimaryKeyConstraint("holder", "digest", name=op.f("pk_leases")),
    )
    op.create_index(op.f("ix_leases_digest"), "leases", ["digest"], unique=False)
    op.create_index(op.f("ix_leases_namespace_id"), "leases", ["namespace_id"], unique=False)
    op.create_table(
        "receipts",
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["digest"], ["blobs.digest"], name=op.f("fk_receipts_digest")),
        sa.ForeignKeyConstraint(["user_id"], ["namespaces.id"], name=op.f("fk_receipts_user_id")),
        sa.PrimaryKeyConstraint("user_id", "digest", name=op.f("pk_receipts")),
    )
    op.create_index(op.f("ix_receipts_digest"), "receipts", ["digest"], unique=False)
    op.create_table(
        "repositories",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("namespace_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("visibility", sa.Text(), nullable=False),
        sa.Column("derivatives", sa.Text(), nullable=False),
        sa.Column("base_model", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("license", sa.Text(), nullable=True),
        sa.Column("tags", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("created_by", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "words",
            postgresql.TSVECTOR(),
            sa.Computed(
                "setweight(to_tsvector('simple'::regconfig, translate(name, '-_.', '   ')), 'A')"
                " || setweight(to_tsvector('english'::regconfig, coalesce(description, '')), 'B')",
                persisted=True,
            ),
            nullable=False,
        ),
        sa.CheckConstraint("derivatives in ('inherit', 'open')", name=op.f("ck_repositories_derivatives")),
        sa.CheckConstraint("kind in ('adapter', 'model', 'stack')", name=op.f("ck_repositories_kind")),
        sa.CheckConstraint("visibility in ('public', 'private')", name=op.f("ck_repositories_visibility")),
        sa.ForeignKeyConstraint(["created_by"], ["namespaces.id"], name=op.f("fk_repositories_created_by")),
        sa.ForeignKeyConstraint(["namespace_id"], ["namespaces.id"], name=op.f("fk_repositories_namespace_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_repositories")),
        sa.UniqueConstraint("namespace_id", "key", name=op.f("uq_repositories_namespace_id_key")),
    )
    op.create_index("ix_repositories_updated", "repositories", ["updated_at", "id"], unique=False)
    op.create_table(
        "tokens",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.Column("scopes", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["namespaces.id"], name=op.f("fk_tokens_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tokens")),
        sa.UniqueConstraint("sha256", name=op.f("uq_tokens_sha256")),
    )
    op.create_index(op.f("ix_tokens_user_id"), "tokens", ["user_id"], unique=False)
    op.create_table(
        "sessions",
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.Column("token_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["token_id"], ["tokens.id"], name=op.f("fk_sessions_token_id")),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_sessions")),
    )
    op.create_index(op.f("ix_sessions_expires_at"), "sessions", ["expires_at"], unique=False)
    op.create_index(op.f("ix_sessions_token_id"), "sessions", ["token_id"], unique=False)
    op.create_table(
        "tree_entries",
        sa.Column("tree", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["tree"], ["trees.id"], name=op.f("fk_tree_entries_tree")),
        sa.PrimaryKeyConstraint("tree", "path", name=op.f("pk_tree_entries")),
    )
    op.create_index(op.f("ix_tree_entries_digest"), "tree_entries", ["digest"], unique=False)
    op.create_table(
        "uploads",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("part_size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["namespaces.id"], name=op.f("fk_uploads_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_uploads")),
        sa.UniqueConstraint("user_id", "digest", "size_bytes", name=op.f("uq_uploads_user_id_digest_size_bytes")),
    )
    op.create_table(
        "commits",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("repository_id", sa.Uuid(), nullable=False),
        sa.Column("parents", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("tree", sa.Text(), nullable=False),
        sa.Column("author_id", sa.Uuid(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("card", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
        sa.Column("words", postgresql.TSVECTOR(), nullable=True),
        sa.Column("tags", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("origin_id", sa.Uuid(), nullable=True),
        sa.ForeignKeyConstraint(["author_id"], ["namespaces.id"], name=op.f("fk_commits_author_id")),
        sa.ForeignKeyConstraint(["repository_id"], ["repositories.id"], name=op.f("fk_commits_repository_id")),
        sa.ForeignKeyConstraint(["tree"], ["trees.id"], name=op.f("fk_commits_tree")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_commits")),
    )
    op.create_index(op.f("ix_commits_repository_id"), "commits", ["repository_id"], unique=False)
    op.create_index(op.f("ix_commits_tree"), "commits", ["tree"], unique=False)
    op.create_table(
        "redirects",
        sa.Column("namespace_id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("repository_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["namespace_id"], ["namespaces.id"], name=op.f("fk_redirects_namespace_id")),
        sa.ForeignKeyConstraint(["repository_id"], ["repositories.id"], name=op.f("fk_redirects_repository_id")),
        sa.PrimaryKeyConstraint("namespace_id", "key", name=op.f("pk_redirects")),
    )
    op.create_table(
        "changes",
        sa.Column("commit_id", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["commit_id"], ["commits.id"], name=op.f("fk_changes_commit_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("commit_id", "path", name=op.f("pk_changes")),
    )
    op.create_table(
        "refs",
        sa.Column("repository_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("commit_id", sa.Text(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["commit_id"], ["commits.id"], name=op.f("fk_refs_commit_id")),
        sa.ForeignKeyConstraint(["repository_id"], ["repositories.id"], name=op.f("fk_refs_repository_id")),
        sa.PrimaryKeyConstraint("repository_id", "name", name=op.f("pk_refs")),
    )
    op.create_table(
        "xorbs",
        sa.Column("repository_id", sa.Uuid(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("ends", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["digest"], ["blobs.digest"], name=op.f("fk_xorbs_digest")),
        sa.ForeignKeyConstraint(["repository_id"], ["repositories.id"], name=op.f("fk_xorbs_repository_id")),
        sa.PrimaryKeyConstraint("repository_id", "generation", "name", name=op.f("pk_xorbs")),
    )
    op.create_index(op.f("ix_xorbs_digest"), "xorbs", ["digest"], unique=False)
    op.create_table(
        "versions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("repository_id", sa.Uuid(), nullable=False),
        sa.Column("major", sa.Integer(), nullable=False),
        sa.Column("minor", sa.Integer(), nullable=False),
        sa.Column("patch", sa.Integer(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("content_digest", sa.Text(), nullable=False),
        sa.Column("commit_id", sa.Text(), nullable=False),
        sa.Column("base_model", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("summary", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
        sa.Column("facts", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
        sa.Column("license", sa.Text(), nullable=True),
        sa.Column("datasets", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
        sa.Column("metrics", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
        sa.Column("notes", sa.Text(), nullable=True),
        sa.Column("is_exact_linear", sa.Boolean(), nullable=False),
        sa.Column("created_by", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("deleted_by", sa.Uuid(), nullable=True),
        sa.CheckConstraint("state in ('published', 'recalled', 'deleted')", name=op.f("ck_versions_state")),
        sa.ForeignKeyConstraint(["commit_id"], ["commits.id"], name=op.f("fk_versions_commit_id")),
        sa.ForeignKeyConstraint(["created_by"], ["namespaces.id"], name=op.f("fk_versions_created_by")),
        sa.ForeignKeyConstraint(["deleted_by"], ["namespaces.id"], name=op.f("fk_versions_deleted_by")),
        sa.ForeignKeyConstraint(["repository_id"], ["repositories.id"], name=op.f("fk_versions_repository_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_versions")),
        sa.UniqueConstraint("digest", name=op.f("uq_versions_digest")),
        sa.UniqueConstraint(
            "repository_id", "major", "minor", "patch", name=op.f("uq_versions_repository_id_major_minor_patch")
        ),
    )
    op.create_index(op.f("ix_versions_commit_id"), "versions", ["commit_id"], unique=False)
    op.create_index(op.f("ix_versions_content_digest"), "versions", ["content_digest"], unique=False)
    op.create_table(
        "alias_events",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("repository_id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("version_id", sa.Uuid(), nullable=True),
        sa.Column("moved_by", sa.Uuid(), nullable=False),
        sa.Column("moved_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["moved_by"], ["namespaces.id"], name=op.f("fk_alias_events_moved_by")),
        sa.ForeignKeyConstraint(["repository_id"], ["repositories.id"], name=op.f("fk_alias_events_repository_id")),
        sa.ForeignKeyConstraint(["version_id"], ["versions.id"], name=op.f("fk_alias_events_version_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alias_events")),
    )
    op.create_index("ix_alias_events_history", "alias_events", ["repository_id", "key", "id"], unique=False)
    op.create_table(
        "aliases",
        sa.Column("repository_id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version_id", sa.Uuid(), nullable=False),
        sa.Column("updated_by", sa.Uuid(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["repository_id"], ["repositories.id"], name=op.f("fk_aliases_repository_id")),
        sa.ForeignKeyConstraint(["updated_by"], ["namespaces.id"], name=op.f("fk_aliases_updated_by")),
        sa.ForeignKeyConstraint(["version_id"], ["versions.id"], name=op.f("fk_aliases_version_id")),
        sa.PrimaryKeyConstraint("repository_id", "key", name=op.f("pk_aliases")),
    )
    op.create_index(op.f("ix_aliases_version_id"), "aliases", ["version_id"], unique=False)
    op.create_table(
        "edges",
        sa.Column("child_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("parent_id", sa.Uuid(), nullable=False),
        sa.Column("relation", sa.Text(), nullable=False),
        sa.Column("weight", sa.Double(), nullable=False),
        sa.Column("role", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "relation in ('builds_on', 'initialized_from', 'merged_from', 'extracted_from')",
            name=op.f("ck_edges_relation"),
        ),
        sa.CheckConstraint("role in ('trunk', 'branch', 'base')", name=op.f("ck_edges_role")),
        sa.ForeignKeyConstraint(["child_id"], ["versions.id"], name=op.f("fk_edges_child_id")),
        sa.ForeignKeyConstraint(["parent_id"], ["versions.id"], name=op.f("fk_edges_parent_id")),
        sa.PrimaryKeyConstraint("child_id", "position", name=op.f("pk_edges")),
    )
    op.create_index(op.f("ix_edges_parent_id"), "edges", ["parent_id"], unique=False)
    op.create_table(
        "merge_requests",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("execution_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("recipe", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
        sa.Column("plan", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
        sa.Column("is_cached", sa.Boolean(), nullable=False),
        sa.Column("target_id", sa.Uuid(), nullable=True),
        sa.Column("target_version", sa.Text(), nullable=True),
        sa.Column("published_id", sa.Uuid(), nullable=True),
        sa.Column("publish_error", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("cancelled_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["execution_id"], ["merge_executions.id"], name=op.f("fk_merge_requests_execution_id")),
        sa.ForeignKeyConstraint(["published_id"], ["versions.id"], name=op.f("fk_merge_requests_published_id")),
        sa.ForeignKeyConstraint(["target_id"], ["repositories.id"], name=op.f("fk_merge_requests_target_id")),
        sa.ForeignKeyConstraint(["user_id"], ["namespaces.id"], name=op.f("fk_merge_requests_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_merge_requests")),
    )
    op.create_index(op.f("ix_merge_requests_execution_id"), "merge_requests", ["execution_id"], unique=False)
    op.create_index(op.f("ix_merge_requests_published_id"), "merge_requests", ["published_id"], unique=False)
    op.create_index("ix_merge_requests_user", "merge_requests", ["user_id", "created_at", "id"], unique=False)
    op.create_table(
        "version_contents",
        sa.Column("version_id", sa.Uuid(), nullable=False),
        sa.Column("member_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(["member_id"], ["versions.id"], name=op.f("fk_version_contents_member_id")),
        sa.ForeignKeyConstraint(["version_id"], ["versions.id"], name=op.f("fk_version_contents_version_id")),
        sa.PrimaryKeyConstraint("version_id", "member_id", name=op.f("pk_version_contents")),
    )
    op.create_index(op.f("ix_version_contents_member_id"), "version_contents", ["member_id"], unique=False)
    op.create_table(
        "request_inputs",
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("version_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(["request_id"], ["merge_requests.id"], name=op.f("fk_request_inputs_request_id")),
        sa.ForeignKeyConstraint(["version_id"], ["versions.id"], name=op.f("fk_request_inputs_version_id")),
        sa.PrimaryKeyConstraint("request_id", "version_id", name=op.f("pk_request_inputs")),
    )
    op.create_index(op.f("ix_request_inputs_version_id"), "request_inputs", ["version_id"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_request_inputs_version_id"), table_name="request_inputs")
    op.drop_table("request_inputs")
    op.drop_index(op.f("ix_version_contents_member_id"), table_name="version_contents")
    op.drop_table("version_contents")
    op.drop_index("ix_merge_requests_user", table_name="merge_requests")
    op.drop_index(op.f("ix_merge_requests_published_id"), table_name="merge_requests")
    op.drop_index(op.f("ix_merge_requests_execution_id"), table_name="merge_requests")
    op.drop_table("merge_requests")
    op.drop_index(op.f("ix_edges_parent_id"), table_name="edges")
    op.drop_table("edges")
    op.drop_index(op.f("ix_aliases_version_id"), table_name="aliases")
    op.drop_table("aliases")
    op.drop_index("ix_alias_events_history", table_name="alias_events")
    op.drop_table("alias_events")
    op.drop_index(op.f("ix_versions_content_digest"), table_name="versions")
    op.drop_index(op.f("ix_versions_commit_id"), table_name="versions")
    op.drop_table("versions")
    op.drop_index(op.f("ix_xorbs_digest"), table_name="xorbs")
    op.drop_table("xorbs")
    op.drop_table("refs")
    op.drop_table("changes")
    op.drop_table("redirects")
    op.drop_index(op.f("ix_commits_tree"), table_name="commits")
    op.drop_index(op.f("ix_commits_repository_id"), table_name="commits")
    op.drop_table("commits")
    op.drop_table("uploads")
    op.drop_index(op.f("ix_tree_entries_digest"), table_name="tree_entries")
    op.drop_table("tree_entries")
    op.drop_index(op.f("ix_sessions_token_id"), table_name="sessions")
    op.drop_index(op.f("ix_sessions_expires_at"), table_name="sessions")
    op.drop_table("sessions")
    op.drop_index(op.f("ix_tokens_user_id"), table_name="tokens")
    op.drop_table("tokens")
    op.drop_index("ix_repositories_updated", table_name="repositories")
    op.drop_table("repositories")
    op.drop_index(op.f("ix_receipts_digest"), table_name="receipts")
    op.drop_table("receipts")
    op.drop_index(op.f("ix_leases_namespace_id"), table_name="leases")
    op.drop_index(op.f("ix_leases_digest"), table_name="leases")
    op.drop_table("leases")
    op.drop_index(op.f("ix_memberships_user_id"), table_name="memberships")
    op.drop_table("memberships")
    op.drop_table("idempotency_keys")
    op.drop_index(op.f("ix_execution_files_digest"), table_name="execution_files")
    op.drop_table("execution_files")
    op.drop_index("ix_audit_events_namespace", table_name="audit_events")
    op.drop_index("ix_audit_events_at", table_name="audit_events")
    op.drop_table("audit_events")
    op.drop_table("trees")
    op.drop_table("namespaces")
    op.drop_index(
        "uq_merge_executions_live",
        table_name="merge_executions",
        postgresql_where=sa.text("state in ('queued', 'running', 'succeeded') and evicted_at is null"),
    )
    op.drop_table("merge_executions")
    op.drop_table("deletions")
    op.drop_table("blobs")
    op.drop_table("base_model_aliases")
