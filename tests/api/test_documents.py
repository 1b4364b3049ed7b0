"""What is said of the API: problems, OpenAPI, metrics; each in step with what it is said of."""

import re
from pathlib import Path
from typing import Any

from app import errors
from app.api.document import meanings
from app.api.problems import by_name, statuses
from tests.api.conftest import Registry, done, make_adapter, refused

page = Path(__file__).parents[2] / "docs" / "problems.md"


def leaves(kind: type[errors.RegistryError]) -> set[type[errors.RegistryError]]:
    below = kind.__subclasses__()
    return {leaf for entry in below for leaf in leaves(entry)} if below else {kind}


def test_every_error_has_a_status() -> None:
    assert statuses.keys() == leaves(errors.RegistryError)


def test_every_problem_is_explained_in_the_documentation() -> None:
    lines = re.findall(r"^\| `([a-z-]+)` \| (\d+) \| .{20,} \|$", page.read_text(), re.MULTILINE)
    assert {name: int(status) for name, status in lines} == {name: status for name, (status, _) in by_name.items()}
    assert len(lines) == len(by_name)


def test_every_problem_explains_itself(registry: Registry) -> None:
    for name, (status, title) in by_name.items():
        found = done(registry.anonymous.request("GET", f"/problems/{name}"))
        assert (found["type"], found["status"], found["title"]) == (f"/problems/{name}", status, title)
        assert found["meaning"]
    refused(registry.anonymous.request("GET", "/problems/bad-luck"), 404, "not-found")


def references_in(value: Any) -> set[str]:
    if isinstance(value, dict):
        own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
        return own | {found for entry in value.values() for found in references_in(entry)}
    return {found for entry in value for found in references_in(entry)} if isinstance(value, list) else set()


def test_the_openapi_document_is_whole(registry: Registry) -> None:
    document = done(registry.anonymous.request("GET", "/api/openapi.json"))
    assert document["openapi"].startswith("3.1")
    names = []
    for path, operations in document["paths"].items():
        parameters = set(re.findall(r"{(\w+)}", path))
        for method, operation in operations.items():
            names.append(operation["operationId"])
            assert operation["description"], (method, path)
            described = {entry["name"] for entry in operation.get("parameters", ()) if entry["in"] == "path"}
            assert described == parameters, (method, path)
            refusals = {status: entry for status, entry in operation["responses"].items() if int(status) >= 400}
            assert set(refusals) >= {"401", "403", "422", "429", "503"} or not path.startswith("/api/v1"), (
                method,
                path,
            )
            for status, entry in refusals.items():
                assert entry["content"].keys() == {"application/problem+json"}, (method, path, status)
    assert len(set(names)) == len(names)
    for reference in references_in(document):
        found: Any = document
        for part in reference.removeprefix("#/").split("/"):
            found = found[part]


def test_the_document_knows_every_status_of_a_problem() -> None:
    # the one is told in a merge, the other by the Hub's face, which describes itself
    told_elsewhere = {statuses[kind][0] for kind in (errors.MergeFailed, errors.HeadMoved)}
    assert meanings.keys() == {status for status, _ in statuses.values()} - told_elsewhere


def test_metrics_name_routes_and_no_repository(registry: Registry) -> None:
    alice = registry.user("alice")
    alice.repository("hush", visibility="private")
    alice.publish("alice/hush", make_adapter(1))
    done(alice.get("/repositories/alice/hush/versions/1.0.0"))
    text = registry.admin.request("GET", "/metrics").text
    assert '/repositories/{namespace}/{name}/versions/{ref}"' in text
    assert "hush" not in text
    assert 'glulam_jobs{queue="merge",status="todo"}' in text


def test_whether_it_lives_and_is_ready_is_told_to_anybody(registry: Registry) -> None:
    assert done(registry.anonymous.request("GET", "/healthz"))
    answer = registry.anonymous.request("GET", "/readyz", headers={"X-Request-Id": "my-own-request"})
    assert done(answer) == {"status": "ready"}
    assert answer.headers["x-request-id"] == "my-own-request"
    odd = registry.anonymous.request("GET", "/healthz", headers={"X-Request-Id": "<script>"})
    assert re.fullmatch("[0-9a-f]{32}", odd.headers["x-request-id"])
