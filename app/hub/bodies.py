"""What the clients of the Hub read, as JSON."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from app.domain.commit import Commit
from app.domain.digest import hex_of
from app.domain.git import blob_sha1, is_lfs, pointer
from app.domain.repository import Repository, Visibility
from app.domain.version import File
from app.formats.card import texts
from app.services.cards import tags_of

Json = dict[str, Any]


def when(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def oid_of(file: File) -> str:
    """What stands in a git tree: the name of the file, or of its pointer."""
    if file.git_sha1 is None or is_lfs(file.path, file.size_bytes):
        return blob_sha1(pointer(file.digest, file.size_bytes))
    return file.git_sha1


def entity_of(file: File) -> str:
    """The name of the bytes for a client's cache."""
    if file.git_sha1 is None or is_lfs(file.path, file.size_bytes):
        return hex_of(file.digest)
    return file.git_sha1


def lfs_of(file: File, name: str) -> Json | None:
    if not is_lfs(file.path, file.size_bytes):
        return None
    pointer_size = len(pointer(file.digest, file.size_bytes))
    return {name: hex_of(file.digest), "size": file.size_bytes, "pointerSize": pointer_size}


def model_body(
    repository: Repository, commit: Commit | None, files: Sequence[File] | None, *, with_blobs: bool = False
) -> Json:
    """A repository at a commit. None: the newest is not for the caller, or the files are not asked for."""
    card = {} if commit is None else commit.card
    tags = [*repository.tags, *(() if commit is None else commit.tags)]
    if commit is None and repository.base_model is not None:
        tags += tags_of(repository.kind, {}, repository.base_model, is_version=False)
    is_version = commit is not None and commit.number is not None
    library = next(iter(texts(card.get("library_name"))), "peft" if "peft" in tags and is_version else None)
    body: Json = {
        "id": repository.full_name,
        "modelId": repository.full_name,
        "author": repository.namespace,
        "sha": None if commit is None else commit.id,
        "lastModified": when(repository.updated_at if commit is None else commit.created_at),
        "createdAt": when(repository.created_at),
        "private": repository.visibility is Visibility.PRIVATE,
        "gated": False,
        "disabled": False,
        "downloads": 0,
        "likes": 0,
        "tags": list(dict.fromkeys(tags)),
        "cardData": dict(card),
    }
    if library is not None:
        body["library_name"] = library
    if pipeline := texts(card.get("pipeline_tag")):
        body["pipeline_tag"] = pipeline[0]
    if files is not None:
        body["siblings"] = [sibling_body(file, with_blobs) for file in files]
    return body


def sibling_body(file: File, with_blobs: bool) -> Json:
    if not with_blobs:
        return {"rfilename": file.path}
    body: Json = {"rfilename": file.path, "size": file.size_bytes, "blobId": oid_of(file)}
    lfs = lfs_of(file, "sha256")
    return body if lfs is None else {**body, "lfs": lfs}


def file_body(file: File, changes: Mapping[str, Commit]) -> Json:
    body: Json = {"type": "file", "path": file.path, "size": file.size_bytes, "oid": oid_of(file)}
    lfs = lfs_of(file, "oid")
    if lfs is not None:
        body["lfs"] = lfs
    if file.path in changes:
        body["lastCommit"] = last_commit_body(changes[file.path])
    return body


def last_commit_body(commit: Commit) -> Json:
    return {"id": commit.id, "title": commit.title, "date": when(commit.created_at)}


def folder_body(path: str, files: Sequence[File], changes: Mapping[str, Commit]) -> Json:
    """A folder with all the files below it; its id changes with them."""
    listing = json.dumps([[file.path, file.digest] for file in files]).encode()
    oid = hashlib.sha1(listing, usedforsecurity=False).hexdigest()
    body: Json = {"type": "directory", "path": path, "size": 0, "oid": oid}
    commits = [changes[file.path] for file in files if file.path in changes]
    if commits:
        body["lastCommit"] = last_commit_body(max(commits, key=lambda commit: commit.created_at))
    return body


def tree_bodies(files: Iterable[File], folder: str, changes: Mapping[str, Commit], *, recursive: bool) -> list[Json]:
    """Files and folders below `folder`, by path."""
    start = len(folder) + 1 if folder else 0
    folders: dict[str, list[File]] = {}
    entries: dict[str, Json] = {}
    for file in files:
        parts = file.path[start:].split("/")
        for depth in range(1, len(parts) if recursive else min(2, len(parts))):
            folders.setdefault(file.path[:start] + "/".join(parts[:depth]), []).append(file)
        if recursive or len(parts) == 1:
            entries[file.path] = file_body(file, changes)
    entries |= {path: folder_body(path, below, changes) for path, below in folders.items()}
    return [entries[path] for path in sorted(entries)]


def commit_body(commit: Commit) -> Json:
    return {
        "id": commit.id,
        "title": commit.title,
        "message": commit.description,
        "date": when(commit.created_at),
        "authors": [{"user": commit.author}],
    }
