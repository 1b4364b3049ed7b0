"""Showing: all that a repository's page tells of one of its versions, read at one moment."""

from dataclasses import dataclass

from app.domain.adapter import Adapter, Checkpoint
from app.domain.base_model import BaseModel
from app.domain.caller import Caller
from app.domain.lineage import Kind, VersionState
from app.domain.names import RepositoryName
from app.domain.reference import Selector
from app.domain.repository import Repository
from app.domain.version import File, Version
from app.errors import InvalidName, NotFound, Recalled
from app.formats.card import card_file
from app.lineage import aliases, children, repositories, versions
from app.lineage.aliases import AliasRecord
from app.lineage.children import Child
from app.lineage.engine import Connection, Database
from app.objects.store import ObjectStore
from app.services import finding
from app.services.content import largest_readme_bytes
from app.services.evidence import recalled

most_versions = 30
most_aliases = 200
most_children = 8
most_counted = 1_000
"""Children that are counted; of more a page says "at least"."""
image_heads = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF87a": "image/gif",
    b"GIF89a": "image/gif",
}
"""Of pictures that no browser runs anything in, by their first bytes; WebP's are in two parts."""
head_bytes = 12
largest_image_bytes = 16_000_000


@dataclass(frozen=True, slots=True)
class View:
    """A repository, and one of its versions."""

    repository: Repository
    version: Version | None
    """None: nothing is published that the caller may read."""
    versions: tuple[Version, ...]
    """The newest; all of them unless there are `most_versions`."""
    aliases: tuple[AliasRecord, ...]
    facts: Adapter | Checkpoint | None
    recall: Recalled | None
    """Of a recalled version: why, as its files would be refused."""
    children: tuple[Child, ...] = ()
    child_count: int = 0
    base: Repository | None = None
    """The base model's own repository, where there is one in this registry."""

    def names_of(self, version: Version) -> tuple[str, ...]:
        """The aliases that lead to a version."""
        return tuple(alias.name for alias in self.aliases if alias.number == version.number)


class Showing:
    def __init__(self, database: Database, store: ObjectStore) -> None:
        self.database = database
        self.store = store

    def view(self, caller: Caller, name: RepositoryName, ref: str | None) -> View:
        """None for `ref` is what `latest` names, else the newest there is.

        Raises: InvalidReference, NotFound, Deleted.
        """
        with self.database.read() as tx:
            repository = finding.repository(tx, name, caller)
            newest = tuple(versions.list_versions(tx, repository.id, caller, None, most_versions))
            named = tuple(aliases.list_aliases(tx, repository.id, caller, None, most_aliases))
            version = self._chosen(
                tx, caller, repository, ref, newest, has_alias=any(alias.name.lower() == "latest" for alias in named)
            )
            if version is None:
                return View(repository, None, newest, named, None, None)
            shown, count = children.children(tx, version.id, caller, most_children, most_counted)
            is_recalled = version.state is VersionState.RECALLED
            return View(
                repository=repository,
                version=version,
                versions=newest,
                aliases=named,
                facts=versions.facts_of(tx, [version.id])[version.id],
                recall=recalled(tx, caller, version.reference, [version.id]) if is_recalled else None,
                children=tuple(shown),
                child_count=count,
                base=base_repository(tx, caller, version.base_model),
            )

    def _chosen(
        self,
        tx: Connection,
        caller: Caller,
        repository: Repository,
        ref: str | None,
        newest: tuple[Version, ...],
        *,
        has_alias: bool,
    ) -> Version | None:
        """`has_alias`: there is one that is called `latest`."""
        if ref is not None:
            text = f"{repository.full_name}@{ref}"
            name = RepositoryName(repository.namespace, repository.name)
            return finding.version(tx, name, Selector.parse(ref), text, caller)
        published = [version for version in newest if version.state is VersionState.PUBLISHED]
        if published and not has_alias:
            return published[0]
        latest = versions.find(tx, repository.id, Selector(alias="latest"), caller)
        if latest is not None and latest.state is not VersionState.DELETED:
            return latest
        return newest[0] if newest else None

    def facts(self, version: Version) -> Adapter | Checkpoint:
        """What the files of a version that the caller was shown say."""
        with self.database.read() as tx:
            return versions.facts_of(tx, [version.id])[version.id]

    def text(self, caller: Caller, version: Version, path: str, largest_bytes: int) -> bytes | None:
        """A file of a version that the caller was shown. None: it is not there, or larger, or recalled and not the caller's."""
        if version.state is VersionState.RECALLED and not caller.may_own(version.namespace_id):
            return None
        for file in version.files:
            if file.path == path and file.size_bytes <= largest_bytes:
                return b"".join(self.store.read(file.digest))
        return None

    def card(self, caller: Caller, version: Version) -> str | None:
        """As `text`, of the README."""
        text = self.text(caller, version, card_file, largest_readme_bytes)
        return None if text is None else text.decode("utf-8", "replace")

    def image(self, file: File) -> tuple[str, bytes]:
        """(media type, bytes) of a file that is a picture. Raises: NotFound, BlobDamaged."""
        if file.size_bytes > largest_image_bytes:
            raise NotFound(file.path)
        data = b"".join(self.store.read(file.digest))
        media_type = next((found for head, found in image_heads.items() if data.startswith(head)), None)
        if data[:4] == b"RIFF" and data[8:head_bytes] == b"WEBP":
            media_type = "image/webp"
        if media_type is None:
            raise NotFound(file.path)
        return media_type, data


def base_repository(tx: Connection, caller: Caller, base: BaseModel | None) -> Repository | None:
    """Of a base that has the name of a model in this registry."""
    if base is None:
        return None
    try:
        found = repositories.find(tx, RepositoryName.parse(base.name), caller)
    except InvalidName:
        return None
    return found if found is not None and found.kind is Kind.MODEL and found.deleted_at is None else None
