"""Which field of the upload form a refusal concerns; the page's script asks the same table."""

from collections.abc import Mapping, Sequence

from app import errors as e
from app.errors import RegistryError

pointers: Mapping[str, str] = {
    "/files": "files",
    "/namespace": "repository",
    "/create": "repository",
    "/create/description": "description",
    "/create/license": "license",
    "/create/tags": "tags",
    "/create/visibility": "visibility",
    "/create/base_model": "base_model",
    "/base_model": "base_model",
    "/version": "version",
    "/builds_on": "builds_on",
    "/initialized_from": "initialized_from",
    "/notes": "notes",
    "/card": "card",
}
"""Field by JSON pointer into the request; what stands below a pointer concerns its field, too."""

concerned: Mapping[str, Sequence[type[RegistryError]]] = {
    "files": (
        *e.InvalidContent.__subclasses__(),
        e.InvalidPath,
        e.UnknownBlob,
        e.SizeMismatch,
        e.DigestMismatch,
        e.UploadExpired,
        e.UploadIncomplete,
        e.UploadTooLarge,
        e.TooManyFiles,
        e.QuotaExceeded,
        e.StoreFull,
    ),
    "repository": (
        e.InvalidName,
        e.NameExists,
        e.NameTaken,
        e.NotFound,
        e.Deleted,
        e.Forbidden,
        e.NotPublishedByHand,
    ),
    "version": (e.InvalidVersionNumber, e.VersionExists),
    "base_model": (e.BaseModelMismatch,),
    "builds_on": (
        e.InvalidReference,
        e.ParentNotFound,
        e.NotAnAdapter,
        e.ModelExpected,
        e.ShapeMismatch,
        e.VersionConflict,
        e.OverlappingContents,
        e.EdgeWeightConflict,
        e.TrunkNotReadable,
        e.RecalledInPlan,
    ),
}

problems: Mapping[str, str] = {kind.kebab_name(): field for field, kinds in concerned.items() for kind in kinds}
"""Field by the problem's name, where no pointer says more."""


def field_of(error: RegistryError) -> str | None:
    """None: it concerns all of the form."""
    prefix = str(error.facts.get("pointer") or "")
    while prefix:
        if prefix in pointers:
            return pointers[prefix]
        prefix = prefix.rpartition("/")[0]
    return problems.get(error.kebab_name())
