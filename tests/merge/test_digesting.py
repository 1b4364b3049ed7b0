"""What makes two recipes one execution."""

from dataclasses import replace

import pytest

from app.domain.base_model import BaseModel
from app.domain.plan import BasePart, Plan
from app.domain.recipe import Dtype, Energy, Method, Output, OutputKind, Ranks, Trunk
from app.merge import kernel_revision
from app.merge.digesting import recipe_digest
from app.merge.planning import plan
from tests.merge.files import adapter, module, weight_files
from tests.merge.world import World, some_base


def planned(world: World, *layers: str | tuple[str, float]) -> Plan:
    facts = {version: adapter(module("q", 2)) for version in world.catalogue}
    files = {version: weight_files(1000) for version in world.catalogue}
    return plan(world.resolve(*layers), facts, files, Method(), Output(), None, world.catalogue)


def digest(planned: Plan, kernel: str = kernel_revision, device: str = "cpu") -> str:
    return recipe_digest(planned, kernel, device)


def test_the_order_of_a_sums_layers_changes_nothing(world: World) -> None:
    one = planned(world, "bob/dialogue@1.0.0", ("carol/reasoning@1.0.0", 0.7))
    other = planned(world, ("carol/reasoning@1.0.0", 0.7), "bob/dialogue@1.0.0")
    assert digest(one) == digest(other)


def test_a_number_is_what_json_says_it_is(world: World) -> None:
    plain = digest(planned(world, ("bob/dialogue@1.0.0", 1.0), ("carol/reasoning@1.0.0", 0.0)))
    assert plain == digest(planned(world, ("bob/dialogue@1.0.0", 1), ("carol/reasoning@1.0.0", -0.0)))


def test_what_a_version_is_called_changes_nothing(world: World) -> None:
    world.add("bob/dialogue@1.0.1", ["alice/instruct@1.0.0"], twin_of="bob/dialogue@1.0.0")
    assert digest(planned(world, "bob/dialogue@1.0.0")) == digest(planned(world, "bob/dialogue@1.0.1"))


def test_weights_roles_and_members_count(world: World) -> None:
    plans = [
        planned(world, "bob/dialogue@1.0.0"),
        planned(world, ("bob/dialogue@1.0.0", 0.5)),
        planned(world, "carol/reasoning@1.0.0"),
        planned(world, "bob/dialogue@1.0.0", "alice/instruct@1.0.0"),
        planned(world, "bob/dialogue@1.0.0", ("carol/reasoning@1.0.0", 0.0)),
    ]
    assert len({digest(it) for it in plans}) == len(plans)


@pytest.mark.parametrize(
    "output",
    [
        Output(rank=8),
        Output(rank=Energy(0.9)),
        Output(rank=Energy(0.99)),
        Output(rank=Ranks(8, (("q", 4),))),
        Output(rank=Ranks(8, (("v", 4),))),
        Output(dtype=Dtype.BFLOAT16),
        Output(trunk=Trunk.REFERENCED),
        Output(OutputKind.MODEL),
        Output(OutputKind.MODEL, dtype=None),
    ],
)
def test_the_output_counts(world: World, output: Output) -> None:
    plain = planned(world, "bob/dialogue@1.0.0")
    assert digest(plain) != digest(replace(plain, output=output))


def test_method_kernel_and_device_count(world: World) -> None:
    plain = planned(world, "bob/dialogue@1.0.0")
    digests = {
        digest(plain),
        digest(plain, kernel="another"),
        digest(plain, device="cuda-sm90"),
        digest(replace(plain, method=Method("linear", {"scale": 2.0}))),
    }
    assert len(digests) == 4


def test_the_base_counts_with_all_that_the_result_says_of_it(world: World) -> None:
    plain = planned(world, "bob/dialogue@1.0.0")
    known = BaseModel("org/base", digest="sha256:" + "1" * 64)
    bases = [
        None,
        known,
        replace(known, name="other/name"),
        some_base,
        replace(some_base, name="org/other"),
        replace(some_base, revision="b"),
    ]
    assert len({digest(replace(plain, base_model=base)) for base in bases}) == len(bases)


def test_what_the_adapters_are_for_counts(world: World) -> None:
    plain = planned(world, "bob/dialogue@1.0.0")
    assert digest(plain) != digest(replace(plain, task_type="SEQ_CLS"))


def test_the_stored_base_of_a_model_counts_by_all_of_its_files(world: World) -> None:
    plain = planned(world, "bob/dialogue@1.0.0")
    first, second = (world.versions[it] for it in ("bob/dialogue@1.0.0", "carol/reasoning@1.0.0"))
    part = BasePart(first.id, first.reference, first.digest, first.content_digest)
    other_tokenizer = replace(part, digest=second.digest)
    renamed = replace(part, reference="moved/here@1.0.0")
    assert digest(replace(plain, base=part)) != digest(replace(plain, base=other_tokenizer))
    assert digest(replace(plain, base=part)) == digest(replace(plain, base=renamed))


def test_where_it_is_published_and_what_was_warned_of_change_nothing(world: World) -> None:
    plain = planned(world, "bob/dialogue@1.0.0")
    assert digest(plain) == digest(replace(plain, warnings=(), peak_bytes=1, bytes_read=2))
