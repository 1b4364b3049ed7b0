"""The methods by name, as they run; `reference.methods` has their meaning under the same names."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from app.kernel import directions, elements, subspaces
from app.kernel.factors import Branch, Factors
from app.kernel.tiles import Tiled

low_rank: Mapping[str, Callable[..., list[Factors]]] = {
    "linear": directions.linear,
    "slerp": directions.slerp,
    "nuslerp": directions.nuslerp,
    "multislerp": directions.multislerp,
    "karcher": directions.karcher,
    "model_stock": directions.model_stock,
    "tsv": subspaces.tsv,
    "iso_c": subspaces.iso_c,
    "iso_cts": subspaces.iso_cts,
    "cart": subspaces.cart,
    "knots_ties": subspaces.knots_ties,
    "core_ties": subspaces.core_ties,
}
element_wise: Mapping[str, Callable[..., Tiled]] = {
    "ties": elements.ties,
    "magnitude_prune": elements.magnitude_prune,
    "dare_linear": elements.dare_linear,
    "dare_ties": elements.dare_ties,
    "breadcrumbs": elements.breadcrumbs,
    "breadcrumbs_ties": elements.breadcrumbs_ties,
    "della": elements.della,
    "della_linear": elements.della_linear,
    "sce": elements.sce,
}


def merge_factors(name: str, branches: Sequence[Branch], parameters: Mapping[str, Any]) -> list[Factors]:
    """A low-rank method's result as factors to be summed; on one thread, since it decomposes.

    Raises: ValueError if the method takes fewer branches.
    """
    return low_rank[name](branches, **arguments(parameters))


def merge_tiles(
    name: str, branches: Sequence[Branch], parameters: Mapping[str, Any], dtype: torch.dtype = torch.float64
) -> Tiled:
    """An element-wise method, ready for any tile: its sweeps are done, on as many threads as torch has.

    Args:
        dtype: that deltas are computed in; see `Tiles`.
    """
    return element_wise[name](branches, dtype, **arguments(parameters))


def arguments(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """`lambda`, which Python keeps for itself, is called `scale`."""
    return {"scale" if key == "lambda" else key: value for key, value in parameters.items()}
