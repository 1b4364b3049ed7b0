"""Methods whose result is a combination of the deltas, with coefficients that their lengths and angles decide.

All of these are in the N × N matrix of the deltas' inner products, which the factors give without a delta:
⟨Δᵢ, Δⱼ⟩ = Σ (BᵢᵀBⱼ) ∘ (AᵢAⱼᵀ). The result is exact by concatenation, as a weighted sum is.
"""

from collections.abc import Sequence
from math import acos, pi, sin

import torch
from torch import Tensor

from app.kernel.factors import Branch, Factors

cancelled = 1e-6
"""A sum of weights below it has no shares; as in mergekit."""


def inner_products(branches: Sequence[Branch]) -> Tensor:
    """⟨Δᵢ, Δⱼ⟩ of the deltas without their weights; [N, N], float64, on the CPU."""
    b = [branch.delta.b.double() for branch in branches]
    a = [branch.delta.a.double() for branch in branches]
    products = torch.zeros(len(branches), len(branches), dtype=torch.float64)
    for two in range(len(branches)):
        for one in range(two + 1):
            product = ((b[one].mT @ b[two]) * (a[one] @ a[two].mT)).sum()
            gains = branches[one].delta.gain * branches[two].delta.gain
            products[one, two] = products[two, one] = gains * float(product)
    return products


def combination(branches: Sequence[Branch], coefficients: Sequence[float]) -> list[Factors]:
    """Σ coefficientᵢ·Δᵢ, as factors."""
    return [
        Factors(branch.delta.a, branch.delta.b, coefficient * branch.delta.gain)
        for branch, coefficient in zip(branches, coefficients, strict=True)
    ]


def linear(branches: Sequence[Branch]) -> list[Factors]:
    return combination(branches, [branch.weight for branch in branches])


def slerp(branches: Sequence[Branch], *, t: float) -> list[Factors]:
    """Raises: ValueError for more than two branches."""
    weights = [branch.weight for branch in branches]
    if len(branches) == 1:
        return combination(branches, weights)
    ends = between(weighted_products(branches), t, colinear=0.9995)
    return combination(branches, [end * weight for end, weight in zip(ends, weights, strict=True)])


def nuslerp(branches: Sequence[Branch]) -> list[Factors]:
    """Raises: ValueError for more than two branches."""
    if len(branches) == 1:
        return combination(branches, [1.0])
    total = sum(branch.weight for branch in branches)
    t = 0.5 if abs(total) < cancelled else branches[-1].weight / total
    return combination(branches, between(inner_products(branches), t, colinear=(1 - 1e-12) ** 0.5))


def between(products: Tensor, t: float, colinear: float) -> tuple[float, float]:
    """The coefficients of two deltas, t of the way from the first to the second.

    Raises: ValueError when there are more than two.
    """
    if len(products) != 2:
        raise ValueError(f"a way leads from one delta to another, not through {len(products)}")
    cosine = float(cosines(products)[0, 1])
    if abs(cosine) >= colinear or float(products.diagonal().min()) == 0:
        return 1 - t, t
    angle = acos(cosine)
    return sin((1 - t) * angle) / sin(angle), sin(t * angle) / sin(angle)


def multislerp(branches: Sequence[Branch]) -> list[Factors]:
    """The weighted mean of the directions lies on the sphere at the foot of its own tangent space, where the mean of the
    tangents is zero: the published steps end where they begin, and only the length is left to set."""
    shares = shares_of(branches)
    if shares is None:
        return linear(branches)
    if len(branches) == 1:
        return combination(branches, [1.0])
    products = inner_products(branches)
    inverse, norms = inverse_norms(products)
    mean = shares * inverse
    length = length_of(mean, products)
    if length < 1e-8:
        return combination(branches, shares.tolist())
    return combination(branches, (mean / length * (shares * norms).sum()).tolist())


def karcher(branches: Sequence[Branch], *, max_iter: int, tol: float) -> list[Factors]:
    shares = shares_of(branches)
    if shares is None:
        return linear(branches)
    products = inner_products(branches)
    inverse, norms = inverse_norms(products)
    there = norms > 0
    if int(there.sum()) <= 1:
        return combination(branches, shares.tolist())
    length = (shares * norms).sum()
    angles = cosines(products)[there][:, there]
    shares = shares[there] / shares[there].sum()
    mean = shares.clone()
    if length_of(mean, angles) < tol:
        mean = torch.zeros_like(shares)
        mean[0] = 1
    mean /= length_of(mean, angles)
    for _ in range(max_iter):
        cosine = (angles @ mean).clamp(-1, 1)
        angle = cosine.acos()
        has_logarithm = (angle >= tol) & (angle <= pi - tol)
        stretch = torch.where(has_logarithm, shares * angle / angle.sin().where(has_logarithm, 1.0), 0.0)
        step = stretch - (stretch * cosine).sum() * mean
        stride = length_of(step, angles)
        if stride < tol:
            break
        mean = torch.cos(stride) * mean + torch.sin(stride) / stride * step
        mean /= length_of(mean, angles)
    coefficients = torch.zeros(len(branches), dtype=torch.float64)
    coefficients[there] = length * mean * inverse[there]
    return combination(branches, coefficients.tolist())


def model_stock(branches: Sequence[Branch]) -> list[Factors]:
    count = len(branches)
    t = 1.0
    if count > 1:
        pairs = cosines(weighted_products(branches)).triu(diagonal=1).sum()
        cosine = float(pairs) / (count * (count - 1) / 2)
        denominator = 1 + (count - 1) * cosine
        t = 0.0 if abs(denominator) < 1e-6 else count * cosine / denominator
    return combination(branches, [t / count * branch.weight for branch in branches])


def weighted_products(branches: Sequence[Branch]) -> Tensor:
    """⟨weightᵢ·Δᵢ, weightⱼ·Δⱼ⟩."""
    weights = torch.tensor([branch.weight for branch in branches], dtype=torch.float64)
    return weights[:, None] * inner_products(branches) * weights


def shares_of(branches: Sequence[Branch]) -> Tensor | None:
    """The weights over their sum; None when they cancel."""
    weights = torch.tensor([branch.weight for branch in branches], dtype=torch.float64)
    return None if abs(float(weights.sum())) < cancelled else weights / weights.sum()


def inverse_norms(products: Tensor) -> tuple[Tensor, Tensor]:
    """(1/‖Δᵢ‖ or 0, ‖Δᵢ‖)."""
    norms = products.diagonal().clamp(min=0).sqrt()
    return torch.where(norms > 0, 1 / norms, 0.0), norms


def cosines(products: Tensor) -> Tensor:
    """Of the angles between the deltas; 0 beside a delta of zeros."""
    inverse, _ = inverse_norms(products)
    return (inverse[:, None] * products * inverse).clamp(-1, 1)


def length_of(coefficients: Tensor, products: Tensor) -> Tensor:
    """Of the combination."""
    return (coefficients @ products @ coefficients).clamp(min=0).sqrt()
