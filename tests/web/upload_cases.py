"""Everything that the upload form may be refused for, and the field that says so: with a script, and without one."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.api.conftest import make_adapter
from tests.api.test_bad_content import Files, bad, good
from tests.web.conftest import Site

owner, other = "refused-rosa", "refused-otto"
mine = f"{owner}/target"


@dataclass(frozen=True)
class Case:
    """What is typed into a form that would be accepted without it."""

    at: str
    """Where the refusal stands."""
    status: int
    """Of the page that a browser without script is answered with."""
    typed: Mapping[str, str] = field(default_factory=dict)
    parents: tuple[tuple[str, str], ...] = ()
    """(reference, weight) of what it builds on."""
    files: Files = field(default_factory=lambda: dict(good))
    is_for_forms: bool = False
    """Not for a browser with a script: it is like another one, or no field takes it."""


def prepare(site: Site) -> None:
    """What the cases need to be there."""
    rosa, otto = site.user(owner), site.user(other)
    if rosa.get(f"/repositories/{mine}").status_code == 200:
        return
    rosa.publish(mine, make_adapter(1))
    rosa.repository("stacked", kind="stack")
    rosa.publish(f"{owner}/root", make_adapter(2))
    rosa.publish(f"{owner}/root", make_adapter(3))
    for number, name in (("1.0.0", "first"), ("1.1.0", "second")):
        parents = [{"version": f"{owner}/root@{number}", "weight": 1.0}]
        rosa.publish(f"{owner}/{name}", make_adapter(4), builds_on=parents)
    rosa.publish(f"{owner}/half", make_adapter(5), builds_on=[{"version": f"{owner}/root@1.0.0", "weight": 0.5}])
    rosa.publish(f"{owner}/wide", make_adapter(6, shape=(24, 32)))
    rosa.publish(f"{owner}/elsewhere", make_adapter(7, base="acme/other"))
    otto.repository("secret", visibility="private")


def cases() -> dict[str, Case]:
    first = {problem: name for name, (_, problem) in reversed(bad.items())}
    files = {
        # in a browser one of each kind
        name: Case("files", 422, files=content, is_for_forms=first[problem] != name)
        for name, (content, problem) in bad.items()
    }
    return files | {
        "a path that is none": Case("files", 422, files=good | {"a\u202eb.txt": b""}),
        "two files that are one elsewhere": Case("files", 422, files=good | {"a.txt": b"", "A.txt": b""}),
        "a name that is none": Case("repository", 422, {"name": "double--dash"}),
        "a stack": Case("repository", 409, {"name": "stacked"}),
        "somebody else's owner": Case("repository", 403, {"namespace": other}, is_for_forms=True),
        "no number": Case("version", 422, {"version": "one"}),
        "a number that is taken": Case("version", 409, {"version": "1.0.0"}),
        "another base than the parent's": Case(
            "base_model", 409, {"base_model": "acme/other"}, ((f"{owner}/first@1.0.0", ""),)
        ),
        "a parent that is not there": Case("builds_on", 404, parents=((f"{owner}/nobody@1.0.0", ""),)),
        "a parent that is somebody's secret": Case("builds_on", 404, parents=((f"{other}/secret@1.0.0", ""),)),
        "a parent without a version": Case("builds_on", 422, parents=((f"{owner}/first", ""),)),
        "a weight that is no number": Case("builds_on", 422, parents=((f"{owner}/first@1.0.0", "much"),)),
        "a parent twice": Case("builds_on", 422, parents=((f"{owner}/first@1.0.0", ""), (f"{owner}/first@1.0.0", "2"))),
        "a parent of another shape": Case("builds_on", 409, parents=((f"{owner}/wide@1.0.0", ""),)),
        "two versions of one": Case(
            "builds_on", 409, parents=((f"{owner}/first@1.0.0", ""), (f"{owner}/second@1.0.0", ""))
        ),
        "two weights for one": Case(
            "builds_on", 409, parents=((f"{owner}/first@1.0.0", ""), (f"{owner}/half@1.0.0", ""))
        ),
        "an origin that is not there": Case("initialized_from", 404, {"initialized_from": f"{owner}/nobody@1.0.0"}),
        "an origin without a version": Case("initialized_from", 422, {"initialized_from": "nonsense"}),
        "too many tags": Case("tags", 422, {"name": "fresh", "tags": ",".join(f"t{number}" for number in range(65))}),
        "too long a tag": Case("tags", 422, {"name": "fresh", "tags": "t" * 97}),
        "too long a licence": Case("license", 422, {"name": "fresh", "license": "l" * 501}, is_for_forms=True),
        "too long a description": Case(
            "description", 422, {"name": "fresh", "description": "d" * 10_001}, is_for_forms=True
        ),
        "notes that are too long": Case("notes", 422, {"notes": "n" * 10_001}, is_for_forms=True),
        "a visibility that is none": Case(
            "visibility", 422, {"name": "fresh", "visibility": "secret"}, is_for_forms=True
        ),
    }
