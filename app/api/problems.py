"""Errors as RFC 9457 problems: the one place that knows which status an error has."""

import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import iter_route_contexts
from starlette.exceptions import HTTPException

from app import errors as e
from app.errors import RegistryError

log = logging.getLogger(__name__)

media_type = "application/problem+json"

statuses: dict[type[RegistryError], tuple[int, str]] = {
    e.MalformedRequest: (422, "The request is malformed"),
    e.InvalidName: (422, "Not a name"),
    e.InvalidReference: (422, "Not a reference"),
    e.InvalidRange: (422, "Not a range of versions"),
    e.InvalidVersionNumber: (422, "Not a version number"),
    e.InvalidDigest: (422, "Not a digest"),
    e.InvalidPath: (422, "Not a path"),
    e.InvalidCursor: (422, "Not a cursor of this list"),
    e.InvalidXet: (422, "Not as Xet clients send it"),
    e.UnknownMethod: (422, "No such merge method"),
    e.PinContradictsLayer: (422, "A pin contradicts a layer"),
    e.AddressRefused: (422, "Nothing is sent to this address"),
    e.IdempotencyKeyReused: (422, "The Idempotency-Key belongs to another request"),
    e.InvalidSafetensors: (422, "Not a valid safetensors file"),
    e.PickleRefused: (422, "Pickled weights are refused"),
    e.ArchiveRefused: (422, "An archive is no weights file"),
    e.NonFiniteValues: (422, "The weights hold NaN or infinity"),
    e.InvalidConfig: (422, "Not a valid configuration"),
    e.UnknownConfigKey: (422, "The configuration has unknown keys"),
    e.ImportKeyRefused: (422, "The configuration names code to import"),
    e.UnsafePattern: (422, "A pattern in the configuration is refused"),
    e.UnpairedFactor: (422, "A factor has no counterpart"),
    e.RankMismatch: (422, "The ranks disagree"),
    e.StrayTensor: (422, "A tensor belongs to no module"),
    e.FactorShape: (422, "A factor has an impossible shape"),
    e.EmptyAdapter: (422, "Nothing is adapted"),
    e.IndexMismatch: (422, "The index and the weight files disagree"),
    e.MissingFile: (422, "A file is missing"),
    e.Unauthenticated: (401, "A token is needed"),
    e.InvalidToken: (401, "The token is not valid"),
    e.ScopeMissing: (403, "The token lacks a scope"),
    e.CrossSiteRequest: (403, "The request came from another site"),
    e.InsecureSignIn: (403, "Signing in needs https"),
    e.Forbidden: (403, "You lack the right"),
    e.NameTaken: (403, "The name is taken"),
    e.NotFound: (404, "Not found"),
    e.RevisionNotFound: (404, "No such revision"),
    e.EntryNotFound: (404, "No such file or folder"),
    e.ParentNotFound: (404, "A parent was not found"),
    e.UnknownBlob: (404, "The bytes were not uploaded"),
    e.Deleted: (410, "Deleted"),
    e.ResultEvicted: (410, "The result was evicted"),
    e.UploadExpired: (410, "The upload expired"),
    e.Recalled: (451, "Recalled"),
    e.VersionExists: (409, "The version number is taken"),
    e.NameExists: (409, "The name exists"),
    e.HeadMoved: (412, "The branch has moved"),
    e.DigestMismatch: (409, "The bytes have another digest"),
    e.SizeMismatch: (409, "More or fewer bytes than declared"),
    e.UploadIncomplete: (409, "Parts are missing"),
    e.ShapeMismatch: (409, "A module has another shape in a parent"),
    e.LastOwner: (409, "An organisation keeps an owner"),
    e.NotEmpty: (409, "The namespace is not empty"),
    e.RequestInProgress: (409, "The first request is still being answered"),
    e.NotFinished: (409, "The merge has no files yet"),
    e.NotPublishedByHand: (409, "A stack's versions are its merged locks"),
    e.NotStack: (409, "Not a stack"),
    e.AlreadyDecided: (409, "The proposal was decided before"),
    e.AlreadyRecalled: (409, "Recalled already"),
    e.DuplicateLayer: (409, "A layer stands twice"),
    e.TrunkNotReadable: (409, "A layer stands on what you may not read"),
    e.VersionConflict: (409, "Two versions of one adapter"),
    e.OverlappingContents: (409, "Two members hold the same adapter"),
    e.EdgeWeightConflict: (409, "Two weights for one trunk member"),
    e.BaseModelMismatch: (409, "Different base models"),
    e.AncestorAmongBranches: (409, "A layer is an ancestor of another"),
    e.TrunkNotReferable: (409, "The trunk cannot be referenced"),
    e.Unresolvable: (409, "No versions satisfy the stack"),
    e.RecalledInPlan: (409, "A version was recalled"),
    e.NotAnAdapter: (409, "Not an adapter"),
    e.ModelExpected: (409, "Not a model"),
    e.BaseNotStored: (409, "The base model is not stored"),
    e.ModuleNotInBase: (409, "A module does not fit the base model"),
    e.ModuleNotInResult: (409, "A module is not in the result"),
    e.NoExactAdapter: (409, "No exact adapter exists"),
    e.TooManyLayers: (409, "More layers than the method merges"),
    e.UnsupportedFeature: (409, "This cannot be merged yet"),
    e.BaseNeeded: (409, "Only a model can hold this"),
    e.ReplacementConflict: (409, "Two adapters replace one tensor"),
    e.PlanTooLarge: (409, "The plan is too large"),
    e.ResultOverflow: (409, "The result does not fit the dtype"),
    e.MergeFailed: (500, "The merge stopped on a fault"),
    e.UploadTooLarge: (413, "The upload is too large"),
    e.TooManyFiles: (413, "Too many files"),
    e.TooManyIgnoreRules: (413, "Too many rules of .gitignore"),
    e.UploadTooSlow: (408, "The upload is too slow"),
    e.StoreFull: (507, "The object store is full"),
    e.QuotaExceeded: (507, "The namespace is full"),
    e.TooManyWebhooks: (507, "Too many webhooks"),
    e.TooManyRequests: (429, "Too many requests"),
    e.RangeNotSatisfiable: (416, "The range lies outside the file"),
    e.NotReady: (503, "A part does not answer"),
    e.TooManyUploads: (503, "Too many uploads"),
    e.BeingCollected: (503, "The bytes are being removed"),
    e.BlobDamaged: (503, "Stored bytes are damaged"),
}

not_ours: dict[int, tuple[str, str]] = {
    400: ("malformed-request", "The request is malformed"),
    404: ("not-found", "Not found"),
    405: ("method-not-allowed", "This path does not know the method"),
    413: ("upload-too-large", "The upload is too large"),
    415: ("unsupported-media-type", "The body is of a kind that is not read here"),
    500: ("internal-error", "A fault of the registry's own"),
}
"""Problems that the framework finds: status → (name, title)."""

by_name: dict[str, tuple[int, str]] = {kind.kebab_name(): row for kind, row in statuses.items()}
by_name |= {name: (status, title) for status, (name, title) in not_ours.items() if name not in by_name}


def problem(name: str, detail: str, facts: dict[str, Any], request_id: str | None = None) -> dict[str, Any]:
    """The body of a problem. `facts` stand beside its standard members and never replace them."""
    status, title = by_name[name]
    body = {key: value for key, value in facts.items() if key not in {"type", "title", "status", "detail"}}
    body |= {"type": f"/problems/{name}", "title": title, "status": status, "detail": detail}
    return body if request_id is None else {**body, "request_id": request_id}


def answer(request: Request, body: dict[str, Any], headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse(body, status_code=body["status"], media_type=media_type, headers=headers)


def request_id_of(request: Request) -> str | None:
    found: str | None = getattr(request.state, "request_id", None)
    return found


def registry_error(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, RegistryError):
        raise error
    body = problem(error.kebab_name(), error.detail, error.facts, request_id_of(request))
    headers = {}
    if isinstance(error, e.Unauthenticated | e.InvalidToken):
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, e.Unavailable | e.RequestInProgress):
        headers["Retry-After"] = "2"
    if isinstance(error, e.TooManyRequests):
        headers["Retry-After"] = str(error.facts["retry_seconds"])
    if isinstance(error, e.UploadTooSlow):
        # what is still on its way belongs to no request any more
        headers["Connection"] = "close"
    if isinstance(error, e.RangeNotSatisfiable):
        headers["Content-Range"] = f"bytes */{error.facts['size_bytes']}"
    if isinstance(error, e.BlobDamaged):
        log.error("stored bytes are damaged or gone: %s", error.facts["digest"])
    return answer(request, body, headers)


def validation_error(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, RequestValidationError):
        raise error
    # what was sent is left out: it may be a secret, or a number that JSON cannot carry
    faults = [{"pointer": pointer_of(fault["loc"]), "detail": fault["msg"]} for fault in error.errors()[:20]]
    first = faults[0] if faults else {"pointer": "", "detail": "malformed"}
    detail = f"{first['pointer'] or 'the request'}: {first['detail']}"
    facts = {"pointer": first["pointer"], "errors": faults}
    return answer(request, problem("malformed-request", detail, facts, request_id_of(request)))


def pointer_of(location: tuple[int | str, ...]) -> str:
    """A JSON pointer into the body; of a parameter, its name."""
    kind, *parts = location
    escaped = [str(part).replace("~", "~0").replace("/", "~1") for part in parts]
    return "".join(f"/{part}" for part in escaped) if kind == "body" else "?" + ".".join(escaped)


def framework_error(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, HTTPException):
        raise error
    name, title = not_ours.get(error.status_code, not_ours[400])
    body = problem(name, str(error.detail) or title, {}, request_id_of(request))
    body["status"] = error.status_code
    headers = dict(error.headers or {})
    if error.status_code == 405:
        headers["Allow"] = ", ".join(sorted(methods_of(request)))
    return answer(request, body, headers)


def methods_of(request: Request) -> set[str]:
    """What the path knows; the framework tells the methods of the first route that fits, and a path may have several."""
    routes = iter_route_contexts(request.app.routes)
    return {method for route in routes if route.path_regex.match(request.url.path) for method in route.methods or ()}


def internal_error(request: Request, error: Exception) -> JSONResponse:
    log.error("unexpected", exc_info=error)
    detail = "this is a bug or a broken part; the log has the details under the request id"
    request_id = request_id_of(request)
    # answered outside of the middleware that names every other answer
    headers = {} if request_id is None else {"X-Request-Id": request_id}
    return answer(request, problem("internal-error", detail, {}, request_id), headers)


def install(app: FastAPI) -> None:
    app.add_exception_handler(RegistryError, registry_error)
    app.add_exception_handler(RequestValidationError, validation_error)
    app.add_exception_handler(HTTPException, framework_error)
    app.add_exception_handler(Exception, internal_error)


def explain(name: str) -> dict[str, Any] | None:
    """What a problem means, for whoever follows its type."""
    if name not in by_name:
        return None
    status, title = by_name[name]
    kind = next((kind for kind in statuses if kind.kebab_name() == name), None)
    meaning = (kind.__doc__ or "").strip() if kind is not None else title + "."
    return {"type": f"/problems/{name}", "title": title, "status": status, "meaning": meaning}
