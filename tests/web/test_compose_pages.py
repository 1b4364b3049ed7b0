"""The composer's and the merges' pages as the server writes them, asked without a browser."""

import html
import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlencode

import pytest
from httpx2 import Response

from tests.api.conftest import User, done, make_adapter, refused
from tests.api.test_merging import base_model
from tests.web.conftest import Site
from tests.web.merging import finished, merged

as_page = {"Accept": "text/html"}
form = {"Content-Type": "application/x-www-form-urlencoded"}


def composed(user: User, *fields: tuple[str, str]) -> Response:
    return user.request("GET", f"/merges/new?{urlencode(fields)}", headers=as_page)


def layers(*references: str) -> list[tuple[str, str]]:
    return [("layer", reference) for reference in references]


def buttons(page: Response) -> list[str]:
    """What can be done about a refusal."""
    remedies = page.text.partition("data-remedies")[2].partition("</form>")[0]
    return [html.unescape(found) for found in re.findall(r'name="do" value="([^"]*)"', remedies)]


@pytest.fixture(scope="module")
def team(site: Site) -> User:
    """instruct 1 and 2; dialogue and reasoning on 1, tools on 2; heavy on 1 at half weight; chat: dialogue and what is under it."""
    team = site.user("team")
    team.publish("team/instruct", make_adapter(1))
    team.publish("team/dialogue", make_adapter(2), builds_on=["team/instruct@1.0.0"])
    team.publish("team/reasoning", make_adapter(3), builds_on=["team/instruct@1.0.0"])
    team.publish("team/instruct", make_adapter(4), version="2.0.0")
    team.publish("team/tools", make_adapter(5), builds_on=["team/instruct@2.0.0"])
    team.publish("team/heavy", make_adapter(6), builds_on=[{"version": "team/instruct@1.0.0", "weight": 0.5}])
    team.repository("chat")
    recipe = {"layers": [{"adapter": "team/dialogue@1.0.0"}], "publish": {"repository": "team/chat"}}
    merged(team, recipe)
    team.publish("team/stranger", make_adapter(7, base="acme/other"))
    return team


@pytest.mark.parametrize(
    ("fields", "problem", "actions"),
    [
        (
            layers("team/dialogue@1.0.0", "team/tools@1.0.0"),
            "version-conflict",
            ["pin:team/instruct@1.0.0", "pin:team/instruct@2.0.0", "remove:0", "remove:1"],
        ),
        (
            layers("team/chat@1.0.0", "team/reasoning@1.0.0"),
            "overlapping-contents",
            ["set:overlaps=covered", "remove:0", "remove:1", "set:overlaps=allow"],
        ),
        (
            layers("team/chat@1.0.0", "team/tools@1.0.0"),
            "overlapping-contents",
            # the two are not the same, so that neither is covered
            ["remove:0", "remove:1", "set:overlaps=allow"],
        ),
        (
            [*layers("team/dialogue@1.0.0", "team/instruct@1.0.0"), ("method", "ties"), ("size", "rank")],
            "ancestor-among-branches",
            ["remove:1", "set:ancestors=branch", "set:method=linear"],
        ),
        (
            layers("team/dialogue@1.0.0", "team/heavy@1.0.0"),
            "edge-weight-conflict",
            ["add:team/instruct@1.0.0=0.5", "add:team/instruct@1.0.0=1"],
        ),
        (layers("team/tools@1.0.0", "team/tools@1.0.0"), "duplicate-layer", ["remove:1"]),
        (layers("team/dialogue@1.0.0", "team/stranger@1.0.0"), "base-model-mismatch", ["remove:1", "remove:0"]),
        (
            [*layers("team/tools@1.0.0"), ("method", "ties")],
            "no-exact-adapter",
            # no base is stored, so that a model is no way out: it is refused for another reason, and that one can be undone
            ["set:size=rank", "set:size=energy", "set:output=model"],
        ),
        ([*layers("team/tools@1.0.0"), ("output", "model")], "base-not-stored", ["set:output=adapter"]),
        ([*layers("team/tools@1.0.0"), ("size", "rank"), ("ranks", "x=2")], "module-not-in-result", ["set:ranks="]),
        (
            [
                *layers("team/dialogue@1.0.0", "team/reasoning@1.0.0", "team/instruct@1.0.0"),
                ("method", "slerp"),
                ("ancestors", "branch"),
            ],
            "too-many-layers",
            ["set:method=linear"],
        ),
        ([*layers("team/tools@1.0.0"), ("method", "stirring")], "unknown-method", ["set:method=linear"]),
        (
            [*layers("team/instruct@2.0.0"), ("pin", "team/instruct@1.0.0")],
            "pin-contradicts-layer",
            ["unpin:0"],
        ),
        (layers("team/tools@1.0.0", "team/none@1.0.0"), "not-found", ["remove:1"]),
        ([*layers("team/tools@1.0.0"), ("pin", "team/instruct@9.0.0")], "not-found", ["unpin:0"]),
        (layers("team/tools@1.0.0", "nonsense"), "invalid-reference", ["remove:1"]),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_refusal_is_told_with_the_buttons_that_solve_it(
    team: User, fields: list[tuple[str, str]], problem: str, actions: list[str]
) -> None:
    page = composed(team, *fields)
    assert page.status_code == 200
    assert f'href="/problems/{problem}"' in page.text
    assert buttons(page) == actions
    for action in actions:
        after = team.request("GET", f"/merges/new?{urlencode([*fields, ('do', action)])}", headers=as_page)
        assert after.status_code == 303
        then = team.request("GET", after.headers["location"], headers=as_page)
        assert f'href="/problems/{problem}"' not in then.text


@pytest.mark.parametrize(
    ("field", "value", "pointer"),
    [
        ("weight", "much", "/layers/0/weight"),
        ("weight", "inf", "/layers/0/weight"),
        ("weight", "9" * 400, "/layers/0/weight"),
        ("rank", "0", "/output/rank"),
        ("rank", "few", "/output/rank"),
        ("ranks", "q_proj", "/output/rank"),
        ("ties.density", "2", "/method/density"),
        ("ties.convention", "ours", "/method/convention"),
        ("dtype", "int8", "/output/dtype"),
        ("overlaps", "perhaps", "/overlaps"),
        ("pin", "team/instruct", "/conflicts"),
    ],
)
def test_what_is_no_value_is_shown_again_beside_what_is_wrong_with_it(
    team: User, field: str, value: str, pointer: str
) -> None:
    fields = [*layers("team/tools@1.0.0"), ("method", "ties"), ("size", "rank")]
    page = composed(team, *[entry for entry in fields if entry[0] != field], (field, value))
    assert page.status_code == 200
    found = re.search('data-pointer-refused="([^"]*)"', page.text)
    assert found is not None
    assert found[1].startswith(pointer)
    assert page.text.count("Start the merge") == 0


def test_a_plan_is_started_as_its_url_says(team: User) -> None:
    fields = [
        *layers("team/dialogue@1.0.0", "team/reasoning@1.0.0"),
        ("weight", "0.5"),
        ("size", "energy"),
        ("energy", "0.9"),
    ]
    url = f"/merges/new?{urlencode(fields)}"
    assert "Start the merge" in team.request("GET", url, headers=as_page).text
    started = team.request("POST", url, headers={**as_page, **form})
    assert started.status_code == 303
    id = started.headers["location"].rsplit("/", 1)[1]
    finished(team, id)
    done_page = team.request("GET", f"/merges/{id}", headers=as_page).text
    assert "is done" in done_page
    assert 'class="kept"' in done_page
    recipe = done(team.get(f"/merges/{id}"))["recipe"]
    assert [layer["weight"] for layer in recipe["layers"]] == [1, 0.5]
    assert recipe["output"]["rank"] == {"energy": 0.9}
    # and from the result back to a state that asks for the same
    again = re.search('<a class="button" href="(/merges/new[^"]*)"', done_page)
    assert again is not None
    repeated = team.request("POST", html.unescape(again[1]), headers={**as_page, **form})
    second = done(team.get(f"/merges/{repeated.headers['location'].rsplit('/', 1)[1]}"))
    assert second["recipe"] == recipe
    assert second["cached"]


def test_a_model_is_merged_shown_and_published(team: User) -> None:
    team.repository("base", kind="model")
    team.publish("team/base", base_model())
    team.publish("team/onbase", make_adapter(14, base="team/base"))
    fields = [*layers("team/onbase@1.0.0"), ("output", "model"), ("dtype", "bfloat16")]
    page = composed(team, *fields)
    assert "team/base@1.0.0" in page.text
    assert "A model, linear, bfloat16" in page.text
    started = team.request("POST", f"/merges/new?{urlencode(fields)}", headers={**as_page, **form})
    id = started.headers["location"].rsplit("/", 1)[1]
    report = finished(team, id)["report"]
    shown = team.request("GET", f"/merges/{id}", headers=as_page).text
    assert f"A model: {report['changed_tensors']} of {report['tensors']} tensors were changed" in shown
    assert "model.safetensors" in shown
    body = urlencode({"repository": "team/whole"})
    made = team.request("POST", f"/merges/{id}/publish", headers={**as_page, **form}, content=body)
    assert made.headers["location"] == "/team/whole?version=1.0.0"
    assert done(team.get("/repositories/team/whole"))["kind"] == "model"


def test_what_cannot_be_started_is_refused_and_shown(team: User) -> None:
    page = team.request("POST", "/merges/new?layer=team/none@1.0.0", headers={**as_page, **form})
    assert page.status_code == 404
    assert "It does not exist, or you may not read it" in page.text
    page = team.request("POST", "/merges/new", headers={**as_page, **form})
    assert page.status_code == 422


def test_an_alias_that_moved_does_not_change_what_is_published(site: Site, team: User) -> None:
    done(team.put("/repositories/team/dialogue/aliases/prod", {"version": "1.0.0"}))
    merge = merged(team, {"layers": [{"adapter": "team/dialogue@prod", "weight": 0.5}]})
    team.publish("team/dialogue", make_adapter(11), builds_on=["team/instruct@1.0.0"], version="2.0.0")
    done(team.put("/repositories/team/dialogue/aliases/prod", {"version": "2.0.0"}))
    body = urlencode({"repository": "team/half", "version": "3.1.0"})
    made = team.request("POST", f"/merges/{merge['id']}/publish", headers={**as_page, **form}, content=body)
    assert made.status_code == 303
    assert made.headers["location"] == "/team/half?version=3.1.0"
    version = done(team.get("/repositories/team/half/versions/3.1.0"))
    assert "team/dialogue@1.0.0" in {entry["reference"] for entry in version["merged_from"]}
    assert version["content_digest"] == merge["result"]["content_digest"]


def test_who_lost_the_right_to_a_layer_publishes_nothing_and_is_told_no_name(site: Site, team: User) -> None:
    lender = site.user("lender")
    lender.publish("lender/lent", make_adapter(12))
    merge = merged(team, {"layers": [{"adapter": "lender/lent@1.0.0"}, {"adapter": "team/tools@1.0.0"}]})
    done(lender.patch("/repositories/lender/lent", {"visibility": "private"}))
    shown = team.request("GET", f"/merges/{merge['id']}", headers=as_page).text
    assert "You may not read the result any more" in shown
    assert "lender/lent" not in shown
    body = urlencode({"repository": "team/kept"})
    refusal = team.request("POST", f"/merges/{merge['id']}/publish", headers={**as_page, **form}, content=body)
    assert refusal.status_code == 404
    assert "lender/lent" not in refusal.text


def test_a_merge_is_shown_to_nobody_else(site: Site, team: User) -> None:
    merge = merged(team, {"layers": [{"adapter": "team/tools@1.0.0"}]})
    other = site.user("other")
    for method, path in (
        ("GET", f"/merges/{merge['id']}"),
        ("POST", f"/merges/{merge['id']}/cancel"),
        ("POST", f"/merges/{merge['id']}/publish"),
    ):
        refused(other.request(method, path, headers=form), 404, "not-found")
        refused(site.anonymous.request(method, path, headers=form), 401, "unauthenticated")


def test_a_hidden_ancestor_has_no_name_in_the_composer(site: Site, team: User) -> None:
    secret = site.user("secret")
    secret.repository("hidden", visibility="private")
    secret.publish("secret/hidden", make_adapter(21))
    secret.publish("secret/open", make_adapter(22), builds_on=["secret/hidden@1.0.0"])
    page = composed(team, *layers("secret/open@1.0.0"))
    assert 'href="/problems/trunk-not-readable"' in page.text
    assert "secret/hidden" not in page.text
    assert buttons(page) == []
    page = composed(team, *layers("team/tools@1.0.0", "secret/open@1.0.0"))
    assert buttons(page) == ["remove:1"]
    assert "secret/hidden" not in page.text


def test_the_command_the_program_and_the_request_ask_for_the_same_merge(site: Site, team: User, tmp_path: Path) -> None:
    fields = [
        *layers("team/dialogue@1.0.0", "team/tools@1.0.0"),
        ("weight", "-0.25"),
        ("pin", "team/instruct@2.0.0"),
        ("method", "ties"),
        ("ties.density", "0.3"),
        ("ties.convention", "mergekit"),
        ("size", "rank"),
        ("rank", "2"),
        ("ranks", "v_proj=3"),
        ("dtype", "bfloat16"),
        ("overlaps", "covered"),
        ("ancestors", "branch"),
    ]
    page = composed(team, *fields)
    assert "Start the merge" in page.text
    snippets = [html.unescape(found) for found in re.findall(r'<code id="snippet-\d">(.*?)</code>', page.text, re.S)]
    command, program, request = snippets
    tools = Path(sys.executable).parent
    environment = {**os.environ, "GLULAM_TOKEN": team.token or "", "PATH": f"{tools}:{os.environ['PATH']}"}
    before = {merge["id"] for merge in done(team.get("/merges"))["items"]}
    for line in (["bash", "-c", command], [sys.executable, "-c", program], ["bash", "-c", request]):
        ended = subprocess.run(line, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
        assert ended.returncode == 0, ended.stderr
    asked = [merge for merge in done(team.get("/merges"))["items"] if merge["id"] not in before]
    assert len(asked) == 3
    assert len({merge["recipe_digest"] for merge in asked}) == 1
    ranks = {"default": 2, "modules": {"v_proj": 3}}
    assert asked[0]["recipe"]["output"] == {"kind": "adapter", "rank": ranks, "dtype": "bfloat16", "trunk": "included"}
    assert {path.name for path in (tmp_path / "merged").iterdir()} >= {
        "adapter_config.json",
        "adapter_model.safetensors",
    }
