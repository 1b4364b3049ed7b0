"""The tree of errors that a caller can act on.

RegistryError
├── Malformed            the request itself is wrong, whatever is stored
│   └── InvalidContent   an uploaded file is not what it claims to be
├── NotAllowed           who asks, and what they may do
├── Missing              it is not there, or not for this caller
├── Conflict             it contradicts what is stored
│   └── RefusedPlan      a recipe that cannot be merged as asked
├── OverLimit            a limit of this registry
└── Unavailable          try again later

An error is named for the fact and carries its values; it knows no HTTP. `api/problems.py` alone gives it a status and a title.
A bug is no RegistryError and is left to fail.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

type_boundary = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


class RegistryError(Exception):
    """Something a caller can act on: a sentence, and the facts in it as values that JSON can carry."""

    def __init__(self, detail: str, **facts: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.facts: dict[str, Any] = facts

    @classmethod
    def kebab_name(cls) -> str:
        """`version-conflict` for VersionConflict: the last part of the problem's type."""
        return type_boundary.sub("-", cls.__name__).lower()


# -- Malformed -------------------------------------------------------------------------------------------------------


class Malformed(RegistryError):
    """The request itself is wrong, whatever is stored."""


class MalformedRequest(Malformed):
    """A field is missing, of the wrong type, or out of its range."""

    def __init__(self, detail: str, pointer: str = "", **facts: Any) -> None:
        super().__init__(detail, pointer=pointer, **facts)


class InvalidName(Malformed):
    """A namespace, repository, alias or organisation name breaks the naming rules."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name!r} cannot be a name: {reason}", name=name, reason=reason)


class InvalidReference(Malformed):
    """A reference is not `ns/name@version`, `ns/name@alias` or `ns/name@sha256:…`."""

    def __init__(self, reference: str, reason: str, pointer: str | None = None) -> None:
        super().__init__(f"{reference!r} is not a reference: {reason}", reference=reference, reason=reason)
        if pointer is not None:
            self.facts["pointer"] = pointer


class InvalidRange(Malformed):
    """What a stack's layer asks for is neither a range of versions nor a version, alias, commit or digest."""

    def __init__(self, text: str, reason: str, pointer: str | None = None) -> None:
        super().__init__(f"{text!r} names no versions: {reason}", range=text, reason=reason)
        if pointer is not None:
            self.facts["pointer"] = pointer


class InvalidVersionNumber(Malformed):
    """A version number is not exactly X.Y.Z."""

    def __init__(self, version: str) -> None:
        super().__init__(
            f"{version!r} is not a version number: exactly X.Y.Z, digits without leading zeros", version=version
        )


class InvalidDigest(Malformed):
    """A digest is not `sha256:` and 64 lower-case hex digits."""

    def __init__(self, digest: str) -> None:
        super().__init__(f"{digest!r} is not a digest: sha256: and 64 lower-case hex digits", digest=digest)


class InvalidPath(Malformed):
    """A file's path in a version is not relative, normal and printable."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path!r} cannot be a path: {reason}", path=path, reason=reason)


class InvalidCursor(Malformed):
    """A cursor did not come from this list."""

    def __init__(self) -> None:
        super().__init__("the cursor is not one that this list gave out; start again without it")


class InvalidXet(Malformed):
    """Chunks or a listing of them, as Xet clients send them, break the rules of their format."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)


class UnknownMethod(Malformed):
    """The recipe names a merge method that this registry does not have."""

    def __init__(self, name: str, known: Sequence[str]) -> None:
        super().__init__(
            f"no merge method {name!r}; there are: {', '.join(known)}",
            name=name,
            known=list(known),
            pointer="/method/name",
        )


class PinContradictsLayer(Malformed):
    """A pin names another version of a repository than a layer does, and neither builds on the other."""

    def __init__(self, pin: str, layer: str, pointer: str) -> None:
        super().__init__(f"the pin {pin} contradicts the layer {layer}", pin=pin, layer=layer, pointer=pointer)


class AddressRefused(Malformed):
    """A webhook's URL is none that this registry would send anything to."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"nothing is sent to this address: {reason}", reason=reason, pointer="/url")


class IdempotencyKeyReused(Malformed):
    """An Idempotency-Key was sent again with another request."""

    def __init__(self, key: str) -> None:
        super().__init__("this Idempotency-Key belongs to another request; use a fresh one", key=key)


# -- InvalidContent --------------------------------------------------------------------------------------------------


class InvalidContent(Malformed):
    """An uploaded file is not what it claims to be; nothing was published."""

    def __init__(self, detail: str, path: str, **facts: Any) -> None:
        super().__init__(f"{path}: {detail}", path=path, **facts)


class InvalidSafetensors(InvalidContent):
    """A weights file is not a valid safetensors file; `reason` names the rule it breaks."""

    def __init__(self, path: str, reason: str, detail: str) -> None:
        super().__init__(detail, path, reason=reason)


class PickleRefused(InvalidContent):
    """A weights file is a Python pickle or a zip archive of one: code, not data."""

    def __init__(self, path: str) -> None:
        super().__init__("pickled weights can run code when loaded; save them with safetensors and upload that", path)


class ArchiveRefused(InvalidContent):
    """A weights file is an archive (zip, tar, gzip)."""

    def __init__(self, path: str, kind: str) -> None:
        super().__init__(f"a {kind} archive is no weights file; upload the files in it", path, kind=kind)


class NonFiniteValues(InvalidContent):
    """A tensor holds NaN or an infinity."""

    def __init__(self, path: str, tensor: str) -> None:
        super().__init__(f"tensor {tensor!r} holds NaN or infinite values", path, tensor=tensor)


class InvalidConfig(InvalidContent):
    """A configuration file is not the JSON that its schema allows."""

    def __init__(self, path: str, detail: str, key: str = "") -> None:
        super().__init__(detail, path, key=key)


class UnknownConfigKey(InvalidContent):
    """adapter_config.json has keys that no PEFT release writes."""

    def __init__(self, path: str, keys: Sequence[str]) -> None:
        super().__init__(f"unknown keys: {', '.join(keys)}", path, keys=list(keys))


class ImportKeyRefused(InvalidContent):
    """A configuration key asks the reader to import code by name."""

    def __init__(self, path: str, key: str, value: str) -> None:
        super().__init__(
            f"{key} names code to import ({value!r}); only known libraries are allowed", path, key=key, value=value
        )


class UnsafePattern(InvalidContent):
    """A pattern in the configuration cannot be matched in linear time, or is too large."""

    def __init__(self, path: str, key: str, reason: str) -> None:
        super().__init__(f"the pattern in {key} is refused: {reason}", path, key=key, reason=reason)


class UnpairedFactor(InvalidContent):
    """A module has an A without a B, or a B without an A."""

    def __init__(self, path: str, module: str, missing: str) -> None:
        super().__init__(f"module {module!r} has no {missing}", path, module=module, missing=missing)


class RankMismatch(InvalidContent):
    """The shapes of a module's factors and the configuration name different ranks."""

    def __init__(self, path: str, module: str, expected: int, found: int) -> None:
        super().__init__(
            f"module {module!r}: rank {expected} expected, {found} found",
            path,
            module=module,
            expected=expected,
            found=found,
        )


class StrayTensor(InvalidContent):
    """A tensor belongs to no module that the configuration describes."""

    def __init__(self, path: str, tensor: str, reason: str) -> None:
        super().__init__(f"tensor {tensor!r} fits nowhere: {reason}", path, tensor=tensor, reason=reason)


class FactorShape(InvalidContent):
    """A factor of a module has a shape that no factor of its kind has."""

    def __init__(self, path: str, tensor: str, shape: Sequence[int], expected: str) -> None:
        super().__init__(
            f"tensor {tensor!r} has the shape {list(shape)}; {expected}", path, tensor=tensor, shape=list(shape)
        )


class EmptyAdapter(InvalidContent):
    """A weights file adapts no module at all."""

    def __init__(self, path: str) -> None:
        super().__init__("no module is adapted: it holds no pair of factors, and nothing else that was trained", path)


class IndexMismatch(InvalidContent):
    """A checkpoint's index and its weight files disagree."""

    def __init__(self, path: str, tensor: str, reason: str) -> None:
        super().__init__(f"tensor {tensor!r}: {reason}", path, tensor=tensor, reason=reason)


class MissingFile(InvalidContent):
    """A version of this kind needs a file that was not given."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"missing: {why}", path, why=why)


# -- NotAllowed ------------------------------------------------------------------------------------------------------


class NotAllowed(RegistryError):
    """Who asks, and what they may do."""


class Unauthenticated(NotAllowed):
    """This needs a token, and none was given."""

    def __init__(self) -> None:
        super().__init__("a token is needed: send Authorization: Bearer glu_…")


class InvalidToken(NotAllowed):
    """The token is unknown, expired or revoked."""

    def __init__(self) -> None:
        super().__init__("the token is unknown, expired or revoked")


class ScopeMissing(NotAllowed):
    """The token lacks the scope that this needs."""

    def __init__(self, scope: str) -> None:
        super().__init__(f"the token lacks the scope {scope!r}", scope=scope)


class CrossSiteRequest(NotAllowed):
    """A request that a browser signed with its session came from no page of this registry."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"this did not come from a page of this registry: {reason}", reason=reason)


class InsecureSignIn(NotAllowed):
    """Signing in over plain http would show the session to everybody on the way."""

    def __init__(self, host: str) -> None:
        super().__init__(
            f"{host} is reached over plain http, which anybody on the way can read; use https, or on the server's own"
            " machine localhost",
            host=host,
        )


class Forbidden(NotAllowed):
    """The caller may read this and lacks a further right on it."""

    def __init__(self, right: str, subject: str) -> None:
        super().__init__(f"you may not {right} {subject}", right=right, subject=subject)


class NameTaken(NotAllowed):
    """A name belonged to a deleted repository of somebody else; names are never reused."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} is taken: names of deleted repositories stay with their owner", name=name)


# -- Missing ---------------------------------------------------------------------------------------------------------


class Missing(RegistryError):
    """It is not there, or not for this caller: the two look the same."""


class NotFound(Missing):
    """It does not exist, or the caller may not read it."""

    def __init__(self, reference: str, pointer: str | None = None) -> None:
        super().__init__(f"{reference} does not exist, or you may not read it", reference=reference)
        if pointer is not None:
            self.facts["pointer"] = pointer


class RevisionNotFound(Missing):
    """A repository has no branch, version, alias or commit of this name, or it was deleted."""

    def __init__(self, repository: str, revision: str) -> None:
        super().__init__(f"{repository} has no revision {revision}", repository=repository, revision=revision)


class EntryNotFound(Missing):
    """A commit has no file or folder at this path."""

    def __init__(self, path: str, commit: str) -> None:
        super().__init__(f"no file or folder {path} in commit {commit}", path=path, commit=commit)


class ParentNotFound(Missing):
    """A parent that a version names does not exist, or the publisher may not read it."""

    def __init__(self, reference: str, pointer: str) -> None:
        super().__init__(
            f"the parent {reference} does not exist, or you may not read it", reference=reference, pointer=pointer
        )


class UnknownBlob(Missing):
    """A version names bytes that the caller has not uploaded and may not read elsewhere."""

    def __init__(self, digest: str, pointer: str) -> None:
        super().__init__(f"upload {digest} first: you have no receipt for it", digest=digest, pointer=pointer)


class Deleted(Missing):
    """It was deleted; its tombstone tells what it was."""

    def __init__(self, reference: str, pointer: str | None = None, **tombstone: Any) -> None:
        super().__init__(f"{reference} was deleted", reference=reference, **tombstone)
        if pointer is not None:
            self.facts["pointer"] = pointer


class Recalled(Missing):
    """It was recalled, or something that it holds or stands on was; the chains of evidence lead to what."""

    def __init__(self, reference: Any, chains: Sequence[Sequence[Any]], recalls: Sequence[Any]) -> None:
        super().__init__(
            "this was recalled, or something in it or under it was",
            reference=reference,
            chains=[list(chain) for chain in chains],
            recalls=list(recalls),
        )


class ResultEvicted(Missing):
    """A merge's files were evicted from the merge cache; the same recipe merges again."""

    def __init__(self, merge: str) -> None:
        super().__init__("the result was evicted from the merge cache; post the recipe again", merge=merge)


class UploadExpired(Missing):
    """An unfinished upload outlived its lease."""

    def __init__(self, upload: str) -> None:
        super().__init__("the upload expired; begin it again", upload=upload)


# -- Conflict --------------------------------------------------------------------------------------------------------


class Conflict(RegistryError):
    """It contradicts what is stored."""


class VersionExists(Conflict):
    """The version number is taken, by a living or a deleted version."""

    def __init__(self, reference: str) -> None:
        super().__init__(f"{reference} exists: version numbers are never reused", reference=reference)


class NameExists(Conflict):
    """A user, organisation or repository of this name exists."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} exists already", name=name)


class HeadMoved(Conflict):
    """A branch is no longer at the commit that was expected."""

    def __init__(self, branch: str, expected: str, found: str) -> None:
        super().__init__(f"{branch} is at {found}, not {expected}", branch=branch, expected=expected, found=found)


class DigestMismatch(Conflict):
    """The bytes that arrived have another digest than was declared; nothing was stored."""

    def __init__(self, expected: str, found: str) -> None:
        super().__init__(
            "the bytes that arrived have another digest; nothing was stored", expected=expected, found=found
        )


class SizeMismatch(Conflict):
    """The bytes that arrived are more or fewer than was declared; nothing was stored."""

    def __init__(self, expected: int, found: int) -> None:
        super().__init__(
            f"{expected} bytes declared, {found} arrived; nothing was stored", expected=expected, found=found
        )


class UploadIncomplete(Conflict):
    """An upload cannot be completed while parts are missing."""

    def __init__(self, missing: Sequence[int]) -> None:
        super().__init__(f"{len(missing)} parts are missing", missing=list(missing)[:100])


class ShapeMismatch(Conflict):
    """A module that a version shares with a parent has another shape there."""

    def __init__(self, module: str, expected: Sequence[int], found: Sequence[int], parent: str) -> None:
        super().__init__(
            f"module {module!r} is {list(found)} here and {list(expected)} in {parent}",
            module=module,
            expected=list(expected),
            found=list(found),
            parent=parent,
        )


class LastOwner(Conflict):
    """An organisation keeps at least one owner."""

    def __init__(self, organization: str) -> None:
        super().__init__(f"{organization} would be left without an owner", organization=organization)


class NotEmpty(Conflict):
    """A namespace cannot go while living repositories stand in it."""

    def __init__(self, name: str, repositories: int) -> None:
        super().__init__(f"{name} still holds {repositories} repositories", name=name, repositories=repositories)


class NotPublishedByHand(Conflict):
    """A stack's versions are its merged locks; nobody publishes them."""

    def __init__(self, repository: str) -> None:
        super().__init__(f"{repository} is a stack: lock it and merge the lock", repository=repository)


class NotStack(Conflict):
    """What is asked needs a repository of kind stack."""

    def __init__(self, repository: str) -> None:
        super().__init__(f"{repository} is not a stack", repository=repository)


class AlreadyDecided(Conflict):
    """A proposal was accepted, rejected or withdrawn before."""

    def __init__(self, number: int, state: str) -> None:
        super().__init__(f"proposal {number} is {state}", number=number, state=state)


class AlreadyRecalled(Conflict):
    """A recall of this version stands already."""

    def __init__(self, reference: str) -> None:
        super().__init__(f"{reference} is recalled already", reference=reference)


class RequestInProgress(Conflict):
    """The first request with this Idempotency-Key has not been answered yet."""

    def __init__(self, key: str) -> None:
        super().__init__("the first request with this Idempotency-Key is still being answered", key=key)


class NotFinished(Conflict):
    """A merge has no files until it has succeeded."""

    def __init__(self, merge: str, state: str) -> None:
        super().__init__(f"the merge is {state}; it has files once it has succeeded", merge=merge, state=state)


# -- RefusedPlan -----------------------------------------------------------------------------------------------------

Paths = Sequence[Sequence[Any]]


class RefusedPlan(Conflict):
    """A recipe that cannot be merged as asked; `paths` lead from a layer to the culprit, as references."""


class DuplicateLayer(RefusedPlan):
    """The same content stands twice among the layers."""

    def __init__(self, reference: str, layers: Sequence[int]) -> None:
        super().__init__(f"{reference} stands twice among the layers", reference=reference, layers=list(layers))


class TrunkNotReadable(RefusedPlan):
    """A layer stands on ancestors that the caller may not read."""

    def __init__(self, hidden: Sequence[Mapping[str, int]]) -> None:
        super().__init__("a layer stands on adapters that you may not read", hidden=[dict(entry) for entry in hidden])


class VersionConflict(RefusedPlan):
    """Two versions of one thing would be summed, and neither builds on the other."""

    def __init__(self, versions: Sequence[Any], paths: Paths) -> None:
        super().__init__(
            "two versions of one adapter would both be in the sum; pin one of them, or leave a layer out",
            versions=list(versions),
            paths=[list(path) for path in paths],
        )


class OverlappingContents(RefusedPlan):
    """Two members of the sum hold the same adapter, or two versions of one."""

    def __init__(self, shared: Sequence[Any], paths: Paths) -> None:
        super().__init__(
            "two members of the sum contain the same adapter, or two versions of it",
            shared=list(shared),
            paths=[list(path) for path in paths],
        )


class EdgeWeightConflict(RefusedPlan):
    """Two edges want one trunk member at different weights."""

    def __init__(self, reference: Any, weights: Sequence[float], paths: Paths) -> None:
        super().__init__(
            "two layers stand on one adapter at different weights; name it as a layer to decide",
            reference=reference,
            weights=list(weights),
            paths=[list(path) for path in paths],
        )


class BaseModelMismatch(RefusedPlan):
    """Two adapters were trained on different base models."""

    def __init__(self, expected: Mapping[str, Any], found: Mapping[str, Any], paths: Paths = ()) -> None:
        super().__init__(
            "two adapters were trained on different base models",
            expected=dict(expected),
            found=dict(found),
            paths=[list(path) for path in paths],
        )


class AncestorAmongBranches(RefusedPlan):
    """A layer is an ancestor of another, and the method would trim and vote on it."""

    def __init__(self, ancestor: Any, descendant: Any, paths: Paths) -> None:
        super().__init__(
            'a layer is an ancestor of another; ask for it with "ancestors": "branch", or leave it out: it is in the trunk',
            ancestor=ancestor,
            descendant=descendant,
            paths=[list(path) for path in paths],
        )


class Unresolvable(RefusedPlan):
    """No versions satisfy a stack's ranges and agree with each other through lineage."""

    def __init__(self, conflict: Sequence[Mapping[str, Any]], because: Mapping[str, Any]) -> None:
        super().__init__(
            "no versions satisfy these layers together; without any one of them the others could be had",
            conflict=[dict(entry) for entry in conflict],
            because=dict(because),
        )


class TrunkNotReferable(RefusedPlan):
    """A result that refers to its trunk would count a branch twice."""

    def __init__(self, branch: Any, member: Any, paths: Paths) -> None:
        super().__init__(
            "a branch is in the foundation of a trunk member, so that a referenced trunk would hold it twice",
            branch=branch,
            member=member,
            paths=[list(path) for path in paths],
        )


class RecalledInPlan(RefusedPlan):
    """A version in the plan was recalled."""

    def __init__(self, reference: Any, paths: Paths) -> None:
        super().__init__(
            "a version in the plan was recalled", reference=reference, paths=[list(path) for path in paths]
        )


class NotAnAdapter(RefusedPlan):
    """A layer or parent is a full model, not an adapter."""

    def __init__(self, reference: str, pointer: str) -> None:
        super().__init__(f"{reference} is not an adapter", reference=reference, pointer=pointer)


class ModelExpected(RefusedPlan):
    """A version that should be a full model is something else."""

    def __init__(self, reference: str, pointer: str) -> None:
        super().__init__(f"{reference} is not a model", reference=reference, pointer=pointer)


class BaseNotStored(RefusedPlan):
    """A model output needs the base model in this registry, readable by the caller."""

    def __init__(self, base_model: Mapping[str, Any] | None) -> None:
        super().__init__(
            "the base model is not in this registry; publish it as a repository of kind model, or ask for an adapter",
            base_model=None if base_model is None else dict(base_model),
        )


class ModuleNotInBase(RefusedPlan):
    """An adapter changes a module that the base model does not have, or has in another shape."""

    def __init__(self, reference: Any, module: str, reason: str) -> None:
        super().__init__(
            f"module {module!r} does not fit the base model: {reason}",
            reference=reference,
            module=module,
            reason=reason,
        )


class ModuleNotInResult(RefusedPlan):
    """The output asks for the rank of a module that no layer changes."""

    def __init__(self, module: str) -> None:
        super().__init__(f"no module of the result is called {module!r}, or ends so after a dot", module=module)


class NoExactAdapter(RefusedPlan):
    """The method's result is not low rank, so that no exact adapter exists."""

    def __init__(self, method: str) -> None:
        super().__init__(
            f"the result of {method} is not low rank; ask for a rank, an energy, or a model", method=method
        )


class TooManyLayers(RefusedPlan):
    """The method merges fewer layers than the recipe names."""

    def __init__(self, method: str, most: int, found: int) -> None:
        super().__init__(f"{method} merges at most {most} layers, not {found}", method=method, most=most, found=found)


class UnsupportedFeature(RefusedPlan):
    """An adapter uses something that is stored and served, but not merged."""

    def __init__(self, feature: str, reference: Any = None, module: str | None = None) -> None:
        super().__init__(f"{feature} cannot be merged yet", feature=feature, reference=reference, module=module)


class BaseNeeded(RefusedPlan):
    """What an adapter changes is known only beside the base's own values, so that no adapter can hold the result."""

    def __init__(self, feature: str, reference: Any, tensor: str) -> None:
        super().__init__(
            f"{tensor!r} depends on the base's own values ({feature}), so that no adapter can hold it; ask for a model",
            feature=feature,
            reference=reference,
            tensor=tensor,
        )


class ReplacementConflict(RefusedPlan):
    """Two adapters replace one tensor of the base, and neither builds on the other."""

    def __init__(self, tensor: str, versions: Sequence[Any]) -> None:
        super().__init__(
            f"two adapters replace {tensor!r}, and neither builds on the other; leave one of them out",
            tensor=tensor,
            versions=list(versions),
        )


class ResultOverflow(RefusedPlan):
    """A value of the result is beyond the range of the output's dtype."""

    def __init__(self, tensor: str, dtype: str) -> None:
        super().__init__(
            f"{tensor!r} has values beyond the range of {dtype}; ask for another dtype", tensor=tensor, dtype=dtype
        )


class PlanTooLarge(RefusedPlan):
    """A plan exceeds a limit of this registry."""

    def __init__(self, what: str, limit: int, found: int) -> None:
        super().__init__(f"{what}: {found}, at most {limit}", what=what, limit=limit, found=found)


class MergeFailed(Conflict):
    """A merge stopped on a fault of the registry's own; the worker's log has the details."""

    def __init__(self, kind: str) -> None:
        super().__init__(
            f"the merge stopped on a fault of the registry's own ({kind}); its operator can see why", kind=kind
        )


# -- OverLimit -------------------------------------------------------------------------------------------------------


class OverLimit(RegistryError):
    """A limit of this registry; the figures are in the facts."""


class UploadTooLarge(OverLimit):
    """An upload is larger than this registry takes."""

    def __init__(self, limit_bytes: int, found_bytes: int) -> None:
        super().__init__(f"at most {limit_bytes} bytes are taken", limit_bytes=limit_bytes, found_bytes=found_bytes)


class TooManyFiles(OverLimit):
    """A version has more files than this registry takes."""

    def __init__(self, limit: int, found: int) -> None:
        super().__init__(f"{found} files, at most {limit}", limit=limit, found=found)


class TooManyIgnoreRules(OverLimit):
    """A `.gitignore` has more rules than are matched, or too many for the names of files and folders beside it."""

    def __init__(self, rules: int, limit: int, names: int = 1) -> None:
        names_of = f" for {names} names of files and folders" if names > 1 else ""
        super().__init__(
            f".gitignore has too many rules{names_of}: {rules * names}, at most {limit}",
            rules=rules,
            names=names,
            limit=limit,
        )


class UploadTooSlow(OverLimit):
    """The next bytes of an upload did not come in time; nothing was stored."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"the next bytes did not come within {seconds:g} s; nothing was stored", seconds=seconds)


class StoreFull(OverLimit):
    """The object store has no room left; nothing was stored."""

    def __init__(self) -> None:
        super().__init__("the object store has no room left; nothing was stored")


class QuotaExceeded(OverLimit):
    """A namespace would hold more bytes than it may."""

    def __init__(self, limit_bytes: int, found_bytes: int) -> None:
        super().__init__(
            f"the namespace would hold {found_bytes} bytes, at most {limit_bytes}; delete versions that nobody needs",
            limit_bytes=limit_bytes,
            found_bytes=found_bytes,
        )


class TooManyRequests(OverLimit):
    """More requests in a minute than this registry answers to one token, or to one address without a token."""

    def __init__(self, limit: int, retry_seconds: int) -> None:
        super().__init__(
            f"{limit} requests a minute are answered; the next in {retry_seconds} s",
            limit=limit,
            retry_seconds=retry_seconds,
        )


class TooManyWebhooks(OverLimit):
    """A namespace has as many webhooks as it may."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"a namespace has at most {limit} webhooks; delete one that nobody needs", limit=limit)


class RangeNotSatisfiable(OverLimit):
    """The byte range lies outside the file."""

    def __init__(self, size_bytes: int) -> None:
        super().__init__(f"the range lies outside the file's {size_bytes} bytes", size_bytes=size_bytes)


# -- Unavailable -----------------------------------------------------------------------------------------------------


class Unavailable(RegistryError):
    """A part that this needs is not there at the moment; the same request may succeed later."""


class NotReady(Unavailable):
    """The database or the object store does not answer."""

    def __init__(self, part: str) -> None:
        super().__init__(f"the {part} does not answer", part=part)


class TooManyUploads(Unavailable):
    """As many uploads as this registry receives at a time are under way."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"{limit} uploads are under way, which is as many as are received at a time", limit=limit)


class BeingCollected(Unavailable):
    """These bytes are being removed from the store, because nothing needed them so far; send them again in a moment."""

    def __init__(self, digest: str) -> None:
        super().__init__(f"{digest} is just being removed from the store; send it again", digest=digest)


class BlobDamaged(Unavailable):
    """Stored bytes no longer have their digest, or are gone; the operator is told in the log."""

    def __init__(self, digest: str) -> None:
        super().__init__(f"the stored bytes of {digest} are damaged or gone", digest=digest)


# -- For the operator ------------------------------------------------------------------------------------------------


class CannotStart(Exception):
    """A process cannot start as it is set up; the sentence says what to change. No request ever meets it."""
