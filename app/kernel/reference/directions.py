"""Methods that go by the deltas' lengths and the angles between them. Each delta is one long vector here."""

from collections.abc import Sequence
from math import acos, cos, pi, sin

import torch
from torch import Tensor

from app.kernel.factors import Branch


def slerp(branches: Sequence[Branch], *, t: float) -> Tensor:
    """From the first delta (t = 0) to the second (t = 1) along the great circle, lengths not interpolated.

    The deltas are weight·Δ. Within 1.8° of one line, or with a delta of zeros, the way is straight; one branch alone is itself.

    Source: Shoemake, SIGGRAPH 1985; on raw vectors as mergekit 0.1.5 does.
    """
    deltas = weighted(branches)
    if len(deltas) == 1:
        return deltas[0]
    return between(deltas[0], deltas[1], t, colinear=0.9995)


def nuslerp(branches: Sequence[Branch]) -> Tensor:
    """`slerp` of the deltas themselves; the weights say where: t = w₂ / (w₁ + w₂), ½ when they cancel.

    Source: mergekit 0.1.5, `nuslerp` with a base, flattened.
    """
    if len(branches) == 1:
        return branches[0].delta.dense()
    one, two = branches
    total = one.weight + two.weight
    t = 0.5 if abs(total) < 1e-6 else two.weight / total
    return between(one.delta.dense(), two.delta.dense(), t, colinear=(1 - 1e-12) ** 0.5)


def between(one: Tensor, two: Tensor, t: float, colinear: float) -> Tensor:
    cosine = cosine_of(one, two)
    if abs(cosine) >= colinear or float(one.norm()) == 0 or float(two.norm()) == 0:
        return (1 - t) * one + t * two
    angle = acos(cosine)
    return (sin((1 - t) * angle) * one + sin(t * angle) * two) / sin(angle)


def multislerp(branches: Sequence[Branch]) -> Tensor:
    """The mean of the directions on the sphere, by the tangent space at their weighted mean, at the mean length.

    Weights that cancel, and directions that do, leave no mean: there it is the weighted sum.

    Source: mergekit 0.1.5, `multislerp` with normalized weights.
    """
    deltas = [branch.delta.dense() for branch in branches]
    shares = shares_of(branches)
    if shares is None:
        return sum_of(weighted(branches))
    if len(branches) == 1:
        return deltas[0]
    units = [unit(delta) for delta in deltas]
    mean = sum_of([share * direction for share, direction in zip(shares, units, strict=True)])
    if float(mean.norm()) < 1e-8:
        return sum_of([share * delta for share, delta in zip(shares, deltas, strict=True)])
    mean /= mean.norm()
    tangents = [direction - float((direction * mean).sum()) * mean for direction in units]
    step = sum_of([share * tangent for share, tangent in zip(shares, tangents, strict=True)])
    length = float(step.norm()) + 1e-8
    on_sphere = cos(length) * mean + sin(length) / length * step
    return on_sphere * sum(share * float(delta.norm()) for share, delta in zip(shares, deltas, strict=True))


def karcher(branches: Sequence[Branch], *, max_iter: int, tol: float) -> Tensor:
    """The Riemannian centre of the directions on the sphere, at the mean length.

    Each step goes along the weighted mean of the logarithms. A direction opposite to the centre has no logarithm and is left
    out of that step; directions that cancel begin at the first.

    Source: Karcher, Comm. Pure Appl. Math. 30, 1977; on deltas, with the weights in the mean, else as mergekit 0.1.5.
    """
    shares = shares_of(branches)
    if shares is None:
        return sum_of(weighted(branches))
    found = [
        (share, branch.delta.dense())
        for share, branch in zip(shares, branches, strict=True)
        if float(branch.delta.dense().norm()) > 0
    ]
    if not found:
        return branches[0].delta.dense()
    if len(found) == 1:
        return found[0][0] * found[0][1]
    length = sum(share * float(delta.norm()) for share, delta in found)
    units = [unit(delta) for _, delta in found]
    total = sum(share for share, _ in found)
    shares = [share / total for share, _ in found]
    mean = sum_of([share * direction for share, direction in zip(shares, units, strict=True)])
    mean = units[0] if float(mean.norm()) < tol else mean / mean.norm()
    for _ in range(max_iter):
        step = torch.zeros_like(mean)
        for share, direction in zip(shares, units, strict=True):
            cosine = cosine_of(mean, direction)
            angle = acos(cosine)
            if tol <= angle <= pi - tol:
                step += share * angle / sin(angle) * (direction - cosine * mean)
        stride = float(step.norm())
        if stride < tol:
            break
        mean = cos(stride) * mean + sin(stride) / stride * step
        mean /= mean.norm()
    return length * mean


def model_stock(branches: Sequence[Branch]) -> Tensor:
    """The mean of the deltas, shortened to where a centre of many would be: t = N·cos θ / (1 + (N − 1)·cos θ).

    cos θ is the mean over all pairs; at a zero of the denominator nothing of the mean is trusted. One branch alone is itself.

    Source: Model Stock, arXiv:2403.19522, equation 4 and its extension to N models.
    """
    deltas = weighted(branches)
    count = len(deltas)
    if count == 1:
        return deltas[0]
    cosines = [cosine_of(deltas[one], deltas[two]) for two in range(count) for one in range(two)]
    cosine = sum(cosines) / len(cosines)
    denominator = 1 + (count - 1) * cosine
    t = 0.0 if abs(denominator) < 1e-6 else count * cosine / denominator
    return t * sum_of(deltas) / count


def weighted(branches: Sequence[Branch]) -> list[Tensor]:
    return [branch.weight * branch.delta.dense() for branch in branches]


def shares_of(branches: Sequence[Branch]) -> list[float] | None:
    """The weights over their sum; None when they cancel."""
    total = sum(branch.weight for branch in branches)
    return None if abs(total) < 1e-6 else [branch.weight / total for branch in branches]


def unit(delta: Tensor) -> Tensor:
    return delta if float(delta.norm()) == 0 else delta / delta.norm()


def cosine_of(one: Tensor, two: Tensor) -> float:
    return max(-1.0, min(1.0, float((unit(one) * unit(two)).sum())))


def sum_of(deltas: Sequence[Tensor]) -> Tensor:
    return torch.stack(list(deltas)).sum(dim=0)
