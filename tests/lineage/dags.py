"""Large lineages, written straight into the tables: what publishing would write, without the files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID, uuid4

from sqlalchemy import Connection, text

from app.domain.caller import Caller, MemberRole
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
    owners: Sequence[UUID] = ()
    ids: list[UUID] = field(default_factory=list)
    repository_ids: list[UUID] = field(default_factory=list)

    def write(self, database: Database) -> None:
        """Every repository belongs to one of two users: even numbers to the first, odd ones to the second."""
        self.owners = [uuid4(), uuid4()]
        self.ids = [uuid4() for _ in self.parents]
        count = max(self.repository) + 1
        self.repository_ids = [uuid4() for _ in range(count)]
        with database.begin() as tx:
            tx.execute(text("SET LOCAL statement_timeout = 0"))
            names = [f"u{owner.hex[:12]}" for owner in self.owners]
            tx.execute(namespaces_of_all, {"ids": list(self.owners), "names": names})
            tx.execute(
                repositories_of_all,
                {
                    "ids": self.repository_ids,
                    "namespaces": [self.owners[number % 2] for number in range(count)],
                    "names": [f"r{number}" for number in range(count)],
                    "kinds": ["model" if number in self.models else "adapter" for number in range(count)],
                    "visibilities": ["private" if number in self.private else "public" for number in range(count)],
                },
            )
            tx.execute(tree)
            for start in range(0, len(self.ids), written_at_once):
                self._write_versions(tx, range(start, min(start + written_at_once, len(self.ids))))
            for start in range(0, len(self.ids), written_at_once):
                self._write_edges(tx, range(start, min(start + written_at_once, len(self.ids))))

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
        columns = list(zip(*rows, strict=True)) if rows else [(), (), (), ()]
        names = ("children", "positions", "parents", "relations")
        tx.execute(edges, dict(zip(names, map(list, columns), strict=True)))

    def content(self, place: int) -> str:
        return f"sha256:{self.ids[place].hex}c"

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
