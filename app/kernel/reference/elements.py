"""Methods that look at every element of every delta. Nothing here commutes with a change of basis."""

from collections.abc import Sequence

import torch
from torch import Tensor

from app.kernel.factors import Branch
from app.kernel.reference.directions import sum_of, weighted
from app.kernel.reference.random_numbers import uniform


def ties(branches: Sequence[Branch], *, density: float, scale: float, convention: str) -> Tensor:
    """Trim each delta to its largest elements, elect a sign for each element, merge those who agree.

    Source: TIES-Merging, arXiv:2306.01708, algorithm 1, of the deltas weight·Δ.
    """
    trimmed = [trim(branch.delta.dense(), density) for branch in branches]
    return scale * elect(trimmed, [branch.weight for branch in branches], convention)


def magnitude_prune(branches: Sequence[Branch], *, density: float, scale: float) -> Tensor:
    """The weighted sum of the trimmed deltas. Source: peft 0.21.2, `magnitude_prune`."""
    return scale * sum_of([branch.weight * trim(branch.delta.dense(), density) for branch in branches])


def dare_linear(branches: Sequence[Branch], *, density: float, scale: float, seed: int, convention: str) -> Tensor:
    """The weighted sum of deltas that each keep a random share of their elements.

    Source: DARE, arXiv:2311.03099, section 3.
    """
    kept = [branch.weight * drop(branch, density, seed, convention) for branch in branches]
    return scale * sum_of(kept)


def dare_ties(branches: Sequence[Branch], *, density: float, scale: float, seed: int, convention: str) -> Tensor:
    """As `dare_linear`, with signs elected as in TIES. Source: DARE, arXiv:2311.03099, section 4."""
    kept = [drop(branch, density, seed, convention) for branch in branches]
    weights = [branch.weight for branch in branches]
    return scale * elect(kept, weights, "weighted_sum" if convention == "mergekit" else convention)


def breadcrumbs(branches: Sequence[Branch], *, density: float, gamma: float, scale: float) -> Tensor:
    """The weighted sum of deltas without their outliers and without their small elements.

    Source: Model Breadcrumbs, arXiv:2312.06795, section 3.
    """
    return scale * sum_of([branch.weight * band(branch.delta.dense(), density, gamma) for branch in branches])


def breadcrumbs_ties(
    branches: Sequence[Branch], *, density: float, gamma: float, scale: float, convention: str
) -> Tensor:
    """As `breadcrumbs`, with signs elected as in TIES. Source: mergekit 0.1.5, which devised it; `paper` is TIES' own mean."""
    kept = [band(branch.delta.dense(), density, gamma) for branch in branches]
    weights = [branch.weight for branch in branches]
    return scale * elect(kept, weights, "weighted_sum" if convention == "mergekit" else convention)


def della(
    branches: Sequence[Branch], *, density: float, epsilon: float, scale: float, seed: int, convention: str
) -> Tensor:
    """Drop small elements more often than large ones, elect a sign for each element, merge those who agree.

    Source: DELLA-Merging, arXiv:2406.11617, section 3.
    """
    kept = [magprune(branch, density, epsilon, seed, convention) for branch in branches]
    return scale * elect(kept, [branch.weight for branch in branches], convention)


def della_linear(
    branches: Sequence[Branch], *, density: float, epsilon: float, scale: float, seed: int, convention: str
) -> Tensor:
    """DELLA without the election: the weighted sum. Source: DELLA-Merging, arXiv:2406.11617, section 3."""
    kept = [branch.weight * magprune(branch, density, epsilon, seed, convention) for branch in branches]
    return scale * sum_of(kept)


def sce(branches: Sequence[Branch], *, density: float, scale: float) -> Tensor:
    """Select the elements on which the deltas differ most, calculate a weight for each delta from what it has there, erase
    the minority's signs; the weighted mean of the rest.

    Source: FuseChat, arXiv:2408.07990, section 3.3 (SCE), of the deltas weight·Δ.
    """
    deltas = torch.stack(weighted(branches))
    variance = ((deltas - deltas.mean(dim=0)) ** 2).mean(dim=0)
    deltas = deltas * (variance >= kth_largest(variance, int(density * variance.numel())))
    shares = (deltas**2).sum(dim=(1, 2))
    total = float(shares.sum())
    if total == 0:
        return deltas[0]
    shares = (shares / total)[:, None, None]
    agrees = (deltas.sign() == elected_sign(deltas)) & (deltas != 0)
    divisor = (shares * agrees).sum(dim=0)
    divisor[divisor == 0] = 1
    return scale * (shares * agrees * deltas).sum(dim=0) / divisor


def elect(kept: Sequence[Tensor], weights: Sequence[float], convention: str) -> Tensor:
    """Who agrees with the elected sign of an element, merged.

    | convention | sign | divisor | a tie |
    |---|---|---|---|
    | paper | of Σ weight·value | the number of those who agree | nobody: 0 |
    | peft | of Σ value | the number of those who agree | plus |
    | mergekit | of Σ weight·value | the sum of their weights | plus |
    | weighted_sum | of Σ weight·value | none | plus |
    """
    values = torch.stack([weight * value for weight, value in zip(weights, kept, strict=True)])
    voters = torch.stack(list(kept)) if convention == "peft" else values
    total = voters.sum(dim=0)
    elected = elected_sign(values) if convention == "paper" else torch.where(total >= 0, 1.0, -1.0)
    agrees = (voters.sign() == elected) & (voters != 0)
    if convention == "weighted_sum":
        return (values * agrees).sum(dim=0)
    counts = torch.ones(len(values), 1, 1, dtype=torch.float64)
    if convention == "mergekit":
        counts = torch.tensor(list(weights), dtype=torch.float64)[:, None, None]
    divisor = (counts * agrees).sum(dim=0)
    divisor[divisor == 0] = 1
    return (values * agrees).sum(dim=0) / divisor


def elected_sign(values: Tensor) -> Tensor:
    """The sign of the sum over the first dimension; 0 for a tie, which is a sum of less than 1e-12 of all magnitudes."""
    total = values.sum(dim=0)
    return torch.where(total.abs() <= 1e-12 * values.abs().sum(dim=0), 0.0, total.sign())


def trim(delta: Tensor, density: float) -> Tensor:
    """The k = int(density·m·n) largest magnitudes; all that equal the smallest of them stay, too."""
    magnitudes = delta.abs()
    return delta * (magnitudes >= kth_largest(magnitudes, int(density * delta.numel())))


def band(delta: Tensor, density: float, gamma: float) -> Tensor:
    """k = int(density·m·n) magnitudes below the int(gamma·m·n) largest; fewer of those go where fewer are left beside k."""
    magnitudes = delta.abs()
    kept = int(density * delta.numel())
    outliers = min(int(gamma * delta.numel()), delta.numel() - kept)
    is_kept = magnitudes >= kth_largest(magnitudes, outliers + kept)
    return delta * (is_kept & (magnitudes < kth_largest(magnitudes, outliers)))


def kth_largest(values: Tensor, k: int) -> Tensor:
    """Infinity for k = 0."""
    if k == 0:
        return torch.tensor(torch.inf, dtype=values.dtype)
    return values.flatten().sort(descending=True).values[k - 1]


def drop(branch: Branch, density: float, seed: int, convention: str) -> Tensor:
    """Each element with probability `density`, and 1 / density as large; in mergekit's convention as large as keeps Σ |value|."""
    delta = branch.delta.dense()
    kept = torch.where(uniform(seed, branch.identity, delta.shape) < density, delta, 0.0)
    return keep_l1(kept, delta) if convention == "mergekit" else kept / density


def magprune(branch: Branch, density: float, epsilon: float, seed: int, convention: str) -> Tensor:
    """Each element with a probability that grows linearly with the rank of its magnitude in its row.

    paper: from density - ε/2 to density + ε/2, and 1/probability as large; mergekit: density - ε to density + ε, as large as
    keeps Σ |value|. Cut to [0, 1]; density 1 keeps everything.
    """
    delta = branch.delta.dense()
    if density == 1:
        return delta
    columns = delta.shape[1]
    ranks = delta.abs().argsort(dim=1, stable=True).argsort(dim=1)
    position = ranks.double() / (columns - 1) if columns > 1 else torch.full_like(delta, 0.5)
    half_width = epsilon if convention == "mergekit" else epsilon / 2
    probability = (density - half_width + 2 * half_width * position).clamp(0, 1)
    is_kept = uniform(seed, branch.identity, delta.shape) < probability
    kept = torch.where(is_kept, delta, 0.0)
    return keep_l1(kept, delta) if convention == "mergekit" else torch.where(is_kept, kept / probability, 0.0)


def keep_l1(kept: Tensor, delta: Tensor) -> Tensor:
    left = float(kept.abs().sum())
    return kept * (float(delta.abs().sum()) / left) if left > 0 else kept
