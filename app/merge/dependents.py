"""What can become of a tensor that is more than a sum of products: DoRA, biases, tensors that adapters bring whole."""

from collections.abc import Callable, Iterable
from math import prod
from typing import Any

from app.domain.adapter import Checkpoint, ModuleKind, TensorFact
from app.domain.digest import Digest
from app.domain.lineage import Role
from app.domain.plan import Member
from app.domain.recipe import Method
from app.errors import BaseNeeded, ModuleNotInBase, ReplacementConflict, ShapeMismatch, UnsupportedFeature
from app.merge.composition import Composition, Share
from app.merge.costs import DependentSum, value_bytes
from app.merge.methods import methods

Called = Callable[[Member], Any]

tied_to_embedding = "lm_head"
"""The last part of the module's name that shares its weight with the embedding, in the libraries whose adapters are read."""
input_embeddings = frozenset({"embed_in", "embed_tokens", "shared", "tok_embeddings", "word_embeddings", "wte"})
"""The last parts of the names of what it shares it with."""


def check_dependent(composition: Composition, in_plan: Iterable[Digest], method: Method, called: Called) -> None:
    """Whether it can be merged at all.

    Args:
        in_plan: the content digests of all members that are summed.
        called: what a refusal calls a member.

    Raises: ReplacementConflict, UnsupportedFeature, ShapeMismatch.
    """
    present = frozenset(in_plan)
    for share in composition.shares:
        if not {content for content, _ in share.member.foundation} <= present:
            what = f"{share.feature} beside a foundation that a pin, a reference or an overlap took out of the sum"
            raise UnsupportedFeature(what, called(share.member), composition.tensor)
        if not methods[method.name].is_sum and share.member.role is Role.BRANCH and share.member.weight != 0:
            what = f"{composition.unusual.feature} with {method.name}"
            raise UnsupportedFeature(what, called(share.member), composition.tensor)
        if share.module is not None and share.module.kind is ModuleKind.EXPERTS:
            what = f"target_parameters beside {composition.unusual.feature}"
            raise UnsupportedFeature(what, called(share.member), composition.tensor)
    check_replacements(composition, called)
    if composition.token_rows() and any(composition.is_normed(share) for share in composition.shares):
        raise UnsupportedFeature("trainable_tokens beside dora", called(composition.unusual.member), composition.tensor)
    shape = shape_of(composition)
    for share in composition.shares:
        found = shape_of_share(composition, share)
        if found is not None and shape is not None and found != shape:
            raise ShapeMismatch(composition.tensor, shape, found, composition.shares[0].member.reference)


def check_replacements(composition: Composition, called: Called) -> None:
    """Raises: ReplacementConflict when two members that are no line replace the same rows; UnsupportedFeature for whole numbers."""
    holders = [share for share in composition.shares if share.replacement is not None]
    for place, left in enumerate(holders):
        for right in holders[place + 1 :]:
            if not are_related(left.member, right.member) and meet(left, right):
                raise ReplacementConflict(composition.tensor, [called(left.member), called(right.member)])
    expansion = composition.expansion()
    for share in holders:
        is_number = share.replacement is not None and share.replacement.dtype in value_bytes
        if not is_number and expansion.copied is None and expansion.terms:
            what = f"{share.feature} of a dtype that is copied or not at all"
            raise UnsupportedFeature(what, called(share.member), composition.tensor)


def are_related(left: Member, right: Member) -> bool:
    """One builds on the other."""
    contents = {content for content, _ in left.foundation}, {content for content, _ in right.foundation}
    return right.content_digest in contents[0] or left.content_digest in contents[1]


def meet(left: Share, right: Share) -> bool:
    """Two replacements have a row in common."""
    rows = [share.replacement.rows if share.replacement is not None else () for share in (left, right)]
    if rows[0] is None or rows[1] is None:
        return True
    return not set(rows[0]).isdisjoint(rows[1])


def check_for_adapter(composition: Composition, called: Called) -> None:
    """An adapter can add a bias, and bring a tensor or rows of it whole, if the base's own values cancel.

    Raises: BaseNeeded, UnsupportedFeature.
    """
    share = composition.unusual
    if not composition.is_whole and composition.token_rows():
        if any(held.module is not None for held in composition.shares):
            what = "trainable_tokens beside a delta of the same embedding, in an adapter"
            raise UnsupportedFeature(what, called(share.member), composition.tensor)
        expansions = [composition.expansion(tokens) for tokens in composition.token_rows()]
    else:
        if composition.is_added:
            return
        expansions = [composition.expansion(), *(composition.expansion(tokens) for tokens in composition.token_rows())]
    for expansion in expansions:
        if not expansion.is_known_without_base:
            raise BaseNeeded(share.feature, called(share.member), composition.tensor)


def check_for_model(
    composition: Composition, checkpoint: Checkpoint, tensor: TensorFact | None, called: Called
) -> None:
    """Raises: ModuleNotInBase, UnsupportedFeature."""
    share = composition.unusual
    owner = composition.owner
    if tensor is None:
        raise ModuleNotInBase(called(share.member), owner, f"there is no tensor {composition.tensor}")
    if composition.token_rows() and not composition.is_whole:
        rows = max(row for rows in composition.token_rows().values() for row in rows)
        width = next(held.replacement.shape[1] for held in composition.shares if held.replacement is not None)
        if len(tensor.shape) != 2 or tensor.shape[1] != width or rows >= tensor.shape[0]:
            reason = f"row {rows} of width {width} is trained, the base's tensor is {list(tensor.shape)}"
            raise ModuleNotInBase(called(share.member), owner, reason)
    elif tensor.shape != (shape := shape_of(composition)):
        reason = f"the adapter's tensor is {list(shape or ())}, the base's {list(tensor.shape)}"
        raise ModuleNotInBase(called(share.member), owner, reason)
    is_copied = composition.expansion().copied is not None and not composition.token_rows()
    dtypes = {held.replacement.dtype for held in composition.shares if held.replacement is not None} | {tensor.dtype}
    if not value_bytes.keys() >= dtypes and not (is_copied and len(dtypes) == 1):
        raise UnsupportedFeature(f"a base tensor of dtype {tensor.dtype}", called(share.member), composition.tensor)
    name = owner.rpartition(".")[2]
    if checkpoint.tie_word_embeddings and composition.is_whole and name in input_embeddings | {tied_to_embedding}:
        # PEFT puts the saved module in one of the two places where the base uses this weight
        raise UnsupportedFeature("an embedding with tied weights", called(share.member), composition.tensor)


def shape_of(composition: Composition) -> tuple[int, ...] | None:
    """Of the base's tensor, as the first share that knows it says; None where only rows are known."""
    shapes = (shape_of_share(composition, share) for share in composition.shares)
    return next((shape for shape in shapes if shape is not None), None)


def shape_of_share(composition: Composition, share: Share) -> tuple[int, ...] | None:
    if share.replacement is not None and share.is_whole:
        return share.replacement.shape
    if share.module is None:
        return None
    out_shape, in_shape = (share.module.out_features,), share.module.a_shape[1:]
    if composition.is_bias:
        return out_shape
    return in_shape + out_shape if share.module.is_transposed else out_shape + in_shape


def cost_of(composition: Composition) -> DependentSum:
    shape = shape_of(composition)
    modules = [share.module for share in composition.shares if share.module is not None]
    rows_brought = [share.replacement.shape for share in composition.shares if share.replacement and not share.is_whole]
    row_values = sum(prod(rows) for rows in rows_brought)
    is_normed = [composition.is_normed(share) for share in composition.shares]
    is_bias = composition.is_bias
    return DependentSum(
        tensor=composition.tensor,
        values=row_values if shape is None else prod(shape),
        columns=rows_brought[0][1] if shape is None else prod(shape[1:]),
        factor_values=0 if is_bias else sum(one.rank * (one.in_features + one.out_features) for one in modules),
        held_values=row_values + sum(module.out_features for module in modules),
        normed=sum(is_normed),
        is_one_tile=any(is_normed) and modules[0].is_transposed,
    )
