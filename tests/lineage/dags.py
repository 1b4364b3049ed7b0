"""Large lineages, written straight into the tables: what publishing would write, without the files."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Connection, text

from app.domain.caller import Caller, MemberRole
from app.domain.names import RepositoryName
from app.lineage.engine import Database

relations = ("builds_on", "initialized_from", "merged_from", "extracted_from")
namespaces_of_all = text(
    "INSERT INTO namespaces (id, name, key, kind, is_admin) SELECT id, name, name, 'user', false"
    " FROM unnest(CAST(:ids AS uuid[]), CAST(:names AS text[])) AS found(id, name)"
)
repositories_of_all = text(
    "INSERT INTO repositories (id, namespace_id, name, key, kind, visibility, derivatives, tags, created_by)"
    " SELECT id, namespace, name, name, kind, visibility, 'inherit', '{}', namespace FROM unnest(CAST(:ids AS uuid[]),"
    " CAST(:namespaces AS uuid[]), CAST(:names AS text[]), CAST(:kinds AS text[]), CAST(:visibilities AS text[]))"
    " AS found(id, namespace, name, kind, visibility)"
)
tree = text("INSERT INTO trees (id) VALUES ('empty') ON CONFLICT DO NOTHING")
commits = text(
    "INSERT INTO commits (id, repository_id, parents, tree, author_id, message, created_at, card, tags)"
    " SELECT id, repository, '{}', 'empty', author, '', now(), '{}', '{}' FROM unnest(CAST(:commits AS text[]),"
    " CAST(:repositories AS uuid[]), CAST(:authors AS uuid[])) AS found(id, repository, author)"
)
versions = text(
    "INSERT INTO versions (id, repository_id, major, minor, patch, digest, content_digest, commit_id, base_model, summary,"
    " facts, datasets, metrics, is_exact_linear, created_by, created_at, state)"
    " SELECT id, repository, 1, minor, 0, 'sha256:' || replace(CAST(id AS text), '-', ''), content, commit,"
    " CASE WHEN base IS NOT NULL THEN jsonb_build_object('name', 'org/base', 'digest', base) END, '{}', '{}', '[]', '{}', false,"
    " author, now() + make_interval(secs => place), 'published'"
    " FROM unnest(CAST(:ids AS uuid[]), CAST(:repositories AS uuid[]), CAST(:minors AS int[]), CAST(:contents AS text[]),"
    " CAST(:commits AS text[]), CAST(:bases AS text[]), CAST(:authors AS uuid[]))"
    " WITH ORDINALITY AS found(id, repository, minor, content, commit, base, author, place)"
)
edges = text(
    "INSERT INTO edges (child_id, position, parent_id, relation, weight)"
    " SELECT child, position, parent, relation, 1 FROM unnest(CAST(:children AS uuid[]), CAST(:positions AS int[]),"
    " CAST(:parents AS uuid[]), CAST(:relations AS text[])) AS found(child, position, parent, relation)"
)
contents = text(
    "INSERT INTO version_contents (version_id, member_id)"
    " SELECT holder, member FROM unnest(CAST(:holders AS uuid[]), CAST(:members AS uuid[])) AS found(holder, member)"
)
aliases = text(
    "INSERT INTO aliases (repository_id, key, name, version_id, updated_by) SELECT repository_id, name, name, id, created_by"
    " FROM versions JOIN unnest(CAST(:ids AS uuid[]), CAST(:names AS text[])) AS found(version, name) ON version = id"
)
stacks = text(
    "INSERT INTO stacks (repository_id, definition, update_policy, maintainer_id)"
    " SELECT id, '{}', 'pin', created_by FROM repositories WHERE id = ANY(CAST(:repositories AS uuid[]))"
)
locks = text(
    "INSERT INTO locks (stack_id, number, digest, outcome, because, created_by)"
    " SELECT DISTINCT stack, number, '', CAST('{}' AS jsonb), 'lock', created_by FROM unnest(CAST(:stacks AS uuid[]),"
    " CAST(:numbers AS int[])) AS found(stack, number) JOIN repositories ON repositories.id = stack"
)
lock_members = text(
    "INSERT INTO lock_members (stack_id, number, version_id) SELECT stack, number, version FROM"
    " unnest(CAST(:stacks AS uuid[]), CAST(:numbers AS int[]), CAST(:versions AS uuid[])) AS found(stack, number, version)"
)
written_at_once = 50_000


@dataclass
class Dag:
    """Versions in an order in which parents stand before their children."""

    parents: list[list[tuple[int, str]]]
    """Of each version: (parent, relation)."""
    repository: list[int]
    """Of each version, the number of its repository."""
    private: set[int] = field(default_factory=set)
    """Repositories."""
    models: set[int] = field(default_factory=set)
    bases: Mapping[int, int] = field(default_factory=dict)
    """Version → the version of a model that it names as its base, by digest."""
    aliases: Sequence[int] = ()
    """Versions, each with an alias of its own."""
    locks: Mapping[int, Sequence[Collection[int]]] = field(default_factory=dict)
    """By the repository of a stack, which holds no version: the versions that each of its locks names."""
    owners: Sequence[UUID] = ()
    ids: list[UUID] = field(default_factory=list)
    repository_ids: list[UUID] = field(default_factory=list)

    def write(self, database: Database) -> None:
        """Every repository belongs to one of two users: even numbers to the first, odd ones to the second."""
        self.owners = [uuid4(), uuid4()]
        self.ids = [uuid4() for _ in self.parents]
        count = max([*self.repository, *self.locks]) + 1
        self.repository_ids = [uuid4() for _ in range(count)]
        with database.begin() as tx:
            tx.execute(text("SET LOCAL statement_timeout = 0"))
            # what refers to what is right by construction: checking each row would take longer than writing it
            tx.execute(text("SET LOCAL session_replication_role = replica"))
            names = [f"u{owner.hex[:12]}" for owner in self.owners]
            tx.execute(namespaces_of_all, {"ids": list(self.owners), "names": names})
            tx.execute(
                repositories_of_all,
                {
                    "ids": self.repository_ids,
                    "namespaces": [self.owners[number % 2] for number in range(count)],
                    "names": [f"r{number}" for number in range(count)],
                    "kinds": [self.kind(number) for number in range(count)],
                    "visibilities": ["private" if number in self.private else "public" for number in range(count)],
                },
            )
            tx.execute(tree)
            for start in range(0, len(self.ids), written_at_once):
                self._write_versions(tx, range(start, min(start + written_at_once, len(self.ids))))
            for start in range(0, len(self.ids), written_at_once):
                self._write_edges(tx, range(start, min(start + written_at_once, len(self.ids))))
            held = [
                (self.ids[holder], self.ids[member]) for holder, found in self.contents().items() for member in found
            ]
            tx.execute(contents, columns(("holders", "members"), held))
            named = [(self.ids[place], f"a{place}") for place in self.aliases]
            tx.execute(aliases, columns(("ids", "names"), named))
            tx.execute(stacks, {"repositories": [self.repository_ids[stack] for stack in self.locks]})
            members = [
                (self.repository_ids[stack], number, self.ids[place])
                for stack, found in self.locks.items()
                for number, lock in enumerate(found, start=1)
                for place in lock
            ]
            tx.execute(locks, columns(("stacks", "numbers"), [row[:2] for row in members]))
            tx.execute(lock_members, columns(("stacks", "numbers", "versions"), members))
            # as autovacuum would have done by the time that there is so much
            tx.execute(text("ANALYZE"))

    def _write_versions(self, tx: Connection, places: range) -> None:
        repositories = [self.repository_ids[self.repository[place]] for place in places]
        authors = [self.owners[self.repository[place] % 2] for place in places]
        names = [self.ids[place].hex for place in places]
        tx.execute(commits, {"commits": names, "repositories": repositories, "authors": authors})
        tx.execute(
            versions,
            {
                "ids": [self.ids[place] for place in places],
                "repositories": repositories,
                "minors": list(places),
                "contents": [self.content(place) for place in places],
                "commits": names,
                "bases": [self.content(self.bases[place]) if place in self.bases else None for place in places],
                "authors": authors,
            },
        )

    def _write_edges(self, tx: Connection, places: range) -> None:
        rows = [
            (self.ids[place], position, self.ids[parent], relation)
            for place in places
            for position, (parent, relation) in enumerate(self.parents[place])
        ]
        tx.execute(edges, columns(("children", "positions", "parents", "relations"), rows))

    def kind(self, repository: int) -> str:
        if repository in self.locks:
            return "stack"
        return "model" if repository in self.models else "adapter"

    def contents(self) -> dict[int, set[int]]:
        """Of each version that is made of others, these and all that they are made of."""
        found: dict[int, set[int]] = {}
        for place, parents in enumerate(self.parents):
            for parent, relation in parents:
                if relation in {"merged_from", "extracted_from"}:
                    found.setdefault(place, set()).update({parent}, found.get(parent, ()))
        return found

    def content(self, place: int) -> str:
        return f"sha256:{self.ids[place].hex}c"

    def repository_name(self, number: int) -> RepositoryName:
        return RepositoryName(f"u{self.owners[number % 2].hex[:12]}", f"r{number}")

    def name(self, place: int) -> RepositoryName:
        """Of the repository of a version."""
        return self.repository_name(self.repository[place])

    def number(self, place: int) -> str:
        return f"1.{place}.0"

    def caller(self, owner: int) -> Caller:
        """One of the two users."""
        id = self.owners[owner]
        return Caller(user_id=id, name=f"u{id.hex[:12]}", roles={id: MemberRole.OWNER})

    def children(self) -> list[list[int]]:
        found: list[list[int]] = [[] for _ in self.parents]
        for child, parents in enumerate(self.parents):
            for parent, _ in parents:
                found[parent].append(child)
        for child, base in self.bases.items():
            found[base].append(child)
        return found


def columns(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> dict[str, list[Any]]:
    """Rows as arrays, one for each column."""
    return {name: [row[place] for row in rows] for place, name in enumerate(names)}
