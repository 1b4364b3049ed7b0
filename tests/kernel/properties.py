"""What each method promises of any deltas; the tests hold it to what is said here, and to what is not."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Properties:
    """Scaling, adapters of rank one, a B of zeros, negative weights and odd shapes are promised by all."""

    ignores_order: bool = True
    returns_single: bool = True
    """One adapter at weight 1 comes back where nothing is cut."""
    of_duplicates: int | None = 1
    """Two equal adapters at weight 1 give so many of them where nothing is cut; None where something else."""
    cancels: bool = True
    """An adapter and its opposite give nothing."""
    is_scaled_by_lambda: bool | None = True
    """None without `lambda`."""


summing = Properties(of_duplicates=2)
combining = Properties(is_scaled_by_lambda=None)
levelling = Properties(returns_single=False, of_duplicates=None)

properties: Mapping[str, Properties] = {
    "linear": Properties(of_duplicates=2, is_scaled_by_lambda=None),
    # from the first layer to the second
    "slerp": Properties(ignores_order=False, cancels=False, is_scaled_by_lambda=None),
    "nuslerp": combining,
    "multislerp": combining,
    # between two opposite directions there is no centre
    "karcher": Properties(cancels=False, is_scaled_by_lambda=None),
    "model_stock": combining,
    "tsv": Properties(),
    "iso_c": levelling,
    "iso_cts": levelling,
    # λ multiplies the differences from the mean alone, which are cut at a rank each
    "cart": Properties(is_scaled_by_lambda=False),
    "knots_ties": Properties(),
    "core_ties": Properties(),
    "ties": Properties(),
    "magnitude_prune": summing,
    "dare_linear": summing,
    "dare_ties": Properties(),
    "breadcrumbs": summing,
    "breadcrumbs_ties": Properties(),
    "della": Properties(),
    "della_linear": summing,
    "sce": Properties(),
}
