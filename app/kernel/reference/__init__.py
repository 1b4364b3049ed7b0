"""What the methods mean: dense, float64, one adapter at a time, readable beside the papers. Slow, and never used to serve."""

from collections.abc import Callable, Mapping, Sequence

from torch import Tensor

from app.kernel.factors import Branch
from app.kernel.reference.directions import karcher, model_stock, multislerp, nuslerp, slerp, sum_of, weighted
from app.kernel.reference.elements import (
    breadcrumbs,
    breadcrumbs_ties,
    dare_linear,
    dare_ties,
    della,
    della_linear,
    magnitude_prune,
    sce,
    ties,
)
from app.kernel.reference.subspaces import cart, core_ties, iso_c, iso_cts, knots_ties, tsv
from app.kernel.reference.sums import Truncation, linear, merge_into, truncate


def weighted_sum(branches: Sequence[Branch]) -> Tensor:
    """`linear`, of branches."""
    return sum_of(weighted(branches))


methods: Mapping[str, Callable[..., Tensor]] = {
    "linear": weighted_sum,
    "slerp": slerp,
    "nuslerp": nuslerp,
    "multislerp": multislerp,
    "karcher": karcher,
    "model_stock": model_stock,
    "tsv": tsv,
    "iso_c": iso_c,
    "iso_cts": iso_cts,
    "cart": cart,
    "knots_ties": knots_ties,
    "core_ties": core_ties,
    "ties": ties,
    "magnitude_prune": magnitude_prune,
    "dare_linear": dare_linear,
    "dare_ties": dare_ties,
    "breadcrumbs": breadcrumbs,
    "breadcrumbs_ties": breadcrumbs_ties,
    "della": della,
    "della_linear": della_linear,
    "sce": sce,
}
"""By name: (branches, **parameters) → the merged delta, [out, in], float64. `lambda` is called `scale` here."""

__all__ = ["Truncation", "linear", "merge_into", "methods", "truncate", "weighted_sum"]
