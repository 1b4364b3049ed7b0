"""What an adapter's pages are made of, without a browser: differences, rows, and which version is shown unasked."""

import pytest

from app.domain.caller import Caller
from app.domain.names import RepositoryName
from app.web.differences import Change, compared, flat, layered, most_lines, most_rows, text_difference
from app.web.tensor_rows import Row, page_rows, table
from tests.api.conftest import Registry, done, make_adapter
from tests.api.conftest import open_registry as open_registry
from tests.api.conftest import registry as registry
from tests.api.conftest import settings as settings


@pytest.mark.parametrize(
    ("before", "after", "rows", "same"),
    [
        ({"a": 1}, {"a": 1}, (), 1),
        ({"a": 1}, {"a": 2}, (Change("a", "1", "2", 1.0),), 0),
        ({"a": -2.0}, {"a": -1.0}, (Change("a", "-2.0", "-1.0", 0.5),), 0),
        ({"a": 0}, {"a": 5}, (Change("a", "0", "5"),), 0),
        ({"a": None}, {}, (Change("a", "null", None),), 0),
        ({}, {"a": None}, (Change("a", None, "null"),), 0),
        ({"a": True}, {"a": 1}, (Change("a", "true", "1"),), 0),
        ({"b": "x", "a": [1]}, {"b": "y", "a": [1]}, (Change("b", "x", "y"),), 1),
        ({"a": 1e308}, {"a": -1e308}, (Change("a", "1e+308", "-1e+308"),), 0),
        ({"a": 1}, {"a": 10**400}, (Change("a", "1", "1" + 299 * "0" + "…"),), 0),
    ],
)
def test_members_are_compared(before: dict[str, object], after: dict[str, object], rows: object, same: int) -> None:
    found = compared(before, after)
    assert (found.rows, found.more, found.same) == (rows, 0, same)


def test_layers_that_differ_alike_are_one_row_and_others_are_not() -> None:
    before = {f"model.layers.{layer}.q_proj": "rank 4" for layer in range(12)}
    after = (
        before
        | {f"model.layers.{layer}.q_proj": "rank 8" for layer in range(11)}
        | {"model.layers.11.q_proj": "rank 16"}
    )
    found = compared(before, after, alike=layered)
    assert [(row.name, row.after) for row in found.rows] == [
        ("model.layers.*.q_proj (11)", "rank 8"),
        ("model.layers.11.q_proj", "rank 16"),
    ]


def test_what_differs_is_bounded_and_what_is_left_out_is_counted() -> None:
    found = compared({}, {f"{number:05}": "x" * 10_000 for number in range(most_rows + 7)})
    assert len(found.rows) == most_rows
    assert found.more == 7
    assert all(len(row.after or "") < 400 for row in found.rows)
    assert text_difference("a\n" * (most_lines + 1), "") is None


def test_lines_that_differ_stand_with_those_around_them() -> None:
    lines = text_difference("1\n2\n3\n4\n5\n", "1\n2\n3\nfour\n5\n")
    assert lines is not None
    assert [(line.kind, line.text) for line in lines] == [
        ("place", "@@ -1,5 +1,5 @@"),
        ("same", "1"),
        ("same", "2"),
        ("same", "3"),
        ("removed", "4"),
        ("added", "four"),
        ("same", "5"),
    ]
    assert text_difference("-- a", "-- a") == ()


def test_members_of_members_have_whole_names() -> None:
    assert flat({"a": {"b": {"c": 1}, "d": {}}, "e": [{"f": 1}]}) == {"a.b.c": 1, "a.d": {}, "e": [{"f": 1}]}


def rows(count: int) -> list[Row]:
    return [Row(f"layers.{number}.q_proj", "linear", "F32", "", number, rank=number % 3) for number in range(count)]


def test_rows_stand_in_the_order_of_their_layers() -> None:
    found = table(rows(12)[::-1], q="", sort="name", is_descending=False, page=1)
    assert [row.name for row in found.rows] == [f"layers.{number}.q_proj" for number in range(12)]
    by_rank = table(rows(12), q="", sort="rank", is_descending=True, page=1)
    assert [row.rank for row in by_rank.rows] == [2] * 4 + [1] * 4 + [0] * 4
    assert [row.name for row in by_rank.rows][:2] == ["layers.2.q_proj", "layers.5.q_proj"]


def test_thousands_of_rows_are_paged_and_none_is_lost() -> None:
    everything = rows(3 * page_rows + 1)
    pages = [table(everything, q="PROJ layers", sort="name", is_descending=False, page=page) for page in (1, 2, 3, 4)]
    assert [len(page.rows) for page in pages] == [page_rows] * 3 + [1]
    assert [row.name for page in pages for row in page.rows] == [row.name for row in everything]
    assert pages[0].pages == 4
    assert table(everything, q="", sort="name", is_descending=False, page=99).page == 4
    none = table(everything, q="nowhere", sort="name", is_descending=False, page=1)
    assert (none.rows, none.found, none.total, none.pages) == ((), 0, len(everything), 1)


def test_unasked_the_newest_version_that_may_be_had_is_shown(registry: Registry) -> None:
    alice = registry.user("alice")
    showing, name, everybody = registry.services.showing, RepositoryName("alice", "shown"), Caller()

    def shown() -> str | None:
        version = showing.view(everybody, name, None).version
        return None if version is None else f"{version.number} {version.state}"

    alice.repository("shown")
    assert shown() is None
    for seed in range(3):
        alice.publish("alice/shown", make_adapter(seed))
    assert shown() == "1.2.0 published"
    recall = done(alice.post("/recalls", {"version": "alice/shown@1.2.0", "reason": "bad"}), 201)["id"]
    assert shown() == "1.1.0 published"
    done(alice.put("/repositories/alice/shown/aliases/latest", {"version": "1.0.0"}))
    assert shown() == "1.0.0 published"
    assert alice.delete("/repositories/alice/shown/versions/1.0.0").status_code == 204
    # an alias of what is deleted leads nowhere
    assert shown() == "1.2.0 recalled"
    assert alice.delete(f"/recalls/{recall}").status_code == 204
    assert shown() == "1.2.0 published"


def test_children_are_those_that_the_reader_may_read_and_that_live(registry: Registry) -> None:
    alice, bob = registry.user("alice"), registry.user("bob")
    alice.publish("alice/root", make_adapter(1))
    on = {"builds_on": [{"version": "alice/root@1.0.0", "weight": 0.5}]}
    alice.publish("alice/open", make_adapter(2), **on)
    alice.publish("alice/gone", make_adapter(3), **on)
    bob.repository("hidden", visibility="private")
    bob.publish("bob/hidden", make_adapter(4), **on)
    assert alice.delete("/repositories/alice/gone").status_code == 204
    told = registry.services.showing.view(Caller(), RepositoryName("alice", "root"), "1.0.0")
    assert [(child.reference, child.weight) for child in told.children] == [("alice/open@1.0.0", 0.5)]
    assert told.child_count == 1
